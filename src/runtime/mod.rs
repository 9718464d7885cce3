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
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

pub use control::Control;
pub use crew::{Crew, Flow, Notice, Waker};
pub use hand::Reopen;

/// A request to stop, which can be made from a signal handler's thread.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// How soon a request is noticed by those who wait for something else meanwhile.
    pub const TICK: Duration = Duration::from_millis(100);

    /// Asks everybody to stop.
    pub fn request(&self) {
        // Relaxed: the flag guards no other data.
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether somebody asked.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
