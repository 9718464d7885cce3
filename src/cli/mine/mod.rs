//! `adit mine`

mod desktop;
mod hooks;
mod lines;
mod reload;
mod replay;
mod roster;
mod run;
mod schedule;
mod screen;
mod tell;
mod watch;
mod when;

use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use super::config::Typed;
use super::options::{Discreet, TeamOptions, at_least_one, time, version_mask};
use super::{Exit, Failure};
use crate::chain::payout::{Chain, Payout, PayoutRule, parse_address};
use crate::runtime::signals::{self, Reload};
use crate::runtime::{Control, Stop};
use crate::source::gbt::Tag;
use crate::source::location::{Fingerprint, Location, Proxy};
use crate::ui::messages;
use crate::work::Price;
use desktop::DesktopOptions;
use hooks::HookOptions;
pub(super) use lines::password_in;
use reload::Reloader;
use roster::Roster;
use watch::WatchOptions;

#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag that can be typed")]
pub(super) struct Args {
    /// Where work comes from; several in the order in which they are preferred. Default: a practice pool in
    /// this program, where no money is involved
    ///
    /// stratum+tcp://[USER@]HOST:PORT, stratum+tls://[USER@]HOST:PORT: a pool.
    /// gbt+http://[USER@]HOST[:PORT]: your own node.
    /// replay: real blocks that are built in, found again.
    /// Options of one source follow a question mark: password-file, cookie-file, tls-fingerprint, proxy.
    #[arg(long = "source", value_name = "URL", value_parser = Discreet::<Location>::new())]
    sources: Vec<Location>,

    /// Worker name at the pools, or RPC user where all sources are nodes, for those without one of their own
    #[arg(long, value_name = "NAME")]
    user: Option<String>,

    /// File with the password; `ADIT_PASSWORD` has it too. Default for pools: x. Pools and nodes together have
    /// one each: `?password-file=FILE`
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,

    /// Cookie file of the node. Default: Bitcoin Core's, by the port's chain
    #[arg(long, value_name = "FILE")]
    cookie_file: Option<PathBuf>,

    /// Whom the blocks of your own node pay
    #[arg(long, value_name = "ADDRESS", value_parser = |text: &str| parse_address(text, None))]
    payout_address: Option<Payout>,

    /// What the coinbases of your own node say
    #[arg(long, value_name = "TEXT", default_value = "/adit/")]
    coinbase_tag: Tag,

    /// Let the node check each template (BIP 23 proposal) before it is mined on
    #[arg(long)]
    propose: bool,

    /// How often the node is asked for a newer template between blocks
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = time)]
    template_every: Duration,

    /// Refuse jobs that do not pay this address, or less than this percentage to it
    #[arg(long, value_name = "ADDRESS[=PERCENT]")]
    require_payout: Option<PayoutRule>,

    /// The chain of the pools, for the addresses that are shown: main, testnet3, testnet4, signet, regtest
    #[arg(long, value_name = "NAME")]
    chain: Option<Chain>,

    /// The pool's certificate has this SHA-256 fingerprint; whoever signed it does not matter then
    #[arg(long, value_name = "HEX")]
    tls_fingerprint: Option<Fingerprint>,

    /// Accept any certificate where none is pinned: somebody in between can take your shares
    #[arg(long, conflicts_with = "tls_fingerprint")]
    insecure: bool,

    /// Reach the pools through this SOCKS5 proxy: socks5://[USER:PASSWORD@]HOST:PORT
    #[arg(long, value_name = "URL", value_parser = Discreet::<Proxy>::new())]
    proxy: Option<Proxy>,

    /// Follow a pool that sends us to another port of its host; another host is never followed
    #[arg(long)]
    reconnect_port: bool,

    /// Work for all sources at once, in these parts, by number from 1 or by host: `1=80,2=20`
    #[arg(long, value_name = "SOURCE=PART,…")]
    quota: Option<String>,

    /// Ask the pools for at least this difficulty, a whole number
    #[arg(long, value_name = "N", value_parser = at_least_one, allow_negative_numbers = true)]
    min_difficulty: Option<u64>,

    /// Version bits to roll, in hex; 0 rolls none
    #[arg(long, value_name = "MASK", value_parser = version_mask, default_value = "1fffe000")]
    version_mask: u32,

    /// End with exit code 5 when no source can be used, instead of trying again
    #[arg(long)]
    once: bool,

    /// Write a line for every share and every verdict to this file, which `adit verify --share-log FILE` checks.
    /// Default: shares.jsonl in the folder that `ADIT_STATE_DIR` names, or the platform's; none for the practice pool
    #[arg(long, value_name = "FILE")]
    share_log: Option<PathBuf>,

    /// Stop after this many blocks. With replay: the default is every built-in block once
    #[arg(long, value_name = "N", value_parser = at_least_one, allow_negative_numbers = true)]
    blocks: Option<u64>,

    /// Stop after this time, such as 20s or 5m
    #[arg(long = "for", value_name = "TIME", value_parser = time)]
    time: Option<Duration>,

    /// Stop after this many accepted shares
    #[arg(long, value_name = "N", value_parser = at_least_one, allow_negative_numbers = true)]
    shares: Option<u64>,

    /// What energy costs, such as 0.30/kWh or "0.30 EUR/kWh": then it is told what mining costs in a day, by the
    /// power that the devices' sensors tell
    #[arg(long, value_name = "PRICE")]
    price: Option<Price>,

    #[command(flatten)]
    options: TeamOptions,

    /// Print a JSON object per event
    #[arg(long)]
    json: bool,

    /// Print lines, also on a terminal, where a full-screen view is the default
    #[arg(long, conflicts_with = "json")]
    plain: bool,

    /// What is printed: `plain` as with --plain, or `json` as with --json, and messages are JSON objects too
    #[arg(long, value_enum, value_name = "FORMAT", conflicts_with_all = ["json", "plain"])]
    log_format: Option<LogFormat>,

    /// Write the summary to this file as JSON
    #[arg(long, value_name = "FILE")]
    summary_json: Option<PathBuf>,

    /// Take settings from this file. Default: the one that `ADIT_CONFIG` names, else adit.toml in the platform's
    /// folder, where there is one
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Read that file again when it changes, as SIGHUP does where there are signals
    #[arg(long)]
    watch_config: bool,

    #[command(flatten)]
    desktop: DesktopOptions,

    #[command(flatten)]
    watch: WatchOptions,

    #[command(flatten)]
    hooks: HookOptions,
}

