//! adit against nodes and pools that others wrote. README.md beside tells what they are; where they
//! are not installed, these tests say that they were skipped.

#![expect(clippy::unwrap_used, reason = "a test may panic, and so may what it calls")]

#[path = "../common/ledger.rs"]
mod ledger;

mod alone;
mod bcoin;
mod block;
mod foundation;
mod installed;
mod mempool;
mod miner;
mod node;
mod pools;
mod process;
mod rpc;
mod solo;
mod sv2;
mod trouble;
