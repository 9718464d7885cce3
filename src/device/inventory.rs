//! All the devices of this machine, and which of them a run uses.

use serde::Serialize;

use super::cpu::Cpu;
use super::gpu::{self, Adapter, Gpu};
use super::selftest::{self, Refused};
use super::{Device, Facts, Kind, Opening, within};
use crate::limits::{DRIVER_DEADLINE, OWN_KERNEL_DEADLINE};

/// One device of the machine, closed.
#[derive(Debug, Clone, Serialize)]
pub struct Entry {
    /// Number in the list, from 0: real GPUs, then software adapters, then the CPU.
    pub index: usize,
    /// What is known of it.
    #[serde(flatten)]
    pub facts: Facts,
    /// Whether a run without `--device` uses it; unknown when speed decides.
    pub used: Option<bool>,
    /// Why it is not used, or not always.
    pub unused_because: Option<String>,
    #[serde(skip)]
    opener: Opener,
}

#[derive(Debug, Clone)]
enum Opener {
    Gpu(Box<Adapter>),
    Cpu,
}

/// What the user wants, one `--device` each: `cpu`, a number in the list, a PCI address such as
/// `0000:01:00.0` or `01:00.0`, or a part of a name, which several devices may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selector(String);

/// Why there is nothing to work with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InventoryError {
    /// No device answers to a selector.
    #[error("no device is called {given:?}; there are:\n{known}")]
    Unknown {
        /// The selector as given.
        given: String,
        /// The devices there are, a line each.
        known: String,
    },
    /// A driver failed while it listed its adapters.
    #[error("{0}; `--device cpu` works without graphics drivers")]
    Drivers(String),
}

/// Why a device cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotUsable {
    /// The driver did not open it.
    #[error("{0}")]
    NotOpened(String),
    /// It computes wrongly.
    #[error("{0}")]
    Refused(Refused),
    /// The self-test did not end, or the driver panicked in it.
    #[error("the driver hung or panicked in the self-test")]
    Hung,
    /// The same with a kernel of the user's own.
    #[error(
        "{0} did not pass the self-test within {limit} s: it loops for ever, or it is too slow",
        limit = OWN_KERNEL_DEADLINE.as_secs()
    )]
    Endless(String),
}

/// What a run uses.
#[derive(Debug, Clone)]
pub enum Choice {
    /// These.
    Use(Vec<Entry>),
    /// The fastest of these, to be measured: they are one processor under several names.
    Fastest(Vec<Entry>),
}

impl std::str::FromStr for Selector {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.trim().is_empty() {
            return Err("give an index, part of a name, a PCI address, or cpu".to_owned());
        }
        Ok(Self(text.to_owned()))
    }
}

impl Selector {
    /// The CPU itself.
    #[must_use]
    pub fn cpu() -> Self {
        Self("cpu".to_owned())
    }

    fn text(&self) -> String {
        self.0.trim().to_lowercase()
    }

    fn picks<'e>(&self, entries: &'e [Entry]) -> Vec<&'e Entry> {
        let text = self.text();
        // A number that is no index may be a part of a name, as in "RTX 4090".
        if let Some(entry) = text.parse().ok().and_then(|index: usize| entries.get(index)) {
            return vec![entry];
        }
        let is_pci = text.contains(':')
            && text.chars().all(|c| c.is_ascii_hexdigit() || c == ':' || c == '.');
        let picks = |entry: &&Entry| match &entry.facts.pci {
            _ if text == "cpu" => entry.facts.kind == Kind::Cpu,
            // The domain 0000 is often left out.
            Some(pci) if is_pci => {
                let pci = pci.to_lowercase();
                pci == text || pci.ends_with(&format!(":{text}"))
            }
            None if is_pci => false,
            _ => entry.facts.name.to_lowercase().contains(&text),
        };
        entries.iter().filter(picks).collect()
    }
}

/// Lists the devices. No graphics driver is loaded when `selectors` name the CPU alone.
///
/// # Errors
///
/// When a graphics driver hangs or panics.
pub fn inventory(selectors: &[Selector]) -> Result<Vec<Entry>, InventoryError> {
    let cpu_alone =
        !selectors.is_empty() && selectors.iter().all(|selector| selector.text() == "cpu");
    let adapters =
        if cpu_alone { Vec::new() } else { gpu::adapters().map_err(InventoryError::Drivers)? };
    Ok(entries(adapters))
}

