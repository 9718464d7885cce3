//! What a run shows while it goes on, and the forms of its result.

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::bench::record::Record;
use crate::bench::run::{Entrant, Event};
use crate::cli::{Failure, output};
use crate::files;
use crate::ui::report;
use crate::ui::text;

#[derive(Debug, clap::Args)]
pub(super) struct Form {
    /// Print the whole record as one JSON object, docs/BENCHMARKS.md
    #[arg(long)]
    json: bool,

    /// Print a line of comma-separated values for each kernel on each device
    #[arg(long, conflicts_with = "json")]
    csv: bool,

    /// Print a Markdown table
    #[arg(long, conflicts_with_all = ["json", "csv"])]
    markdown: bool,

    /// Write a page with plots to a file; it needs nothing else
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

impl Form {
    /// Whether standard output is for programs.
    pub(super) const fn is_quiet(&self) -> bool {
        self.json || self.csv || self.markdown
    }

    /// Refuses a page that cannot be written, before anything is measured.
    pub(super) fn check(&self) -> Result<(), Failure> {
        let Some(path) = &self.html else { return Ok(()) };
        match files::beside(path) {
            Ok(_) if !path.is_dir() => Ok(()),
            Ok(_) => Err(Failure::usage(format!("{} is a folder, not a file", path.display()))),
            Err(error) => {
                Err(Failure::usage(format!("{} cannot be written: {error}", path.display())))
            }
        }
    }

    pub(super) fn show(&self, records: &[Record]) -> Result<(), Failure> {
        if let Some(path) = &self.html {
            files::replace(path, |file| file.write_all(report::html(records).as_bytes())).map_err(
                |error| Failure::usage(format!("{} cannot be written: {error}", path.display())),
            )?;
            output::note(format_args!("The page is {}", path.display()));
        }
        if self.json {
            return records.iter().try_for_each(output::json);
        }
        if self.csv {
            return output::line(report::csv(records));
        }
        if self.markdown {
            return output::line(report::markdown(records));
        }
        let width = std::io::stdout().is_terminal().then(terminal_width).flatten();
        output::line(report::table(records, width))
    }
}

fn terminal_width() -> Option<usize> {
    let (_, columns) = console::Term::stdout().size_checked()?;
    Some(columns.into())
}

/// The state of a run in a line, on a terminal; elsewhere only what goes wrong.
pub(super) struct Live {
    bar: ProgressBar,
    names: Vec<String>,
}

impl Live {
    pub(super) fn new(entrants: &[Entrant<'_>], is_quiet: bool) -> Self {
        let is_hidden = is_quiet || !std::io::stderr().is_terminal();
        let bar = if is_hidden { ProgressBar::hidden() } else { ProgressBar::new_spinner() };
        // The template is constant; if it were wrong the default style would do.
        if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(200));
        let names = entrants
            .iter()
            .map(|entrant| {
                text::clean(&format!("{} on {}", entrant.kernel.name, entrant.device.name))
            })
            .collect();
        Self { bar, names }
    }

    fn name(&self, place: usize) -> &str {
        self.names.get(place).map_or("", String::as_str)
    }

    /// Shows what happened to a subject at a stage of the run.
    pub(super) fn at(&self, stage: &str, place: usize, what: &str) {
        self.bar.set_message(format!("{stage}: {}, {what}", self.name(place)));
    }

    /// Prints a line that stays.
    pub(super) fn keep(&self, place: usize, what: &str) {
        self.bar
            .suspend(|| output::note(format_args!("{}: {}", self.name(place), text::clean(what))));
    }

    pub(super) fn tell(&self, stage: &str, event: Event<'_>) {
        match event {
            Event::Opening(_) => self.bar.set_message(stage.to_owned()),
            Event::Opened(place) => self.at(stage, place, "open and tested"),
            Event::WarmUp(place, rate) => {
                self.at(stage, place, &format!("warming up with {}", text::rate(Some(rate))));
            }
            Event::Round(place, round) => self.at(stage, place, &text::rate(round.rate())),
            Event::Dropped(place, why) => self.keep(place, &format!("it drops out: {why}")),
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
