//! Who hands out work: real blocks built in, pools, nodes.
//!
//! Each source is a state machine without socket, thread or clock: bytes and the time go in, bytes and
//! [`Event`]s come out. `runtime` carries both.

pub mod backoff;
pub mod failover;
pub mod gbt;
pub mod location;
pub mod replay;
pub mod stratum_v1;

use std::sync::Arc;
use std::time::Duration;

use bitcoin::Target;

use crate::chain::payout::Coinbase;
use crate::work::{Job, Ticket, Verdict};

/// A job with what its source says about it.
#[derive(Debug, Clone)]
pub struct Work {
    /// The job. It takes the place of the one that this source gave before.
    pub job: Arc<Job>,
    /// The source's own name for it, as it came; clean it before it is shown.
    pub name: String,
    /// Height of the block, if known.
    pub height: Option<u32>,
    /// Whether shares of earlier jobs are stale from now on.
    pub clean: bool,
    /// A hash at or below this is a block.
    pub block_target: Target,
    /// What the coinbase says and whom it pays, if known.
    pub coinbase: Option<Arc<Coinbase>>,
}

/// What a source has to say. Every [`Ticket`] submitted ends in exactly one [`Event::Verdict`].
#[derive(Debug, Clone)]
pub enum Event {
    /// The source accepted us; work follows.
    Ready,
    /// Work on this from now on.
    Work(Box<Work>),
    /// There is no work any more until there is new one: what devices do for this source is in vain.
    NoWork(String),
    /// A share ended, with the source's own words if it had any.
    Verdict(Ticket, Verdict, Option<String>),
    /// Something that the user should read. Not cleaned.
    Message(String),
    /// Something is wrong but goes on. Not cleaned.
    Warning(String),
    /// Close the connection and open another, on `port` of the same host if given, after `wait`.
    Reconnect {
        /// Another port of the same host.
        port: Option<u16>,
        /// How long the source asks to wait.
        wait: Duration,
    },
    /// Close the connection: the source is of no use as it is.
    Down(Down),
}

/// Why a source cannot be used now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct Down {
    /// The cause, and the way out where the user has one. Not cleaned.
    pub why: String,
    /// What to do about it.
    pub remedy: Remedy,
}

/// What to do about a source that is down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// Try again after a while.
    Retry,
    /// Only the user can help: a wrong name or password, a wrong chain. Trying again is rarely of use.
    User,
}
