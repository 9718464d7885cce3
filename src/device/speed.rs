//! How fast a device is, measured for a moment, and whether what it found is right.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bitcoin::block::Header;

use super::driver::Driver;
use super::{Device, DeviceError, DeviceInfo, within};
use crate::chain::{KNOWN_BLOCKS, VERSION_ROLLING_MASK};
use crate::limits::SELFTEST_DEADLINE;
use crate::work::{
    Assignment, Batch, Coverage, DeviceSpan, Filter, Hit, Job, JobId, Nonces, Region, Rolls,
    RollsError, Scan, rate, verify,
};

/// Seconds that the headers of a measurement roll through. With the versions, 2^31 headers: a device never
/// tests a hash twice.
const TIMES: u32 = 1 << 15;

/// Batches in a sample, so that its begin and end weigh little.
const BATCHES: u32 = 8;

/// The shortest sample that is worth comparing.
const SHORTEST: Duration = Duration::from_millis(100);

/// How long a sample is that will be compared, with batches of this length.
#[must_use]
pub fn slice(batch_time: Duration) -> Duration {
    SHORTEST.max(batch_time * BATCHES)
}

/// Hashes of some time.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Sample {
    /// Of all batches that began in it.
    pub hashes: u64,
    /// From the first begin to the last report.
    pub elapsed: Duration,
    /// How long the device worked by its own clock; `None` where it does not tell.
    pub on_device: Option<Duration>,
    /// How many batches that were.
    pub batches: u64,
    /// Right hits.
    pub found: u64,
    /// Wrong hits, and those reported twice.
    pub wrong: u64,
    /// Hashes of batches that the device could not vouch for. They count nowhere else.
    pub unproven: u64,
}

impl Sample {
    /// Hashes per second; `None` when nothing was done or no time passed.
    #[must_use]
    pub fn rate(&self) -> Option<f64> {
        rate(self.hashes, self.elapsed).filter(|rate| *rate > 0.0)
    }
}

/// Runs a device for about `time` and returns hashes per second, together with the device.
///
/// Batches grow to `batch_time` during the first half; the second half is measured.
///
/// # Errors
///
/// What broke; [`DeviceError::Hung`] also when the driver hung or panicked in a call that has no limit.
pub fn measure(
    device: Box<dyn Device>,
    time: Duration,
    batch_time: Duration,
) -> Result<(f64, Box<dyn Device>), DeviceError> {
    let (_, meter) = Meter::new(device, batch_time)?.sample(time / 2)?;
    let (sample, meter) = meter.sample(time / 2)?;
    let rate = sample.rate().ok_or_else(|| DeviceError::Driver("it did no work".to_owned()))?;
    Ok((rate, meter.into_device()))
}

/// The versions of a header with as many times as a device could need, and all nonces of each.
///
/// # Errors
///
/// When the times pass the header's field.
pub fn endless_job(header: Header) -> Result<Job, RollsError> {
    let rolls = Rolls::new(header, VERSION_ROLLING_MASK, TIMES, None)?;
    Ok(Job { id: JobId::only(0), rolls, target: header.target(), nonces: Nonces::ALL })
}

/// An idle device that is measured again and again. Its batches keep the size that they grew to.
pub struct Meter {
    driver: Driver,
    job: Arc<Job>,
    filter: Filter,
    time: Time,
    /// What was begun of the job and not finished.
    rest: Vec<Region>,
    /// The first header that no region had yet.
    fresh: u64,
}

/// What of a job a meter has not tested.
#[derive(Debug, Clone)]
pub struct Untested {
    rest: Vec<Region>,
    fresh: u64,
}

/// By what time is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Time {
    /// The host's clock.
    Host,
    /// What scans say that they took: of simulated devices, which take no time.
    Scans,
}

impl Meter {
    /// Batches shall take `batch_time`. They grow to it in the first sample, which therefore says little.
    ///
    /// # Errors
    ///
    /// None with the blocks that are built in.
    pub fn new(device: Box<dyn Device>, batch_time: Duration) -> Result<Self, DeviceError> {
        let driver_error = |error: &dyn std::fmt::Display| DeviceError::Driver(error.to_string());
        let header = KNOWN_BLOCKS[0].header().map_err(|error| driver_error(&error))?;
        let job = endless_job(header).map_err(|error| driver_error(&error))?;
        Ok(Self::of_job(device, batch_time, job))
    }

