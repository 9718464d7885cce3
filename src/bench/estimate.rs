//! From rounds to figures.

use super::record::{Estimate, Round};
use super::stats::{figure, opening_spread, outliers, quartiles};

/// What rounds amount to; `None` when there is none with a rate.
///
/// Rounds that heat or supply held back are left out, unless that is all of them.
#[must_use]
pub fn estimate(rounds: &[Round]) -> Option<Estimate> {
    let all_left_out = rounds.iter().all(|round| round.left_out);
    let counted: Vec<(usize, &Round)> = rounds
        .iter()
        .enumerate()
        .filter(|(_, round)| (all_left_out || !round.left_out) && round.rate().is_some())
        .collect();
    let grouped = |value: fn(&Round) -> Option<f64>| -> Vec<Vec<f64>> {
        let groups = by_opening(counted.iter().map(|(_, round)| *round), value);
        groups.into_iter().map(|(_, group)| group).collect()
    };
    let groups = grouped(Round::rate);
    let rate = figure(&groups)?;
    let rates: Vec<f64> = groups.iter().flatten().copied().collect();
    let [low, high] = quartiles(&rates)?;
    let places = outliers(&rates);
    Some(Estimate {
        rate,
        device_rate: figure(&grouped(Round::device_rate)),
        host_overhead: host_overhead(&counted),
        spread: (high - low) / rate.median,
        opening_spread: opening_spread(&groups),
        outliers: places.iter().filter_map(|&place| Some(counted.get(place)?.0)).collect(),
        rounds: counted.len(),
        left_out: rounds.iter().filter(|round| round.left_out).count(),
        joule_per_gigahash: joule_per_gigahash(&counted),
    })
}

/// A value of rounds in the order of time, by their openings. Rounds without it do not count.
pub(super) fn by_opening<'r>(
    rounds: impl Iterator<Item = &'r Round>,
    value: impl Fn(&Round) -> Option<f64>,
) -> Vec<(u32, Vec<f64>)> {
    let mut groups: Vec<(u32, Vec<f64>)> = Vec::new();
    for round in rounds {
        let Some(value) = value(round) else { continue };
        match groups.last_mut().filter(|(opening, _)| *opening == round.opening) {
            Some((_, group)) => group.push(value),
            None => groups.push((round.opening, vec![value])),
        }
    }
    groups
}

impl Round {
    /// Hashes per second by the host's clock.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a rate is shown with a few digits")]
    pub fn rate(&self) -> Option<f64> {
        (self.hashes > 0 && self.seconds > 0.0).then(|| self.hashes as f64 / self.seconds)
    }

    /// The same by the device's clock.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a rate is shown with a few digits")]
    pub fn device_rate(&self) -> Option<f64> {
        let seconds = self.device_seconds.filter(|seconds| *seconds > 0.0)?;
        (self.hashes > 0).then(|| self.hashes as f64 / seconds)
    }
}

/// Of all rounds whose device time is known, together.
fn host_overhead(rounds: &[(usize, &Round)]) -> Option<f64> {
    let times = rounds.iter().filter_map(|(_, round)| Some((round.device_seconds?, round.seconds)));
    let (device, host) = times.fold((0.0, 0.0), |sum, time| (sum.0 + time.0, sum.1 + time.1));
    // Two clocks do not agree to the last digit.
    (host > 0.0).then(|| (1.0 - device / host).max(0.0))
}

/// Of all rounds whose power is known, together.
#[expect(clippy::cast_precision_loss, reason = "a rate is shown with a few digits")]
fn joule_per_gigahash(rounds: &[(usize, &Round)]) -> Option<f64> {
    let known =
        rounds.iter().filter_map(|(_, round)| Some((round.power_w? * round.seconds, round.hashes)));
    let (energy, hashes) = known.fold((0.0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    (hashes > 0).then(|| energy / (hashes as f64 / 1e9))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(opening: u32, hashes: u64) -> Round {
        Round {
            opening,
            at: 0.0,
            hashes,
            seconds: 1.0,
            device_seconds: Some(0.9),
            batches: 8,
            clock_mhz: None,
            temperature_c: None,
            power_w: Some(200.0),
            throttle: None,
            left_out: false,
        }
    }

    #[test]
    fn throttled_rounds_do_not_count_unless_all_are() {
        let mut rounds: Vec<Round> =
            (0..12).map(|n| round(n / 6, 2_000_000_000 + u64::from(n))).collect();
        rounds[3].hashes = 1;
        rounds[3].left_out = true;
        let figures = estimate(&rounds).unwrap();
        assert_eq!((figures.rounds, figures.left_out), (11, 1));
        assert!(figures.outliers.is_empty() && figures.rate.median > 1.9e9);
        assert!((figures.host_overhead.unwrap() - 0.1).abs() < 1e-9);
        assert!((figures.joule_per_gigahash.unwrap() - 100.0).abs() < 1e-3);
        assert!(figures.device_rate.unwrap().median > figures.rate.median);
        for round in &mut rounds {
            round.left_out = true;
        }
        let figures = estimate(&rounds).unwrap();
        assert_eq!((figures.rounds, figures.left_out), (12, 12));
        assert_eq!(figures.outliers, [3]);
    }

    #[test]
    fn nothing_measured_is_no_estimate() {
        assert!(estimate(&[]).is_none());
        assert!(estimate(&[round(0, 0)]).is_none());
        let dark = Round { device_seconds: None, power_w: None, ..round(0, 5) };
        let figures = estimate(&[dark]).unwrap();
        assert!(figures.device_rate.is_none() && figures.host_overhead.is_none());
        assert!(figures.joule_per_gigahash.is_none() && figures.opening_spread.is_none());
    }
}
