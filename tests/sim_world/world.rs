//! Engine, office, supervisor, devices and sources on a clock that is a number, in one thread, from one seed. What
//! `runtime::Mining` and `runtime::Crew` do with threads is done here by looking who is next.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::num::NonZeroU64;
use std::time::{Duration, Instant};

use adit::device::driver;
use adit::engine::supervisor::Supervisor;
use adit::engine::{DeviceId, Engine, Input, Output};
use adit::runtime::mining::office::{Office, Order};
use adit::source::failover::Plan;
use adit::work::{Duty, JobId, SourceId, Ticket, Verdict};
use fastrand::Rng;

use crate::cards::Card;
use crate::end::End;

/// How often the books are looked at.
const AUDIT: Duration = Duration::from_secs(60);

/// About as long takes a batch of these slow devices, which are given half a second of work at a time.
const SECONDS_PER_BATCH: f64 = 1.4;

/// More than this at one moment is an endless loop.
const MOST_AT_ONCE: u32 = 10_000;

/// Mean time between two faults.
pub(crate) struct Rates {
    pub(crate) seconds_per_trouble: f64,
    pub(crate) seconds_per_device_fault: f64,
}

pub(crate) struct World {
    now: Instant,
    engine: Engine,
    office: Office,
    supervisor: Supervisor,
    cards: Vec<Card>,
    pub(crate) ends: Vec<End>,
    /// What the engine was not told yet.
    inputs: VecDeque<Input>,
    /// What is to be done yet.
    orders: VecDeque<Order>,
    /// Jobs of which no batch may begin any more.
    over: HashSet<JobId>,
    audit: Instant,
    pub(crate) hashes_per_second: u64,
    pub(crate) story: Story,
}

/// What came of it.
#[derive(Default)]
pub(crate) struct Story {
    /// Shares that were sent or about to be, and their verdicts.
    pub(crate) shares: HashMap<Ticket, Option<Verdict>>,
    /// The sum of their difficulties, and of the squares.
    pub(crate) difficulty: f64,
    pub(crate) difficulty_squared: f64,
    pub(crate) verdicts: BTreeMap<Verdict, u64>,
    pub(crate) finished_jobs: u64,
    pub(crate) exhausted_jobs: u64,
    pub(crate) dismissals: u64,
    pub(crate) returns: u64,
    pub(crate) benched: u64,
    pub(crate) switches: u64,
}

impl World {
    pub(crate) fn new(cards: u16, sources: u16, rates: &Rates, seed: u64) -> Self {
        let (now, mut random) = (Instant::now(), Rng::with_seed(seed));
        let plan = match random.u8(0..3) {
            0 => Plan::Quota((0..sources).map(|_| random.u32(1..100)).collect()),
            _ => Plan::Failover,
        };
        let mut world = Self {
            now,
            engine: Engine::new(),
            office: Office::new(sources.into(), plan, now),
            supervisor: Supervisor::default(),
            cards: Vec::new(),
            ends: Vec::new(),
            inputs: VecDeque::new(),
            orders: VecDeque::new(),
            over: HashSet::new(),
            audit: now,
            hashes_per_second: 0,
            story: Story::default(),
        };
        for number in 0..cards {
            let (device, rate) = (DeviceId(number), random.u64(5..30));
            world.hashes_per_second += rate;
            let batches = rates.seconds_per_device_fault / SECONDS_PER_BATCH;
            let rate = NonZeroU64::new(rate).unwrap();
            let card = Card::new(device, rate, batches, random.fork());
            world.inputs.push_back(Input::Joined(device, adit::work::Width::ONE));
            world.inputs.push_back(Input::Returns(device, true));
            world.supervisor.watch(device, now);
            world.cards.push(card);
        }
        for source in (0..sources).map(SourceId) {
            let end = End::new(source, 2048.0, rates.seconds_per_trouble, now, random.fork());
            world.ends.push(end);
        }
        #[expect(clippy::cast_precision_loss, reason = "small")]
        let orders = world.office.expect(world.hashes_per_second as f64);
        world.orders.extend(orders);
        world
    }

