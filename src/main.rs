//! The `adit` program: parses the command line, starts logging, calls a command.

use std::io::Write as _;
use std::process::ExitCode;

use adit::cli::{Cli, run};
use adit::runtime::Stop;
use clap::Parser as _;
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let cli = Cli::parse();
    start_logging();
    let stop = Stop::default();
    if let Err(error) = ctrlc::set_handler({
        let stop = stop.clone();
        move || {
            // The second time it is meant: something hangs.
            if stop.is_requested() {
                std::process::exit(130);
            }
            stop.request();
        }
    }) {
        tracing::warn!("Ctrl-C will end adit without a summary: {error}");
    }
    match run(cli, &stop) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !failure.message.is_empty() {
                // Standard error may be closed; the exit code still says what happened.
                let _ = writeln!(std::io::stderr(), "error: {}", failure.message);
            }
            ExitCode::from(failure.exit.code())
        }
    }
}

fn start_logging() {
    // Graphics libraries complain a lot about what they then handle.
    let filter = EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| EnvFilter::new("warn,wgpu_core=error,wgpu_hal=off,naga=error"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .without_time()
        .init();
    // A panic in a driver is caught where it happens and reported there; this is for the log.
    std::panic::set_hook(Box::new(|panic| tracing::debug!("{panic}")));
}
