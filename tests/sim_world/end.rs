//! A source: the client that a run has of it, the wires, and the practice pool at the other end, which judges with the
//! `bitcoin` crate. What `runtime::net` does with sockets is done here with wires.

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

use adit::chain::VERSION_ROLLING_MASK;
use adit::pool::judge::Refusal;
use adit::pool::vardiff::Difficulty;
use adit::pool::{ConnectionId, Event as PoolEvent, Hub, Options};
use adit::runtime::net::{Command, Said};
use adit::source::backoff::Backoff;
use adit::source::stratum_v1::{Client, Settings};
use adit::source::{Down, Event, Remedy};
use adit::work::SourceId;
use fastrand::Rng;
use serde_json::Value;

use crate::wire::{Mischief, Wire};

/// How often the pool looks at its miners.
const TICK: Duration = Duration::from_secs(1);

/// What a connection costs.
const CONNECTING: Duration = Duration::from_millis(90);

/// Seconds from one change of the difficulty to the next, on average.
const DIFFICULTY_EVERY: f64 = 300.0;

/// What happens to a connection or its pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Trouble {
    /// Both ends hear that the connection is gone.
    Cut,
    /// Neither end hears anything any more.
    Silence,
    /// The pool is gone for so long.
    Outage(Duration),
    ToMiner(Mischief),
    ToPool(Mischief),
}

pub(crate) struct End {
    pub(crate) source: SourceId,
    client: Client,
    hub: Hub,
    random: Rng,
    backoff: Backoff,
    is_wanted: bool,
    connection: Option<(ConnectionId, Instant)>,
    /// When it may be tried to connect.
    retry: Instant,
    /// Until when there is no pool.
    gone_until: Instant,
    to_pool: Wire,
    to_miner: Wire,
    tick: Instant,
    seconds_per_trouble: f64,
    next_trouble: Instant,
    next_difficulty: Instant,
    pub(crate) story: Story,
}

/// What the pool saw.
#[derive(Default)]
pub(crate) struct Story {
    pub(crate) accepted: u64,
    pub(crate) accepted_difficulty: f64,
    pub(crate) refused: BTreeMap<Refusal, u64>,
    pub(crate) jobs: u64,
    pub(crate) clean_jobs: u64,
    pub(crate) difficulties: u64,
    /// Those that had an effect.
    pub(crate) troubles: Vec<Trouble>,
    pub(crate) connections: u64,
    /// What was sent in this connection, so that nothing is sent twice.
    sent: HashSet<String>,
}

impl End {
    pub(crate) fn new(
        source: SourceId,
        hashes_per_share: f64,
        seconds_per_trouble: f64,
        now: Instant,
        mut random: Rng,
    ) -> Self {
        let options = Options {
            difficulty: Difficulty::Variable {
                start: hashes_per_share / 2_f64.powi(32),
                every: Duration::from_secs(20),
            },
            job_every: Duration::from_secs(30),
            // A clean one in ten minutes.
            jobs_per_block: 20,
            extranonce_sizes: [random.usize(1..=8), random.usize(1..=8)],
            ..Options::default()
        };
        let client = Client::new(Settings {
            source,
            user: "rig.1".to_owned(),
            password: "x".to_owned(),
            agent: "adit".to_owned(),
            version_mask: VERSION_ROLLING_MASK,
            minimum_difficulty: None,
            payout: None,
            host: "pool".to_owned(),
            port: 3333,
            reconnect_port: false,
        });
        let mut end = Self {
            source,
            client,
            hub: Hub::new(options, now).unwrap(),
            backoff: Backoff::new(random.fork()),
            random,
            is_wanted: false,
            connection: None,
            retry: now,
            gone_until: now,
            to_pool: Wire::default(),
            to_miner: Wire::default(),
            tick: now,
            seconds_per_trouble,
            next_trouble: now,
            next_difficulty: now,
            story: Story::default(),
        };
        end.next_trouble = now + end.after(seconds_per_trouble);
        end.next_difficulty = now + end.after(DIFFICULTY_EVERY);
        end
    }

