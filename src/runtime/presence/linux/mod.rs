//! Linux: the display of the user, else logind; and sysfs.

mod logind;
mod power;
mod wayland;
mod x11;

use std::env;
use std::time::Duration;

/// Who is asked when there was input last.
#[derive(Default)]
pub(super) struct Input {
    wayland: wayland::Input,
    x11: x11::Input,
    logind: logind::Input,
}

impl Input {
    /// For how long there was no input, by the first who can tell; or why nobody can.
    pub(super) fn last(&mut self) -> Result<Duration, String> {
        let is_set = |name: &str| env::var_os(name).is_some_and(|value| !value.is_empty());
        // X11 programs of a Wayland session hear of nothing that others are typed.
        let display = if is_set("WAYLAND_DISPLAY") {
            self.wayland.last()
        } else if is_set("DISPLAY") {
            self.x11.last()
        } else {
            Err("neither WAYLAND_DISPLAY nor DISPLAY is set".to_owned())
        };
        display.or_else(|why| self.logind.last().map_err(|logind| format!("{why}, and {logind}")))
    }
}

/// Whether the machine runs on its battery, or why that cannot be told.
pub(super) fn on_battery() -> Result<bool, String> {
    power::on_battery(power::SUPPLIES)
}