    /// Lives for so long.
    pub(crate) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        let mut at_once = 0;
        loop {
            self.act();
            let next = self.next();
            if next > end {
                break;
            }
            at_once = if next > self.now { 0 } else { at_once + 1 };
            assert!(at_once < MOST_AT_ONCE, "the world stands still");
            self.now = self.now.max(next);
        }
        self.now = end;
    }

    /// The machine sleeps: time passes, and nobody does anything. All connections are dead, and no end heard of it.
    pub(crate) fn sleep(&mut self, time: Duration) {
        self.ends.iter_mut().for_each(End::go_silent);
        self.now += time;
        let orders = self.office.woken();
        self.orders.extend(orders);
    }

    /// No new work; what is under way may end. Then all connections are closed, and everything has its verdict.
    pub(crate) fn end(&mut self) {
        let orders = self.office.wind_down();
        self.orders.extend(orders);
        self.run(Duration::from_secs(40));
        for end in &mut self.ends {
            end.obey(adit::runtime::net::Command::Close, self.now);
        }
        self.act();
        self.check();
        let left = self.office.expire();
        assert!(left.is_empty(), "the sources owe verdicts: {left:?}");
    }

    /// When something happens next.
    fn next(&self) -> Instant {
        let cards = self.cards.iter().filter_map(|card| card.due(self.now));
        let ends = self.ends.iter().map(End::due);
        let openings = self
            .cards
            .iter()
            .zip(0..)
            .filter_map(|(_, number)| self.supervisor.standing(DeviceId(number))?.until());
        let others = [Some(self.audit), self.office.deadline(), self.engine.deadline()];
        let all = cards.chain(ends).chain(openings).chain(others.into_iter().flatten());
        all.min().unwrap_or(self.audit)
    }

    /// Everybody does what they have to do at this moment.
    fn act(&mut self) {
        let now = self.now;
        let orders = self.office.steer(now);
        self.orders.extend(orders);
        for index in 0..self.ends.len() {
            let source = self.ends[index].source;
            for said in self.ends[index].pass(now) {
                let orders = self.office.source_says(source, said, now);
                self.orders.extend(orders);
            }
        }
        let due: Vec<DeviceId> = self.supervisor.due(now).collect();
        for device in due {
            self.supervisor.opening(device);
            self.cards[usize::from(device.0)].open(now);
        }
        for (device, card) in (0..).map(DeviceId).zip(&mut self.cards) {
            match card.opened(now) {
                Some(Ok(width)) => {
                    self.supervisor.opened(device, now);
                    self.inputs.push_back(Input::Joined(device, width));
                    self.inputs.push_back(Input::Allow(device, Some(Duty::FULL)));
                }
                Some(Err(())) => {
                    let standing = self.supervisor.lost(device, now);
                    self.story.note_standing(standing);
                }
                None => {}
            }
            self.inputs.extend(card.step(now, |job| self.over.contains(&job)));
        }
        if self.engine.deadline().is_some_and(|deadline| deadline <= now) {
            self.inputs.push_back(Input::Tick);
        }
        if self.office.is_rate_due(now) {
            let orders = self.office.rates(&self.engine.accounts(), now);
            self.orders.extend(orders);
        }
        self.settle();
        if now >= self.audit {
            self.audit = now + AUDIT;
            self.check();
        }
    }

    /// Does all that is to be done, and what follows from it.
    fn settle(&mut self) {
        loop {
            if let Some(order) = self.orders.pop_front() {
                self.carry_out(order);
            } else if let Some(input) = self.inputs.pop_front() {
                self.tell(input);
            } else {
                return;
            }
        }
    }

    fn carry_out(&mut self, order: Order) {
        match order {
            Order::Engine(input) => {
                if let Input::Job(job) = &input {
                    self.over.remove(&job.id);
                }
                self.inputs.push_back(input);
            }
            Order::Source(source, command) => {
                self.ends[usize::from(source.0)].obey(command, self.now);
            }
            Order::Found(found) => {
                let difficulty = found.pending.difficulty;
                self.story.difficulty += difficulty;
                self.story.difficulty_squared += difficulty * difficulty;
                let known = self.story.shares.insert(found.ticket, None);
                assert!(known.is_none(), "{} was given twice", found.ticket);
            }
            Order::Closed(ticket, _, verdict, _) => {
                let share = self.story.shares.get_mut(&ticket).expect("a verdict on nothing");
                assert!(share.is_none(), "{ticket} was {share:?}, and is now {verdict}");
                *share = Some(verdict);
                *self.story.verdicts.entry(verdict).or_default() += 1;
            }
            Order::Parts(_) => self.story.switches += 1,
        }
    }

    fn tell(&mut self, input: Input) {
        let mut outputs = Vec::new();
        self.engine.handle(input, self.now, &mut outputs);
        for output in outputs {
            let orders = self.office.engine_says(&output, self.now);
            self.orders.extend(orders);
            match output {
                Output::Assign(device, assignment) => {
                    self.card(device).post(driver::Order::Work(assignment));
                }
                Output::Abandon(job) => {
                    self.over.insert(job);
                    self.cards.iter_mut().for_each(|card| card.post(driver::Order::Abandon(job)));
                }
                Output::Recall(device) => self.card(device).post(driver::Order::Recall),
                Output::Dismiss(device, _) => {
                    self.card(device).close();
                    let standing = self.supervisor.lost(device, self.now);
                    self.story.note_standing(standing);
                }
                Output::Back(_) => self.story.returns += 1,
                Output::Finished(report) => {
                    assert_eq!(report.tally.held, 0, "{report:?}");
                    assert_eq!(report.complete, report.tally.scanned == report.space.len());
                    assert!(report.tally.scanned <= report.tally.assigned, "{report:?}");
                    self.story.finished_jobs += 1;
                    self.story.exhausted_jobs += u64::from(report.complete);
                }
                Output::Found(..) | Output::Fault(..) => {}
            }
        }
    }

    fn card(&mut self, device: DeviceId) -> &mut Card {
        &mut self.cards[usize::from(device.0)]
    }

    /// What must be true at every time.
    fn check(&self) {
        for source in self.office.sources() {
            let counts = self.office.counts(source);
            assert!(counts.is_balanced(), "{source}: {counts:?}");
            assert_eq!(counts.invalid, 0, "{source} would have been sent an invalid share");
        }
        let total = self.office.total();
        assert_eq!(total.found - total.withheld, self.story.shares.len() as u64);
        let open = self.story.shares.values().filter(|verdict| verdict.is_none()).count();
        assert_eq!(total.pending, open as u64);
    }

    /// Hashes tested and believed.
    pub(crate) fn scanned(&self) -> u64 {
        self.engine.accounts().values().map(|account| account.tally.scanned).sum()
    }

    pub(crate) fn counts(&self) -> adit::engine::outbox::Counts {
        self.office.total()
    }

    pub(crate) fn cards(&self) -> &[Card] {
        &self.cards
    }
}

impl Story {
    fn note_standing(&mut self, standing: adit::engine::supervisor::Standing) {
        use adit::engine::supervisor::Standing;
        self.dismissals += 1;
        self.benched += u64::from(matches!(standing, Standing::Benched(_)));
    }
}
