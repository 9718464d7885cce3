//! A world in one thread: the engine, drivers with simulated devices, and a clock that is a number.
//!
//! Each device has a thread's habits (it blocks in `step`, and looks into its mailbox between steps) and
//! a GPU's (batches in flight run one after the other, each with some overhead). Messages take time.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::super::{DeviceId, Engine, Input, JobReport, Output, Reason};
use crate::device::driver::{Driver, Order};
use crate::device::sim::Sim;
use crate::device::{Device, DeviceError, DeviceInfo};
use crate::work::{
    Assignment, Batch, Coverage, Duty, Filter, Headers, Hit, Job, JobId, Region, Scan, Share,
};

/// What a dispatch costs beside its hashing.
const OVERHEAD: Duration = Duration::from_micros(30);

/// How long a message between the engine and a device takes.
const LATENCY: Duration = Duration::from_micros(50);

/// Batches shall take this long.
pub(super) const BATCH_TIME: Duration = Duration::from_millis(50);

/// How long a pause lasts.
pub(super) const PAUSE: Duration = Duration::from_secs(2);

/// More events than this are an endless loop.
const MOST_EVENTS: u64 = 200_000;

pub(super) struct World {
    pub(super) engine: Engine,
    start: Instant,
    /// Nanoseconds since the start.
    now: u64,
    seats: Vec<Seat>,
    /// By time, then by the order in which they came up.
    agenda: BinaryHeap<Reverse<(u64, u64)>>,
    messages: BTreeMap<u64, Message>,
    events: u64,
    /// What happens after so many events.
    pub(super) interruption: Option<(u64, Interruption)>,
    /// Devices take this many times the batch cap that they are told, until a report overflowed.
    pub(super) reckless: u64,
    pub(super) story: Story,
}

/// Something that nobody in the world does by themselves.
#[derive(Debug, Clone, Copy)]
pub(super) enum Interruption {
    End,
    Lose(DeviceId),
    /// For [`PAUSE`].
    Pause(DeviceId),
}

/// What the engine said of the present job.
#[derive(Debug, Default)]
pub(super) struct Story {
    pub(super) shares: Vec<(DeviceId, Share)>,
    pub(super) faults: Vec<(DeviceId, String)>,
    pub(super) dismissed: Vec<(DeviceId, String)>,
    pub(super) abandoned: u32,
    /// Who was paused, and when.
    pub(super) paused: Vec<(DeviceId, Duration)>,
    pub(super) overflows: u32,
    /// When the job was ended.
    ended: Duration,
    /// The batches that the engine believed.
    pub(super) believed: Vec<Region>,
    pub(super) assigned: Vec<(DeviceId, Region)>,
    /// When each device reported last.
    pub(super) last_report: BTreeMap<DeviceId, Duration>,
    /// Who reported, and when.
    pub(super) reports: Vec<(DeviceId, Duration)>,
    /// How long devices had nothing to do although hashes were free, each time.
    pub(super) dry: Vec<Duration>,
}

struct Seat {
    driver: Option<Driver>,
    mailbox: VecDeque<Order>,
    /// Blocked in `step`, or out of work with a message on the way.
    is_asleep: bool,
    is_open: bool,
    /// It was told to drop what it had, and got nothing since.
    is_paused: bool,
    clock: Clock,
    /// Since when it has had nothing to do although hashes were free.
    dry_since: Option<u64>,
}

enum Message {
    ToEngine(Input),
    ToDevice(DeviceId, Order),
    /// `step` returns.
    Wake(DeviceId),
}

impl World {
    pub(super) fn new(start: Instant, sims: Vec<Sim>) -> Self {
        let mut world = Self {
            engine: Engine::new(),
            start,
            now: 0,
            seats: Vec::new(),
            agenda: BinaryHeap::new(),
            messages: BTreeMap::new(),
            events: 0,
            interruption: None,
            reckless: 1,
            story: Story::default(),
        };
        for (number, sim) in (0..).zip(sims) {
            let (clock, width) = (Clock::default(), sim.info().width);
            let device = Timed { sim, clock: clock.clone(), begun: VecDeque::new() };
            world.seats.push(Seat {
                driver: Some(Driver::new(Box::new(device), BATCH_TIME)),
                mailbox: VecDeque::new(),
                is_asleep: true,
                is_open: true,
                is_paused: false,
                clock,
                dry_since: None,
            });
            world.tell(Input::Joined(DeviceId(number), width));
        }
        world
    }

