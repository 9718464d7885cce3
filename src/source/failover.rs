//! Which of several sources are connected, and which of them the devices work for.
//!
//! *Failover*: the first source that can be used works alone. The others are connected only when all before them
//! are down for longer than a hiccup, each after it had its own time to be reached. A better source gets the devices back when it has had work for a minute; one
//! that fell soon after it came, only after five. A source that is not needed any more stays connected as long as
//! its shares may wait for their verdicts.
//!
//! *Quota*: all sources work at once, each for its part. The part of one that is down goes to the others.

use std::time::{Duration, Instant};

use super::location::Location;
use crate::limits::VERDICT_WAIT;
use crate::work::SourceId;

/// A connection that comes back within this time was no reason to go elsewhere.
const HICCUP: Duration = Duration::from_secs(2);

/// How long a source that was never reached may take before the next one is tried beside it.
const FIRST_TRY: Duration = Duration::from_secs(4);

/// How long a better source must have had work before it gets the devices back.
const STEADY: Duration = Duration::from_secs(60);

/// The same for a source that fell within this time after it came.
const STEADY_AFTER_FLAP: Duration = Duration::from_secs(300);

/// How sources share the devices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plan {
    /// One works, the first that can.
    Failover,
    /// All work, in these parts.
    Quota(Vec<u32>),
}

/// Why a text is no quota.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QuotaError {
    /// An item is no part.
    #[error("{0:?} is no part; write SOURCE=PART, such as 1=80,2=20")]
    Item(String),
    /// A part is no number.
    #[error("the part {0:?} is no whole number from 1 to 1000000")]
    Part(String),
    /// A source is unknown.
    #[error("there is no source {0:?}; name them by number from 1 or by host")]
    Source(String),
    /// A name stands for two sources.
    #[error("two sources have the host {0:?}; name them by number from 1")]
    Ambiguous(String),
    /// A source is named twice.
    #[error("source {0} is named twice")]
    Twice(usize),
    /// A source has no part.
    #[error("source {0} has no part; give it one, or leave out the source")]
    Missing(usize),
}

impl Plan {
    /// Reads `1=80,2=20` or `pool.example.org=80,other.example.org=20`.
    ///
    /// # Errors
    ///
    /// When it does not give every source a part.
    pub fn quota(text: &str, sources: &[Location]) -> Result<Self, QuotaError> {
        let mut parts = vec![None; sources.len()];
        for item in text.split(',') {
            let (name, part) = item
                .split_once('=')
                .ok_or_else(|| QuotaError::Item(item.chars().take(60).collect()))?;
            let index = index(name.trim(), sources)?;
            let part = part.trim();
            let number = part.parse().ok().filter(|number| (1..=1_000_000).contains(number));
            let number = number.ok_or_else(|| QuotaError::Part(part.chars().take(60).collect()))?;
            if parts[index].replace(number).is_some() {
                return Err(QuotaError::Twice(index + 1));
            }
        }
        let part = |(index, part): (usize, Option<u32>)| part.ok_or(QuotaError::Missing(index + 1));
        parts.into_iter().enumerate().map(part).collect::<Result<_, _>>().map(Self::Quota)
    }
}

/// A source's place, by its number from 1 or its host.
fn index(name: &str, sources: &[Location]) -> Result<usize, QuotaError> {
    let unknown = || QuotaError::Source(name.chars().take(60).collect());
    if let Ok(number) = name.parse::<usize>() {
        return (1..=sources.len()).contains(&number).then(|| number - 1).ok_or_else(unknown);
    }
    let host = |source: &Location| match source {
        Location::Replay => None,
        Location::Stratum(at) => Some(at.host.to_lowercase()),
        Location::Node(at) => Some(at.host.to_lowercase()),
    };
    let name = name.to_lowercase();
    let is_named = |(_, source): &(usize, &Location)| host(source).as_ref() == Some(&name);
    let mut named = sources.iter().enumerate().filter(is_named);
    match (named.next(), named.next()) {
        (Some((index, _)), None) => Ok(index),
        (Some(_), Some(_)) => Err(QuotaError::Ambiguous(name)),
        (None, _) => Err(unknown()),
    }
}

/// The state of all sources.
#[derive(Debug)]
pub struct Failover {
    plan: Plan,
    sources: Vec<State>,
    /// The source that has all devices, in failover.
    working: Option<usize>,
}

#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "facts that do not depend on each other")]
struct State {
    is_up: bool,
    /// When it came up, went down, or was first wanted.
    since: Instant,
    /// How long it may be down before the next one is tried.
    grace: Duration,
    /// It fell soon after it came, the last time.
    has_flapped: bool,
    is_wanted: bool,
    is_needed: bool,
    /// When it was needed last.
    needed: Instant,
}

