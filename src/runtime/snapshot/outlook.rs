//! What a run takes and what it may expect, at the rate of the last minute.

use schemars::JsonSchema;
use serde::Serialize;

use super::{Device, Source};
use crate::work::Price;

/// Hashes for a share of difficulty 1, on average: 2^256 divided by the target, 65535 · 2^208.
const HASHES_PER_DIFFICULTY: f64 = 281_474_976_710_656.0 / 65_535.0;

/// What a run takes and what it may expect, at the rate of the last minute.
#[derive(Debug, Clone, Default, PartialEq, Serialize, JsonSchema)]
pub struct Outlook {
    /// Power of all devices; unknown where the sensors of one do not tell.
    pub power_watts: Option<f64>,
    /// Energy for 10^9 hashes.
    pub joule_per_gigahash: Option<f64>,
    /// What the devices' energy costs in a day, if a price was given.
    pub cost_per_day: Option<Cost>,
    /// Time between two shares, on average.
    pub seconds_per_share: Option<f64>,
    /// Time between two blocks, on average.
    pub seconds_per_block: Option<f64>,
}

/// An amount of money.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Cost {
    /// How much.
    pub amount: f64,
    /// Of what, as it was typed with the price; empty where nothing was.
    pub currency: String,
}

impl Outlook {
    pub(super) fn of(
        hashes_per_second: Option<f64>,
        devices: &[Device],
        sources: &[Source],
        price: Option<&Price>,
    ) -> Self {
        let powers = devices.iter().map(|device| device.sensors.power_watts);
        // One that is unknown makes the sum unknown.
        let power_watts = powers.sum::<Option<f64>>().filter(|_| !devices.is_empty());
        let rate = hashes_per_second.filter(|rate| *rate > 0.0);
        let cost = |watts| {
            let price = price?;
            Some(Cost { amount: price.per_day(watts), currency: price.currency.clone() })
        };
        Self {
            power_watts,
            joule_per_gigahash: power_watts.zip(rate).map(|(watts, rate)| watts / rate * 1e9),
            cost_per_day: power_watts.and_then(cost),
            seconds_per_share: seconds_between(sources, |source| source.difficulty),
            seconds_per_block: seconds_between(sources, |source| source.block_difficulty),
        }
    }
}

/// The mean time between two finds for any of the sources that are worked for.
fn seconds_between(sources: &[Source], difficulty: impl Fn(&Source) -> Option<f64>) -> Option<f64> {
    let per_second = sources.iter().filter(|source| source.weight > 0).map(|source| {
        let rate = source.hashes_per_second.one_minute?;
        Some(rate / (difficulty(source)? * HASHES_PER_DIFFICULTY))
    });
    let per_second = per_second.sum::<Option<f64>>()?;
    Some(1.0 / per_second).filter(|seconds| seconds.is_finite() && *seconds > 0.0)
}