    /// Works on a job until its report comes, and checks what must be true of every history.
    pub(super) fn work(&mut self, job: Job) -> JobReport {
        self.story = Story::default();
        self.events = 0;
        let id = job.id;
        let mut report = self.tell(Input::Job(Arc::new(job)));
        while report.is_none() {
            let Reverse((time, number)) = self.agenda.pop().expect("the engine waits for nothing");
            self.now = time;
            report = match self.messages.remove(&number).unwrap() {
                Message::ToEngine(input) => self.tell(input),
                Message::ToDevice(device, order) => {
                    let seat = self.seat(device);
                    seat.mailbox.push_back(order);
                    if seat.is_asleep {
                        self.step(device);
                    }
                    None
                }
                Message::Wake(device) => {
                    self.step(device);
                    None
                }
            };
            self.events += 1;
            assert!(self.events < MOST_EVENTS, "the job does not end");
            if report.is_none()
                && let Some((_, what)) =
                    self.interruption.take_if(|(event, _)| *event <= self.events)
            {
                report = self.interrupt(what, id);
            }
        }
        let report = report.unwrap();
        self.check(&report);
        report
    }

    pub(super) fn elapsed(&self) -> Duration {
        Duration::from_nanos(self.now)
    }

    /// How long ago the job was ended.
    pub(super) fn ended_for(&self) -> Duration {
        self.elapsed().saturating_sub(self.story.ended)
    }

    fn interrupt(&mut self, what: Interruption, job: JobId) -> Option<JobReport> {
        match what {
            Interruption::End => self.tell(Input::End(job)),
            Interruption::Lose(device) => {
                self.tell(Input::Failed { device, why: "it was unplugged".to_owned() })
            }
            Interruption::Pause(device) => {
                let end = Message::ToEngine(Input::Allow(device, Some(Duty::FULL)));
                self.send(self.now + nanos(PAUSE), end);
                self.story.paused.push((device, self.elapsed()));
                self.tell(Input::Allow(device, None))
            }
        }
    }

    /// Gives the engine an input and carries out what it says.
    fn tell(&mut self, input: Input) -> Option<JobReport> {
        let scanned_before = self.scanned();
        let batch = match &input {
            Input::Scanned { device, batch, scan } => {
                let has_overflowed = matches!(scan.coverage, Coverage::Overflow { .. });
                self.story.overflows += u32::from(has_overflowed);
                self.story.last_report.insert(*device, Duration::from_nanos(self.now));
                self.story.reports.push((*device, Duration::from_nanos(self.now)));
                Some((batch.region, scan.coverage.clone()))
            }
            _ => None,
        };
        let mut outputs = Vec::new();
        let now = self.start + self.elapsed();
        self.engine.handle(input, now, &mut outputs);
        let mut report = None;
        for output in outputs {
            assert!(report.is_none(), "nothing comes after the report");
            match output {
                Output::Assign(device, assignment) => {
                    self.story.assigned.push((device, assignment.region));
                    self.seat(device).is_paused = false;
                    self.post(device, Order::Work(self.recklessly(assignment)));
                }
                Output::Abandon(job) => {
                    self.story.abandoned += 1;
                    self.story.ended = self.elapsed();
                    for number in (0..).take(self.seats.len()) {
                        self.post(DeviceId(number), Order::Abandon(job));
                    }
                }
                Output::Recall(device) => {
                    self.seat(device).is_paused = true;
                    self.post(device, Order::Recall);
                }
                Output::Dismiss(device, why) => {
                    self.seat(device).is_open = false;
                    self.story.dismissed.push((device, why));
                }
                Output::Back(device) => panic!("{device} never left"),
                Output::Found(device, share) => self.story.shares.push((device, share)),
                Output::Fault(device, why) => self.story.faults.push((device, why)),
                Output::Finished(finished) => report = Some(finished),
            }
        }
        let scanned = match &report {
            Some(report) => Some(report.tally.scanned),
            None => self.scanned(),
        };
        if let Some((region, coverage)) = batch.filter(|_| scanned != scanned_before) {
            assert_eq!(coverage, Coverage::Full);
            self.story.believed.push(region);
        }
        if !self.has_free() {
            // The others took it all: whoever has nothing to do now has nothing to wait for.
            self.seats.iter_mut().for_each(|seat| seat.dry_since = None);
        }
        self.audit();
        report
    }

