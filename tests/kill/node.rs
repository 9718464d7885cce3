//! A node of regtest that judges blocks with the `bitcoin` crate, and does not always answer.

use std::collections::BTreeMap;
use std::io::{BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use bitcoin::consensus::encode::deserialize_hex;
use bitcoin::hashes::Hash as _;
use bitcoin::{Block, BlockHash};
use serde_json::{Value, json};

use crate::LIMIT;

/// Commits to no witness but the coinbase's own.
const COMMITMENT: &str =
    "6a24aa21a9ede2f61c3f71d1defd3fa999dfa36953755c690689799962b48bebd836974e8cf9";

/// The first height that is pushed as bytes.
const FIRST_HEIGHT: u32 = 16;

/// What the node does with a block that is given to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Habit {
    /// Takes it and says so.
    Answer,
    /// Takes it, and says so a little later.
    Late,
    /// Takes it, and ends the connection.
    Drop,
    /// Ends the connection without taking it.
    Deaf,
    /// Says that it is busy.
    Busy,
    /// Takes it, and says nothing for as long as this habit lasts.
    Hold,
}

/// A block that came.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Came {
    /// How often it was taken.
    pub(crate) taken: u32,
    /// How often the final answer to it went out.
    pub(crate) answered: u32,
}

#[derive(Clone)]
pub(crate) struct Node {
    pub(crate) address: SocketAddr,
    shared: Arc<(Mutex<State>, Condvar)>,
}

pub(crate) struct State {
    /// All blocks that were given to it.
    pub(crate) came: BTreeMap<BlockHash, Came>,
    /// What it does; chance decides where there is none.
    pub(crate) habit: Option<Habit>,
    /// What it does before chance decides: each fault is there at least once.
    agenda: Vec<Habit>,
    /// How often it did so.
    pub(crate) did: BTreeMap<Habit, u64>,
    heights: BTreeMap<BlockHash, u32>,
    tip: BlockHash,
    random: fastrand::Rng,
}

impl Node {
    pub(crate) fn start(seed: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let tip = BlockHash::all_zeros();
        let state = State {
            came: BTreeMap::new(),
            habit: None,
            agenda: vec![Habit::Drop, Habit::Late, Habit::Busy, Habit::Deaf],
            did: BTreeMap::new(),
            heights: BTreeMap::from([(tip, FIRST_HEIGHT)]),
            tip,
            random: fastrand::Rng::with_seed(seed),
        };
        let address = listener.local_addr().unwrap();
        let node = Self { address, shared: Arc::new((Mutex::new(state), Condvar::new())) };
        let served = node.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (node, stream) = (served.clone(), stream.unwrap());
                thread::spawn(move || node.serve(&stream));
            }
        });
        node
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.shared.0.lock().unwrap()
    }

    pub(crate) fn set(&self, habit: Option<Habit>) {
        self.state().habit = habit;
        self.shared.1.notify_all();
    }

    /// Waits until something is so, or `LIMIT` is over.
    pub(crate) fn wait_until(&self, what: &str, is_so: impl Fn(&State) -> bool) {
        let (state, over) =
            self.shared.1.wait_timeout_while(self.state(), LIMIT, |state| !is_so(state)).unwrap();
        drop(state);
        assert!(!over.timed_out(), "{what}");
    }

    /// Answers the requests of a connection until it ends.
    fn serve(&self, stream: &TcpStream) {
        stream.set_nodelay(true).unwrap();
        let mut reader = BufReader::new(stream);
        while let Some(request) = read(&mut reader) {
            let Some(answer) = self.answer(&request) else { return };
            let (status, body) = match answer {
                Ok(result) => {
                    ("200 OK", json!({ "id": request["id"], "result": result, "error": null }))
                }
                Err(code) => {
                    let error = json!({ "code": code, "message": "busy" });
                    ("500 Internal Server Error", json!({ "id": request["id"], "error": error }))
                }
            };
            let body = body.to_string();
            let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", body.len());
            let mut stream = stream;
            if stream.write_all((head + &body).as_bytes()).is_err() {
                return;
            }
            if request["method"] == "submitblock" && status.starts_with("200") {
                let block: Block = deserialize_hex(request["params"][0].as_str().unwrap()).unwrap();
                self.state().came.entry(block.block_hash()).or_default().answered += 1;
                self.shared.1.notify_all();
            }
        }
    }

    /// The result or the code of an error; `None` ends the connection.
    fn answer(&self, request: &Value) -> Option<Result<Value, i32>> {
        let first = &request["params"][0];
        match request["method"].as_str().unwrap() {
            "getblockchaininfo" => Some(Ok(json!({ "chain": "regtest" }))),
            "getblocktemplate" => {
                if let Some(old) = first["longpollid"].as_str() {
                    self.wait_while(Duration::from_secs(30), |state| old == state.tip.to_string());
                }
                Some(Ok(self.state().template()))
            }
            "submitblock" => self.submit(first.as_str().unwrap()),
            "getblockheader" => {
                let is_tip = self.state().tip.to_string() == first.as_str().unwrap();
                Some(Ok(json!({ "confirmations": if is_tip { 1 } else { -1 } })))
            }
            other => panic!("{other}"),
        }
    }

    fn submit(&self, hex: &str) -> Option<Result<Value, i32>> {
        let mut state = self.state();
        let habit = state.next_habit();
        *state.did.entry(habit).or_default() += 1;
        match habit {
            Habit::Deaf => return None,
            // Bitcoin Core's code for "still warming up".
            Habit::Busy => return Some(Err(-28)),
            _ => {}
        }
        let verdict = state.take(hex);
        let late = Duration::from_micros(state.random.u64(..20_000));
        drop(state);
        self.shared.1.notify_all();
        match habit {
            Habit::Drop => return None,
            Habit::Late => thread::sleep(late),
            Habit::Hold => self.wait_while(LIMIT, |state| state.habit == Some(Habit::Hold)),
            _ => {}
        }
        Some(Ok(verdict))
    }

    fn wait_while(&self, limit: Duration, is_so: impl Fn(&State) -> bool) {
        drop(self.shared.1.wait_timeout_while(self.state(), limit, |state| is_so(state)).unwrap());
    }
}

