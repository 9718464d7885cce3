//! What a set of rounds says, and how sure that is.
//!
//! A kernel that is opened anew runs a little faster or slower than before for as long as it stays open:
//! its code and buffers lie elsewhere in memory. So rounds come in groups, one for each opening, and both
//! the noise of rounds and that of openings count.

use statrs::distribution::{ContinuousCDF as _, DiscreteCDF as _, Poisson, StudentsT};

use super::record::Figure;
use crate::device::tune::stats::{CONFIDENCE, Interval, median};

/// Fewest rounds for an interval.
const FEWEST_ROUNDS: usize = 6;

/// Draws of the bootstrap.
const DRAWS: usize = 2000;

/// This part of the values at each end is left out of a trimmed mean.
const TRIMMED: usize = 6;

/// How far outside the quartiles, in distances between them, a value is an outlier (Tukey's outer fence).
const FENCE: f64 = 3.0;

/// Median of all values and its 95 % interval by the bootstrap, which draws noise for rounds and for
/// openings apart (Carpenter, Goldstein and Rasbash, 2003: residuals are drawn, and those of openings
/// reflated to their estimated variance).
///
/// `groups` has the values of each opening, all positive. `None` without a value.
#[must_use]
pub fn figure(groups: &[Vec<f64>]) -> Option<Figure> {
    let values: Vec<f64> = groups.iter().flatten().copied().collect();
    let interval = (values.len() >= FEWEST_ROUNDS).then(|| interval(groups, &values)).flatten();
    Some(Figure { median: median(&values)?, interval })
}

fn interval(groups: &[Vec<f64>], values: &[f64]) -> Option<Interval> {
    let center = median(values)?.ln();
    let parts = Parts::of(groups)?;
    // Any seed will do; the same one makes the same interval of the same values.
    let mut random = fastrand::Rng::with_seed(0);
    let mut drawn: Vec<f64> = (0..DRAWS)
        .filter_map(|_| {
            let mut logs = Vec::with_capacity(values.len());
            for group in groups {
                let of_opening = parts.draw_opening(&mut random);
                logs.extend(group.iter().map(|_| of_opening + pick(&parts.rounds, &mut random)));
            }
            median(&logs)
        })
        .collect();
    drawn.sort_by(f64::total_cmp);
    let middle = median(&drawn)?;
    let at = |share: f64| -> Option<f64> {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a place in a few thousand"
        )]
        let place = (share * (drawn.len() - 1) as f64).round() as usize;
        Some((center + drawn.get(place)? - middle).exp())
    };
    let tail = (1.0 - CONFIDENCE) / 2.0;
    Some(Interval { low: at(tail)?, high: at(1.0 - tail)? })
}

/// The noise in groups of values, in logarithms: that of rounds, and that of openings.
struct Parts {
    /// How each round differs from the mean of its opening.
    rounds: Vec<f64>,
    /// How each opening differs from the mean of all, and what to multiply that with. Empty where openings
    /// differ no more than their rounds explain.
    openings: Vec<f64>,
    reflation: f64,
    /// The estimated standard deviation of openings; `None` of a single one.
    opening_spread: Option<f64>,
}

