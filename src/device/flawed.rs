//! A device with a flaw that is put there on purpose, to prove that flaws are found.

use std::time::Duration;

use super::{Device, DeviceError, DeviceInfo};
use crate::work::{Batch, Scan};

/// What is wrong with a [`Flawed`] device.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Flaw {
    /// Each hit is left out with this probability.
    LosesHits(f64),
    /// One of so many hits is reported with a wrong nonce.
    WrongHit(u64),
    /// It is lost after so many batches.
    Lost(u64),
}

/// Another device, whose reports are tampered with.
pub struct Flawed {
    device: Box<dyn Device>,
    flaw: Flaw,
    random: fastrand::Rng,
    /// Hits so far.
    hits: u64,
    /// Batches so far.
    batches: u64,
}

impl Flawed {
    /// Gives a device a flaw. The seed decides which hits it loses.
    #[must_use]
    pub fn new(device: Box<dyn Device>, flaw: Flaw, seed: u64) -> Self {
        Self { device, flaw, random: fastrand::Rng::with_seed(seed), hits: 0, batches: 0 }
    }
}

impl Device for Flawed {
    fn info(&self) -> &DeviceInfo {
        self.device.info()
    }

    fn begin(&mut self, batch: Batch) -> Result<(), DeviceError> {
        self.device.begin(batch)
    }

    fn finish(&mut self, limit: Duration) -> Result<Scan, DeviceError> {
        let mut scan = self.device.finish(limit)?;
        self.batches += 1;
        match self.flaw {
            Flaw::LosesHits(share) => scan.hits.retain(|_| self.random.f64() >= share),
            Flaw::WrongHit(every) => {
                for hit in &mut scan.hits {
                    self.hits += 1;
                    if self.hits.is_multiple_of(every.max(1)) {
                        hit.nonce ^= 1;
                    }
                }
            }
            Flaw::Lost(after) if self.batches > after => {
                return Err(DeviceError::Lost("on purpose".to_owned()));
            }
            Flaw::Lost(_) => {}
        }
        Ok(scan)
    }
}
