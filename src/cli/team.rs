//! Opens the devices of a run: chosen, tested, and the faster one where that decides.

use std::time::Duration;

use super::options::DeviceOptions;
use super::output::note;
use super::{Exit, Failure};
use crate::device::inventory::{Choice, Entry, choose, inventory};
use crate::device::speed::measure;
use crate::device::{Device, selftest};
use crate::kernel::Variant;
use crate::limits::DEVICES;
use crate::ui::text;

/// How long a device is measured when speed decides.
const TRIAL: Duration = Duration::from_millis(400);

/// Opens and tests the devices of a run. One that fails is named and left out.
///
/// # Errors
///
/// When no device is left.
pub(super) fn open(
    options: &DeviceOptions,
    batch_time: Duration,
) -> Result<Vec<Box<dyn Device>>, Failure> {
    match select(options)? {
        Choice::Use(entries) => open_all(&entries, options.variant),
        Choice::Fastest(entries) => {
            fastest(open_all(&entries, options.variant)?, batch_time).map(|device| vec![device])
        }
    }
}

/// The devices that the options name.
pub(super) fn select(options: &DeviceOptions) -> Result<Choice, Failure> {
    let selectors: Vec<_> = options.devices.iter().map(|(_, selector)| selector.clone()).collect();
    let entries = inventory(&selectors).map_err(Failure::no_device)?;
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

fn bounded(devices: usize) -> Result<(), Failure> {
    if devices <= DEVICES {
        return Ok(());
    }
    Err(Failure::usage(format!(
        "{devices} devices are more than the {DEVICES} of one run; choose some with --device"
    )))
}

fn open_all(entries: &[Entry], variant: Variant) -> Result<Vec<Box<dyn Device>>, Failure> {
    let mut devices = Vec::new();
    let mut worst = Exit::NoDevice;
    let mut reasons = Vec::new();
    for entry in entries {
        let reason = match entry.open(variant) {
            Err(why) => format!("{}: {why}", text::clean(&entry.facts.name)),
            Ok(mut device) => match selftest::admit(device.as_mut()) {
                Ok(()) => {
                    devices.push(device);
                    continue;
                }
                Err(refused) => {
                    worst = Exit::SelfTest;
                    refused.to_string()
                }
            },
        };
        note(format_args!("Not used: {reason}"));
        reasons.push(reason);
    }
    if devices.is_empty() {
        let message = format!("no device can be used: {}", reasons.join("; "));
        return Err(Failure { exit: worst, message });
    }
    Ok(devices)
}

/// Measures devices that are one processor under several names, and keeps the fastest.
fn fastest(
    devices: Vec<Box<dyn Device>>,
    batch_time: Duration,
) -> Result<Box<dyn Device>, Failure> {
    let mut measured: Vec<(f64, Box<dyn Device>)> = Vec::new();
    for device in devices {
        let name = device.info().name.clone();
        match measure(device, TRIAL, batch_time) {
            Ok(result) => measured.push(result),
            Err(error) => note(format_args!("Not used: {}: {error}", text::clean(&name))),
        }
    }
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
    }
    let first = measured.into_iter().next();
    first.map(|(_, device)| device).ok_or_else(|| Failure::no_device("no device can be used"))
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