    /// Measures with the headers of a job instead of a built-in block's.
    #[must_use]
    pub fn of_job(device: Box<dyn Device>, batch_time: Duration, job: Job) -> Self {
        let (driver, job) = (Driver::new(device, batch_time), Arc::new(job));
        Self { driver, job, filter: Filter::WORD, time: Time::Host, rest: Vec::new(), fresh: 0 }
    }

    /// Looks for an easier target than difficulty 1, which gives more hits to judge the device by.
    #[must_use]
    pub fn looking_for(self, filter: Filter) -> Self {
        Self { filter, ..self }
    }

    /// Measures by the time that scans say they took: for simulated devices.
    #[must_use]
    pub fn by_scans(self) -> Self {
        Self { time: Time::Scans, ..self }
    }

    /// What the device is.
    #[must_use]
    pub fn info(&self) -> &DeviceInfo {
        self.driver.info()
    }

    /// What of the job was not tested yet.
    #[must_use]
    pub fn untested(&self) -> Untested {
        Untested { rest: self.rest.clone(), fresh: self.fresh }
    }

    /// Goes on where another meter of the same job ended, so that no hash is tested twice.
    #[must_use]
    pub fn going_on(self, Untested { rest, fresh }: Untested) -> Self {
        Self { rest, fresh, ..self }
    }

    /// Keeps the device busy for `time`, then waits until it is idle.
    ///
    /// Every batch begins and ends within the sample. So it does not matter that batches in flight often
    /// end in pairs, one after twice its time and one after none.
    ///
    /// # Errors
    ///
    /// What broke; [`DeviceError::Hung`] also when the driver hung or panicked in a call that has no limit.
    pub fn sample(self, time: Duration) -> Result<(Sample, Self), DeviceError> {
        let limit = time + SELFTEST_DEADLINE;
        within(limit, move || self.run(time)).unwrap_or(Err(DeviceError::Hung(limit)))
    }

    /// Scans a region of a job, whole, and returns its hits in ascending order, all verified. `limit` is
    /// how long it may take.
    ///
    /// # Errors
    ///
    /// As [`Meter::sample`]; also when the device cannot vouch for a part of it.
    pub fn scan(
        self,
        job: Arc<Job>,
        region: Region,
        filter: Filter,
        limit: Duration,
    ) -> Result<(Sample, Vec<Hit>, Self), DeviceError> {
        let limit = limit + SELFTEST_DEADLINE;
        within(limit, move || self.run_region(&job, region, filter))
            .unwrap_or(Err(DeviceError::Hung(limit)))
    }

    /// The device, idle.
    #[must_use]
    pub fn into_device(self) -> Box<dyn Device> {
        self.driver.into_device()
    }

    fn run(mut self, time: Duration) -> Result<(Sample, Self), DeviceError> {
        let mut count = Count::new(self.time);
        loop {
            if count.elapsed() >= time {
                self.rest.extend(self.driver.abandon(self.job.id));
            } else if self.driver.is_idle() {
                let region = self.rest.pop().unwrap_or_else(|| self.fresh());
                self.driver.accept(assignment(&self.job, region, self.filter));
            }
            match self.driver.step()? {
                Some((batch, scan)) => drop(count.add(&batch, &scan)),
                None => return Ok((count.sample(), self)),
            }
        }
    }

    /// All nonces of as many headers as the device takes at once.
    fn fresh(&mut self) -> Region {
        let per_roll = u64::from(self.job.rolls.per_roll());
        let most = u64::from(self.driver.info().width.with(self.filter).most).min(per_roll);
        if self.fresh % per_roll + most > per_roll {
            self.fresh = self.fresh.next_multiple_of(per_roll);
        }
        // After years of a fast GPU it begins again.
        let all = self.job.rolls.all();
        let first = if self.fresh + most > all.end() { 0 } else { self.fresh };
        self.fresh = first + most;
        let headers = all.split_at(first).1.split_at(most).0;
        Region { headers, nonces: self.job.nonces }
    }

