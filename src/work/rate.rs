//! The one formula for a hash rate.

use std::time::Duration;

/// Hashes per second; `None` when no time passed.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "a rate is shown with a few digits")]
pub fn rate(hashes: u64, elapsed: Duration) -> Option<f64> {
    let seconds = elapsed.as_secs_f64();
    (seconds > 0.0).then(|| hashes as f64 / seconds)
}
