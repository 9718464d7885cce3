//! Decides how hard each device works: whether it is paused and by whom, how long its batches are, and which
//! part of the time it has any.
//!
//! Events and the time come in; [`Governor::setting`] says what follows for a device. Whoever asked for a pause
//! lifts it: mining goes on when nobody asks for one any more.

#[cfg(test)]
mod tests;
mod thermostat;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Instant;

use schemars::JsonSchema;
use serde::Serialize;

pub use thermostat::{Limits, Sensed};

use thermostat::Thermostat;

use super::DeviceId;
use crate::work::{Duty, Pace, Profile};

/// Why devices are paused or work less.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The user pressed a key.
    Key,
    /// The process got a signal.
    Signal,
    /// A program asked for it.
    Api,
    /// It is not the time to mine.
    Schedule,
    /// Somebody uses the machine.
    InUse,
    /// The machine runs on its battery.
    OnBattery,
    /// Another program loads a GPU of the run.
    GpuLoaded,
    /// A device would be hotter than it may be.
    Temperature,
    /// A device would take more power than it may.
    Power,
}

impl Reason {
    /// The reasons that are a person's wish, or his program's.
    const ASKED: [Self; 3] = [Self::Key, Self::Signal, Self::Api];
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Key => "a key was pressed",
            Self::Signal => "SIGUSR1 was sent, and SIGUSR2 ends it",
            Self::Api => "the API was asked to",
            Self::Schedule => "--schedule says so",
            Self::InUse => "somebody uses this machine, and --when says idle",
            Self::OnBattery => "this machine runs on its battery, and --when says plugged-in",
            Self::GpuLoaded => "another program loads the GPU, and --when says gpu-free",
            Self::Temperature => "it is too hot for --max-temp",
            Self::Power => "it takes too much for --max-power",
        })
    }
}

/// Who asks for a pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asker {
    /// The user, with a key. He sees all reasons, so his word to go on lifts those of signals and programs too.
    Key,
    /// A signal.
    Signal,
    /// A program, through the API.
    Api,
    /// The clock.
    Schedule,
    /// Whoever looks whether the machine is used.
    InUse,
    /// Whoever looks where its power comes from.
    OnBattery,
    /// Whoever looks which programs load the GPUs.
    GpuLoaded,
}

impl From<Asker> for Reason {
    fn from(asker: Asker) -> Self {
        match asker {
            Asker::Key => Self::Key,
            Asker::Signal => Self::Signal,
            Asker::Api => Self::Api,
            Asker::Schedule => Self::Schedule,
            Asker::InUse => Self::InUse,
            Asker::OnBattery => Self::OnBattery,
            Asker::GpuLoaded => Self::GpuLoaded,
        }
    }
}

/// What happens to the governor.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Event {
    /// Devices shall do nothing.
    Pause(Asker),
    /// Devices shall work with the profile `background`, whatever theirs is.
    Yield(Asker),
    /// They may go on, as far as this asker is concerned.
    Resume(Asker),
    /// A device shall work with this profile; all, where none is named.
    Profile(Option<DeviceId>, Profile),
    /// A device shall work this part of the time; all, where none is named.
    Duty(Option<DeviceId>, Duty),
    /// All devices shall stay below these limits.
    Limits(Limits),
    /// The sensors of a device were read.
    Sensed(DeviceId, Sensed),
}

/// What a device shall do now.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Setting {
    /// How it works.
    pub pace: Pace,
    /// It does nothing, whatever the pace says.
    pub is_paused: bool,
}

/// How the devices are governed, for people and programs.
#[derive(Debug, Clone, Default, PartialEq, Serialize, JsonSchema)]
pub struct Status {
    /// Why all devices are paused; empty while they are not.
    pub paused: BTreeSet<Reason>,
    /// Each device.
    pub devices: Vec<DeviceStatus>,
}

impl Status {
    /// Whether all devices are paused, for whatever reasons.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        let mut devices = self.devices.iter();
        !self.paused.is_empty()
            || (!self.devices.is_empty() && devices.all(|device| !device.paused.is_empty()))
    }

    /// Whether this is worth telling to who knows how it was before: pauses and profiles. Parts of the time may
    /// change every second.
    #[must_use]
    pub fn is_news_after(&self, before: &Self) -> bool {
        let facts = |status: &Self| -> Vec<_> {
            let device = |device: &DeviceStatus| (device.paused.clone(), device.profile);
            status.devices.iter().map(device).collect()
        };
        // What a run begins with was asked for.
        let is_first = before.devices.is_empty() && self.paused.is_empty();
        !is_first && facts(self) != facts(before)
    }
}

