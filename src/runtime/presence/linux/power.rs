//! Where the power of a machine comes from, by Linux's sysfs.

use std::fs;
use std::path::Path;

/// Where Linux shows chargers and batteries.
pub(super) const SUPPLIES: &str = "/sys/class/power_supply";

/// Whether the machine runs on a battery, by the supplies in a folder; or why that cannot be told. As with systemd, a
/// charger that is plugged in decides, and a machine without a battery that discharges is not on one.
pub(super) fn on_battery(folder: impl AsRef<Path>) -> Result<bool, String> {
    let folder = folder.as_ref();
    let entries = fs::read_dir(folder).map_err(|error| {
        format!("{} does not tell where the power comes from: {error}", folder.display())
    })?;
    let supplies: Vec<Supply> =
        entries.filter_map(|entry| Some(Supply::of(&entry.ok()?.path()))).collect();
    if supplies.contains(&Supply::PluggedIn) {
        return Ok(false);
    }
    Ok(supplies.contains(&Supply::Discharging))
}

#[derive(Debug, PartialEq, Eq)]
enum Supply {
    /// A charger that delivers.
    PluggedIn,
    /// A battery of the machine that delivers.
    Discharging,
    /// Anything else: what is empty, full or not there, and batteries of mice.
    Other,
}

impl Supply {
    fn of(folder: &Path) -> Self {
        let read = |name: &str| {
            let text = fs::read_to_string(folder.join(name)).unwrap_or_default();
            text.trim().to_owned()
        };
        match read("type").as_str() {
            "Mains" | "USB" | "Wireless" if read("online") == "1" => Self::PluggedIn,
            "Battery" | "UPS" if read("scope") != "Device" && read("status") == "Discharging" => {
                Self::Discharging
            }
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BATTERY: (&str, &str) = ("type", "Battery\n");

    fn machine(supplies: &[&[(&str, &str)]]) -> Result<bool, String> {
        let folder = tempfile::tempdir().unwrap();
        for (number, files) in supplies.iter().enumerate() {
            let supply = folder.path().join(format!("supply{number}"));
            fs::create_dir(&supply).unwrap();
            for (name, text) in *files {
                fs::write(supply.join(name), text).unwrap();
            }
        }
        on_battery(folder.path())
    }

    #[test]
    fn a_laptop_is_on_its_battery_when_no_charger_delivers() {
        let discharging = [BATTERY, ("status", "Discharging\n")];
        let mains = |online| [("type", "Mains\n"), ("online", online)];
        let usb = [("type", "USB\n"), ("online", "1\n")];
        assert_eq!(machine(&[&discharging, &mains("0\n")]), Ok(true));
        assert_eq!(machine(&[&discharging]), Ok(true));
        assert_eq!(machine(&[&discharging, &mains("1\n")]), Ok(false), "a weak charger");
        assert_eq!(machine(&[&discharging, &mains("0\n"), &usb]), Ok(false));
        for status in ["Charging\n", "Full\n", "Not charging\n", "Unknown\n"] {
            assert_eq!(machine(&[&[BATTERY, ("status", status)]]), Ok(false), "{status}");
        }
    }

    #[test]
    fn a_machine_without_a_battery_is_plugged_in_whatever_its_mouse_does() {
        assert_eq!(machine(&[]), Ok(false));
        let mouse = [BATTERY, ("scope", "Device\n"), ("status", "Discharging\n")];
        assert_eq!(machine(&[&mouse]), Ok(false));
        assert_eq!(machine(&[&[("type", "Battery\n")]]), Ok(false), "it tells no status");
    }

    #[test]
    fn a_system_without_that_folder_does_not_tell() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("missing");
        assert!(on_battery(missing).is_err_and(|why| why.contains("missing does not tell")));
    }
}
