//! What the service manager of Linux is told: that mining began, goes on, or ends.
//!
//! Its watchdog is to end a run that hangs. So a run says that it lives only while hashes are tested, or while there
//! is nothing to test.

use std::time::{Duration, Instant};

/// What the service manager hears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// The devices are open, and work is asked for.
    Ready,
    /// Settings are read again; [`State::Ready`] follows.
    Reloading,
    /// The run goes on.
    Alive,
    /// The run ends.
    Stopping,
}

/// Tells the service manager, where there is one. Nothing else depends on whether it hears.
pub fn tell(state: State) {
    #[cfg(target_os = "linux")]
    {
        use sd_notify::NotifyState;
        let states = match state {
            State::Ready => vec![NotifyState::Ready],
            // The time tells the manager which of several reloads this is.
            State::Reloading => std::iter::once(NotifyState::Reloading)
                .chain(NotifyState::monotonic_usec_now().ok())
                .collect(),
            State::Alive => vec![NotifyState::Watchdog],
            State::Stopping => vec![NotifyState::Stopping],
        };
        if let Err(error) = sd_notify::notify(&states) {
            tracing::debug!("the service manager does not hear: {error}");
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = state;
}

/// How long the service manager waits for a sign of life, if it does.
#[must_use]
pub fn patience() -> Option<Duration> {
    #[cfg(target_os = "linux")]
    return sd_notify::watchdog_enabled();
    #[cfg(not(target_os = "linux"))]
    None
}

/// Decides when to give a sign of life.
#[derive(Debug)]
pub struct Pulse {
    every: Duration,
    next: Instant,
}

impl Pulse {
    /// Two signs at least within what the manager waits.
    #[must_use]
    pub fn new(patience: Duration, now: Instant) -> Self {
        Self { every: patience / 3, next: now }
    }

    /// Whether a sign is due. `hashes_per_second` is none while nothing was measured yet; `is_idle` says that there
    /// is nothing to test.
    pub fn is_due(&mut self, hashes_per_second: Option<f64>, is_idle: bool, now: Instant) -> bool {
        let goes_on = is_idle || hashes_per_second.is_none_or(|rate| rate > 0.0);
        let is_due = goes_on && now >= self.next;
        if is_due {
            self.next = now + self.every;
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_come_in_time_while_hashes_are_tested_and_end_with_them() {
        let begun = Instant::now();
        let patience = Duration::from_secs(60);
        let mut pulse = Pulse::new(patience, begun);
        let mut last = begun;
        for tick in 0..6000 {
            let now = begun + Duration::from_millis(100) * tick;
            // Nothing is known for ten seconds; the devices hang after five minutes.
            let rate = match tick {
                ..100 => None,
                100..3000 => Some(1e6),
                _ => Some(0.0),
            };
            if pulse.is_due(rate, false, now) {
                last = now;
            }
            if tick < 3000 {
                assert!(now - last < patience / 2);
            }
        }
        assert!(last < begun + Duration::from_secs(300));
        let now = begun + Duration::from_secs(600);
        assert!(pulse.is_due(Some(0.0), true, now), "who waits for work is alive");
        assert!(!pulse.is_due(Some(0.0), true, now + patience / 4));
    }
}
