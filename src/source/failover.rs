//! Which of several sources are connected, and which of them the devices work for.
//!
//! *Failover*: the first source that can be used works alone. The others are connected only when all before them
//! are down for longer than a hiccup, each after it had its own time to be reached. A better source gets the devices back when it has had work for a minute; one
//! that fell soon after it came, only after five. A source that is not needed any more stays connected as long as
//! its shares may wait for their verdicts.
//!
//! *Quota*: all sources work at once, each for its part. The part of one that is down goes to the others.
//!
//! Sources keep their numbers; which of them are *listed*, and in which order, may change. One that is listed no more
//! gets no work, and stays connected for its last verdicts like one that is not needed.

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
    /// By number.
    sources: Vec<State>,
    /// The numbers of those that are listed, the preferred ones first.
    order: Vec<usize>,
    /// The place in the order of the source that has all devices, in failover.
    working: Option<usize>,
}

#[derive(Debug, Clone)]
struct State {
    is_up: bool,
    /// When it came up, went down, or was first wanted.
    since: Instant,
    /// How long it may be down before the next one is tried.
    grace: Duration,
    /// How long it must have had work before it gets the devices from one that is less preferred.
    steady: Duration,
    is_wanted: bool,
    is_needed: bool,
    /// When it was needed last.
    needed: Instant,
}

impl Failover {
    /// Nothing is connected yet.
    #[must_use]
    pub fn new(sources: usize, plan: Plan, now: Instant) -> Self {
        let mut failover = Self { plan, sources: Vec::new(), order: Vec::new(), working: None };
        failover.sources.resize(sources, State::new(now));
        failover.order.extend(0..sources);
        failover.tick(now);
        failover
    }

    /// From now on these sources are listed, in the order in which they are preferred; numbers that were not known
    /// are those of new ones. One that is preferred to the source at work now, and was not before, gets the devices as
    /// soon as it has work: somebody just said so. The parts of a quota are in the same order.
    pub fn list(&mut self, order: &[SourceId], plan: Plan, now: Instant) {
        let order: Vec<usize> = order.iter().map(|source| usize::from(source.0)).collect();
        let known = order.iter().map(|index| index + 1).max().unwrap_or(0).max(self.sources.len());
        self.sources.resize(known, State::new(now));
        let better_before = self.working.map_or(&[][..], |working| &self.order[..working]);
        let at_work = self.working.map(|working| self.order[working]);
        let working = order.iter().position(|index| Some(*index) == at_work);
        for index in &order[..working.unwrap_or(0)] {
            if !better_before.contains(index) {
                self.sources[*index].steady = Duration::ZERO;
            }
        }
        (self.order, self.working, self.plan) = (order, working, plan);
        self.tick(now);
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
                let has_flapped = lived < STEADY_AFTER_FLAP;
                state.steady = if has_flapped { STEADY_AFTER_FLAP } else { STEADY };
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
        match self.plan {
            Plan::Quota(_) => self.working = None,
            Plan::Failover => self.choose(now),
        }
        for index in 0..self.sources.len() {
            let is_needed = self.is_needed(index, now);
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
        let better = self.working.unwrap_or(self.order.len());
        let is_failover = self.plan == Plan::Failover;
        let times = self.sources.iter().enumerate().filter_map(|(index, state)| {
            let place = self.place_of(index).filter(|_| is_failover);
            if place.is_some_and(|place| place < better) && state.is_up {
                Some(state.since + state.steady)
            } else if place.is_some() && !state.is_up && self.working.is_none() && state.is_wanted {
                Some(state.since + state.grace)
            } else if state.is_wanted && !state.is_needed {
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

    /// A source's place in the order of preference, from 0; none for one that is not listed.
    #[must_use]
    pub fn place(&self, source: SourceId) -> Option<usize> {
        self.place_of(source.0.into())
    }

    /// The parts of the devices' work, by source; all 0 when none has work.
    #[must_use]
    pub fn weights(&self) -> Vec<u32> {
        let part = |place: usize| match &self.plan {
            Plan::Failover => u32::from(self.working == Some(place)),
            Plan::Quota(parts) => parts.get(place).copied().unwrap_or(1),
        };
        let states = self.sources.iter().enumerate();
        let weight = |(index, state): (usize, &State)| {
            self.place_of(index).filter(|_| state.is_up).map_or(0, part)
        };
        states.map(weight).collect()
    }

    fn place_of(&self, index: usize) -> Option<usize> {
        self.order.iter().position(|listed| *listed == index)
    }

    fn state(&mut self, source: SourceId) -> Option<&mut State> {
        self.sources.get_mut(usize::from(source.0))
    }

    /// Chooses the source that works, in failover.
    fn choose(&mut self, now: Instant) {
        let listed = |place: usize| &self.sources[self.order[place]];
        let working = self.working.filter(|place| listed(*place).is_up);
        let mut up = (0..self.order.len()).filter(|place| listed(*place).is_up);
        self.working = match working {
            None => up.next(),
            Some(working) => up.find(|place| {
                let state = listed(*place);
                *place == working || now >= state.since + state.steady
            }),
        };
    }

    /// Whether a source shall be connected for the sake of the devices.
    fn is_needed(&self, index: usize, now: Instant) -> bool {
        let Some(place) = self.place_of(index) else { return false };
        match (&self.plan, self.working) {
            (Plan::Quota(_), _) => true,
            // The better ones are tried all the time.
            (Plan::Failover, Some(working)) => place <= working,
            (Plan::Failover, None) => self.order[..place].iter().all(|better| {
                let better = &self.sources[*better];
                !better.is_up && now >= better.since + better.grace
            }),
        }
    }
}

impl State {
    const fn new(now: Instant) -> Self {
        Self {
            is_up: false,
            since: now,
            grace: FIRST_TRY,
            steady: STEADY,
            is_wanted: false,
            is_needed: false,
            needed: now,
        }
    }
}

#[cfg(test)]
mod tests;
