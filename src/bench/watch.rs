//! Reads the sensors of a device beside the measurement.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Builder;
use std::time::{Duration, Instant};

use super::record::TimedReading;
use crate::device::Facts;
use crate::device::sensors::{Reading, Sensors};
use crate::limits::READINGS;

/// How often sensors are read: clocks follow the load within some tenths of a second.
const INTERVAL: Duration = Duration::from_millis(200);

/// How long a driver may take to find the sensors of a device.
const PATIENCE: Duration = Duration::from_secs(5);

/// How old a reading may be and still be of a moment.
const FRESH: f64 = 1.0;

/// A thread that reads sensors. It is left alone when a driver does not answer it: that happens to lost
/// devices.
pub(super) struct Watch {
    readings: Arc<Mutex<Vec<TimedReading>>>,
    /// Dropped with the watch, which ends the thread.
    _end: Sender<()>,
    /// Where the readings come from, or why there are none.
    pub(super) source: String,
}

impl Watch {
    /// Begins to read the sensors of a device. Times count from `begin`.
    #[must_use]
    pub(super) fn start(facts: &Facts, begin: Instant) -> Self {
        let readings = Arc::new(Mutex::new(Vec::new()));
        let (end, ended) = channel();
        let (tell, told) = channel();
        let (facts, written) = (facts.clone(), Arc::clone(&readings));
        let thread = Builder::new().name("sensors".to_owned()).spawn(move || {
            let mut sensors = Sensors::of(&facts);
            let source = sensors.source();
            let has_any = source.is_ok();
            let source = source.map_or_else(|why| format!("none: {why}"), str::to_owned);
            // Nobody listens any more when this took too long.
            let _ = tell.send(source);
            let mut last: Option<TimedReading> = None;
            while has_any && ended.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
                let at = begin.elapsed().as_secs_f64();
                let reading = with_power(sensors.read(), at, last.as_ref());
                let timed = TimedReading { at, reading };
                push(&mut written.lock().unwrap_or_else(PoisonError::into_inner), timed.clone());
                last = Some(timed);
            }
        });
        let source = match thread {
            Ok(_) => told
                .recv_timeout(PATIENCE)
                .unwrap_or_else(|_| "none: the driver does not answer".to_owned()),
            Err(error) => format!("none: {error}"),
        };
        Self { readings, _end: end, source }
    }

    /// All readings so far.
    #[must_use]
    pub(super) fn readings(&self) -> Vec<TimedReading> {
        self.readings.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What the sensors said between two times, or last before the end.
    #[must_use]
    pub(super) fn between(&self, from: f64, to: f64) -> Reading {
        summary(&self.readings.lock().unwrap_or_else(PoisonError::into_inner), from, to)
    }
}

/// Keeps every second reading once there are too many.
fn push(readings: &mut Vec<TimedReading>, reading: TimedReading) {
    if readings.len() >= READINGS {
        let mut keep = false;
        readings.retain(|_| {
            keep = !keep;
            keep
        });
    }
    readings.push(reading);
}

fn with_power(reading: Reading, at: f64, last: Option<&TimedReading>) -> Reading {
    let Some(last) = last else { return reading };
    let elapsed = Duration::try_from_secs_f64(at - last.at).unwrap_or_default();
    reading.with_power_since(&last.reading, elapsed)
}

/// Clock and power are means, the temperature is the highest, and reasons are collected.
fn summary(readings: &[TimedReading], from: f64, to: f64) -> Reading {
    let inside: Vec<&Reading> = readings
        .iter()
        .filter(|reading| (from..=to).contains(&reading.at))
        .map(|reading| &reading.reading)
        .collect();
    if inside.is_empty() {
        let before = readings.iter().rev().find(|reading| reading.at <= to);
        let fresh = before.filter(|reading| reading.at >= to - FRESH);
        return fresh.map(|reading| reading.reading.clone()).unwrap_or_default();
    }
    let known = |field: fn(&Reading) -> Option<f64>| -> Vec<f64> {
        inside.iter().filter_map(|reading| field(reading)).collect()
    };
    #[expect(clippy::cast_precision_loss, reason = "a few readings")]
    let mean = |field| {
        let values = known(field);
        (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
    };
    let reasons = inside.iter().filter_map(|reading| reading.throttle.clone());
    Reading {
        clock_mhz: mean(|reading| reading.clock_mhz),
        power_w: mean(|reading| reading.power_w),
        temperature_c: known(|reading| reading.temperature_c).into_iter().reduce(f64::max),
        throttle: reasons.reduce(|all, more| all.union(&more).copied().collect()),
        ..Reading::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Kind;
    use crate::device::cpu::Cpu;
    use crate::device::sensors::Throttle;

    fn reading(at: f64, clock: f64, throttle: Option<Throttle>) -> TimedReading {
        let reading = Reading {
            clock_mhz: Some(clock),
            temperature_c: Some(clock / 100.0),
            throttle: Some(throttle.into_iter().collect()),
            ..Reading::default()
        };
        TimedReading { at, reading }
    }

    #[test]
    fn a_round_has_the_readings_inside_it_or_the_last_before() {
        let readings = [
            reading(1.0, 1000.0, None),
            reading(1.2, 2000.0, Some(Throttle::PowerCap)),
            reading(1.4, 3000.0, Some(Throttle::Thermal)),
        ];
        let round = summary(&readings, 1.1, 1.5);
        assert_eq!((round.clock_mhz, round.temperature_c), (Some(2500.0), Some(30.0)));
        let reasons = round.throttle.unwrap();
        assert!(reasons.contains(&Throttle::PowerCap) && reasons.contains(&Throttle::Thermal));
        assert_eq!(summary(&readings, 1.25, 1.35).clock_mhz, Some(2000.0));
        assert_eq!(summary(&readings, 9.0, 9.1), Reading::default(), "too old");
        assert_eq!(summary(&[], 0.0, 1.0), Reading::default());
    }

    #[test]
    fn counted_energy_becomes_power() {
        let energy = |energy| Reading { energy_j: Some(energy), ..Reading::default() };
        let last = TimedReading { at: 1.0, reading: energy(10.0) };
        assert_eq!(with_power(energy(60.0), 1.5, Some(&last)).power_w, Some(100.0));
        assert_eq!(with_power(energy(5.0), 1.5, Some(&last)).power_w, None, "it began anew");
        assert_eq!(with_power(energy(60.0), 1.5, None).power_w, None);
    }

    #[test]
    fn readings_have_a_bound() {
        let mut readings = Vec::new();
        (0..3 * READINGS).for_each(|_| push(&mut readings, reading(0.0, 1.0, None)));
        assert!(readings.len() <= READINGS);
    }

    #[test]
    fn a_device_without_sensors_says_so() {
        let nowhere = Facts {
            kind: Kind::Discrete,
            name: "Voodoo".to_owned(),
            pci: Some("ffff:ff:1f.7".to_owned()),
            ..Cpu::facts()
        };
        let watch = Watch::start(&nowhere, Instant::now());
        assert!(watch.source.starts_with("none: "), "{}", watch.source);
        assert!(watch.readings().is_empty());
        assert_eq!(watch.between(0.0, 1.0), Reading::default());
    }
}
