//! A miner and its pool on a clock that is a number: engine, a simulated device, the Stratum client, the outbox,
//! and the practice pool, which judges every share with code of its own.

#![expect(clippy::unwrap_used, reason = "a test may panic, and so may what it calls")]
#![expect(clippy::print_stdout, reason = "the account of a run is worth reading")]

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::{Duration, Instant};

use adit::chain;
use adit::device::Device;
use adit::device::driver::{Driver, Order};
use adit::device::sim::Sim;
use adit::engine::outbox::Outbox;
use adit::engine::{DeviceId, Engine, Input, Output};
use adit::pool::vardiff::Difficulty;
use adit::pool::{ConnectionId, Counters, Event as PoolEvent, Hub, Options};
use adit::source::Event;
use adit::source::stratum_v1::{Client, Settings};
use adit::work::{Job, SourceId, Verdict, Width};
use fastrand::Rng;

const DEVICE: DeviceId = DeviceId(0);
const SOURCE: SourceId = SourceId(0);

/// Hashes per share: 4 zero bits.
const DIFFICULTY: f64 = 16.0 / 4_294_967_296.0;

/// What the network may do to a message.
const LATENCY: Duration = Duration::from_millis(20);

struct World {
    now: Instant,
    random: Rng,
    engine: Engine,
    driver: Driver,
    outbox: Outbox,
    client: Client,
    hub: Hub,
    connection: Option<ConnectionId>,
    /// When there will be one again.
    reconnect: Instant,
    pool_counts: Counters,
    /// On their way, by their arrival.
    to_pool: Vec<(Instant, Vec<u8>)>,
    to_miner: Vec<(Instant, Vec<u8>)>,
    job: Option<Arc<Job>>,
    verdicts: BTreeMap<Verdict, u64>,
    disconnections: u64,
}

impl World {
    fn new(shares_per_second: u64, seed: u64) -> Self {
        let now = Instant::now();
        let options = Options { difficulty: Difficulty::Fixed(DIFFICULTY), ..Options::default() };
        let rate = NonZeroU64::new(shares_per_second * 16).unwrap();
        let sim = Sim::new().rate(rate);
        let mut engine = Engine::new();
        engine.handle(Input::Joined(DEVICE, Width::ONE), now, &mut Vec::new());
        Self {
            now,
            random: Rng::with_seed(seed),
            engine,
            driver: Driver::new(Box::new(sim) as Box<dyn Device>, Duration::from_millis(50)),
            outbox: Outbox::default(),
            client: Client::new(Settings {
                source: SOURCE,
                user: "rig.1".to_owned(),
                password: "x".to_owned(),
                agent: "adit".to_owned(),
                version_mask: chain::VERSION_ROLLING_MASK,
                minimum_difficulty: None,
                payout: None,
                host: "pool".to_owned(),
                port: 3333,
                reconnect_port: false,
            }),
            hub: Hub::new(options, now).unwrap(),
            connection: None,
            reconnect: now,
            pool_counts: Counters::default(),
            to_pool: Vec::new(),
            to_miner: Vec::new(),
            job: None,
            verdicts: BTreeMap::new(),
            disconnections: 0,
        }
    }

    /// One batch of the device, and all that happens meanwhile.
    fn step(&mut self) {
        let elapsed = match self.driver.step().unwrap() {
            None => Duration::from_millis(10),
            Some((batch, scan)) => {
                let elapsed = scan.elapsed;
                self.tell(Input::Scanned { device: DEVICE, batch, scan });
                elapsed
            }
        };
        self.now += elapsed;
        self.tell(Input::Tick);
        self.network();
    }

    fn network(&mut self) {
        if self.connection.is_none() && self.now >= self.reconnect {
            let connection = self.hub.connect("miner", self.now, &mut Vec::new());
            self.connection = connection;
            self.client.connected(self.now);
        }
        let mut events = Vec::new();
        self.hub.tick(self.now, &mut events);
        if let Some(connection) = self.connection {
            while let Some(bytes) = self.client.transmit() {
                self.to_pool.push((self.now + LATENCY, bytes));
            }
            for bytes in arrived(&mut self.to_pool, self.now) {
                self.hub.receive(connection, &bytes, self.now, &mut events);
            }
            let bytes = self.hub.transmit(connection);
            if !bytes.is_empty() {
                self.to_miner.push((self.now + LATENCY, bytes));
            }
            for bytes in arrived(&mut self.to_miner, self.now) {
                self.client.receive(&bytes, self.now);
            }
        }
        for event in events {
            if let PoolEvent::Share(share) = event {
                self.pool_counts.count(&share);
            }
        }
        if self.client.deadline().is_some_and(|deadline| deadline <= self.now) {
            self.client.tick(self.now);
        }
        self.hear();
    }

