//! Which candidate is measured next, and which is the fastest: a state machine without clock or device.
//!
//! Candidates are opened best-known-first, then measured in turns: in a round each that is left is
//! measured once, in an order that changes, so that drift of clocks and heat meets all alike. They are
//! compared round by round, never across rounds. Those that are slower for certain leave at once, and
//! the slower half leaves whenever a share of the time is over, so that most of it goes to those that
//! are hard to tell apart.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::stats::{CONFIDENCE, Interval, median, median_interval};
use crate::device::speed::Sample;

/// Candidates this close are equally good: no user would notice.
const EQUAL: f64 = 0.01;

/// How sure it must be that a candidate is slower, or equal, before its measurement ends early. More
/// than the usual, because it is asked after each round.
const SURE: f64 = 0.99;

/// The part of the budget in which candidates are opened; the rest is for measuring them. Only who is left
/// alone gets rivals later.
const OPENING: f64 = 0.5;

/// How long a tune may take, and how it is cut.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// For opening and measuring together. It is passed by one opening, by that of the fallback, and by
    /// the first round.
    pub budget: Duration,
    /// The candidate that is tried although the time is over, when none that was opened works: a driver
    /// that hangs in the first must not leave the tune without a result each time.
    pub fallback: Option<usize>,
    /// How long one measurement takes.
    pub slice: Duration,
    /// For the order within rounds.
    pub seed: u64,
}

/// What to do next with a candidate, by its index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Open and test it, then call [`Tuner::opened`] or [`Tuner::skip`].
    Open(usize),
    /// Measure it for [`Settings::slice`], then call [`Tuner::observe`] or [`Tuner::skip`].
    Measure(usize),
    /// Ask for the verdict.
    Done,
}

/// Why a candidate is out of the race.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "skipped", content = "why", rename_all = "snake_case")]
pub enum Skip {
    /// The driver did not open it, or does not compile its kernel.
    NotOpened(String),
    /// It computes wrongly.
    Refused(String),
    /// It broke while it was measured.
    Broke(String),
    /// The time was over before its turn.
    OutOfTime,
}

impl std::fmt::Display for Skip {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotOpened(why) => write!(f, "not opened: {why}"),
            Self::Refused(why) => write!(f, "refused: {why}"),
            Self::Broke(why) => write!(f, "broke: {why}"),
            Self::OutOfTime => f.write_str("not tried: out of time"),
        }
    }
}

/// Why a tune ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// All that were left are slower for certain, or none else can be used.
    Separated,
    /// Those that are left are equal within 1 %.
    Equal,
    /// The time was over; the choice is the best guess.
    Budget,
}

/// What came of a tune.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// The fastest candidate; `None` when none could be measured.
    pub winner: Option<usize>,
    /// Why the tune ended.
    pub ending: Ending,
    /// Every candidate, by index.
    pub results: Vec<Measured>,
}

/// What is known of one candidate.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// How often it was measured.
    pub rounds: usize,
    /// The median of its rates, in hashes per second. The winner is chosen round by round, so when the
    /// machine's speed drifts a candidate that left early may show more.
    pub rate: Option<f64>,
    /// Its 95 % interval; `None` below six rounds.
    pub interval: Option<Interval>,
    /// Why it is out of the race, unless because it is slower.
    pub skipped: Option<Skip>,
}

/// The state machine. Ask [`Tuner::next`] and do what it says.
#[derive(Debug)]
pub struct Tuner {
    settings: Settings,
    random: fastrand::Rng,
    candidates: Vec<Candidate>,
    /// Candidates of this round that are still to be measured, the next one last.
    round: Vec<usize>,
    /// Rounds that have begun.
    rounds: usize,
    /// `None` while candidates are opened.
    race: Option<Race>,
    /// The longest time between an [`Step::Open`] and the next step.
    slowest_opening: Duration,
    last: (Step, Duration),
    ending: Option<Ending>,
}

#[derive(Debug)]
struct Race {
    begun: Duration,
    /// How many times the slower half left.
    halvings: u32,
    /// Into how many shares the measuring time is cut: as many as it takes until one is left.
    shares: u32,
}

