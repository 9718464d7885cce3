//! Rates over windows of time, and what found work says of them.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use statrs::distribution::{ContinuousCDF as _, Gamma};

use super::{FoundWork, Rates};

/// The time over which a rate is that of now.
const NOW: Duration = Duration::from_secs(5);
const MINUTE: Duration = Duration::from_secs(60);
const QUARTER: Duration = Duration::from_secs(15 * 60);

/// How often a sample is kept for windows of up to a minute, and for longer ones.
const FINE: Duration = Duration::from_secs(1);
const COARSE: Duration = Duration::from_secs(15);

/// The confidence of the interval that is shown, and the one beyond which chance is no explanation: the alarm
/// is looked at some hundred times a day without depending on the times before.
const SHOWN: f64 = 0.95;
const ALARM: f64 = 1.0 - 1e-6;

/// What was done until a moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample {
    pub(super) at: Instant,
    pub(super) hashes: u64,
    pub(super) candidates: u64,
    pub(super) expected: f64,
    /// Time in which work was under way.
    pub(super) busy: Duration,
}

/// Samples of the last quarter of an hour.
#[derive(Debug)]
pub(super) struct Meter {
    first: Sample,
    last: Sample,
    fine: Ring,
    coarse: Ring,
}

#[derive(Debug, Default)]
struct Ring(VecDeque<Sample>);

impl Meter {
    /// Nothing was done yet.
    pub(super) fn new(at: Instant) -> Self {
        let first = Sample { at, hashes: 0, candidates: 0, expected: 0.0, busy: Duration::ZERO };
        let ring = || Ring(VecDeque::from([first]));
        Self { first, last: first, fine: ring(), coarse: ring() }
    }

    pub(super) fn observe(&mut self, sample: Sample) {
        self.last = sample;
        self.fine.push(sample, FINE, MINUTE);
        self.coarse.push(sample, COARSE, QUARTER);
    }

    pub(super) fn rates(&self) -> Rates {
        Rates {
            now: self.rate(self.fine.before(self.last.at, NOW)),
            one_minute: self.rate(self.fine.before(self.last.at, MINUTE)),
            fifteen_minutes: self.rate(self.coarse.before(self.last.at, QUARTER)),
            all: self.rate(Some(self.first)),
        }
    }

    /// The share of the last minute in which work was under way.
    pub(super) fn busy_ratio(&self) -> Option<f64> {
        let since = self.fine.before(self.last.at, MINUTE)?;
        let elapsed = self.last.at.saturating_duration_since(since.at).as_secs_f64();
        let busy = self.last.busy.saturating_sub(since.busy).as_secs_f64();
        // A batch counts when it ends, and may have begun before.
        (elapsed > 0.0).then(|| (busy / elapsed).min(1.0))
    }

    pub(super) fn found_work(&self) -> FoundWork {
        let since = self.coarse.before(self.last.at, QUARTER).unwrap_or(self.first);
        let candidates = self.last.candidates.saturating_sub(since.candidates);
        let expected = self.last.expected - since.expected;
        let of = |count: f64| {
            let rate = self.rate(Some(since))?;
            (expected > 0.0).then(|| rate * count / expected)
        };
        let interval = interval(candidates, SHOWN);
        let is_outside = |[low, high]: [f64; 2]| expected < low || expected > high;
        #[expect(clippy::cast_precision_loss, reason = "some thousands")]
        FoundWork {
            candidates,
            expected_candidates: expected,
            hashes_per_second: of(candidates as f64),
            low_hashes_per_second: interval.and_then(|[low, _]| of(low)),
            high_hashes_per_second: interval.and_then(|[_, high]| of(high)),
            // The wider interval is rarely needed, and takes its time.
            disagrees: interval.is_some_and(is_outside)
                && self::interval(candidates, ALARM).is_some_and(is_outside),
        }
    }

    fn rate(&self, since: Option<Sample>) -> Option<f64> {
        let since = since?;
        let elapsed = self.last.at.saturating_duration_since(since.at);
        crate::work::rate(self.last.hashes.saturating_sub(since.hashes), elapsed)
    }
}

impl Ring {
    /// Keeps a sample each `every`, and those of the last `span`.
    fn push(&mut self, sample: Sample, every: Duration, span: Duration) {
        let is_due = |last: &Sample| sample.at.saturating_duration_since(last.at) >= every;
        if self.0.back().is_none_or(is_due) {
            self.0.push_back(sample);
        }
        // One sample lies before the window, or at its beginning.
        while let Some(second) = self.0.get(1)
            && sample.at.saturating_duration_since(second.at) >= span
        {
            self.0.pop_front();
        }
    }

    /// The last sample that is at least `span` old, else the first.
    fn before(&self, now: Instant, span: Duration) -> Option<Sample> {
        let is_old = |sample: &Sample| now.saturating_duration_since(sample.at) >= span;
        let newer = self.0.partition_point(is_old);
        self.0.get(newer.saturating_sub(1)).copied()
    }
}

