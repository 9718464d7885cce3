//! What whoever reaches the practice pool may send.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use adit::pool::vardiff::Difficulty;
use adit::pool::{ConnectionId, Dialect, Event, Hub, Options};
use serde_json::{Value, json};

use super::{lines, low, numbers, reach};

/// Miners of one pool. Lines that begin with `!` are what happens here, all others come from the miner whose turn it is.
pub fn connections(input: &[u8]) {
    let mut lines = lines(input).peekable();
    let chosen =
        lines.next_if(|line| line.starts_with(b"!o")).map_or(0, |line| numbers::<1>(line)[0]);
    let options = Options {
        difficulty: Difficulty::Fixed(if chosen & 1 == 0 { 1e-9 } else { 1.0 }),
        dialect: Dialect {
            early_job: chosen & 2 != 0,
            moving_extranonce: chosen & 4 != 0,
            refuses_logins: chosen & 8 != 0,
            ..Dialect::default()
        },
        ..Options::default()
    };
    let now = Instant::now();
    let hub = Hub::new(options, now).expect("the built-in blocks");
    let mut pool = Pool { hub, now, turn: None, open: BTreeMap::new(), job: (String::new(), 0) };
    for line in lines {
        pool.line(line);
    }
    for connection in pool.hub.connections().collect::<Vec<_>>() {
        pool.close(connection);
    }
    assert!(pool.open.is_empty(), "connections that never ended");
}

/// A pool and its miners.
struct Pool {
    hub: Hub,
    now: Instant,
    turn: Option<ConnectionId>,
    /// How many shares of each connection were judged.
    open: BTreeMap<ConnectionId, u64>,
    /// Name and time of the last job.
    job: (String, u32),
}

impl Pool {
    fn line(&mut self, line: &[u8]) {
        let mut events = Vec::new();
        match line {
            [b'!', b'n', ..] => {
                self.turn = self.hub.connect("192.0.2.7:1234", self.now, &mut events);
            }
            // The next miner's turn.
            [b'!', b'w', which @ ..] => {
                let [which] = numbers::<1>(which);
                let open: Vec<ConnectionId> = self.hub.connections().collect();
                let which = low(which) as usize % open.len().max(1);
                self.turn = open.get(which).copied();
            }
            [b'!', b'd', ..] => {
                if let Some(connection) = self.turn.take() {
                    self.close(connection);
                }
            }
            [b'!', b't', wait @ ..] => {
                let [wait] = numbers::<1>(wait);
                self.now += Duration::from_millis(wait.min(100_000));
                self.hub.tick(self.now, &mut events);
            }
            [b'!', b'p', piece @ ..] => self.receive(piece, &mut events),
            // A share of the last job, or nearly one.
            [b'!', b'm', which @ ..] => {
                let [nonce, extranonce, seconds] = numbers(which);
                let (job, time) = &self.job;
                let time = time.wrapping_add(low(seconds));
                let params = json!([
                    "rig.1",
                    job,
                    format!("{:08x}", low(extranonce)),
                    format!("{time:08x}"),
                    format!("{:08x}", low(nonce)),
                ]);
                let submission = json!({ "id": 4, "method": "mining.submit", "params": params });
                self.receive(format!("{submission}\n").as_bytes(), &mut events);
            }
            line => self.receive(&[line, b"\n"].concat(), &mut events),
        }
        self.heard(events);
        for connection in self.hub.connections().collect::<Vec<_>>() {
            let written = self.hub.transmit(connection);
            self.written(&written);
            if !self.hub.is_open(connection) {
                self.close(connection);
            }
        }
    }

    fn receive(&mut self, bytes: &[u8], events: &mut Vec<Event>) {
        let turn = self.turn.filter(|turn| self.hub.is_open(*turn));
        let connection = match turn {
            Some(connection) => connection,
            None => match self.hub.connect("192.0.2.7:1234", self.now, events) {
                Some(connection) => connection,
                None => return,
            },
        };
        self.turn = Some(connection);
        self.hub.receive(connection, bytes, self.now, events);
    }

    fn close(&mut self, connection: ConnectionId) {
        let mut events = Vec::new();
        self.hub.disconnect(connection, self.now, &mut events);
        self.heard(events);
    }

    fn heard(&mut self, events: Vec<Event>) {
        for event in events {
            match event {
                Event::Connected { connection, .. } => {
                    assert!(self.open.insert(connection, 0).is_none(), "{connection} twice");
                }
                Event::Share(share) => {
                    let judged = self.open.get_mut(&share.connection).expect("it is open");
                    *judged += 1;
                    let is_good = share.hash.is_some()
                        && share
                            .difficulty
                            .zip(share.asked)
                            .is_some_and(|(had, asked)| had >= asked);
                    reach(if share.refusal.is_some() { "refused" } else { "accepted" });
                    assert!(share.refusal.is_some() || is_good, "accepted: {share:?}");
                }
                Event::Login { .. } => reach("a login"),
                Event::Closed { connection, why } => {
                    if why.is_some() {
                        reach("closed by the pool");
                    }
                    assert!(self.open.remove(&connection).is_some(), "{connection} ended twice");
                }
                Event::Solved(_) => panic!("its blocks are of the past"),
                _ => {}
            }
        }
    }

    fn written(&mut self, written: &[u8]) {
        assert!(written.is_empty() || written.ends_with(b"\n"), "half a line");
        for line in written.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let message: Value = serde_json::from_slice(line).expect("JSON");
            let params = &message["params"];
            if let (Some(job), Some(time)) = (params[0].as_str(), params[7].as_str()) {
                let time = u32::from_str_radix(time, 16).expect("hex");
                self.job = (job.to_owned(), time);
            }
        }
    }
}