#[derive(Debug, Default)]
struct Candidate {
    state: State,
    /// By round, `None` where it was not measured.
    rates: Vec<Option<f64>>,
}

#[derive(Debug, Default, PartialEq)]
enum State {
    #[default]
    Closed,
    Racing,
    Slower,
    Skipped(Skip),
}

impl Tuner {
    /// A tune of so many candidates; those that are known to be good come first.
    #[must_use]
    pub fn new(candidates: usize, settings: Settings) -> Self {
        Self {
            settings,
            random: fastrand::Rng::with_seed(settings.seed),
            candidates: (0..candidates).map(|_| Candidate::default()).collect(),
            round: Vec::new(),
            rounds: 0,
            race: None,
            slowest_opening: Duration::ZERO,
            last: (Step::Done, Duration::ZERO),
            ending: None,
        }
    }

    /// What to do now that `elapsed` has passed since the tune began.
    #[must_use]
    pub fn next(&mut self, elapsed: Duration) -> Step {
        if let (Step::Open(_), since) = self.last {
            self.slowest_opening = self.slowest_opening.max(elapsed.saturating_sub(since));
        }
        let step = self.step(elapsed);
        self.last = (step, elapsed);
        step
    }

    /// The candidate is open and passed its tests.
    pub fn opened(&mut self, candidate: usize) {
        self.set(candidate, State::Racing);
    }

    /// The candidate was measured.
    pub fn observe(&mut self, candidate: usize, sample: Sample) {
        let Some(rate) = sample.rate() else {
            return self.skip(candidate, Skip::Broke("it did no work".to_owned()));
        };
        if let Some(candidate) = self.candidates.get_mut(candidate) {
            candidate.rates.resize(self.rounds.saturating_sub(1), None);
            candidate.rates.push(Some(rate));
        }
    }

    /// The candidate cannot be used.
    pub fn skip(&mut self, candidate: usize, why: Skip) {
        self.set(candidate, State::Skipped(why));
        self.round.retain(|other| *other != candidate);
    }