impl State {
    fn next_habit(&mut self) -> Habit {
        let planned = self.habit.or_else(|| self.agenda.pop());
        planned.unwrap_or_else(|| match self.random.u32(..20) {
            0 => Habit::Drop,
            1 => Habit::Deaf,
            2 => Habit::Busy,
            3..8 => Habit::Late,
            _ => Habit::Answer,
        })
    }

    pub(crate) fn came(&self, block: BlockHash) -> Came {
        self.came.get(&block).copied().unwrap_or_default()
    }

    fn height(&self) -> u32 {
        self.heights[&self.tip]
    }

    fn template(&self) -> Value {
        json!({
            "version": 0x2000_0000, "rules": ["csv", "!segwit", "taproot"], "mutable": ["time"],
            "height": self.height() + 1, "previousblockhash": self.tip.to_string(),
            "transactions": [], "coinbasevalue": 5_000_000_000_u64, "bits": "207fffff",
            "curtime": 1_700_000_000 + self.height(), "longpollid": self.tip.to_string(),
            "default_witness_commitment": COMMITMENT,
        })
    }

    /// Judges a block as Bitcoin Core does.
    fn take(&mut self, hex: &str) -> Value {
        let block: Block = deserialize_hex(hex).unwrap();
        let hash = block.block_hash();
        assert!(block.check_merkle_root() && block.check_witness_commitment());
        assert!(block.header.validate_pow(block.header.target()).is_ok());
        self.came.entry(hash).or_default().taken += 1;
        if self.heights.contains_key(&hash) {
            return json!("duplicate");
        }
        let height = self.heights[&block.header.prev_blockhash] + 1;
        assert_eq!(block.bip34_block_height(), Ok(u64::from(height)));
        self.heights.insert(hash, height);
        if height <= self.height() {
            return json!("inconclusive");
        }
        self.tip = hash;
        Value::Null
    }
}

/// The JSON of a request; `None` at the end of the connection.
fn read(reader: &mut impl std::io::BufRead) -> Option<Value> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().unwrap();
        }
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(serde_json::from_slice(&body).unwrap())
}
