//! Open devices with a thread each, and the engine that feeds them.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread;
use std::time::{Duration, Instant};

use super::{Control, Stop};
use crate::device::driver::Driver;
use crate::device::{Device, DeviceInfo};
use crate::engine::governor::{Setting, Status};
use crate::engine::{
    Account, Counters, DeviceAccount, DeviceId, Engine, Input, JobReport, Output, Tally,
};
use crate::limits::{BATCH_DEADLINE, EVENTS_AT_ONCE, STOP_DEADLINE};
use crate::work::{Assignment, Batch, Job, JobId, Pace, Region, Scan, Share, SourceId};

/// What the caller hears while a job is at work.
#[derive(Debug)]
pub enum Notice<'n> {
    /// A hash meets the target.
    Found(DeviceId, &'n Share),
    /// A device made a mistake. It was counted, and its hashes are tested again.
    Fault(DeviceId, &'n str),
    /// A device gets no more work.
    Dismissed(DeviceId, &'n str),
    /// Devices were paused, or are not any more.
    Governed(&'n Status),
    /// Some time passed.
    Progress(&'n Tally, &'n Counters),
}

/// Whether a job goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// It does.
    Continue,
    /// It ends: nothing new is begun, what is under way is still counted.
    End,
}

/// Open devices with a thread each, and the engine that feeds them.
pub struct Crew {
    engine: Engine,
    seats: Vec<Seat>,
    events: Receiver<Event>,
    waker: Waker,
    control: Option<Control>,
    /// How the devices were governed when that was told last.
    told: Status,
    stop: Stop,
    /// When the request to stop was noticed.
    stopped: Option<Instant>,
}

/// The runtime's end of a device.
struct Seat {
    info: DeviceInfo,
    /// `None` once the device was dismissed.
    mailbox: Option<Sender<Order>>,
    /// Its thread ended, or hangs and is left alone.
    gone: bool,
    /// When it was last given something or said something.
    heard: Instant,
    /// How long its driver waits for the device.
    deadline: Duration,
    /// What it was told to do.
    setting: Setting,
}

/// Ends a wait of [`Crew::wait`], from any thread.
#[derive(Clone)]
pub struct Waker {
    events: Sender<Event>,
    /// Whether it will wake up already: it does so once, however often it is told.
    told: Arc<AtomicBool>,
}

impl Waker {
    /// Wakes the crew up.
    pub fn wake(&self) {
        // Acquire and release: what was written before the call is seen by who wakes up.
        if !self.told.swap(true, Ordering::AcqRel) {
            // Nobody waits any more when the crew was dropped.
            let _ = self.events.send(Event::Woken);
        }
    }
}

enum Order {
    Work(Assignment),
    Abandon(JobId),
    Recall,
    Pace(Pace),
}

enum Event {
    /// With the driver's deadline for the next report.
    Scanned(DeviceId, Batch, Scan, Duration),
    GaveBack(DeviceId, JobId, Region),
    Failed(DeviceId, String),
    Gone(DeviceId),
    Woken,
}

impl Crew {
    /// Starts a thread for each device. Batches shall take `batch_time`.
    #[must_use]
    pub fn new(devices: Vec<Box<dyn Device>>, batch_time: Duration, stop: Stop) -> Self {
        let (sender, events) = channel();
        let mut engine = Engine::new();
        let mut seats = Vec::new();
        for (number, device) in (0..).zip(devices) {
            let id = DeviceId(number);
            let info = device.info().clone();
            let (mailbox, orders) = channel();
            let events = sender.clone();
            let thread = thread::Builder::new().name(id.to_string());
            let spawned =
                thread.spawn(move || occupy(id, Driver::new(device, batch_time), &orders, &events));
            if let Err(error) = spawned {
                // The crew holds the other end, so both arrive.
                let _ = sender.send(Event::Failed(id, format!("no thread for it: {error}")));
                let _ = sender.send(Event::Gone(id));
            }
            let (heard, deadline) = (Instant::now(), BATCH_DEADLINE);
            engine.handle(Input::Joined(id, info.width), heard, &mut Vec::new());
            let setting = Setting { pace: Pace::full(batch_time), is_paused: false };
            seats.push(Seat {
                info,
                mailbox: Some(mailbox),
                gone: false,
                heard,
                deadline,
                setting,
            });
        }
        let waker = Waker { events: sender, told: Arc::default() };
        let told = Status::default();
        Self { engine, seats, events, waker, control: None, told, stop, stopped: None }
    }

    /// Does from now on what `control` says.
    pub fn obey(&mut self, control: Control) {
        control.attach(self.waker());
        self.control = Some(control);
        // With no job yet nothing is said to this.
        self.govern();
    }

    /// How the devices are governed.
    #[must_use]
    pub fn status(&self) -> Status {
        self.control.as_ref().map(Control::status).unwrap_or_default()
    }

    /// How the devices are governed, where that is news to who asks: pauses and profiles.
    pub fn governed(&mut self) -> Option<Status> {
        let now = self.control.as_ref()?.status();
        let is_news = now.is_news_after(&self.told);
        self.told = now;
        is_news.then(|| self.told.clone())
    }

    /// What the devices are, by their id.
    #[must_use]
    pub fn device(&self, id: DeviceId) -> Option<&DeviceInfo> {
        self.seats.get(usize::from(id.0)).map(|seat| &seat.info)
    }

    /// All devices, also those that left.
    pub fn devices(&self) -> impl Iterator<Item = (DeviceId, &DeviceInfo)> {
        (0..).map(DeviceId).zip(self.seats.iter().map(|seat| &seat.info))
    }

    /// Whether a device is left to work.
    #[must_use]
    pub fn can_work(&self) -> bool {
        self.seats.iter().any(|seat| seat.mailbox.is_some())
    }

    /// Whether a device has hashes to report on.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        (0..).take(self.seats.len()).any(|number| self.engine.is_busy(DeviceId(number)))
    }

    /// What ends a wait.
    #[must_use]
    pub fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// What was done for each source.
    #[must_use]
    pub fn accounts(&self) -> BTreeMap<SourceId, Account> {
        self.engine.accounts()
    }

    /// What each device did, also those that left.
    #[must_use]
    pub fn device_accounts(&self) -> BTreeMap<DeviceId, DeviceAccount> {
        self.engine.device_accounts()
    }

    /// Works on a job until it is scanned, `observe` ends it, or a stop is requested.
    pub fn work(&mut self, job: Job, mut observe: impl FnMut(Notice<'_>) -> Flow) -> JobReport {
        let id = job.id;
        let mut outputs = self.tell(Input::Job(Arc::new(job)));
        let mut ended = false;
        loop {
            let mut flow = Flow::Continue;
            for output in outputs {
                let notice = match &output {
                    Output::Finished(report) if report.job == id => return report.clone(),
                    Output::Found(device, share) => Notice::Found(*device, share),
                    Output::Fault(device, why) => Notice::Fault(*device, why),
                    Output::Dismiss(device, why) => Notice::Dismissed(*device, why),
                    _ => continue,
                };
                flow = observe(notice).or(flow);
            }
            if let Some(status) = self.governed() {
                flow = observe(Notice::Governed(&status)).or(flow);
            }
            if let Some((tally, counters)) = self.engine.progress(id) {
                flow = observe(Notice::Progress(tally, counters)).or(flow);
            }
            outputs = if !ended && (flow == Flow::End || self.stop.is_requested()) {
                ended = true;
                self.tell(Input::End(id))
            } else {
                self.wait(Stop::TICK)
            };
        }
    }

    /// Tells the engine something and carries out what follows from it. Returns what is left to the caller:
    /// shares, faults, dismissed devices, finished jobs.
    pub fn tell(&mut self, input: Input) -> Vec<Output> {
        let mut outputs = Vec::new();
        self.engine.handle(input, Instant::now(), &mut outputs);
        outputs.retain(|output| self.carry_out(output));
        outputs
    }

    /// Waits until a device says something, the waker is told, or `limit` has passed, and does what
    /// [`tell`](Self::tell) does with all that was said.
    pub fn wait(&mut self, limit: Duration) -> Vec<Output> {
        let now = Instant::now();
        let due = self.engine.deadline().map(|deadline| deadline.saturating_duration_since(now));
        let limit = limit.min(Stop::TICK).min(due.unwrap_or(limit));
        let mut outputs = Vec::new();
        let mut event = self.events.recv_timeout(limit).ok();
        let mut heard = 0;
        while let Some(said) = event {
            let input = self.input(said);
            outputs.extend(input.into_iter().flat_map(|input| self.tell(input)));
            heard += 1;
            if heard >= EVENTS_AT_ONCE {
                // Devices may report faster than this goes: the caller has other things to do too.
                return outputs;
            }
            event = self.events.try_recv().ok();
        }
        // All that was said came first: the caller may have taken longer than a device may.
        for hung in self.hung(Instant::now()) {
            outputs.extend(self.tell(hung));
        }
        if self.engine.deadline().is_some_and(|deadline| deadline <= Instant::now()) {
            outputs.extend(self.tell(Input::Tick));
        }
        outputs.extend(self.govern());
        outputs
    }

    /// Has the devices do what their settings say.
    fn govern(&mut self) -> Vec<Output> {
        let Some(control) = &self.control else { return Vec::new() };
        let mut changed = Vec::new();
        for (device, seat) in (0..).map(DeviceId).zip(&mut self.seats) {
            let Some(setting) = control.setting(device) else { continue };
            let before = std::mem::replace(&mut seat.setting, setting);
            if before != setting {
                changed.push((device, before, setting));
            }
        }
        let mut outputs = Vec::new();
        for (device, before, setting) in changed {
            if before.pace != setting.pace {
                self.post(device, Order::Pace(setting.pace));
            }
            let duty = (!setting.is_paused).then_some(setting.pace.duty);
            outputs.extend(self.tell(Input::Allow(device, duty)));
        }
        outputs
    }

    /// Does what concerns devices. Returns whether the caller should hear of it.
    fn carry_out(&mut self, output: &Output) -> bool {
        match output {
            Output::Assign(device, assignment) => {
                self.post(*device, Order::Work(assignment.clone()));
                false
            }
            Output::Abandon(job) => {
                for number in (0..).take(self.seats.len()) {
                    self.post(DeviceId(number), Order::Abandon(*job));
                }
                false
            }
            Output::Recall(device) => {
                self.post(*device, Order::Recall);
                false
            }
            Output::Dismiss(device, _) => {
                if let Some(seat) = self.seats.get_mut(usize::from(device.0)) {
                    seat.mailbox = None;
                }
                true
            }
            Output::Found(..) | Output::Fault(..) | Output::Finished(_) => true,
        }
    }

    /// A device whose thread ended gets nothing; its failure is on the way as an event.
    fn post(&mut self, device: DeviceId, order: Order) {
        let Some(seat) = self.seats.get_mut(usize::from(device.0)) else { return };
        if let Some(mailbox) = &seat.mailbox {
            seat.heard = Instant::now();
            let _ = mailbox.send(order);
        }
    }

    /// The devices whose threads are stuck in a call that ignores its limit, or that keep everybody
    /// waiting although a stop was requested. They are left alone.
    fn hung(&mut self, now: Instant) -> Vec<Input> {
        if self.stop.is_requested() {
            self.stopped.get_or_insert(now);
        }
        let mut hung = Vec::new();
        for (number, seat) in (0..).zip(&mut self.seats) {
            let device = DeviceId(number);
            if seat.mailbox.is_none() || !self.engine.is_busy(device) {
                continue;
            }
            // The driver notices a hang at its deadline, unless it is stuck itself.
            let silent = now.saturating_duration_since(seat.heard);
            let why = if silent > seat.deadline + STOP_DEADLINE {
                format!("its driver said nothing for {:.1} s", silent.as_secs_f64())
            } else if self.stopped.is_some_and(|since| now - since > STOP_DEADLINE) {
                format!("it did not stop within {:.1} s", STOP_DEADLINE.as_secs_f64())
            } else {
                continue;
            };
            seat.gone = true;
            hung.push(Input::Failed { device, why });
        }
        hung
    }

    fn input(&mut self, event: Event) -> Option<Input> {
        match event {
            Event::Scanned(device, batch, scan, deadline) => {
                if let Some(seat) = self.seats.get_mut(usize::from(device.0)) {
                    seat.heard = Instant::now();
                    seat.deadline = deadline;
                }
                Some(Input::Scanned { device, batch, scan })
            }
            Event::GaveBack(device, job, region) => Some(Input::GaveBack { device, job, region }),
            Event::Failed(device, why) => Some(Input::Failed { device, why }),
            Event::Gone(device) => {
                if let Some(seat) = self.seats.get_mut(usize::from(device.0)) {
                    seat.gone = true;
                }
                None
            }
            Event::Woken => {
                self.waker.told.store(false, Ordering::Release);
                None
            }
        }
    }
}

impl Flow {
    /// Ends if either does.
    pub(super) fn or(self, other: Self) -> Self {
        if self == Self::End { self } else { other }
    }
}

impl Drop for Crew {
    /// Lets the threads close their devices; one that hangs is left alone.
    fn drop(&mut self) {
        for seat in &mut self.seats {
            seat.mailbox = None;
        }
        let deadline = Instant::now() + STOP_DEADLINE;
        while self.seats.iter().any(|seat| !seat.gone) {
            match self.events.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(event) => drop(self.input(event)),
                Err(_) => return,
            }
        }
    }
}

/// A device's thread. A panic in the device ends the device, not the process.
fn occupy(id: DeviceId, driver: Driver, orders: &Receiver<Order>, events: &Sender<Event>) {
    let ended = catch_unwind(AssertUnwindSafe(|| drive(id, driver, orders, events)));
    // Nobody listens any more when the crew was dropped.
    if ended.is_err() {
        let _ = events.send(Event::Failed(id, "its driver thread panicked".to_owned()));
    }
    let _ = events.send(Event::Gone(id));
}

fn drive(id: DeviceId, mut driver: Driver, orders: &Receiver<Order>, events: &Sender<Event>) {
    // Since when the device does nothing.
    let mut free = Instant::now();
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
                Ok(order) => obey(id, &mut driver, order, events),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => return,
            }
        }
        driver.rested(free.elapsed());
        free = Instant::now();
        if !driver.rest().is_zero() {
            continue; // an order cut the rest short
        }
        match driver.step() {
            Ok(None) => {}
            Ok(Some((batch, scan))) => {
                let _ = events.send(Event::Scanned(id, batch, scan, driver.deadline()));
            }
            Err(error) => {
                let _ = events.send(Event::Failed(id, error.to_string()));
                return;
            }
        }
        free = Instant::now();
    }
}

fn obey(id: DeviceId, driver: &mut Driver, order: Order, events: &Sender<Event>) {
    let dropped = match order {
        Order::Work(assignment) => return driver.accept(assignment),
        Order::Pace(pace) => return driver.set_pace(pace),
        Order::Abandon(job) => {
            driver.abandon(job).into_iter().map(|region| (job, region)).collect()
        }
        Order::Recall => driver.recall(),
    };
    for (job, region) in dropped {
        // Nobody listens any more when the crew was dropped.
        let _ = events.send(Event::GaveBack(id, job, region));
    }
}
