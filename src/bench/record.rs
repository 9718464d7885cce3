//! What a benchmark leaves behind: the documented JSON of `adit bench`, docs/BENCHMARKS.md.
//!
//! A record keeps every round, so that anyone can judge its figures again. What is not known is null.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::compare::Comparison;
use crate::device::Facts;
use crate::device::sensors::{Reading, Throttle};
use crate::device::tune::stats::Interval;

/// The form of the record. It grows by one whenever a reader of the old form would read something wrong.
pub const SCHEMA: u32 = 1;

/// A run of `adit bench`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// [`SCHEMA`].
    pub schema: u32,
    /// What measured.
    pub tool: Tool,
    /// Where.
    pub machine: Machine,
    /// When it began, as RFC 3339 in UTC.
    pub begun: String,
    /// How long it took, openings and warm-up included, in seconds.
    pub seconds: f64,
    /// What was asked for.
    pub settings: Settings,
    /// Whether it was stopped before its end. What was measured until then counts.
    pub interrupted: bool,
    /// Each kernel on each device, in the order in which they were asked for.
    pub subjects: Vec<Subject>,
    /// The subjects against a baseline, or against the first of their device.
    #[serde(default)]
    pub comparisons: Vec<Comparison>,
}

/// The versions of what measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tool {
    /// Of adit.
    pub adit: String,
    /// Of wgpu, which speaks to the driver.
    pub wgpu: String,
    /// Of naga, which translates WGSL.
    pub naga: String,
}

/// The machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Name and version of the system, such as `Debian GNU/Linux 12 (bookworm)`.
    pub os: String,
    /// The kernel's version.
    pub kernel: Option<String>,
    /// The processor's name.
    pub cpu: Option<String>,
    /// Threads that the processor runs at once.
    pub threads: usize,
}

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// What the headers are made from.
    pub seed: u64,
    /// How long each subject was to be measured, in seconds; null when `hashes` decided.
    pub seconds: Option<f64>,
    /// How many hashes each subject was to test; null when `seconds` decided.
    pub hashes: Option<u64>,
    /// How often each subject was to be opened anew.
    pub openings: u32,
    /// Whether it was a stress test: all devices at once, for `seconds`.
    #[serde(default)]
    pub stress: bool,
}

/// One kernel on one device with one length of batches.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Subject {
    /// The device.
    pub device: Facts,
    /// The kernel.
    pub kernel: KernelFacts,
    /// How long a batch was to be, in seconds.
    pub batch_seconds: f64,
    /// Where the readings come from, or why there are none.
    pub sensors: String,
    /// The time before the first round; null when the subject did not come that far.
    pub warm_up: Option<WarmUp>,
    /// Every round, in the order of time.
    pub rounds: Vec<Round>,
    /// What the sensors said, warm-up included.
    pub readings: Vec<TimedReading>,
    /// The hits of the rounds.
    pub hits: Hits,
    /// A fixed part of the work, for comparison with other devices; null when it was not done.
    pub proof: Option<Proof>,
    /// What the rounds amount to; null without a round.
    pub estimate: Option<Estimate>,
    /// What the device could do at most; null where that is not known.
    pub limit: Option<Limit>,
    /// What else a stress test saw; null of other runs.
    #[serde(default)]
    pub stress: Option<Stress>,
    /// What ended it early: a device that broke, or a kernel that was refused.
    pub error: Option<String>,
}

/// A kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelFacts {
    /// The variant's name, or the path of a user's own.
    pub name: String,
    /// SHA-256 of its WGSL; null for the CPU's own code.
    pub wgsl_sha256: Option<String>,
    /// Threads of a workgroup; null for the CPU's own code.
    pub workgroup: Option<u32>,
    /// Nonces of a thread; null for the CPU's own code.
    pub nonces_per_thread: Option<u32>,
    /// Fewest and most headers that it scans side by side.
    pub headers: [u32; 2],
}

/// The time before the first round.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct WarmUp {
    /// How long it took, in seconds.
    pub seconds: f64,
    /// Whether the rate was steady at its end.
    pub steady: bool,
}

/// One measurement. The device was idle before and after it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Round {
    /// In which opening of the subject, from 0.
    pub opening: u32,
    /// When it began, in seconds since the begin of the run.
    pub at: f64,
    /// Hashes that were tested and proven.
    pub hashes: u64,
    /// How long they took by the host's clock, from the first dispatch to the last report.
    pub seconds: f64,
    /// How long the device worked by its own clock; null where it has none.
    pub device_seconds: Option<f64>,
    /// Dispatches.
    pub batches: u64,
    /// The mean clock in MHz, of the readings in the round.
    pub clock_mhz: Option<f64>,
    /// The highest temperature in °C.
    pub temperature_c: Option<f64>,
    /// The mean power in watts.
    pub power_w: Option<f64>,
    /// All that held the clock back.
    pub throttle: Option<BTreeSet<Throttle>>,
    /// Whether it is left out of the estimate, because heat or supply held the clock back.
    pub left_out: bool,
}