    /// The connection breaks: what is on its way is lost.
    fn disconnect(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        self.disconnections += 1;
        self.hub.disconnect(connection, self.now, &mut Vec::new());
        self.to_pool.clear();
        self.to_miner.clear();
        self.client.disconnected(self.now);
        self.reconnect = self.now + Duration::from_secs(self.random.u64(1..60));
    }

    fn hear(&mut self) {
        while let Some(event) = self.client.event() {
            match event {
                Event::Work(work) => {
                    self.job = Some(Arc::clone(&work.job));
                    self.tell(Input::Job(work.job));
                }
                Event::Verdict(ticket, verdict, _) => {
                    let closed = self.outbox.close(SOURCE, ticket, verdict);
                    assert!(closed.is_some(), "{ticket} has a second verdict: {verdict}");
                    *self.verdicts.entry(verdict).or_default() += 1;
                }
                Event::NoWork(_) => {
                    if let Some(job) = self.job.take() {
                        self.tell(Input::End(job.id));
                    }
                }
                Event::Ready | Event::Message(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    fn tell(&mut self, input: Input) {
        let mut outputs = Vec::new();
        self.engine.handle(input, self.now, &mut outputs);
        for output in outputs {
            match output {
                Output::Assign(_, assignment) => self.obey(Order::Work(assignment)),
                Output::Recall(_) => unreachable!("nothing is paused"),
                Output::Abandon(job) => self.obey(Order::Abandon(job)),
                Output::Found(_, share) => {
                    let sent = self.outbox.found(&share, DIFFICULTY, false, self.now);
                    if let Some((ticket, _)) = sent {
                        self.client.submit(ticket, &share, self.now);
                    }
                    self.hear();
                }
                Output::Finished(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    fn obey(&mut self, order: Order) {
        for (job, region) in self.driver.obey(order) {
            self.tell(Input::GaveBack { device: DEVICE, job, region });
        }
    }

    fn run(&mut self, time: Duration, faults_per_hour: f64) {
        let begun = self.now;
        let mut minute = self.now;
        while self.now < begun + time {
            let before = self.now;
            self.step();
            let chance = (self.now - before).as_secs_f64() * faults_per_hour / 3600.0;
            if self.random.f64() < chance {
                self.disconnect();
            }
            if self.now >= minute {
                minute += Duration::from_secs(60);
                assert!(self.outbox.total().is_balanced());
            }
        }
    }

    /// The run ends; shares under way may still get their verdicts.
    fn end(&mut self) {
        self.tell(Input::Weigh(SOURCE, 0));
        for _ in 0..100 {
            self.step();
        }
        self.client.end();
        self.hear();
    }
}

fn arrived(queue: &mut Vec<(Instant, Vec<u8>)>, now: Instant) -> Vec<Vec<u8>> {
    let count = queue.iter().take_while(|(arrival, _)| *arrival <= now).count();
    queue.drain(..count).map(|(_, bytes)| bytes).collect()
}

/// Mines for this long at 1,000 shares a second, and checks that every share is accounted for on both sides.
fn session(minutes: u64, faults_per_hour: f64, seed: u64) {
    let mut world = World::new(1000, seed);
    world.run(Duration::from_secs(60 * minutes), faults_per_hour);
    world.end();
    let (counts, pool) = (world.outbox.total(), &world.pool_counts.total);
    println!(
        "{minutes} min, seed {seed}: {counts:?}; {} disconnections; the pool: {pool:?}",
        world.disconnections
    );
    assert!(counts.is_balanced() && counts.pending == 0, "{counts:?}");
    assert_eq!(world.verdicts.values().sum::<u64>() + counts.withheld, counts.found);
    let expected = minutes * 60 * 1000;
    if faults_per_hour == 0.0 {
        assert!(counts.found > expected * 9 / 10, "{counts:?}");
        assert_eq!(counts.accepted, pool.accepted, "both sides agree");
        assert_eq!((counts.expired, counts.invalid, counts.duplicate), (0, 0, 0), "{counts:?}");
    } else {
        assert!(world.disconnections > 0, "no fault happened");
        // What the pool took and could not say is known to nobody: it counts as expired or, sent again, as duplicate.
        assert!(counts.accepted <= pool.accepted, "{counts:?} {pool:?}");
        assert!(
            counts.accepted + counts.duplicate + counts.expired >= pool.accepted,
            "{counts:?} {pool:?}"
        );
        assert_eq!(counts.invalid, 0, "{counts:?}");
    }
}

#[test]
fn every_share_of_three_minutes_is_accounted_for() {
    session(3, 0.0, 1);
}

#[test]
fn every_share_is_accounted_for_though_the_connection_breaks() {
    for seed in 0..3 {
        session(2, 120.0, seed);
    }
}

#[test]
#[ignore = "an hour of the world's time: 3.6 million shares"]
fn every_share_of_an_hour_is_accounted_for() {
    session(60, 0.0, 1);
    session(60, 6.0, 2);
}
