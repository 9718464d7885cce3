//! Cuts assignments into batches whose size follows a time target, and keeps a device full of them.

use std::collections::VecDeque;
use std::time::Duration;

use super::cycle::Cycle;
use super::{Device, DeviceError, DeviceInfo, selftest};
use crate::limits::{BATCH_DEADLINE, BATCH_PATIENCE, MAX_BATCH, MAX_BATCH_TIME, MIN_BATCH};
use crate::work::{Assignment, Batch, Duty, JobId, Pace, Region, Scan, Speed, Width, rate};

/// What a driver is told to do.
#[derive(Debug, Clone)]
pub enum Order {
    /// This is its work too.
    Work(Assignment),
    /// Drop what was not begun of a job. Batches under way still end.
    Abandon(JobId),
    /// Drop all that was not begun.
    Recall,
    /// Work at another pace from the next batch on.
    Pace(Pace),
    /// The device shall give some known answers before it begins anything new.
    Doubt,
}

/// A device with its queue.
pub struct Driver {
    device: Box<dyn Device>,
    pacer: Pacer,
    cycle: Cycle,
    /// Not begun yet.
    queue: VecDeque<Assignment>,
    under_way: VecDeque<Batch>,
    /// The device shall prove itself before it begins anything new.
    is_doubted: bool,
}

impl Driver {
    /// Batches shall take `target` each.
    #[must_use]
    pub fn new(device: Box<dyn Device>, target: Duration) -> Self {
        Self {
            device,
            pacer: Pacer::new(target),
            cycle: Cycle::new(Duty::FULL),
            queue: VecDeque::new(),
            under_way: VecDeque::new(),
            is_doubted: false,
        }
    }

    /// What the device is.
    #[must_use]
    pub fn info(&self) -> &DeviceInfo {
        self.device.info()
    }

    /// Ends the driver. Its device must be idle to be used again.
    #[must_use]
    pub fn into_device(self) -> Box<dyn Device> {
        self.device
    }

    /// How long the next report may take before the device counts as hung.
    #[must_use]
    pub fn deadline(&self) -> Duration {
        self.pacer.deadline()
    }

    /// Does what it is told, and returns what it dropped.
    pub fn obey(&mut self, order: Order) -> Vec<(JobId, Region)> {
        match order {
            Order::Work(assignment) => self.accept(assignment),
            Order::Pace(pace) => self.set_pace(pace),
            Order::Doubt => self.is_doubted = true,
            Order::Abandon(job) => {
                return self.abandon(job).into_iter().map(|region| (job, region)).collect();
            }
            Order::Recall => {
                let dropped = self.queue.drain(..);
                return dropped.map(|assignment| (assignment.job.id, assignment.region)).collect();
            }
        }
        Vec::new()
    }

    /// Works at another pace from the next batch on.
    pub fn set_pace(&mut self, pace: Pace) {
        self.pacer.set_target(pace.batch_time);
        self.cycle.set(pace.duty);
    }

    /// How long the device shall rest before the next [`step`](Self::step), so that it keeps its part of the
    /// time. Batches under way are waited for first.
    #[must_use]
    pub fn rest(&self) -> Duration {
        if self.under_way.is_empty() { self.cycle.due() } else { Duration::ZERO }
    }

    /// It did nothing for this long.
    pub fn rested(&mut self, time: Duration) {
        self.cycle.rested(time);
    }

    /// Queues an assignment.
    pub fn accept(&mut self, assignment: Assignment) {
        self.queue.push_back(assignment);
    }

    /// Drops what was not begun of a job and returns it. Batches under way still end.
    pub fn abandon(&mut self, job: JobId) -> Vec<Region> {
        let (dropped, kept) =
            self.queue.drain(..).partition::<Vec<_>, _>(|assignment| assignment.job.id == job);
        self.queue = kept.into();
        dropped.into_iter().map(|assignment| assignment.region).collect()
    }

