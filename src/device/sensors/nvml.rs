//! NVIDIA's GPUs, through NVML, which comes with their driver and is loaded when a GPU of theirs is there.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;

use nvml_wrapper::bitmasks::device::ThrottleReasons;
use nvml_wrapper::enum_wrappers::device::{Clock, TemperatureSensor};
use nvml_wrapper::error::{Bits, NvmlError};
use nvml_wrapper::{Device, Nvml};

use super::others::{Others, Sample};
use super::pci::Address;
use super::{Reading, Throttle};
use crate::device::Facts;
use crate::limits::DEVICES;

/// A GPU that NVML knows.
#[derive(Debug)]
pub(in crate::device) struct Gpu {
    device: Device<'static>,
    source: String,
    others: Others,
}

impl Gpu {
    /// # Errors
    ///
    /// Why NVML does not know it.
    pub(in crate::device) fn of(facts: &Facts) -> Result<Self, String> {
        let nvml = library()?;
        let count = ask(|| nvml.device_count()).unwrap_or(0);
        let mut devices: Vec<Device<'static>> = (0..count)
            .take(DEVICES)
            .filter_map(|index| ask(|| nvml.device_by_index(index)))
            .collect();
        let names: Vec<_> = devices
            .iter()
            .map(|device| Known {
                address: ask(|| device.pci_info()).and_then(|pci| pci.bus_id.parse().ok()),
                name: ask(|| device.name()).unwrap_or_default(),
            })
            .collect();
        let index = find(facts, &names).ok_or("NVML does not know this GPU")?;
        let source = match ask(|| nvml.sys_driver_version()) {
            Some(version) => format!("NVML of driver {version}"),
            None => "NVML".to_owned(),
        };
        let others = Others::new(std::process::id());
        Ok(Self { device: devices.swap_remove(index), source, others })
    }

    pub(super) fn source(&self) -> &str {
        &self.source
    }

    /// Whether a display is connected, or a desktop runs on it without one.
    pub(in crate::device) fn drives_display(&self) -> Option<bool> {
        let connected = ask(|| self.device.is_display_connected());
        let active = ask(|| self.device.is_display_active());
        if connected == Some(true) { connected } else { active.or(connected) }
    }

    pub(super) fn read(&mut self) -> Reading {
        let others_load_percent = self.others();
        let device = &self.device;
        let milli = |value: Option<u32>| value.map(|value| f64::from(value) / 1e3);
        Reading {
            clock_mhz: ask(|| device.clock_info(Clock::SM)).map(f64::from),
            memory_clock_mhz: ask(|| device.clock_info(Clock::Memory)).map(f64::from),
            temperature_c: ask(|| device.temperature(TemperatureSensor::Gpu)).map(f64::from),
            hotspot_c: None,
            fan_percent: ask(|| device.fan_speed(0)).map(f64::from),
            power_w: milli(ask(|| device.power_usage())),
            power_limit_w: milli(ask(|| device.enforced_power_limit())),
            energy_j: ask(|| device.total_energy_consumption()).map(joules),
            load_percent: ask(|| device.utilization_rates()).map(|rates| f64::from(rates.gpu)),
            others_load_percent,
            throttle: ask(|| throttle_bits(device)).map(reasons),
        }
    }

    /// What other programs take of it; Windows' display drivers do not tell.
    fn others(&mut self) -> Option<f64> {
        let since = self.others.newest();
        let samples = ask(|| match self.device.process_utilization_stats(since) {
            Err(NvmlError::NotFound) => Ok(Vec::new()), // nothing new
            told => told,
        })?;
        let samples = samples.into_iter().map(|sample| Sample {
            process: sample.pid,
            at: sample.timestamp,
            percent: sample.sm_util,
        });
        self.others.take(samples)
    }
}

/// The one instance, which is loaded once and never closed.
fn library() -> Result<&'static Nvml, String> {
    static LIBRARY: OnceLock<Result<Nvml, String>> = OnceLock::new();
    let load = || match catch_unwind(Nvml::init) {
        Ok(Ok(nvml)) => Ok(nvml),
        Ok(Err(NvmlError::LibloadingError(_))) => {
            Err("no NVML library was found: it comes with NVIDIA's driver".to_owned())
        }
        Ok(Err(error)) => Err(format!("NVML does not start: {error}")),
        Err(_) => Err("NVML panicked".to_owned()),
    };
    LIBRARY.get_or_init(load).as_ref().map_err(Clone::clone)
}

/// What NVML answers; nothing when it refuses or panics.
fn ask<T>(call: impl FnOnce() -> Result<T, NvmlError>) -> Option<T> {
    catch_unwind(AssertUnwindSafe(call)).ok()?.ok()
}

/// How NVML names a GPU.
struct Known {
    address: Option<Address>,
    name: String,
}

/// Which of NVML's GPUs it is.
fn find(facts: &Facts, gpus: &[Known]) -> Option<usize> {
    let address: Option<Address> = facts.pci.as_deref().and_then(|pci| pci.parse().ok());
    if let Some(address) = address {
        let found = gpus.iter().position(|gpu| gpu.address == Some(address));
        // Vulkan's addresses are right, others' may be made up.
        if found.is_some() || facts.backend == "vulkan" {
            return found;
        }
    }
    // Older drivers leave the maker's name out in one of the two places.
    let bare = |name: &str| name.to_lowercase().trim().trim_start_matches("nvidia ").to_owned();
    let wanted = bare(&facts.name);
    let mut same = gpus.iter().enumerate().filter(|(_, gpu)| bare(&gpu.name) == wanted);
    let (index, _) = same.next()?;
    same.next().is_none().then_some(index)
}

