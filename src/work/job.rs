//! A job and what comes of it.

use std::fmt;

use bitcoin::block::Header;
use bitcoin::{BlockHash, Target};

use super::{Filter, Hit, Nonces, Region, Rolls};
use crate::chain;

/// Names a source of work within a run.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    serde::Serialize,
    schemars::JsonSchema,
)]
#[serde(transparent)]
pub struct SourceId(pub u16);

impl fmt::Display for SourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "source {}", self.0)
    }
}

/// Names a job within a run: by its source, and the source's own count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JobId {
    /// Who handed it out.
    pub source: SourceId,
    /// The source counts its jobs.
    pub serial: u64,
}

impl JobId {
    /// A job of the only source.
    #[must_use]
    pub const fn only(serial: u64) -> Self {
        Self { source: SourceId(0), serial }
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.source {
            SourceId(0) => write!(f, "job {}", self.serial),
            source => write!(f, "job {} of {source}", self.serial),
        }
    }
}

/// Headers to find nonces for. Immutable, and shared by every device that works on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// The job's name.
    pub id: JobId,
    /// The headers.
    pub rolls: Rolls,
    /// A hash at or below this is a share.
    pub target: Target,
    /// The nonces of each header.
    pub nonces: Nonces,
}

impl Job {
    /// What devices look for: the target's whole leading zero bits, 32 at most.
    #[must_use]
    pub fn filter(&self) -> Filter {
        Filter::for_target(&self.target)
    }

    /// The search space: all nonces of all headers.
    #[must_use]
    pub fn space(&self) -> Region {
        Region { headers: self.rolls.all(), nonces: self.nonces }
    }

    /// The header of a hit, complete with its nonce.
    #[must_use]
    pub fn header(&self, hit: Hit) -> Header {
        chain::with_nonce(&self.rolls.header(hit.header), hit.nonce)
    }
}

/// A header whose hash, computed on the CPU, meets its job's target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// The job it solves.
    pub job: JobId,
    /// The header's number in the job.
    pub number: u32,
    /// The complete header: version, time, merkle root and nonce as they were rolled.
    pub header: Header,
    /// The header's hash.
    pub hash: BlockHash,
}