fn entries(adapters: Vec<Adapter>) -> Vec<Entry> {
    let gpus =
        adapters.into_iter().map(|adapter| (adapter.facts.clone(), Opener::Gpu(Box::new(adapter))));
    let all: Vec<_> = gpus.chain([(Cpu::facts(), Opener::Cpu)]).collect();
    let real_gpu = all.iter().any(|(facts, _)| !facts.kind.is_processor());
    let software = all.iter().any(|(facts, _)| facts.kind == Kind::Software);
    all.into_iter()
        .enumerate()
        .map(|(index, (facts, opener))| {
            let (used, unused_because) = match facts.kind {
                kind if !kind.is_processor() => (Some(true), None),
                Kind::Cpu if real_gpu => {
                    (Some(false), Some("a GPU is there; ask for it with --device cpu"))
                }
                _ if real_gpu => (Some(false), Some("it is software, and a real GPU is there")),
                Kind::Cpu if !software => (Some(true), None),
                _ => (
                    None,
                    Some("no real GPU is there: the faster of software adapter and CPU is used"),
                ),
            };
            Entry { index, facts, used, unused_because: unused_because.map(str::to_owned), opener }
        })
        .collect()
}

/// The devices that a run uses: those selected, or by default all real GPUs, or without any the faster
/// of software adapters and CPU.
///
/// # Errors
///
/// When a selector names no device.
pub fn choose(entries: &[Entry], selectors: &[Selector]) -> Result<Choice, InventoryError> {
    if selectors.is_empty() {
        let real: Vec<Entry> =
            entries.iter().filter(|entry| entry.used == Some(true)).cloned().collect();
        return Ok(if real.is_empty() {
            Choice::Fastest(entries.to_vec())
        } else {
            Choice::Use(real)
        });
    }
    let mut chosen: Vec<Entry> = Vec::new();
    for selector in selectors {
        let picked = selector.picks(entries);
        if picked.is_empty() {
            let known =
                entries.iter().map(|entry| format!("  {entry}")).collect::<Vec<_>>().join("\n");
            return Err(InventoryError::Unknown { given: selector.0.clone(), known });
        }
        for entry in picked {
            if chosen.iter().all(|other| other.index != entry.index) {
                chosen.push(entry.clone());
            }
        }
    }
    Ok(Choice::Use(chosen))
}

impl Entry {
    /// The same device in a new list, as the drivers see it now: by its address, or where that is not known by
    /// interface and name, several of which keep their order.
    ///
    /// # Errors
    ///
    /// When drivers hang or panic, or the device is not there any more.
    pub fn again(&self) -> Result<Self, String> {
        if matches!(self.opener, Opener::Cpu) {
            return Ok(self.clone());
        }
        let entries = inventory(&[]).map_err(|error| error.to_string())?;
        let mut same: Vec<Self> =
            entries.into_iter().filter(|entry| entry.is_like(&self.facts)).collect();
        let place = match same.len() {
            0 => return Err(format!("{} is not there any more", self.facts.name)),
            1 => 0,
            _ => same.iter().position(|entry| entry.index == self.index).unwrap_or_default(),
        };
        Ok(same.swap_remove(place))
    }

    fn is_like(&self, facts: &Facts) -> bool {
        match (&self.facts.pci, &facts.pci) {
            (Some(here), Some(there)) => here == there,
            _ => self.facts.backend == facts.backend && self.facts.name == facts.name,
        }
    }

    /// Opens the device and runs the self-test on it.
    ///
    /// # Errors
    ///
    /// What the driver says, or the check that failed.
    pub fn open_tested(&self, opening: impl Into<Opening>) -> Result<Box<dyn Device>, NotUsable> {
        let opening = opening.into();
        let (limit, hung) = match opening.kernel.custom.clone() {
            Some(name) => (OWN_KERNEL_DEADLINE, NotUsable::Endless(name)),
            None => (DRIVER_DEADLINE, NotUsable::Hung),
        };
        let mut device = self.open(opening).map_err(NotUsable::NotOpened)?;
        // On a thread of its own: the first dispatch is where a driver hangs.
        within(limit, move || selftest::admit(device.as_mut()).map(|()| device))
            .ok_or(hung)?
            .map_err(NotUsable::Refused)
    }

