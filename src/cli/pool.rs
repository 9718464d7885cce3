//! `adit pool`

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::mine::password_in;
use super::options::{at_least_one, time};
use super::{Failure, output};
use crate::chain::payout::{Payout, parse_address};
use crate::limits::POOL_DIFFICULTY;
use crate::link::{Credentials, Http, default_cookie};
use crate::pool::vardiff::Difficulty;
use crate::pool::{Counters, Event, NodeEnd, Options, Server, Share, Tally, node};
use crate::runtime::Stop;
use crate::source::gbt::Answer;
use crate::source::location::{self, Location};
use crate::ui::text;

/// What the coinbases of blocks on a node say.
const TAG: &str = "adit practice pool";

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Where to listen. Only this machine can connect to 127.0.0.1; anyone in the network to another address
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:3333")]
    listen: SocketAddr,

    /// Give every miner this difficulty; 1 is 2^32 hashes a share
    #[arg(long, value_name = "X", value_parser = difficulty, allow_negative_numbers = true)]
    difficulty: Option<f64>,

    /// Give every miner the difficulty that suits its speed. This is the default
    #[arg(long, conflicts_with = "difficulty")]
    vardiff: bool,

    /// Seconds from one share of a miner to the next, on average
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 3.0,
        value_parser = share_seconds,
        allow_negative_numbers = true,
        conflicts_with = "difficulty"
    )]
    share_seconds: f64,

    /// Hand out templates of this node of your own, and give it the blocks: gbt+http://[USER@]HOST[:PORT], with
    /// ?password-file=FILE or ?cookie-file=FILE; without a user Bitcoin Core's cookie serves
    #[arg(long, value_name = "URL", requires = "payout_address")]
    node: Option<Location>,

    /// Whom the blocks of the node pay
    #[arg(
        long,
        value_name = "ADDRESS",
        value_parser = |text: &str| parse_address(text, None),
        requires = "node"
    )]
    payout_address: Option<Payout>,

    /// Stop after this time, such as 20s or 5m
    #[arg(long = "for", value_name = "TIME", value_parser = time)]
    time: Option<Duration>,

    /// Stop after this many accepted shares
    #[arg(long, value_name = "N", value_parser = at_least_one, allow_negative_numbers = true)]
    shares: Option<u64>,

    /// Print a JSON object per event
    #[arg(long)]
    json: bool,
}

/// What `adit pool --help` says below the options.
pub(super) const ABOUT: &str = "The practice pool is for demos, for tests and for trying a miner's settings. \
     Without --node its jobs are real blocks of the past, its coinbase pays nobody: no money is involved. It judges \
     every share with the `bitcoin` crate. Real farms use ckpool or the Stratum V2 pool.";

fn difficulty(text: &str) -> Result<f64, String> {
    let [least, most] = POOL_DIFFICULTY;
    let form = || format!("give a number from {least:e} to {most:e}, such as 0.001");
    text.parse().ok().filter(|number| (least..=most).contains(number)).ok_or_else(form)
}

fn share_seconds(text: &str) -> Result<f64, String> {
    let form = || "give a number of seconds from 0.01 to 3600, such as 3".to_owned();
    text.parse().ok().filter(|number| (0.01..=3600.0).contains(number)).ok_or_else(form)
}

