//! How long to wait before a source is tried again.

use std::time::Duration;

use fastrand::Rng;

use crate::limits::{RECONNECT, STABLE_CONNECTION};

/// Waits that double, each shortened at random: miners whose pool restarts must not all come back at once.
#[derive(Debug)]
pub struct Backoff {
    random: Rng,
    next: Duration,
}

impl Backoff {
    /// The first wait is the shortest.
    #[must_use]
    pub const fn new(random: Rng) -> Self {
        Self { random, next: RECONNECT[0] }
    }

    /// A connection ended after so long. Only one that lasted makes the next wait the first again: who is
    /// welcomed and thrown out at once must not come back every second.
    pub fn lived(&mut self, time: Duration) {
        if time >= STABLE_CONNECTION {
            self.next = RECONNECT[0];
        }
    }

    /// How long to wait now: between half and all of the time that is due.
    pub fn wait(&mut self) -> Duration {
        let due = self.next;
        self.next = (due * 2).min(RECONNECT[1]);
        due.mul_f64(0.5 + self.random.f64() / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_to_a_minute_and_start_again_after_a_good_connection() {
        let mut backoff = Backoff::new(Rng::with_seed(1));
        for due in [1, 2, 4, 8, 16, 32, 60, 60, 60] {
            let wait = backoff.wait();
            let due = Duration::from_secs(due);
            assert!(wait >= due / 2 && wait <= due, "{wait:?} of {due:?}");
            backoff.lived(STABLE_CONNECTION.mul_f64(0.99));
        }
        backoff.lived(STABLE_CONNECTION);
        assert!(backoff.wait() <= RECONNECT[0]);
    }

    #[test]
    fn a_source_that_throws_us_out_at_once_is_asked_once_a_minute_for_ever() {
        let mut backoff = Backoff::new(Rng::with_seed(2));
        let mut elapsed = Duration::ZERO;
        for _ in 0..100_000 {
            backoff.lived(Duration::from_millis(200));
            elapsed += backoff.wait();
        }
        let mean = elapsed / 100_000;
        assert!(mean > Duration::from_secs(40) && mean < Duration::from_secs(50), "{mean:?}");
    }

    #[test]
    fn miners_do_not_come_back_together() {
        let wait = |seed| {
            let mut backoff = Backoff::new(Rng::with_seed(seed));
            (0..7).map(|_| backoff.wait()).last().unwrap()
        };
        let mut waits: Vec<Duration> = (0..100).map(wait).collect();
        waits.sort_unstable();
        assert!(waits[99] > waits[0] + Duration::from_secs(25), "{waits:?}");
    }
}
