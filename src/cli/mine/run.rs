//! A run against pools and nodes, or against the practice pool in this program.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::desktop::{Governed, Steering};
use super::hooks::Herald;
use super::lines::Recipe;
use super::reload::Reloader;
use super::roster::Roster;
use super::screen::{self, Show};
use super::tell::{self, Teller};
use super::{Args, lines, write_summary};
use crate::cli::{Exit, Failure, output};
use crate::engine::DeviceId;
use crate::engine::outbox::Counts;
use crate::pool::{Options, Server};
use crate::runtime::mining::{Ending, Mining, News, Outcome, Word};
use crate::runtime::net::Net;
use crate::runtime::service::{self, Pulse};
use crate::runtime::share_log::ShareLog;
use crate::runtime::snapshot::{Device, FoundWork, Health, Snapshot, Source, State};
use crate::runtime::{Control, Flow, Stop};
use crate::source::location::{Location, Stratum};
use crate::ui::text;
use crate::work::{SourceId, Verdict, rate};

/// Who mines at the practice pool, where nobody said who they are.
const PRACTICE_USER: &str = "practice";

pub(super) fn run(
    args: &Args,
    control: &Control,
    stop: &Stop,
    reloader: Reloader<'_>,
) -> Result<(), Failure> {
    let summary_file = args.summary_file()?;
    let listeners = args.watch.listen()?;
    // What was typed is judged before devices are opened, which takes seconds.
    let state = lines::state_folder()?;
    let mut roster = Roster::new(args, &args.sources, state.clone())?;
    let mut connections = roster.open()?;
    let share_log = share_log(args, &state)?;
    roster.lock()?;
    let Governed { mut crew, speeds, reopen, .. } =
        args.desktop.open(&args.options, control, stop)?;
    for (device, reopen) in (0..).map(DeviceId).zip(reopen) {
        crew.supervise(device, reopen);
    }
    let speed: f64 = speeds.iter().sum();
    tell::devices(args, &crew, &speeds)?;
    let practice = Stop::default();
    if args.sources.is_empty() {
        roster = Roster::new(args, &[practice_pool(args, speed, &practice)?], state)?;
        connections = roster.open()?;
    }
    lines::recover(&mut connections);
    let titles = roster.titles();
    let net = Net::start(connections, crew.waker())
        .map_err(|error| Failure::usage(format!("the network cannot be used: {error}")))?;
    let (plan, ending) = (roster.plan(), stop.clone());
    let mut mining = Mining::new(crew, net, plan, &titles, share_log, ending, args.once);
    mining.expect(speed);
    // Its other end is in the run.
    let _ = mining.words().send(Word::Price(args.price.clone()));
    let servers = listeners.serve(&mining.viewer(), control, args.json)?;
    let begun = Instant::now();
    let show = screen::is_wanted(args)
        .then(|| Show::begin(mining.viewer(), control.clone(), stop))
        .transpose()?;
    let (outcome, told) = observe(args, mining, roster, show.as_ref(), control, begun, reloader);
    // The summary is told on the terminal as it was.
    drop(show);
    practice.request();
    drop(servers);
    let told = told.and(conclude(args, &outcome, begun.elapsed(), stop, summary_file));
    if stop.is_requested() {
        return Err(Failure::interrupted());
    }
    told?;
    match outcome.ending {
        Ending::Enough => Ok(()),
        Ending::NoDevice => Err(Failure::no_device("no device is left")),
        Ending::Wedged => Err(Failure {
            exit: Exit::Wedged,
            message: "no device is left, and drivers hang in calls that never end: start adit again, as \
                      systemd does by itself; where that does not help, only a restart of the machine does"
                .to_owned(),
        }),
        Ending::NoSource(why) => {
            Err(Failure { exit: Exit::NoSource, message: format!("no source can be used: {why}") })
        }
    }
}

