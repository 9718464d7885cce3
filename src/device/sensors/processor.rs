//! The processor in Linux's sysfs: cpufreq, hwmon, RAPL and the counters of thermal throttling.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::sysfs::{self, Hwmon, number, numbered, text};
use super::{Reading, Throttle};

#[derive(Debug)]
pub(super) struct Processor {
    /// A file for each core, in kHz.
    clocks: Vec<PathBuf>,
    /// Each package's, with the file in it.
    temperatures: Vec<(Hwmon, String)>,
    packages: Vec<Energy>,
    throttling: Option<Throttling>,
    source: String,
}

impl Processor {
    /// # Errors
    ///
    /// Why nothing can be read.
    pub(super) fn below(sysfs: &Path) -> Result<Self, String> {
        sysfs::exists(sysfs)?;
        let cores = numbered(&sysfs.join("devices/system/cpu"), "cpu");
        let clock = |core: &PathBuf| Some(core.join("cpufreq/scaling_cur_freq"));
        let clocks: Vec<PathBuf> =
            cores.iter().filter_map(clock).filter(|file| number(file).is_some()).collect();
        let temperatures: Vec<_> = Hwmon::all(&sysfs.join("class/hwmon"))
            .into_iter()
            .filter_map(|hwmon| package_temperature(&hwmon).map(|file| (hwmon, file)))
            .collect();
        let zones = packages(sysfs);
        let packages: Vec<Energy> = zones.iter().filter_map(|zone| Energy::of(zone)).collect();
        let throttling = Throttling::of(&cores);

        let shown = [
            (!clocks.is_empty(), "cpufreq"),
            (!temperatures.is_empty(), "hwmon"),
            (!packages.is_empty(), "RAPL"),
            (throttling.is_some(), "thermal_throttle"),
        ];
        let shown: Vec<&str> =
            shown.into_iter().filter(|(there, _)| *there).map(|(_, name)| name).collect();
        let locked = if packages.len() < zones.len() {
            "; the processor's energy (RAPL) is shown to root only"
        } else {
            ""
        };
        if shown.is_empty() {
            return Err(format!("Linux shows no sensors of this processor{locked}"));
        }
        let source = format!("Linux {}{locked}", shown.join(", "));
        Ok(Self { clocks, temperatures, packages, throttling, source })
    }

    pub(super) fn source(&self) -> &str {
        &self.source
    }

    pub(super) fn read(&mut self) -> Reading {
        let temperatures =
            self.temperatures.iter().filter_map(|(hwmon, file)| hwmon.read(&[file], 1e3));
        // All packages or none: a part of the energy is not the energy.
        let energies: Option<Vec<f64>> = self.packages.iter_mut().map(Energy::joules).collect();
        Reading {
            clock_mhz: mean(self.clocks.iter().filter_map(|file| number(file)))
                .map(|kilohertz| kilohertz / 1e3),
            temperature_c: temperatures.reduce(f64::max),
            energy_j: energies.filter(|all| !all.is_empty()).map(|all| all.iter().sum()),
            throttle: self.throttling.as_mut().and_then(Throttling::reasons),
            ..Reading::default()
        }
    }
}

/// What stands for the whole package. Other sensors of the drivers are cores and chiplets.
fn package_temperature(hwmon: &Hwmon) -> Option<String> {
    match hwmon.name()?.as_str() {
        "coretemp" => (0..8).find_map(|n| hwmon.temperature(&[&format!("Package id {n}")])),
        "k10temp" | "zenpower" => {
            hwmon.temperature(&["Tctl", "Tdie"]).or_else(|| hwmon.only_temperature())
        }
        _ => None,
    }
}

/// The zones of RAPL that are packages: others are parts of them, or the whole machine.
fn packages(sysfs: &Path) -> Vec<PathBuf> {
    let mut zones = numbered(&sysfs.join("class/powercap"), "intel-rapl:");
    zones.retain(|zone| text(&zone.join("name")).is_some_and(|name| name.starts_with("package")));
    zones
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (mut sum, mut count) = (0.0, 0.0);
    for value in values {
        sum += value;
        count += 1.0;
    }
    (count > 0.0).then(|| sum / count)
}

/// The energy of a package since it was first read. The kernel's counter begins anew every few minutes or hours.
#[derive(Debug)]
struct Energy {
    file: PathBuf,
    /// Where the counter begins anew, in µJ like the others.
    range: f64,
    last: f64,
    total: f64,
}

impl Energy {
    fn of(zone: &Path) -> Option<Self> {
        let file = zone.join("energy_uj");
        let range = number(&zone.join("max_energy_range_uj"))?;
        Some(Self { last: number(&file)?, file, range, total: 0.0 })
    }

    fn joules(&mut self) -> Option<f64> {
        let now = number(&self.file).filter(|now| (0.0..=self.range).contains(now))?;
        let begun_anew = if now < self.last { self.range } else { 0.0 };
        self.total += now + begun_anew - self.last;
        self.last = now;
        Some(self.total / 1e6)
    }
}

/// How often the packages were too hot, as far as Intel's processors count it.
#[derive(Debug)]
struct Throttling {
    /// One file for each package, whose cores all have the same.
    files: Vec<PathBuf>,
    last: f64,
}

impl Throttling {
    fn of(cores: &[PathBuf]) -> Option<Self> {
        let mut seen = BTreeSet::new();
        let is_first =
            |core: &&PathBuf| seen.insert(text(&core.join("topology/physical_package_id")));
        let files: Vec<PathBuf> = cores
            .iter()
            .filter(is_first)
            .map(|core| core.join("thermal_throttle/package_throttle_count"))
            .collect();
        let last = Self::count(&files)?;
        Some(Self { files, last })
    }

    /// Heat, if it throttled since the last call.
    fn reasons(&mut self) -> Option<BTreeSet<Throttle>> {
        let now = Self::count(&self.files)?;
        let last = std::mem::replace(&mut self.last, now);
        Some((now > last).then_some(Throttle::Thermal).into_iter().collect())
    }

    fn count(files: &[PathBuf]) -> Option<f64> {
        if files.is_empty() { None } else { files.iter().map(|file| number(file)).sum() }
    }
}