impl fmt::Display for Status {
    /// Who is paused and why, else what each device works with: `paused: SIGUSR1 was sent, and SIGUSR2 ends it`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reasons = |all: &BTreeSet<Reason>| {
            all.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
        };
        if !self.paused.is_empty() {
            return write!(f, "paused: {}", reasons(&self.paused));
        }
        let device = |device: &DeviceStatus| match reasons(&device.paused) {
            none if none.is_empty() => {
                let because = match reasons(&device.held_back) {
                    none if none.is_empty() => none,
                    reasons => format!(" ({reasons})"),
                };
                format!("{} works with the profile {}{because}", device.device, device.profile)
            }
            reasons => format!("{} is paused: {reasons}", device.device),
        };
        let all: Vec<String> = self.devices.iter().map(device).collect();
        write!(f, "mining goes on: {}", all.join(", "))
    }
}

/// How a device is governed.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct DeviceStatus {
    /// Which.
    pub device: DeviceId,
    /// Why it is paused, for the reasons of all too; empty while it is not.
    pub paused: BTreeSet<Reason>,
    /// The profile that it works with.
    pub profile: Profile,
    /// How long its batches shall take.
    pub batch_seconds: f64,
    /// The part of the time in which it shall work, up to 1, as far as its limits let it.
    pub gpu_share: Duty,
    /// What holds it back: limits, or who uses the machine; empty where nothing does.
    pub held_back: BTreeSet<Reason>,
}

/// The deciding part.
#[derive(Debug, Default)]
pub struct Governor {
    /// Why all are paused.
    paused: BTreeSet<Reason>,
    /// Why all work in the background.
    yielded: BTreeSet<Reason>,
    seats: BTreeMap<DeviceId, Seat>,
}

#[derive(Debug)]
struct Seat {
    profile: Profile,
    duty: Duty,
    thermostat: Thermostat,
}

impl Seat {
    /// Why the device is paused, apart from what pauses all.
    fn paused(&self) -> Option<Reason> {
        self.thermostat.paused()
    }
}

impl Governor {
    /// A device works with this profile and part of the time until it is told otherwise.
    pub fn join(&mut self, device: DeviceId, profile: Profile, duty: Duty) {
        let thermostat = Thermostat::new(Limits::default());
        self.seats.insert(device, Seat { profile, duty, thermostat });
    }

    /// Takes an event. Returns whether anything follows from it.
    pub fn handle(&mut self, event: Event, now: Instant) -> bool {
        match event {
            Event::Pause(asker) => self.paused.insert(asker.into()),
            Event::Resume(Asker::Key) => {
                Reason::ASKED.iter().filter(|reason| self.paused.remove(reason)).count() > 0
            }
            Event::Yield(asker) => self.yielded.insert(asker.into()),
            Event::Resume(asker) => {
                let reason = asker.into();
                // Both, whatever the first says.
                self.paused.remove(&reason) | self.yielded.remove(&reason)
            }
            Event::Profile(device, profile) => {
                self.each(device, |seat| std::mem::replace(&mut seat.profile, profile) != profile)
            }
            Event::Duty(device, duty) => {
                self.each(device, |seat| std::mem::replace(&mut seat.duty, duty) != duty)
            }
            Event::Limits(limits) => self.each(None, |seat| {
                seat.thermostat = Thermostat::new(limits);
                true
            }),
            Event::Sensed(device, sensed) => {
                self.each(Some(device), |seat| seat.thermostat.read(sensed, now))
            }
        }
    }

    /// Whether `change` changed any of the seats that are meant.
    fn each(&mut self, device: Option<DeviceId>, change: impl Fn(&mut Seat) -> bool) -> bool {
        let meant =
            self.seats.iter_mut().filter(|(id, _)| device.is_none_or(|device| device == **id));
        meant.filter_map(|(_, seat)| change(seat).then_some(())).count() > 0
    }

    /// What a device shall do now; `None` for one that is not governed.
    #[must_use]
    pub fn setting(&self, device: DeviceId) -> Option<Setting> {
        let seat = self.seats.get(&device)?;
        let duty = seat.thermostat.duty(seat.duty);
        let pace = Pace { batch_time: self.profile(seat).batch_time(), duty };
        Some(Setting { pace, is_paused: !self.paused.is_empty() || seat.paused().is_some() })
    }

    /// What a device works with.
    fn profile(&self, seat: &Seat) -> Profile {
        if self.yielded.is_empty() { seat.profile } else { Profile::Background }
    }

    /// How it all stands.
    #[must_use]
    pub fn status(&self) -> Status {
        let device = |(device, seat): (&DeviceId, &Seat)| DeviceStatus {
            device: *device,
            paused: self.paused.iter().copied().chain(seat.paused()).collect(),
            profile: self.profile(seat),
            batch_seconds: self.profile(seat).batch_time().as_secs_f64(),
            gpu_share: seat.thermostat.duty(seat.duty),
            held_back: &self.yielded | seat.thermostat.held_back(),
        };
        Status { paused: self.paused.clone(), devices: self.seats.iter().map(device).collect() }
    }
}
