//! A miner over TCP, and how it makes shares: with the `bitcoin` crate, from what the pool sent.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};

use bitcoin::block::{Header, Version};
use bitcoin::hashes::{Hash as _, sha256d};
use bitcoin::hex::{DisplayHex as _, FromHex as _};
use bitcoin::{BlockHash, CompactTarget, Target, TxMerkleNode};
use serde_json::{Value, json};

use crate::LIMIT;

pub(crate) struct Client {
    stream: BufReader<TcpStream>,
    requests: u64,
    /// What the pool said without being asked.
    heard: VecDeque<Value>,
}

impl Client {
    pub(crate) fn connect(pool: SocketAddr) -> Self {
        let stream = TcpStream::connect(pool).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        Self { stream: BufReader::new(stream), requests: 0, heard: VecDeque::new() }
    }

    /// A miner that has subscribed with version rolling and logged in, and its session's answer.
    pub(crate) fn log_in(pool: SocketAddr) -> (Self, Session) {
        let mut client = Self::connect(pool);
        client.ask("mining.configure", &json!([["version-rolling"], {}]));
        let session = client.subscribe(&json!(["test/1"]));
        let login = client.ask("mining.authorize", &json!(["rig.1", "x"]));
        assert_eq!((&login["result"], &login["error"]), (&json!(true), &Value::Null));
        (client, session)
    }

    pub(crate) fn subscribe(&mut self, params: &Value) -> Session {
        let answer = self.ask("mining.subscribe", params);
        let result = &answer["result"];
        Session {
            id: result[0][0][1].as_str().unwrap().to_owned(),
            extranonce1: Vec::from_hex(result[1].as_str().unwrap()).unwrap(),
            extranonce2_size: usize::try_from(result[2].as_u64().unwrap()).unwrap(),
        }
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.stream.get_mut().write_all(bytes).unwrap();
    }

    /// The connection, without what was read ahead.
    pub(crate) fn into_stream(self) -> TcpStream {
        self.stream.into_inner()
    }

    /// The next line; `None` when the pool closed the connection.
    pub(crate) fn next(&mut self) -> Option<Value> {
        let mut line = String::new();
        match self.stream.read_line(&mut line) {
            Ok(0) => None,
            Ok(_) => Some(serde_json::from_str(&line).unwrap()),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => None,
            Err(error) => panic!("{error}"),
        }
    }

    /// Asks, and waits for the answer.
    pub(crate) fn ask(&mut self, method: &str, params: &Value) -> Value {
        self.requests += 1;
        let id = json!(self.requests);
        let request = json!({"id": id, "method": method, "params": params});
        self.send(format!("{request}\n").as_bytes());
        loop {
            let message = self.next().unwrap();
            if message.get("method").is_none() {
                assert_eq!(message["id"], id);
                return message;
            }
            self.heard.push_back(message);
        }
    }

    /// The parameters of the next message of a kind that comes, or came, unasked.
    pub(crate) fn hear(&mut self, method: &str) -> Value {
        while let Some(mut message) = self.heard.pop_front().or_else(|| self.next()) {
            if message["method"] == method {
                return message["params"].take();
            }
        }
        panic!("no {method}");
    }

    /// What the pool says of a share: `accepted`, or the code and text of its error.
    pub(crate) fn submit(&mut self, share: &Share) -> String {
        self.submit_params(&share.params("rig.1"))
    }

    pub(crate) fn submit_params(&mut self, params: &Value) -> String {
        let answer = self.ask("mining.submit", params);
        if answer["result"] == true {
            assert_eq!(answer["error"], Value::Null);
            return "accepted".to_owned();
        }
        let (code, text) = (&answer["error"][0], &answer["error"][1]);
        format!("{} {}", code.as_u64().unwrap(), text.as_str().unwrap())
    }
}

/// What `mining.subscribe` answered.
#[derive(Clone)]
pub(crate) struct Session {
    pub(crate) id: String,
    pub(crate) extranonce1: Vec<u8>,
    pub(crate) extranonce2_size: usize,
}

