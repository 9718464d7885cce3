//! Who is faster than whom: the comparisons that the records have.

use super::figures::{UNKNOWN, sane};
use super::lines::Overview;
use crate::bench::compare::{Comparison, SURE};
use crate::bench::record::Record;
use crate::ui::text::clean;

/// A comparison as text, cleaned.
pub(super) struct Compared {
    /// The tag of the line that it is about; empty where the record has no such line.
    pub(super) tag: String,
    pub(super) subject: String,
    pub(super) base: String,
    /// `+1.2 %`
    pub(super) change: String,
    /// `+0.8 to +1.6 %`
    pub(super) interval: String,
    pub(super) measured: &'static str,
    pub(super) verdict: String,
}

/// All comparisons of all records.
pub(super) fn compared(overview: &Overview<'_>) -> Vec<Compared> {
    let records = overview.records.iter().enumerate();
    records
        .flat_map(|(record, of)| of.comparisons.iter().map(move |one| (record, one)))
        .map(|(record, comparison)| {
            let mut own = overview.lines.iter().filter(|line| line.record == record);
            let tag = own.nth(comparison.place).map(|line| line.tag.clone()).unwrap_or_default();
            Compared {
                tag,
                subject: clean(&comparison.subject),
                base: clean(&comparison.base),
                change: percent(comparison.change).unwrap_or_else(|| UNKNOWN.to_owned()),
                interval: interval(comparison).unwrap_or_default(),
                measured: if comparison.paired { "in turns" } else { "in two runs" },
                verdict: comparison.verdict.to_string(),
            }
        })
        .collect()
}

/// Those of one of a record's subjects, which a spreadsheet has in its line.
pub(super) fn of_subject(record: &Record, place: usize) -> impl Iterator<Item = &Comparison> {
    record.comparisons.iter().filter(move |comparison| comparison.place == place)
}

/// The heads of a table with [`Compared::cells`].
pub(super) fn heads() -> [String; 7] {
    let interval = format!("{:.0} % interval", SURE * 100.0);
    ["#", "compared", "with", "change", &interval, "measured", "verdict"].map(str::to_owned)
}

/// The columns of text; the others are short.
pub(super) const NAMES: [usize; 2] = [1, 2];

impl Compared {
    pub(super) fn cells(self) -> [String; 7] {
        let Self { tag, subject, base, change, interval, measured, verdict } = self;
        [tag, subject, base, change, interval, measured.to_owned(), verdict]
    }

    /// In a sentence.
    pub(super) fn sentence(&self) -> String {
        let tag = if self.tag.is_empty() { String::new() } else { format!("{}: ", self.tag) };
        let Self { subject, base, change, interval, measured, verdict, .. } = self;
        let how_much = if interval.is_empty() {
            "it takes three openings of each".to_owned()
        } else {
            format!("{change} ({interval}, {:.0} % sure; measured {measured})", SURE * 100.0)
        };
        format!("{tag}{subject} against {base}: {verdict}, {how_much}.")
    }
}

fn percent(share: Option<f64>) -> Option<String> {
    Some(format!("{:+.1} %", sane(share? * 100.0)?))
}

fn interval(comparison: &Comparison) -> Option<String> {
    let interval = comparison.interval?;
    let [low, high] = [interval.low, interval.high].map(|end| sane(end * 100.0));
    Some(format!("{:+.1} to {:+.1} %", low?, high?))
}
