//! An X11 display, which its screen saver extension tells of.

use std::error::Error;
use std::time::Duration;

use x11rb::connection::Connection as _;
use x11rb::protocol::screensaver;
use x11rb::rust_connection::RustConnection;

/// The display that DISPLAY names.
#[derive(Default)]
pub(super) struct Input(Option<(RustConnection, u32)>);

impl Input {
    /// For how long there was no input, or why that cannot be told.
    pub(super) fn last(&mut self) -> Result<Duration, String> {
        self.ask().map_err(|error| {
            // The next look connects anew.
            self.0 = None;
            format!("the X11 display does not tell when it was used last: {error}")
        })
    }

    fn ask(&mut self) -> Result<Duration, Box<dyn Error>> {
        let (connection, root) = match &mut self.0 {
            Some(open) => open,
            none => none.insert(connect()?),
        };
        let info = screensaver::query_info(connection, *root)?.reply()?;
        Ok(Duration::from_millis(info.ms_since_user_input.into()))
    }
}

fn connect() -> Result<(RustConnection, u32), Box<dyn Error>> {
    let (connection, screen) = x11rb::connect(None)?;
    let root = connection.setup().roots.get(screen).map(|screen| screen.root);
    root.map(|root| (connection, root)).ok_or_else(|| "it has no screen".into())
}
