//! Keeps a device below a temperature and a power: by its part of the time, and where that is not enough by a pause.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::Reason;
use crate::work::Duty;

/// What a device shall stay below.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Limits {
    /// Temperature of the chip in °C.
    pub temperature_c: Option<f64>,
    /// Power in watts, on average over some seconds.
    pub power_w: Option<f64>,
}

/// What the sensors of a device said.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Sensed {
    /// Temperature of the chip in °C.
    pub temperature_c: Option<f64>,
    /// Power in watts.
    pub power_w: Option<f64>,
}

/// How far below the limit of temperature a device is held: the next reading may be higher.
const MARGIN_C: f64 = 1.0;

/// Below the limit by this much nothing is held back.
const FREE_C: f64 = 8.0;

/// So much above the limit of temperature a device is paused, whatever its part of the time.
const TOO_HOT_C: f64 = 5.0;

/// A paused device goes on when it is this much cooler than its limit.
const COOL_C: f64 = 5.0;

/// The part of the time that one degree costs, at once and in each second that it lasts. Chips and coolers answer in
/// ten seconds to some minutes, and the second divided by the first is what a slow one needs.
const AT_ONCE: f64 = 0.05;
const PER_SECOND: f64 = 0.0008;

/// The part of the time that each second costs at twice the limit of power.
const POWER_PER_SECOND: f64 = 0.08;

/// Power is averaged over this time, because bursts of work make it jump.
const POWER_TIME: f64 = 8.0;

/// How fast a device that is not held back any more gets its time back, in each second.
const BACK_PER_SECOND: f64 = 0.02;

/// A device that works so little and is above a limit for so long is paused...
const LEAST: f64 = 0.05;
const HOPELESS: Duration = Duration::from_secs(20);

/// ...for this long at least, and begins with a part of its time.
const REST: Duration = Duration::from_secs(30);
const AFTER_REST: f64 = 0.25;

/// Readings that are further apart tell nothing of the time between.
const GAP: f64 = 5.0;

/// Holds one device back.
#[derive(Debug)]
pub(super) struct Thermostat {
    limits: Limits,
    /// The part of the time that the limits leave.
    part: f64,
    last: Option<(Instant, Sensed)>,
    /// Averaged.
    power_w: Option<f64>,
    /// Since when it is above a limit although it hardly works.
    hopeless: Option<Instant>,
    paused: Option<(Reason, Instant)>,
    held_back: BTreeSet<Reason>,
}

impl Thermostat {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            part: 1.0,
            last: None,
            power_w: None,
            hopeless: None,
            paused: None,
            held_back: BTreeSet::new(),
        }
    }

    /// The part of the time that a device has which would work `duty` of it.
    pub(super) fn duty(&self, duty: Duty) -> Duty {
        Duty::of(duty.part() * self.part)
    }

    /// Why the device is paused, if it is.
    pub(super) fn paused(&self) -> Option<Reason> {
        self.paused.map(|(reason, _)| reason)
    }

    /// What holds it back.
    pub(super) const fn held_back(&self) -> &BTreeSet<Reason> {
        &self.held_back
    }

    /// Takes a reading. What a sensor does not say changes nothing: a device is neither held back nor let go by a
    /// guess. Returns whether anything follows.
    pub(super) fn read(&mut self, sensed: Sensed, now: Instant) -> bool {
        let believable = |value: Option<f64>| value.filter(|value| value.is_finite());
        let sensed = Sensed {
            temperature_c: believable(sensed.temperature_c),
            power_w: believable(sensed.power_w),
        };
        let before = (self.duty(Duty::FULL), self.paused(), self.held_back.clone());
        let last = self.last.replace((now, sensed));
        let elapsed = last.map(|(at, _)| now.saturating_duration_since(at).as_secs_f64());
        let last = last.map(|(_, sensed)| sensed).unwrap_or_default();
        let time = elapsed.unwrap_or_default().min(GAP);
        if let Some(power) = sensed.power_w {
            let mean = self.power_w.unwrap_or(power);
            self.power_w = Some(mean + (power - mean) * (time / POWER_TIME).min(1.0));
        }
        if self.paused.is_some() {
            self.go_on(sensed, now);
        } else {
            self.hold(sensed, last, time, now);
        }
        before != (self.duty(Duty::FULL), self.paused(), self.held_back.clone())
    }

    /// Changes the part of the time of a device that works, and pauses it where that is not enough.
    fn hold(&mut self, sensed: Sensed, last: Sensed, time: f64, now: Instant) {
        let (mut change, mut above) = (BACK_PER_SECOND * time, None);
        self.held_back.clear();
        if let (Some(limit), Some(is)) = (self.limits.temperature_c, sensed.temperature_c) {
            if is >= limit + TOO_HOT_C {
                return self.pause(Reason::Temperature, now);
            }
            if is > limit - FREE_C {
                let rise = is - last.temperature_c.unwrap_or(is);
                let error = is - (limit - MARGIN_C);
                change = change.min(-AT_ONCE * rise - PER_SECOND * error * time);
                self.held_back.insert(Reason::Temperature);
            }
            above = above.or((is > limit).then_some(Reason::Temperature));
        }
        if let (Some(limit), Some(is)) = (self.limits.power_w, self.power_w) {
            let error = (is - limit) / limit;
            if error > -0.1 {
                change = change.min(-POWER_PER_SECOND * error * time);
                self.held_back.insert(Reason::Power);
            }
            above = above.or((error > 0.0).then_some(Reason::Power));
        }
        self.part = (self.part + change).clamp(LEAST, 1.0);
        if self.part >= 1.0 {
            self.held_back.clear();
        }
        match above.filter(|_| self.part <= LEAST) {
            None => self.hopeless = None,
            Some(reason) => {
                let since = *self.hopeless.get_or_insert(now);
                if now.saturating_duration_since(since) >= HOPELESS {
                    self.pause(reason, now);
                }
            }
        }
    }

    fn pause(&mut self, reason: Reason, now: Instant) {
        self.paused = Some((reason, now));
        self.hopeless = None;
        self.held_back = BTreeSet::from([reason]);
    }

    /// Lets a paused device go on, if its sensors say that it may.
    fn go_on(&mut self, sensed: Sensed, now: Instant) {
        let Some((_, since)) = self.paused else { return };
        let is_cool = match (self.limits.temperature_c, sensed.temperature_c) {
            (Some(limit), Some(is)) => is <= limit - COOL_C,
            (Some(_), None) => false,
            (None, _) => true,
        };
        if is_cool && now.saturating_duration_since(since) >= REST {
            self.paused = None;
            self.part = AFTER_REST;
        }
    }
}
