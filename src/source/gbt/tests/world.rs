//! A client, a node that judges blocks with the `bitcoin` crate, and a clock that only the test moves.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use bitcoin::consensus::deserialize;
use bitcoin::hex::FromHex;
use bitcoin::{Address, Block, BlockHash, Network, ScriptBuf};
use serde_json::{Value, json};

use crate::chain::payout::parse_address;
use crate::chain::{self, height_script};
use crate::source::gbt::sample::empty_template;
use crate::source::gbt::{Answer, Client, Lane, Request, Settings, SolvedBlock};
use crate::source::{Down, Event, Work};
use crate::work::{Hit, Job, Share, SourceId, Ticket, Verdict};

/// The node's clock when the test starts.
pub(super) const START: u64 = 1_795_179_476;

pub(super) fn settings() -> Settings {
    let script = ScriptBuf::from([&[0, 20][..], &[0x11; 20]].concat());
    let address = Address::from_script(&script, Network::Regtest).unwrap();
    Settings {
        source: SourceId(3),
        payout: parse_address(&address.to_string(), None).unwrap(),
        tag: "/adit/".parse().unwrap(),
        seed: 0x1234_5678,
        version_mask: u32::MAX,
        propose: false,
        refresh: Duration::from_secs(30),
        require: None,
    }
}

/// A node on a chain of its own.
pub(super) struct Node {
    pub(super) chain: &'static str,
    /// All blocks that it knows, with their heights; the tip is one of them.
    pub(super) known: HashMap<BlockHash, u32>,
    pub(super) tip: BlockHash,
    /// How often the mempool changed.
    pub(super) mempool: u32,
    /// Fields of the template that the test wants otherwise.
    pub(super) template: Vec<(&'static str, Value)>,
    /// Takes a block without making it the tip, as if another one of the height were there.
    pub(super) sides_with_others: bool,
}

/// What the node does with a request.
pub(super) enum Reply {
    Now(Result<Answer, String>),
    /// A long poll: asked again whenever something may have changed.
    Later,
}

impl Node {
    pub(super) fn new() -> Self {
        let template = empty_template();
        let tip: BlockHash = template["previousblockhash"].as_str().unwrap().parse().unwrap();
        Self {
            chain: "regtest",
            known: HashMap::from([(tip, 572)]),
            tip,
            mempool: 0,
            template: Vec::new(),
            sides_with_others: false,
        }
    }

    pub(super) fn height(&self) -> u32 {
        self.known[&self.tip]
    }

    /// Somebody else finds a block.
    pub(super) fn foreign_block(&mut self) {
        let seed = [&self.tip.to_string(), "foreign"].concat();
        let hash = bitcoin::hashes::Hash::from_byte_array(chain::sha256d(seed.as_bytes()));
        self.known.insert(hash, self.height() + 1);
        self.tip = hash;
    }

    fn longpoll_id(&self) -> String {
        format!("{}{}", self.tip, self.mempool)
    }

    fn template(&self, now: u64) -> Value {
        let mut template = empty_template();
        template["previousblockhash"] = self.tip.to_string().into();
        template["height"] = (self.height() + 1).into();
        template["longpollid"] = self.longpoll_id().into();
        template["curtime"] = now.into();
        template["coinbasevalue"] = chain::subsidy(self.height() + 1, 150).to_sat().into();
        for (field, value) in &self.template {
            template[*field] = value.clone();
        }
        template
    }

    pub(super) fn handle(&mut self, body: &[u8], now: u64) -> Reply {
        let call: Value = serde_json::from_slice(body).unwrap();
        let first = &call["params"][0];
        let result = match call["method"].as_str().unwrap() {
            "getblockchaininfo" => {
                json!({ "chain": self.chain, "blocks": self.height(), "headers": self.height() })
            }
            "getblocktemplate" if first["mode"] == "proposal" => self.propose(&first["data"]),
            "getblocktemplate" if first["longpollid"] == self.longpoll_id().as_str() => {
                return Reply::Later;
            }
            "getblocktemplate" => {
                assert!(first["rules"].as_array().unwrap().contains(&json!("segwit")));
                self.template(now)
            }
            "submitblock" => self.submit(first),
            "getblockheader" => {
                let hash: BlockHash = first.as_str().unwrap().parse().unwrap();
                match self.known.get(&hash) {
                    Some(_) if hash == self.tip => json!({ "confirmations": 1 }),
                    Some(_) => json!({ "confirmations": -1 }),
                    None => return Reply::Now(Ok(error(&call["id"], -5, "Block not found"))),
                }
            }
            other => panic!("{other}"),
        };
        Reply::Now(Ok(answer(&call["id"], &result)))
    }

