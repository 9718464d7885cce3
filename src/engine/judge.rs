//! Whether a device loses hits, judged again and again while it works.
//!
//! A test that is made after each turn would, sooner or later, find chance alone suspicious. This one may be
//! looked at for ever: it bets that hits are lost, and on a healthy device such bets are fair, so that the
//! stake reaches `1 / risk` with a probability of at most `risk` (Ville's inequality; Ramdas et al., "Game-
//! theoretic statistics and safe anytime-valid inference", 2023). A share of the stake is put in at every look, so
//! that a loss that begins late is found as well.

/// The shares of hits that it bets to be lost.
const LOSSES: [f64; 6] = [0.02, 0.05, 0.1, 0.25, 0.5, 0.95];

/// Bets on the hits of one device with one filter.
#[derive(Debug, Clone)]
pub struct Judge {
    /// Logarithms of what each bet is worth.
    worth: [f64; LOSSES.len()],
    looks: u64,
    threshold: f64,
}

impl Judge {
    /// Accuses a healthy device with this probability at most.
    #[must_use]
    pub fn new(risk: f64) -> Self {
        Self { worth: [f64::NEG_INFINITY; LOSSES.len()], looks: 0, threshold: -risk.ln() }
    }

    /// Looks at hits: as many as are expected on average (Poisson), and as many as were found. Says whether
    /// it is sure by now that hits are lost.
    pub fn look(&mut self, expected: f64, found: u64) -> bool {
        if expected <= 0.0 {
            return false;
        }
        self.looks += 1;
        #[expect(clippy::cast_precision_loss, reason = "weights and numbers of hits")]
        let (looks, found) = (self.looks as f64, found as f64);
        // The parts that are put in add up to one.
        let part = -(looks * (looks + 1.0)).ln();
        for (worth, loss) in self.worth.iter_mut().zip(LOSSES) {
            *worth = log_sum(&[*worth, part]) + found * (-loss).ln_1p() + loss * expected;
        }
        #[expect(clippy::cast_precision_loss, reason = "a handful")]
        let bets = LOSSES.len() as f64;
        log_sum(&self.worth) - bets.ln() >= self.threshold
    }
}

/// The logarithm of the sum of what these are logarithms of.
fn log_sum(logs: &[f64]) -> f64 {
    let most = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if most == f64::NEG_INFINITY {
        return most;
    }
    most + logs.iter().map(|log| (log - most).exp()).sum::<f64>().ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RISK: f64 = 1e-6;

    /// A number of the Poisson distribution, by Knuth's method.
    fn poisson(random: &mut fastrand::Rng, mean: f64) -> u64 {
        let (end, mut product, mut count) = ((-mean).exp(), random.f64(), 0);
        while product > end {
            product *= random.f64();
            count += 1;
        }
        count
    }

    /// After how many looks at so many expected hits it is sure, if within `most`.
    fn sure_after(
        judge: &mut Judge,
        random: &mut fastrand::Rng,
        kept: f64,
        most: u64,
    ) -> Option<u64> {
        const EXPECTED: f64 = 20.0;
        (1..=most).find(|_| judge.look(EXPECTED, poisson(random, EXPECTED * kept)))
    }

    /// 1000 hours with a look every two seconds.
    #[test]
    fn a_healthy_device_is_not_accused_in_a_thousand_hours() {
        let mut random = fastrand::Rng::with_seed(1);
        assert_eq!(sure_after(&mut Judge::new(RISK), &mut random, 1.0, 1_800_000), None);
    }

    #[test]
    fn the_risk_is_what_it_says() {
        let mut random = fastrand::Rng::with_seed(2);
        let mut accused =
            |_: &u32| sure_after(&mut Judge::new(0.1), &mut random, 1.0, 1000).is_some();
        let accused = (0..1000).filter(&mut accused).count();
        assert!((5..=100).contains(&accused), "{accused} of 1000 at 10 %");
    }

    #[test]
    fn losses_are_found_soon_and_large_ones_sooner() {
        let mut random = fastrand::Rng::with_seed(3);
        let mut after =
            |kept| sure_after(&mut Judge::new(RISK), &mut random, kept, 100_000).unwrap();
        let (all, half, tenth, little) = (after(0.0), after(0.5), after(0.9), after(0.98));
        assert!(all <= 3 && half <= 20 && tenth <= 500, "{all} {half} {tenth}");
        assert!(little > tenth && little < 20_000, "{little}");
    }

    #[test]
    fn a_loss_that_begins_after_a_day_is_found_too() {
        let mut random = fastrand::Rng::with_seed(4);
        let mut judge = Judge::new(RISK);
        assert_eq!(sure_after(&mut judge, &mut random, 1.0, 43_200), None);
        assert!(sure_after(&mut judge, &mut random, 0.9, 1000).is_some());
    }

    #[test]
    fn nothing_expected_says_nothing() {
        assert!(!Judge::new(RISK).look(0.0, 0));
        assert!(Judge::new(RISK).look(100.0, 0), "a hundred are missed at once");
    }

    #[test]
    fn the_stakes_of_all_looks_are_one_stake() {
        let mut judge = Judge::new(RISK);
        for looks in 1..=1000 {
            judge.look(f64::MIN_POSITIVE, 0);
            for worth in judge.worth {
                let left = 1.0 - worth.exp();
                assert!((left - 1.0 / f64::from(looks + 1)).abs() < 1e-9, "{looks}: {left}");
            }
        }
    }
}
