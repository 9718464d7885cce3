//! macOS: when keyboard and mouse were used last, and where the power comes from.

#![expect(unsafe_code, reason = "one function of IOKit takes what must be of the right type")]

use std::time::Duration;

use objc2_core_graphics::{CGEventSource, CGEventSourceStateID, CGEventType};
use objc2_io_kit::{IOPSCopyPowerSourcesInfo, IOPSGetProvidingPowerSourceType};

/// What stands for input of every kind, `kCGAnyInputEventType`.
const ANY_INPUT: CGEventType = CGEventType(u32::MAX);

/// macOS, which needs no connection.
#[derive(Default)]
pub(super) struct Input(());

impl Input {
    /// For how long there was no input, or why that cannot be told.
    #[expect(clippy::unused_self, reason = "it is a connection on other systems")]
    pub(super) fn last(&mut self) -> Result<Duration, String> {
        let hardware = CGEventSourceStateID::HIDSystemState;
        let seconds = CGEventSource::seconds_since_last_event_type(hardware, ANY_INPUT);
        Duration::try_from_secs_f64(seconds)
            .map_err(|_| "macOS does not tell when it was used last".to_owned())
    }
}

/// Whether the machine runs on its battery or on a battery beside it, or why that cannot be told.
pub(super) fn on_battery() -> Result<bool, String> {
    let unknown = || "macOS does not tell where the power comes from".to_owned();
    let sources = IOPSCopyPowerSourcesInfo().ok_or_else(unknown)?;
    // SAFETY: it is what the call before made for this one.
    let providing = unsafe { IOPSGetProvidingPowerSourceType(Some(&sources)) };
    match providing.ok_or_else(unknown)?.to_string().as_str() {
        "AC Power" => Ok(false),
        "Battery Power" | "UPS Power" => Ok(true),
        _ => Err(unknown()),
    }
}
