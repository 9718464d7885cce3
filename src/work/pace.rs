//! How hard a device works: how long its batches take, and which part of the time it has any.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is left of a device for whoever else needs it.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// Nothing else notices.
    Background,
    /// The desktop stays smooth.
    Desktop,
    /// The machine does nothing else.
    Dedicated,
}

impl Profile {
    /// As it is typed.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Background => "background",
            Self::Desktop => "desktop",
            Self::Dedicated => "dedicated",
        }
    }

    /// How long a batch takes.
    #[must_use]
    pub const fn batch_time(self) -> Duration {
        Duration::from_millis(match self {
            Self::Background => 2,
            Self::Desktop => 12,
            Self::Dedicated => 50,
        })
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The part of the time in which a device works, from 1 % to all of it.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct Duty(f64);

impl Duty {
    /// All the time.
    pub const FULL: Self = Self(1.0);

    /// Below this the pauses between two batches would last longer than jobs do.
    pub const LEAST: Self = Self(0.01);

    /// This part, or the nearest there is.
    #[must_use]
    pub fn of(part: f64) -> Self {
        Self(part.clamp(Self::LEAST.0, Self::FULL.0))
    }

    /// The part of the time, up to 1.
    #[must_use]
    pub const fn part(self) -> f64 {
        self.0
    }

    /// Whether the device never rests.
    #[must_use]
    pub fn is_full(self) -> bool {
        self.0 >= 1.0
    }
}

impl FromStr for Duty {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = text.trim().trim_end_matches('%').trim_end();
        let percent: Option<f64> = number.parse().ok();
        percent
            .filter(|percent| (1.0..=100.0).contains(percent))
            .map(|percent| Self(percent / 100.0))
            .ok_or_else(|| "write a percentage from 1% to 100%, such as 25%".to_owned())
    }
}

/// The length of a device's batches, and its part of the time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pace {
    /// How long a batch shall take.
    pub batch_time: Duration,
    /// The part of the time in which there is a batch.
    pub duty: Duty,
}

impl Pace {
    /// Batches of this length, one after the other.
    #[must_use]
    pub const fn full(batch_time: Duration) -> Self {
        Self { batch_time, duty: Duty::FULL }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duty_is_read_as_a_percentage() {
        for (text, part) in [("25%", 0.25), ("100", 1.0), (" 1 % ", 0.01), ("12.5%", 0.125)] {
            assert_eq!(text.parse(), Ok(Duty(part)), "{text}");
        }
        for text in ["", "%", "0%", "0.5%", "101%", "-3", "NaN", "inf", "half", "25%%x"] {
            let error = text.parse::<Duty>().unwrap_err();
            assert!(error.contains("such as 25%"), "{text}: {error}");
        }
        assert_eq!((Duty::of(0.0), Duty::of(7.0)), (Duty::LEAST, Duty::FULL));
        assert!(Duty::FULL.is_full() && !Duty::of(0.99).is_full());
    }
}