    fn propose(&self, data: &Value) -> Value {
        let block = read(data);
        if block.header.prev_blockhash != self.tip {
            return "inconclusive-not-best-prevblk".into();
        }
        assert!(block.check_merkle_root() && block.check_witness_commitment());
        Value::Null
    }

    /// Judges a block as Core does, apart from what its transactions spend.
    fn submit(&mut self, data: &Value) -> Value {
        let block = read(data);
        let (hash, header) = (block.block_hash(), &block.header);
        if self.known.contains_key(&hash) {
            return "duplicate".into();
        }
        let Some(height) = self.known.get(&header.prev_blockhash).map(|height| height + 1) else {
            return "prev-blk-not-found".into();
        };
        assert!(block.check_merkle_root() && block.check_witness_commitment());
        if header.validate_pow(header.target()).is_err() {
            return "high-hash".into();
        }
        let script = &block.txdata[0].input[0].script_sig;
        assert!(script.as_bytes().starts_with(height_script(height).as_bytes()));
        self.known.insert(hash, height);
        if self.sides_with_others || height <= self.height() {
            return "inconclusive".into();
        }
        self.tip = hash;
        Value::Null
    }
}

fn read(data: &Value) -> Block {
    deserialize(&Vec::from_hex(data.as_str().unwrap()).unwrap()).unwrap()
}

pub(super) fn answer(id: &Value, result: &Value) -> Answer {
    let body = json!({ "result": result, "error": null, "id": id }).to_string().into_bytes();
    Answer { status: 200, body }
}

pub(super) fn error(id: &Value, code: i64, message: &str) -> Answer {
    let error = json!({ "code": code, "message": message });
    let body = json!({ "result": null, "error": error, "id": id }).to_string().into_bytes();
    Answer { status: 500, body }
}

/// What the test puts between client and node: `Some` is what comes back in place of the node's answer.
pub(super) type Meddle = Box<dyn FnMut(&Value, Lane) -> Option<Meddled>>;

pub(super) enum Meddled {
    Say(Result<Answer, String>),
    /// The node does as told, but its answer comes so late.
    Late(Duration),
    /// The node does as told, but its answer is lost with the connection.
    Cut,
    /// The request vanishes: no answer, no error.
    Vanish,
}

pub(super) struct World {
    pub(super) client: Client,
    pub(super) node: Node,
    pub(super) now: Instant,
    start: Instant,
    pub(super) meddle: Option<Meddle>,
    /// Answers on their way, and long polls.
    due: Vec<(Instant, u64, Result<Answer, String>)>,
    longpolls: VecDeque<Request>,
    /// Method and time of every request.
    pub(super) asked: Vec<(String, Instant)>,
    pub(super) works: Vec<Work>,
    pub(super) downs: Vec<Down>,
    pub(super) said: Vec<String>,
    pub(super) no_work: Vec<String>,
    pub(super) readies: usize,
    pub(super) verdicts: HashMap<Ticket, Vec<(Verdict, String)>>,
    /// Blocks in the order in which they were written, with their final answers.
    pub(super) disk: Vec<SolvedBlock>,
    pub(super) answers: HashMap<BlockHash, String>,
    /// Whether blocks are stored as soon as the client hands them out.
    pub(super) stores: bool,
    tickets: u64,
}

impl World {
    pub(super) fn new(settings: Settings) -> Self {
        let start = Instant::now();
        Self {
            client: Client::new(settings),
            node: Node::new(),
            now: start,
            start,
            meddle: None,
            due: Vec::new(),
            longpolls: VecDeque::new(),
            asked: Vec::new(),
            works: Vec::new(),
            downs: Vec::new(),
            said: Vec::new(),
            no_work: Vec::new(),
            readies: 0,
            verdicts: HashMap::new(),
            disk: Vec::new(),
            answers: HashMap::new(),
            stores: true,
            tickets: 0,
        }
    }

    /// A client that has its first job.
    pub(super) fn mining() -> Self {
        let mut world = Self::new(settings());
        world.connect();
        assert_eq!(world.works.len(), 1);
        world
    }

    pub(super) fn connect(&mut self) {
        self.client.connected(self.now);
        self.settle();
    }

    fn clock(&self) -> u64 {
        START + self.now.duration_since(self.start).as_secs()
    }

    /// Lets everything happen that can happen now.
    pub(super) fn settle(&mut self) {
        for _ in 0..10_000 {
            if !self.step() {
                return;
            }
        }
        panic!("they talk without end: {:?}", self.asked.iter().rev().take(9).collect::<Vec<_>>());
    }

