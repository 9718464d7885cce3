//! Open devices with a thread each, and the engine that feeds them.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use super::hand::{self, Event, Reopen, Told, Voice};
use super::{Control, Stop};
use crate::device::driver::{Driver, Order};
use crate::device::{Device, DeviceInfo};
use crate::engine::governor::{self, Sensed, Setting, Status};
use crate::engine::supervisor::{Standing, Supervisor};
use crate::engine::{
    Account, Counters, DeviceAccount, DeviceId, Engine, Input, JobReport, Output, Tally,
};
use crate::limits::{BATCH_DEADLINE, EVENTS_AT_ONCE, HUNG_THREADS, STOP_DEADLINE};
use crate::work::{Job, Pace, Share, SourceId};

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
    supervisor: Supervisor,
    /// Those that do not come back, of which the engine does not know yet.
    given_up: Vec<DeviceId>,
    /// Threads that were left alone in a driver's call.
    hung_threads: usize,
    stop: Stop,
    /// When the request to stop was noticed.
    stopped: Option<Instant>,
}

/// The runtime's end of a device.
struct Seat {
    info: DeviceInfo,
    /// How the device is opened again, where it can be.
    reopen: Option<Reopen>,
    /// Counts how often it was opened.
    life: u32,
    /// `None` while the device does not work: it was dismissed, or is being opened.
    mailbox: Option<Sender<Order>>,
    /// The mailbox of a device that is being opened.
    next_mailbox: Option<Sender<Order>>,
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
            spawn(id, 0, &sender, move |voice| {
                hand::occupy(voice, Driver::new(device, batch_time), &orders);
            });
            let (heard, deadline) = (Instant::now(), BATCH_DEADLINE);
            engine.handle(Input::Joined(id, info.width), heard, &mut Vec::new());
            let setting = Setting { pace: Pace::full(batch_time), is_paused: false };
            seats.push(Seat {
                info,
                reopen: None,
                life: 0,
                mailbox: Some(mailbox),
                next_mailbox: None,
                gone: false,
                heard,
                deadline,
                setting,
            });
        }
        let waker = Waker { events: sender, told: Arc::default() };
        let told = Status::default();
        Self {
            engine,
            seats,
            events,
            waker,
            control: None,
            told,
            supervisor: Supervisor::default(),
            given_up: Vec::new(),
            hung_threads: 0,
            stop,
            stopped: None,
        }
    }

    /// From now on the device is opened again when it breaks.
    pub fn supervise(&mut self, device: DeviceId, reopen: Reopen) {
        let Some(seat) = self.seats.get_mut(usize::from(device.0)) else { return };
        seat.reopen = Some(reopen);
        self.supervisor.watch(device, Instant::now());
        // With no job yet nothing is said to this.
        self.tell(Input::Returns(device, true));
    }

    /// Where a device is that can be opened again.
    #[must_use]
    pub fn standing(&self, device: DeviceId) -> Option<Standing> {
        self.supervisor.standing(device)
    }

    /// Whether so many drivers hang that no device is opened any more.
    #[must_use]
    pub const fn is_wedged(&self) -> bool {
        self.hung_threads > HUNG_THREADS
    }

    /// Does from now on what `control` says.
    pub fn obey(&mut self, control: Control) {
        control.attach(self.waker());
        self.control = Some(control);
        // With no job yet nothing is said to this.
        self.govern();
    }

    /// Has all devices give some known answers before they begin anything new.
    pub fn doubt(&mut self) {
        for device in (0..).map(DeviceId).take(self.seats.len()) {
            self.post(device, Order::Doubt);
        }
    }

    /// The sensors of a device were read.
    pub fn sense(&self, device: DeviceId, sensed: Sensed) {
        if let Some(control) = &self.control {
            control.handle(governor::Event::Sensed(device, sensed));
        }
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

    /// Whether a device is left to work, now or after it was opened again.
    #[must_use]
    pub fn can_work(&self) -> bool {
        self.supervisor.has_hope() || self.seats.iter().any(|seat| seat.mailbox.is_some())
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
        while let Some(device) = self.given_up.pop() {
            outputs.extend(self.tell(Input::Returns(device, false)));
        }
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
            outputs.extend(self.hear(said));
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
        self.reopen_those_due(Instant::now());
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
                self.lost(*device);
                true
            }
            Output::Back(_) | Output::Found(..) | Output::Fault(..) | Output::Finished(_) => true,
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
            self.hung_threads += 1;
            hung.push(Input::Failed { device, why });
        }
        hung
    }

    /// A device broke, or could not be opened.
    fn lost(&mut self, device: DeviceId) {
        if self.supervisor.standing(device).is_none() {
            return;
        }
        if self.is_wedged() {
            self.supervisor.give_up(device);
        }
        if self.supervisor.lost(device, Instant::now()) == Standing::Gone {
            self.given_up.push(device);
        }
    }

    /// Begins to open devices whose time has come. A thread that still closes its device comes first; one that
    /// hangs there is left alone.
    fn reopen_those_due(&mut self, now: Instant) {
        if self.stop.is_requested() {
            return;
        }
        let due: Vec<DeviceId> = self.supervisor.due(now).collect();
        for device in due {
            let Some(seat) = self.seats.get_mut(usize::from(device.0)) else { continue };
            if !seat.gone {
                let silent = now.saturating_duration_since(seat.heard);
                if silent > seat.deadline + STOP_DEADLINE {
                    seat.gone = true;
                    self.hung_threads += 1;
                }
                continue;
            }
            let Some(reopen) = seat.reopen.clone() else { continue };
            let (mailbox, orders) = channel();
            seat.next_mailbox = Some(mailbox);
            seat.life += 1;
            seat.gone = false;
            let (life, pace) = (seat.life, seat.setting.pace);
            self.supervisor.opening(device);
            spawn(device, life, &self.waker.events, move |voice| {
                hand::reopen(voice, &reopen, pace, &orders);
            });
        }
    }

    /// Deals with what a device's thread says.
    fn hear(&mut self, event: Event) -> Vec<Output> {
        let (device, life, told) = match event {
            Event::Device(device, life, told) => (device, life, told),
            Event::Woken => {
                self.waker.told.store(false, Ordering::Release);
                return Vec::new();
            }
        };
        let Some(seat) = self.seats.get_mut(usize::from(device.0)) else { return Vec::new() };
        if seat.life != life {
            return Vec::new(); // it was left alone, and its hashes went to others
        }
        seat.heard = Instant::now();
        let input = match told {
            Told::Scanned(batch, scan, deadline) => {
                seat.deadline = deadline;
                Input::Scanned { device, batch, scan }
            }
            Told::GaveBack(job, region) => Input::GaveBack { device, job, region },
            Told::Failed(why) => Input::Failed { device, why },
            Told::Gone => {
                seat.gone = true;
                return Vec::new();
            }
            Told::Refused(why) => {
                seat.next_mailbox = None;
                self.lost(device);
                let mut outputs =
                    vec![Output::Dismiss(device, format!("it cannot be opened: {why}"))];
                outputs.extend(self.tell(Input::Tick));
                return outputs;
            }
            Told::Opened(info) => return self.back(device, info),
        };
        self.tell(input)
    }

    /// A device is open again, and does what it would do if it had never been away.
    fn back(&mut self, device: DeviceId, info: DeviceInfo) -> Vec<Output> {
        let Some(seat) = self.seats.get_mut(usize::from(device.0)) else { return Vec::new() };
        let (width, setting) = (info.width, seat.setting);
        seat.info = info;
        seat.deadline = BATCH_DEADLINE;
        seat.mailbox = seat.next_mailbox.take();
        self.supervisor.opened(device, Instant::now());
        self.post(device, Order::Pace(setting.pace));
        let duty = (!setting.is_paused).then_some(setting.pace.duty);
        let mut outputs = Vec::new();
        for input in [Input::Joined(device, width), Input::Allow(device, duty)] {
            outputs.extend(self.tell(input));
        }
        outputs
    }
}

/// A thread for a device. Without one the device has broken.
fn spawn(
    device: DeviceId,
    life: u32,
    events: &Sender<Event>,
    body: impl FnOnce(&Voice) + Send + 'static,
) {
    let voice = Voice { device, life, events: events.clone() };
    let thread = thread::Builder::new().name(device.to_string());
    let spawned: io::Result<_> = thread.spawn(move || body(&voice));
    if let Err(error) = spawned {
        // The crew holds the other end, so both arrive.
        let why = Told::Failed(format!("no thread for it: {error}"));
        for told in [why, Told::Gone] {
            let _ = events.send(Event::Device(device, life, told));
        }
    }
}

impl Drop for Crew {
    /// Lets the threads close their devices; one that hangs is left alone.
    fn drop(&mut self) {
        for seat in &mut self.seats {
            (seat.mailbox, seat.next_mailbox) = (None, None);
        }
        let deadline = Instant::now() + STOP_DEADLINE;
        while self.seats.iter().any(|seat| !seat.gone) {
            match self.events.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(event) => drop(self.hear(event)),
                Err(_) => return,
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