/// What `mining.notify` said.
#[derive(Clone)]
pub(crate) struct Job {
    pub(crate) name: String,
    pub(crate) header: Header,
    pub(crate) is_clean: bool,
    pub(crate) coinbase: [Vec<u8>; 2],
    pub(crate) branch: Vec<sha256d::Hash>,
}

impl Job {
    pub(crate) fn new(params: &Value) -> Self {
        let text = |at: usize| params[at].as_str().unwrap();
        let word = |at| u32::from_str_radix(text(at), 16).unwrap();
        let node = |text: &str| sha256d::Hash::from_byte_array(<[u8; 32]>::from_hex(text).unwrap());
        let mut previous = <[u8; 32]>::from_hex(text(1)).unwrap();
        previous.chunks_mut(4).for_each(<[u8]>::reverse);
        Self {
            name: text(0).to_owned(),
            header: Header {
                version: Version::from_consensus(word(5).cast_signed()),
                prev_blockhash: BlockHash::from_byte_array(previous),
                merkle_root: TxMerkleNode::all_zeros(),
                time: word(7),
                bits: CompactTarget::from_consensus(word(6)),
                nonce: 0,
            },
            is_clean: params[8].as_bool().unwrap(),
            coinbase: [2, 3].map(|at| Vec::from_hex(text(at)).unwrap()),
            branch: params[4]
                .as_array()
                .unwrap()
                .iter()
                .map(|n| node(n.as_str().unwrap()))
                .collect(),
        }
    }

    fn root(&self, extranonce1: &[u8], extranonce2: &[u8]) -> TxMerkleNode {
        let [before, after] = &self.coinbase;
        let coinbase = sha256d::Hash::hash(&[before, extranonce1, extranonce2, after].concat());
        let pair = |left: sha256d::Hash, right: &sha256d::Hash| {
            sha256d::Hash::hash(&[left.to_byte_array(), right.to_byte_array()].concat())
        };
        TxMerkleNode::from_raw_hash(self.branch.iter().fold(coinbase, pair))
    }

    /// The first share from `nonce` on that a difficulty accepts, or the first that it does not.
    pub(crate) fn mine(&self, session: &Session, roll: Roll, wanted: Wanted) -> Share {
        let mut extranonce2 = roll.extranonce2.to_le_bytes().to_vec();
        extranonce2.resize(session.extranonce2_size, 0);
        let version = self.header.version.to_consensus() | roll.version_bits.cast_signed();
        let mut header = Header {
            version: Version::from_consensus(version),
            merkle_root: self.root(&session.extranonce1, &extranonce2),
            time: self.header.time.wrapping_add(roll.seconds),
            nonce: roll.nonce,
            ..self.header
        };
        loop {
            let hash = header.block_hash();
            let difficulty = Target::from_le_bytes(hash.to_byte_array()).difficulty_float();
            let fits = match wanted {
                Wanted::AtLeast(asked) => difficulty >= asked,
                Wanted::Below(asked) => difficulty < asked,
            };
            if fits {
                let (job, version_bits) = (self.name.clone(), roll.version_bits);
                return Share { job, extranonce2, header, version_bits, hash, difficulty };
            }
            header.nonce = header.nonce.wrapping_add(1);
        }
    }
}

/// How far a header is rolled before its nonce.
#[derive(Clone, Copy, Default)]
pub(crate) struct Roll {
    pub(crate) extranonce2: u64,
    pub(crate) seconds: u32,
    pub(crate) version_bits: u32,
    pub(crate) nonce: u32,
}

#[derive(Clone, Copy)]
pub(crate) enum Wanted {
    AtLeast(f64),
    Below(f64),
}

#[derive(Clone)]
pub(crate) struct Share {
    pub(crate) job: String,
    pub(crate) extranonce2: Vec<u8>,
    pub(crate) header: Header,
    pub(crate) version_bits: u32,
    pub(crate) hash: BlockHash,
    pub(crate) difficulty: f64,
}

impl Share {
    pub(crate) fn params(&self, worker: &str) -> Value {
        let word = |number: u32| format!("{number:08x}");
        let Header { time, nonce, .. } = self.header;
        let extranonce2 = self.extranonce2.to_lower_hex_string();
        json!([worker, self.job, extranonce2, word(time), word(nonce), word(self.version_bits)])
    }
}
