//! What a pool may send: bytes, at any time, between anything that a run does.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use adit::chain::VERSION_ROLLING_MASK;
use adit::source::stratum_v1::{Client, Counts, Settings};
use adit::source::{Event, Work};
use adit::work::{SourceId, Ticket};
use serde_json::Value;

use super::{LONGEST_WAIT, lines, numbers, reach, reach_verdict, share, with};

fn settings(options: u64) -> Settings {
    let payout = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4=1";
    Settings {
        source: SourceId(3),
        user: "a.worker".to_owned(),
        password: "s3cret".to_owned(),
        agent: "adit/0.1.0".to_owned(),
        version_mask: if options & 1 == 0 { VERSION_ROLLING_MASK } else { 0 },
        minimum_difficulty: (options & 2 != 0).then_some(1024.0),
        payout: (options & 4 != 0).then(|| payout.parse().expect("an address")),
        host: "pool.example".to_owned(),
        port: 3333,
        reconnect_port: options & 8 != 0,
    }
}

/// Messages of a pool: what they do does not depend on how the network cuts them, and what is no JSON is counted.
pub fn wire(input: &[u8]) {
    let start = Instant::now();
    let whole = outcome(input, input.len().max(1), start);
    for length in [1, 7, 64] {
        assert_eq!(outcome(input, length, start), whole, "in pieces of {length} bytes");
    }
    let (counts, _, is_over) = whole;
    reach(if counts.nonsense > 0 { "nonsense" } else { "no nonsense" });
    if is_over {
        reach("hung up");
    }
    let is_nonsense = |line: &&[u8]| {
        !line.trim_ascii().is_empty() && serde_json::from_slice::<Value>(line).is_err()
    };
    let ended = input.len() - input.rsplit(|byte| *byte == b'\n').next().map_or(0, <[u8]>::len);
    let nonsense = input[..ended].split(|byte| *byte == b'\n').filter(is_nonsense).count() as u64;
    assert!(is_over || counts.nonsense >= nonsense, "{} of {nonsense}", counts.nonsense);
}

/// What a client counts and writes, and whether it hangs up, when bytes come in pieces of this length.
fn outcome(input: &[u8], length: usize, now: Instant) -> (Counts, Vec<u8>, bool) {
    let mut client = Client::new(settings(0));
    client.connected(now);
    let mut written = Vec::new();
    let mut is_over = false;
    for piece in input.chunks(length) {
        client.receive(piece, now);
        while let Some(event) = client.event() {
            is_over |= matches!(event, Event::Down(_) | Event::Reconnect { .. });
        }
        while let Some(bytes) = client.transmit() {
            written.extend(bytes);
        }
    }
    // What was not taken before the end is not written any more.
    let written = if is_over { Vec::new() } else { written };
    (client.counts(), written, is_over)
}

/// A session, and all that a run does beside it. Lines that begin with `!` are what happens here, all others come from
/// the pool; in them `$` is the number of the last request.
pub fn session(input: &[u8]) {
    let mut lines = lines(input).peekable();
    let options =
        lines.next_if(|line| line.starts_with(b"!o")).map_or(0, |line| numbers::<1>(line)[0]);
    let mut run = Run::new(settings(options));
    for line in lines {
        run.line(line);
    }
    run.client.end();
    run.drain();
    assert_eq!(run.open, HashSet::new(), "shares without a verdict");
}

/// A run with one source.
struct Run {
    client: Client,
    now: Instant,
    works: Vec<Work>,
    tickets: u64,
    /// Without a verdict.
    open: HashSet<Ticket>,
    /// The number of the last request.
    request: u64,
    /// What was submitted on this connection.
    sent: HashSet<String>,
}

impl Run {
    fn new(settings: Settings) -> Self {
        let mut run = Self {
            client: Client::new(settings),
            now: Instant::now(),
            works: Vec::new(),
            tickets: 0,
            open: HashSet::new(),
            request: 0,
            sent: HashSet::new(),
        };
        run.connect();
        run
    }

    fn connect(&mut self) {
        self.sent.clear();
        self.client.connected(self.now);
        self.drain();
    }

