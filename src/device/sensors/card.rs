//! A graphics card in Linux's sysfs: amdgpu, i915, xe, and hwmon for any other driver.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::clients::Clients;
use super::gpu_metrics::Metrics;
use super::pci::Address;
use super::sysfs::{self, Hwmon, entries, number, numbered};
use super::{Reading, Throttle};

/// Where an AMD GPU slows down, if its driver does not say.
const HOTSPOT_LIMIT: f64 = 100.0;

/// How far below its limit the hottest place of a chip can be a reason to slow down.
const HOTSPOT_MARGIN: f64 = 10.0;

#[derive(Debug)]
pub(super) struct Card {
    device: PathBuf,
    hwmon: Option<Hwmon>,
    temperature: Option<String>,
    hotspot: Option<String>,
    /// Intel's clock, in MHz.
    clock: Option<PathBuf>,
    metrics: Option<Metrics>,
    flags: Option<Flags>,
    clients: Clients,
    source: String,
}

impl Card {
    /// The card at a PCI address.
    ///
    /// # Errors
    ///
    /// Why it has no sensors.
    pub(super) fn below(sysfs: &Path, proc: &Path, pci: Option<&str>) -> Result<Self, String> {
        sysfs::exists(sysfs)?;
        let address: Option<Address> = pci.and_then(|pci| pci.parse().ok());
        let address = address.ok_or("its PCI address is not known, by which sensors are found")?;
        let device = sysfs.join("bus/pci/devices").join(address.to_string());
        let hwmon = Hwmon::all(&device.join("hwmon")).into_iter().next();
        let sensor = |labels: &[&str]| hwmon.as_ref()?.temperature(labels);
        let temperature = sensor(&["edge", "pkg"]).or_else(|| hwmon.as_ref()?.only_temperature());
        let card = Self {
            temperature,
            hotspot: sensor(&["junction"]),
            clock: intel_clock(&device),
            metrics: Metrics::of(&device),
            flags: Flags::of(&device),
            clients: Clients::below(proc, address, std::process::id()),
            source: format!("{} sysfs {}", driver(&device), device.display()),
            device,
            hwmon,
        };
        if card.hwmon.is_none() && card.clock.is_none() && card.metrics.is_none() {
            return Err(format!("there are no sensors in {}", card.device.display()));
        }
        Ok(card)
    }

    pub(super) fn source(&self) -> &str {
        &self.source
    }

    pub(super) fn read(&mut self) -> Reading {
        let read = |files: &[&str], per| self.hwmon.as_ref()?.read(files, per);
        let degrees = |file: &Option<String>| read(&[file.as_deref()?], 1e3);
        let hotspot = degrees(&self.hotspot);
        let limit = self.hotspot.as_ref().and_then(|file| {
            let limit = file.replace("_input", "_crit");
            read(&[&limit], 1e3)
        });
        let near = limit.unwrap_or(HOTSPOT_LIMIT) - HOTSPOT_MARGIN;
        let near_limit = hotspot.is_some_and(|hotspot| hotspot >= near);
        let throttle = match &mut self.metrics {
            Some(metrics) => metrics.throttle(near_limit),
            None => self.flags.as_ref().and_then(Flags::throttle),
        };
        Reading {
            clock_mhz: read(&["freq1_input"], 1e6)
                .or_else(|| self.clock.as_deref().and_then(number)),
            memory_clock_mhz: read(&["freq2_input"], 1e6),
            temperature_c: degrees(&self.temperature),
            hotspot_c: hotspot,
            // Without its most, `pwm1` has another unit with each driver.
            fan_percent: read(&["pwm1_max"], 1.0).and_then(|most| read(&["pwm1"], most / 100.0)),
            power_w: read(&["power1_average", "power1_input"], 1e6),
            power_limit_w: read(&["power1_cap", "power1_max", "power2_max"], 1e6),
            // Intel's first is the card's, the second the chip's, and not all have both.
            energy_j: read(&["energy1_input", "energy2_input"], 1e6),
            load_percent: number(&self.device.join("gpu_busy_percent")),
            // The load counts adit too, and both may be busy at once: what is left of it says nothing of others.
            others_load_percent: self.clients.others_percent(),
            throttle,
        }
    }
}

fn driver(device: &Path) -> String {
    let uevent = sysfs::text(&device.join("uevent")).unwrap_or_default();
    uevent.lines().find_map(|line| line.strip_prefix("DRIVER=")).unwrap_or("hwmon").to_owned()
}

/// Where xe has the clock of the graphics, else i915 of today, else of old.
fn intel_clock(device: &Path) -> Option<PathBuf> {
    let drm = drm(device);
    let places = [
        Some(device.join("tile0/gt0/freq0/act_freq")),
        drm.as_ref().map(|drm| drm.join("gt/gt0/rps_act_freq_mhz")),
        drm.as_ref().map(|drm| drm.join("gt_act_freq_mhz")),
    ];
    places.into_iter().flatten().find(|file| file.exists())
}

fn drm(device: &Path) -> Option<PathBuf> {
    numbered(&device.join("drm"), "card").into_iter().next()
}

/// Intel's reasons to throttle: a file for each, and one that tells whether there is any.
#[derive(Debug)]
struct Flags {
    any: PathBuf,
    reasons: Vec<(Throttle, PathBuf)>,
}

impl Flags {
    fn of(device: &Path) -> Option<Self> {
        let xe = device.join("tile0/gt0/freq0/throttle");
        let (any, folder, prefix) = if xe.is_dir() {
            (xe.join("status"), xe, "reason_")
        } else {
            let gt = drm(device)?.join("gt/gt0");
            (gt.join("throttle_reason_status"), gt, "throttle_reason_")
        };
        let reasons = entries(&folder, prefix)
            .into_iter()
            .filter(|(name, _)| name != "status")
            .map(|(name, file)| (reason(&name), file))
            .collect();
        any.exists().then_some(Self { any, reasons })
    }

    fn throttle(&self) -> Option<BTreeSet<Throttle>> {
        let is_set = |file: &Path| number(file).map(|flag| flag != 0.0);
        if !is_set(&self.any)? {
            return Some(BTreeSet::new());
        }
        let set = self.reasons.iter().filter(|(_, file)| is_set(file) == Some(true));
        let mut reasons: BTreeSet<Throttle> = set.map(|(reason, _)| *reason).collect();
        if reasons.is_empty() {
            reasons.insert(Throttle::Other);
        }
        Some(reasons)
    }
}

/// The names of `xe_gt_throttle.c` and `intel_gt_sysfs_pm.c`.
fn reason(name: &str) -> Throttle {
    match name {
        "pl1" | "pl2" | "psys_pl1" | "psys_pl2" => Throttle::PowerCap,
        "pl4" | "psys_crit" | "iccmax" | "vr_tdc" | "fastvmode" => Throttle::Current,
        "prochot" => Throttle::HardwareSlowdown,
        // The running average of the temperature has a limit too.
        "ratl" => Throttle::Thermal,
        _ if name.contains("therm") => Throttle::Thermal,
        _ => Throttle::Other,
    }
}