    fn run_region(
        mut self,
        job: &Arc<Job>,
        region: Region,
        filter: Filter,
    ) -> Result<(Sample, Vec<Hit>, Self), DeviceError> {
        let (mut count, mut hits) = (Count::new(self.time), Vec::new());
        // A roll at a time: devices take no more at once.
        let per_roll = u64::from(job.rolls.per_roll());
        let mut headers = region.headers;
        while !headers.is_empty() {
            let (roll, others) = headers.split_at(per_roll - headers.start() % per_roll);
            self.driver.accept(assignment(job, Region { headers: roll, ..region }, filter));
            headers = others;
        }
        while let Some((batch, scan)) = self.driver.step()? {
            let found = count.add(&batch, &scan);
            match &scan.coverage {
                Coverage::Full => hits.extend(found),
                Coverage::Overflow { .. } if batch.region.len() > 1 => {
                    let half = assignment(job, batch.region, filter);
                    let batch_cap = batch.region.len() / 2;
                    self.driver.accept(Assignment { batch_cap, ..half });
                }
                Coverage::Overflow { .. } => {
                    return Err(DeviceError::Driver("it counts many hits in one hash".to_owned()));
                }
                Coverage::Partial { why } => {
                    let why = format!("it cannot vouch for {}: {why}", batch.region);
                    return Err(DeviceError::Driver(why));
                }
            }
        }
        hits.sort_unstable();
        Ok((count.sample(), hits, self))
    }
}

fn assignment(job: &Arc<Job>, region: Region, filter: Filter) -> Assignment {
    Assignment { job: Arc::clone(job), region, filter, batch_cap: filter.batch_cap() }
}

/// A sample under way.
struct Count {
    time: Time,
    begun: Instant,
    sample: Sample,
    /// The sum of what scans say, and of what the device's clock says.
    scans: Duration,
    busy: Option<Duration>,
    /// When the device's last batch ended, by its clock.
    busy_until: Duration,
}

impl Count {
    fn new(time: Time) -> Self {
        let (scans, busy_until) = (Duration::ZERO, Duration::ZERO);
        let sample = Sample::default();
        Self { time, begun: Instant::now(), sample, scans, busy: Some(scans), busy_until }
    }

    fn elapsed(&self) -> Duration {
        match self.time {
            Time::Host => self.begun.elapsed(),
            Time::Scans => self.scans,
        }
    }

    /// Adds a scan and returns its right hits.
    fn add(&mut self, batch: &Batch, scan: &Scan) -> HashSet<Hit> {
        let hashes = batch.region.len();
        self.sample.batches += 1;
        self.scans += scan.elapsed;
        self.busy = self.busy.zip(scan.on_device).map(|(busy, span)| busy + self.new_in(span));
        let right: HashSet<Hit> =
            scan.hits.iter().copied().filter(|&hit| verify(batch, hit).is_ok()).collect();
        self.sample.wrong += (scan.hits.len() - right.len()) as u64;
        if scan.coverage == Coverage::Full {
            self.sample.hashes += hashes;
            self.sample.found += right.len() as u64;
        } else {
            self.sample.unproven += hashes;
        }
        right
    }

    /// What of a span was not counted yet: dispatches overlap where the GPU has room for two.
    fn new_in(&mut self, DeviceSpan { begun, ended }: DeviceSpan) -> Duration {
        let new = ended.saturating_sub(begun.max(self.busy_until));
        self.busy_until = self.busy_until.max(ended);
        new
    }

