//! When a device is warm: its rate moves no more than its noise, and its temperature hardly.

use crate::device::tune::stats::median;

/// Samples in each of the two windows that are compared.
const WINDOW: usize = 5;

/// A change of the rate that is none, as a share.
const STILL: f64 = 0.01;

/// A rise of the temperature that is none, in kelvin.
const WARMER: f64 = 1.0;

/// The samples of a warm-up.
#[derive(Debug, Clone, Default)]
pub(super) struct Steady {
    rates: Vec<f64>,
    temperatures: Vec<Option<f64>>,
}

impl Steady {
    /// Adds a sample: hashes per second, and the temperature in °C where it is known.
    pub(super) fn add(&mut self, rate: f64, temperature: Option<f64>) {
        self.rates.push(rate);
        self.temperatures.push(temperature);
    }

    /// Whether the last samples are like those before them.
    #[must_use]
    pub(super) fn is_steady(&self) -> bool {
        let Some(start) = self.rates.len().checked_sub(2 * WINDOW) else { return false };
        let (before, now) = self.rates[start..].split_at(WINDOW);
        let (Some(was), Some(is)) = (median(before), median(now)) else { return false };
        // Each window's own noise, so that a trend does not excuse itself.
        let distances = |window: &[f64], middle: f64| -> Vec<f64> {
            window.iter().map(|rate| (rate - middle).abs() / middle).collect()
        };
        let noise = median(&[distances(before, was), distances(now, is)].concat());
        let still = noise.unwrap_or_default().max(STILL);
        let (cool, warm) = self.temperatures[start..].split_at(WINDOW);
        let highest = |window: &[Option<f64>]| window.iter().flatten().copied().reduce(f64::max);
        let rise = highest(warm).zip(highest(cool)).map_or(0.0, |(warm, cool)| warm - cool);
        (is / was - 1.0).abs() <= still && rise <= WARMER
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// After how many samples it is steady.
    fn steady_after(samples: impl IntoIterator<Item = (f64, Option<f64>)>) -> Option<usize> {
        let mut steady = Steady::default();
        samples.into_iter().position(|(rate, temperature)| {
            steady.add(rate, temperature);
            steady.is_steady()
        })
    }

    #[test]
    fn a_level_rate_is_steady_at_once_and_a_noisy_one_soon() {
        assert_eq!(steady_after((0..50).map(|_| (100.0, None))), Some(2 * WINDOW - 1));
        let mut random = fastrand::Rng::with_seed(5);
        let noisy: Vec<_> = (0..100).map(|_| (100.0 + 20.0 * random.f64(), None)).collect();
        assert!(steady_after(noisy).is_some_and(|after| after < 40));
    }

    #[test]
    fn a_rate_that_falls_or_a_device_that_heats_up_is_not() {
        let falling = (0..100).map(|n| (100.0 * 0.99_f64.powi(n), None));
        assert_eq!(steady_after(falling), None);
        let settles = (0..100).map(|n| (100.0 + 30.0 * 0.8_f64.powi(n), None));
        assert!(steady_after(settles).is_some_and(|after| after > 12));
        let heating = (0..100).map(|n| (100.0, Some(40.0 + f64::from(n) / 2.0)));
        assert_eq!(steady_after(heating), None);
        let warm = (0..100).map(|n| (100.0, Some(70.0 - 30.0 * 0.8_f64.powi(n))));
        assert!(steady_after(warm).is_some_and(|after| after > 12));
    }
}
