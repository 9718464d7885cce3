//! How fast a device is, measured for a moment.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::driver::Driver;
use super::{Device, DeviceError, within};
use crate::chain::{self, KNOWN_BLOCKS};
use crate::limits::SELFTEST_DEADLINE;
use crate::work::{Assignment, Filter, Headers, Job, JobId, Nonces, Region, Rolls, rate};

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
    let limit = time + SELFTEST_DEADLINE;
    within(limit, move || run(device, time, batch_time)).unwrap_or(Err(DeviceError::Hung(limit)))
}

fn run(
    device: Box<dyn Device>,
    time: Duration,
    batch_time: Duration,
) -> Result<(f64, Box<dyn Device>), DeviceError> {
    let mut driver = Driver::new(device, batch_time);
    let job = Arc::new(job(driver.info().width.most)?);
    let most = Headers::ALL.split_at(driver.info().width.most.into()).0;
    let region = Region { headers: most, nonces: Nonces::ALL };
    let begun = Instant::now();
    let (mut warm, mut hashes) = (None, 0_u64);
    let speed = loop {
        if driver.is_idle() {
            driver.accept(Assignment {
                job: Arc::clone(&job),
                region,
                filter: Filter::WORD,
                batch_cap: u64::MAX,
            });
        }
        let Some((batch, _)) = driver.step()? else { continue };
        let now = Instant::now();
        match warm {
            None if now - begun >= time / 2 => warm = Some(now),
            None => {}
            Some(warm) => {
                hashes += batch.region.len();
                if let Some(rate) = rate(hashes, now - warm).filter(|_| now - begun >= time) {
                    break rate;
                }
            }
        }
    };
    driver.abandon(JobId(0));
    while driver.step()?.is_some() {}
    Ok((speed, driver.into_device()))
}

/// Work for a device that takes `headers` headers at once.
fn job(headers: u32) -> Result<Job, DeviceError> {
    let driver_error = |error: &dyn std::fmt::Display| DeviceError::Driver(error.to_string());
    let header = KNOWN_BLOCKS[0].header().map_err(|error| driver_error(&error))?;
    let mask = chain::version_rolling_bits(headers.next_power_of_two().ilog2());
    let rolls = Rolls::new(header, mask, 1, None).map_err(|error| driver_error(&error))?;
    Ok(Job { id: JobId(0), rolls, target: header.target(), nonces: Nonces::ALL })
}
