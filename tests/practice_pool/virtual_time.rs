//! The pool without sockets, on a clock of the test's own.

use std::time::{Duration, Instant};

use adit::limits::{POOL_LOGIN, POOL_RESUME, POOL_SESSIONS};
use adit::pool::vardiff::Difficulty;
use adit::pool::{ConnectionId, Counters, Event, Hub, Options};
use fastrand::Rng;
use serde_json::{Value, json};

use crate::client::{Job, Roll, Session, Wanted};

/// A hub, its clock, and one miner whose messages are read at once.
struct World {
    hub: Hub,
    now: Instant,
    events: Vec<Event>,
    counters: Counters,
    connection: ConnectionId,
    requests: u64,
    session: Session,
    job: Option<Job>,
    difficulty: f64,
    accepted: u64,
    refused: Vec<Value>,
}

impl World {
    fn new(options: Options) -> Self {
        let (now, mut events) = (Instant::now(), Vec::new());
        let mut hub = Hub::new(options, now).unwrap();
        hub.tick(now, &mut events);
        let connection = hub.connect("a test", now, &mut events).unwrap();
        let session = Session { id: String::new(), extranonce1: Vec::new(), extranonce2_size: 0 };
        let mut world = Self {
            hub,
            now,
            events,
            counters: Counters::default(),
            connection,
            requests: 0,
            session,
            job: None,
            difficulty: 0.0,
            accepted: 0,
            refused: Vec::new(),
        };
        world.ask("mining.configure", &json!([["version-rolling"], {}]));
        world.log_in(None);
        (world.accepted, world.refused) = (0, Vec::new());
        world
    }

    fn log_in(&mut self, session: Option<&str>) {
        self.ask("mining.subscribe", &json!(["test/1", session]));
        self.ask("mining.authorize", &json!(["rig.1", "x"]));
    }

    fn ask(&mut self, method: &str, params: &Value) {
        self.requests += 1;
        let request = json!({"id": self.requests, "method": method, "params": params});
        let line = format!("{request}\n");
        self.hub.receive(self.connection, line.as_bytes(), self.now, &mut self.events);
        self.read();
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
        self.hub.tick(self.now, &mut self.events);
        self.read();
    }

    fn read(&mut self) {
        for event in self.events.drain(..) {
            if let Event::Share(share) = event {
                self.counters.count(&share);
            }
        }
        for line in self.hub.transmit(self.connection).split(|byte| *byte == b'\n') {
            if line.is_empty() {
                continue;
            }
            let message: Value = serde_json::from_slice(line).unwrap();
            let (params, result) = (&message["params"], &message["result"]);
            match message["method"].as_str() {
                Some("mining.set_difficulty") => self.difficulty = params[0].as_f64().unwrap(),
                Some("mining.notify") => self.job = Some(Job::new(params)),
                Some(other) => panic!("{other}"),
                None if *result == true => self.accepted += 1,
                None if result.is_array() => {
                    self.session = Session {
                        id: result[0][0][1].as_str().unwrap().to_owned(),
                        extranonce1: bitcoin::hex::FromHex::from_hex(result[1].as_str().unwrap())
                            .unwrap(),
                        extranonce2_size: 4,
                    }
                }
                None => self.refused.push(message["error"].clone()),
            }
        }
    }
}

