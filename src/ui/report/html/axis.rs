//! Where a figure lies in a plot, and what its axis says.

use super::super::figures::{rate_unit, sane};

/// From figures to places in a plot.
#[derive(Clone, Copy)]
pub(super) struct Axis {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Axis {
    /// Holds all the values, with some room around them, between two places.
    pub(super) fn around(values: impl Iterator<Item = f64>, from: f64, to: f64) -> Self {
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for value in values.filter_map(sane) {
            (low, high) = (low.min(value), high.max(value));
        }
        if low > high {
            (low, high) = (0.0, 1.0);
        }
        // Values that are almost the same are not pulled apart.
        let room = ((high - low) * 0.06).max(high.abs() * 1e-4).max(1e-9);
        Self { low: low - room, high: high + room, from, to }
    }

    /// From one value to another.
    pub(super) fn between(low: f64, high: f64, from: f64, to: f64) -> Self {
        let high = if high > low { high } else { low + 1.0 };
        Self { low, high, from, to }
    }

    /// The place of a value, never outside.
    pub(super) fn at(&self, value: f64) -> f64 {
        let share = ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0);
        self.from + (self.to - self.from) * if share.is_nan() { 0.0 } else { share }
    }

    /// Round values, about as many as asked for, and the step between them.
    pub(super) fn ticks(&self, about: u32) -> (Vec<f64>, f64) {
        let step = round_step((self.high - self.low) / f64::from(about.max(1)));
        let first = (self.low / step).ceil() * step;
        let ticks = (0..=2 * about).map(|i| first + f64::from(i) * step);
        (ticks.take_while(|tick| *tick <= self.high + step * 1e-6).collect(), step)
    }

    /// Ticks of rates with their labels, and the unit of them all.
    pub(super) fn rates(&self, about: u32) -> (Vec<(f64, String)>, &'static str) {
        let (factor, unit) = rate_unit(self.high);
        (self.labels(about, factor), unit)
    }

    /// Ticks with their labels, divided by a factor.
    pub(super) fn labels(&self, about: u32, factor: f64) -> Vec<(f64, String)> {
        let (ticks, step) = self.ticks(about);
        let decimals = decimals(step / factor);
        // Without a negative zero.
        let label = |tick: f64| format!("{:.decimals$}", tick / factor + 0.0);
        ticks.into_iter().map(|tick| (tick, label(tick))).collect()
    }
}

/// 1, 2 or 5 times a power of ten, not below a step.
fn round_step(step: f64) -> f64 {
    let power = 10_f64.powf(step.max(1e-12).log10().floor());
    let times = step / power;
    let round = [1.0, 2.0, 5.0].into_iter().find(|round| times <= *round * (1.0 + 1e-9));
    power * round.unwrap_or(10.0)
}

/// Digits after the point that tell steps apart.
fn decimals(step: f64) -> usize {
    (0..9)
        .find(|digits| step * 10_f64.powi(*digits) > 0.999)
        .map_or(9, |digits| usize::try_from(digits).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_inside() {
        let labels = |low, high, about| {
            let labels = Axis::between(low, high, 0.0, 1.0).labels(about, 1.0);
            labels.into_iter().map(|(_, label)| label).collect::<Vec<_>>()
        };
        assert_eq!(labels(0.0, 10.0, 5), ["0", "2", "4", "6", "8", "10"]);
        assert_eq!(labels(0.93, 1.07, 3), ["0.95", "1.00", "1.05"]);
        assert_eq!(labels(-1.0, 1.0, 4), ["-1.0", "-0.5", "0.0", "0.5", "1.0"]);
        let (rates, unit) = Axis::between(2.2e9, 2.4e9, 0.0, 1.0).rates(4);
        let rates: Vec<String> = rates.into_iter().map(|(_, label)| label).collect();
        assert_eq!((rates.join(" ").as_str(), unit), ("2.20 2.25 2.30 2.35 2.40", "GH/s"));
    }

    #[test]
    fn an_axis_bears_anything() {
        for values in [vec![], vec![f64::NAN], vec![0.0], vec![1e23, -1e23], vec![5e-324, 1e300]] {
            let axis = Axis::around(values.iter().copied(), 10.0, 20.0);
            for value in values.iter().copied().chain([f64::INFINITY, f64::NAN, -1e308]) {
                assert!((10.0..=20.0).contains(&axis.at(value)), "{values:?}, {value}");
            }
            assert!(axis.ticks(5).0.len() <= 11, "{values:?}");
        }
    }
}
