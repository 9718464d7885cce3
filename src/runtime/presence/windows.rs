//! Windows: when the session of this process had its last input, and where the power comes from.

#![expect(unsafe_code, reason = "windows-sys is Windows as it is in C: every call of it is unsafe")]

use std::time::Duration;

use windows_sys::Win32::System::Power::{GetSystemPowerStatus, SYSTEM_POWER_STATUS};
use windows_sys::Win32::System::SystemInformation::GetTickCount;
use windows_sys::Win32::UI::Input::KeyboardAndMouse::{GetLastInputInfo, LASTINPUTINFO};

/// Windows, which needs no connection.
#[derive(Default)]
pub(super) struct Input(());

impl Input {
    /// For how long there was no input, or why that cannot be told.
    #[expect(clippy::unused_self, reason = "it is a connection on other systems")]
    pub(super) fn last(&mut self) -> Result<Duration, String> {
        #[expect(clippy::cast_possible_truncation, reason = "it has eight bytes")]
        let mut info = LASTINPUTINFO { cbSize: size_of::<LASTINPUTINFO>() as u32, dwTime: 0 };
        // SAFETY: `info` is one, and says how long it is.
        if unsafe { GetLastInputInfo(&raw mut info) } == 0 {
            return Err("Windows does not tell when it was used last".to_owned());
        }
        // SAFETY: it takes nothing.
        let now = unsafe { GetTickCount() };
        // Both count milliseconds modulo 2^32.
        Ok(Duration::from_millis(now.wrapping_sub(info.dwTime).into()))
    }
}

/// Whether the machine runs on its battery, or why that cannot be told.
pub(super) fn on_battery() -> Result<bool, String> {
    let mut status = SYSTEM_POWER_STATUS::default();
    // SAFETY: `status` is one.
    let is_told = unsafe { GetSystemPowerStatus(&raw mut status) } != 0;
    match status.ACLineStatus {
        0 if is_told => Ok(true),
        1 if is_told => Ok(false),
        _ => Err("Windows does not tell where the power comes from".to_owned()),
    }
}