#[test]
fn vardiff_brings_real_shares_to_the_rate_that_was_asked_for() {
    // 2000 hashes a second want 6000 hashes a share: 700 times as many as at the start.
    let every = Duration::from_secs(3);
    let difficulty = Difficulty::Variable { start: 2e-9, every };
    let mut world = World::new(Options { difficulty, ..Options::default() });
    let (begun, mut random, mut nonce) = (world.now, Rng::with_seed(3), 0);
    let mut times = Vec::new();
    let mut last_job = String::new();
    while times.len() < 300 {
        let job = world.job.clone().unwrap();
        if job.name != last_job {
            (last_job, nonce) = (job.name.clone(), 0);
        }
        let roll = Roll { nonce, extranonce2: random.u64(0..4), ..Roll::default() };
        let share = job.mine(&world.session, roll, Wanted::AtLeast(world.difficulty));
        let hashes = share.header.nonce - nonce + 1;
        nonce = share.header.nonce + 1;
        let mut time = Duration::from_secs_f64(f64::from(hashes) / 2000.0);
        // Nothing is missed by waiting too long at once: the pool looks ten times a second.
        while time > Duration::from_millis(100) && world.job.as_ref().unwrap().name == job.name {
            time -= Duration::from_millis(100);
            world.wait(Duration::from_millis(100));
        }
        world.wait(time.min(Duration::from_millis(100)));
        world.ask("mining.submit", &share.params("rig.1"));
        times.push((world.now - begun).as_secs_f64());
    }
    assert_eq!(world.counters.total.accepted + world.counters.total.refused(), 300);
    assert_eq!(world.accepted, world.counters.total.accepted);
    let settled = (times[299] - times[99]) / 200.0;
    assert!((2.0..4.5).contains(&settled), "a share every {settled} s");
    let right = 6000.0 / 4_294_967_296.0;
    let error = world.difficulty / right;
    assert!((0.5..2.0).contains(&error), "{error} times what is right");
}

#[test]
fn a_hundred_thousand_shares_in_a_minute_are_all_accounted_for() {
    let difficulty = Difficulty::Fixed(1e-9);
    let mut world = World::new(Options { difficulty, ..Options::default() });
    let mut roll = Roll::default();
    for number in 0..100_000_u32 {
        let share = world.job.as_ref().unwrap().mine(&world.session, roll, Wanted::AtLeast(1e-9));
        roll.nonce = share.header.nonce.wrapping_add(1);
        world.ask("mining.submit", &share.params("rig.1"));
        if number % 1000 == 0 {
            world.wait(Duration::from_millis(600));
            world.ask("mining.submit", &share.params("rig.1"));
        }
    }
    assert_eq!((world.accepted, world.counters.total.accepted), (100_000, 100_000));
    assert_eq!((world.refused.len(), world.counters.total.refused()), (100, 100));
    assert!(world.refused.iter().all(|error| error[0] == 22), "each was sent twice");
    let sum = world.counters.total.difficulty;
    assert!((sum - 1e-4).abs() < 1e-9, "{sum}");
}

#[test]
fn jobs_of_the_present_block_count_until_the_next_block() {
    let difficulty = Difficulty::Fixed(1e-9);
    let mut world = World::new(Options { difficulty, ..Options::default() });
    let first = world.job.clone().unwrap();
    let mut roll = Roll::default();
    for round in 0..4 {
        let share = first.mine(&world.session, roll, Wanted::AtLeast(1e-9));
        roll.nonce = share.header.nonce + 1;
        world.ask("mining.submit", &share.params("rig.1"));
        let stale = world.refused.pop();
        assert_eq!((world.accepted, stale), (round + 1, None));
        world.wait(Duration::from_secs(30));
        assert_eq!(world.job.as_ref().unwrap().is_clean, round == 3);
    }
    let share = first.mine(&world.session, roll, Wanted::AtLeast(1e-9));
    world.ask("mining.submit", &share.params("rig.1"));
    assert_eq!(world.refused, [json!([21, "Stale", null])]);
}

#[test]
fn who_does_not_log_in_has_to_leave() {
    let (now, mut events) = (Instant::now(), Vec::new());
    let mut hub = Hub::new(Options::default(), now).unwrap();
    let idle = hub.connect("idle", now, &mut events).unwrap();
    let half = hub.connect("half", now, &mut events).unwrap();
    hub.receive(half, b"{\"id\":1,\"method\":\"mining.subscribe\"}\n", now, &mut events);
    hub.tick(now + POOL_LOGIN, &mut events);
    assert!(hub.is_open(idle) && hub.is_open(half));
    hub.tick(now + POOL_LOGIN + Duration::from_secs(1), &mut events);
    assert!(!hub.is_open(idle) && !hub.is_open(half));
    hub.disconnect(idle, now, &mut events);
    let why = Some("it did not log in".to_owned());
    assert_eq!(events.last(), Some(&Event::Closed { connection: idle, why }));
}