    /// What must be true after every event.
    fn audit(&self) {
        for current in &self.engine.jobs {
            assert_eq!(current.ledger.audit(), Ok(()));
            let members = (0..).take(self.seats.len()).map(DeviceId);
            let held: u64 = members.map(|device| current.holds(device)).sum();
            assert_eq!(held, current.ledger.tally().held, "the parts disagree with the ledger");
        }
    }

    /// Hashes of the present job that were tested.
    fn scanned(&self) -> Option<u64> {
        self.engine.jobs.first().map(|current| current.ledger.tally().scanned)
    }

    /// What must be true of every report.
    fn check(&mut self, report: &JobReport) {
        let tally = &report.tally;
        assert_eq!(tally.held, 0);
        assert_eq!(report.complete, tally.scanned == report.space.len());
        assert!(tally.scanned <= tally.assigned && tally.assigned <= report.space.len());
        assert_eq!(report.counters.shares, self.story.shares.len() as u64);
        assert_eq!(union(self.story.assigned.iter().map(|(_, region)| *region)), tally.assigned);
        // Each batch of a device that is still trusted was believed, or went back for what it said.
        let reasons = [Reason::Overflow, Reason::Partial, Reason::WrongHit];
        let disbelieved: u64 =
            reasons.iter().filter_map(|reason| tally.given_back.get(reason)).sum();
        let tested: u64 = report.devices.iter().map(|device| device.tested).sum();
        assert_eq!(tested, tally.scanned + disbelieved);
        // Who runs dry says so with its last report, and is given more at once.
        assert!(self.story.dry.iter().all(|time| *time <= LATENCY * 2), "{:?}", self.story.dry);
        let believed = &self.story.believed;
        let sum = believed.iter().map(|region| region.len()).sum::<u64>();
        assert_eq!(union(believed.iter().copied()), sum, "scanned twice");
        assert!(believed.iter().all(|region| {
            report.space.headers.covers(region.headers) && report.space.nonces.covers(region.nonces)
        }));
        assert_eq!(sum, tally.scanned);
        assert!(self.engine.jobs.is_empty());
    }

    /// What `runtime::drive` does between two waits for the device.
    fn step(&mut self, device: DeviceId) {
        let (now, job_has_free) = (self.now, self.has_free());
        let seat = self.seat(device);
        seat.is_asleep = false;
        let mut gave_back = Vec::new();
        let Some(driver) = &mut seat.driver else { return };
        for order in seat.mailbox.drain(..) {
            let dropped = driver.obey(order).into_iter();
            gave_back.extend(dropped.map(|(job, region)| Input::GaveBack { device, job, region }));
        }
        if !seat.is_open {
            seat.driver = None;
        }
        let Some(driver) = &mut seat.driver else { return };
        if let Some(since) = seat.dry_since.take_if(|_| !driver.is_idle()) {
            self.story.dry.push(Duration::from_nanos(now - since));
        }
        let seat = &mut self.seats[usize::from(device.0)];
        seat.clock.set(now);
        let Some(driver) = &mut seat.driver else { return };
        let stepped = catch_unwind(AssertUnwindSafe(|| driver.step()));
        let end = seat.clock.get();
        let said = match stepped {
            Ok(Ok(None)) => {
                seat.is_asleep = true;
                if job_has_free && !seat.is_paused {
                    seat.dry_since.get_or_insert(now);
                }
                None
            }
            Ok(Ok(Some((batch, scan)))) => Some(Input::Scanned { device, batch, scan }),
            Ok(Err(error)) => Some(Input::Failed { device, why: error.to_string() }),
            Err(_) => Some(Input::Failed { device, why: "its driver panicked".to_owned() }),
        };
        if matches!(said, Some(Input::Failed { .. })) {
            seat.driver = None;
        }
        for input in gave_back {
            self.send(now + nanos(LATENCY), Message::ToEngine(input));
        }
        if let Some(input) = said {
            self.send(end + nanos(LATENCY), Message::ToEngine(input));
            self.send(end, Message::Wake(device));
        }
    }

    fn has_free(&self) -> bool {
        self.engine.jobs.iter().any(|job| !job.ending && job.ledger.free() > 0)
    }