    /// A time with this mean.
    fn after(&mut self, mean_seconds: f64) -> Duration {
        Duration::from_secs_f64(-mean_seconds * (1.0 - self.random.f64()).ln())
    }

    pub(crate) fn obey(&mut self, command: Command, now: Instant) {
        match command {
            Command::Want(wanted) => self.is_wanted = wanted,
            Command::Submit(ticket, share) => self.client.submit(ticket, &share, now),
            Command::Exhausted(job) => self.client.exhausted(job, now),
            Command::Rate(rate) => self.client.set_rate(rate, now),
            Command::Close => self.client.end(),
            // It is for nodes.
            Command::Send(_) => {}
        }
    }

    /// When something happens next.
    pub(crate) fn due(&self) -> Instant {
        let connect = (self.is_wanted && self.connection.is_none()).then_some(self.retry);
        let times = [
            Some(self.tick),
            connect,
            self.to_pool.due(),
            self.to_miner.due(),
            self.client.deadline(),
            Some(self.next_trouble),
        ];
        times.into_iter().flatten().min().unwrap_or(self.tick)
    }

    /// All that happens until `now`; what the source says of it is returned.
    pub(crate) fn pass(&mut self, now: Instant) -> Vec<Said> {
        let mut said = Vec::new();
        let mut events = Vec::new();
        if now >= self.next_trouble {
            self.next_trouble = now + self.after(self.seconds_per_trouble);
            self.trouble(now, &mut said);
        }
        if now >= self.next_difficulty {
            self.next_difficulty = now + self.after(DIFFICULTY_EVERY);
            // The pool gives what is suggested: half to twice of what it was, roughly.
            let rate = 10.0_f64.powf(1.0 + 2.0 * self.random.f64());
            self.client.set_rate(rate, now);
        }
        if self.connection.is_none() && self.is_wanted && now >= self.retry {
            self.connect(now, &mut said, &mut events);
        }
        if now >= self.tick {
            self.tick = now + TICK;
            self.hub.tick(now, &mut events);
        }
        self.carry(now, &mut said, &mut events);
        if self.client.deadline().is_some_and(|deadline| deadline <= now) {
            self.client.tick(now);
        }
        self.hear(now, &mut said);
        if !self.is_wanted && self.connection.is_some() {
            self.hang_up(now);
            self.hear(now, &mut said);
        }
        for event in events {
            self.story.note(event);
        }
        said
    }

    fn connect(&mut self, now: Instant, said: &mut Vec<Said>, events: &mut Vec<PoolEvent>) {
        if now < self.gone_until {
            return self.down("connection refused".to_owned(), Duration::ZERO, now, said);
        }
        let Some(connection) = self.hub.connect("miner", now, events) else {
            return self.down("the pool is full".to_owned(), Duration::ZERO, now, said);
        };
        self.connection = Some((connection, now));
        self.story.connections += 1;
        self.story.sent.clear();
        self.client.connected(now);
    }

    /// Lines come and go.
    fn carry(&mut self, now: Instant, said: &mut Vec<Said>, events: &mut Vec<PoolEvent>) {
        let Some((connection, _)) = self.connection else { return };
        while let Some(bytes) = self.client.transmit() {
            self.story.sent_by_miner(&bytes);
            self.to_pool.send(&bytes, now);
        }
        for line in self.to_pool.arrived(now) {
            self.hub.receive(connection, &line, now, events);
        }
        let bytes = self.hub.transmit(connection);
        if !bytes.is_empty() {
            self.to_miner.send(&bytes, now);
        }
        for line in self.to_miner.arrived(now) {
            self.client.receive(&line, now);
        }
        if !self.hub.is_open(connection) {
            let lived = self.hang_up(now);
            self.down("it closed the connection".to_owned(), lived, now, said);
        }
    }