/// The file that was asked for, else the one in the state folder. The practice pool's shares are worth nothing.
fn share_log(args: &Args, state: &std::path::Path) -> Result<Option<ShareLog>, Failure> {
    let path = match &args.share_log {
        Some(path) => path.clone(),
        None if args.sources.is_empty() => return Ok(None),
        None => state.join("shares.jsonl"),
    };
    let mut log = ShareLog::open(&path).map_err(|error| {
        Failure::usage(format!(
            "cannot write the share log {}: {error}; give --share-log another file",
            path.display()
        ))
    })?;
    // A disk that is full now may have room later: mining does not wait for that.
    if let Err(error) = log.begin() {
        output::note(format_args!(
            "the share log {} cannot be written: {error}; mining goes on, and every share is tried",
            path.display()
        ));
    }
    Ok(Some(log))
}

/// Starts a pool in this process, and says where it is.
fn practice_pool(args: &Args, speed: f64, stop: &Stop) -> Result<Location, Failure> {
    if !args.json {
        output::line(
            "No --source is given, so adit mines against a practice pool in this program, over a real \
             connection: the work is real, and no money is involved.",
        )?;
    }
    let server = Server::bind(Options::for_rate(speed), SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
        .map_err(Failure::usage)?;
    let port = server.local_addr().port();
    let stop = stop.clone();
    let serve = move || {
        if let Err(error) = server.run(&stop, |_| {}) {
            tracing::error!("the practice pool ended: {error}");
        }
    };
    thread::Builder::new().name("practice pool".to_owned()).spawn(serve)?;
    Ok(Location::Stratum(Stratum {
        host: Ipv4Addr::LOCALHOST.to_string(),
        port,
        tls: false,
        user: Some(args.user.clone().unwrap_or_else(|| PRACTICE_USER.to_owned())),
        password_file: None,
        tls_fingerprint: None,
        proxy: None,
    }))
}

/// Mines and tells of it until one of the limits is reached.
fn observe(
    args: &Args,
    mining: Mining,
    mut roster: Roster,
    show: Option<&Show>,
    control: &Control,
    begun: Instant,
    mut reloader: Reloader<'_>,
) -> (Outcome, Result<(), Failure>) {
    let mut teller = Teller::new(args);
    let (mut herald, mut failure) = match args.hooks.herald() {
        Ok(herald) => (Some(herald), Ok(())),
        Err(error) => (None, Err(error)),
    };
    for (source, recipe) in roster.recipes() {
        failure = failure.and(meet(source, recipe, &mut teller, herald.as_mut()));
    }
    let (mut shares, mut blocks) = (0, 0);
    let mut pulse = service::patience().map(|patience| Pulse::new(patience, begun));
    service::tell(service::State::Ready);
    let mut steering = Steering::default();
    let (words, facts) = (mining.words(), mining.facts());
    reloader.desktop.steer(control, &mut steering, None).into_iter().for_each(output::note);
    let outcome = mining.run(|news| {
        if let News::Closed(_, pending, Verdict::Accepted, _) = &news {
            shares += 1;
            blocks += u64::from(pending.is_block);
        }
        if let Some(herald) = &mut herald {
            herald.hear(&news);
        }
        let told = match &news {
            News::Tick(snapshot) => {
                let added = reloader.look(&words, control, &mut steering, &facts, &mut roster);
                let met = added.iter().try_for_each(|(source, recipe)| {
                    meet(*source, recipe, &mut teller, herald.as_mut())
                });
                let notes = reloader.desktop.steer(control, &mut steering, Some(snapshot));
                notes.into_iter().for_each(output::note);
                if pulse.as_mut().is_some_and(|pulse| lives(pulse, snapshot)) {
                    service::tell(service::State::Alive);
                }
                met.and(if show.is_none() { teller.status(snapshot) } else { Ok(()) })
            }
            // The screen has its own way to the news.
            _ if show.is_some() => Ok(()),
            news => teller.tell(news),
        };
        if failure.is_ok() {
            failure = told;
        }
        let late = args.time.is_some_and(|time| begun.elapsed() >= time);
        let enough = args.shares.is_some_and(|wanted| shares >= wanted)
            || args.blocks.is_some_and(|wanted| blocks >= wanted);
        let has_quit = show.is_some_and(Show::has_quit);
        if late || enough || has_quit || failure.is_err() { Flow::End } else { Flow::Continue }
    });
    service::tell(service::State::Stopping);
    (outcome, failure)
}

/// Lets those who tell of the run know of a source before they hear of it.
fn meet(
    source: SourceId,
    recipe: &Recipe,
    teller: &mut Teller<'_>,
    herald: Option<&mut Herald>,
) -> Result<(), Failure> {
    if let Some(herald) = herald {
        herald.meet(&recipe.title);
    }
    teller.meet(source, recipe)
}

/// Whether the service manager shall hear that the run goes on.
fn lives(pulse: &mut Pulse, snapshot: &Snapshot) -> bool {
    // Devices that are being opened again test nothing, and no restart would bring them back sooner.
    let is_away = |device: &Device| matches!(device.health, Health::Away | Health::Gone);
    let is_idle = snapshot.run.state != State::Mining || snapshot.devices.iter().all(is_away);
    pulse.is_due(snapshot.run.hashes_per_second.now, is_idle, Instant::now())
}

/// What a run came to; the documented JSON of `--summary-json`.
#[derive(Serialize)]
#[serde(tag = "event", rename = "summary")]
struct Summary<'s> {
    #[serde(flatten)]
    total: Counts,
    best_share_difficulty: Option<f64>,
    sources: Vec<SourceSummary<'s>>,
    assigned: u64,
    scanned: u64,
    candidates: u64,
    wrong: u64,
    seconds: f64,
    /// Hashes tested per second of the whole run.
    hashes_per_second: Option<f64>,
    found_work: FoundWork,
    interrupted: bool,
}