    fn recklessly(&self, assignment: Assignment) -> Assignment {
        let factor = if self.story.overflows == 0 { self.reckless } else { 1 };
        Assignment { batch_cap: assignment.batch_cap * factor, ..assignment }
    }

    fn post(&mut self, device: DeviceId, order: Order) {
        if self.seat(device).is_open {
            self.send(self.now + nanos(LATENCY), Message::ToDevice(device, order));
        }
    }

    fn send(&mut self, time: u64, message: Message) {
        let number = self.messages.last_key_value().map_or(0, |(last, _)| last + 1);
        self.messages.insert(number, message);
        self.agenda.push(Reverse((time, number)));
    }

    fn seat(&mut self, device: DeviceId) -> &mut Seat {
        &mut self.seats[usize::from(device.0)]
    }
}

/// The time as a device sees it: when it was called, and afterwards when it would have returned.
#[derive(Clone, Default)]
struct Clock(Arc<AtomicU64>);

impl Clock {
    // Relaxed: everything is in one thread; only the trait asks for `Send`.
    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn set(&self, time: u64) {
        self.0.store(time, Ordering::Relaxed);
    }
}

/// A simulated device that works on its batches one after the other, in time.
struct Timed {
    sim: Sim,
    clock: Clock,
    begun: VecDeque<u64>,
}

impl Device for Timed {
    fn info(&self) -> &DeviceInfo {
        self.sim.info()
    }

    fn begin(&mut self, batch: Batch) -> Result<(), DeviceError> {
        self.begun.push_back(self.clock.get());
        self.sim.begin(batch)
    }

    fn finish(&mut self, limit: Duration) -> Result<Scan, DeviceError> {
        // `step` is called when the batch before has ended.
        let start = self.begun.pop_front().unwrap_or_default().max(self.clock.get());
        match self.sim.finish(limit) {
            Ok(scan) => {
                let elapsed = scan.elapsed + OVERHEAD;
                self.clock.set(start + nanos(elapsed));
                Ok(Scan { elapsed, ..scan })
            }
            Err(error) => {
                let is_hung = matches!(error, DeviceError::Hung(_));
                self.clock.set(start + if is_hung { nanos(limit) } else { 0 });
                Err(error)
            }
        }
    }
}

pub(super) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap()
}

/// How many hashes the regions cover together.
fn union(regions: impl Iterator<Item = Region>) -> u64 {
    let mut regions: Vec<Region> = regions.filter(|region| !region.is_empty()).collect();
    regions.sort_by_key(|region| region.nonces);
    let ends = regions.iter().flat_map(|region| [region.headers.start(), region.headers.end()]);
    let ends: Vec<u64> = ends.collect::<BTreeSet<u64>>().into_iter().collect();
    // Between two of the ends every region has all headers, or none.
    ends.windows(2).map(|ends| (ends[1] - ends[0]) * union_between(ends, &regions)).sum()
}

fn union_between(ends: &[u64], regions: &[Region]) -> u64 {
    let headers = Headers::new(ends[0], ends[1]).unwrap();
    let (mut covered, mut end) = (0, 0);
    for Region { nonces, .. } in regions.iter().filter(|region| region.headers.covers(headers)) {
        covered += nonces.end().saturating_sub(nonces.start().max(end));
        end = end.max(nonces.end());
    }
    covered
}

/// The hashes of a job that pass its filter, by making them all.
pub(super) fn truth(job: &Job) -> Vec<Hit> {
    let batch = Batch { job: Arc::new(job.clone()), region: job.space(), filter: job.filter() };
    job.space().iter().filter(|hit| crate::work::verify(&batch, *hit).is_ok()).collect()
}

/// A target that a hash meets with a probability of 1 in 2^`bits`.
pub(super) fn easy(bits: u32) -> bitcoin::Target {
    let target = crate::chain::parse_target(&"ff".repeat(32)).unwrap();
    let target = bitcoin::Target::from_be_bytes(shifted(target.to_be_bytes(), bits));
    assert_eq!(Filter::for_target(&target).bits(), bits.min(32));
    target
}

fn shifted(mut bytes: [u8; 32], bits: u32) -> [u8; 32] {
    for byte in &mut bytes[..bits as usize / 8] {
        *byte = 0;
    }
    bytes[bits as usize / 8] >>= bits % 8;
    bytes
}
