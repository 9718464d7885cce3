//! A run as it is now: every fact that is shown anywhere, in plain data.
//!
//! `runtime::mining` publishes a new one four times a second. Whoever shows a run (terminal, HTTP, summary) reads the
//! latest through a [`Viewer`], on any thread, and never waits for the run or holds it up. What is not known is
//! `None`. Text of pools and drivers is as it came: clean it before a terminal shows it.

mod meter;
mod outlook;
mod recorder;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Serialize, Serializer};

use crate::device::Kind;
use crate::device::sensors::{Reading, Throttle};
use crate::engine::outbox::Counts;
use crate::engine::{DeviceId, Quantiles, Reason, governor};
use crate::work::{SourceId, Ticket, Verdict};

pub use outlook::{Cost, Outlook};
pub(super) use recorder::{Books, Desk, Moment, Recorder};

/// Sees the latest snapshot: `borrow` reads it, `changed` waits for the next one.
pub type Viewer = tokio::sync::watch::Receiver<Arc<Snapshot>>;

/// A run at one moment.
#[derive(Debug, Clone, Default, PartialEq, Serialize, JsonSchema)]
pub struct Snapshot {
    /// The run as a whole.
    pub run: Run,
    /// The devices, also those that left, by their number.
    pub devices: Vec<Device>,
    /// The sources that the run ever had, by their number.
    pub sources: Vec<Source>,
    /// The shares of all sources.
    pub shares: Counts,
    /// The difficulty of the best hash of a share.
    pub best_share_difficulty: Option<f64>,
    /// Where the hashes of all jobs are.
    pub hashes: Hashes,
    /// The last shares, the newest last.
    #[serde(serialize_with = "plain")]
    #[schemars(with = "Vec<Shared>")]
    pub last_shares: VecDeque<Arc<Shared>>,
    /// What happened, the newest last.
    #[serde(serialize_with = "plain")]
    #[schemars(with = "Vec<Line>")]
    pub log: VecDeque<Arc<Line>>,
}

/// The run as a whole.
#[derive(Debug, Clone, Default, PartialEq, Serialize, JsonSchema)]
pub struct Run {
    /// The version of adit.
    pub version: &'static str,
    /// When this was so.
    pub unix_seconds: f64,
    /// When the run began.
    pub started_unix_seconds: f64,
    /// How long ago that was.
    pub uptime_seconds: f64,
    /// What it does.
    pub state: State,
    /// Why all devices are paused; empty while they are not.
    pub paused: BTreeSet<governor::Reason>,
    /// Hashes tested by all devices.
    pub hashes_per_second: Rates,
    /// The same as the hits say.
    pub found_work: FoundWork,
    /// What it takes, and what it may expect.
    pub outlook: Outlook,
}

/// What a run does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// The devices work.
    Mining,
    /// All devices are paused.
    Paused,
    /// No source has work.
    #[default]
    Waiting,
    /// It is over.
    Ended,
}

/// Hashes tested per second, over several times; where the run is younger, since it began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, JsonSchema)]
pub struct Rates {
    /// Over five seconds.
    pub now: Option<f64>,
    /// Over a minute.
    pub one_minute: Option<f64>,
    /// Over a quarter of an hour.
    pub fifteen_minutes: Option<f64>,
    /// Over the whole run.
    pub all: Option<f64>,
}

/// The rate that the verified hits of the last quarter of an hour speak for. It does not depend on what devices say of
/// the hashes that they tested: one that tests only half of them finds half as many hits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, JsonSchema)]
pub struct FoundWork {
    /// Verified hits.
    pub candidates: u64,
    /// How many the hashes that were reported as tested have on average.
    pub expected_candidates: f64,
    /// The rate that the hits speak for.
    pub hashes_per_second: Option<f64>,
    /// The low end of its 95 % interval (Garwood's, exact for counts).
    pub low_hashes_per_second: Option<f64>,
    /// The high end.
    pub high_hashes_per_second: Option<f64>,
    /// Chance alone makes such a difference once in a million: devices do not test what they report.
    pub disagrees: bool,
}