impl Parts {
    fn of(groups: &[Vec<f64>]) -> Option<Self> {
        let logs: Vec<Vec<f64>> = groups
            .iter()
            .filter(|group| !group.is_empty())
            .map(|group| group.iter().map(|value| value.ln()).collect())
            .collect();
        let means: Vec<f64> = logs.iter().filter_map(|group| mean(group)).collect();
        let rounds: Vec<f64> = logs
            .iter()
            .zip(&means)
            .flat_map(|(group, mean)| group.iter().map(move |value| value - mean))
            .collect();
        let grand = mean(&means)?;
        let [n, k] = [rounds.len(), means.len()].map(real);
        let within = if n > k { sum_of_squares(&rounds) / (n - k) } else { 0.0 };
        // Residuals are a little smaller than the noise, for each opening's mean follows its rounds; and few
        // leave their spread uncertain, as Student's distribution says.
        let normal = student(f64::INFINITY, CONFIDENCE)?;
        let reflated =
            if n > k { (n / (n - k)).sqrt() * student(n - k, CONFIDENCE)? / normal } else { 1.0 };
        let rounds = rounds.into_iter().map(|residual| residual * reflated).collect();
        let openings: Vec<f64> = means.iter().map(|mean| mean - grand).collect();
        let none = Self { rounds, openings: Vec::new(), reflation: 0.0, opening_spread: None };
        if means.len() < 2 {
            return Some(none);
        }
        let of_means = sum_of_squares(&openings) / (k - 1.0);
        let explained = within * logs.iter().map(|group| 1.0 / real(group.len())).sum::<f64>() / k;
        let between = (of_means - explained).max(0.0);
        let opening_spread = Some(between.sqrt());
        if between == 0.0 {
            return Some(Self { opening_spread, ..none });
        }
        let few = student(k - 1.0, CONFIDENCE)? / normal;
        let reflation = few * (between / (sum_of_squares(&openings) / k)).sqrt();
        Some(Self { openings, reflation, opening_spread, ..none })
    }

    fn draw_opening(&self, random: &mut fastrand::Rng) -> f64 {
        if self.openings.is_empty() { 0.0 } else { pick(&self.openings, random) * self.reflation }
    }
}

/// How much openings differ beyond what the noise of their rounds explains: the standard deviation as a
/// share. `None` of a single opening.
#[must_use]
pub fn opening_spread(groups: &[Vec<f64>]) -> Option<f64> {
    Parts::of(groups)?.opening_spread
}

/// The mean of `values` and its interval by Student's distribution. `None` of fewer than three.
#[must_use]
pub fn mean_interval(values: &[f64], confidence: f64) -> Option<(f64, Interval)> {
    if values.len() < 3 {
        return None;
    }
    let (mean, n) = (mean(values)?, real(values.len()));
    let half = student(n - 1.0, confidence)? * (variance(values) / n).sqrt();
    Some((mean, Interval { low: mean - half, high: mean + half }))
}

/// Where paired differences lie, and its interval, by the averages of all pairs of them (Hodges and Lehmann; Wilcoxon's
/// signed ranks, exact). It assumes only that a difference lies as often and as far on either side: that of
/// equals does, since chance decides who is first. A few pairs that something disturbed hardly move it.
/// With fewer than eight pairs it has no interval of 99 %; that of the mean serves then.
#[must_use]
pub fn paired_interval(values: &[f64], confidence: f64) -> Option<(f64, Interval)> {
    let Some(left_out) = ranks_left_out(values.len(), (1.0 - confidence) / 2.0) else {
        return mean_interval(values, confidence);
    };
    let mut averages: Vec<f64> = values
        .iter()
        .enumerate()
        .flat_map(|(place, one)| {
            values[..=place].iter().map(move |other| f64::midpoint(*one, *other))
        })
        .collect();
    averages.sort_by(f64::total_cmp);
    let low = *averages.get(left_out)?;
    let high = *averages.get(averages.len() - 1 - left_out)?;
    Some((quantile(&averages, 0.5)?, Interval { low, high }))
}

/// How many of the smallest averages of pairs, and of the largest, lie outside an interval that fails on each side
/// with this probability at most. `None` where even the widest one fails more often.
fn ranks_left_out(pairs: usize, tail: f64) -> Option<usize> {
    // How many of the 2^pairs ways to choose signs have this sum of positive ranks.
    let mut ways = vec![1.0];
    for rank in 1..=pairs {
        ways.resize(ways.len() + rank, 0.0);
        for sum in (rank..ways.len()).rev() {
            ways[sum] += ways[sum - rank];
        }
    }
    let all: f64 = ways.iter().sum();
    let mut below = 0.0;
    let fit = ways.iter().take_while(|ways| {
        below += *ways / all;
        below <= tail
    });
    fit.count().checked_sub(1)
}