    /// Whether there is nothing to wait for.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.under_way.is_empty()
    }

    /// Fills the device with batches, then waits for the oldest. `None` when there is none, as while it rests.
    ///
    /// # Errors
    ///
    /// What broke; the driver is of no more use then.
    pub fn step(&mut self) -> Result<Option<(Batch, Scan)>, DeviceError> {
        if self.is_doubted && self.under_way.is_empty() {
            self.is_doubted = false;
            selftest::remind(self.device.as_mut())
                .map_err(|refused| DeviceError::Driver(refused.to_string()))?;
        }
        let room = self.cycle.room(self.pacer.target).min(self.device.info().in_flight);
        let most = if self.is_doubted { 0 } else { room };
        while self.under_way.len() < most {
            let Some(batch) = self.next_batch() else { break };
            self.device.begin(batch.clone())?;
            self.under_way.push_back(batch);
        }
        let Some(batch) = self.under_way.pop_front() else { return Ok(None) };
        let scan = self.device.finish(self.pacer.deadline())?;
        self.pacer.observe(batch.region.len(), scan.elapsed);
        self.cycle.worked(scan.elapsed);
        Ok(Some((batch, scan)))
    }

    fn next_batch(&mut self) -> Option<Batch> {
        let mut assignment = self.queue.pop_front()?;
        // A cap of 0 would be a batch of nothing for ever.
        let cap = assignment.batch_cap.clamp(1, MAX_BATCH);
        let width = self.device.info().width.with(assignment.filter);
        let (batch, rests) = cut(assignment.region, width, self.pacer.size(), cap);
        for region in rests.into_iter().filter(|rest| !rest.is_empty()) {
            self.queue.push_front(Assignment { region, ..assignment.clone() });
        }
        assignment.region = batch;
        let Assignment { job, region, filter, .. } = assignment;
        Some(Batch { job, region, filter })
    }
}

/// Cuts a batch of about `size` hashes, and never more than `cap`, off a region. Returns it and the two
/// rests, the nearer one last.
///
/// The headers stay together as long as one nonce of each fits the cap: that is what the device is wide
/// for. Every piece has as many headers as the device takes, or is cut again.
fn cut(region: Region, width: Width, size: u64, cap: u64) -> (Region, [Region; 2]) {
    let together = width.of(region.headers.len().min(cap));
    let (headers, other_headers) = region.headers.split_at(together);
    let rows = (size.min(cap) / together.max(1)).max(1);
    let most = if together > 1 { width.nonces } else { u64::MAX };
    let (nonces, other_nonces) = region.nonces.split_at(rows.min(most));
    let rests = [
        Region { headers: other_headers, nonces: region.nonces },
        Region { headers, nonces: other_nonces },
    ];
    (Region { headers, nonces }, rests)
}

/// Finds the batch size that takes a given time.
#[derive(Debug, Clone)]
pub struct Pacer {
    target: Duration,
    size: u64,
    speed: Speed,
    /// The longest of the last batches of about the present size; unknown before the first.
    expected: Option<Duration>,
}

impl Pacer {
    /// Batches shall take `target`, 250 ms at most.
    #[must_use]
    pub fn new(target: Duration) -> Self {
        let speed = Speed::default();
        Self { target: target.min(MAX_BATCH_TIME), size: MIN_BATCH, speed, expected: None }
    }

    /// Other batches than before: their size is known from the speed.
    fn set_target(&mut self, target: Duration) {
        self.target = target.min(MAX_BATCH_TIME);
        if let Some(speed) = self.speed.per_second() {
            self.resize(speed, MAX_BATCH);
        }
    }

    /// Hashes for the next batch.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// How long the next batch may take before its device counts as hung.
    #[must_use]
    pub fn deadline(&self) -> Duration {
        self.expected
            .map_or(BATCH_DEADLINE, |expected| (expected * BATCH_PATIENCE).max(BATCH_DEADLINE))
    }