    /// What the client says.
    fn hear(&mut self, now: Instant, said: &mut Vec<Said>) {
        while let Some(event) = self.client.event() {
            match event {
                Event::Down(down) => {
                    let lived = self.hang_up(now);
                    while let Some(event) = self.client.event() {
                        said.push(Said::Event(event));
                    }
                    self.backoff.lived(lived);
                    let wait = self.backoff.wait();
                    self.retry = now + wait;
                    said.push(Said::Down(down, wait));
                }
                Event::Reconnect { .. } => panic!("nobody ordered it"),
                event => said.push(Said::Event(event)),
            }
        }
    }

    /// The connection ends at both ends. Returns how long it lived.
    fn hang_up(&mut self, now: Instant) -> Duration {
        let Some((connection, since)) = self.connection.take() else { return Duration::ZERO };
        self.hub.disconnect(connection, now, &mut Vec::new());
        self.to_pool.clear();
        self.to_miner.clear();
        self.client.disconnected(now);
        now - since
    }

    fn down(&mut self, why: String, lived: Duration, now: Instant, said: &mut Vec<Said>) {
        self.hear(now, said);
        self.backoff.lived(lived);
        let wait = self.backoff.wait() + CONNECTING;
        self.retry = now + wait;
        said.push(Said::Down(Down { why, remedy: Remedy::Retry }, wait));
    }

    fn trouble(&mut self, now: Instant, said: &mut Vec<Said>) {
        let mischief = [
            Mischief::Delay(Duration::from_secs(self.random.u64(1..80))),
            Mischief::Drop,
            Mischief::Repeat,
            Mischief::Swap,
            Mischief::Spoil,
        ];
        let mischief = mischief[self.random.usize(0..mischief.len())];
        match self.random.u8(0..8) {
            0 => self.cut(Trouble::Cut, now, said),
            1 if self.connection.is_some() => self.go_silent(),
            2 => {
                let outage = Duration::from_secs(self.random.u64(1..600));
                self.gone_until = now + outage;
                self.cut(Trouble::Outage(outage), now, said);
            }
            3..=5 => self.to_miner.plan(mischief),
            _ => self.to_pool.plan(mischief),
        }
    }

    pub(crate) fn go_silent(&mut self) {
        (self.to_pool.is_dead, self.to_miner.is_dead) = (true, true);
        self.story.troubles.push(Trouble::Silence);
    }

    fn cut(&mut self, trouble: Trouble, now: Instant, said: &mut Vec<Said>) {
        if self.connection.is_some() {
            let lived = self.hang_up(now);
            self.story.troubles.push(trouble);
            self.down("the connection broke".to_owned(), lived, now, said);
        }
    }

    /// The troubles that had an effect.
    pub(crate) fn troubles(&self) -> Vec<Trouble> {
        let to_miner = self.to_miner.done.iter().map(|mischief| Trouble::ToMiner(*mischief));
        let to_pool = self.to_pool.done.iter().map(|mischief| Trouble::ToPool(*mischief));
        self.story.troubles.iter().copied().chain(to_miner).chain(to_pool).collect()
    }
}

impl Story {
    fn note(&mut self, event: PoolEvent) {
        match event {
            PoolEvent::Share(share) => match share.refusal {
                None => {
                    self.accepted += 1;
                    self.accepted_difficulty += share.asked.unwrap_or_default();
                }
                Some(refusal) => *self.refused.entry(refusal).or_default() += 1,
            },
            PoolEvent::Job { clean, .. } => {
                self.jobs += 1;
                self.clean_jobs += u64::from(clean);
            }
            PoolEvent::Difficulty { .. } => self.difficulties += 1,
            _ => {}
        }
    }

    /// Nothing is sent twice in a connection.
    fn sent_by_miner(&mut self, bytes: &[u8]) {
        for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let call: Value = serde_json::from_slice(line).unwrap();
            if call["method"] == "mining.submit" {
                let share = call["params"].to_string();
                assert!(!self.sent.contains(&share), "sent twice in a connection: {share}");
                self.sent.insert(share);
            }
        }
    }
}
