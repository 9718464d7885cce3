//! A progress bar on a terminal, a plain line now and then elsewhere.

use std::cell::Cell;
use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::text;
use crate::engine::Tally;
use crate::work::rate;

/// How often a log hears of a long job.
const PLAIN_LINE: Duration = Duration::from_secs(30);

/// The progress of one job, on standard error.
pub struct Progress {
    bar: ProgressBar,
    title: String,
    hashes: u64,
    begun: Instant,
    /// When the next plain line is due; never on a terminal or when quiet.
    plain: Option<Cell<Duration>>,
}

impl Progress {
    /// A bar for `hashes` hashes on a terminal, plain lines elsewhere, nothing when `quiet`.
    #[must_use]
    pub fn new(hashes: u64, title: &str, quiet: bool) -> Self {
        let on_terminal = std::io::stderr().is_terminal();
        let bar =
            if quiet || !on_terminal { ProgressBar::hidden() } else { ProgressBar::new(hashes) };
        // The template is constant; if it were wrong the default style would do.
        if let Ok(style) = ProgressStyle::with_template("{prefix} [{bar:30}] {percent:>3} %  {msg}")
        {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_prefix(title.to_owned());
        let plain = (!quiet && !on_terminal).then(|| Cell::new(PLAIN_LINE));
        Self { bar, title: title.to_owned(), hashes, begun: Instant::now(), plain }
    }

    /// Shows what was scanned so far.
    pub fn update(&self, tally: &Tally) {
        let elapsed = self.begun.elapsed();
        if let Some(due) = self.plain.as_ref().filter(|due| elapsed >= due.get()) {
            due.set(elapsed + PLAIN_LINE);
            let message = self.message(tally, elapsed);
            // A job of rolled headers has up to 2^64 hashes.
            let percent = u128::from(tally.scanned) * 100 / u128::from(self.hashes.max(1));
            // Nothing can be done when it cannot be shown.
            let _ = writeln!(std::io::stderr(), "{}: {percent} %, {message}", self.title);
        }
        if !self.bar.is_hidden() {
            self.bar.set_position(tally.scanned);
            self.bar.set_message(self.message(tally, elapsed));
        }
    }

    fn message(&self, tally: &Tally, elapsed: Duration) -> String {
        let left = self.hashes.saturating_sub(tally.scanned);
        let speed = rate(tally.scanned, elapsed);
        let left = speed.filter(|speed| *speed > 0.0).and_then(|speed| {
            #[expect(clippy::cast_precision_loss, reason = "an estimate")]
            Duration::try_from_secs_f64(left as f64 / speed).ok()
        });
        let left = left.map_or_else(|| "unknown".to_owned(), text::time);
        format!("{}, {left} left at most", text::rate(speed))
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