    /// What came of it so far.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let results = self.candidates.iter().map(|candidate| {
            let rates: Vec<f64> = candidate.rates.iter().flatten().copied().collect();
            Measured {
                rounds: rates.len(),
                rate: median(&rates),
                interval: median_interval(&rates, CONFIDENCE),
                skipped: match &candidate.state {
                    State::Skipped(why) => Some(why.clone()),
                    State::Closed => Some(Skip::OutOfTime),
                    State::Racing if rates.is_empty() => Some(Skip::OutOfTime),
                    State::Racing | State::Slower => None,
                },
            }
        });
        Verdict {
            winner: self.by_speed(&self.racing()).first().copied(),
            ending: self.ending.unwrap_or(Ending::Budget),
            results: results.collect(),
        }
    }

    fn set(&mut self, candidate: usize, state: State) {
        if let Some(candidate) = self.candidates.get_mut(candidate) {
            candidate.state = state;
        }
    }

    fn racing(&self) -> Vec<usize> {
        self.in_state(&State::Racing).collect()
    }

    /// Whether each that is racing was measured, if only once.
    fn are_measured(&self) -> bool {
        let mut racing =
            self.candidates.iter().filter(|candidate| candidate.state == State::Racing);
        racing.all(|candidate| candidate.rates.iter().any(Option::is_some))
    }

    fn in_state(&self, state: &State) -> impl Iterator<Item = usize> {
        let all = self.candidates.iter().enumerate();
        all.filter(move |(_, candidate)| candidate.state == *state).map(|(index, _)| index)
    }

    fn step(&mut self, elapsed: Duration) -> Step {
        if self.ending.is_some() {
            return Step::Done;
        }
        if let Some(candidate) = self.to_open(elapsed) {
            return Step::Open(candidate);
        }
        if self.round.is_empty() {
            self.judge(elapsed);
            self.begin_round();
        }
        // One measurement is due to every candidate that was opened, whatever the time.
        if self.are_measured() && elapsed + self.settings.slice > self.settings.budget {
            self.ending.get_or_insert(Ending::Budget);
        }
        match self.round.pop().filter(|_| self.ending.is_none()) {
            Some(candidate) => Step::Measure(candidate),
            None => Step::Done,
        }
    }

    /// The next candidate to open, if there is time. One is needed, and may take all the time there is;
    /// one alone beats nobody, so it gets a rival as long as both can be measured.
    fn to_open(&self, elapsed: Duration) -> Option<usize> {
        let Settings { budget, slice, fallback, .. } = self.settings;
        let mut closed = self.in_state(&State::Closed);
        let opened = elapsed + self.slowest_opening;
        let due = match self.racing().len() {
            0 if elapsed >= budget => {
                return closed.find(|candidate| Some(*candidate) == fallback);
            }
            0 => true,
            1 if opened + slice * 2 <= budget => true,
            _ => self.race.is_none() && opened <= budget.mul_f64(OPENING),
        };
        closed.next().filter(|_| due)
    }

    fn begin_round(&mut self) {
        self.round = self.racing();
        self.random.shuffle(&mut self.round);
        self.rounds += 1;
    }

    /// Between two rounds: who leaves, and whether that was the last round.
    fn judge(&mut self, elapsed: Duration) {
        let mut ranked = self.by_speed(&self.racing());
        let race = self.race.get_or_insert_with(|| Race {
            begun: elapsed,
            halvings: 0,
            shares: ranked.len().next_power_of_two().ilog2(),
        });
        let measuring = self.settings.budget.saturating_sub(race.begun);
        let halved = race.begun + measuring * (race.halvings + 1) / race.shares.max(1);
        // The last two are told apart by certainty or not at all.
        if ranked.len() > 2 && elapsed >= halved {
            race.halvings += 1;
            for other in ranked.split_off(ranked.len().div_ceil(2)) {
                self.set(other, State::Slower);
            }
        }
        let leader = ranked.first().copied();
        let equal = |ratio: &Interval| ratio.low > 1.0 - EQUAL && ratio.high < 1.0 + EQUAL;
        let mut all_equal = true;
        for other in ranked.iter().skip(1) {
            let ratio =
                leader.and_then(|leader| median_interval(&self.ratios(*other, leader), SURE));
            match ratio {
                Some(ratio) if ratio.high < 1.0 - EQUAL => self.set(*other, State::Slower),
                other => all_equal &= other.as_ref().is_some_and(equal),
            }
        }
        match self.racing().len() {
            0 => self.ending = Some(Ending::Separated),
            1 if self.are_measured() => {
                let is_late = elapsed >= self.settings.budget;
                self.ending = Some(if is_late { Ending::Budget } else { Ending::Separated });
            }
            2.. if all_equal => self.ending = Some(Ending::Equal),
            _ => {}
        }
    }

    /// Fastest first. Each round says what share of that round's mean a candidate reached; the median of
    /// its shares ranks it.
    fn by_speed(&self, candidates: &[usize]) -> Vec<usize> {
        let rate = |candidate: usize, round| *self.candidates.get(candidate)?.rates.get(round)?;
        let mut shares: Vec<(usize, Vec<f64>)> =
            candidates.iter().map(|candidate| (*candidate, Vec::new())).collect();
        for round in 0..self.rounds {
            let rates: Option<Vec<f64>> =
                candidates.iter().map(|candidate| rate(*candidate, round)).collect();
            // A round that was cut short compares nobody.
            let Some(rates) = rates else { continue };
            let sum: f64 = rates.iter().sum();
            for ((_, shares), rate) in shares.iter_mut().zip(rates) {
                shares.push(rate / sum);
            }
        }
        let mut ranked: Vec<(usize, f64)> = shares
            .into_iter()
            .map(|(candidate, shares)| (candidate, median(&shares).unwrap_or(0.0)))
            .collect();
        // Stable: of equals the one that is known to be better comes first.
        ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
        ranked.into_iter().map(|(candidate, _)| candidate).collect()
    }

    /// One candidate's rate over another's, of each round that measured both.
    fn ratios(&self, one: usize, other: usize) -> Vec<f64> {
        let rates = |candidate: usize| self.candidates[candidate].rates.iter();
        rates(one).zip(rates(other)).filter_map(|(one, other)| Some((*one)? / (*other)?)).collect()
    }
}

#[cfg(test)]
mod tests;
