//! The command line: what can be typed, one file per command, and what the exit code says.

mod bench;
mod compiler;
mod completions;
mod config;
mod cost;
mod devices;
mod failure;
mod kernel;
mod lines;
mod mine;
mod options;
mod output;
mod pool;
mod scan;
mod selftest;
mod team;
mod tune;
mod tuning;
mod verify;

use clap::{Parser, Subcommand};

use crate::runtime::Stop;

pub use config::check_settings;
pub use failure::{Exit, Failure};

/// Where the output goes and what the exit code says; under every command that works on devices too.
const OUTCOME: &str = "Exit codes: 0 done, 1 a wrong result or --fail-on, 2 bad usage or input, 3 no usable device, 4 self-test failed, \
     5 no source with --once, 130 interrupted.\n\
     Messages go to standard error; RUST_LOG=adit=debug shows more of them.";

/// The same for a command that can be paused.
fn mining() -> String {
    format!(
        "SIGUSR1 pauses mining, SIGUSR2 lets it go on, SIGHUP has adit.toml read again, and SIGTERM ends it with exit code 0, \
         on systems that have them.\n\
         {OUTCOME}"
    )
}

/// What can be typed.
#[derive(Debug, Parser)]
#[command(
    version,
    about = "Mines double SHA-256 on GPUs, checks every hit on the CPU, and accounts for every hash",
    after_help = OUTCOME
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the devices of this machine, and why one is not used
    Devices(devices::Args),
    /// Prove that a device computes rightly: real headers, edges, many hits
    #[command(after_help = OUTCOME)]
    Selftest(selftest::Args),
    /// Find every nonce of a header whose hash meets a target
    #[command(after_help = OUTCOME)]
    Scan(scan::Args),
    /// Mine on pools or on your own node, with every hash and every share accounted for
    #[command(after_help = mining())]
    Mine(config::Typed),
    /// Settings that last: adit.toml
    #[command(subcommand)]
    Config(config::Command),
    /// Serve a practice pool: jobs without money, every share judged and shown
    #[command(after_help = pool::ABOUT)]
    Pool(pool::Args),
    /// Find the fastest kernel of each GPU, and remember it
    #[command(after_help = OUTCOME)]
    Tune(tune::Args),
    /// Measure kernels and devices: rates with intervals, proof of the result, comparisons
    #[command(after_help = OUTCOME)]
    Bench(Box<bench::Args>),
    /// Hash a header on the CPU and compare it with its target
    Verify(verify::Args),
    /// Print what a shell needs to complete commands and options
    Completions(completions::Completions),
    /// Write a man page for each command
    #[command(hide = true)]
    Man(completions::Manual),
    /// Look at the kernels
    #[command(subcommand)]
    Kernel(kernel::Command),
}

/// Runs the command until it is done or `stop` is requested.
///
/// # Errors
///
/// What went wrong, with the exit code that says so.
pub fn run(cli: Cli, stop: &Stop) -> Result<(), Failure> {
    match cli.command {
        Command::Devices(args) => devices::run(&args),
        Command::Selftest(args) => selftest::run(&args, stop),
        Command::Scan(args) => scan::run(&args, stop),
        Command::Mine(typed) => mine::run(&typed, stop),
        Command::Config(command) => config::run(&command),
        Command::Pool(args) => pool::run(&args, stop),
        Command::Tune(args) => tune::run(&args, stop),
        Command::Bench(args) => bench::run(&args, stop),
        Command::Verify(args) => verify::run(&args),
        Command::Completions(args) => completions::completions(&args),
        Command::Man(args) => completions::manual(&args),
        Command::Kernel(command) => kernel::run(&command, stop),
    }
}