#[expect(clippy::cast_precision_loss, reason = "2^53 mJ are used up after centuries")]
fn joules(millijoules: u64) -> f64 {
    millijoules as f64 / 1e3
}

/// All bits, those of a later NVML too.
fn throttle_bits(device: &Device<'_>) -> Result<u64, NvmlError> {
    match device.current_throttle_reasons_strict() {
        Ok(flags) => Ok(flags.bits()),
        Err(NvmlError::IncorrectBits(Bits::U64(bits))) => Ok(bits),
        Err(error) => Err(error),
    }
}

/// An idle GPU is not held back by anything.
fn reasons(bits: u64) -> BTreeSet<Throttle> {
    let flags = ThrottleReasons::from_bits_retain(bits);
    let unnamed = ThrottleReasons::from_bits_retain(!ThrottleReasons::all().bits());
    let named = [
        (ThrottleReasons::SW_POWER_CAP, Throttle::PowerCap),
        (ThrottleReasons::APPLICATIONS_CLOCKS_SETTING, Throttle::ClockSetting),
        (ThrottleReasons::DISPLAY_CLOCK_SETTING, Throttle::ClockSetting),
        (ThrottleReasons::SW_THERMAL_SLOWDOWN, Throttle::Thermal),
        (ThrottleReasons::HW_THERMAL_SLOWDOWN, Throttle::Thermal),
        (ThrottleReasons::HW_SLOWDOWN, Throttle::HardwareSlowdown),
        (ThrottleReasons::HW_POWER_BRAKE_SLOWDOWN, Throttle::PowerBrake),
        (ThrottleReasons::SYNC_BOOST, Throttle::Other),
        (unnamed, Throttle::Other),
    ];
    named
        .into_iter()
        .filter(|(flag, _)| flags.intersects(*flag))
        .map(|(_, reason)| reason)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::cpu::Cpu;

    fn facts(name: &str, pci: Option<&str>, backend: &str) -> Facts {
        let pci = pci.map(Into::into);
        Facts { name: name.into(), pci, backend: backend.into(), ..Cpu::facts() }
    }

    fn gpus(all: &[(&str, &str)]) -> Vec<Known> {
        let known = |(address, name): &(&str, &str)| Known {
            address: address.parse().ok(),
            name: (*name).to_owned(),
        };
        all.iter().map(known).collect()
    }

    #[test]
    fn a_gpu_is_found_by_its_address() {
        let name = "NVIDIA GeForce RTX 4090";
        let gpus = gpus(&[("00000000:01:00.0", name), ("00000000:4B:00.0", name)]);
        assert_eq!(find(&facts(name, Some("0000:4b:00.0"), "vulkan"), &gpus), Some(1));
        assert_eq!(find(&facts(name, Some("0000:01:00.0"), "dx12"), &gpus), Some(0));
        assert_eq!(find(&facts(name, Some("0000:02:00.0"), "vulkan"), &gpus), None);
        assert_eq!(find(&facts(name, None, "dx12"), &gpus), None, "two have this name");
    }

    #[test]
    fn a_gpu_without_a_true_address_is_found_by_a_name_of_its_own() {
        let gpus = gpus(&[("00000000:01:00.0", "GeForce GTX 1080"), ("", "NVIDIA RTX A2000")]);
        assert_eq!(find(&facts("NVIDIA GeForce GTX 1080", None, "dx12"), &gpus), Some(0));
        assert_eq!(find(&facts("nvidia rtx a2000", Some("0000:00:00.0"), "dx12"), &gpus), Some(1));
        assert_eq!(find(&facts("NVIDIA RTX A2000", Some("0000:05:00.0"), "vulkan"), &gpus), None);
        assert_eq!(find(&facts("NVIDIA RTX A4000", None, "dx12"), &gpus), None);
        assert_eq!(find(&facts("NVIDIA RTX A4000", None, "dx12"), &[]), None);
    }

    #[test]
    fn each_flag_of_nvml_has_its_reason() {
        // The numbers are those of nvml.h, so that the names cannot both be wrong.
        let of = |bits| Vec::from_iter(reasons(bits));
        assert_eq!(of(0), []);
        assert_eq!(of(0x1), [], "idle");
        assert_eq!(of(0x4), [Throttle::PowerCap]);
        assert_eq!(of(0x2 | 0x100), [Throttle::ClockSetting]);
        assert_eq!(of(0x20), [Throttle::Thermal]);
        assert_eq!(of(0x8 | 0x40), [Throttle::Thermal, Throttle::HardwareSlowdown]);
        assert_eq!(of(0x8 | 0x80), [Throttle::HardwareSlowdown, Throttle::PowerBrake]);
        assert_eq!(of(0x10), [Throttle::Other]);
        assert_eq!(of(1 << 40), [Throttle::Other], "a flag of a later driver");
    }
}
