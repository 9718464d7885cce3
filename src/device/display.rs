//! Whether a GPU drives a display. Linux's sysfs tells it for each connector, NVML for NVIDIA's GPUs everywhere.

use std::path::Path;

use super::sensors::{nvml, pci, sysfs};
use super::{Facts, within};
use crate::limits::DISPLAY_DEADLINE;

/// Whether a device drives a display; `None` where nobody tells.
#[must_use]
pub fn drives(facts: &Facts) -> Option<bool> {
    if facts.kind.is_processor() {
        return Some(false);
    }
    let asked = facts.clone();
    // NVIDIA's driver for X shows sysfs no connectors. It hangs when a GPU is lost.
    let said = within(DISPLAY_DEADLINE, move || nvml::Gpu::of(&asked).ok()?.drives_display());
    said.flatten().or_else(|| connected(Path::new("/sys"), facts.pci.as_deref()?))
}

/// Whether a display is connected to the GPU; `None` without its address, and where it has no connectors:
/// there another driver may have them.
fn connected(sysfs: &Path, pci: &str) -> Option<bool> {
    let address: pci::Address = pci.parse().ok()?;
    let device = sysfs.join("bus/pci/devices").join(address.to_string());
    let cards = sysfs::numbered(&device.join("drm"), "card");
    let connectors = cards.iter().flat_map(|card| sysfs::entries(card, "card"));
    let states: Vec<String> =
        connectors.filter_map(|(_, connector)| sysfs::text(&connector.join("status"))).collect();
    (!states.is_empty()).then(|| states.iter().any(|state| state == "connected"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::cpu::Cpu;

    #[test]
    fn a_gpu_with_a_connected_display_drives_one() {
        let root = tempfile::tempdir().unwrap();
        let card = |address, file| format!("bus/pci/devices/{address}/drm/card{file}");
        let files = [
            (card("0000:01:00.0", "1/card1-DP-1/status"), "disconnected\n"),
            (card("0000:01:00.0", "1/card1-HDMI-A-1/status"), "connected\n"),
            (card("0000:02:00.0", "0/card0-DP-1/status"), "disconnected\n"),
            (card("0000:03:00.0", "2/dev"), "226:2\n"),
        ];
        let files: Vec<(&str, &str)> =
            files.iter().map(|(file, content)| (file.as_str(), *content)).collect();
        sysfs::write(root.path(), &files);
        let connected = |pci| connected(root.path(), pci);
        assert_eq!(connected("0000:01:00.0"), Some(true));
        assert_eq!(connected("0000:02:00.0"), Some(false));
        assert_eq!(connected("0000:03:00.0"), None, "no connectors");
        assert_eq!(connected("0000:04:00.0"), None, "no such GPU");
        assert_eq!(connected("nonsense"), None);
    }

    #[test]
    fn a_processor_drives_none() {
        assert_eq!(drives(&Cpu::facts()), Some(false));
    }
}
