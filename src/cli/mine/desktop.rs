//! What keeps the desktop usable: how hard each device works, and who may pause it.

use std::time::Instant;

use super::schedule::Schedule;
use super::when::{Busy, When};
use crate::cli::options::{self, Profile};
use crate::cli::team::{self, Measured};
use crate::cli::{Failure, options::TeamOptions};
use crate::device::{Device, Facts};
use crate::engine::DeviceId;
use crate::engine::governor::{Asker, Event, Limits};
use crate::runtime::presence::Presence;
use crate::runtime::snapshot::{self, Snapshot};
use crate::runtime::{Control, Crew, Reopen, Stop};
use crate::ui::text;
use crate::work::Duty;

#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "What is left for the desktop")]
pub(super) struct DesktopOptions {
    /// How long a batch takes. Default: `desktop` on a GPU that drives a display, else `dedicated`
    #[arg(long, value_enum)]
    profile: Option<Profile>,

    /// The part of the time in which each device works, such as 25%
    #[arg(long, value_name = "PERCENT", default_value = "100%", hide_default_value = true)]
    gpu_share: Duty,

    /// Keep each device below this temperature, such as 80C: by its part of the time, and by a pause where that is
    /// not enough
    #[arg(long, value_name = "CELSIUS", value_parser = temperature, allow_negative_numbers = true)]
    max_temp: Option<f64>,

    /// Keep each device below this power, such as 200W, in the same way
    #[arg(long, value_name = "WATTS", value_parser = power, allow_negative_numbers = true)]
    max_power: Option<f64>,

    /// Mine at these times only, by the clock of this machine: 22:00-07:00, or mon-fri 22:00-07:00; several with
    /// commas
    #[arg(long, value_name = "TIMES")]
    schedule: Option<Schedule>,

    /// Mine while nobody uses this machine (idle), while it does not run on its battery (plugged-in), both with a
    /// comma, or always
    #[arg(long, value_name = "CONDITIONS", default_value = "always")]
    when: When,

    /// What happens while --when does not hold
    #[arg(long, value_enum, default_value = "pause")]
    when_busy: Busy,
}

/// What is told while a run is steered.
#[derive(Debug, Default)]
pub(super) struct Steering {
    /// Whether it was time to mine when that was looked at last.
    is_open: Option<bool>,
    /// Whether it was said which devices lack the sensors of their limits.
    is_blind_told: bool,
    /// Looks at who uses the machine, where that matters.
    presence: Option<Presence>,
    /// Who speaks against mining, by the place of conditions in [`When::holds`].
    is_against: [bool; 2],
    /// Whether it was said that a condition cannot be told.
    is_unknown_told: [bool; 2],
}

/// Sensors answer within some seconds, or never.
const SENSORS_ANSWER: f64 = 10.0;

/// The devices of a run, as they are governed.
pub(super) struct Governed {
    pub(super) crew: Crew,
    /// Hashes per second of each in its trial.
    pub(super) speeds: Vec<f64>,
    /// The most headers that one of them takes at once.
    pub(super) widest: u32,
    /// How each is opened again.
    pub(super) reopen: Vec<Reopen>,
}

impl DesktopOptions {
    /// Whether anything is asked for that needs sensors, the clock or a look at who uses the machine.
    pub(super) fn needs_steering(&self) -> bool {
        self.limits() != Limits::default() || self.schedule.is_some() || self.when != When::ALWAYS
    }

    /// Pauses what shall not work now. Returns what people should know, once each.
    pub(super) fn steer(
        &self,
        control: &Control,
        steering: &mut Steering,
        snapshot: Option<&Snapshot>,
    ) -> Vec<String> {
        let mut notes = Vec::new();
        if let Some(schedule) = &self.schedule {
            let now = jiff::ZonedDateTime::now().datetime();
            let is_open = schedule.is_open(now);
            if steering.is_open.replace(is_open) != Some(is_open) {
                if is_open {
                    control.resume(Asker::Schedule);
                } else {
                    control.pause(Asker::Schedule);
                    let next = schedule.next_change(now);
                    notes.extend(next.map(|next| {
                        format!("--schedule: mining begins {}", next.strftime("%A %H:%M"))
                    }));
                }
            }
        }
        self.yield_to_others(control, steering, &mut notes);
        let snapshot = snapshot.filter(|snapshot| snapshot.run.uptime_seconds >= SENSORS_ANSWER);
        if let Some(snapshot) = snapshot
            && !std::mem::replace(&mut steering.is_blind_told, true)
        {
            notes.extend(snapshot.devices.iter().flat_map(|device| self.blind(device)));
        }
        notes
    }