    /// Opens the device, untested.
    ///
    /// # Errors
    ///
    /// What the driver says.
    pub fn open(&self, opening: impl Into<Opening>) -> Result<Box<dyn Device>, String> {
        match &self.opener {
            Opener::Gpu(adapter) => match Gpu::open(adapter, opening) {
                Ok(gpu) => Ok(Box::new(gpu)),
                Err(error) => Err(error.to_string()),
            },
            Opener::Cpu => match Cpu::open(None) {
                Ok(cpu) => Ok(Box::new(cpu)),
                Err(error) => Err(error.to_string()),
            },
        }
    }
}

impl std::fmt::Display for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let facts = &self.facts;
        write!(f, "{}  {} ({}", self.index, facts.name, facts.kind)?;
        if facts.kind != Kind::Cpu {
            write!(f, ", {}", facts.backend)?;
        }
        if let Some(pci) = &facts.pci {
            write!(f, ", {pci}")?;
        }
        f.write_str(")")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(index: usize, name: &str, kind: Kind, pci: Option<&str>, used: Option<bool>) -> Entry {
        let facts = Facts { name: name.into(), kind, pci: pci.map(Into::into), ..Cpu::facts() };
        Entry { index, facts, used, unused_because: None, opener: Opener::Cpu }
    }

    fn machine() -> Vec<Entry> {
        vec![
            entry(0, "NVIDIA GeForce RTX 4090", Kind::Discrete, Some("0000:01:00.0"), Some(true)),
            entry(1, "NVIDIA GeForce RTX 4090", Kind::Discrete, Some("0000:02:00.0"), Some(true)),
            entry(2, "AMD Radeon 780M", Kind::Integrated, Some("0000:c4:00.0"), Some(true)),
            entry(3, "llvmpipe", Kind::Software, None, Some(false)),
            entry(4, "Ryzen", Kind::Cpu, None, Some(false)),
        ]
    }

    fn chosen(selectors: &[&str]) -> Result<Vec<usize>, InventoryError> {
        let selectors: Vec<_> = selectors.iter().map(|s| s.parse().unwrap()).collect();
        match choose(&machine(), &selectors)? {
            Choice::Use(entries) | Choice::Fastest(entries) => {
                Ok(entries.iter().map(|e| e.index).collect())
            }
        }
    }

    #[test]
    fn a_device_is_found_by_index_name_address_and_cpu() {
        assert_eq!(chosen(&["1"]).unwrap(), [1]);
        assert_eq!(chosen(&["4090"]).unwrap(), [0, 1], "no index, but part of a name");
        assert_eq!(chosen(&["5"]).unwrap_err().to_string().lines().count(), 6, "neither");
        assert_eq!(chosen(&["rtx 40"]).unwrap(), [0, 1]);
        assert_eq!(chosen(&["02:00.0", "0000:01:00.0"]).unwrap(), [1, 0]);
        assert_eq!(chosen(&["cpu", "radeon", "cpu"]).unwrap(), [4, 2]);
        assert_eq!(chosen(&["rtx", "0"]).unwrap(), [0, 1]);
    }

    #[test]
    fn an_unknown_device_is_refused_with_those_there_are() {
        let error = chosen(&["voodoo"]).unwrap_err().to_string();
        assert!(error.contains("\"voodoo\"") && error.contains("3  llvmpipe (software"), "{error}");
    }

    #[test]
    fn software_is_never_chosen_silently() {
        assert_eq!(chosen(&[]).unwrap(), [0, 1, 2]);
        let only_software: Vec<Entry> = [
            entry(0, "llvmpipe", Kind::Software, None, None),
            entry(1, "Ryzen", Kind::Cpu, None, None),
        ]
        .into();
        assert!(
            matches!(choose(&only_software, &[]), Ok(Choice::Fastest(both)) if both.len() == 2)
        );
    }
}
