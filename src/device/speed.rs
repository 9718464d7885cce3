//! How fast a device is, measured for a moment.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::driver::Driver;
use super::{Device, DeviceError, within};
use crate::chain::{self, KNOWN_BLOCKS};
use crate::limits::SELFTEST_DEADLINE;
use crate::work::{Assignment, Coverage, Filter, Headers, Job, JobId, Nonces, Region, Rolls, rate};

/// Hashes of some time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// Of all batches that began in it.
    pub hashes: u64,
    /// From the first begin to the last report.
    pub elapsed: Duration,
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

/// An idle device that is measured again and again. Its batches keep the size that they grew to.
pub struct Meter {
    driver: Driver,
    job: Arc<Job>,
}

impl Meter {
    /// Batches shall take `batch_time`. They grow to it in the first sample, which therefore says little.
    ///
    /// # Errors
    ///
    /// None with the blocks that are built in.
    pub fn new(device: Box<dyn Device>, batch_time: Duration) -> Result<Self, DeviceError> {
        let driver = Driver::new(device, batch_time);
        let job = Arc::new(job(driver.info().width.most)?);
        Ok(Self { driver, job })
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

    /// The device, idle.
    #[must_use]
    pub fn into_device(self) -> Box<dyn Device> {
        self.driver.into_device()
    }

    fn run(mut self, time: Duration) -> Result<(Sample, Self), DeviceError> {
        let (begun, mut hashes) = (Instant::now(), 0);
        loop {
            if begun.elapsed() >= time {
                self.driver.abandon(self.job.id);
            } else if self.driver.is_idle() {
                // All that it takes at once.
                let headers = Headers::ALL.split_at(self.driver.info().width.most.into()).0;
                self.driver.accept(Assignment {
                    job: Arc::clone(&self.job),
                    region: Region { headers, nonces: Nonces::ALL },
                    filter: Filter::WORD,
                    batch_cap: u64::MAX,
                });
            }
            match self.driver.step()? {
                Some((batch, scan)) if scan.coverage == Coverage::Full => {
                    hashes += batch.region.len();
                }
                Some(_) => {}
                None => return Ok((Sample { hashes, elapsed: begun.elapsed() }, self)),
            }
        }
    }
}

/// Work for a device that takes `headers` headers at once.
fn job(headers: u32) -> Result<Job, DeviceError> {
    let driver_error = |error: &dyn std::fmt::Display| DeviceError::Driver(error.to_string());
    let header = KNOWN_BLOCKS[0].header().map_err(|error| driver_error(&error))?;
    let mask = chain::version_rolling_bits(headers.next_power_of_two().ilog2());
    let rolls = Rolls::new(header, mask, 1, None).map_err(|error| driver_error(&error))?;
    Ok(Job { id: JobId::only(0), rolls, target: header.target(), nonces: Nonces::ALL })
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use super::*;
    use crate::device::sim::{Fault, Script, Sim};

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
        assert_eq!(meter.into_device().finish(TIME), Err(DeviceError::Idle));

        let unproven = sim(Script::new().since(0, Fault::Partial));
        let (sample, _) = Meter::new(unproven, BATCH).unwrap().sample(TIME).unwrap();
        assert_eq!((sample.hashes, sample.rate()), (0, None));
    }

    #[test]
    fn a_device_that_breaks_or_panics_is_an_error() {
        let lost = measure(sim(Script::new().on(7, Fault::Lost)), TIME, BATCH);
        assert!(matches!(lost.err(), Some(DeviceError::Lost(_))));
        let panicked = measure(sim(Script::new().on(7, Fault::Panic)), TIME, BATCH);
        assert!(matches!(panicked.err(), Some(DeviceError::Hung(_))));
    }
}
