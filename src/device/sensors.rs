//! Stub, replaced by another branch.
use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// What a device's sensors say at one moment. What is not known is `None`, never a guess.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Reading {
    /// Core clock.
    pub clock_mhz: Option<f64>,
    /// Memory clock.
    pub memory_clock_mhz: Option<f64>,
    /// Core temperature.
    pub temperature_c: Option<f64>,
    /// Hottest spot.
    pub hotspot_c: Option<f64>,
    /// Fan.
    pub fan_percent: Option<f64>,
    /// Power.
    pub power_w: Option<f64>,
    /// Power limit.
    pub power_limit_w: Option<f64>,
    /// Energy counter.
    pub energy_j: Option<f64>,
    /// Load.
    pub load_percent: Option<f64>,
    /// Why the clock is held back.
    pub throttle: Option<BTreeSet<Throttle>>,
}

/// Why a clock is lower than it could be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Throttle {
    /// Power cap: normal under load.
    PowerCap,
    /// Heat.
    Thermal,
    /// Hardware slowdown.
    HardwareSlowdown,
    /// Power brake.
    PowerBrake,
    /// Current.
    Current,
    /// Anything else.
    Other,
}
