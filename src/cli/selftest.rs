//! `adit selftest`

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread::Builder;
use std::time::{Duration, Instant};

use super::options::{DeviceOptions, kernel_file};
use super::{Failure, output, team};
use crate::device::Device;
use crate::device::inventory::{Choice, inventory};
use crate::device::selftest::{Check, checks};
use crate::kernel::{Kernel, Variant};
use crate::limits::{OWN_KERNEL_DEADLINE, SELFTEST_DEADLINE};
use crate::runtime::Stop;
use crate::ui::text;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    devices: DeviceOptions,

    /// Kernel for the GPUs; `adit kernel list` shows the names. (What `adit tune` found is tested whenever
    /// it is used)
    #[arg(long, value_name = "NAME", default_value_t = Variant::DEFAULT)]
    variant: Variant,

    /// Kernel of your own for the GPUs: a WGSL file under the ABI of docs/KERNELS.md
    #[arg(long, value_name = "FILE", value_parser = kernel_file, conflicts_with = "variant")]
    wgsl: Option<Kernel>,
}

/// Tests the devices named, or all there are.
pub(super) fn run(args: &Args, stop: &Stop) -> Result<(), Failure> {
    let entries = if args.devices.devices.is_empty() {
        inventory(&[]).map_err(Failure::no_device)?
    } else {
        match team::select(&args.devices)? {
            Choice::Use(entries) | Choice::Fastest(entries) => entries,
        }
    };
    let kernel = args.wgsl.clone().unwrap_or_else(|| args.variant.into());
    let entries = team::that_run(entries, args.wgsl.as_ref())?;
    let patience = if args.wgsl.is_some() { OWN_KERNEL_DEADLINE } else { SELFTEST_DEADLINE * 2 };
    let (mut unopened, mut failed) = (Vec::new(), Vec::new());
    for entry in entries {
        let name = text::clean(&entry.facts.name);
        match entry.open(kernel.clone()) {
            Ok(device) => {
                output::line(text::device(device.info()))?;
                if !test(device, patience, stop)? {
                    failed.push(name);
                }
            }
            Err(why) => {
                output::line(format_args!("{name}: FAILED to open: {why}"))?;
                unopened.push(name);
            }
        }
    }
    if !failed.is_empty() {
        Err(Failure::selftest(format!("the self-test failed on {}", failed.join(", "))))
    } else if !unopened.is_empty() {
        Err(Failure::no_device(format!("cannot open {}", unopened.join(", "))))
    } else {
        Ok(())
    }
}

/// Prints each check as it comes. Whether all passed; a device that is silent for longer than `patience`
/// failed.
fn test(mut device: Box<dyn Device>, patience: Duration, stop: &Stop) -> Result<bool, Failure> {
    // On a thread of its own, because a driver can hang in calls that have no limit.
    let (sender, results) = channel();
    let thread = Builder::new().spawn(move || {
        for check in checks(device.as_mut(), SELFTEST_DEADLINE) {
            if sender.send(check).is_err() {
                return; // nobody listens any more
            }
        }
    });
    thread.map_err(|error| Failure::no_device(format!("no thread for the self-test: {error}")))?;
    let (mut passed, mut total) = (0, 0);
    let mut heard = Instant::now();
    loop {
        if stop.is_requested() {
            return Err(Failure::interrupted());
        }
        match results.recv_timeout(Stop::TICK) {
            Ok(Check { name, outcome }) => {
                heard = Instant::now();
                total += 1;
                match outcome {
                    Ok(()) => {
                        passed += 1;
                        output::line(format_args!("  ok      {name}"))?;
                    }
                    Err(why) => output::line(format_args!("  FAILED  {name}: {why}"))?,
                }
            }
            Err(RecvTimeoutError::Timeout) if heard.elapsed() < patience => {}
            Err(RecvTimeoutError::Timeout) => {
                output::line(format_args!(
                    "  FAILED  the device did not answer for {} s: the kernel loops for ever, or the driver hangs",
                    patience.as_secs()
                ))?;
                return Ok(false);
            }
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    output::line(format_args!("  {passed} of {total} checks passed"))?;
    Ok(passed == total && total > 0)
}
