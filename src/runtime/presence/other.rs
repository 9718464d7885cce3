//! A system that adit cannot ask.

use std::time::Duration;

/// Nobody who could be asked.
#[derive(Default)]
pub(super) struct Input(());

impl Input {
    /// Why it cannot be told.
    #[expect(clippy::unused_self, reason = "it is a connection where there is one")]
    pub(super) fn last(&mut self) -> Result<Duration, String> {
        Err("adit cannot ask this system when it was used last".to_owned())
    }
}

/// Why it cannot be told.
pub(super) fn on_battery() -> Result<bool, String> {
    Err("adit cannot ask this system where its power comes from".to_owned())
}