    /// Pauses or slows devices down for who uses the machine, and for its battery.
    fn yield_to_others(&self, control: &Control, steering: &mut Steering, notes: &mut Vec<String>) {
        if self.when == When::ALWAYS {
            return;
        }
        let presence = steering.presence.get_or_insert_with(Presence::watch);
        let Some(seen) = presence.seen(Instant::now()) else { return };
        let told = steering.is_unknown_told.iter_mut();
        let conditions = self.when.conditions(&seen).into_iter().zip(&mut steering.is_against);
        for ((condition, is_against), is_told) in conditions.zip(told) {
            let is_now = condition.holds == Ok(false);
            if std::mem::replace(is_against, is_now) != is_now {
                control.handle(match (is_now, self.when_busy) {
                    (false, _) => Event::Resume(condition.asker),
                    (true, Busy::Pause) => Event::Pause(condition.asker),
                    (true, Busy::Background) => Event::Yield(condition.asker),
                });
            }
            if let Err(why) = condition.holds
                && !std::mem::replace(is_told, true)
            {
                notes.push(format!("--when {} does nothing: {why}", condition.name));
            }
        }
    }

    /// Puts what differs from `before` under way.
    pub(super) fn replace(
        &self,
        before: &Self,
        control: &Control,
        steering: &mut Steering,
        devices: &[Facts],
    ) {
        if self.profile != before.profile {
            for (device, facts) in (0..).map(DeviceId).zip(devices) {
                let profile = options::profile(self.profile, facts);
                control.handle(Event::Profile(Some(device), profile));
            }
        }
        if self.gpu_share != before.gpu_share {
            control.handle(Event::Duty(None, self.gpu_share));
        }
        if self.limits() != before.limits() {
            control.handle(Event::Limits(self.limits()));
            steering.is_blind_told = false;
        }
        if self.schedule != before.schedule {
            // It is looked at anew with the next step.
            control.resume(Asker::Schedule);
            steering.is_open = None;
        }
        if (self.when, self.when_busy) != (before.when, before.when_busy) {
            control.resume(Asker::InUse);
            control.resume(Asker::OnBattery);
            (steering.is_against, steering.is_unknown_told) = Default::default();
            if self.when == When::ALWAYS {
                steering.presence = None;
            }
        }
    }

    const fn limits(&self) -> Limits {
        Limits { temperature_c: self.max_temp, power_w: self.max_power }
    }

    /// The limits of a device that its sensors cannot tell of.
    fn blind(&self, device: &snapshot::Device) -> Vec<String> {
        let sensors = &device.sensors;
        [
            ("--max-temp", self.max_temp, sensors.temperature_celsius, "temperature"),
            ("--max-power", self.max_power, sensors.power_watts, "power"),
        ]
        .into_iter()
        .filter(|(_, limit, sensed, _)| limit.is_some() && sensed.is_none())
        .map(|(option, _, _, what)| {
            let name = text::clean(&device.name);
            format!(
                "{}, {name}: its {what} is not known, so {option} does nothing for it",
                device.device
            )
        })
        .collect()
    }

    /// Opens the devices and puts them under `control`.
    pub(super) fn open(
        &self,
        options: &TeamOptions,
        control: &Control,
        stop: &Stop,
    ) -> Result<Governed, Failure> {
        let profile = |facts: &_| options::profile(self.profile, facts);
        let measured = team::open_measured(options, &profile, stop)?;
        for (id, Measured { profile, .. }) in (0..).map(DeviceId).zip(&measured) {
            control.join(id, *profile, self.gpu_share);
        }
        if self.limits() != Limits::default() {
            control.handle(Event::Limits(self.limits()));
        }
        let speeds = measured.iter().map(|measured| measured.rate).collect();
        let reopen = measured.iter().map(|measured| measured.reopen.clone()).collect();
        let devices: Vec<Box<dyn Device>> = measured.into_iter().map(|one| one.device).collect();
        let widest = devices.iter().map(|device| device.info().width.most).max().unwrap_or(1);
        let mut crew = Crew::new(devices, Profile::Desktop.batch_time(), stop.clone());
        crew.obey(control.clone());
        Ok(Governed { crew, speeds, widest, reopen })
    }
}

/// `80`, `80C` or `80 °C`.
fn temperature(text: &str) -> Result<f64, String> {
    quantity(text, &["°C", "C", "c"], 20.0..=110.0)
        .ok_or_else(|| "write a temperature from 20C to 110C, such as 80C".to_owned())
}

/// `200`, `200W` or `200 W`.
fn power(text: &str) -> Result<f64, String> {
    quantity(text, &["W", "w"], 1.0..=10_000.0)
        .ok_or_else(|| "write a power from 1W to 10000W, such as 200W".to_owned())
}

/// A number in a range, with or without its unit.
fn quantity(text: &str, units: &[&str], range: std::ops::RangeInclusive<f64>) -> Option<f64> {
    let text = text.trim();
    let number = units.iter().find_map(|unit| text.strip_suffix(unit)).unwrap_or(text);
    number.trim().parse().ok().filter(|value| range.contains(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_have_units_or_none_and_are_possible() {
        for text in ["80", "80C", "80 °C", " 80c "] {
            assert_eq!(temperature(text), Ok(80.0), "{text}");
        }
        assert_eq!(power("212.5W"), Ok(212.5));
        for text in ["", "C", "80F", "-5C", "1000C", "NaN", "inf"] {
            assert!(temperature(text).is_err_and(|why| why.contains("80C")), "{text}");
        }
        assert!(power("0").is_err() && power("200kW").is_err());
    }
}