pub(super) fn run(args: &Args, stop: &Stop) -> Result<(), Failure> {
    let difficulty = match args.difficulty {
        Some(difficulty) => Difficulty::Fixed(difficulty),
        None => Difficulty::Variable {
            start: 0.001,
            every: Duration::from_secs_f64(args.share_seconds),
        },
    };
    let options = Options { difficulty, ..Options::default() };
    let (pool, talk) = match (&args.node, &args.payout_address) {
        (Some(Location::Node(at)), Some(payout)) => {
            let (pool, end) = Server::bind_on_node(options, args.listen).map_err(Failure::usage)?;
            (pool, Some(Talk { http: http(at)?, end, payout: payout.clone() }))
        }
        (Some(other), _) => {
            return Err(Failure::usage(format!(
                "--node {other}: it is no node; write gbt+http://HOST:PORT"
            )));
        }
        _ => (Server::bind(options, args.listen).map_err(Failure::usage)?, None),
    };
    announce(args, pool.local_addr())?;

    let observer = pool.observer();
    let begun = Instant::now();
    let is_enough = AtomicBool::new(false);
    let end = || {
        is_enough.store(true, Ordering::Relaxed);
        stop.request();
    };
    let mut accepted = 0;
    let mut failure = None;
    let served = thread::scope(|scope| {
        if let Some(time) = args.time {
            scope.spawn(move || wait(time, stop, end));
        }
        let talking = talk.map(|talk| {
            scope.spawn(|| {
                let ended = talk.hold();
                stop.request();
                ended
            })
        });
        let served = pool.run(stop, |event| {
            if let Err(error) = tell(args, event) {
                failure.get_or_insert(error);
                end();
            }
            accepted += u64::from(matches!(event, Event::Share(Share { refusal: None, .. })));
            if args.shares.is_some_and(|shares| accepted >= shares) {
                end();
            }
        });
        // The clock of `--for` shall not outlive the pool.
        stop.request();
        let talked = talking.and_then(|talking| talking.join().ok());
        (served, talked.unwrap_or(Ok(())))
    });
    let (served, talked) = served;
    let is_interrupted = !is_enough.load(Ordering::Relaxed);
    let told = conclude(args, &observer.counters(), begun.elapsed(), is_interrupted);
    served.map_err(Failure::usage)?;
    talked?;
    failure.map_or(Ok(()), Err)?;
    told?;
    if is_interrupted { Err(Failure::interrupted()) } else { Ok(()) }
}

/// The talk with the node behind the pool.
struct Talk {
    http: Http,
    end: NodeEnd,
    payout: Payout,
}

impl Talk {
    /// Talks until the pool ends, or the node turns out to be of no use.
    fn hold(self) -> Result<(), Failure> {
        let Self { http, end, payout } = self;
        let post = async |body: Vec<u8>, limit: Duration| {
            let answer = http.post(body, limit).await;
            let answer = answer.map(|(status, body)| Answer { status, body });
            answer.map_err(|error| error.to_string())
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let ended = runtime.block_on(node::follow(end, &payout, TAG, post));
        ended.map_err(|why| Failure::usage(format!("the node cannot be used: {why}")))
    }
}

/// The way to a node, from what its URL says.
fn http(at: &location::Node) -> Result<Http, Failure> {
    let credentials = match (&at.cookie_file, &at.user) {
        (Some(cookie), _) => Credentials::Cookie(cookie.clone()),
        (None, Some(user)) => match &at.password_file {
            Some(file) => {
                Credentials::UserPassword { user: user.clone(), password: password_in(file)? }
            }
            None => {
                return Err(Failure::usage(
                    "the node's user has no password: add ?password-file=FILE",
                ));
            }
        },
        (None, None) => default_cookie(at.port).map_or(Credentials::None, Credentials::Cookie),
    };
    Http::new(&at.host, at.port, credentials).map_err(Failure::usage)
}

fn wait(time: Duration, stop: &Stop, end: impl Fn()) {
    let begun = Instant::now();
    while !stop.is_requested() {
        let Some(left) = time.checked_sub(begun.elapsed()) else { return end() };
        thread::sleep(left.min(Stop::TICK));
    }
}

fn announce(args: &Args, address: SocketAddr) -> Result<(), Failure> {
    if !address.ip().is_loopback() {
        output::note(
            "note: anyone in the network can connect to this address; listen on 127.0.0.1 to be alone",
        );
    }
    if args.json {
        return output::json(&Line::Listening { address });
    }
    output::line(format_args!(
        "The practice pool listens. Point a miner at stratum+tcp://{address}, with any name and password."
    ))?;
    match (&args.node, &args.payout_address) {
        (Some(node), Some(payout)) => output::line(format_args!(
            "It hands out templates of {node}; their blocks pay {}.",
            payout.address
        )),
        _ => output::line(
            "No money is involved: it hands out real blocks of the past, and its coinbase pays nobody.",
        ),
    }
}

/// The lines of `--json` that are no [`Event`].
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Line<'l> {
    Listening {
        address: SocketAddr,
    },
    Summary {
        #[serde(flatten)]
        counters: &'l Counters,
        seconds: f64,
        interrupted: bool,
    },
}