/// A device.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Device {
    /// Its number.
    pub device: DeviceId,
    /// The name that the driver gives it.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// The interface that reaches it.
    pub backend: String,
    /// Driver name and version.
    pub driver: Option<String>,
    /// PCI address.
    pub pci: Option<String>,
    /// The kernel it was opened with.
    pub kernel: String,
    /// How it is.
    pub health: Health,
    /// What it did wrong last.
    pub why: Option<String>,
    /// Hashes tested and believed.
    pub hashes_per_second: Rates,
    /// The same as its hits say.
    pub found_work: FoundWork,
    /// The share of the last minute in which it worked, from 0 to 1.
    pub busy_ratio: Option<f64>,
    /// How long its last batches took, `pace` tells how long they shall. `None` before the first.
    pub batch_seconds: Option<BatchSeconds>,
    /// Hashes tested and believed.
    pub scanned_hashes: u64,
    /// Verified hits.
    pub candidates: u64,
    /// Hits that are none.
    pub wrong_hits: u64,
    /// Mistakes of all kinds.
    pub faults: u32,
    /// What its sensors say.
    pub sensors: Sensed,
    /// How hard it shall work.
    pub pace: Option<governor::DeviceStatus>,
}

/// How long the last batches of a device took.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, JsonSchema)]
pub struct BatchSeconds {
    /// The median.
    pub median: f64,
    /// Longer than 99 of a hundred, or as long.
    pub p99: f64,
}

/// How a device is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// It works, or would if there were work.
    Well,
    /// It made a mistake in the last ten minutes.
    Sick,
    /// It broke, and is opened again.
    Away,
    /// It gets no more work.
    Gone,
}

/// What the sensors of a device say.
#[derive(Debug, Clone, Default, PartialEq, Serialize, JsonSchema)]
pub struct Sensed {
    /// Temperature of the chip.
    pub temperature_celsius: Option<f64>,
    /// Its hottest place.
    pub hotspot_celsius: Option<f64>,
    /// Power.
    pub power_watts: Option<f64>,
    /// The power at which the driver lowers the clock.
    pub power_limit_watts: Option<f64>,
    /// Clock of the shaders, or the mean over the cores of a processor.
    pub clock_mhz: Option<f64>,
    /// Clock of the memory.
    pub memory_clock_mhz: Option<f64>,
    /// Speed of the first fan.
    pub fan_percent: Option<f64>,
    /// The share of time in which the GPU had work, anybody's.
    pub load_percent: Option<f64>,
    /// The share of time in which other programs had the GPU, where its driver tells programs apart.
    pub others_load_percent: Option<f64>,
    /// Why the clock is lower than it could be; empty when nothing holds it back.
    pub throttle: Option<Vec<Throttle>>,
}

/// A source.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Source {
    /// Its number.
    pub source: SourceId,
    /// As it was typed.
    pub name: String,
    /// Any certificate is accepted.
    pub insecure: bool,
    /// Its place in the order of preference, from 0; none when it was removed.
    pub place: Option<usize>,
    /// How it is.
    pub state: Link,
    /// Why it is down or without work.
    pub why: Option<String>,
    /// Its part of the devices' work, against the others' parts.
    pub weight: u32,
    /// The source's own name for its job.
    pub job: Option<String>,
    /// Height of the block of its job.
    pub height: Option<u32>,
    /// What a share of its job counts for.
    pub difficulty: Option<f64>,
    /// The difficulty of a block.
    pub block_difficulty: Option<f64>,
    /// Hashes tested for it.
    pub hashes_per_second: Rates,
    /// The same since the run began.
    pub scanned_hashes: u64,
    /// Its shares.
    pub shares: Counts,
    /// The difficulty of the best hash of its shares.
    pub best_share_difficulty: Option<f64>,
    /// How long its last verdicts took.
    pub verdict_seconds: Latency,
    /// When it accepted a share last.
    pub accepted_unix_seconds: Option<f64>,
}

/// How a source is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Link {
    /// It is not needed and not connected.
    Standby,
    /// A connection is being made.
    Connecting,
    /// It is connected; its work may be that of nobody.
    Ready,
    /// Devices work for it.
    Mining,
    /// It has no work.
    NoWork,
    /// It cannot be used now; it is tried again.
    Down,
    /// The settings name it no more. It gets no work, and stays connected for its last verdicts.
    Removed,
}