    fn sample(self) -> Sample {
        let on_device = self.busy.filter(|busy| !busy.is_zero());
        Sample { elapsed: self.elapsed(), on_device, ..self.sample }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use super::*;
    use crate::device::sim::{Fault, Script, Sim};
    use crate::work::Headers;

    const TIME: Duration = Duration::from_millis(20);
    const BATCH: Duration = Duration::from_millis(2);

    fn sim(script: Script) -> Box<dyn Device> {
        Box::new(Sim::planted(vec![]).rate(NonZeroU64::new(1 << 24).unwrap()).script(script))
    }

    #[test]
    fn a_sample_leaves_the_device_idle_and_counts_what_was_proven() {
        let meter = Meter::new(sim(Script::new()), BATCH).unwrap();
        let (first, meter) = meter.sample(TIME).unwrap();
        let (second, meter) = meter.sample(TIME).unwrap();
        assert!(first.hashes > 0 && second.hashes > 0 && second.elapsed >= TIME);
        assert!(second.batches > 0 && second.on_device.is_none());
        assert_eq!(meter.into_device().finish(TIME), Err(DeviceError::Idle));

        let unproven = sim(Script::new().since(0, Fault::Partial));
        let (sample, _) = Meter::new(unproven, BATCH).unwrap().sample(TIME).unwrap();
        assert_eq!((sample.hashes, sample.rate()), (0, None));
        assert!(sample.unproven > 0);
    }

    #[test]
    fn the_time_of_a_simulated_device_is_its_own() {
        let meter = Meter::new(sim(Script::new()), BATCH).unwrap().by_scans();
        let (_, meter) = meter.sample(Duration::from_secs(1)).unwrap();
        let (sample, _) = meter.sample(Duration::from_secs(1)).unwrap();
        let rate = sample.rate().unwrap();
        assert!((rate / f64::from(1 << 24) - 1.0).abs() < 1e-6, "{rate}");
    }

    #[test]
    fn a_device_that_breaks_or_panics_is_an_error() {
        let lost = measure(sim(Script::new().on(7, Fault::Lost)), TIME, BATCH);
        assert!(matches!(lost.err(), Some(DeviceError::Lost(_))));
        let panicked = measure(sim(Script::new().on(7, Fault::Panic)), TIME, BATCH);
        assert!(matches!(panicked.err(), Some(DeviceError::Hung(_))));
    }

    #[test]
    fn a_meter_never_tests_a_hash_twice_nor_across_rolls() {
        // A width that does not divide a roll.
        let width = crate::work::Width {
            least: 3,
            most: 24_000,
            filter: Filter::WORD,
            nonces: Nonces::ALL.end(),
        };
        let sim = Sim::planted(vec![]).wide(width);
        let mut meter = Meter::new(Box::new(sim), BATCH).unwrap();
        let regions: Vec<Region> = (0..5).map(|_| meter.fresh()).collect();
        let ends = regions.iter().map(|region| [region.headers.start(), region.headers.end()]);
        let rolls = [[0, 24_000], [24_000, 48_000], [65_536, 89_536], [89_536, 113_536]];
        assert_eq!(ends.take(4).collect::<Vec<_>>(), rolls);
    }

    #[test]
    fn overlapping_work_counts_once() {
        let micros = Duration::from_micros;
        let mut count = Count::new(Time::Host);
        let spans = [(10, 20), (15, 30), (40, 50), (41, 45)];
        let new = spans.map(|(begun, ended)| {
            count.new_in(DeviceSpan { begun: micros(begun), ended: micros(ended) }).as_micros()
        });
        assert_eq!(new, [10, 10, 10, 0]);
    }

    #[test]
    fn a_region_is_scanned_whole_and_wrong_hits_are_counted() {
        let header = KNOWN_BLOCKS[5].header().unwrap();
        let rolls = Rolls::new(header, 3, 2, None).unwrap();
        let job = Job { id: JobId::only(1), rolls, target: header.target(), nonces: Nonces::ALL };
        let (job, filter) = (Arc::new(job), Filter::new(6));
        let region =
            Region { headers: Headers::new(1, 7).unwrap(), nonces: Nonces::new(9, 2009).unwrap() };
        let batch = Batch { job: Arc::clone(&job), region, filter };
        let mut expected: Vec<Hit> =
            region.iter().filter(|hit| verify(&batch, *hit).is_ok()).collect();
        expected.sort_unstable();
        let scan = |script| {
            let meter = Meter::new(Box::new(Sim::new().script(script)), BATCH).unwrap();
            let scanned = meter.scan(Arc::clone(&job), region, filter, TIME);
            scanned.map(|(sample, hits, _)| (sample, hits))
        };
        let (sample, hits) = scan(Script::new()).unwrap();
        assert_eq!((sample.hashes, hits), (region.len(), expected.clone()));
        let (sample, hits) = scan(Script::new().on(0, Fault::RepeatHits)).unwrap();
        assert!(hits == expected && sample.wrong > 0, "{sample:?}");
        let (sample, hits) = scan(Script::new().on(1, Fault::Overflow)).unwrap();
        assert!(hits == expected && sample.unproven > 0, "{sample:?}");
        assert!(scan(Script::new().on(1, Fault::Partial)).is_err());
    }
}
