//! What keeps the desktop usable: how hard each device works, and who may pause it.

use std::time::{Duration, Instant};

use super::schedule::Schedule;
use super::when::{Busy, Load, When};
use crate::cli::options::{self, Profile};
use crate::cli::team::{self, Measured};
use crate::cli::{Failure, options::TeamOptions};
use crate::device::{Device, Facts};
use crate::engine::DeviceId;
use crate::engine::governor::{Asker, Event, Limits};
use crate::runtime::presence::Presence;
use crate::runtime::snapshot::{self, Snapshot, State};
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

    /// Mine while nobody uses this machine (idle), while it does not run on its battery (plugged-in), while no other
    /// program loads its GPUs (gpu-free), several with commas, or always
    #[arg(long, value_name = "CONDITIONS", default_value = "always")]
    when: When,

    /// Without input for so long, this machine is idle
    #[arg(long, value_name = "TIME", value_parser = idle_after, default_value = "1m")]
    idle_after: Duration,

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
    /// What other programs take of each GPU.
    loads: Vec<Load>,
    /// Whether one of them is loaded.
    is_loaded: bool,
    /// Since when devices work, for a driver knows who loads a GPU by who works.
    works_since: Option<Instant>,
    /// Whether it was said of which GPUs that is not known.
    is_load_told: bool,
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
        if let Some(snapshot) = snapshot {
            notes.extend(self.yield_to_programs(control, steering, snapshot, Instant::now()));
        }
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
        if !self.when.needs_presence() {
            return;
        }
        let presence = steering.presence.get_or_insert_with(Presence::watch);
        let Some(seen) = presence.seen(Instant::now()) else { return };
        let told = steering.is_unknown_told.iter_mut();
        let conditions = self.when.conditions(&seen, self.idle_after);
        let conditions = conditions.into_iter().zip(&mut steering.is_against);
        for ((condition, is_against), is_told) in conditions.zip(told) {
            let is_now = condition.holds == Ok(false);
            if std::mem::replace(is_against, is_now) != is_now {
                control.handle(self.answer(condition.asker, is_now));
            }
            if let Err(why) = condition.holds
                && !std::mem::replace(is_told, true)
            {
                notes.push(format!("--when {} does nothing: {why}", condition.name));
            }
        }
    }

    /// What follows when something speaks against mining, or does no more.
    const fn answer(&self, asker: Asker, is_against: bool) -> Event {
        match (is_against, self.when_busy) {
            (false, _) => Event::Resume(asker),
            (true, Busy::Pause) => Event::Pause(asker),
            (true, Busy::Background) => Event::Yield(asker),
        }
    }

    /// Pauses or slows devices down while another program loads one of the GPUs. Returns of which of them that is not
    /// known, once.
    fn yield_to_programs(
        &self,
        control: &Control,
        steering: &mut Steering,
        snapshot: &Snapshot,
        now: Instant,
    ) -> Vec<String> {
        if !self.when.needs_free_gpus() {
            return Vec::new();
        }
        steering.loads.resize_with(snapshot.devices.len(), Load::default);
        let looks = steering.loads.iter_mut().zip(&snapshot.devices);
        // All are looked at, also after one that is loaded.
        let is_now = looks.fold(false, |is_any, (load, device)| {
            is_any | load.look(device.sensors.others_load_percent, now)
        });
        if std::mem::replace(&mut steering.is_loaded, is_now) != is_now {
            control.handle(self.answer(Asker::GpuLoaded, is_now));
        }
        let works = snapshot.run.state == State::Mining;
        let since = works.then(|| *steering.works_since.get_or_insert(now));
        steering.works_since = since;
        let is_due = since.is_some_and(|since| (now - since).as_secs_f64() >= SENSORS_ANSWER);
        if !is_due || std::mem::replace(&mut steering.is_load_told, true) {
            return Vec::new();
        }
        let unknown = |device: &&snapshot::Device| device.sensors.others_load_percent.is_none();
        let say = |device: &snapshot::Device| {
            format!(
                "{}, {}: nobody tells what other programs take of it, so --when gpu-free does nothing for it",
                device.device,
                text::clean(&device.name)
            )
        };
        snapshot.devices.iter().filter(unknown).map(say).collect()
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
        let conditions = |options: &Self| (options.when, options.idle_after, options.when_busy);
        if conditions(self) != conditions(before) {
            for asker in [Asker::InUse, Asker::OnBattery, Asker::GpuLoaded] {
                control.resume(asker);
            }
            (steering.is_against, steering.is_unknown_told) = Default::default();
            (steering.loads, steering.is_loaded, steering.is_load_told) = Default::default();
            if !self.when.needs_presence() {
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

/// Shorter pauses in typing are none of anybody who left.
fn idle_after(text: &str) -> Result<Duration, String> {
    let [shortest, longest] = [1, 24 * 60 * 60].map(Duration::from_secs);
    options::duration(text, shortest..=longest, "a machine is idle after")
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
