//! What sources say and devices find, turned into orders: no thread, no clock, no socket. So tests run whole days of
//! it with the same decisions as a real run.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bitcoin::Target;

use crate::chain;
use crate::engine::outbox::{Counts, Outbox, Pending};
use crate::engine::{Account, DeviceId, Input, Output};
use crate::limits::{JOBS_REMEMBERED, SHARES_SOUGHT};
use crate::runtime::net::{Command, Said};
use crate::source::failover::{Failover, Plan};
use crate::source::{Down, Event, Remedy, Work};
use crate::work::{Job, JobId, Share, SourceId, Ticket, Verdict, rate};

/// How often sources hear how fast we are.
const RATE_EVERY: Duration = Duration::from_secs(10);

/// What is known of all sources, and the shares of a run.
#[derive(Debug)]
pub struct Office {
    failover: Failover,
    outbox: Outbox,
    /// By the sources' numbers.
    desks: Vec<Desk>,
    /// Hashes per second of all devices, as far as that is known.
    speed: f64,
}

/// What is to be done next, in this order.
#[derive(Debug)]
pub enum Order {
    /// The engine is told something.
    Engine(Input),
    /// A source is told something.
    Source(SourceId, Command),
    /// A share was found: it is written down before it goes to its source, which is another order.
    Found(Box<Found>),
    /// A share ended, with the source's words if it had any.
    Closed(Ticket, Pending, Verdict, Option<String>),
    /// The devices work for the sources in these parts from now on.
    Parts(Vec<u32>),
}

/// A share, and what was known of its job.
#[derive(Debug)]
pub struct Found {
    /// Who found it.
    pub device: DeviceId,
    /// The share.
    pub share: Share,
    /// Its number.
    pub ticket: Ticket,
    /// What it counts for.
    pub pending: Pending,
    /// The source's own name for the job; empty where the job was forgotten.
    pub job: String,
    /// What the source asks of a share.
    pub target: Option<Target>,
}

/// What is known of a source.
#[derive(Debug)]
struct Desk {
    /// The job to work on, if it has one.
    work: Option<Work>,
    /// The job that the engine was given last.
    given: Option<JobId>,
    /// What shares of earlier jobs count for, by the job's number.
    recent: BTreeMap<u64, About>,
    /// Its part of the devices' work.
    weight: u32,
    is_wanted: bool,
    /// Why it is down, where it is.
    down: Option<Down>,
    /// Hashes tested for it when its rate was told last, and when that was.
    told: (u64, Instant),
}

/// What a job's shares count for.
#[derive(Debug)]
struct About {
    name: String,
    /// As the source gave it.
    target: Target,
    difficulty: f64,
    block_target: Target,
}

impl Office {
    /// For as many sources, none of which is connected yet.
    #[must_use]
    pub fn new(sources: usize, plan: Plan, now: Instant) -> Self {
        Self {
            failover: Failover::new(sources, plan, now),
            outbox: Outbox::default(),
            desks: (0..sources).map(|_| Desk::new(now)).collect(),
            speed: 0.0,
        }
    }

    /// The sources that the run ever had.
    pub fn sources(&self) -> impl Iterator<Item = SourceId> + use<> {
        (0..).map(SourceId).take(self.desks.len())
    }

    /// So many new sources come with the numbers that follow, and these are listed from now on.
    pub fn list(
        &mut self,
        added: usize,
        order: &[SourceId],
        plan: Plan,
        now: Instant,
    ) -> Vec<Order> {
        let new = self.desks.len()..self.desks.len() + added;
        self.desks.extend(new.clone().map(|_| Desk::new(now)));
        self.failover.list(order, plan, now);
        let new = self.sources().skip(new.start);
        new.map(|source| Order::Source(source, Command::Rate(self.speed))).collect()
    }

    /// The devices are known to be this fast before that is measured in the run.
    pub fn expect(&mut self, hashes_per_second: f64) -> Vec<Order> {
        self.speed = hashes_per_second;
        let rate = |source| Order::Source(source, Command::Rate(hashes_per_second));
        self.sources().map(rate).collect()
    }

    /// The engine says something. What concerns devices only is left to the caller.
    pub fn engine_says(&mut self, output: &Output, now: Instant) -> Vec<Order> {
        match output {
            Output::Found(device, share) => self.found(*device, share, now),
            Output::Finished(report) if report.complete => {
                vec![Order::Source(report.job.source, Command::Exhausted(report.job))]
            }
            _ => Vec::new(),
        }
    }

