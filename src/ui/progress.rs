//! A progress bar on a terminal; nothing elsewhere.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::text;
use crate::engine::Tally;
use crate::work::rate;

/// The bar of one job. It draws on standard error, and only if that is a terminal.
pub struct Progress {
    bar: ProgressBar,
    begun: Instant,
}

impl Progress {
    /// A bar for `nonces` nonces; hidden when `quiet` or when nobody would see it.
    #[must_use]
    pub fn new(nonces: u64, title: &str, quiet: bool) -> Self {
        let bar = if quiet || !std::io::stderr().is_terminal() {
            ProgressBar::hidden()
        } else {
            ProgressBar::new(nonces)
        };
        // The template is constant; if it were wrong the default style would do.
        if let Ok(style) = ProgressStyle::with_template("{prefix} [{bar:30}] {percent:>3} %  {msg}")
        {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_prefix(title.to_owned());
        Self { bar, begun: Instant::now() }
    }

    /// Moves the bar to what was scanned so far.
    pub fn update(&self, tally: &Tally) {
        if self.bar.is_hidden() {
            return;
        }
        let elapsed = self.begun.elapsed();
        self.bar.set_position(tally.scanned);
        let left = self.bar.length().unwrap_or_default().saturating_sub(tally.scanned);
        let speed = rate(tally.scanned, elapsed);
        let left = speed.filter(|speed| *speed > 0.0).and_then(|speed| {
            #[expect(clippy::cast_precision_loss, reason = "an estimate")]
            Duration::try_from_secs_f64(left as f64 / speed).ok()
        });
        let left = left.map_or_else(|| "unknown".to_owned(), text::time);
        self.bar.set_message(format!("{}  {left} left at most", text::rate(speed)));
    }

    /// Runs `print` with the bar out of the way.
    pub fn suspend(&self, print: impl FnOnce()) {
        self.bar.suspend(print);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
