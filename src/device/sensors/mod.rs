//! What the sensors of a device say: clocks, temperature, power, and why it runs slower than it could.
//!
//! NVIDIA's GPUs are asked through NVML, other graphics cards and the processor through Linux's sysfs and procfs. Elsewhere
//! nothing is known, and that is said. Nothing here has a clock: callers stamp what they read.

mod card;
mod clients;
mod gpu_metrics;
pub(super) mod nvml;
mod others;
pub(super) mod pci;
mod processor;
pub(super) mod sysfs;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use self::card::Card;
use self::processor::Processor;
use super::Facts;

/// PCI vendor number of NVIDIA.
const NVIDIA: u32 = 0x10de;

/// What a device's sensors say at one moment. What is not known is `None`, never a guess.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Reading {
    /// Clock of the shaders (NVIDIA: of the SMs), or the mean over the cores of a processor. Some GPUs that
    /// sleep say 0.
    pub clock_mhz: Option<f64>,
    /// Clock of the GPU's memory.
    pub memory_clock_mhz: Option<f64>,
    /// Temperature of the chip, at its edge where there are several sensors; of a processor, the hottest package.
    pub temperature_c: Option<f64>,
    /// The hottest place of the chip.
    pub hotspot_c: Option<f64>,
    /// Speed of the first fan, of its most; some drivers go above 100.
    pub fan_percent: Option<f64>,
    /// Power, of the card or of the chip as the driver counts it. Integrated GPUs count the processor too.
    pub power_w: Option<f64>,
    /// The power at which the driver lowers the clock.
    pub power_limit_w: Option<f64>,
    /// Energy since some fixed moment: only differences count.
    pub energy_j: Option<f64>,
    /// The share of time in which the GPU had work.
    pub load_percent: Option<f64>,
    /// The share of time in which other programs had the GPU, as its driver counts them one by one.
    pub others_load_percent: Option<f64>,
    /// Why the clock is lower than it could be: `None` when the driver does not say, empty when nothing
    /// holds it back.
    pub throttle: Option<BTreeSet<Throttle>>,
}

/// Why a clock is lower than it could be.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Throttle {
    /// The power limit: the normal state of a loaded GPU.
    PowerCap,
    /// The limit of a current, which is as normal.
    Current,
    /// Somebody set the clock.
    ClockSetting,
    /// Heat: of the chip, its memory or its supply.
    Thermal,
    /// The hardware's own protection lowered the clock at once, against heat or a peak of power.
    HardwareSlowdown,
    /// The power supply asked for less.
    PowerBrake,
    /// A reason without a name here.
    #[serde(other)]
    Other,
}

/// The sensors of one device.
#[derive(Debug)]
pub struct Sensors(Source);

#[derive(Debug)]
enum Source {
    Nvml(nvml::Gpu),
    Card(Box<Card>),
    Processor(Processor),
    /// Why there is none.
    Nothing(String),
}

impl Sensors {
    /// Finds the sensors of a device: by its PCI address, or in NVML by a name that only one GPU has. A device
    /// without sensors is no error, it reads nothing.
    ///
    /// Drivers hang when a GPU is lost, here and in [`Sensors::read`]: call both on a thread that may be left
    /// alone.
    #[must_use]
    pub fn of(facts: &Facts) -> Self {
        Self::below(Path::new("/sys"), Path::new("/proc"), facts)
    }

    fn below(sysfs: &Path, proc: &Path, facts: &Facts) -> Self {
        let card = || {
            Card::below(sysfs, proc, facts.pci.as_deref()).map(|card| Source::Card(Box::new(card)))
        };
        let found = if facts.kind.is_processor() {
            Processor::below(sysfs).map(Source::Processor)
        } else if facts.vendor_id == Some(NVIDIA) {
            // The free driver has sensors in sysfs and no NVML.
            nvml::Gpu::of(facts).map(Source::Nvml).or_else(|why| card().map_err(|_| why))
        } else {
            card()
        };
        Self(found.unwrap_or_else(Source::Nothing))
    }

    /// Reads them all, which takes a millisecond or a few; see [`Sensors::of`] for when it hangs. What fails,
    /// panics or cannot be true is `None`.
    ///
    /// Some reasons to throttle and the energy of a processor are counted from one reading to the next, so read
    /// at least once a minute.
    pub fn read(&mut self) -> Reading {
        let reading = match &mut self.0 {
            Source::Nvml(gpu) => gpu.read(),
            Source::Card(card) => card.read(),
            Source::Processor(processor) => processor.read(),
            Source::Nothing(_) => Reading::default(),
        };
        reading.believable()
    }

    /// What is asked, for a line of text, such as `NVML of driver 550.54.14`.
    ///
    /// # Errors
    ///
    /// Why there is nothing to ask.
    pub fn source(&self) -> Result<&str, &str> {
        match &self.0 {
            Source::Nvml(gpu) => Ok(gpu.source()),
            Source::Card(card) => Ok(card.source()),
            Source::Processor(processor) => Ok(processor.source()),
            Source::Nothing(why) => Err(why),
        }
    }
}

impl Reading {
    /// Where a sensor counts energy and tells no power, the power since the reading before.
    #[must_use]
    pub fn with_power_since(self, before: &Self, elapsed: Duration) -> Self {
        let since = self.energy_j.zip(before.energy_j).and_then(|(now, before)| {
            // A counter that began anew says nothing.
            (now >= before && !elapsed.is_zero()).then(|| (now - before) / elapsed.as_secs_f64())
        });
        Self { power_w: self.power_w.or(since), ..self }
    }

    /// Drivers report what they do not know as all ones, as zero Kelvin, or as garbage.
    fn believable(self) -> Self {
        let upto = |value: Option<f64>, most| value.filter(|value| (0.0..=most).contains(value));
        Self {
            clock_mhz: upto(self.clock_mhz, 20_000.0),
            memory_clock_mhz: upto(self.memory_clock_mhz, 50_000.0),
            temperature_c: upto(self.temperature_c, 200.0),
            hotspot_c: upto(self.hotspot_c, 200.0),
            fan_percent: upto(self.fan_percent, 200.0),
            power_w: upto(self.power_w, 10_000.0),
            // Zero says that there is no limit.
            power_limit_w: upto(self.power_limit_w, 10_000.0).filter(|watts| *watts > 0.0),
            energy_j: upto(self.energy_j, 1e15),
            load_percent: upto(self.load_percent, 100.0),
            others_load_percent: upto(self.others_load_percent, 100.0),
            throttle: self.throttle,
        }
    }
}

impl Throttle {
    /// Whether what is measured meanwhile says little of the device: heat or its supply slowed it down. The
    /// power limit, currents and settings are the normal state of a loaded GPU.
    #[must_use]
    pub const fn discredits(self) -> bool {
        matches!(self, Self::Thermal | Self::HardwareSlowdown | Self::PowerBrake)
    }
}

impl std::fmt::Display for Throttle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::PowerCap => "power limit",
            Self::Current => "current limit",
            Self::ClockSetting => "clock setting",
            Self::Thermal => "heat",
            Self::HardwareSlowdown => "hardware slowdown",
            Self::PowerBrake => "power supply",
            Self::Other => "other",
        })
    }
}
