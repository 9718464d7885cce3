//! Signals that pause a run and let it go on: SIGUSR1 and SIGUSR2, where there are such.

use std::io;

use super::Control;

/// Obeys the signals from now on, on a thread of its own. Without this they would end the process.
///
/// # Errors
///
/// When the system refuses.
#[cfg(unix)]
pub fn obey(control: &Control) -> io::Result<()> {
    use signal_hook::consts::{SIGUSR1, SIGUSR2};
    use signal_hook::iterator::Signals;

    use crate::engine::governor::Asker;

    let mut signals = Signals::new([SIGUSR1, SIGUSR2])?;
    let control = control.clone();
    let listen = move || {
        for signal in signals.forever() {
            match signal {
                SIGUSR1 => control.pause(Asker::Signal),
                _ => control.resume(Asker::Signal),
            }
        }
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(listen).map(drop)
}

/// There are no such signals here.
///
/// # Errors
///
/// None.
#[cfg(not(unix))]
pub fn obey(_: &Control) -> io::Result<()> {
    Ok(())
}
