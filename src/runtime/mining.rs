//! A run against sources: carries out what [`office`] decides, on devices, connections and disk.

pub mod office;
mod words;

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use self::office::{Found, Office, Order};
use super::net::{Command, Net, Said};
use super::sensors::Gauges;
use super::share_log::ShareLog;
use super::sleep::Watch;
use super::snapshot::{self, Books, Moment, Recorder, Snapshot, Viewer};
use super::{Crew, Flow, Stop};
use crate::device::Facts;
use crate::device::sensors::Reading;
use crate::engine::outbox::Pending;
use crate::engine::supervisor::Standing;
use crate::engine::{DeviceId, Output, governor};
use crate::limits::STOP_DEADLINE;
use crate::source::Event;
use crate::source::failover::Plan;
use crate::work::{Share, SourceId, Ticket, Verdict};

pub use words::{Reloaded, Slept, Sources, Title, Word};

/// How often a snapshot is published: as often as a screen needs to look alive.
const SNAPSHOT_EVERY: Duration = Duration::from_millis(250);

/// How often it is told that the share log cannot be written.
const LOG_TROUBLE_EVERY: Duration = Duration::from_secs(600);

/// Devices, sources, and the account between them.
pub struct Mining {
    crew: Crew,
    net: Net,
    office: Office,
    /// The sources' names in the share log.
    names: Vec<String>,
    share_log: Option<ShareLog>,
    /// When it was told that it cannot be written.
    log_failed: Option<Instant>,
    /// Shares that are told of when they are on disk.
    unkept: BTreeMap<Ticket, Box<Found>>,
    recorder: Recorder,
    words: (mpsc::Sender<Word>, mpsc::Receiver<Word>),
    gauges: Gauges,
    snapshots: watch::Sender<Arc<Snapshot>>,
    /// When the last one was published.
    published: Option<Instant>,
    watch: Watch,
    /// Whether the observer had enough.
    flow: Flow,
    stop: Stop,
    once: bool,
}