    fn step(&mut self) -> bool {
        let mut moved = false;
        while let Some(block) = self.client.to_store() {
            self.disk.push(block.clone());
            if self.stores {
                self.client.stored(block.hash, self.now);
            }
            moved = true;
        }
        while let Some(answered) = self.client.answered() {
            assert!(self.answers.insert(answered.0, answered.1).is_none(), "answered twice");
        }
        while let Some(event) = self.client.event() {
            self.note(event);
            moved = true;
        }
        if let Some(request) = self.client.request(self.now) {
            self.ask(request);
            return true;
        }
        if let Some(at) = self.due.iter().position(|(at, ..)| *at <= self.now) {
            let (_, id, answer) = self.due.remove(at);
            self.client.respond(id, &answer, self.now);
            return true;
        }
        if let Some(request) = self.longpolls.pop_front() {
            match self.node.handle(&request.body, self.clock()) {
                Reply::Later => self.longpolls.push_front(request),
                Reply::Now(answer) => {
                    self.client.respond(request.id, &answer, self.now);
                    return true;
                }
            }
        }
        moved
    }

    fn ask(&mut self, request: Request) {
        let call: Value = serde_json::from_slice(&request.body).unwrap();
        assert_eq!(call["id"], request.id);
        self.asked.push((call["method"].as_str().unwrap().to_owned(), self.now));
        let meddled = self.meddle.as_mut().and_then(|meddle| meddle(&call, request.lane));
        let now = self.now;
        let answer = match meddled {
            Some(Meddled::Vanish) => return,
            Some(Meddled::Say(answer)) => return self.due.push((now, request.id, answer)),
            Some(Meddled::Late(_) | Meddled::Cut) | None => {
                self.node.handle(&request.body, self.clock())
            }
        };
        match (answer, meddled) {
            (Reply::Later, _) => self.longpolls.push_back(request),
            (Reply::Now(_), Some(Meddled::Cut)) => {
                self.due.push((now, request.id, Err("connection reset".to_owned())));
            }
            (Reply::Now(answer), Some(Meddled::Late(by))) => {
                self.due.push((now + by, request.id, answer));
            }
            (Reply::Now(answer), _) => self.due.push((now, request.id, answer)),
        }
    }

    fn note(&mut self, event: Event) {
        match event {
            Event::Ready => self.readies += 1,
            Event::Work(work) => self.works.push(*work),
            Event::NoWork(why) => self.no_work.push(why),
            Event::Verdict(ticket, verdict, words) => {
                self.verdicts.entry(ticket).or_default().push((verdict, words.unwrap_or_default()));
            }
            Event::Message(text) | Event::Warning(text) => self.said.push(text),
            Event::Down(down) => {
                // The connection is gone, and with it what was under way, solved blocks apart.
                self.longpolls.clear();
                self.downs.push(down);
            }
            Event::Reconnect { .. } => panic!("a node does not move"),
        }
    }

    /// Moves the clock from one event to the next.
    pub(super) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            self.settle();
            let due = self.due.iter().map(|(at, ..)| *at).min();
            let next = [self.client.deadline(), due].into_iter().flatten().min();
            let Some(next) = next.filter(|next| *next <= end) else { break };
            assert!(next > self.now, "a deadline that does not move");
            self.now = next;
            self.client.tick(self.now);
        }
        self.now = end;
        self.client.tick(self.now);
        self.settle();
    }

    pub(super) fn job(&self) -> &Job {
        &self.works.last().unwrap().job
    }

    /// Mines a share of the newest job and submits it.
    pub(super) fn find(&mut self) -> Ticket {
        let share = mine(self.job(), 0);
        let ticket = self.submit(&share);
        self.settle();
        ticket
    }

    pub(super) fn submit(&mut self, share: &Share) -> Ticket {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.client.submit(ticket, share, self.now);
        ticket
    }

    /// The one verdict of a share.
    pub(super) fn verdict(&self, ticket: Ticket) -> Option<Verdict> {
        let verdicts = self.verdicts.get(&ticket)?;
        assert_eq!(verdicts.len(), 1, "{verdicts:?}");
        Some(verdicts[0].0)
    }

    pub(super) fn count(&self, method: &str) -> usize {
        self.asked.iter().filter(|(asked, _)| asked == method).count()
    }

    pub(super) fn heard(&self, text: &str) -> bool {
        self.said.iter().any(|said| said.contains(text))
    }
}

/// Finds the share of a header that comes after `skipped` others.
pub(super) fn mine(job: &Job, skipped: usize) -> Share {
    let number = 5 % u32::try_from(job.rolls.all().len()).unwrap();
    let mut shares = (0..u32::MAX).filter_map(|nonce| {
        let header = job.header(Hit { header: number, nonce });
        let hash = chain::block_hash(&header);
        chain::meets(&hash, &job.target).then_some(Share { job: job.id, number, header, hash })
    });
    shares.nth(skipped).unwrap()
}

/// The block of a share, as it was written to disk.
pub(super) fn block(stored: &SolvedBlock) -> Block {
    let block: Block = deserialize(&stored.bytes).unwrap();
    assert_eq!(block.block_hash(), stored.hash);
    block
}
