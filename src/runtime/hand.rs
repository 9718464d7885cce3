//! The thread of a device: opens it, drives it, and tells the crew what came of it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError};
use std::time::{Duration, Instant};

use crate::device::driver::{Driver, Order};
use crate::device::{Device, DeviceInfo};
use crate::engine::DeviceId;
use crate::limits::KNOWN_ANSWERS_EVERY;
use crate::work::{Batch, JobId, Pace, Region, Scan};

/// Opens a device again after it broke, and tests it. Says why it cannot be used.
pub type Reopen = Arc<dyn Fn() -> Result<Box<dyn Device>, String> + Send + Sync>;

/// What the crew hears.
pub(super) enum Event {
    /// From a device, in its so-manieth life: a thread that was left alone may speak up later.
    Device(DeviceId, u32, Told),
    Woken,
}

/// What a device's thread says.
pub(super) enum Told {
    /// It was opened, and passed its self-test.
    Opened(DeviceInfo),
    /// It could not be opened.
    Refused(String),
    /// With the driver's deadline for the next report.
    Scanned(Batch, Scan, Duration),
    GaveBack(JobId, Region),
    Failed(String),
    /// The thread ends.
    Gone,
}

/// The thread's way to the crew.
pub(super) struct Voice {
    pub(super) device: DeviceId,
    pub(super) life: u32,
    pub(super) events: Sender<Event>,
}

impl Voice {
    fn say(&self, told: Told) {
        // Nobody listens any more when the crew was dropped.
        let _ = self.events.send(Event::Device(self.device, self.life, told));
    }
}

/// Drives an open device until its orders end. A panic in the device ends the device, not the process.
pub(super) fn occupy(voice: &Voice, driver: Driver, orders: &Receiver<Order>) {
    let ended = catch_unwind(AssertUnwindSafe(|| drive(voice, driver, orders)));
    if ended.is_err() {
        voice.say(Told::Failed("its driver thread panicked".to_owned()));
    }
    voice.say(Told::Gone);
}

/// Opens a device first.
pub(super) fn reopen(voice: &Voice, reopen: &Reopen, pace: Pace, orders: &Receiver<Order>) {
    let opened = catch_unwind(AssertUnwindSafe(|| reopen()));
    match opened.unwrap_or_else(|_| Err("opening it panicked".to_owned())) {
        Ok(device) => {
            voice.say(Told::Opened(device.info().clone()));
            let mut driver = Driver::new(device, pace.batch_time);
            driver.set_pace(pace);
            occupy(voice, driver, orders);
        }
        Err(why) => {
            voice.say(Told::Refused(why));
            voice.say(Told::Gone);
        }
    }
}

fn drive(voice: &Voice, mut driver: Driver, orders: &Receiver<Order>) {
    // Since when the device does nothing.
    let mut free = Instant::now();
    let mut proven = Instant::now();
    loop {
        // Without work the thread sleeps until there is some; between two batches while the device shall rest.
        let mut order = if driver.is_idle() {
            let Ok(order) = orders.recv() else { return };
            Some(order)
        } else {
            let rest = driver.rest();
            if rest.is_zero() { None } else { orders.recv_timeout(rest).ok() }
        };
        loop {
            match order.take().map_or_else(|| orders.try_recv(), Ok) {
                Ok(order) => {
                    for (job, region) in driver.obey(order) {
                        voice.say(Told::GaveBack(job, region));
                    }
                }
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => return,
            }
        }
        driver.rested(free.elapsed());
        free = Instant::now();
        if !driver.rest().is_zero() {
            continue; // an order cut the rest short
        }
        if proven.elapsed() >= KNOWN_ANSWERS_EVERY {
            proven = Instant::now();
            driver.obey(Order::Doubt);
        }
        match driver.step() {
            Ok(None) => {}
            Ok(Some((batch, scan))) => voice.say(Told::Scanned(batch, scan, driver.deadline())),
            Err(error) => return voice.say(Told::Failed(error.to_string())),
        }
        free = Instant::now();
    }
}
