//! How fast a device is, measured for a moment.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::driver::Driver;
use super::{Device, DeviceError, within};
use crate::chain::{KNOWN_BLOCKS, with_nonce};
use crate::limits::SELFTEST_DEADLINE;
use crate::work::{Assignment, Filter, Job, JobId, Nonces, rate};

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
    let header =
        KNOWN_BLOCKS[0].header().map_err(|error| DeviceError::Driver(error.to_string()))?;
    let job = Job {
        id: JobId(0),
        header: with_nonce(&header, 0),
        target: header.target(),
        nonces: Nonces::ALL,
    };
    let job = Arc::new(job);
    let begun = Instant::now();
    let (mut warm, mut hashes) = (None, 0_u64);
    let speed = loop {
        if driver.is_idle() {
            driver.accept(Assignment {
                job: Arc::clone(&job),
                nonces: Nonces::ALL,
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
                hashes += batch.nonces.len();
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
