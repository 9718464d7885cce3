//! A pool that says what a test tells it to, on a clock that a test sets.

mod bounds;
mod cuts;
mod handshake;
mod hour;
mod jobs;
mod orders;
mod shares;

use std::time::{Duration, Instant};

use bitcoin::Target;
use bitcoin::block::Header;
use bitcoin::hashes::Hash;
use bitcoin::hex::DisplayHex;
use serde_json::{Value, json};

use super::{Client, Counts, Settings};
use crate::chain::pool_jobs::{POOL_JOBS, PoolJob};
use crate::chain::{VERSION_ROLLING_MASK, block_hash, parse_header};
use crate::source::{Down, Event, Work};
use crate::work::{Hit, JobId, Share, SourceId, Ticket, Verdict};

/// So easy that every hash is a share: below 2^-32.
const EASY: f64 = 1e-10;

/// A client and what a test does to it.
struct Session {
    client: Client,
    now: Instant,
    tickets: u64,
}

fn settings() -> Settings {
    Settings {
        source: SourceId(3),
        user: "a.worker".to_owned(),
        password: "s3cret".to_owned(),
        agent: "adit/0.1.0".to_owned(),
        version_mask: VERSION_ROLLING_MASK,
        minimum_difficulty: None,
        payout: None,
        host: "pool.example".to_owned(),
        port: 3333,
        reconnect_port: false,
    }
}

impl Session {
    fn new(settings: Settings) -> Self {
        let mut session = Self { client: Client::new(settings), now: Instant::now(), tickets: 0 };
        session.client.connected(session.now);
        session
    }

    /// Connected, subscribed and logged in, at a difficulty at which every hash is a share.
    fn ready() -> Self {
        Self::ready_with(settings())
    }

    fn ready_with(settings: Settings) -> Self {
        let mut session = Self::new(settings);
        session.shake_hands("08000002", 4);
        session.say(&json!({ "method": "mining.set_difficulty", "params": [EASY] }));
        session.forget();
        session
    }

    /// Answers a handshake like most pools do.
    fn shake_hands(&mut self, extranonce1: &str, size: u64) {
        for request in self.written() {
            let id = &request["id"];
            let result = match request["method"].as_str().unwrap() {
                "mining.configure" => {
                    json!({ "version-rolling": true, "version-rolling.mask": "1fffe000" })
                }
                "mining.subscribe" => {
                    let pairs = [["mining.set_difficulty", "1"], ["mining.notify", "ae68"]];
                    json!([pairs, extranonce1, size])
                }
                "mining.authorize" => json!(true),
                other => panic!("{other} before the handshake ended"),
            };
            self.say(&json!({ "id": id, "result": result, "error": null }));
        }
    }

    fn say(&mut self, message: &Value) {
        self.say_text(&message.to_string());
    }

    fn say_text(&mut self, line: &str) {
        self.client.receive(format!("{line}\n").as_bytes(), self.now);
    }

    fn answer(&mut self, id: &Value, result: impl Into<Value>) {
        self.say(&json!({ "id": id, "result": result.into(), "error": null }));
    }

    fn notify(&mut self, params: &Value) {
        self.say(&json!({ "id": null, "method": "mining.notify", "params": params }));
    }

    fn set_difficulty(&mut self, difficulty: f64) {
        self.say(&json!({ "method": "mining.set_difficulty", "params": [difficulty] }));
    }

    /// Announces a job and returns what is handed out for it.
    fn work(&mut self, params: &Value) -> Work {
        self.notify(params);
        only_work(&self.events())
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
        self.client.tick(self.now);
    }

    fn seconds(&mut self, seconds: u64) {
        self.wait(Duration::from_secs(seconds));
    }

