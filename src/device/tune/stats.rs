//! Figures with their uncertainty, without assuming how the noise is distributed.
//!
//! Measurements of speed have drift (clocks, heat) and outliers (other programs), so the median stands
//! for a series, and its interval comes from the order of the values alone: the median lies between the
//! k-th smallest and the k-th largest value unless fewer than k of n fair coins fall on one side.

use serde::{Deserialize, Serialize};

/// The usual trust in an interval.
pub const CONFIDENCE: f64 = 0.95;

/// Where the true median lies, with the confidence that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// The middle value, or the mean of the two in the middle; `None` of nothing.
#[must_use]
pub fn median(values: &[f64]) -> Option<f64> {
    let sorted = sorted(values);
    let upper = *sorted.get(sorted.len() / 2)?;
    Some(if sorted.len() % 2 == 1 {
        upper
    } else {
        f64::midpoint(sorted[sorted.len() / 2 - 1], upper)
    })
}

/// The interval of the median of what `values` are a sample of. `None` when there are too few for the
/// confidence, a fraction of 1: 95 % takes six values, 99 % eight.
///
/// ```
/// use adit::device::tune::stats::{CONFIDENCE, Interval, median_interval};
///
/// let rates = [31.0, 30.2, 12.0, 31.4, 30.9, 31.1, 30.8, 30.7, 31.2];
/// assert_eq!(median_interval(&rates, CONFIDENCE), Some(Interval { low: 30.2, high: 31.2 }));
/// assert_eq!(median_interval(&rates[..5], CONFIDENCE), None);
/// ```
#[must_use]
pub fn median_interval(values: &[f64], confidence: f64) -> Option<Interval> {
    let sorted = sorted(values);
    let allowed = (1.0 - confidence) / 2.0;
    // The chance that at most `cut` of n coins fall on one side, summed up from `cut` = 0.
    // In logarithms, because 2^-n is nothing for a float when n passes a thousand.
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52 values")]
    let real = |count: usize| count as f64;
    let mut exactly = -real(sorted.len()) * std::f64::consts::LN_2;
    let (mut chance, mut cut) = (exactly.exp(), 0);
    if chance > allowed {
        return None;
    }
    while cut < sorted.len() / 2 {
        exactly += (real(sorted.len() - cut) / real(cut + 1)).ln();
        chance += exactly.exp();
        if chance > allowed {
            break;
        }
        cut += 1;
    }
    Some(Interval { low: *sorted.get(cut)?, high: *sorted.get(sorted.len() - 1 - cut)? })
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0]), Some(3.0));
        assert_eq!(median(&[9.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 100.0]), Some(3.0));
    }

    #[test]
    fn the_ranks_are_those_of_the_tables() {
        let values = |n: u32| (1..=n).map(f64::from).collect::<Vec<_>>();
        // n, rank from either end at 95 % and at 99 %, as tables of the sign test have them.
        for (n, at_95, at_99) in [
            (5, None, None),
            (6, Some(1), None),
            (8, Some(1), Some(1)),
            (9, Some(2), Some(1)),
            (20, Some(6), Some(4)),
            (50, Some(18), Some(16)),
            (100, Some(40), Some(37)),
        ] {
            for (confidence, rank) in [(0.95, at_95), (0.99, at_99)] {
                let expected = rank.map(|rank: u32| Interval {
                    low: f64::from(rank),
                    high: f64::from(n + 1 - rank),
                });
                assert_eq!(median_interval(&values(n), confidence), expected, "{n}, {confidence}");
            }
        }
        assert_eq!(median_interval(&values(5000), 0.95).map(|i| i.low), Some(2431.0));
    }

    #[test]
    fn the_interval_holds_the_true_median_as_often_as_it_says() {
        let mut random = fastrand::Rng::with_seed(1);
        let held = (0..2000).filter(|_| {
            // Skewed, with a median of ln 2.
            let values: Vec<f64> = (0..25).map(|_| -(1.0 - random.f64()).ln()).collect();
            let interval = median_interval(&values, CONFIDENCE).unwrap();
            (interval.low..=interval.high).contains(&std::f64::consts::LN_2)
        });
        let held = held.count();
        assert!((1900..2000).contains(&held), "{held} of 2000");
    }
}
