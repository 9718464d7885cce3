//! A run against sources: jobs to the engine, shares to the share log and their source, verdicts to the books.

use std::collections::BTreeMap;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};
use std::{fmt, io};

use serde::Serialize;
use tokio::sync::watch;

use super::net::{Command, Net, Said};
use super::sensors::Gauges;
use super::share_log::ShareLog;
use super::snapshot::{self, Books, Moment, Recorder, Snapshot, Viewer};
use super::{Crew, Flow, Stop};
use crate::chain;
use crate::device::Facts;
use crate::device::sensors::Reading;
use crate::engine::governor;
use crate::engine::outbox::{Outbox, Pending};
use crate::engine::supervisor::Standing;
use crate::engine::{DeviceId, Input, Output};
use crate::limits::{JOBS_REMEMBERED, SHARES_SOUGHT, STOP_DEADLINE};
use crate::source::failover::Failover;
use crate::source::{Down, Event, Remedy, Work};
use crate::work::{Job, Price, Share, SourceId, Ticket, Verdict, rate};

/// How often sources hear how fast we are.
const RATE_EVERY: Duration = Duration::from_secs(10);

/// How often a snapshot is published: as often as a screen needs to look alive.
const SNAPSHOT_EVERY: Duration = Duration::from_millis(250);

/// Devices, sources, and the account between them.
pub struct Mining {
    crew: Crew,
    net: Net,
    failover: Failover,
    outbox: Outbox,
    share_log: Option<ShareLog>,
    desks: Vec<Desk>,
    recorder: Recorder,
    words: (mpsc::Sender<Word>, mpsc::Receiver<Word>),
    gauges: Gauges,
    snapshots: watch::Sender<Arc<Snapshot>>,
    /// When the last one was published.
    published: Option<Instant>,
    /// Hashes per second of all devices, as far as that is known.
    speed: f64,
    /// Whether the observer had enough.
    flow: Flow,
    stop: Stop,
    once: bool,
}

