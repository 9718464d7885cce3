//! A handle to a run, for whoever wants it paused or slower: keys, signals, programs, probes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::Waker;
use crate::engine::DeviceId;
use crate::engine::governor::{Asker, Event, Governor, Setting, Status};
use crate::work::{Duty, Profile};

/// A handle to a run. All its clones are one; it may be used before the run begins and after it ended.
#[derive(Clone, Default)]
pub struct Control(Arc<Shared>);

#[derive(Default)]
struct Shared {
    governor: Mutex<Governor>,
    /// Who carries out what is decided, once there is a run.
    waker: Mutex<Option<Waker>>,
}

impl Control {
    /// Takes an event, and has what follows from it carried out.
    pub fn handle(&self, event: Event) {
        let changed = lock(&self.0.governor).handle(event, Instant::now());
        if changed && let Some(waker) = &*lock(&self.0.waker) {
            waker.wake();
        }
    }

    /// Lets all devices rest.
    pub fn pause(&self, asker: Asker) {
        self.handle(Event::Pause(asker));
    }

    /// Lets them go on, as far as this asker is concerned.
    pub fn resume(&self, asker: Asker) {
        self.handle(Event::Resume(asker));
    }

    /// A device takes part, with this profile and this part of the time.
    pub fn join(&self, device: DeviceId, profile: Profile, duty: Duty) {
        lock(&self.0.governor).join(device, profile, duty);
    }

    /// How it all stands.
    #[must_use]
    pub fn status(&self) -> Status {
        lock(&self.0.governor).status()
    }

    /// What a device shall do now; `None` for one that is not governed.
    pub(super) fn setting(&self, device: DeviceId) -> Option<Setting> {
        lock(&self.0.governor).setting(device)
    }

    /// Who is woken when something changes.
    pub(super) fn attach(&self, waker: Waker) {
        *lock(&self.0.waker) = Some(waker);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing in here can be left half done.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