#[derive(Serialize)]
struct SourceSummary<'s> {
    source: SourceId,
    url: &'s str,
    /// Any certificate is accepted.
    insecure: bool,
    #[serde(flatten)]
    counts: Counts,
    scanned: u64,
}

fn conclude<'a>(
    args: &Args,
    outcome: &'a Outcome,
    elapsed: Duration,
    stop: &Stop,
    file: Option<File>,
) -> Result<(), Failure> {
    let snapshot = &outcome.snapshot;
    let hashes = &snapshot.hashes;
    let source = |source: &'a Source| SourceSummary {
        source: source.source,
        url: &source.name,
        insecure: source.insecure,
        counts: source.shares,
        scanned: source.scanned_hashes,
    };
    let summary = Summary {
        total: snapshot.shares,
        best_share_difficulty: snapshot.best_share_difficulty,
        sources: snapshot.sources.iter().map(source).collect(),
        assigned: hashes.assigned,
        scanned: hashes.scanned,
        candidates: hashes.candidates,
        wrong: hashes.wrong,
        seconds: elapsed.as_secs_f64(),
        hashes_per_second: rate(hashes.scanned, elapsed),
        found_work: snapshot.run.found_work,
        interrupted: stop.is_requested(),
    };
    // Both are tried: a full disk must not cost the summary on the screen, nor the other way round.
    let written = file.map_or(Ok(()), |mut file| write_summary(&mut file, &summary));
    let told = if args.json { output::json(&summary) } else { tell_summary(&summary, elapsed) };
    told.and(written)
}

fn tell_summary(summary: &Summary<'_>, elapsed: Duration) -> Result<(), Failure> {
    output::line(format_args!(
        "{}{} in {}; scanned {} of {} assigned hashes, {}",
        if summary.interrupted { "interrupted: " } else { "" },
        text::shares(&summary.total),
        text::time(elapsed),
        text::count(summary.scanned),
        text::count(summary.assigned),
        text::rate(summary.hashes_per_second),
    ))?;
    if summary.sources.len() > 1 {
        for source in &summary.sources {
            let hashes = text::count(source.scanned);
            output::line(format_args!(
                "  {}: {}, {hashes} hashes",
                source.url,
                text::shares(&source.counts)
            ))?;
        }
    }
    Ok(())
}