/// Who hears the news.
type Observe<'o> = &'o mut dyn FnMut(News<'_>) -> Flow;

/// What is known of a source.
struct Desk {
    /// As it is written in the share log.
    name: String,
    /// The job to work on, if it has one.
    work: Option<Work>,
    /// What shares of earlier jobs count for, by the job's number.
    recent: BTreeMap<u64, About>,
    /// Its part of the devices' work.
    weight: u32,
    is_wanted: bool,
    /// Why it is down, where it is.
    down: Option<Down>,
    /// Hashes tested for it when its rate was told last, and when that was.
    told: (u64, Instant),
}

/// What a job's shares count for.
struct About {
    name: String,
    /// As the source gave it.
    target: bitcoin::Target,
    difficulty: f64,
    block_target: bitcoin::Target,
}

/// What happens in a run.
#[derive(Debug)]
pub enum News<'n> {
    /// A source says something; work comes only while it is worked on or could be.
    Said(SourceId, &'n Said),
    /// The devices work for these sources now, each with its part.
    Parts(&'n [u32]),
    /// A share was found, and goes to its source.
    Found(DeviceId, &'n Share, Ticket, Pending),
    /// A share ended, with the source's words if it had any.
    Closed(Ticket, Pending, Verdict, Option<&'n str>),
    /// A device made a mistake. It was counted, and its hashes are tested again.
    Fault(DeviceId, &'n str),
    /// A device gets no more work.
    Dismissed(DeviceId, &'n str),
    /// A device broke, and is opened again.
    Lost(DeviceId, &'n str, Standing),
    /// It is open again, and works.
    Back(DeviceId),
    /// Devices were paused, or are not any more.
    Governed(&'n governor::Status),
    /// The share log cannot be written; mining goes on without.
    ShareLog(&'n io::Error),
    /// Settings were read again.
    Reloaded(&'n Reloaded),
    /// Some time passed.
    Tick(&'n Snapshot),
}

/// What whoever runs it has to say meanwhile.
#[derive(Debug)]
pub enum Word {
    /// What energy costs from now on.
    Price(Option<Price>),
    /// Settings were read again.
    Reloaded(Reloaded),
}

/// What came of reading the settings again. Without news in it, nothing differs.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
pub struct Reloaded {
    /// Keys that count from now on.
    pub changed: Vec<String>,
    /// Keys that differ from those that the run began with, and count when it begins again.
    pub at_next_start: Vec<String>,
    /// Why nothing was taken over.
    pub error: Option<String>,
}

impl fmt::Display for Reloaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(error) = &self.error {
            return write!(f, "the settings were read again and nothing was changed: {error}");
        }
        match &self.changed[..] {
            [] => f.write_str("the settings were read again: nothing to change")?,
            changed => write!(f, "the settings were read again: {} changed", changed.join(", "))?,
        }
        match &self.at_next_start[..] {
            [] => Ok(()),
            [one] => write!(f, "; {one} takes effect at the next start"),
            several => write!(f, "; {} take effect at the next start", several.join(", ")),
        }
    }
}

/// Why a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// The observer had enough, or a stop was requested.
    Enough,
    /// No device is left.
    NoDevice,
    /// No device is left, and drivers hang: only a restart of the program helps.
    Wedged,
    /// No source can be used, and it shall not be tried again.
    NoSource(String),
}

impl Mining {
    /// A run of `crew` for the sources of `net`, which have these names. With `once` it ends when no source can
    /// be used, instead of trying again.
    #[must_use]
    pub fn new(
        crew: Crew,
        net: Net,
        failover: Failover,
        names: &[String],
        share_log: Option<ShareLog>,
        stop: Stop,
        once: bool,
    ) -> Self {
        let now = Moment::now();
        let desk = |name: &String| Desk {
            name: name.clone(),
            work: None,
            recent: BTreeMap::new(),
            weight: 0,
            is_wanted: false,
            down: None,
            told: (0, now.at),
        };
        Self {
            desks: names.iter().map(desk).collect(),
            words: mpsc::channel(),
            recorder: Recorder::new(crew.devices().map(|(_, info)| info), names, now),
            gauges: Gauges::start(crew.devices().map(|(_, info)| info)),
            snapshots: watch::Sender::default(),
            published: None,
            outbox: Outbox::default(),
            flow: Flow::Continue,
            speed: 0.0,
            crew,
            net,
            failover,
            share_log,
            stop,
            once,
        }
    }

    /// Sees the run's snapshots, on any thread. The first one comes when it begins.
    #[must_use]
    pub fn viewer(&self) -> Viewer {
        self.snapshots.subscribe()
    }

    /// What is known of the devices.
    #[must_use]
    pub fn facts(&self) -> Vec<Facts> {
        self.crew.devices().map(|(_, info)| info.facts()).collect()
    }

    /// The way to a run that goes on.
    #[must_use]
    pub fn words(&self) -> mpsc::Sender<Word> {
        self.words.0.clone()
    }

    /// Tells the sources how fast the devices are, before that is measured in the run.
    pub fn expect(&mut self, hashes_per_second: f64) {
        self.speed = hashes_per_second;
        for source in self.sources() {
            self.net.tell(source, Command::Rate(hashes_per_second));
        }
    }

    /// Mines until `observe` ends it, a stop is requested, or nothing is left to mine with. Then batches under
    /// way still count, and shares under way may still get their verdicts, for a moment.
    pub fn run(mut self, mut observe: impl FnMut(News<'_>) -> Flow) -> Outcome {
        let ending = self.mine(&mut observe);
        self.drain(&mut observe);
        self.close(&mut observe);
        self.publish(Moment::now(), true);
        let snapshot = self.snapshots.borrow().clone();
        Outcome { ending, snapshot, crew: self.crew }
    }

    fn mine(&mut self, observe: Observe<'_>) -> Ending {
        self.heed(observe);
        self.steer(observe);
        self.publish(Moment::now(), false);
        loop {
            if self.flow == Flow::End || self.stop.is_requested() {
                return Ending::Enough;
            }
            if !self.crew.can_work() {
                return if self.crew.is_wedged() { Ending::Wedged } else { Ending::NoDevice };
            }
            if let Some(why) = self.is_without_source() {
                return Ending::NoSource(why);
            }
            self.step(observe);
        }
    }

    /// Waits for what happens next, and deals with all of it.
    fn step(&mut self, observe: Observe<'_>) {
        let now = Instant::now();
        let due = self.failover.deadline().map(|deadline| deadline.saturating_duration_since(now));
        self.listen(due.unwrap_or(Stop::TICK), observe);
        self.heed(observe);
        self.failover.tick(Instant::now());
        self.steer(observe);
        if let Some(status) = self.crew.governed() {
            self.tell(News::Governed(&status), observe);
        }
        self.tell_rates();
        let now = Moment::now();
        if self.published.is_none_or(|last| now.at >= last + SNAPSHOT_EVERY) {
            self.publish(now, false);
        }
        let snapshot = self.snapshots.borrow().clone();
        self.flow = self.flow.or(observe(News::Tick(&snapshot)));
    }

    /// Does what was said to the run meanwhile.
    fn heed(&mut self, observe: Observe<'_>) {
        while let Ok(word) = self.words.1.try_recv() {
            match word {
                Word::Price(price) => self.recorder.set_price(price),
                Word::Reloaded(reloaded) => self.tell(News::Reloaded(&reloaded), observe),
            }
        }
    }

    fn publish(&mut self, now: Moment, is_over: bool) {
        let desk = |(source, desk): (SourceId, &Desk)| snapshot::Desk {
            counts: self.outbox.counts(source),
            is_wanted: desk.is_wanted,
            weight: desk.weight,
        };
        let devices = self.crew.device_accounts();
        let readings: Vec<Reading> =
            (0..devices.len()).map(|device| self.gauges.reading(device, now.at)).collect();
        for (device, reading) in (0..).map(DeviceId).zip(&readings) {
            let sensed =
                governor::Sensed { temperature_c: reading.temperature_c, power_w: reading.power_w };
            self.crew.sense(device, sensed);
        }
        let books = Books {
            accounts: self.crew.accounts(),
            readings,
            devices,
            desks: (0..).map(SourceId).zip(&self.desks).map(desk).collect(),
            total: self.outbox.total(),
            governed: self.crew.status(),
            is_over,
        };
        self.snapshots.send_replace(Arc::new(self.recorder.snapshot(&books, now)));
        self.published = Some(now.at);
    }

    /// Lets what is under way end.
    fn drain(&mut self, observe: Observe<'_>) {
        let deadline = Instant::now() + STOP_DEADLINE;
        for source in self.sources() {
            self.order(Input::Weigh(source, 0), observe);
        }
        let is_under_way =
            |mining: &Self| mining.crew.is_busy() || mining.outbox.total().pending > 0;
        while is_under_way(self) && Instant::now() < deadline {
            self.listen(Duration::from_millis(20), observe);
        }
    }

    /// Ends all connections. Shares without a verdict expire.
    fn close(&mut self, observe: Observe<'_>) {
        for (source, said) in self.net.close() {
            self.hear(source, said, observe);
        }
        for (ticket, pending) in self.outbox.pending() {
            // Its task did not answer: it is stuck.
            self.settle(pending.source, ticket, Verdict::Expired, None, observe);
        }
    }

    fn sources(&self) -> impl Iterator<Item = SourceId> + use<> {
        (0..).map(SourceId).take(self.desks.len())
    }

    fn desk(&mut self, source: SourceId) -> Option<&mut Desk> {
        self.desks.get_mut(usize::from(source.0))
    }

    fn tell(&mut self, news: News<'_>, observe: Observe<'_>) {
        self.recorder.hear(&news, Moment::now());
        self.flow = self.flow.or(observe(news));
    }

    /// Waits for devices and sources, and deals with what they say.
    fn listen(&mut self, limit: Duration, observe: Observe<'_>) {
        let outputs = self.crew.wait(limit);
        self.deal(outputs, observe);
        for (source, said) in self.net.heard() {
            self.hear(source, said, observe);
        }
    }

    /// Tells the engine something, and deals with what it says to that.
    fn order(&mut self, input: Input, observe: Observe<'_>) {
        let outputs = self.crew.tell(input);
        self.deal(outputs, observe);
    }

    /// Deals with what the engine says.
    fn deal(&mut self, outputs: Vec<Output>, observe: Observe<'_>) {
        for output in outputs {
            match output {
                Output::Found(device, share) => self.found(device, &share, observe),
                Output::Fault(device, why) => self.tell(News::Fault(device, &why), observe),
                Output::Dismiss(device, why) => match self.crew.standing(device) {
                    None | Some(Standing::Gone) => {
                        self.tell(News::Dismissed(device, &why), observe);
                    }
                    Some(standing) => self.tell(News::Lost(device, &why, standing), observe),
                },
                Output::Back(device) => self.tell(News::Back(device), observe),
                Output::Finished(report) if report.complete => {
                    self.net.tell(report.job.source, Command::Exhausted(report.job));
                }
                Output::Finished(_)
                | Output::Assign(..)
                | Output::Abandon(_)
                | Output::Recall(_) => {}
            }
        }
    }

    /// A share goes to the books, to the share log, and then to its source.
    fn found(&mut self, device: DeviceId, share: &Share, observe: Observe<'_>) {
        let now = Instant::now();
        let source = share.job.source;
        let Some(desk) = self.desks.get(usize::from(source.0)) else { return };
        // A job that nobody remembers was replaced many times over: its source will say stale.
        let about = desk.recent.get(&share.job.serial);
        let difficulty = about.map_or(0.0, |about| about.difficulty);
        let is_block = about.is_some_and(|about| chain::meets(&share.hash, &about.block_target));
        // What is withheld may be a flood: it is counted, and that is all.
        let Some((ticket, pending)) = self.outbox.found(share, difficulty, is_block, now) else {
            return;
        };
        let written = self.share_log.as_mut().map_or(Ok(()), |log| {
            let job = about.map_or("", |about| about.name.as_str());
            let target = about.map(|about| &about.target);
            log.found(share, ticket, &desk.name, job, target, difficulty)
        });
        self.tell(News::Found(device, share, ticket, pending), observe);
        self.check_log(written, observe);
        self.net.tell(source, Command::Submit(ticket, Box::new(*share)));
    }

    /// A source says something.
    fn hear(&mut self, source: SourceId, said: Said, observe: Observe<'_>) {
        let now = Instant::now();
        if let Said::Event(Event::Verdict(ticket, verdict, why)) = &said {
            return self.settle(source, *ticket, *verdict, why.as_deref(), observe);
        }
        self.tell(News::Said(source, &said), observe);
        match said {
            Said::Event(Event::Work(work)) => {
                self.failover.up(source, now);
                let speed = self.speed;
                let Some(desk) = self.desk(source) else { return };
                desk.take(*work, speed);
                if desk.weight > 0 {
                    self.give(source, observe);
                }
            }
            Said::Event(Event::NoWork(_)) => {
                self.failover.down(source, now);
                self.take_away(source, observe);
            }
            Said::Down(down, _) => {
                match down.remedy {
                    Remedy::User => self.failover.refused(source, now),
                    Remedy::Retry => self.failover.down(source, now),
                }
                if let Some(desk) = self.desk(source) {
                    desk.down = Some(down);
                }
                self.take_away(source, observe);
            }
            Said::Event(_) | Said::Disk(_) => {}
        }
    }

    /// Gives the engine the job of a source.
    fn give(&mut self, source: SourceId, observe: Observe<'_>) {
        if let Some(work) = self.desk(source).and_then(|desk| desk.work.as_ref()) {
            let job = Arc::clone(&work.job);
            self.order(Input::Job(job), observe);
        }
    }

    /// Ends the job of a source that has none any more.
    fn take_away(&mut self, source: SourceId, observe: Observe<'_>) {
        if let Some(work) = self.desk(source).and_then(|desk| desk.work.take()) {
            self.order(Input::End(work.job.id), observe);
        }
    }

    /// Connects the sources that are wanted, and gives each its part of the devices.
    fn steer(&mut self, observe: Observe<'_>) {
        let weights = self.failover.weights();
        let mut has_changed = false;
        for (source, weight) in (0..).map(SourceId).zip(&weights) {
            let wanted = self.failover.wanted(source);
            let Some(desk) = self.desk(source) else { continue };
            let was_wanted = std::mem::replace(&mut desk.is_wanted, wanted);
            let before = std::mem::replace(&mut desk.weight, *weight);
            if was_wanted != wanted {
                self.net.tell(source, Command::Want(wanted));
            }
            if before == *weight {
                continue;
            }
            has_changed = true;
            self.order(Input::Weigh(source, *weight), observe);
            if before == 0 {
                self.give(source, observe);
            }
        }
        if has_changed {
            self.tell(News::Parts(&weights), observe);
        }
    }

    /// A share has its verdict.
    fn settle(
        &mut self,
        source: SourceId,
        ticket: Ticket,
        verdict: Verdict,
        why: Option<&str>,
        observe: Observe<'_>,
    ) {
        // Where it had one before, this one is late.
        let Some(pending) = self.outbox.close(source, ticket, verdict) else { return };
        self.tell(News::Closed(ticket, pending, verdict, why), observe);
        let desk = self.desks.get(usize::from(source.0));
        if let (Some(log), Some(desk)) = (&mut self.share_log, desk) {
            let written = log.closed(ticket, &desk.name, verdict, why);
            self.check_log(written, observe);
        }
    }

    /// Mining goes on without a share log that cannot be written.
    fn check_log(&mut self, written: io::Result<()>, observe: Observe<'_>) {
        if let Err(error) = written {
            self.share_log = None;
            self.tell(News::ShareLog(&error), observe);
        }
    }

    /// Why no source can be used, when that shall end the run.
    fn is_without_source(&self) -> Option<String> {
        let is_out = |desk: &Desk| desk.work.is_none() && desk.down.is_some();
        if !self.once || !self.desks.iter().all(is_out) {
            return None;
        }
        let whys = self
            .desks
            .iter()
            .filter_map(|desk| Some(format!("{}: {}", desk.name, desk.down.as_ref()?.why)));
        Some(whys.collect::<Vec<_>>().join("; "))
    }

    fn tell_rates(&mut self) {
        let now = Instant::now();
        let is_due = |desk: &Desk| now.saturating_duration_since(desk.told.1) >= RATE_EVERY;
        if !self.desks.iter().any(is_due) {
            return;
        }
        let accounts = self.crew.accounts();
        let mut total = 0.0;
        for source in self.sources() {
            let scanned = accounts.get(&source).map_or(0, |account| account.tally.scanned);
            let Some(desk) = self.desk(source) else { continue };
            let (before, since) = std::mem::replace(&mut desk.told, (scanned, now));
            if let Some(rate) = rate(scanned - before, now - since).filter(|rate| *rate > 0.0) {
                total += rate;
                self.net.tell(source, Command::Rate(rate));
            }
        }
        self.speed = self.speed.max(total);
    }
}

/// What a run came to.
pub struct Outcome {
    /// Why it ended.
    pub ending: Ending,
    /// How all was at its end.
    pub snapshot: Arc<Snapshot>,
    /// The devices.
    pub crew: Crew,
}

impl Desk {
    /// Takes the place of the job before. At most [`SHARES_SOUGHT`] shares a second are looked for: whoever takes
    /// nearly every hash (regtest does) would keep us busy with counting.
    fn take(&mut self, mut work: Work, speed: f64) {
        let about = About {
            name: work.name.clone(),
            target: work.job.target,
            difficulty: chain::difficulty(&work.job.target),
            block_target: work.block_target,
        };
        self.recent.insert(work.job.id.serial, about);
        while self.recent.len() > JOBS_REMEMBERED {
            self.recent.pop_first();
        }
        self.down = None;
        let least = speed / SHARES_SOUGHT / 2_f64.powi(32);
        if let Ok(target) = chain::target_of_difficulty(least)
            && target < work.job.target
        {
            work.job = Arc::new(Job { target, ..work.job.as_ref().clone() });
        }
        self.work = Some(work);
    }
}