impl Failover {
    /// Nothing is connected yet.
    #[must_use]
    pub fn new(sources: usize, plan: Plan, now: Instant) -> Self {
        let state = State {
            is_up: false,
            since: now,
            grace: FIRST_TRY,
            has_flapped: false,
            is_wanted: false,
            is_needed: false,
            needed: now,
        };
        let mut failover = Self { plan, sources: vec![state; sources], working: None };
        failover.tick(now);
        failover
    }

    /// A source gave work.
    pub fn up(&mut self, source: SourceId, now: Instant) {
        // What one says that was just let go comes too late.
        if let Some(state) = self.state(source).filter(|state| state.is_wanted && !state.is_up) {
            (state.is_up, state.since) = (true, now);
        }
        self.tick(now);
    }

    /// A source lost its connection, could not be reached, or has no work any more.
    pub fn down(&mut self, source: SourceId, now: Instant) {
        self.fall(source, now, HICCUP);
    }

    /// A source turned us away: only the user can change that.
    pub fn refused(&mut self, source: SourceId, now: Instant) {
        self.fall(source, now, Duration::ZERO);
    }

    fn fall(&mut self, source: SourceId, now: Instant, grace: Duration) {
        if let Some(state) = self.state(source) {
            if state.is_up {
                let lived = now.saturating_duration_since(state.since);
                state.has_flapped = lived < STEADY_AFTER_FLAP;
                (state.is_up, state.since, state.grace) = (false, now, grace);
            } else {
                // It was tried, in vain.
                state.grace = Duration::ZERO;
            }
        }
        self.tick(now);
    }

    /// The time of [`deadline`](Self::deadline) has come, or anything else happened.
    pub fn tick(&mut self, now: Instant) {
        let is_quota = matches!(self.plan, Plan::Quota(_));
        if !is_quota {
            self.choose(now);
        }
        for index in 0..self.sources.len() {
            let is_needed = is_quota || self.is_needed(index, now);
            let state = &mut self.sources[index];
            if std::mem::replace(&mut state.is_needed, is_needed) || is_needed {
                state.needed = now;
            }
            let is_wanted = is_needed || state.is_wanted && now < state.needed + VERDICT_WAIT;
            if is_wanted != std::mem::replace(&mut state.is_wanted, is_wanted) {
                // It is about to be connected for the first time, or it is let go.
                (state.is_up, state.since, state.grace) = (false, now, FIRST_TRY);
            }
        }
    }

    /// When the next call of [`tick`](Self::tick) is due.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        if matches!(self.plan, Plan::Quota(_)) {
            return None;
        }
        let better = self.working.unwrap_or(self.sources.len());
        let times = self.sources.iter().enumerate().filter_map(|(index, state)| {
            if state.is_up && index < better {
                Some(state.since + state.steady())
            } else if !state.is_up && self.working.is_none() && state.is_wanted {
                Some(state.since + state.grace)
            } else if state.is_wanted && index > better {
                Some(state.needed + VERDICT_WAIT)
            } else {
                None
            }
        });
        // What passed already had its effect.
        let last = self.sources.iter().map(|state| state.needed).max();
        times.filter(|time| last.is_none_or(|last| *time > last)).min()
    }

    /// Whether a source shall be connected.
    #[must_use]
    pub fn wanted(&self, source: SourceId) -> bool {
        self.sources.get(usize::from(source.0)).is_some_and(|state| state.is_wanted)
    }

    /// The parts of the devices' work, by source; all 0 when none has work.
    #[must_use]
    pub fn weights(&self) -> Vec<u32> {
        let part = |index: usize| match &self.plan {
            Plan::Failover => u32::from(self.working == Some(index)),
            Plan::Quota(parts) => parts.get(index).copied().unwrap_or(1),
        };
        let states = self.sources.iter().enumerate();
        states.map(|(index, state)| if state.is_up { part(index) } else { 0 }).collect()
    }

    fn state(&mut self, source: SourceId) -> Option<&mut State> {
        self.sources.get_mut(usize::from(source.0))
    }

    /// Chooses the source that works, in failover.
    fn choose(&mut self, now: Instant) {
        self.working = self.working.filter(|index| self.sources[*index].is_up);
        let mut best = self.sources.iter().enumerate().filter(|(_, state)| state.is_up);
        self.working = match self.working {
            None => best.next().map(|(index, _)| index),
            Some(working) => best
                .find(|(index, state)| *index == working || now >= state.since + state.steady())
                .map(|(index, _)| index),
        };
    }

    /// Whether a source shall be connected for the sake of the devices, in failover.
    fn is_needed(&self, index: usize, now: Instant) -> bool {
        match self.working {
            // The better ones are tried all the time.
            Some(working) => index <= working,
            None => self.sources[..index]
                .iter()
                .all(|state| !state.is_up && now >= state.since + state.grace),
        }
    }
}

impl State {
    fn steady(&self) -> Duration {
        if self.has_flapped { STEADY_AFTER_FLAP } else { STEADY }
    }
}

#[cfg(test)]
mod tests;