/// What is printed of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum LogFormat {
    /// Lines for people.
    Plain,
    /// An object per line.
    Json,
}

pub(super) fn run(typed: &Typed, stop: &Stop) -> Result<(), Failure> {
    let (mut args, settings) = typed.settle()?;
    messages::use_json(args.log_format == Some(LogFormat::Json));
    args.json |= args.log_format == Some(LogFormat::Json);
    args.plain |= args.log_format == Some(LogFormat::Plain);
    let (control, reload) = (Control::default(), Reload::default());
    let kind = kind(&args)?;
    let reloads = matches!(kind, Kind::Sources).then_some(&reload);
    if let Err(error) = signals::obey(&control, reloads, stop) {
        tracing::warn!("SIGUSR1, SIGUSR2 and SIGHUP will end adit: {error}");
    }
    let outcome = match kind {
        Kind::Replay => replay::run(&args, &control, stop),
        Kind::Sources => {
            let reloader = Reloader::new(typed, &settings, &args, reload)?;
            match run::run(&args, &control, stop, reloader) {
                // It goes on until somebody ends it, and who does it so is no person at a keyboard.
                Err(Failure { exit: Exit::Interrupted, .. }) if stop.is_termination() => Ok(()),
                outcome => outcome,
            }
        }
    };
    outcome.map_err(|failure| settings.explained(failure))
}

/// Whether a run could begin with these options; nothing is opened or connected.
pub(super) fn check(args: &Args) -> Result<(), Failure> {
    match kind(args)? {
        Kind::Replay => Ok(()),
        Kind::Sources => {
            lines::plan(args, &args.sources)?;
            args.watch.check()?;
            Roster::new(args, &args.sources, lines::state_folder()?)?.open().map(drop)
        }
    }
}

/// Two kinds of runs.
enum Kind {
    Replay,
    Sources,
}

fn kind(args: &Args) -> Result<Kind, Failure> {
    match &args.sources[..] {
        [Location::Replay] if args.watch.any() => Err(Failure::usage(
            "replay: has no status to show; leave out --http and --api-4028, or mine for a source",
        )),
        [Location::Replay] if args.hooks.any() => Err(Failure::usage(
            "replay: finds what is known, so there is nobody to tell; leave out --on-share, --on-block, \
             --on-device-sick and --on-source-down, or mine for a source",
        )),
        [Location::Replay] if args.desktop.needs_steering() => Err(Failure::usage(
            "replay: is over soon and knows no limits; leave out --max-temp, --max-power, --schedule and --when, \
             or mine for a source",
        )),
        [Location::Replay] => Ok(Kind::Replay),
        sources if sources.contains(&Location::Replay) => {
            Err(Failure::usage("replay: is a source of its own; leave it out, or the others"))
        }
        _ => Ok(Kind::Sources),
    }
}

impl Args {
    /// Opened before any work, so that a wrong path does not cost a run; emptied, so that a summary of an
    /// earlier run is not taken for this one's.
    fn summary_file(&self) -> Result<Option<File>, Failure> {
        let Some(path) = &self.summary_json else { return Ok(None) };
        File::create(path).map(Some).map_err(|error| {
            let path = path.display();
            Failure::usage(format!(
                "cannot write the summary to {path}: {error}; give --summary-json a file in a folder \
                 that is there"
            ))
        })
    }
}

fn write_summary(file: &mut File, summary: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(summary).map_err(Failure::usage)? + "\n";
    file.write_all(text.as_bytes())
        .map_err(|error| Failure::usage(format!("cannot write the summary: {error}")))
}
