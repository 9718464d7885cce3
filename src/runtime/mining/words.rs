//! What whoever runs a run says to it while it goes on.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::runtime::net::Line;
use crate::source::failover::Plan;
use crate::work::{Price, SourceId};

/// What whoever runs it has to say meanwhile.
pub enum Word {
    /// What energy costs from now on.
    Price(Option<Price>),
    /// Which sources it works for from now on.
    Sources(Sources),
    /// Settings were read again.
    Reloaded(Reloaded),
}

/// A source as it is told of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Title {
    /// As it was typed, without secrets.
    pub name: String,
    /// Any certificate is accepted.
    pub is_insecure: bool,
}

/// The sources that are listed, of all that a run ever had.
pub struct Sources {
    /// New ones. Their numbers follow those that the run has.
    pub added: Vec<(Title, Line)>,
    /// Those that are listed, in the order in which they are preferred.
    pub order: Vec<SourceId>,
    /// How they share the devices.
    pub plan: Plan,
}

/// What came of reading the settings again. Without news in it, nothing differs.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
pub struct Reloaded {
    /// Keys that count from now on.
    pub changed: Vec<String>,
    /// Keys that differ from those that the run began with, and count when it begins again.
    pub at_next_start: Vec<String>,
    /// Why nothing was taken over.
    pub error: Option<String>,
}

impl fmt::Display for Reloaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(error) = &self.error {
            return write!(f, "the settings were read again and nothing was changed: {error}");
        }
        match &self.changed[..] {
            [] => f.write_str("the settings were read again: nothing to change")?,
            changed => write!(f, "the settings were read again: {} changed", changed.join(", "))?,
        }
        match &self.at_next_start[..] {
            [] => Ok(()),
            [one] => write!(f, "; {one} takes effect at the next start"),
            several => write!(f, "; {} take effect at the next start", several.join(", ")),
        }
    }
}

/// For about how long the machine slept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slept(pub Duration);

impl fmt::Display for Slept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = humantime::format_duration(Duration::from_secs(self.0.as_secs()));
        write!(
            f,
            "nothing happened for {time}, as if the machine slept: connections are made anew, and devices prove \
             themselves"
        )
    }
}
