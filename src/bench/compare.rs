//! Whether one subject is faster than another.
//!
//! What is compared is openings, each by the trimmed mean of its rounds: they are what differs between two
//! measurements of the same thing. Two subjects of one run were opened side by side and their rounds took
//! turns, so their openings are compared in pairs, and what disturbed both cancels out.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::estimate::by_opening;
use super::record::{Record, Round, Subject};
use super::stats::{difference, paired_interval, trimmed_mean};
use crate::device::tune::stats::Interval;

/// How sure a difference must be to be called one. Of a hundred comparisons of equals one fails.
pub const SURE: f64 = 0.99;

/// An interval wider than this on either side says nothing useful.
const USEFUL: f64 = 0.03;

/// What a comparison says of the later subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Faster than the baseline.
    Faster,
    /// Slower than the baseline.
    Slower,
    /// A difference, if there is one, is small.
    NoDifference,
    /// The noise hides any difference.
    TooNoisy,
}

/// One subject against its baseline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// The baseline.
    pub base: String,
    /// What is compared with it.
    pub subject: String,
    /// The place of that in the record's `subjects`.
    pub place: usize,
    /// By how much its rate is higher, as a share of the baseline's; null with fewer than three openings.
    pub change: Option<f64>,
    /// The interval of that, with confidence [`SURE`].
    pub interval: Option<Interval>,
    /// Whether both were measured in turns, in one run.
    pub paired: bool,
    /// What that says.
    pub verdict: Verdict,
}

impl Comparison {
    /// Compares a subject with the one of that place; `paired` when they are of one run.
    #[must_use]
    pub fn new(base: &Subject, subject: &Subject, place: usize, paired: bool) -> Self {
        let (one, other) = (openings(base), openings(subject));
        let found = if paired {
            let ratio = |(opening, rate): &(u32, f64)| {
                let (_, of_base) = one.iter().find(|(number, _)| number == opening)?;
                Some(rate - of_base)
            };
            paired_interval(&other.iter().filter_map(ratio).collect::<Vec<f64>>(), SURE)
        } else {
            let rates = |openings: &[(u32, f64)]| -> Vec<f64> {
                openings.iter().map(|(_, rate)| *rate).collect()
            };
            difference(&rates(&one), &rates(&other), SURE)
        };
        // Logarithms of rates were compared, so that their differences are ratios.
        let interval = found.map(|(_, interval)| Interval {
            low: interval.low.exp_m1(),
            high: interval.high.exp_m1(),
        });
        let with_batch = !is_same_batch(base, subject);
        Self {
            base: name(base, with_batch),
            subject: name(subject, with_batch),
            place,
            change: found.map(|(change, _)| change.exp_m1()),
            verdict: verdict(interval),
            interval,
            paired,
        }
    }

    /// Whether it is slower by more than `share`, beyond doubt that it is slower at all.
    #[must_use]
    pub fn is_slower_by(&self, share: f64) -> bool {
        self.verdict == Verdict::Slower && self.change.is_some_and(|change| -change > share)
    }
}

/// The subjects of a run against its first of the same device.
#[must_use]
pub fn within(record: &Record) -> Vec<Comparison> {
    let mut comparisons = Vec::new();
    for (place, subject) in record.subjects.iter().enumerate() {
        let before = &record.subjects[..place];
        if let Some(base) = before.iter().find(|base| base.device == subject.device) {
            comparisons.push(Comparison::new(base, subject, place, true));
        }
    }
    comparisons
}

/// The subjects of a run against the same ones of an earlier run; where each has just one, against each
/// other whatever they are. Returns those without a counterpart by name.
#[must_use]
pub fn between(base: &Record, record: &Record) -> (Vec<Comparison>, Vec<String>) {
    if let ([one], [other]) = (base.subjects.as_slice(), record.subjects.as_slice()) {
        return (vec![Comparison::new(one, other, 0, false)], Vec::new());
    }
    let (mut comparisons, mut alone) = (Vec::new(), Vec::new());
    for (place, subject) in record.subjects.iter().enumerate() {
        match base.subjects.iter().find(|base| is_same(base, subject)) {
            Some(base) => comparisons.push(Comparison::new(base, subject, place, false)),
            None => alone.push(name(subject, true)),
        }
    }
    (comparisons, alone)
}

fn is_same(one: &Subject, other: &Subject) -> bool {
    (&one.device.name, &one.device.pci) == (&other.device.name, &other.device.pci)
        && one.kernel.name == other.kernel.name
        && is_same_batch(one, other)
}

fn is_same_batch(one: &Subject, other: &Subject) -> bool {
    (one.batch_seconds - other.batch_seconds).abs() < 1e-9
}

fn name(subject: &Subject, with_batch: bool) -> String {
    let name = format!("{} on {}", subject.kernel.name, subject.device.name);
    let batch = subject.batch_seconds * 1000.0;
    if with_batch { format!("{name} in batches of {batch} ms") } else { name }
}

/// The logarithm of each opening's rate. Rounds that were left out do not count.
fn openings(subject: &Subject) -> Vec<(u32, f64)> {
    let counted = subject.rounds.iter().filter(|round| !round.left_out);
    let groups = by_opening(counted, Round::rate).into_iter();
    groups.filter_map(|(opening, rates)| Some((opening, trimmed_mean(rates)?.ln()))).collect()
}

fn verdict(interval: Option<Interval>) -> Verdict {
    match interval {
        Some(Interval { low, .. }) if low > 0.0 => Verdict::Faster,
        Some(Interval { high, .. }) if high < 0.0 => Verdict::Slower,
        Some(Interval { low, high }) if low.abs().max(high) <= USEFUL => Verdict::NoDifference,
        _ => Verdict::TooNoisy,
    }
}

/// In a line: what, by how much, and how sure.
impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} against {}: {}", self.subject, self.base, self.verdict)?;
        match (self.change, self.interval) {
            (Some(change), Some(Interval { low, high })) => write!(
                f,
                ", {:+.1} % ({:+.1} to {:+.1} %, {:.0} % sure; {})",
                change * 100.0,
                low * 100.0,
                high * 100.0,
                SURE * 100.0,
                if self.paired { "measured in turns" } else { "two runs" },
            ),
            _ => f.write_str("; it takes three openings of each"),
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Faster => "faster",
            Self::Slower => "slower",
            Self::NoDifference => "no difference shown",
            Self::TooNoisy => "too noisy to say",
        })
    }
}
