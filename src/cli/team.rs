//! Opens the devices of a run: chosen, tested, and the faster one where that decides.

use std::time::Duration;

use super::options::{DeviceOptions, TeamOptions};
use super::output::note;
use super::{Exit, Failure, tuning};
use crate::device::inventory::{Choice, Entry, NotUsable, choose, inventory};
use crate::device::speed::measure;
use crate::device::{Device, Kind};
use crate::kernel::Kernel;
use crate::limits::DEVICES;
use crate::runtime::Stop;
use crate::ui::text;

/// How long a device is measured.
const TRIAL: Duration = Duration::from_millis(400);

/// A device and the hashes per second of its trial.
pub(super) type Measured = (f64, Box<dyn Device>);

/// Opens and tests the devices of a run. One that fails is named and left out.
///
/// # Errors
///
/// When no device is left, or the run is stopped meanwhile.
pub(super) fn open(
    options: &TeamOptions,
    batch_time: Duration,
    stop: &Stop,
) -> Result<Vec<Box<dyn Device>>, Failure> {
    match select(&options.devices)? {
        Choice::Use(entries) => open_all(entries, options, batch_time, stop),
        Choice::Fastest(entries) => {
            let devices = open_all(entries, options, batch_time, stop)?;
            let measured = fastest(measure_all(devices, batch_time)?);
            Ok(measured.into_iter().map(|(_, device)| device).collect())
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
    batch_time: Duration,
    stop: &Stop,
) -> Result<Vec<Measured>, Failure> {
    let measured = |entries| measure_all(open_all(entries, options, batch_time, stop)?, batch_time);
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
    batch_time: Duration,
    stop: &Stop,
) -> Result<Vec<Box<dyn Device>>, Failure> {
    let mut devices = Vec::new();
    let mut worst = Exit::NoDevice;
    let mut reasons = Vec::new();
    for entry in that_run(entries, options.wgsl.as_ref())? {
        let reason = match tuning::open(&entry, options, batch_time, stop)? {
            Ok(device) => {
                devices.push(device);
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

fn measure_all(
    devices: Vec<Box<dyn Device>>,
    batch_time: Duration,
) -> Result<Vec<Measured>, Failure> {
    let mut measured = Vec::new();
    for device in devices {
        let name = text::clean(&device.info().name);
        match measure(device, TRIAL, batch_time) {
            Ok(result) => measured.push(result),
            Err(error) => note(format_args!("Not used: {name}: {error}")),
        }
    }
    if measured.is_empty() { Err(Failure::no_device("no device is left")) } else { Ok(measured) }
}

/// Keeps the fastest of devices that are one processor under several names, and says so.
fn fastest(mut measured: Vec<Measured>) -> Vec<Measured> {
    measured.sort_by(|a, b| b.0.total_cmp(&a.0));
    if measured.len() > 1 {
        let list: Vec<String> = measured
            .iter()
            .map(|(rate, device)| {
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
