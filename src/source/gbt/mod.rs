//! Solo mining on a node of one's own, through `getblocktemplate` and `submitblock`.
//!
//! Sources: BIP 22, 23, 34, 141, 145; Bitcoin Core's `rpc/mining.cpp` and bcoin's `node/rpc.js`, which differ
//! in details that comments name.

mod blocks;
mod client;
mod jobs;
mod json;
mod rpc;
#[cfg(test)]
mod sample;
mod template;
mod tips;

use std::time::Duration;

use bitcoin::BlockHash;

pub use client::Client;
pub use rpc::{Answer, Fault, call, result};
pub use template::{Tag, TagError, Template, TemplateError};

use crate::chain::payout::{Chain, Payout, PayoutRule};
use crate::work::{SourceId, Ticket};

/// What a [`Client`] needs to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Who it is among the sources.
    pub source: SourceId,
    /// Who is paid. Whether the address is of the node's chain is checked when the node has told it.
    pub payout: Payout,
    /// The miner's text in each coinbase.
    pub tag: Tag,
    /// Any number that another miner of the same node does not have: it keeps their work apart.
    pub seed: u32,
    /// The version bits to roll; what BIP 320 does not reserve for that is left out.
    pub version_mask: u32,
    /// Let the node check each template by BIP 23 before it is worked on.
    pub propose: bool,
    /// How long a job is worked on while the chain's tip stays.
    pub refresh: Duration,
    /// A rule for the coinbase, which our own keeps unless the rule names somebody else.
    pub require: Option<PayoutRule>,
}

/// A JSON-RPC request. At most one of each lane is under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Names the request until it is answered.
    pub id: u64,
    /// What to send by HTTP POST, as `application/json`.
    pub body: Vec<u8>,
    /// How long to wait for the whole answer.
    pub limit: Duration,
    /// What it must not wait for.
    pub lane: Lane,
}

/// Requests of different lanes are sent side by side, each on a connection of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lane {
    /// Short questions.
    Poll,
    /// The node answers when there is something new.
    Longpoll,
    /// Solved blocks.
    Submit,
}

/// A block to be written to disk before it is given to the node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SolvedBlock {
    /// Its hash.
    pub hash: BlockHash,
    /// Its height.
    pub height: u32,
    /// The chain it belongs to.
    pub chain: Chain,
    /// The whole block as the network has it.
    pub bytes: Vec<u8>,
    /// The share that solved it; none for a block of an earlier run.
    pub ticket: Option<Ticket>,
}

#[cfg(test)]
mod tests;