    fn line(&mut self, line: &[u8]) {
        match line {
            [b'!', b'c', ..] => self.connect(),
            [b'!', b'd', ..] => self.client.disconnected(self.now),
            [b'!', b't', wait @ ..] => self.wait(numbers(wait)),
            // Exactly when the client wants to be called.
            [b'!', b'T', ..] => {
                if let Some(deadline) = self.client.deadline() {
                    self.now = self.now.max(deadline);
                    self.tick();
                }
            }
            [b'!', b's', which @ ..] => self.submit(numbers(which)),
            [b'!', b'x', which @ ..] => {
                let [back] = numbers(which);
                if let Some(work) = self.work(back) {
                    self.client.exhausted(work.job.id, self.now);
                }
            }
            [b'!', b'r', rate @ ..] => {
                let [rate] = numbers::<1>(rate);
                self.client.set_rate(f64::from_bits(rate.wrapping_mul(0x1_0000_0001)), self.now);
            }
            [b'!', b'e', ..] => self.client.end(),
            // A piece of a line.
            [b'!', b'p', piece @ ..] => self.client.receive(piece, self.now),
            line => {
                let line = with(line, b'$', &self.request.to_string());
                self.client.receive(&[&line[..], b"\n"].concat(), self.now);
            }
        }
        self.drain();
    }

    fn wait(&mut self, [milliseconds]: [u64; 1]) {
        self.now += Duration::from_millis(milliseconds.min(LONGEST_WAIT));
        self.tick();
    }

    fn tick(&mut self) {
        self.client.tick(self.now);
        self.drain();
        let due = self.client.deadline();
        assert!(due.is_none_or(|due| due > self.now), "it would be called again and again");
    }

    fn work(&self, back: u64) -> Option<Work> {
        let back = usize::try_from(back % 100).ok()?;
        self.works.iter().rev().nth(back).cloned()
    }

    fn submit(&mut self, [back, header, nonce, change]: [u64; 4]) {
        let Some(work) = self.work(back) else { return };
        let share = share(&work.job, [header, nonce, change], 4);
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.open.insert(ticket);
        self.client.submit(ticket, &share, self.now);
    }

    /// Takes what the client has to say and to write.
    fn drain(&mut self) {
        let mut is_over = false;
        loop {
            match self.client.event() {
                Some(Event::Verdict(ticket, verdict, _)) => {
                    assert!(self.open.remove(&ticket), "a second verdict for {ticket}");
                    reach_verdict(verdict);
                }
                Some(Event::Work(work)) => {
                    assert_is_work(&work);
                    self.works.push(*work);
                    if self.works.len() > 100 {
                        self.works.remove(0);
                    }
                }
                Some(Event::Down(_) | Event::Reconnect { .. }) => is_over = true,
                Some(Event::Warning(text) | Event::Message(text) | Event::NoWork(text)) => {
                    assert!(text.len() < 10_000, "text of {} bytes", text.len());
                }
                Some(Event::Ready) => {}
                None => break,
            }
        }
        while let Some(bytes) = self.client.transmit() {
            self.written(&bytes);
        }
        if is_over {
            reach("down");
            // As the runtime does.
            self.client.disconnected(self.now);
            self.connect();
        }
    }

    fn written(&mut self, bytes: &[u8]) {
        let lines = bytes.strip_suffix(b"\n").expect("whole lines");
        for line in lines.split(|byte| *byte == b'\n') {
            let message: Value = serde_json::from_slice(line).expect("JSON");
            if let Some(method) = message["method"].as_str() {
                self.request = message["id"].as_u64().expect("a number for each request");
                if method == "mining.submit" {
                    let is_new = self.sent.insert(message["params"].to_string());
                    assert!(is_new, "sent twice on one connection: {message}");
                }
            }
        }
    }
}

fn assert_is_work(work: &Work) {
    assert!(!work.job.rolls.all().is_empty(), "a job without a header");
    assert_eq!(work.job.id.source, SourceId(3));
    assert!(work.name.len() <= 256);
}
