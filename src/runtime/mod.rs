//! Threads, mailboxes, files and shutdown: one thread per device, the engine on the caller's, one for the network.

mod control;
mod crew;
mod hand;
pub mod hooks;
pub mod mining;
pub mod net;
pub mod presence;
pub mod sensors;
pub mod service;
pub mod share_log;
pub mod signals;
mod sleep;
pub mod snapshot;
pub mod vault;

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

pub use control::Control;
pub use crew::{Crew, Flow, Notice, Waker};
pub use hand::Reopen;

/// A request to stop, which can be made from a signal handler's thread.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<AtomicU8>);

/// What [`Stop`] holds.
const INTERRUPTED: u8 = 1;
const TERMINATED: u8 = 2;

impl Stop {
    /// How soon a request is noticed by those who wait for something else meanwhile.
    pub const TICK: Duration = Duration::from_millis(100);

    /// Asks everybody to stop.
    pub fn request(&self) {
        self.ask(INTERRUPTED);
    }

    /// Asks everybody to stop, as whoever runs services does: to one that goes on until then it is a good end.
    pub fn terminate(&self) {
        self.ask(TERMINATED);
    }

    /// Whether somebody asked.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        self.0.load(Ordering::Relaxed) != 0
    }

    /// Whether the first who asked was one who runs services.
    #[must_use]
    pub fn is_termination(&self) -> bool {
        self.0.load(Ordering::Relaxed) == TERMINATED
    }

    fn ask(&self, how: u8) {
        // Relaxed: it guards no other data.
        let _ = self.0.compare_exchange(0, how, Ordering::Relaxed, Ordering::Relaxed);
    }
}
