//! Opens the devices of a run: chosen, tested, and the faster one where that decides.

use std::time::Duration;

use super::options::{DeviceOptions, Profile, TeamOptions};
use super::output::note;
use super::{Exit, Failure, tuning};
use crate::device::inventory::{Choice, Entry, NotUsable, choose, inventory};
use crate::device::speed::measure;
use crate::device::{Device, Facts, Kind};
use crate::kernel::Kernel;
use crate::limits::DEVICES;
use crate::runtime::{Reopen, Stop};
use crate::ui::text;

/// How long a device is measured.
const TRIAL: Duration = Duration::from_millis(400);

/// The profile that a device works with.
pub(super) type ProfileOf<'p> = &'p dyn Fn(&Facts) -> Profile;

/// A device that passed its self-test.
struct Opened {
    device: Box<dyn Device>,
    profile: Profile,
    reopen: Reopen,
}

/// A device after its trial.
pub(super) struct Measured {
    pub(super) device: Box<dyn Device>,
    pub(super) profile: Profile,
    /// Hashes per second.
    pub(super) rate: f64,
    /// How it is opened again.
    pub(super) reopen: Reopen,
}

/// Opens and tests the devices of a run. One that fails is named and left out.
///
/// # Errors
///
/// When no device is left, or the run is stopped meanwhile.
pub(super) fn open(
    options: &TeamOptions,
    profile: ProfileOf<'_>,
    stop: &Stop,
) -> Result<Vec<Box<dyn Device>>, Failure> {
    match select(&options.devices)? {
        Choice::Use(entries) => {
            let opened = open_all(entries, options, profile, stop)?;
            Ok(opened.into_iter().map(|opened| opened.device).collect())
        }
        Choice::Fastest(entries) => {
            let measured = fastest(measure_all(open_all(entries, options, profile, stop)?)?);
            Ok(measured.into_iter().map(|measured| measured.device).collect())
        }
    }
}

/// Opens, tests and measures the devices of a run.
///
/// # Errors
///
/// When no device is left, or the run is stopped meanwhile.
pub(super) fn open_measured(
    options: &TeamOptions,
    profile: ProfileOf<'_>,
    stop: &Stop,
) -> Result<Vec<Measured>, Failure> {
    let measured = |entries| measure_all(open_all(entries, options, profile, stop)?);
    match select(&options.devices)? {
        Choice::Use(entries) => measured(entries),
        Choice::Fastest(entries) => Ok(fastest(measured(entries)?)),
    }
}

/// The devices that the options name.
pub(super) fn select(options: &DeviceOptions) -> Result<Choice, Failure> {
    let entries = inventory(&options.devices).map_err(Failure::no_device)?;
    if options.devices.is_empty() && entries.len() == 1 {
        note(
            "No graphics adapter was found, so the CPU works. A GPU needs its Vulkan, Metal or DX12 driver.",
        );
    }
    let choice = choose(&entries, &options.devices).map_err(Failure::usage)?;
    let (Choice::Use(chosen) | Choice::Fastest(chosen)) = &choice;
    bounded(chosen.len())?;
    Ok(choice)
}

/// The devices that run a user's kernel, if there is one: the CPU has its own code.
///
/// # Errors
///
/// When none is left.
pub(super) fn that_run(
    mut entries: Vec<Entry>,
    own: Option<&Kernel>,
) -> Result<Vec<Entry>, Failure> {
    let Some(own) = own else { return Ok(entries) };
    entries.retain(|entry| entry.facts.kind != Kind::Cpu);
    if entries.is_empty() {
        return Err(Failure::no_device(format!(
            "{own} needs a graphics adapter, and none is chosen; the CPU has its own code"
        )));
    }
    Ok(entries)
}

fn bounded(devices: usize) -> Result<(), Failure> {
    if devices <= DEVICES {
        return Ok(());
    }
    Err(Failure::usage(format!(
        "{devices} devices are more than the {DEVICES} of one run; choose some with --device"
    )))
}

fn open_all(
    entries: Vec<Entry>,
    options: &TeamOptions,
    profile: ProfileOf<'_>,
    stop: &Stop,
) -> Result<Vec<Opened>, Failure> {
    let mut devices = Vec::new();
    let mut worst = Exit::NoDevice;
    let mut reasons = Vec::new();
    for entry in that_run(entries, options.wgsl.as_ref())? {
        let profile = profile(&entry.facts);
        let reason = match tuning::open(&entry, options, profile.batch_time(), stop)? {
            Ok(device) => {
                let reopen = tuning::reopen(&entry, options, device.as_ref());
                devices.push(Opened { device, profile, reopen });
                continue;
            }
            Err(NotUsable::Refused(refused)) => {
                worst = Exit::SelfTest;
                refused.to_string()
            }
            Err(why) => {
                if matches!(why, NotUsable::Endless(_)) {
                    worst = Exit::SelfTest;
                }
                format!("{}: {why}", text::clean(&entry.facts.name))
            }
        };
        note(format_args!("Not used: {reason}"));
        reasons.push(reason);
    }
    if devices.is_empty() {
        let way_out = match &options.wgsl {
            Some(_) => "without --wgsl adit's own kernel works",
            None => "`--device cpu` works without graphics drivers",
        };
        let message = format!("no device can be used: {}; {way_out}", reasons.join("; "));
        return Err(Failure { exit: worst, message });
    }
    Ok(devices)
}

fn measure_all(devices: Vec<Opened>) -> Result<Vec<Measured>, Failure> {
    let mut measured = Vec::new();
    for Opened { device, profile, reopen } in devices {
        let name = text::clean(&device.info().name);
        match measure(device, TRIAL, profile.batch_time()) {
            Ok((rate, device)) => measured.push(Measured { device, profile, rate, reopen }),
            Err(error) => note(format_args!("Not used: {name}: {error}")),
        }
    }
    if measured.is_empty() { Err(Failure::no_device("no device is left")) } else { Ok(measured) }
}

/// Keeps the fastest of devices that are one processor under several names, and says so.
fn fastest(mut measured: Vec<Measured>) -> Vec<Measured> {
    measured.sort_by(|a, b| b.rate.total_cmp(&a.rate));
    if measured.len() > 1 {
        let list: Vec<String> = measured
            .iter()
            .map(|Measured { device, rate, .. }| {
                format!("{} with {}", text::clean(&device.info().name), text::rate(Some(*rate)))
            })
            .collect();
        note(format_args!(
            "No GPU was found, so the processor works, through what was faster in a trial of {} s: {}. \
             Give --device to choose.",
            TRIAL.as_secs_f64(),
            list.join(" beats ")
        ));
        measured.truncate(1);
    }
    measured
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_has_an_upper_bound_of_devices() {
        assert_eq!(bounded(DEVICES), Ok(()));
        assert!(bounded(DEVICES + 1).is_err_and(|failure| failure.exit == Exit::Usage));
    }
}
