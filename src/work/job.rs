//! A job and what comes of it.

use std::fmt;

use bitcoin::block::Header;
use bitcoin::{BlockHash, Target};

use super::{Filter, Nonces};

/// Names a job within a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JobId(pub u64);

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "job {}", self.0)
    }
}

/// A header to find nonces for. Immutable, and shared by every device that works on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// The job's name.
    pub id: JobId,
    /// The header; its nonce field is ignored.
    pub header: Header,
    /// A hash at or below this is a share.
    pub target: Target,
    /// The search space.
    pub nonces: Nonces,
}

impl Job {
    /// What devices look for: the target's whole leading zero bits, 32 at most.
    #[must_use]
    pub fn filter(&self) -> Filter {
        Filter::for_target(&self.target)
    }
}

/// A nonce whose hash, computed on the CPU, meets its job's target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// The job it solves.
    pub job: JobId,
    /// The complete header, nonce included.
    pub header: Header,
    /// The header's hash.
    pub hash: BlockHash,
}