    /// What the client wrote, message by message.
    fn written(&mut self) -> Vec<Value> {
        let mut messages = Vec::new();
        while let Some(bytes) = self.client.transmit() {
            let text = String::from_utf8(bytes).unwrap();
            assert!(text.ends_with('\n'), "{text:?} is no whole line");
            messages.extend(text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()));
        }
        messages
    }

    fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.client.event()).collect()
    }

    /// Leaves out what was said and done so far.
    fn forget(&mut self) {
        self.events();
        self.written();
    }

    fn submit(&mut self, share: &Share) -> Ticket {
        self.tickets += 1;
        self.client.submit(Ticket(self.tickets), share, self.now);
        Ticket(self.tickets)
    }

    /// Submits a share and returns the verdict that follows at once.
    fn verdict_of(&mut self, share: &Share) -> (Verdict, String) {
        let ticket = self.submit(share);
        match self.verdicts().as_slice() {
            [(of, verdict, why)] if *of == ticket => (*verdict, why.clone()),
            other => panic!("{other:?}"),
        }
    }

    /// Submits a share and returns the request that carries it.
    fn request_of(&mut self, share: &Share) -> Value {
        self.submit(share);
        let written = self.written();
        let [request] = written.as_slice() else { panic!("{written:?}, {:?}", self.events()) };
        assert_eq!(request["method"], "mining.submit");
        request.clone()
    }

    fn verdicts(&mut self) -> Vec<(Ticket, Verdict, String)> {
        verdicts(&self.events())
    }

    fn down(&mut self) -> Option<Down> {
        self.events().into_iter().find_map(|event| match event {
            Event::Down(down) => Some(down),
            _ => None,
        })
    }

    fn warnings(&mut self) -> Vec<String> {
        let warning = |event| if let Event::Warning(why) = event { Some(why) } else { None };
        self.events().into_iter().filter_map(warning).collect()
    }

    fn counts(&self) -> Counts {
        self.client.counts()
    }

    /// The newest job that was handed out.
    fn last_job(&self) -> JobId {
        self.client.jobs.last()
    }

    fn reconnect(&mut self) {
        self.client.disconnected(self.now);
        self.client.connected(self.now);
    }
}

fn verdicts(events: &[Event]) -> Vec<(Ticket, Verdict, String)> {
    let verdict = |event: &Event| match event {
        Event::Verdict(ticket, verdict, why) => {
            Some((*ticket, *verdict, why.clone().unwrap_or_default()))
        }
        _ => None,
    };
    events.iter().filter_map(verdict).collect()
}

fn works(events: &[Event]) -> Vec<&Work> {
    let mut works = Vec::new();
    for event in events {
        if let Event::Work(work) = event {
            works.push(work.as_ref());
        }
    }
    works
}

fn only_work(events: &[Event]) -> Work {
    match works(events).as_slice() {
        [work] => (*work).clone(),
        _ => panic!("{events:?}"),
    }
}

/// The job of Public Pool under another name, on another block.
fn job(name: &str, block: u8, clean: bool) -> Value {
    let mut params = announcement(&POOL_JOBS[0], name, clean);
    params[1] = format!("{block:02x}").repeat(32).into();
    params
}

/// The same for extranonces of so many bytes together.
fn job_with_extranonces(bytes: usize) -> Value {
    let mut params = job("1", 1, true);
    // The 42nd byte is the length of the coinbase's script, 15 bytes of which are the pool's.
    let coinb1 = POOL_JOBS[0].coinb1;
    params[2] = format!("{}{:02x}{}", &coinb1[..82], 15 + bytes, &coinb1[84..]).into();
    params
}

/// A real job as its pool announced it.
fn announcement(job: &PoolJob, name: &str, clean: bool) -> Value {
    let header = parse_header(job.header).unwrap();
    let mut previous = header.prev_blockhash.to_byte_array();
    previous.as_chunks_mut::<4>().0.iter_mut().for_each(|word| word.reverse());
    let version = header.version.to_consensus().cast_unsigned() & !VERSION_ROLLING_MASK;
    json!([
        name,
        previous.to_lower_hex_string(),
        job.coinb1,
        job.coinb2,
        job.branch,
        format!("{version:08x}"),
        format!("{:08x}", header.bits.to_consensus()),
        format!("{:08x}", header.time),
        clean,
    ])
}

/// What a device would find with this header and nonce, whatever the target.
fn share(work: &Work, number: u32, nonce: u32) -> Share {
    let header = work.job.header(Hit { header: number, nonce });
    Share { job: work.job.id, number, header, hash: block_hash(&header) }
}

/// The share that the pool of a real job accepted, where its job has that header.
fn real_share(work: &Work, header: Header, extranonce2: &str) -> Share {
    let extranonce2 = u32::from_str_radix(extranonce2, 16).unwrap().swap_bytes();
    let rolls = &work.job.rolls;
    let number = extranonce2 * rolls.per_roll() + rolls.number_of(header.version).unwrap();
    share(work, number, header.nonce)
}

fn target(difficulty: f64) -> Target {
    crate::chain::target_of_difficulty(difficulty).unwrap()
}
