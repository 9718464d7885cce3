//! What a node may answer, at any time, between anything that a run does.

use std::collections::{HashSet, VecDeque};
use std::time::{Duration, Instant};

use adit::chain::CoinbaseParts;
use adit::chain::payout::parse_address;
use adit::source::gbt::{Answer, Client, Lane, Request, Settings, SolvedBlock, Tag, Template};
use adit::source::{Event, Work};
use adit::work::{SourceId, Ticket};
use bitcoin::Block;
use bitcoin::consensus::deserialize;
use bitcoin::script::Builder;
use serde_json::Value;

use super::{LONGEST_WAIT, lines, numbers, reach, reach_verdict, share, with};

/// A template: what is taken makes a block that the `bitcoin` crate finds right.
pub fn template(input: &[u8]) {
    let Ok(template) = Template::parse(input) else { return reach("refused") };
    reach(if template.transactions() > 0 { "transactions" } else { "empty" });
    if template.commitment.is_none() {
        reach("no commitment");
    }
    let payout = settings(0).payout;
    let tag: Tag = "/adit/".parse().expect("short");
    for extranonce in [&[0; 12][..], &[0xff; 16]] {
        let (coinbase, at) = template.coinbase(&payout.script, &tag, extranonce);
        assert!(CoinbaseParts::split(&coinbase, at, extranonce.len()).is_ok(), "{coinbase:?}");
        let header = template.header(coinbase.compute_txid());
        let bytes = template.block(&header, &coinbase);
        let block: Block = deserialize(&bytes).expect("a block");
        assert_is_block(&block);
        assert_eq!(block.txdata.len(), template.transactions() + 1);
        let height = Builder::new().push_int(template.height.into()).into_script();
        let script = &block.txdata[0].input[0].script_sig;
        assert!(script.as_bytes().starts_with(height.as_bytes()), "{script} has another height");
        assert_eq!(block.header.target(), template.target);
    }
}

fn assert_is_block(block: &Block) {
    assert!(block.check_merkle_root(), "another merkle root");
    assert!(block.check_witness_commitment(), "another commitment");
    let script = &block.txdata[0].input[0].script_sig;
    assert!((2..=100).contains(&script.len()), "a coinbase with a script of {}", script.len());
}

fn settings(options: u64) -> Settings {
    let address = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080";
    Settings {
        source: SourceId(3),
        payout: parse_address(address, None).expect("an address"),
        tag: "/adit/".parse().expect("short"),
        seed: 0x1234_5678,
        version_mask: if options & 1 == 0 { u32::MAX } else { 0 },
        propose: options & 2 != 0,
        refresh: Duration::from_secs(30),
        require: None,
    }
}

/// A node's answers, and all that a run does beside them. Lines that begin with `!` are what happens here, all others
/// are the body of an answer to the oldest request; in them `$` is its number.
pub fn session(input: &[u8]) {
    let mut lines = lines(input).peekable();
    let options =
        lines.next_if(|line| line.starts_with(b"!o")).map_or(0, |line| numbers::<1>(line)[0]);
    let mut run = Run {
        client: Client::new(settings(options)),
        now: Instant::now(),
        works: Vec::new(),
        requests: VecDeque::new(),
        ids: HashSet::new(),
        tickets: 0,
        open: HashSet::new(),
        stored: VecDeque::new(),
    };
    run.client.connected(run.now);
    run.drain();
    for line in lines {
        run.line(line);
    }
    run.client.end();
    run.drain();
    assert_eq!(run.open, HashSet::new(), "shares without a verdict");
}

/// A run on one node.
struct Run {
    client: Client,
    now: Instant,
    works: Vec<Work>,
    /// Under way, oldest first.
    requests: VecDeque<Request>,
    ids: HashSet<u64>,
    tickets: u64,
    /// Without a verdict.
    open: HashSet<Ticket>,
    /// Blocks that are to be on disk.
    stored: VecDeque<SolvedBlock>,
}

