//! Signals, where there are such: SIGTERM and SIGHUP end a command, SIGUSR1 and SIGUSR2 pause a run and let it go on,
//! and SIGHUP has the settings of one read again that can do so.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{Control, Stop};

/// A request to read the settings again, which any thread can make.
#[derive(Debug, Clone, Default)]
pub struct Reload(Arc<AtomicBool>);

impl Reload {
    /// Asks for it.
    pub fn request(&self) {
        // Relaxed: the flag guards no other data.
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether somebody asked since this was called last.
    #[must_use]
    pub fn take(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }
}

/// Whether SIGHUP is for a run that reads its settings again, and not the end.
#[cfg(unix)]
static IS_RELOADING: AtomicBool = AtomicBool::new(false);

/// Calls `end` for every SIGTERM, with `true`, and for every SIGHUP that is not for [`obey`], on a thread of its own.
///
/// # Errors
///
/// When the system refuses.
#[cfg(unix)]
pub fn on_end(end: impl Fn(bool) + Send + 'static) -> io::Result<()> {
    use signal_hook::consts::{SIGHUP, SIGTERM};
    use signal_hook::iterator::Signals;

    let mut signals = Signals::new([SIGTERM, SIGHUP])?;
    let listen = move || {
        for signal in signals.forever() {
            if signal != SIGHUP || !IS_RELOADING.load(Ordering::Relaxed) {
                end(signal == SIGTERM);
            }
        }
    };
    std::thread::Builder::new().name("end".to_owned()).spawn(listen).map(drop)
}

/// There are no such signals here.
///
/// # Errors
///
/// None.
#[cfg(not(unix))]
pub fn on_end(_: impl Fn(bool) + Send + 'static) -> io::Result<()> {
    Ok(())
}

/// Obeys the signals of a run from now on, on a thread of its own; SIGHUP only where somebody reads settings again.
///
/// # Errors
///
/// When the system refuses.
#[cfg(unix)]
pub fn obey(control: &Control, reload: Option<&Reload>, stop: &Stop) -> io::Result<()> {
    use std::io::IsTerminal as _;

    use signal_hook::consts::{SIGHUP, SIGUSR1, SIGUSR2};
    use signal_hook::iterator::Signals;

    use crate::engine::governor::Asker;

    let mut signals = Signals::new([SIGUSR1, SIGUSR2])?;
    if reload.is_some() {
        signals.add_signal(SIGHUP)?;
        IS_RELOADING.store(true, Ordering::Relaxed);
    }
    let (control, reload, stop) = (control.clone(), reload.cloned(), stop.clone());
    let had_terminal = io::stdout().is_terminal();
    let listen = move || {
        for signal in signals.forever() {
            match signal {
                SIGUSR1 => control.pause(Asker::Signal),
                SIGUSR2 => control.resume(Asker::Signal),
                // The same signal says that the terminal was closed: nobody sees the run any more.
                _ if had_terminal && !io::stdout().is_terminal() => stop.request(),
                _ => reload.iter().for_each(Reload::request),
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
pub fn obey(_: &Control, _: Option<&Reload>, _: &Stop) -> io::Result<()> {
    Ok(())
}