/// The mean of `values` without a sixth of them at each end, one at least where there are three. Where noise is normal
/// it varies less than a median does, by a seventh with seven of them; and a few disturbed ones hardly move it.
#[must_use]
pub fn trimmed_mean(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let cut = if values.len() < 3 { 0 } else { (values.len() / TRIMMED).max(1) };
    mean(values.get(cut..values.len() - cut)?)
}

/// The difference of the means, `other` less `one`, and its interval by Welch's approximation. `None` when
/// either has fewer than three values.
#[must_use]
pub fn difference(one: &[f64], other: &[f64], confidence: f64) -> Option<(f64, Interval)> {
    if one.len().min(other.len()) < 3 {
        return None;
    }
    let difference = mean(other)? - mean(one)?;
    let of_mean = |values: &[f64]| variance(values) / real(values.len());
    let (a, b) = (of_mean(one), of_mean(other));
    let freedom =
        (a + b).powi(2) / (a * a / (real(one.len()) - 1.0) + b * b / (real(other.len()) - 1.0));
    // Without any noise there is no freedom to estimate.
    let freedom = if freedom.is_finite() { freedom } else { 1.0 };
    let half = student(freedom, confidence)? * (a + b).sqrt();
    Some((difference, Interval { low: difference - half, high: difference + half }))
}

/// The quartiles of values: the values that a quarter and three quarters do not pass. `None` of nothing.
#[must_use]
pub fn quartiles(values: &[f64]) -> Option<[f64; 2]> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    Some([quantile(&sorted, 0.25)?, quantile(&sorted, 0.75)?])
}

/// The value below which a share of the sorted values lies, between two of them in proportion. `None`
/// of nothing.
#[must_use]
pub fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let place = real(last) * share;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "from 0 to the last place"
    )]
    let below = (place.floor() as usize).min(last);
    let (low, high) = (sorted[below], sorted[(below + 1).min(last)]);
    Some(low + (high - low) * place.fract())
}

/// The places of values far from all others.
#[must_use]
pub fn outliers(values: &[f64]) -> Vec<usize> {
    let Some([low, high]) = quartiles(values) else { return Vec::new() };
    let reach = FENCE * (high - low);
    let far = |value: &f64| *value < low - reach || *value > high + reach;
    (0..).zip(values).filter(|(_, value)| far(value)).map(|(place, _)| place).collect()
}

/// How likely a count as unusual as `found` is where `expected` is the mean (two-sided, Poisson).
#[must_use]
pub fn poisson_p_value(expected: f64, found: u64) -> f64 {
    let Ok(poisson) = Poisson::new(expected) else { return 1.0 };
    let at_most = poisson.cdf(found);
    let at_least = if found == 0 { 1.0 } else { poisson.sf(found - 1) };
    (2.0 * at_most.min(at_least)).min(1.0)
}

/// What a value of Student's distribution stays within, on either side, with this confidence.
fn student(freedom: f64, confidence: f64) -> Option<f64> {
    let distribution = StudentsT::new(0.0, 1.0, freedom.min(1e6)).ok()?;
    Some(distribution.inverse_cdf(f64::midpoint(1.0, confidence)))
}

fn pick(values: &[f64], random: &mut fastrand::Rng) -> f64 {
    values.get(random.usize(..values.len().max(1))).copied().unwrap_or_default()
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / real(values.len()))
}

/// Of two values or more.
fn variance(values: &[f64]) -> f64 {
    let mean = mean(values).unwrap_or_default();
    let deviations: Vec<f64> = values.iter().map(|value| value - mean).collect();
    sum_of_squares(&deviations) / (real(values.len()) - 1.0)
}