#[test]
fn sessions_can_be_resumed_for_a_while_and_only_so_many() {
    let mut world = World::new(Options::default());
    let first = world.session.clone();
    let leave_and_return = |world: &mut World, after: Duration, others: usize| {
        let wanted = world.session.id.clone();
        world.hub.disconnect(world.connection, world.now, &mut world.events);
        for _ in 0..others {
            let other = world.hub.connect("other", world.now, &mut world.events).unwrap();
            let subscribe = b"{\"id\":1,\"method\":\"mining.subscribe\"}\n";
            world.hub.receive(other, subscribe, world.now, &mut world.events);
            world.hub.disconnect(other, world.now, &mut world.events);
        }
        world.wait(after);
        world.connection = world.hub.connect("again", world.now, &mut world.events).unwrap();
        world.log_in(Some(&wanted));
        world.session.id == wanted
    };
    let second = Duration::from_secs(1);
    assert!(leave_and_return(
        &mut world,
        POOL_RESUME.checked_sub(second).unwrap(),
        POOL_SESSIONS - 1
    ));
    assert_eq!(world.session.extranonce1, first.extranonce1);
    assert!(!leave_and_return(&mut world, POOL_RESUME, 0));
    assert_ne!(world.session.extranonce1, first.extranonce1);
    assert!(!leave_and_return(&mut world, second, POOL_SESSIONS));
}

#[test]
fn a_resumed_session_does_not_bring_back_a_block_that_is_over() {
    let difficulty = Difficulty::Fixed(1e-9);
    let options = Options { difficulty, jobs_per_block: 1, ..Options::default() };
    let mut world = World::new(options);
    let (session, job) = (world.session.clone(), world.job.clone().unwrap());
    world.hub.disconnect(world.connection, world.now, &mut world.events);
    world.wait(Duration::from_secs(31));
    world.connection = world.hub.connect("again", world.now, &mut world.events).unwrap();
    world.log_in(Some(&session.id));
    assert_eq!(world.session.extranonce1, session.extranonce1);
    let share = job.mine(&session, Roll::default(), Wanted::AtLeast(1e-9));
    world.ask("mining.submit", &share.params("rig.1"));
    assert_eq!(world.refused, [json!([21, "Stale", null])]);
}

#[test]
fn no_input_breaks_the_pool() {
    let mut random = Rng::with_seed(11);
    let mut world = World::new(Options::default());
    let job = world.job.clone().unwrap();
    let share = job.mine(&world.session, Roll::default(), Wanted::AtLeast(1e-9)).params("rig.1");
    let submit = json!({"id": 1, "method": "mining.submit", "params": share}).to_string() + "\n";
    for _ in 0..20_000 {
        let mut line = submit.clone().into_bytes();
        for _ in 0..random.usize(1..4) {
            let place = random.usize(0..line.len());
            match random.u8(0..3) {
                0 => line[place] = random.u8(..),
                1 => drop(line.remove(place)),
                _ => line.insert(place, random.u8(..)),
            }
        }
        world.hub.receive(world.connection, &line, world.now, &mut world.events);
        world.now += Duration::from_secs(7);
        if !world.hub.is_open(world.connection) {
            world.hub.disconnect(world.connection, world.now, &mut world.events);
            world.connection = world.hub.connect("again", world.now, &mut world.events).unwrap();
            world.log_in(None);
        }
        world.hub.transmit(world.connection);
        world.events.clear();
    }
}
