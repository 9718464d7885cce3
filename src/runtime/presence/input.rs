//! For how long the user of a machine did not touch it.

#[cfg(target_os = "linux")]
pub(super) use x11::Input;

#[cfg(not(target_os = "linux"))]
pub(super) use none::Input;

#[cfg(target_os = "linux")]
mod x11 {
    use std::env;
    use std::error::Error;
    use std::time::Duration;

    use x11rb::connection::Connection as _;
    use x11rb::protocol::screensaver;
    use x11rb::rust_connection::RustConnection;

    /// The X11 display of the user, which its screen saver extension tells of.
    #[derive(Default)]
    pub(in super::super) struct Input(Option<(RustConnection, u32)>);

    impl Input {
        /// For how long there was no input, or why that cannot be told.
        pub(in super::super) fn last(&mut self) -> Result<Duration, String> {
            let is_set = |name: &str| env::var_os(name).is_some_and(|value| !value.is_empty());
            // X11 programs of a Wayland session hear of nothing that others are typed.
            if is_set("WAYLAND_DISPLAY") {
                return Err("adit cannot ask a Wayland session when it was used last".to_owned());
            }
            if !is_set("DISPLAY") {
                return Err("no X11 display is known, for DISPLAY is not set".to_owned());
            }
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
}

#[cfg(not(target_os = "linux"))]
mod none {
    use std::time::Duration;

    /// Nobody whom adit can ask.
    #[derive(Default)]
    pub(in super::super) struct Input;

    impl Input {
        /// Why it cannot be told.
        #[expect(clippy::unused_self, reason = "it is a connection where there is one")]
        pub(in super::super) fn last(&mut self) -> Result<Duration, String> {
            Err("adit cannot ask this system when it was used last".to_owned())
        }
    }
}
