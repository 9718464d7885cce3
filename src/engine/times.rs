//! How long the last batches of a device took.

use std::collections::VecDeque;
use std::time::Duration;

use crate::limits::BATCHES_TIMED;

#[derive(Debug, Default)]
pub(super) struct BatchTimes(VecDeque<Duration>);

/// Of the last batches: half took no longer than `median`, 99 of a hundred no longer than `p99`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quantiles {
    /// The median.
    pub median: Duration,
    /// The 99th percentile.
    pub p99: Duration,
}

impl BatchTimes {
    pub(super) fn note(&mut self, time: Duration) {
        if self.0.len() == BATCHES_TIMED {
            self.0.pop_front();
        }
        self.0.push_back(time);
    }

    /// `None` before the first batch.
    pub(super) fn quantiles(&self) -> Option<Quantiles> {
        let mut sorted: Vec<Duration> = self.0.iter().copied().collect();
        sorted.sort_unstable();
        // The nearest rank: a time that was measured.
        let of = |percent: usize| {
            let rank = (sorted.len() * percent).div_ceil(100);
            sorted.get(rank.checked_sub(1)?).copied()
        };
        Some(Quantiles { median: of(50)?, p99: of(99)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_times_that_were_measured() {
        let mut times = BatchTimes::default();
        assert_eq!(times.quantiles(), None);
        let ms = Duration::from_millis;
        times.note(ms(7));
        assert_eq!(times.quantiles(), Some(Quantiles { median: ms(7), p99: ms(7) }));
        let mut times = BatchTimes::default();
        (1..=200).rev().for_each(|time| times.note(ms(time)));
        assert_eq!(times.quantiles(), Some(Quantiles { median: ms(100), p99: ms(198) }));
    }

    #[test]
    fn old_times_are_forgotten() {
        let mut times = BatchTimes::default();
        times.note(Duration::from_secs(9));
        (0..BATCHES_TIMED).for_each(|_| times.note(Duration::from_millis(2)));
        let expected = Duration::from_millis(2);
        assert_eq!(times.quantiles(), Some(Quantiles { median: expected, p99: expected }));
    }
}
