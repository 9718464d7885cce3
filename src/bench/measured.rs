//! What was measured of an entrant, made into a subject of the record.

use super::estimate::estimate;
use super::record::{Hits, Limit, Proof, Round, Stress, Subject, WarmUp};
use super::run::Entrant;
use super::stats::poisson_p_value;
use super::watch::Watch;
use crate::device::sensors::{Reading, Throttle};
use crate::device::speed::Sample;
use crate::work::Filter;

/// What was measured of an entrant.
#[derive(Debug, Default)]
pub(super) struct Measured {
    pub(super) warm_up: Option<WarmUp>,
    pub(super) rounds: Vec<Round>,
    pub(super) hits: Hits,
    pub(super) proof: Option<Proof>,
    pub(super) stress: Option<Stress>,
    pub(super) error: Option<String>,
}

impl Measured {
    /// The entrant with it.
    pub(super) fn subject(self, entrant: Entrant<'_>, watch: &Watch) -> Subject {
        let estimate = estimate(&self.rounds);
        let rate = estimate.as_ref().map(|estimate| estimate.rate.median);
        let reached = |limit: Limit| Limit {
            reached: rate.map(|rate| rate / limit.hashes_per_second),
            ..limit
        };
        Subject {
            device: entrant.device,
            kernel: entrant.kernel,
            batch_seconds: entrant.batch_time.as_secs_f64(),
            sensors: watch.source.clone(),
            warm_up: self.warm_up,
            rounds: self.rounds,
            readings: watch.readings(),
            hits: self.hits,
            proof: self.proof,
            estimate,
            limit: entrant.limit.map(reached),
            stress: self.stress,
            error: self.error,
        }
    }
}

impl Round {
    /// A sample that began at a time, with what the sensors said meanwhile.
    pub(super) fn of(sample: &Sample, opening: u32, at: f64, said: Reading) -> Self {
        Self {
            opening,
            at,
            hashes: sample.hashes,
            seconds: sample.elapsed.as_secs_f64(),
            device_seconds: sample.on_device.map(|time| time.as_secs_f64()),
            batches: sample.batches,
            clock_mhz: said.clock_mhz,
            temperature_c: said.temperature_c,
            power_w: said.power_w,
            left_out: said.throttle.iter().flatten().any(|reason| Throttle::discredits(*reason)),
            throttle: said.throttle,
        }
    }

    /// This round and the one after it as one.
    pub(super) fn with(&self, next: &Self) -> Self {
        let mean = |field: fn(&Self) -> Option<f64>| match (field(self), field(next)) {
            (Some(one), Some(other)) => {
                Some((one * self.seconds + other * next.seconds) / (self.seconds + next.seconds))
            }
            (one, other) => one.or(other),
        };
        let throttle = match (&self.throttle, &next.throttle) {
            (Some(one), Some(other)) => Some(one.union(other).copied().collect()),
            (one, other) => one.clone().or_else(|| other.clone()),
        };
        Self {
            opening: self.opening,
            at: self.at,
            hashes: self.hashes + next.hashes,
            seconds: self.seconds + next.seconds,
            device_seconds: self.device_seconds.zip(next.device_seconds).map(|(a, b)| a + b),
            batches: self.batches + next.batches,
            clock_mhz: mean(|round| round.clock_mhz),
            temperature_c: [self, next].iter().filter_map(|r| r.temperature_c).reduce(f64::max),
            power_w: mean(|round| round.power_w),
            throttle,
            left_out: self.left_out || next.left_out,
        }
    }
}

impl Hits {
    /// Adds what a sample found. Returns how many were expected in it.
    pub(super) fn add(&mut self, sample: &Sample, filter: Filter) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "an expectation")]
        let expected = sample.hashes as f64 / f64::from(filter.bits()).exp2();
        self.expected += expected;
        self.found += sample.found;
        self.wrong += sample.wrong;
        self.p_value = poisson_p_value(self.expected, self.found);
        expected
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn two_rounds_together_have_the_hashes_of_both_and_the_means_by_time() {
        let sample = |hashes, seconds| Sample {
            hashes,
            elapsed: Duration::from_secs(seconds),
            batches: 3,
            ..Sample::default()
        };
        let said = |clock, throttle: Option<Throttle>| Reading {
            clock_mhz: Some(clock),
            temperature_c: Some(clock / 10.0),
            throttle: Some(throttle.into_iter().collect()),
            ..Reading::default()
        };
        let one = Round::of(&sample(100, 1), 0, 5.0, said(1000.0, None));
        let next = Round::of(&sample(500, 3), 0, 6.0, said(2000.0, Some(Throttle::Thermal)));
        let both = one.with(&next);
        assert_eq!((both.hashes, both.batches, both.at), (600, 6, 5.0));
        assert_eq!(
            (both.seconds, both.clock_mhz, both.temperature_c),
            (4.0, Some(1750.0), Some(200.0))
        );
        assert!(both.left_out && !one.left_out && both.power_w.is_none());
        assert_eq!(both.throttle.unwrap().len(), 1);
    }

    #[test]
    fn hits_are_expected_by_the_filter() {
        let mut hits = Hits::default();
        let sample = Sample { hashes: 1 << 20, found: 12, wrong: 1, ..Sample::default() };
        assert!((hits.add(&sample, Filter::new(16)) - 16.0).abs() < 1e-9);
        let _ = hits.add(&sample, Filter::new(16));
        assert_eq!((hits.found, hits.wrong), (24, 2));
        assert!((hits.expected - 32.0).abs() < 1e-9 && hits.p_value < 1.0);
    }
}