    /// Learns from a batch. Grows fourfold at most at a time, because small batches say little of large
    /// ones; shrinks at once.
    pub fn observe(&mut self, hashes: u64, elapsed: Duration) {
        // The last piece of an assignment is small and mostly overhead: it says nothing.
        if hashes * 2 < self.size {
            return;
        }
        self.speed.observe(hashes, elapsed);
        self.expected = Some(elapsed.max(self.target));
        let speed = match rate(hashes, elapsed) {
            // Much too long: what was true before is so no longer.
            Some(now) if elapsed > self.target * 2 => Some(now),
            _ => self.speed.per_second(),
        };
        let Some(speed) = speed else { return };
        self.resize(speed, self.size * 4);
    }

    fn resize(&mut self, speed: f64, most: u64) {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a positive estimate; clamped"
        )]
        let wanted = (speed * self.target.as_secs_f64()) as u64;
        self.size = wanted.min(most).clamp(MIN_BATCH, MAX_BATCH);
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::chain::{self, KNOWN_BLOCKS};
    use crate::device::sim::Sim;
    use crate::work::{Coverage, Filter, Hit, Job, Nonces, Rolls};

    const TARGET: Duration = Duration::from_millis(50);

    fn assignment(id: u64, start: u64, end: u64) -> Assignment {
        let header = KNOWN_BLOCKS[0].header().unwrap();
        let nonces = Nonces::new(start, end).unwrap();
        let job =
            Job { id: JobId::only(id), rolls: Rolls::one(header), target: header.target(), nonces };
        let region = job.space();
        Assignment { job: Arc::new(job), region, filter: Filter::WORD, batch_cap: u64::MAX }
    }

    fn first_header(start: u64, end: u64) -> Region {
        Region::first_header(Nonces::new(start, end).unwrap())
    }

    fn sim(rate: u64) -> Box<Sim> {
        Box::new(Sim::planted(vec![]).rate(NonZeroU64::new(rate).unwrap()))
    }

    #[test]
    fn batches_reach_the_time_target_at_any_speed_and_stay_there() {
        for rate in [100_000, 5_000_000, 400_000_000, 20_000_000_000_u64] {
            let mut driver = Driver::new(sim(rate), TARGET);
            driver.accept(assignment(1, 0, 1 << 32));
            driver.accept(assignment(1, 0, 1 << 32));
            let times: Vec<Duration> = (0..40)
                .map_while(|_| driver.step().unwrap())
                .map(|(_, scan)| scan.elapsed)
                .collect();
            assert!(times.iter().all(|time| *time <= MAX_BATCH_TIME), "at {rate}/s: {times:?}");
            let reached = times[times.len() - 3];
            assert!(reached > TARGET / 2 && reached < TARGET * 2, "at {rate}/s: {times:?}");
        }
    }

    /// Half a minute of a device that works at a pace, on a clock of our own. Rests end later than asked for.
    /// Returns the part of the time in which it worked.
    fn part_of_the_time(driver: &mut Driver, late: impl Fn(u32) -> Duration) -> f64 {
        let (mut worked, mut rested) = (Duration::ZERO, Duration::ZERO);
        let mut rests = 0;
        while worked + rested < Duration::from_secs(30) {
            let due = driver.rest();
            if due > Duration::ZERO {
                rests += 1;
                let rest = due + late(rests);
                driver.rested(rest);
                rested += rest;
                continue;
            }
            if driver.is_idle() {
                driver.accept(assignment(1, 0, 1 << 32));
            }
            let (_, scan) = driver.step().unwrap().unwrap();
            worked += scan.elapsed;
        }
        worked.as_secs_f64() / (worked + rested).as_secs_f64()
    }

    #[test]
    fn a_device_works_its_part_of_the_time_however_late_its_rests_end() {
        for percent in [1.0, 5.0, 25.0, 50.0, 90.0, 100.0] {
            for rate in [3_000_000, 400_000_000] {
                for late in [0, 1, 9] {
                    let mut driver = Driver::new(sim(rate), TARGET);
                    let duty = Duty::of(percent / 100.0);
                    driver.set_pace(Pace { batch_time: Duration::from_millis(12), duty });
                    let late = |rest: u32| Duration::from_millis(u64::from(rest % 3) * late);
                    let part = 100.0 * part_of_the_time(&mut driver, late);
                    assert!((part - percent).abs() < 1.0, "{part} % instead of {percent} %");
                }
            }
        }
    }

    #[test]
    fn hours_without_work_are_no_reason_to_skip_rests() {
        let mut driver = Driver::new(sim(400_000_000), TARGET);
        let pace = Pace { batch_time: Duration::from_millis(12), duty: Duty::of(0.25) };
        driver.set_pace(pace);
        driver.rested(Duration::from_secs(3600));
        let part = part_of_the_time(&mut driver, |_| Duration::ZERO);
        assert!((part - 0.25).abs() < 0.01, "{part}");
        // And a full pace owes none.
        driver.set_pace(Pace::full(TARGET));
        assert_eq!(driver.rest(), Duration::ZERO);
    }

    #[test]
    fn another_pace_takes_effect_at_the_next_batch() {
        let mut driver = Driver::new(sim(400_000_000), TARGET);
        driver.accept(assignment(1, 0, 1 << 32));
        for _ in 0..20 {
            driver.step().unwrap();
        }
        driver.set_pace(Pace::full(Duration::from_millis(2)));
        let mut times = Vec::new();
        for _ in 0..5 {
            times.push(driver.step().unwrap().unwrap().1.elapsed);
        }
        // Two were under way.
        assert!(times[2..].iter().all(|time| *time <= Duration::from_millis(4)), "{times:?}");
    }

    #[test]
    fn a_doubted_device_proves_itself_and_goes_on_or_breaks() {
        let mut driver = Driver::new(Box::new(Sim::new()), TARGET);
        driver.accept(assignment(1, 0, 1 << 16));
        let mut tested = 0;
        for round in 0.. {
            match driver.step().unwrap() {
                Some((batch, _)) => tested += batch.region.len(),
                None => break,
            }
            if round == 1 {
                driver.obey(Order::Doubt);
            }
        }
        assert_eq!(tested, 1 << 16, "nothing is left out");

        // One that has stopped to find anything.
        let mut driver = Driver::new(sim(400_000_000), TARGET);
        driver.accept(assignment(1, 0, 1 << 32));
        driver.step().unwrap();
        driver.obey(Order::Doubt);
        let error =
            std::iter::from_fn(|| driver.step().map(Some).transpose()).find_map(Result::err);
        let why = error.unwrap().to_string();
        assert!(why.contains("failed the self-test at") && why.contains("block"), "{why}");
    }

    #[test]
    fn what_was_not_begun_can_be_recalled() {
        let mut driver = Driver::new(sim(400_000_000), TARGET);
        driver.accept(assignment(1, 0, 1 << 20));
        driver.accept(assignment(2, 0, 1 << 20));
        let (batch, _) = driver.step().unwrap().unwrap();
        let mut tested = batch.region.len();
        let recalled: u64 = driver.obey(Order::Recall).iter().map(|(_, region)| region.len()).sum();
        while let Some((batch, _)) = driver.step().unwrap() {
            tested += batch.region.len();
        }
        assert_eq!(tested + recalled, 2 << 20);
        assert!(driver.is_idle() && recalled > 1 << 20);
    }

    #[test]
    fn a_slowdown_shrinks_the_next_batch_at_once() {
        let mut pacer = Pacer::new(TARGET);
        while pacer.size() < 1 << 20 {
            pacer.observe(pacer.size(), Duration::from_millis(1));
        }
        let size = pacer.size();
        pacer.observe(size, TARGET * 10);
        assert!(pacer.size() <= size / 9);
        assert!(pacer.deadline() >= TARGET * 10 * BATCH_PATIENCE);
    }

    #[test]
    fn an_assignment_is_cut_without_gap_and_its_rest_can_be_taken_back() {
        let mut driver = Driver::new(sim(1_000_000_000), TARGET);
        driver.accept(assignment(1, 1000, 1_000_000));
        driver.accept(assignment(2, 5, 10));
        let mut next = 1000;
        for _ in 0..3 {
            let (batch, scan) = driver.step().unwrap().unwrap();
            assert_eq!(batch.region.nonces.start(), next);
            assert_eq!((scan.region, &scan.coverage), (batch.region, &Coverage::Full));
            next = batch.region.nonces.end();
        }
        let dropped = driver.abandon(JobId::only(1));
        let mut batches = Vec::new();
        while let Some((batch, _)) = driver.step().unwrap() {
            batches.push(batch);
        }
        let (other, under_way): (Vec<_>, Vec<_>) =
            batches.into_iter().partition(|b| b.job.id == JobId::only(2));
        assert_eq!(other[0].region, first_header(5, 10));
        for batch in under_way {
            assert_eq!(batch.region.nonces.start(), next);
            next = batch.region.nonces.end();
        }
        assert_eq!(dropped, [first_header(next, 1_000_000)]);
        assert!(driver.is_idle());
    }

    #[test]
    fn batches_respect_the_cap_of_their_assignment() {
        let mut driver = Driver::new(sim(1_000_000_000), TARGET);
        driver.accept(Assignment { batch_cap: 100, ..assignment(1, 0, 1000) });
        let mut scanned = 0;
        while let Some((batch, _)) = driver.step().unwrap() {
            assert!(batch.region.len() <= 100);
            scanned += batch.region.len();
        }
        assert_eq!(scanned, 1000);
    }

    #[test]
    fn headers_stay_together_while_one_nonce_of_each_fits_the_cap() {
        let nonces = Nonces::new(0, 100).unwrap();
        let width = Width { least: 8, most: 64, filter: Filter::new(0), ..Width::ONE };
        let cut = |headers: u64, size, cap| {
            let headers = Nonces::new(64, 64 + headers).unwrap();
            let (batch, _) = cut(Region { headers, nonces }, width, size, cap);
            (batch.headers.len(), batch.nonces.len())
        };
        assert_eq!(cut(64, 10, 1000), (64, 1), "one nonce at least");
        assert_eq!(cut(64, 640, 1000), (64, 10));
        assert_eq!(cut(64, 640, 320), (64, 5));
        assert_eq!(cut(64, 640, 63), (63, 1), "one nonce of each is too much");
        assert_eq!(cut(64, 640, 7), (1, 7), "too few side by side");
        assert_eq!(cut(1, 640, 1000), (1, 100));
    }

    proptest! {
        #[test]
        fn the_batches_are_the_assignment_in_pieces_that_the_device_takes(
            (first, headers) in (0_u64..64, 1_u64..64),
            nonces in 0_u64..30,
            (least, more) in (1_u32..10, 0_u32..64),
            cap in 0_u64..300,
            rows in 1_u64..30,
            rate in 1_u64..1_000_000,
        ) {
            let width = Width { least, most: least + more, filter: Filter::new(4), nonces: rows };
            let headers = Nonces::new(first, (first + width.of(headers)).min(128)).unwrap();
            let region = Region { headers, nonces: Nonces::new(7, 7 + nonces).unwrap() };
            let header = KNOWN_BLOCKS[0].header().unwrap();
            let rolls = Rolls::new(header, chain::version_rolling_bits(7), 1, None).unwrap();
            let job = Job { id: JobId::only(1), rolls, target: header.target(), nonces: region.nonces };
            // Refuses what is not of its width.
            let sim = Sim::planted(vec![]).rate(NonZeroU64::new(rate).unwrap()).wide(width);
            let mut driver = Driver::new(Box::new(sim), TARGET);
            driver.accept(Assignment {
                job: Arc::new(job),
                region,
                filter: Filter::WORD,
                batch_cap: cap,
            });
            let mut hits: Vec<Hit> = Vec::new();
            while let Some((batch, scan)) = driver.step().unwrap() {
                prop_assert_eq!(scan.region, batch.region);
                prop_assert!(batch.region.len() <= cap.max(1));
                hits.extend(batch.region.iter());
            }
            hits.sort_unstable();
            prop_assert!(hits.into_iter().eq(region.iter()));
        }
    }
}