/// Who hears the news.
type Observe<'o> = &'o mut dyn FnMut(News<'_>) -> Flow;

/// What happens in a run.
#[derive(Debug)]
pub enum News<'n> {
    /// A source says something; work comes only while it is worked on or could be.
    Said(SourceId, &'n Said),
    /// The devices work for these sources now, each with its part.
    Parts(&'n [u32]),
    /// A share was found, and goes to its source. That of one's own node is on disk.
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
    /// The share log cannot be written; mining goes on, and every share is tried.
    ShareLog(&'n io::Error),
    /// Settings were read again.
    Reloaded(&'n Reloaded),
    /// The machine slept, or the process was stopped, for about so long.
    Slept(Slept),
    /// Some time passed.
    Tick(&'n Snapshot),
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
    /// A run of `crew` for the sources of `net`, which have these titles and share the devices by `plan`. With `once`
    /// it ends when no source can be used, instead of trying again.
    #[must_use]
    pub fn new(
        crew: Crew,
        net: Net,
        plan: Plan,
        titles: &[Title],
        share_log: Option<ShareLog>,
        stop: Stop,
        once: bool,
    ) -> Self {
        let now = Moment::now();
        Self {
            office: Office::new(titles.len(), plan, now.at),
            names: titles.iter().map(|title| title.name.clone()).collect(),
            words: mpsc::channel(),
            recorder: Recorder::new(crew.devices().map(|(_, info)| info), titles, now),
            gauges: Gauges::start(crew.devices().map(|(_, info)| info)),
            snapshots: watch::Sender::default(),
            published: None,
            watch: Watch::new(now),
            flow: Flow::Continue,
            crew,
            net,
            share_log,
            log_failed: None,
            unkept: BTreeMap::new(),
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
        let orders = self.office.expect(hashes_per_second);
        // They are for sources only: there is no news.
        self.carry_out(orders, &mut |_| Flow::Continue);
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
        let due = self.office.deadline().map(|deadline| deadline.saturating_duration_since(now));
        self.listen(due.unwrap_or(Stop::TICK), observe);
        self.heed(observe);
        self.steer(observe);
        if let Some(status) = self.crew.governed() {
            self.tell(News::Governed(&status), observe);
        }
        let now = Moment::now();
        if let Some(slept) = self.watch.look(now) {
            self.wake(slept, observe);
        }
        if self.office.is_rate_due(now.at) {
            let orders = self.office.rates(&self.crew.accounts(), now.at);
            self.carry_out(orders, observe);
        }
        if self.published.is_none_or(|last| now.at >= last + SNAPSHOT_EVERY) {
            self.publish(now, false);
        }
        let snapshot = self.snapshots.borrow().clone();
        self.flow = self.flow.or(observe(News::Tick(&snapshot)));
    }

    /// The machine slept: connections are made anew, and devices prove themselves, because drivers may have lost them.
    fn wake(&mut self, slept: Duration, observe: Observe<'_>) {
        self.tell(News::Slept(Slept(slept)), observe);
        self.crew.doubt();
        let orders = self.office.woken();
        self.carry_out(orders, observe);
    }

    /// Does what was said to the run meanwhile.
    fn heed(&mut self, observe: Observe<'_>) {
        while let Ok(word) = self.words.1.try_recv() {
            match word {
                Word::Price(price) => self.recorder.set_price(price),
                Word::Sources(sources) => self.list(sources, observe),
                Word::Reloaded(reloaded) => self.tell(News::Reloaded(&reloaded), observe),
            }
        }
    }

    /// Works for these sources from now on. Who is not listed any more gets no new work, its batches under way still
    /// count, and it stays connected until its shares had their time to be judged.
    fn list(&mut self, sources: Sources, observe: Observe<'_>) {
        let now = Moment::now();
        let added = sources.added.len();
        for (title, line) in sources.added {
            self.net.add(line);
            self.recorder.add(&title, now);
            self.names.push(title.name);
        }
        let orders = self.office.list(added, &sources.order, sources.plan, now.at);
        self.carry_out(orders, observe);
    }

    fn steer(&mut self, observe: Observe<'_>) {
        let orders = self.office.steer(Instant::now());
        self.carry_out(orders, observe);
    }

    fn publish(&mut self, now: Moment, is_over: bool) {
        let office = &self.office;
        let desk = |source| snapshot::Desk {
            counts: office.counts(source),
            is_wanted: office.is_wanted(source),
            place: office.place(source),
            weight: office.weight(source),
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
            desks: office.sources().map(desk).collect(),
            total: office.total(),
            governed: self.crew.status(),
            is_over,
        };
        self.snapshots.send_replace(Arc::new(self.recorder.snapshot(&books, now)));
        self.published = Some(now.at);
    }

    /// Lets what is under way end.
    fn drain(&mut self, observe: Observe<'_>) {
        let deadline = Instant::now() + STOP_DEADLINE;
        let orders = self.office.wind_down();
        self.carry_out(orders, observe);
        let is_under_way =
            |mining: &Self| mining.crew.is_busy() || mining.office.total().pending > 0;
        while is_under_way(self) && Instant::now() < deadline {
            self.listen(Duration::from_millis(20), observe);
        }
    }

    /// Ends all connections. Shares without a verdict expire.
    fn close(&mut self, observe: Observe<'_>) {
        for (source, said) in self.net.close() {
            self.hear(source, said, observe);
        }
        let orders = self.office.expire();
        self.carry_out(orders, observe);
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

    /// A source says something.
    fn hear(&mut self, source: SourceId, said: Said, observe: Observe<'_>) {
        if let Said::Kept(ticket, block) = said {
            // One that had its verdict meanwhile waits for the next run: this one ends.
            if let Some(found) = self.unkept.remove(&ticket) {
                self.found(&found, observe);
                self.net.tell(source, Command::Send(block));
            }
            return;
        }
        if !matches!(said, Said::Event(Event::Verdict(..))) {
            self.tell(News::Said(source, &said), observe);
        }
        let orders = self.office.source_says(source, said, Instant::now());
        self.carry_out(orders, observe);
    }

    /// Deals with what the engine says.
    fn deal(&mut self, outputs: Vec<Output>, observe: Observe<'_>) {
        for output in outputs {
            let orders = self.office.engine_says(&output, Instant::now());
            self.carry_out(orders, observe);
            match output {
                Output::Fault(device, why) => self.tell(News::Fault(device, &why), observe),
                Output::Dismiss(device, why) => match self.crew.standing(device) {
                    None | Some(Standing::Gone) => {
                        self.tell(News::Dismissed(device, &why), observe);
                    }
                    Some(standing) => self.tell(News::Lost(device, &why, standing), observe),
                },
                Output::Back(device) => self.tell(News::Back(device), observe),
                Output::Found(..)
                | Output::Finished(_)
                | Output::Assign(..)
                | Output::Abandon(_)
                | Output::Recall(_) => {}
            }
        }
    }

    fn carry_out(&mut self, orders: Vec<Order>, observe: Observe<'_>) {
        for order in orders {
            match order {
                Order::Engine(input) => {
                    let outputs = self.crew.tell(input);
                    self.deal(outputs, observe);
                }
                Order::Source(source, command) => self.net.tell(source, command),
                // What is kept on disk is there first: what is written or told of does not get lost any more.
                Order::Found(found) if self.net.keeps(found.pending.source) => {
                    self.unkept.insert(found.ticket, found);
                }
                Order::Found(found) => self.found(&found, observe),
                Order::Closed(ticket, pending, verdict, why) => {
                    self.closed(ticket, pending, verdict, why.as_deref(), observe);
                }
                Order::Parts(parts) => self.tell(News::Parts(&parts), observe),
            }
        }
    }

    fn found(&mut self, found: &Found, observe: Observe<'_>) {
        let Found { device, share, ticket, pending, job, target } = found;
        let name = self.names.get(usize::from(pending.source.0));
        let written = self.share_log.as_mut().zip(name).map_or(Ok(()), |(log, name)| {
            log.found(share, *ticket, name, job, target.as_ref(), pending.difficulty)
        });
        self.check_log(written, observe);
        self.tell(News::Found(*device, share, *ticket, *pending), observe);
    }

    fn closed(
        &mut self,
        ticket: Ticket,
        pending: Pending,
        verdict: Verdict,
        why: Option<&str>,
        observe: Observe<'_>,
    ) {
        // It was refused before it was kept, or the run ends.
        if let Some(found) = self.unkept.remove(&ticket) {
            self.found(&found, observe);
        }
        let name = self.names.get(usize::from(pending.source.0));
        let written = self
            .share_log
            .as_mut()
            .zip(name)
            .map_or(Ok(()), |(log, name)| log.closed(ticket, name, verdict, why));
        self.check_log(written, observe);
        self.tell(News::Closed(ticket, pending, verdict, why), observe);
    }

    /// Mining goes on where the share log cannot be written: a disk that is full may have room again.
    fn check_log(&mut self, written: io::Result<()>, observe: Observe<'_>) {
        let Err(error) = written else { return };
        if self.log_failed.is_none_or(|told| told.elapsed() >= LOG_TROUBLE_EVERY) {
            self.log_failed = Some(Instant::now());
            self.tell(News::ShareLog(&error), observe);
        }
    }

    /// Why no source can be used, when that shall end the run.
    fn is_without_source(&self) -> Option<String> {
        let whys = self.office.is_without_source().filter(|_| self.once)?;
        let name = |source: SourceId| self.names.get(usize::from(source.0));
        let whys =
            whys.into_iter().filter_map(|(source, why)| Some(format!("{}: {why}", name(source)?)));
        Some(whys.collect::<Vec<_>>().join("; "))
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