/// How long answers took, over the last of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, JsonSchema)]
pub struct Latency {
    /// The last.
    pub last: Option<f64>,
    /// The median.
    pub median: Option<f64>,
    /// The longest.
    pub longest: Option<f64>,
}

/// Where hashes are.
#[derive(Debug, Clone, Default, PartialEq, Serialize, JsonSchema)]
pub struct Hashes {
    /// Hashes that a device had at some time.
    pub assigned: u64,
    /// Hashes tested; each counts once.
    pub scanned: u64,
    /// Hashes that devices hold now.
    pub held: u64,
    /// Hashes given back, by reason.
    pub given_back: BTreeMap<Reason, u64>,
    /// Hits whose hash passes the filter.
    pub candidates: u64,
    /// Hits that are none.
    pub wrong: u64,
}

/// A share.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Shared {
    /// Its number.
    pub share: Ticket,
    /// When it was found.
    pub unix_seconds: f64,
    /// Whose job it solves.
    pub source: SourceId,
    /// Who found it.
    pub device: DeviceId,
    /// What it counts for.
    pub difficulty: f64,
    /// The difficulty that its hash would meet.
    pub hash_difficulty: f64,
    /// Its hash, as explorers show it.
    pub hash: String,
    /// Whether it makes a block.
    pub block: bool,
    /// How it ended, once it did.
    pub verdict: Option<Verdict>,
    /// The source's words to that.
    pub why: Option<String>,
    /// How long that took.
    pub verdict_seconds: Option<f64>,
}

/// A line of the log.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Line {
    /// Counts from 0; a gap tells of lines that nobody saw.
    pub number: u64,
    /// When it was written.
    pub unix_seconds: f64,
    /// How much it matters.
    pub level: Level,
    /// The source it is about.
    pub source: Option<SourceId>,
    /// The device it is about.
    pub device: Option<DeviceId>,
    /// What happened.
    pub text: String,
}

/// How much a line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Good to know.
    Info,
    /// Something is wrong and goes on.
    Warning,
    /// Something is lost.
    Error,
}

fn plain<S: Serializer, T: Serialize>(items: &VecDeque<Arc<T>>, to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(items.iter().map(Arc::as_ref))
}

impl Snapshot {
    /// The sources that matter now, the preferred ones first; last those that were removed and owe us verdicts.
    #[must_use]
    pub fn sources_in_order(&self) -> Vec<&Source> {
        let owes = |source: &&Source| source.place.is_some() || source.shares.pending > 0;
        let mut sources: Vec<&Source> = self.sources.iter().filter(owes).collect();
        sources.sort_by_key(|source| source.place.unwrap_or(usize::MAX));
        sources
    }
}

impl State {
    /// All that there are.
    pub const ALL: [Self; 4] = [Self::Mining, Self::Paused, Self::Waiting, Self::Ended];
}

impl From<Quantiles> for BatchSeconds {
    fn from(times: Quantiles) -> Self {
        Self { median: times.median.as_secs_f64(), p99: times.p99.as_secs_f64() }
    }
}

impl From<Reading> for Sensed {
    fn from(reading: Reading) -> Self {
        Self {
            temperature_celsius: reading.temperature_c,
            hotspot_celsius: reading.hotspot_c,
            power_watts: reading.power_w,
            power_limit_watts: reading.power_limit_w,
            clock_mhz: reading.clock_mhz,
            memory_clock_mhz: reading.memory_clock_mhz,
            fan_percent: reading.fan_percent,
            load_percent: reading.load_percent,
            others_load_percent: reading.others_load_percent,
            throttle: reading.throttle.map(|reasons| reasons.into_iter().collect()),
        }
    }
}

macro_rules! display_as_serialised {
    ($($type:ident: $($variant:ident = $text:literal),+;)+) => {$(
        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(match self { $(Self::$variant => $text),+ })
            }
        }
    )+};
}

display_as_serialised! {
    State: Mining = "mining", Paused = "paused", Waiting = "waiting", Ended = "ended";
    Health: Well = "well", Sick = "sick", Away = "away", Gone = "gone";
    Link: Standby = "standby", Connecting = "connecting", Ready = "ready", Mining = "mining", NoWork = "no_work",
        Down = "down", Removed = "removed";
    Level: Info = "info", Warning = "warning", Error = "error";
}