impl Run {
    fn line(&mut self, line: &[u8]) {
        match line {
            [b'!', b'c', ..] => self.connect(),
            [b'!', b'd', ..] => self.disconnect(),
            [b'!', b't', wait @ ..] => {
                let [wait] = numbers::<1>(wait);
                self.now += Duration::from_millis(wait.min(LONGEST_WAIT));
                self.tick();
            }
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
            // The oldest block is on disk.
            [b'!', b'k', ..] => {
                if let Some(block) = self.stored.pop_front() {
                    self.client.stored(block.hash, self.now);
                }
            }
            // The newest one, as after a restart.
            [b'!', b'r', ..] => {
                if let Some(block) = self.stored.back().cloned() {
                    self.client.recover(block, self.now);
                }
            }
            // Another request than the oldest one is answered first.
            [b'!', b'n', ..] => self.requests.rotate_left(self.requests.len().min(1)),
            [b'!', b'f', why @ ..] => self.answer(&Err(String::from_utf8_lossy(why).into_owned())),
            [b'!', b'h', rest @ ..] => {
                let [status] = numbers(rest);
                let body = rest.splitn(2, |byte| *byte == b' ').nth(1).unwrap_or_default();
                self.reply(u16::try_from(status % 1000).unwrap_or_default(), body);
            }
            [b'!', ..] => {}
            body => self.reply(200, body),
        }
        self.drain();
    }

    fn connect(&mut self) {
        self.requests.clear();
        self.client.connected(self.now);
    }

    fn disconnect(&mut self) {
        self.client.disconnected();
        self.requests.retain(|request| request.lane == Lane::Submit);
    }

    fn tick(&mut self) {
        self.client.tick(self.now);
        self.drain();
        let due = self.client.deadline();
        assert!(due.is_none_or(|due| due > self.now), "it would be called again and again");
    }

    fn reply(&mut self, status: u16, body: &[u8]) {
        let id = self.requests.front().map_or(0, |request| request.id);
        let body = with(body, b'$', &id.to_string());
        self.answer(&Ok(Answer { status, body }));
    }

    fn answer(&mut self, answer: &Result<Answer, String>) {
        if let Some(request) = self.requests.pop_front() {
            self.client.respond(request.id, answer, self.now);
        }
    }

    fn work(&self, back: u64) -> Option<Work> {
        let back = usize::try_from(back % 10).ok()?;
        self.works.iter().rev().nth(back).cloned()
    }

    fn submit(&mut self, [back, header, nonce, change]: [u64; 4]) {
        let Some(work) = self.work(back) else { return };
        // On regtest every other hash is a block.
        let share = share(&work.job, [header, nonce, change], 16);
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.open.insert(ticket);
        self.client.submit(ticket, &share, self.now);
    }

    /// Takes what the client has to say, to ask and to store.
    fn drain(&mut self) {
        let mut is_down = false;
        while let Some(event) = self.client.event() {
            match event {
                Event::Verdict(ticket, verdict, _) => {
                    assert!(self.open.remove(&ticket), "a second verdict for {ticket}");
                    reach_verdict(verdict);
                }
                Event::Work(work) => {
                    assert!(!work.job.rolls.all().is_empty(), "a job without a header");
                    self.works.push(*work);
                    if self.works.len() > 10 {
                        self.works.remove(0);
                    }
                }
                Event::Down(_) => is_down = true,
                Event::Warning(text) | Event::Message(text) | Event::NoWork(text) => {
                    assert!(text.len() < 10_000, "text of {} bytes", text.len());
                }
                Event::Ready => {}
                Event::Reconnect { .. } => panic!("a node orders nobody elsewhere"),
            }
        }
        if is_down {
            reach("down");
            self.disconnect();
            self.connect();
        }
        while let Some(block) = self.client.to_store() {
            let read: Block = deserialize(&block.bytes).expect("a block");
            assert_eq!(read.block_hash(), block.hash);
            assert_is_block(&read);
            self.stored.push_back(block);
        }
        while self.client.answered().is_some() {}
        while let Some(request) = self.client.request(self.now) {
            self.asked(request);
        }
    }

    fn asked(&mut self, request: Request) {
        assert!(self.ids.insert(request.id), "request {} twice", request.id);
        let body: Value = serde_json::from_slice(&request.body).expect("JSON");
        assert_eq!(body["id"], request.id);
        // Whoever waited in its lane is no longer waited for.
        self.requests.retain(|earlier| earlier.lane != request.lane);
        self.requests.push_back(request);
    }
}
