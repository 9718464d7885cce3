//! The practice pool: a Stratum V1 server for demos, for tests and for trying settings.
//!
//! It judges every share with the `bitcoin` crate and with nothing of adit's own arithmetic, so that it is
//! an independent check of the rest. Its jobs are real blocks of the past with a coinbase that pays nobody:
//! the work is worth nothing. On a node ([`Server::bind_on_node`]) its blocks are real, on a test chain of one's
//! own above all. Real farms use ckpool or the Stratum V2 pool.
//!
//! [`Hub`] is the pool without sockets and clock: bytes and the time go in, bytes and [`Event`]s come out.
//! [`Server`] carries the bytes.

mod counters;
mod hub;
pub mod jobs;
pub mod judge;
pub mod node;
mod seats;
mod server;
mod session;
pub mod vardiff;
mod wire;

use std::fmt;
use std::time::Duration;

use bitcoin::BlockHash;
use serde::{Serialize, Serializer};

use crate::chain::VERSION_ROLLING_MASK;
use jobs::Solved;
use judge::Refusal;
use vardiff::Difficulty;

pub use counters::{Counters, Tally};
pub use hub::Hub;
pub use server::{NodeEnd, Observer, PoolError, Server, Word};

/// Hashes that a share of difficulty 1 takes on average.
const HASHES: f64 = 4_294_967_296.0;

/// How the pool behaves.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// The difficulty of its miners.
    pub difficulty: Difficulty,
    /// The version bits that may be rolled; with none it has no version rolling.
    pub version_mask: u32,
    /// Bytes of extranonce1 and extranonce2, 48 at most together.
    pub extranonce_sizes: [usize; 2],
    /// How long a job lasts.
    pub job_every: Duration,
    /// How many jobs a built-in block lasts. With a new block all earlier jobs are stale.
    pub jobs_per_block: u32,
    /// Where it differs from the most usual pool.
    pub dialect: Dialect,
}

impl Default for Options {
    /// A share every 3 s, as a pool with one desktop in mind.
    fn default() -> Self {
        Self {
            difficulty: Difficulty::Variable { start: 0.001, every: Duration::from_secs(3) },
            version_mask: VERSION_ROLLING_MASK,
            extranonce_sizes: [4, 4],
            job_every: Duration::from_secs(30),
            jobs_per_block: 4,
            dialect: Dialect::default(),
        }
    }
}

impl Options {
    /// For one miner that tests `hashes_per_second` hashes: a share every second or two, whatever it suggests.
    #[must_use]
    pub fn for_rate(hashes_per_second: f64) -> Self {
        let difficulty = hashes_per_second.max(0.0) * 1.5 / HASHES;
        Self { difficulty: Difficulty::Fixed(difficulty), ..Self::default() }
    }
}

/// Where a pool differs from the most usual one. Real pools do, in all of these ways.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Dialect {
    /// The first job comes after `mining.subscribe`, not only after the login.
    pub early_job: bool,
    /// How errors are written.
    pub errors: Errors,
    /// Nobody can log in.
    pub refuses_logins: bool,
    /// With each new block, miners that take it get another extranonce1.
    pub moving_extranonce: bool,
}

/// How errors are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Errors {
    /// `[21, "Stale", null]`.
    #[default]
    Triple,
    /// `[21, "Stale"]`.
    Pair,
    /// `"Stale"`.
    Text,
    /// As a triple, with `false` for a result instead of null.
    False,
}

/// Counts the connections of a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct ConnectionId(pub u64);

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "connection {}", self.0)
    }
}

/// What happens at the pool. Text of miners is as it came: clean it before it is shown.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// Somebody connected.
    Connected {
        /// The connection from now on.
        connection: ConnectionId,
        /// Its other end.
        peer: String,
    },
    /// A worker logged in.
    Login {
        /// On which connection.
        connection: ConnectionId,
        /// Its name, of any kind.
        worker: String,
        /// What its program calls itself.
        agent: String,
    },
    /// There is a new job for everybody.
    Job {
        /// Its name in messages.
        job: String,
        /// The chain of the block that it would become.
        network: String,
        /// The block's height.
        height: u32,
        /// Whether all earlier jobs are over.
        clean: bool,
    },
    /// A miner was told another difficulty.
    Difficulty {
        /// On which connection.
        connection: ConnectionId,
        /// From its next job on.
        difficulty: f64,
    },
    /// A share was judged.
    Share(Share),
    /// A share solved a block of the node's.
    Solved(Solved),
    /// The node answered to a block.
    Answered {
        /// The block's height.
        height: u32,
        /// The block's hash.
        #[serde(serialize_with = "as_text")]
        hash: BlockHash,
        /// The node's words when it refused it; `None` when it is part of the chain.
        refusal: Option<String>,
    },
    /// Something is wrong with the node, but goes on.
    Warning {
        /// What.
        message: String,
    },
    /// A connection ended.
    Closed {
        /// Which.
        connection: ConnectionId,
        /// Why the pool closed it; `None` when the miner did.
        why: Option<String>,
    },
}

/// A share and the verdict on it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Share {
    /// Where it came from.
    pub connection: ConnectionId,
    /// Who sent it, in its own words.
    pub worker: String,
    /// Its hash, if there was a job for it and it fits that.
    #[serde(serialize_with = "as_text_if_any")]
    pub hash: Option<BlockHash>,
    /// The difficulty that the hash would meet.
    pub difficulty: Option<f64>,
    /// The difficulty that was asked for.
    pub asked: Option<f64>,
    /// Whether the hash would be a block.
    pub is_block: bool,
    /// Why it was refused; `None` when it was accepted.
    pub refusal: Option<Refusal>,
}

/// The text that people know it by.
fn as_text<S: Serializer>(hash: &BlockHash, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(hash)
}

#[expect(clippy::ref_option, reason = "what serde calls")]
fn as_text_if_any<S: Serializer>(
    hash: &Option<BlockHash>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    hash.map(|hash| hash.to_string()).serialize(serializer)
}