/// The means for which a count is not unusual, as sure as `confidence`: Garwood's interval, exact for counts.
pub(super) fn interval(count: u64, confidence: f64) -> Option<[f64; 2]> {
    let tail = (1.0 - confidence) / 2.0;
    #[expect(clippy::cast_precision_loss, reason = "some thousands")]
    let gamma = |shape: u64, p: f64| Some(Gamma::new(shape as f64, 1.0).ok()?.inverse_cdf(p));
    let low = if count == 0 { 0.0 } else { gamma(count, tail)? };
    Some([low, gamma(count + 1, 1.0 - tail)?])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(begin: Instant, second: u64, rate: u64) -> Sample {
        let hashes = second * rate;
        #[expect(clippy::cast_precision_loss, reason = "small")]
        Sample {
            at: begin + Duration::from_secs(second),
            hashes,
            candidates: hashes / 10,
            expected: hashes as f64 / 10.0,
            busy: Duration::from_millis(second * 250),
        }
    }

    #[test]
    fn rates_are_of_their_windows_and_memory_is_bounded() {
        let begin = Instant::now();
        let mut meter = Meter::new(begin);
        assert_eq!(meter.rates(), Rates::default(), "unknown before time passed");
        // Ten an second for an hour, and then nothing for 30 seconds. Four samples a second.
        for quarter in 1..=4 * 3600_u64 {
            let sample = at(begin, quarter / 4, 10);
            meter.observe(Sample { at: begin + Duration::from_millis(quarter * 250), ..sample });
        }
        let still = at(begin, 3600, 10);
        for second in 1..=30 {
            meter.observe(Sample { at: still.at + Duration::from_secs(second), ..still });
        }
        let rates = meter.rates();
        assert_eq!(rates.now, Some(0.0));
        assert!((rates.one_minute.unwrap() - 5.0).abs() < 0.2, "{rates:?}");
        assert!((rates.fifteen_minutes.unwrap() - 10.0 * 870.0 / 900.0).abs() < 0.2, "{rates:?}");
        assert!((rates.all.unwrap() - 36_000.0 / 3630.0).abs() < 1e-9);
        assert!((meter.busy_ratio().unwrap() - 0.125).abs() < 0.01);
        assert!(meter.fine.0.len() <= 62 && meter.coarse.0.len() <= 62);
    }

    #[test]
    fn garwoods_interval_is_that_of_poissons_sums() {
        // Found by bisection over the sums of Poisson's terms.
        for (count, low, high) in [
            (0, 0.0, 3.688_879_454),
            (1, 0.025_317_808, 5.571_643_391),
            (10, 4.795_388_696, 18.390_356_042),
            (100, 81.363_991_251, 121.626_793_792),
        ] {
            let [found_low, found_high] = interval(count, 0.95).unwrap();
            assert!((found_low - low).abs() < 1e-6, "{count}: {found_low}");
            assert!((found_high - high).abs() < 1e-6, "{count}: {found_high}");
        }
    }

    /// An hour of a device that finds a hit in five seconds if it does `share` of what it reports. Returns what is said
    /// at the end, and in how many of its last 45 minutes there was an alarm.
    fn hour(share: f64, seed: u64) -> (FoundWork, u32) {
        let begin = Instant::now();
        let mut meter = Meter::new(begin);
        let mut random = fastrand::Rng::with_seed(seed);
        let (mut candidates, mut alarms) = (0, 0);
        for second in 1..=3600_u32 {
            candidates += u64::from(random.f64() < 0.2 * share);
            let expected = 0.2 * f64::from(second);
            let second = u64::from(second);
            meter.observe(Sample { candidates, expected, ..at(begin, second, 1000) });
            if second >= 900 && second % 60 == 0 {
                alarms += u32::from(meter.found_work().disagrees);
            }
        }
        (meter.found_work(), alarms)
    }

    #[test]
    fn a_device_that_tests_half_of_what_it_reports_is_found_out() {
        let (half, alarms) = hour(0.5, 1);
        assert!(half.disagrees && alarms > 40, "{half:?}, {alarms}");
        assert!((400.0..600.0).contains(&half.hashes_per_second.unwrap()), "{half:?}");
    }

    #[test]
    fn of_honest_devices_19_in_20_intervals_are_right_and_none_alarms() {
        let covers = |seed| {
            let (found, alarms) = hour(1.0, seed);
            assert_eq!(alarms, 0, "{seed}");
            let [low, high] = [found.low_hashes_per_second, found.high_hashes_per_second];
            low.unwrap() < 1000.0 && high.unwrap() > 1000.0
        };
        let right = (0..100).filter(|seed| covers(*seed)).count();
        // Hits are drawn once a second, which makes their number a little less random than chance alone.
        assert!((90..=100).contains(&right), "{right}");
    }

    #[test]
    fn nothing_is_said_of_no_work() {
        let mut meter = Meter::new(Instant::now());
        assert_eq!(meter.found_work().hashes_per_second, None);
        assert!(!meter.found_work().disagrees);
        meter.observe(meter.last);
        assert_eq!(meter.rates(), Rates::default());
    }
}