fn tell(args: &Args, event: &Event) -> Result<(), Failure> {
    if args.json {
        return output::json(event);
    }
    match event {
        Event::Connected { connection, peer } => {
            output::line(format_args!("{connection}: from {peer}"))
        }
        Event::Login { connection, worker, agent } => output::line(format_args!(
            "{connection}: {} logged in with {}",
            name(worker),
            if agent.is_empty() { "a nameless program".to_owned() } else { text::clean(agent) }
        )),
        Event::Job { job, network, height, clean } => output::line(format_args!(
            "job {job}: block {} ({network}){}",
            text::count((*height).into()),
            if *clean { ", all earlier jobs are over" } else { "" }
        )),
        Event::Difficulty { connection, difficulty } => {
            output::line(format_args!("{connection}: difficulty {}", digits(*difficulty)))
        }
        Event::Share(share) => output::line(share_line(share, args.node.is_some())),
        Event::Solved(solved) => output::line(format_args!(
            "block {}: solved, hash {}",
            text::count(solved.height.into()),
            solved.hash
        )),
        Event::Answered { height, refusal, .. } => {
            let refusal =
                refusal.as_ref().map(|words| format!("refused it: {}", text::clean(words)));
            output::line(format_args!(
                "block {}: the node {}",
                text::count((*height).into()),
                refusal.unwrap_or_else(|| "accepted it".to_owned())
            ))
        }
        Event::Warning { message } => {
            output::note(format_args!("warning: {}", text::clean(message)));
            Ok(())
        }
        Event::Closed { connection, why: Some(why) } => {
            output::line(format_args!("{connection}: closed, because {why}"))
        }
        Event::Closed { connection, why: None } => output::line(format_args!("{connection}: left")),
    }
}

fn share_line(share: &Share, is_real: bool) -> String {
    let verdict = match share.refusal {
        None if share.is_block && is_real => "accepted, a block".to_owned(),
        None if share.is_block => "accepted, a block if it were real".to_owned(),
        None => "accepted".to_owned(),
        Some(refusal) => format!("refused: {refusal}"),
    };
    let hash = share.hash.map(|hash| format!(", hash {hash}")).unwrap_or_default();
    let worth = match (share.difficulty, share.asked) {
        (Some(difficulty), Some(asked)) => {
            format!(", difficulty {} of {}", digits(difficulty), digits(asked))
        }
        _ => String::new(),
    };
    format!("share of {}: {verdict}{worth}{hash}", name(&share.worker))
}

fn conclude(
    args: &Args,
    counters: &Counters,
    elapsed: Duration,
    interrupted: bool,
) -> Result<(), Failure> {
    if args.json {
        let seconds = elapsed.as_secs_f64();
        return output::json(&Line::Summary { counters, seconds, interrupted });
    }
    for (worker, tally) in counters.workers.iter().filter(|_| counters.workers.len() > 1) {
        output::line(format_args!("{}: {}", name(worker), sum(tally)))?;
    }
    let interrupted = if interrupted { "interrupted: " } else { "" };
    output::line(format_args!("{interrupted}{} in {}", sum(&counters.total), text::time(elapsed)))
}

fn sum(tally: &Tally) -> String {
    let reasons = tally.rejected.iter();
    let reasons: Vec<String> =
        reasons.map(|(refusal, count)| format!("{} ({refusal})", text::count(*count))).collect();
    let refused = if reasons.is_empty() { "none".to_owned() } else { reasons.join(", ") };
    format!(
        "accepted {} shares worth difficulty {}, the best {}; refused {refused}",
        text::count(tally.accepted),
        digits(tally.difficulty),
        digits(tally.best),
    )
}

/// The name of a worker.
fn name(worker: &str) -> String {
    if worker.is_empty() { "somebody".to_owned() } else { text::clean(worker) }
}

/// A difficulty with three digits or so.
fn digits(difficulty: f64) -> String {
    match difficulty {
        0.0 => "0".to_owned(),
        0.001..10.0 => format!("{difficulty:.4}"),
        10.0..1e7 => format!("{difficulty:.1}"),
        _ => format!("{difficulty:.2e}"),
    }
}
