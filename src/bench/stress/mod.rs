//! Loads devices steadily, all at once, and checks everything that they report: for people who tune clocks
//! and voltages.

mod lane;
#[cfg(test)]
mod tests;

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread::{Builder, ScopedJoinHandle};
use std::time::{Duration, Instant};

use self::lane::Lane;
use super::record::{Round, Subject};
use super::run::Entrant;
use super::workload::Workload;
use crate::device::Facts;

/// What a stress test does.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What is hashed.
    pub workload: Workload,
    /// For how long.
    pub time: Duration,
}

/// What happens in a stress test, for those who watch it. Subjects are named by their place.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A subject is open and tested.
    Opened(usize),
    /// A round, and the seconds since the begin at its end.
    Round(usize, Round, f64),
    /// Something is wrong, in words.
    Trouble(usize, String),
    /// A subject drops out.
    Dropped(usize, String),
}

/// What a lane says.
type Tell = Sender<Event>;

/// Loads the entrants' devices and returns the subjects, in their order, and whether it was stopped. Several
/// kernels of one device take turns.
///
/// `is_stopped` is asked before each turn.
///
/// # Errors
///
/// When the system gives no thread to a device.
pub fn run(
    plan: &Plan,
    entrants: Vec<Entrant<'_>>,
    is_stopped: &(dyn Fn() -> bool + Sync),
    tell: &mut dyn FnMut(Event),
) -> io::Result<(Vec<Subject>, bool)> {
    let begin = Instant::now();
    let mut lanes: Vec<(Facts, Vec<(usize, Entrant<'_>)>)> = Vec::new();
    for (place, entrant) in entrants.into_iter().enumerate() {
        match lanes.iter_mut().find(|(device, _)| *device == entrant.device) {
            Some((_, lane)) => lane.push((place, entrant)),
            None => lanes.push((entrant.device.clone(), vec![(place, entrant)])),
        }
    }
    let (stopped, broken) = (AtomicBool::new(false), AtomicBool::new(false));
    let is_stopped = || {
        let now = is_stopped();
        stopped.fetch_or(now, Ordering::Relaxed);
        now || broken.load(Ordering::Relaxed)
    };
    let (sender, events) = channel();
    let mut subjects = std::thread::scope(|scope| {
        let mut threads = Vec::new();
        for (device, entrants) in lanes {
            let sender = sender.clone();
            let is_stopped = &is_stopped;
            let work = move || Lane::new(plan, &device, entrants, begin).run(is_stopped, &sender);
            let thread = Builder::new().name("stress".to_owned()).spawn_scoped(scope, work);
            threads.push(thread.inspect_err(|_| broken.store(true, Ordering::Relaxed)));
        }
        drop(sender);
        // It ends when all lanes have ended.
        events.iter().for_each(tell);
        threads.into_iter().map(|thread| Ok(join(thread?))).collect::<io::Result<Vec<_>>>()
    })?
    .concat();
    subjects.sort_by_key(|(place, _)| *place);
    let subjects = subjects.into_iter().map(|(_, subject)| subject).collect();
    Ok((subjects, stopped.into_inner()))
}

fn join<T>(thread: ScopedJoinHandle<'_, T>) -> T {
    // Devices are called on threads of their own: a panic here is a bug of ours, and is not hidden.
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