    /// A source says something.
    pub fn source_says(&mut self, source: SourceId, said: Said, now: Instant) -> Vec<Order> {
        match said {
            Said::Event(Event::Verdict(ticket, verdict, why)) => {
                self.settle(source, ticket, verdict, why).into_iter().collect()
            }
            Said::Event(Event::Work(work)) => {
                self.failover.up(source, now);
                let speed = self.speed;
                let Some(desk) = self.desk(source) else { return Vec::new() };
                desk.take(*work, speed);
                if desk.weight > 0 { self.give(source).into_iter().collect() } else { Vec::new() }
            }
            Said::Event(Event::NoWork(_)) => {
                self.failover.down(source, now);
                self.take_away(source).into_iter().collect()
            }
            Said::Down(down, _) => {
                match down.remedy {
                    Remedy::User => self.failover.refused(source, now),
                    Remedy::Retry => self.failover.down(source, now),
                }
                if let Some(desk) = self.desk(source) {
                    desk.down = Some(down);
                }
                self.take_away(source).into_iter().collect()
            }
            Said::Event(_) | Said::Disk(_) | Said::Kept(..) => Vec::new(),
        }
    }

    /// When [`steer`](Self::steer) is due at the latest.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.failover.deadline()
    }

    /// Connects the sources that are wanted, and gives each its part of the devices.
    pub fn steer(&mut self, now: Instant) -> Vec<Order> {
        self.failover.tick(now);
        let weights = self.failover.weights();
        let mut orders = Vec::new();
        let mut has_changed = false;
        for (source, weight) in (0..).map(SourceId).zip(&weights) {
            let wanted = self.failover.wanted(source);
            let Some(desk) = self.desk(source) else { continue };
            let was_wanted = std::mem::replace(&mut desk.is_wanted, wanted);
            let before = std::mem::replace(&mut desk.weight, *weight);
            if was_wanted != wanted {
                orders.push(Order::Source(source, Command::Want(wanted)));
            }
            if before == *weight {
                continue;
            }
            has_changed = true;
            orders.push(Order::Engine(Input::Weigh(source, *weight)));
            if before == 0 {
                orders.extend(self.give(source));
            }
        }
        if has_changed {
            orders.push(Order::Parts(weights));
        }
        orders
    }

    /// Whether [`rates`](Self::rates) has something to say.
    #[must_use]
    pub fn is_rate_due(&self, now: Instant) -> bool {
        let is_due = |desk: &Desk| now.saturating_duration_since(desk.told.1) >= RATE_EVERY;
        self.desks.iter().any(is_due)
    }

    /// Tells the sources how fast the devices were for them since the last time.
    pub fn rates(&mut self, accounts: &BTreeMap<SourceId, Account>, now: Instant) -> Vec<Order> {
        let (mut orders, mut total) = (Vec::new(), 0.0);
        for (source, desk) in (0..).map(SourceId).zip(&mut self.desks) {
            let scanned = accounts.get(&source).map_or(0, |account| account.tally.scanned);
            let (before, since) = std::mem::replace(&mut desk.told, (scanned, now));
            if let Some(rate) = rate(scanned - before, now - since).filter(|rate| *rate > 0.0) {
                total += rate;
                orders.push(Order::Source(source, Command::Rate(rate)));
            }
        }
        self.speed = self.speed.max(total);
        orders
    }

    /// The machine slept: connections may be dead without anybody having said so, and jobs are old. All are made anew,
    /// and shares without an answer wait for their session.
    #[must_use]
    pub fn woken(&self) -> Vec<Order> {
        let wanted = self.sources().filter(|source| self.is_wanted(*source));
        let anew = |source| [false, true].map(|want| Order::Source(source, Command::Want(want)));
        wanted.flat_map(anew).collect()
    }

    /// No new work for anybody: what is under way ends.
    #[must_use]
    pub fn wind_down(&self) -> Vec<Order> {
        self.sources().map(|source| Order::Engine(Input::Weigh(source, 0))).collect()
    }

    /// What has no verdict yet gets none: whoever should have said something is stuck.
    pub fn expire(&mut self) -> Vec<Order> {
        let pending = self.outbox.pending();
        let expire = |(ticket, pending): (Ticket, Pending)| {
            self.settle(pending.source, ticket, Verdict::Expired, None)
        };
        pending.into_iter().filter_map(expire).collect()
    }

    /// Why no listed source can be used, each with its reason; `None` while one can, or was not tried yet.
    #[must_use]
    pub fn is_without_source(&self) -> Option<Vec<(SourceId, &str)>> {
        let listed = (0..).map(SourceId).zip(&self.desks);
        let listed = listed.filter(|(source, _)| self.failover.place(*source).is_some());
        listed
            .map(|(source, desk)| {
                let down = desk.down.as_ref().filter(|_| desk.work.is_none())?;
                Some((source, down.why.as_str()))
            })
            .collect()
    }

    /// Whether a source shall be connected.
    #[must_use]
    pub fn is_wanted(&self, source: SourceId) -> bool {
        self.desks.get(usize::from(source.0)).is_some_and(|desk| desk.is_wanted)
    }

    /// A source's part of the devices' work.
    #[must_use]
    pub fn weight(&self, source: SourceId) -> u32 {
        self.desks.get(usize::from(source.0)).map_or(0, |desk| desk.weight)
    }

    /// A source's place in the order of preference; none for one that is not listed.
    #[must_use]
    pub fn place(&self, source: SourceId) -> Option<usize> {
        self.failover.place(source)
    }

    /// The shares of a source.
    #[must_use]
    pub fn counts(&self, source: SourceId) -> Counts {
        self.outbox.counts(source)
    }

    /// The shares of all sources.
    #[must_use]
    pub fn total(&self) -> Counts {
        self.outbox.total()
    }

    fn desk(&mut self, source: SourceId) -> Option<&mut Desk> {
        self.desks.get_mut(usize::from(source.0))
    }

    /// A share goes to the books, and then to its source.
    fn found(&mut self, device: DeviceId, share: &Share, now: Instant) -> Vec<Order> {
        let source = share.job.source;
        let Some(desk) = self.desks.get(usize::from(source.0)) else { return Vec::new() };
        // A job that nobody remembers was replaced many times over: its source will say stale.
        let about = desk.recent.get(&share.job.serial);
        let difficulty = about.map_or(0.0, |about| about.difficulty);
        let is_block = about.is_some_and(|about| chain::meets(&share.hash, &about.block_target));
        // What is withheld may be a flood: it is counted, and that is all.
        let Some((ticket, pending)) = self.outbox.found(share, difficulty, is_block, now) else {
            return Vec::new();
        };
        let found = Found {
            device,
            share: *share,
            ticket,
            pending,
            job: about.map_or_else(String::new, |about| about.name.clone()),
            target: about.map(|about| about.target),
        };
        let submit = Order::Source(source, Command::Submit(ticket, Box::new(*share)));
        vec![Order::Found(Box::new(found)), submit]
    }

    /// The job of a source, for the engine. One that the engine had before would be begun anew: its source is asked for
    /// another one instead, so that no hash is tested twice.
    fn give(&mut self, source: SourceId) -> Option<Order> {
        let desk = self.desk(source)?;
        let job = &desk.work.as_ref()?.job;
        if desk.given.replace(job.id) == Some(job.id) {
            return Some(Order::Source(source, Command::Exhausted(job.id)));
        }
        Some(Order::Engine(Input::Job(Arc::clone(job))))
    }

    /// Ends the job of a source that has none any more.
    fn take_away(&mut self, source: SourceId) -> Option<Order> {
        let work = self.desk(source)?.work.take()?;
        Some(Order::Engine(Input::End(work.job.id)))
    }

    /// A share has its verdict. Where it had one before, this one is late.
    fn settle(
        &mut self,
        source: SourceId,
        ticket: Ticket,
        verdict: Verdict,
        why: Option<String>,
    ) -> Option<Order> {
        let pending = self.outbox.close(source, ticket, verdict)?;
        Some(Order::Closed(ticket, pending, verdict, why))
    }
}

impl Desk {
    fn new(now: Instant) -> Self {
        Self {
            work: None,
            given: None,
            recent: BTreeMap::new(),
            weight: 0,
            is_wanted: false,
            down: None,
            told: (0, now),
        }
    }

    /// Takes the place of the job before. At most [`SHARES_SOUGHT`] shares a second are looked for: whoever takes
    /// nearly every hash (regtest does) would keep us busy with counting.
    fn take(&mut self, mut work: Work, speed: f64) {
        let about = About {
            name: work.name.clone(),
            target: work.job.target,
            difficulty: chain::difficulty(&work.job.target),
            block_target: work.block_target,
        };
        self.recent.insert(work.job.id.serial, about);
        while self.recent.len() > JOBS_REMEMBERED {
            self.recent.pop_first();
        }
        self.down = None;
        let least = speed / SHARES_SOUGHT / 2_f64.powi(32);
        if let Ok(target) = chain::target_of_difficulty(least)
            && target < work.job.target
        {
            work.job = Arc::new(Job { target, ..work.job.as_ref().clone() });
        }
        self.work = Some(work);
    }
}