/// What the sensors said at a moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TimedReading {
    /// Seconds since the begin of the run.
    pub at: f64,
    /// What they said.
    #[serde(flatten)]
    pub reading: Reading,
}

/// The hits of the rounds, each hashed again on the CPU.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Hits {
    /// As many as the hashes of the rounds have on average.
    pub expected: f64,
    /// Right ones.
    pub found: u64,
    /// Wrong ones. A single one discredits the device.
    pub wrong: u64,
    /// How likely so unusual a number of right ones is on a device that loses none, from 0 to 1 (two-sided,
    /// Poisson).
    pub p_value: f64,
}

/// What a stress test saw beside its rounds.
///
/// Between the rounds the device has turns with an easier filter, which yield many hits. Their rate is not
/// measured; they show soon whether hits are lost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stress {
    /// How long the device was under load, in seconds.
    pub seconds: f64,
    /// Leading zero bits of an easy hit.
    pub easy_bits: u32,
    /// The easy hits, each hashed again on the CPU.
    pub easy: Hits,
    /// Hashes of batches that the device could not vouch for: their reports were broken. They count nowhere
    /// else.
    pub unproven: u64,
    /// When the first wrong hit was seen, in seconds since the begin; null when there was none.
    pub wrong_at: Option<f64>,
    /// When it was sure that hits are lost; null when it never was.
    pub missing_at: Option<f64>,
    /// When the device broke, and how. It was opened anew then, a few times at most.
    pub losses: Vec<Loss>,
}

/// A device that broke.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Loss {
    /// Seconds since the begin.
    pub at: f64,
    /// What the driver said.
    pub why: String,
}

/// A fixed part of the work. Every device that computes rightly has the same checksum of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// Hashes in it.
    pub hashes: u64,
    /// Hits in it, all verified.
    pub hits: u64,
    /// SHA-256 over header, ranges and hits, in hex.
    pub checksum: String,
}

/// What the rounds that count amount to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// Hashes per second by the host's clock.
    pub rate: Figure,
    /// Hashes per second by the device's clock: without what the host costs. Null where it has none.
    pub device_rate: Option<Figure>,
    /// The share of the time, from 0 to 1, in which the device waited for the host; null without its clock.
    pub host_overhead: Option<f64>,
    /// The distance between the quartiles of the rate, as a share of the median.
    pub spread: f64,
    /// How much the rate differs from opening to opening beyond the noise of the rounds, as a share of it
    /// (standard deviation); null with a single opening.
    pub opening_spread: Option<f64>,
    /// Rounds far from all others, by their place in `rounds`. They count: the median bears them.
    pub outliers: Vec<usize>,
    /// Rounds that count.
    pub rounds: usize,
    /// Rounds that were left out as throttled.
    pub left_out: usize,
    /// Joule for 10^9 hashes; null without a sensor.
    pub joule_per_gigahash: Option<f64>,
}

/// A median with its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// The median.
    pub median: f64,
    /// Its interval; null when there are too few rounds for one.
    pub interval: Option<Interval>,
}

/// What a device could do if nothing but its arithmetic units held it up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Limit {
    /// Hashes per second.
    pub hashes_per_second: f64,
    /// The measured rate as a share of it, from 0 to 1; null without an estimate.
    pub reached: Option<f64>,
    /// How it is calculated, for people.
    pub formula: String,
}

impl Subject {
    /// Wrong hits of all kinds.
    #[must_use]
    pub fn wrong(&self) -> u64 {
        let easy = self.stress.as_ref().map_or(0, |stress| stress.easy.wrong);
        // A record can come from anywhere.
        self.hits.wrong.saturating_add(easy)
    }
}

/// Checksums of work, by its seed and hashes, each with the places of the subjects that have it. Where there are
/// several of one work, a device computes wrongly.
pub type Checksums<'r> = BTreeMap<(u64, u64), BTreeMap<&'r str, Vec<usize>>>;

/// The checksums of subjects, whose places are those in the iterator.
pub fn checksums<'r>(
    subjects: impl IntoIterator<Item = (&'r Settings, &'r Subject)>,
) -> Checksums<'r> {
    let mut works = Checksums::new();
    for (place, (settings, subject)) in subjects.into_iter().enumerate() {
        if let Some(proof) = &subject.proof {
            let sums = works.entry((settings.seed, proof.hashes)).or_default();
            sums.entry(&proof.checksum).or_default().push(place);
        }
    }
    works
}
