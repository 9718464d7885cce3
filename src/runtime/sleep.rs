//! Notices that the machine slept.
//!
//! A run looks around many times a second. When much time passed between two looks, by either clock, it was not there:
//! some systems stop the one clock while they sleep, others none. Whoever sets the clock forward, or stops the process
//! for a while, looks the same; what follows from it does no harm then.

use std::time::Duration;

use super::snapshot::Moment;

/// No run is as slow as that between two looks.
const LEAST: Duration = Duration::from_secs(10);

/// When it was looked last.
#[derive(Debug)]
pub(super) struct Watch(Moment);

impl Watch {
    pub(super) const fn new(now: Moment) -> Self {
        Self(now)
    }

    /// How long nobody was there since the last look, if that is long.
    pub(super) fn look(&mut self, now: Moment) -> Option<Duration> {
        let before = std::mem::replace(&mut self.0, now);
        let by_one = now.at.saturating_duration_since(before.at);
        // A clock that was set back tells nothing.
        let seconds = (now.unix_seconds - before.unix_seconds).max(0.0);
        let by_other = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
        Some(by_one.max(by_other)).filter(|gone| *gone >= LEAST)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn either_clock_tells_and_one_set_back_does_not() {
        let start = Moment { at: Instant::now(), unix_seconds: 1e9 };
        let mut watch = Watch::new(start);
        let mut now = start;
        let mut pass = |monotonic: u64, wall: f64| {
            now.at += Duration::from_secs(monotonic);
            now.unix_seconds += wall;
            watch.look(now).map(|gone| gone.as_secs())
        };
        assert_eq!(pass(1, 1.0), None);
        assert_eq!(pass(9, 9.0), None);
        assert_eq!(pass(0, 28_800.0), Some(28_800));
        assert_eq!(pass(28_800, 28_800.0), Some(28_800));
        assert_eq!(pass(1, -3600.0), None);
        assert_eq!(pass(1, f64::NAN), None);
    }
}
