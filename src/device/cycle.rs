//! How long a device rests between its batches, so that it works a given part of the time.

use std::time::Duration;

use crate::limits::LONGEST_REST;
use crate::work::Duty;

/// A rest that lasted longer than it should shortens later ones by so much at most: a device that had nothing
/// to do for an hour shall not work an hour without a rest.
const CREDIT: f64 = 0.1;

/// Work and rest of a device, kept in proportion.
#[derive(Debug, Clone)]
pub(super) struct Cycle {
    duty: Duty,
    /// Seconds of rest that are still due; below zero it rested too long.
    owed: f64,
}

impl Cycle {
    pub(super) const fn new(duty: Duty) -> Self {
        Self { duty, owed: 0.0 }
    }

    pub(super) fn set(&mut self, duty: Duty) {
        if self.duty != duty {
            *self = Self::new(duty);
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.duty.is_full()
    }

    /// It worked for this long.
    pub(super) fn worked(&mut self, time: Duration) {
        let part = self.duty.part();
        let rest = time.as_secs_f64() * (1.0 - part) / part;
        self.owed = (self.owed + rest).min(LONGEST_REST.as_secs_f64());
    }

    /// It did nothing for this long.
    pub(super) fn rested(&mut self, time: Duration) {
        self.owed = (self.owed - time.as_secs_f64()).max(-CREDIT);
    }

    /// The rest that is due now.
    pub(super) fn due(&self) -> Duration {
        if self.is_full() { Duration::ZERO } else { Duration::from_secs_f64(self.owed.max(0.0)) }
    }
}
