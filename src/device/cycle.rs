//! When a device works and when it rests, so that it works a given part of the time.
//!
//! It works in bursts of several batches: a GPU lowers its clock while it rests, and what it does first after
//! a rest is slow. Between two batches of a burst others get the GPU as they do without rests.

use std::time::Duration;

use crate::limits::LONGEST_REST;
use crate::work::Duty;

/// How long a burst lasts, in seconds, where the rest after it is not too long.
const BURST: f64 = 0.25;

/// A rest that lasted longer than it should shortens later ones by so much at most: a device that had nothing
/// to do for an hour shall not work an hour without a rest.
const CREDIT: f64 = 0.1;

/// Work and rest of a device, kept in proportion.
#[derive(Debug, Clone)]
pub(super) struct Cycle {
    duty: Duty,
    /// Seconds of rest that are still due; below zero it rested too long.
    owed: f64,
    is_resting: bool,
}

impl Cycle {
    pub(super) const fn new(duty: Duty) -> Self {
        Self { duty, owed: 0.0, is_resting: false }
    }

    pub(super) fn set(&mut self, duty: Duty) {
        if self.duty != duty {
            *self = Self::new(duty);
        }
    }

    /// How many batches of this length may begin before the next rest.
    pub(super) fn room(&self, batch: Duration) -> usize {
        if self.duty.is_full() {
            return usize::MAX;
        }
        if self.is_resting {
            return 0;
        }
        let work = (self.rest_of_a_burst() - self.owed) / self.rest_per_work();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a small number; the cast saturates"
        )]
        let batches = (work / batch.as_secs_f64()).round() as usize;
        batches.max(1)
    }

    /// It worked for this long.
    pub(super) fn worked(&mut self, time: Duration) {
        let longest = LONGEST_REST.as_secs_f64();
        self.owed = (self.owed + time.as_secs_f64() * self.rest_per_work()).min(longest);
        self.is_resting |= self.owed >= self.rest_of_a_burst();
    }

    /// It did nothing for this long.
    pub(super) fn rested(&mut self, time: Duration) {
        self.owed = (self.owed - time.as_secs_f64()).max(-CREDIT);
        self.is_resting &= self.owed >= 1e-9; // what `Duration` can tell
    }

    /// The rest that is due now.
    pub(super) fn due(&self) -> Duration {
        let is_due = self.is_resting && !self.duty.is_full();
        if is_due { Duration::from_secs_f64(self.owed.max(0.0)) } else { Duration::ZERO }
    }

    fn rest_per_work(&self) -> f64 {
        (1.0 - self.duty.part()) / self.duty.part()
    }

    /// Half of the longest is left for a last batch that takes longer than it should.
    fn rest_of_a_burst(&self) -> f64 {
        (BURST * self.rest_per_work()).min(LONGEST_REST.as_secs_f64() / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BATCH: Duration = Duration::from_millis(50);

    #[test]
    fn a_quarter_of_the_time_is_a_burst_and_a_rest_three_times_as_long() {
        let mut cycle = Cycle::new(Duty::of(0.25));
        for left in (1..=5).rev() {
            assert_eq!((cycle.room(BATCH), cycle.due()), (left, Duration::ZERO));
            cycle.worked(BATCH);
        }
        assert_eq!(cycle.room(BATCH), 0);
        let near = |due: Duration, ms: f64| (due.as_secs_f64() * 1e3 - ms).abs() < 1e-6;
        assert!(near(cycle.due(), 750.0));
        // A rest that is cut short goes on, and one that lasts too long makes the next shorter.
        cycle.rested(Duration::from_millis(700));
        assert!(cycle.room(BATCH) == 0 && near(cycle.due(), 50.0));
        cycle.rested(Duration::from_millis(110));
        assert_eq!((cycle.room(BATCH), cycle.due()), (5, Duration::ZERO));
        (0..6).for_each(|_| cycle.worked(BATCH));
        assert!(near(cycle.due(), 840.0));
    }

    #[test]
    fn a_small_part_has_one_batch_and_no_rest_beyond_the_longest() {
        let mut cycle = Cycle::new(Duty::LEAST);
        assert_eq!(cycle.room(BATCH), 1);
        cycle.worked(BATCH * 3);
        assert_eq!(cycle.due(), LONGEST_REST);
    }

    #[test]
    fn all_the_time_knows_no_rest() {
        let mut cycle = Cycle::new(Duty::FULL);
        cycle.worked(Duration::from_secs(60));
        assert_eq!((cycle.room(BATCH), cycle.due()), (usize::MAX, Duration::ZERO));
    }
}
