//! `adit selftest`

use super::options::DeviceOptions;
use super::{Failure, output, team};
use crate::device::inventory::{Choice, inventory};
use crate::device::selftest::checks;
use crate::limits::SELFTEST_DEADLINE;
use crate::runtime::Stop;
use crate::ui::text;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    options: DeviceOptions,
}

/// Tests the devices named, or all there are.
pub(super) fn run(args: &Args, stop: &Stop) -> Result<(), Failure> {
    let entries = if args.options.devices.is_empty() {
        inventory(&[]).map_err(Failure::no_device)?
    } else {
        match team::select(&args.options)? {
            Choice::Use(entries) | Choice::Fastest(entries) => entries,
        }
    };
    let mut failed = Vec::new();
    for entry in entries {
        let name = text::clean(&entry.facts.name);
        let mut device = match entry.open(args.options.variant) {
            Ok(device) => device,
            Err(why) => {
                output::line(format_args!("{name}: FAILED to open: {why}"))?;
                failed.push(name);
                continue;
            }
        };
        output::line(text::device(device.info()))?;
        let (mut passed, mut total) = (0, 0);
        for check in checks(device.as_mut(), SELFTEST_DEADLINE) {
            if stop.is_requested() {
                return Err(Failure::interrupted());
            }
            total += 1;
            match check.outcome {
                Ok(()) => {
                    passed += 1;
                    output::line(format_args!("  ok      {}", check.name))?;
                }
                Err(why) => output::line(format_args!("  FAILED  {}: {why}", check.name))?,
            }
        }
        output::line(format_args!("  {passed} of {total} checks passed"))?;
        if passed < total {
            failed.push(name);
        }
    }
    if failed.is_empty() {
        Ok(())
    } else {
        Err(Failure::selftest(format!("the self-test failed on {}", failed.join(", "))))
    }
}
