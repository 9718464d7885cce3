//! Chooses a miner's difficulty: fixed, or so that its shares come at an even rate.

use std::time::{Duration, Instant};

use crate::limits::POOL_DIFFICULTY;

/// How surprising a number of shares must be, in standard deviations, before the difficulty changes.
const SURPRISE: f64 = 3.0;

/// Largest step up or down: a few shares say little about a rate.
const STEP: f64 = 16.0;

/// After so many shares counting begins anew, so that the present is not outweighed by the past.
const WINDOW: f64 = 100.0;

/// How difficulties are chosen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Difficulty {
    /// Always this one.
    Fixed(f64),
    /// So that a miner has a share `every` so often.
    Variable {
        /// What a miner begins with, unless it suggests another.
        start: f64,
        /// Mean time between two shares of a miner.
        every: Duration,
    },
}

/// The difficulty of one miner.
///
/// Shares arrive as a Poisson process, so their number within a time in which `e` are expected scatters by
/// √e. The difficulty changes when the number is further off than chance explains. So a wrong start is left
/// after a few shares, and a fair one is kept.
#[derive(Debug, Clone)]
pub struct Vardiff {
    difficulty: f64,
    /// The lowest that the miner takes.
    least: f64,
    /// Mean time between shares; `None` for a fixed difficulty.
    every: Option<Duration>,
    /// Shares since `since`; one of an easier job counts for less than one.
    shares: f64,
    since: Instant,
}

impl Vardiff {
    /// The difficulty that a miner begins with.
    #[must_use]
    pub fn new(choice: Difficulty, now: Instant) -> Self {
        let (start, every) = match choice {
            Difficulty::Fixed(difficulty) => (difficulty, None),
            Difficulty::Variable { start, every } => (start, Some(every)),
        };
        let [least, most] = POOL_DIFFICULTY;
        Self { difficulty: start.clamp(least, most), least, every, shares: 0.0, since: now }
    }

    /// The difficulty now.
    #[must_use]
    pub const fn difficulty(&self) -> f64 {
        self.difficulty
    }

    /// Counts shares from `now` on: the miner got its first job.
    pub fn begin(&mut self, now: Instant) {
        (self.shares, self.since) = (0.0, now);
    }

    /// A miner asks for a difficulty. Whether it gets it: not where it is fixed.
    pub fn suggest(&mut self, difficulty: f64, now: Instant) -> bool {
        if self.every.is_some() {
            self.set(difficulty, now);
        }
        self.every.is_some()
    }

    /// A miner takes no lower difficulty. Whether it is heeded: not where it is fixed.
    pub fn at_least(&mut self, difficulty: f64, now: Instant) -> bool {
        let [least, most] = POOL_DIFFICULTY;
        if self.every.is_some() {
            self.least = difficulty.clamp(least, most);
            self.set(self.difficulty, now);
        }
        self.every.is_some()
    }

    /// A share of a job of `difficulty` was accepted. Whether that changes the difficulty.
    pub fn accepted(&mut self, difficulty: f64, now: Instant) -> bool {
        self.shares += difficulty / self.difficulty;
        self.review(now)
    }

    /// Some time passed. Whether that changes the difficulty.
    pub fn review(&mut self, now: Instant) -> bool {
        let Some(every) = self.every else { return false };
        let elapsed = now.saturating_duration_since(self.since);
        let expected = elapsed.as_secs_f64() / every.as_secs_f64().max(1e-3);
        let surprise = (self.shares - expected).abs() / (expected + 1.0).sqrt();
        if surprise < SURPRISE {
            if expected > WINDOW {
                self.begin(now);
            }
            return false;
        }
        let factor = (self.shares + 0.5) / (expected + 0.5);
        let before = self.difficulty;
        self.set(before * factor.clamp(1.0 / STEP, STEP), now);
        self.difficulty.total_cmp(&before).is_ne()
    }

    fn set(&mut self, difficulty: f64, now: Instant) {
        let [_, most] = POOL_DIFFICULTY;
        self.difficulty = readable(difficulty).clamp(self.least, most);
        self.begin(now);
    }
}

/// The nearest number with two digits: people look at it.
fn readable(difficulty: f64) -> f64 {
    format!("{difficulty:.1e}").parse().unwrap_or(difficulty)
}

#[cfg(test)]
mod tests {
    use fastrand::Rng;

    use super::*;

    const EVERY: Duration = Duration::from_secs(3);
    const VARIABLE: Difficulty = Difficulty::Variable { start: 0.001, every: EVERY };

    fn assert_is(vardiff: &Vardiff, difficulty: f64) {
        assert_eq!(vardiff.difficulty().to_bits(), difficulty.to_bits(), "{vardiff:?}");
    }

