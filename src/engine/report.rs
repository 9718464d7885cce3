//! What a job came to.

use std::time::Duration;

use super::times::Quantiles;
use super::{DeviceId, Tally};
use crate::work::{JobId, Region, rate};

/// Hits counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Hits whose hash passes the filter; each counts once.
    pub candidates: u64,
    /// Hits that are none: the device was wrong.
    pub wrong: u64,
    /// Candidates that meet the target.
    pub shares: u64,
}

/// What one device did in a run, for all jobs.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct DeviceAccount {
    /// Hashes tested and believed.
    pub scanned: u64,
    /// Hits whose hash passes the filter; each counts once.
    pub candidates: u64,
    /// How many of them that many hashes have on average: devices that find fewer do not test what they say.
    pub expected_candidates: f64,
    /// Hits that are none.
    pub wrong: u64,
    /// Mistakes of all kinds.
    pub faults: u32,
    /// The time that its batches took, one after the other.
    pub busy: Duration,
    /// How long the last of them took; `None` before the first.
    pub batch_times: Option<Quantiles>,
}

/// The account of several jobs: sums of theirs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Account {
    /// Where the hashes are.
    pub tally: Tally,
    /// What was found.
    pub counters: Counters,
}

impl Account {
    /// Adds a job.
    pub fn add(&mut self, tally: &Tally, counters: &Counters) {
        self.tally.assigned += tally.assigned;
        self.tally.scanned += tally.scanned;
        self.tally.held += tally.held;
        for (reason, hashes) in &tally.given_back {
            *self.tally.given_back.entry(*reason).or_default() += hashes;
        }
        self.counters.candidates += counters.candidates;
        self.counters.wrong += counters.wrong;
        self.counters.shares += counters.shares;
    }
}

/// The account of one job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobReport {
    /// Which job.
    pub job: JobId,
    /// The hashes it had.
    pub space: Region,
    /// Whether every one of them was scanned.
    pub complete: bool,
    /// Where they are.
    pub tally: Tally,
    /// What was found.
    pub counters: Counters,
    /// From the first assignment to the last report.
    pub elapsed: Duration,
    /// What each device did for it.
    pub devices: Vec<DeviceReport>,
}

/// What one device did for a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceReport {
    /// Which device.
    pub device: DeviceId,
    /// Hashes in the batches that it finished, believed or not.
    pub tested: u64,
    /// Mistakes since the run began.
    pub faults: u32,
}

impl JobReport {
    /// Hashes tested per second; `None` when no time passed.
    #[must_use]
    pub fn hashes_per_second(&self) -> Option<f64> {
        rate(self.tally.scanned, self.elapsed)
    }

    /// Hashes that were tested again because a report overflowed.
    #[must_use]
    pub fn rescanned(&self) -> u64 {
        self.tally.given_back.get(&super::Reason::Overflow).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Reason;

    #[test]
    fn accounts_are_sums() {
        let tally = |n: u64| Tally {
            assigned: 10 * n,
            scanned: 4 * n,
            held: 3 * n,
            given_back: [(Reason::Ended, 2 * n), (Reason::Lost, n)].into(),
        };
        let counters = |n: u64| Counters { candidates: 7 * n, wrong: 8 * n, shares: 9 * n };
        let mut sum = Account::default();
        for n in [1, 20] {
            sum.add(&tally(n), &counters(n));
        }
        assert_eq!(sum, Account { tally: tally(21), counters: counters(21) });
    }
}
