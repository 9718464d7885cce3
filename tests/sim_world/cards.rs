//! Simulated devices with a thread's habits: one blocks in `step`, looks into its mailbox between steps, and breaks at
//! random, also while it is opened again.

use std::collections::VecDeque;
use std::num::NonZeroU64;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use adit::device::driver::{Driver, Order};
use adit::device::sim::{Fault, Fired, Script, Sim};
use adit::device::{Device, DeviceError, DeviceInfo};
use adit::engine::{DeviceId, Input};
use adit::work::{Batch, JobId, Scan, Width};
use fastrand::Rng;

/// What a batch shall take.
const BATCH_TIME: Duration = Duration::from_millis(250);

/// How long a hung call is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long it takes to open and test a device.
const OPENING: Duration = Duration::from_secs(2);

/// What can go wrong with a batch, as often as each other.
const FAULTS: [Fault; 9] = [
    Fault::OutsideHit,
    Fault::MissHits,
    Fault::RepeatHits,
    Fault::Overflow,
    Fault::Partial,
    Fault::Slow(Duration::from_secs(7)),
    Fault::Refuse,
    Fault::Lost,
    Fault::Panic,
];

/// A card in its slot, across the lives of its device.
pub(crate) struct Card {
    id: DeviceId,
    rate: NonZeroU64,
    /// Mean number of batches from one fault to the next.
    batches_per_fault: f64,
    random: Rng,
    driver: Option<Driver>,
    mailbox: VecDeque<Order>,
    /// What it will have to say when its call returns.
    blocked: Option<(Instant, Vec<Input>)>,
    /// When it will be open again.
    opening: Option<Instant>,
    /// Of all lives.
    fired: Vec<Fired>,
    pub(crate) refused_openings: u32,
    /// The jobs of the batches begun since the last look.
    begun: Arc<Mutex<Vec<JobId>>>,
}

impl Card {
    pub(crate) fn new(id: DeviceId, rate: NonZeroU64, batches_per_fault: f64, random: Rng) -> Self {
        let mut card = Self {
            id,
            rate,
            batches_per_fault,
            random,
            driver: None,
            mailbox: VecDeque::new(),
            blocked: None,
            opening: None,
            fired: Vec::new(),
            refused_openings: 0,
            begun: Arc::default(),
        };
        card.insert();
        card
    }

    /// A new device in the slot.
    fn insert(&mut self) {
        let (mut script, mut batch) = (Script::new(), 0.0);
        // Far more than a life has.
        for _ in 0..64 {
            batch += -self.batches_per_fault * (1.0 - self.random.f64()).ln();
            let fault = match self.random.usize(0..=FAULTS.len()) {
                one if one < FAULTS.len() => FAULTS[one],
                _ => Fault::Hang,
            };
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a batch's number"
            )]
            let number = batch as u64;
            script = script.on(number, fault);
        }
        let sim = Sim::new().rate(self.rate).noisy(self.random.u64(..), 0.3).script(script);
        self.fired.push(sim.fired());
        let watched = Watched { sim, begun: Arc::clone(&self.begun) };
        self.driver = Some(Driver::new(Box::new(watched), BATCH_TIME));
        self.mailbox.clear();
    }

    pub(crate) fn post(&mut self, order: Order) {
        if self.driver.is_some() {
            self.mailbox.push_back(order);
        }
    }

    /// The engine gives it no more work: whatever it still says counts for nothing.
    pub(crate) fn close(&mut self) {
        (self.driver, self.blocked) = (None, None);
        self.mailbox.clear();
    }

    /// Begins to open a new device.
    pub(crate) fn open(&mut self, now: Instant) {
        self.opening = Some(now + OPENING);
    }

    /// When it has something to say or to do next.
    pub(crate) fn due(&self, now: Instant) -> Option<Instant> {
        let blocked = self.blocked.as_ref().map(|(until, _)| *until);
        let has_mail = self.driver.is_some() && self.blocked.is_none() && !self.mailbox.is_empty();
        [blocked, self.opening, has_mail.then_some(now)].into_iter().flatten().min()
    }

    /// Whether it was opened, or could not be, if it is time to know.
    pub(crate) fn opened(&mut self, now: Instant) -> Option<Result<Width, ()>> {
        self.opening.take_if(|until| *until <= now)?;
        if self.random.u8(0..4) == 0 {
            self.refused_openings += 1;
            return Some(Err(()));
        }
        self.insert();
        Some(Ok(Width::ONE))
    }

    /// What it says now. `is_over` tells of which jobs no batch may begin any more.
    pub(crate) fn step(&mut self, now: Instant, is_over: impl Fn(JobId) -> bool) -> Vec<Input> {
        let mut said = match self.blocked.take() {
            Some((until, said)) if until <= now => said,
            still => {
                self.blocked = still;
                Vec::new()
            }
        };
        if self.blocked.is_some() {
            return said;
        }
        let Some(driver) = &mut self.driver else { return said };
        let device = self.id;
        for order in self.mailbox.drain(..) {
            let dropped = driver.obey(order).into_iter();
            said.extend(dropped.map(|(job, region)| Input::GaveBack { device, job, region }));
        }
        let failed = |why: String| vec![Input::Failed { device, why }];
        let (took, result) = match catch_unwind(AssertUnwindSafe(|| driver.step())) {
            Ok(Ok(None)) => return said,
            Ok(Ok(Some((batch, scan)))) => {
                (scan.elapsed, vec![Input::Scanned { device, batch, scan }])
            }
            Ok(Err(error)) => {
                let is_hung = matches!(error, DeviceError::Hung(_));
                (if is_hung { PATIENCE } else { Duration::ZERO }, failed(error.to_string()))
            }
            Err(_) => (Duration::ZERO, failed("its driver panicked".to_owned())),
        };
        if matches!(result[..], [Input::Failed { .. }]) {
            self.driver = None;
        }
        for job in self.begun.lock().unwrap().drain(..) {
            assert!(!is_over(job), "{device} began a batch of {job:?}, which is over");
        }
        self.blocked = Some((now + took, result));
        said
    }

    /// The faults that happened.
    pub(crate) fn faults(&self) -> Vec<Fault> {
        self.fired.iter().flat_map(Fired::list).map(|(_, fault)| fault).collect()
    }
}

/// Notes the jobs of what is begun.
struct Watched {
    sim: Sim,
    begun: Arc<Mutex<Vec<JobId>>>,
}

impl Device for Watched {
    fn info(&self) -> &DeviceInfo {
        self.sim.info()
    }

    fn begin(&mut self, batch: Batch) -> Result<(), DeviceError> {
        self.begun.lock().unwrap().push(batch.job.id);
        self.sim.begin(batch)
    }

    fn finish(&mut self, limit: Duration) -> Result<Scan, DeviceError> {
        self.sim.finish(limit)
    }
}