    /// A miner who finds `pace` units of difficulty in a second mines for `shares` shares. Returns the
    /// difficulties that it had, each with the shares of it.
    fn mine(vardiff: &mut Vardiff, pace: f64, shares: usize, now: &mut Instant) -> Vec<(f64, u32)> {
        let mut random = Rng::with_seed(7);
        let mut had = vec![(vardiff.difficulty(), 0)];
        let mut found = 0;
        while found < shares {
            // The exponential distribution's memory is none, so waiting can be cut into ticks.
            let wait = -(1.0 - random.f64()).ln() * vardiff.difficulty() / pace;
            let tick = Duration::from_millis(100);
            let wait = Duration::try_from_secs_f64(wait).unwrap_or(Duration::MAX);
            *now += wait.min(tick);
            let changed = if wait <= tick {
                found += 1;
                had.last_mut().unwrap().1 += 1;
                vardiff.accepted(vardiff.difficulty(), *now)
            } else {
                vardiff.review(*now)
            };
            if changed {
                had.push((vardiff.difficulty(), 0));
            }
        }
        had
    }

    #[test]
    fn it_finds_the_rate_of_every_miner_from_a_start_that_is_wrong_by_a_million() {
        let begun = Instant::now();
        for power in -8..9 {
            // Difficulty per second of 40 hashes per second up to 4e17.
            let pace = 10_f64.powi(power);
            let mut now = begun;
            let mut vardiff = Vardiff::new(VARIABLE, now);
            vardiff.begin(now);
            let had = mine(&mut vardiff, pace, 400, &mut now);
            let right = pace * EVERY.as_secs_f64();
            let error = vardiff.difficulty() / right;
            assert!(
                (0.6..1.7).contains(&error),
                "pace {pace}: {error} times what is right: {had:?}"
            );
            let steps = had.iter().position(|(d, _)| (0.5..2.0).contains(&(d / right))).unwrap();
            assert!(steps <= 14, "{steps} steps: {had:?}");
            let lost: u32 = had[..steps].iter().map(|(_, shares)| shares).sum();
            assert!(lost <= 70, "{lost} shares on the way: {had:?}");
        }
    }

    #[test]
    fn it_follows_a_miner_who_becomes_faster_and_rarely_moves_otherwise() {
        let mut now = Instant::now();
        let mut vardiff = Vardiff::new(VARIABLE, now);
        mine(&mut vardiff, 1.0, 200, &mut now);
        let moves = mine(&mut vardiff, 1.0, 5000, &mut now).len() - 1;
        assert!(moves < 30, "{moves} moves in 5000 shares");
        mine(&mut vardiff, 100.0, 200, &mut now);
        assert!((150.0..600.0).contains(&vardiff.difficulty()), "{}", vardiff.difficulty());
    }

    #[test]
    fn a_silent_miner_ends_at_the_easiest_difficulty() {
        let mut now = Instant::now();
        let mut vardiff = Vardiff::new(VARIABLE, now);
        for _ in 0..10_000 {
            now += Duration::from_millis(100);
            vardiff.review(now);
        }
        assert_is(&vardiff, 1e-9);
    }

    #[test]
    fn what_a_miner_asks_for_counts_unless_the_difficulty_is_fixed() {
        let now = Instant::now();
        let mut vardiff = Vardiff::new(VARIABLE, now);
        assert!(vardiff.suggest(1234.0, now));
        assert_is(&vardiff, 1200.0);
        for (suggested, taken) in [(0.0, 1e-9), (-1.0, 1e-9), (1e300, 1e18), (f64::INFINITY, 1e18)]
        {
            vardiff.suggest(suggested, now);
            assert_is(&vardiff, taken);
        }
        assert!(vardiff.at_least(0.5, now) && vardiff.suggest(0.1, now));
        assert_is(&vardiff, 0.5);

        let mut fixed = Vardiff::new(Difficulty::Fixed(0.0625), now);
        assert!(!fixed.suggest(1.0, now) && !fixed.at_least(1.0, now));
        assert!(!(0..1000).any(|_| fixed.accepted(0.0625, now)));
        assert_is(&fixed, 0.0625);
    }

    #[test]
    fn shares_of_easier_jobs_count_for_less() {
        let now = Instant::now();
        let mut vardiff = Vardiff::new(VARIABLE, now);
        // 160 shares that were under way when the difficulty rose sixteenfold are worth 10 at once …
        vardiff.suggest(0.016, now);
        let later = now + Duration::from_secs(30);
        assert!(!(0..160).any(|_| vardiff.accepted(0.001, later)), "10 were expected");
    }
}
