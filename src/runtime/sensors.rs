//! Reads the sensors of the devices beside the run: a driver that hangs holds up nobody but its own reader.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::device::DeviceInfo;
use crate::device::sensors::{Reading, Sensors};

/// How often sensors are read: people look every second.
const INTERVAL: Duration = Duration::from_secs(1);

/// A reading that is older says nothing of now: the driver hangs.
const FRESH: Duration = Duration::from_secs(5);

/// The sensors of all devices, with a thread for each.
#[derive(Debug)]
pub struct Gauges {
    latest: Vec<Latest>,
    /// Dropped with the gauges, which ends the threads.
    _end: Vec<Sender<()>>,
}

type Latest = Arc<Mutex<Option<(Instant, Reading)>>>;

impl Gauges {
    /// Begins to read the sensors of these devices, which are named by their place.
    #[must_use]
    pub fn start<'d>(devices: impl IntoIterator<Item = &'d DeviceInfo>) -> Self {
        let (latest, ends) = devices.into_iter().map(watch).unzip();
        Self { latest, _end: ends }
    }

    /// What the sensors of a device say now; nothing where there are none or they do not answer.
    #[must_use]
    pub fn reading(&self, device: usize, now: Instant) -> Reading {
        let latest = self.latest.get(device).map(|latest| lock(latest).clone());
        let fresh = latest.flatten().filter(|(at, _)| now.saturating_duration_since(*at) <= FRESH);
        fresh.map(|(_, reading)| reading).unwrap_or_default()
    }
}

fn watch(device: &DeviceInfo) -> (Latest, Sender<()>) {
    let latest = Latest::default();
    let (end, ended) = channel();
    let (facts, written) = (device.facts(), Arc::clone(&latest));
    let read = move || {
        let mut sensors = Sensors::of(&facts);
        if let Err(why) = sensors.source() {
            tracing::debug!("no sensors of {}: {why}", facts.name);
            return;
        }
        loop {
            let (at, reading) = (Instant::now(), sensors.read());
            let mut latest = lock(&written);
            let reading = match &*latest {
                Some((before, last)) => reading.with_power_since(last, at - *before),
                None => reading,
            };
            *latest = Some((at, reading));
            drop(latest);
            if ended.recv_timeout(INTERVAL) != Err(RecvTimeoutError::Timeout) {
                return;
            }
        }
    };
    // Without a thread nothing is known, as without sensors.
    if let Err(error) = thread::Builder::new().name("sensors".to_owned()).spawn(read) {
        tracing::debug!("no thread for the sensors: {error}");
    }
    (latest, end)
}

fn lock(latest: &Latest) -> std::sync::MutexGuard<'_, Option<(Instant, Reading)>> {
    // Nothing in here can be left half done.
    latest.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_reading_is_none() {
        let now = Instant::now();
        let reading = Reading { temperature_c: Some(50.0), ..Reading::default() };
        let latest = Arc::new(Mutex::new(Some((now, reading.clone()))));
        let gauges = Gauges { latest: vec![latest], _end: Vec::new() };
        assert_eq!(gauges.reading(0, now + FRESH), reading);
        assert_eq!(gauges.reading(0, now + FRESH * 2), Reading::default());
        assert_eq!(gauges.reading(1, now), Reading::default(), "no such device");
    }
}