fn sum_of_squares(values: &[f64]) -> f64 {
    values.iter().map(|value| value * value).sum()
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52 values")]
fn real(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Normal noise (Box and Muller).
    fn normal(random: &mut fastrand::Rng) -> f64 {
        let (a, b) = (1.0 - random.f64(), random.f64());
        (-2.0 * a.ln()).sqrt() * (std::f64::consts::TAU * b).cos()
    }

    /// Rates around 1 with noise of rounds and of openings.
    fn groups(
        random: &mut fastrand::Rng,
        (openings, rounds): (usize, usize),
        (of_openings, of_rounds): (f64, f64),
    ) -> Vec<Vec<f64>> {
        (0..openings)
            .map(|_| {
                let opening = of_openings * normal(random);
                (0..rounds).map(|_| (opening + of_rounds * normal(random)).exp()).collect()
            })
            .collect()
    }

    fn coverage(shape: (usize, usize), noise: (f64, f64)) -> usize {
        let mut random = fastrand::Rng::with_seed(3);
        let covers = |_: &usize| {
            let figure = figure(&groups(&mut random, shape, noise)).unwrap();
            figure.interval.is_some_and(|interval| (interval.low..=interval.high).contains(&1.0))
        };
        (0..400).filter(covers).count()
    }

    #[test]
    fn the_interval_covers_the_truth_with_and_without_noise_of_openings() {
        for (shape, noise) in [
            ((1, 30), (0.0, 0.02)),
            ((10, 5), (0.0, 0.02)),
            ((5, 20), (0.0, 0.02)),
            ((10, 5), (0.02, 0.01)),
            ((5, 20), (0.01, 0.01)),
            ((10, 5), (0.02, 0.0001)),
        ] {
            let covered = coverage(shape, noise);
            assert!((360..=397).contains(&covered), "{shape:?}, {noise:?}: {covered} of 400");
        }
    }

    #[test]
    fn an_interval_needs_rounds_and_holds_the_median() {
        let figure = figure(&[vec![3.0, 1.0, 2.0]]).unwrap();
        assert_eq!((figure.median, figure.interval), (2.0, None));
        assert!(super::figure(&[vec![]]).is_none() && super::figure(&[]).is_none());
        let equal = super::figure(&[vec![5.0; 4], vec![5.0; 4]]).unwrap();
        let interval = equal.interval.unwrap();
        assert!((interval.low - 5.0).abs() < 1e-9 && (interval.high - 5.0).abs() < 1e-9);
    }

    #[test]
    fn openings_that_differ_are_told_from_noise() {
        let mut random = fastrand::Rng::with_seed(1);
        let differ = opening_spread(&groups(&mut random, (50, 20), (0.03, 0.01))).unwrap();
        assert!((0.02..0.04).contains(&differ), "{differ}");
        let same = opening_spread(&groups(&mut random, (50, 20), (0.0, 0.01))).unwrap();
        assert!(same < 0.002, "{same}");
        assert_eq!(opening_spread(&[vec![1.0, 2.0]]), None);
    }

    #[test]
    fn a_trimmed_mean_forgets_the_ends() {
        assert_eq!(trimmed_mean(Vec::new()), None);
        assert_eq!(trimmed_mean(vec![1.0, 4.0]), Some(2.5));
        assert_eq!(trimmed_mean(vec![9e9, 2.0, -5.0]), Some(2.0));
        assert_eq!(trimmed_mean(vec![-9e9, 4.0, 1.0, 2.0, 9e9, 5.0, 3.0]), Some(3.0));
        let many = (0..12).map(|value| if value < 2 { -9e9 } else { f64::from(value) });
        assert_eq!(trimmed_mean(many.collect()), Some(5.5));
    }

    /// Against tables of Student's distribution.
    #[test]
    fn intervals_of_means_are_those_of_the_tables() {
        let (mean, interval) = mean_interval(&[1.0, 2.0, 3.0, 4.0, 5.0], 0.95).unwrap();
        assert!((mean - 3.0).abs() < 1e-9);
        // 2.776 times the standard error, which is the root of 2.5 / 5.
        assert!((interval.high - mean - 2.776 * 0.5_f64.sqrt()).abs() < 1e-3);
        let values = [1.0, 2.0, 3.0, 4.0];
        let (difference, interval) =
            difference(&values, &values.map(|value| value + 10.0), 0.99).unwrap();
        assert!((difference - 10.0).abs() < 1e-9);
        // 6 degrees of freedom: 3.707.
        let half = 3.707 * (2.0 * (5.0 / 3.0) / 4.0_f64).sqrt();
        assert!((interval.high - difference - half).abs() < 1e-3);
        assert!(mean_interval(&[1.0, 2.0], 0.95).is_none());
        let (_, equal) = super::difference(&[1.0; 3], &[1.0; 3], 0.95).unwrap();
        assert_eq!((equal.low, equal.high), (0.0, 0.0));
    }

    #[test]
    fn signed_ranks_are_those_of_the_tables_and_disturbed_pairs_hardly_matter() {
        // Critical values of Wilcoxon's signed-rank test, two-sided.
        for (pairs, confidence, ranks) in [
            (7, 0.99, None),
            (8, 0.99, Some(0)),
            (16, 0.99, Some(19)),
            (20, 0.99, Some(37)),
            (10, 0.95, Some(8)),
        ] {
            assert_eq!(ranks_left_out(pairs, (1.0 - confidence) / 2.0), ranks, "{pairs}");
        }
        let values: Vec<f64> = (0..16).map(|n| f64::from(n) - 7.5).collect();
        let (middle, interval) = paired_interval(&values, 0.99).unwrap();
        assert!(middle.abs() < 1e-9 && (interval.high + interval.low).abs() < 1e-9, "{interval:?}");
        let mut disturbed = values.clone();
        disturbed[0] = -1000.0;
        let (moved, wider) = paired_interval(&disturbed, 0.99).unwrap();
        assert!(moved.abs() < 0.6 && wider.low > interval.low - 2.0, "{moved} {wider:?}");
        assert!(mean_interval(&disturbed, 0.99).unwrap().1.low < -200.0);
        assert_eq!(paired_interval(&values[..3], 0.99), mean_interval(&values[..3], 0.99));
    }

    #[test]
    fn outliers_are_named_and_quartiles_meet_the_median() {
        let mut values: Vec<f64> = (0..20).map(|n| 100.0 + f64::from(n % 5)).collect();
        assert!(outliers(&values).is_empty());
        values[7] = 60.0;
        assert_eq!(outliers(&values), [7]);
        assert_eq!(quartiles(&[1.0, 2.0, 3.0, 4.0, 5.0]), Some([2.0, 4.0]));
        assert_eq!(quartiles(&[9.0]), Some([9.0, 9.0]));
        assert_eq!(quartiles(&[]), None);
    }

    #[test]
    fn unusual_counts_are_unlikely() {
        assert!(poisson_p_value(0.1, 0) > 0.99);
        assert!(poisson_p_value(100.0, 100) > 0.9);
        assert!((poisson_p_value(10.0, 0) - 2.0 * (-10.0_f64).exp()).abs() < 1e-9);
        assert!(poisson_p_value(100.0, 60) < 1e-4 && poisson_p_value(100.0, 150) < 1e-4);
        assert!(poisson_p_value(0.0, 0) > 0.99);
    }

    #[test]
    fn quartiles_lie_between_values() {
        let values = [1.0, 2.0, 3.0, 4.0];
        for (share, value) in [(0.0, 1.0), (0.25, 1.75), (0.5, 2.5), (1.0, 4.0)] {
            assert_eq!(quantile(&values, share), Some(value));
        }
        assert_eq!(quantile(&[7.0], 0.75), Some(7.0));
        assert_eq!(quantile(&[], 0.5), None);
    }
}
