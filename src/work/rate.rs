//! Hash rates.

use std::time::Duration;

/// Hashes per second; `None` when no time passed.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "a rate is shown with a few digits")]
pub fn rate(hashes: u64, elapsed: Duration) -> Option<f64> {
    let seconds = elapsed.as_secs_f64();
    (seconds > 0.0).then(|| hashes as f64 / seconds)
}

/// How fast a device was over its last batches.
///
/// Hashes and times are averaged apart. Batches in flight often end in pairs, one after twice its time
/// and one after none, and the average of such rates would be far too high.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Speed {
    hashes: f64,
    seconds: f64,
}

impl Speed {
    /// The weight that a batch keeps when the next one comes: the last four count for two thirds.
    const KEPT: f64 = 0.75;

    /// Adds a batch.
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    pub fn observe(&mut self, hashes: u64, elapsed: Duration) {
        self.hashes = self.hashes * Self::KEPT + hashes as f64;
        self.seconds = self.seconds * Self::KEPT + elapsed.as_secs_f64();
    }

    /// Hashes per second; unknown before a batch took time.
    #[must_use]
    pub fn per_second(&self) -> Option<f64> {
        (self.seconds > 0.0).then(|| self.hashes / self.seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_of_batches_do_not_inflate_the_speed() {
        let mut speed = Speed::default();
        assert_eq!(speed.per_second(), None);
        speed.observe(1000, Duration::ZERO);
        assert_eq!(speed.per_second(), None, "unknown, not infinite");
        for _ in 0..20 {
            speed.observe(1000, Duration::from_secs(2));
            speed.observe(1000, Duration::ZERO);
        }
        let speed = speed.per_second().unwrap();
        assert!((700.0..1500.0).contains(&speed), "{speed}");
    }

    #[test]
    fn a_rate_needs_time() {
        assert_eq!(rate(1000, Duration::from_secs(2)), Some(500.0));
        assert_eq!(rate(0, Duration::from_secs(2)), Some(0.0));
        assert_eq!(rate(1000, Duration::ZERO), None);
    }
}
