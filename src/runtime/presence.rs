//! Whether somebody uses this machine, and whether it runs on its battery, looked at beside the run: a display that
//! hangs holds up nobody but who looks at it.

#[cfg_attr(target_os = "linux", path = "presence/linux/mod.rs")]
#[cfg_attr(target_os = "macos", path = "presence/macos.rs")]
#[cfg_attr(windows, path = "presence/windows.rs")]
#[cfg_attr(not(any(target_os = "linux", target_os = "macos", windows)), path = "presence/other.rs")]
mod system;

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How often it is looked: who sits down gets his machine within this time.
const INTERVAL: Duration = Duration::from_secs(1);

/// What was seen before says nothing of now.
const FRESH: Duration = Duration::from_secs(5);

/// What is seen of a machine, or why it cannot be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// For how long there was no input of its user.
    pub without_input: Result<Duration, String>,
    /// Whether it runs on its battery.
    pub on_battery: Result<bool, String>,
}

/// Somebody who looks, until this is dropped.
#[derive(Debug)]
pub struct Presence {
    since: Instant,
    latest: Arc<Mutex<Option<(Instant, Seen)>>>,
    _end: Sender<()>,
}

impl Presence {
    /// Begins to look.
    #[must_use]
    pub fn watch() -> Self {
        let latest = Arc::default();
        let (end, ended) = channel::<()>();
        let written = Arc::clone(&latest);
        let look = move || {
            let mut input = system::Input::default();
            loop {
                let (at, without_input) = (Instant::now(), input.last());
                let seen = Seen { without_input, on_battery: system::on_battery() };
                *lock(&written) = Some((at, seen));
                if ended.recv_timeout(INTERVAL) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
            }
        };
        // Without a thread there is no answer, and that is said.
        if let Err(error) = thread::Builder::new().name("presence".to_owned()).spawn(look) {
            tracing::debug!("no thread that looks who uses the machine: {error}");
        }
        Self { since: Instant::now(), latest, _end: end }
    }

    /// What is seen now; `None` while nobody had the time to look.
    #[must_use]
    pub fn seen(&self, now: Instant) -> Option<Seen> {
        let latest = lock(&self.latest).clone();
        let at = latest.as_ref().map_or(self.since, |(at, _)| *at);
        if now.saturating_duration_since(at) <= FRESH {
            return latest.map(|(_, seen)| seen);
        }
        let silent = || "the system does not answer".to_owned();
        Some(Seen { without_input: Err(silent()), on_battery: Err(silent()) })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // Nothing in here can be left half done.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_that_takes_too_long_tells_nothing() {
        let since = Instant::now();
        let seen = Seen { without_input: Ok(Duration::ZERO), on_battery: Ok(true) };
        let presence =
            |latest| Presence { since, latest: Arc::new(Mutex::new(latest)), _end: channel().0 };
        let first = presence(None);
        assert_eq!(first.seen(since + FRESH), None);
        assert!(first.seen(since + FRESH * 2).unwrap().on_battery.is_err());
        let at = since + Duration::from_secs(60);
        let later = presence(Some((at, seen.clone())));
        assert_eq!(later.seen(at + FRESH), Some(seen));
        assert!(later.seen(at + FRESH * 2).unwrap().without_input.is_err());
    }
}
