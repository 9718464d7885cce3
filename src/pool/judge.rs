//! Judges shares as ckpool and its kin do, with the `bitcoin` crate alone: coinbase, merkle root, header and
//! hash are made anew from what the miner sent, and nothing of adit's own arithmetic is used.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use bitcoin::block::{Header, Version};
use bitcoin::hashes::Hash as _;
use bitcoin::{BlockHash, Target};
use serde::Serialize;

use super::jobs::{Job, Solved};
use crate::limits::{JOBS_REMEMBERED, POOL_SHARES};

/// How far a miner may roll the time of a job, in seconds. Source: ckpool, `parse_submit`.
pub const MOST_SECONDS: u32 = 7000;

/// Why a request is refused. The text and [`code`](Self::code) are what the miner reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// The pool knows no such job.
    #[error("Job not found")]
    UnknownJob,
    /// The job was over.
    #[error("Stale")]
    Stale,
    /// The share was accepted before.
    #[error("Duplicate share")]
    Duplicate,
    /// The hash is above the target of its job.
    #[error("Low difficulty share")]
    LowDifficulty,
    /// The time is before the job's, or too far after it.
    #[error("Ntime out of range")]
    Time,
    /// Version bits outside the mask that was agreed on.
    #[error("Invalid version mask")]
    Version,
    /// The extranonce2 has another size than was agreed on.
    #[error("Invalid nonce2 length")]
    Extranonce2,
    /// The parameters are no such request.
    #[error("Malformed parameters")]
    Malformed,
    /// The worker has not logged in on this connection.
    #[error("Unauthorized worker")]
    Unauthorized,
    /// The connection has no session.
    #[error("Not subscribed")]
    NotSubscribed,
    /// The pool does not know the method.
    #[error("Unknown method")]
    UnknownMethod,
    /// The line is no request in JSON.
    #[error("Not a request in JSON")]
    Nonsense,
}

impl Refusal {
    /// The number that most pools use for it.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Time
            | Self::Version
            | Self::Extranonce2
            | Self::Malformed
            | Self::UnknownMethod
            | Self::Nonsense => 20,
            Self::UnknownJob | Self::Stale => 21,
            Self::Duplicate => 22,
            Self::LowDifficulty => 23,
            Self::Unauthorized => 24,
            Self::NotSubscribed => 25,
        }
    }
}

/// What a miner says in `mining.submit`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submission {
    /// The job's name.
    pub job: String,
    /// Of any size.
    pub extranonce2: Vec<u8>,
    /// The header's time.
    pub time: u32,
    /// The header's nonce.
    pub nonce: u32,
    /// The version bits, if the miner sent any.
    pub version_bits: Option<u32>,
}

/// A share's header and what it is worth.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hashed {
    /// The header, made anew.
    pub header: Header,
    /// Its hash.
    pub hash: BlockHash,
    /// The difficulty that the hash would meet.
    pub difficulty: f64,
    /// Whether the hash meets the header's own bits.
    pub is_block: bool,
}

/// What became of a submission.
#[derive(Debug, Clone, PartialEq)]
pub struct Judgement {
    /// The difficulty that was asked for, if the job is known.
    pub asked: Option<f64>,
    /// The hash, if it came so far.
    pub hashed: Option<Hashed>,
    /// Why it is refused; `None` when it is accepted.
    pub refusal: Option<Refusal>,
    /// The block that it solves, if that is worth something.
    pub solved: Option<Solved>,
}

impl Judgement {
    pub(super) const fn refused(refusal: Refusal) -> Self {
        Self { asked: None, hashed: None, refusal: Some(refusal), solved: None }
    }
}

/// The jobs that a session was given, each with its terms and the shares that were accepted for it.
#[derive(Default)]
pub struct Book {
    /// The oldest first.
    given: VecDeque<Given>,
    /// The serial of the very first.
    first: Option<u64>,
}

struct Given {
    job: Arc<Job>,
    extranonce1: Vec<u8>,
    extranonce2_size: usize,
    difficulty: f64,
    accepted: HashSet<BlockHash>,
}

impl Book {
    /// Notes a job with the terms on which it is given. Jobs of other generations are over.
    pub fn give(
        &mut self,
        job: Arc<Job>,
        extranonce1: &[u8],
        extranonce2_size: usize,
        difficulty: f64,
    ) {
        self.given.retain(|given| given.job.generation == job.generation);
        if self.given.len() >= JOBS_REMEMBERED {
            self.given.pop_front();
        }
        self.first.get_or_insert(job.serial);
        let (extranonce1, accepted) = (extranonce1.to_vec(), HashSet::new());
        self.given.push_back(Given { job, extranonce1, extranonce2_size, difficulty, accepted });
    }

    /// Whether the newest job has as many shares as it may: it is time for another.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.given.back().is_some_and(|given| given.accepted.len() >= POOL_SHARES / 2)
    }

    /// Judges a submission; the version bits in `mask` may be rolled.
    pub fn judge(&mut self, submission: &Submission, mask: u32) -> Judgement {
        let Some(given) = self.given.iter_mut().find(|given| given.job.name == submission.job)
        else {
            return Judgement::refused(self.unknown(&submission.job));
        };
        let asked = Some(given.difficulty);
        let hashed = match hashed(given, submission, mask) {
            Ok(hashed) => hashed,
            Err(refusal) => return Judgement { asked, ..Judgement::refused(refusal) },
        };
        let refusal = if hashed.difficulty < given.difficulty {
            Some(Refusal::LowDifficulty)
        } else if given.accepted.insert(hashed.hash) {
            None
        } else {
            Some(Refusal::Duplicate)
        };
        let extranonces = [given.extranonce1.as_slice(), &submission.extranonce2];
        let is_new = hashed.is_block && refusal != Some(Refusal::Duplicate);
        let solved = is_new.then(|| given.job.block(&hashed.header, extranonces)).flatten();
        self.forget();
        Judgement { asked, hashed: Some(hashed), refusal, solved }
    }

    /// A job that was given once is stale; any other is unknown.
    fn unknown(&self, name: &str) -> Refusal {
        let serial = u64::from_str_radix(name, 16).ok();
        let oldest = self.given.front().map(|given| given.job.serial);
        match (self.first, serial, oldest) {
            (Some(first), Some(serial), Some(oldest)) if (first..oldest).contains(&serial) => {
                Refusal::Stale
            }
            _ => Refusal::UnknownJob,
        }
    }

    fn forget(&mut self) {
        let shares =
            |given: &VecDeque<Given>| given.iter().map(|g| g.accepted.len()).sum::<usize>();
        while self.given.len() > 1 && shares(&self.given) > POOL_SHARES {
            self.given.pop_front();
        }
    }
}

/// Checks a submission in ckpool's order, and hashes it.
fn hashed(given: &Given, submission: &Submission, mask: u32) -> Result<Hashed, Refusal> {
    let Submission { extranonce2, time, nonce, version_bits, .. } = submission;
    if extranonce2.len() != given.extranonce2_size {
        return Err(Refusal::Extranonce2);
    }
    let first = given.job.time;
    if !(first..=first.saturating_add(MOST_SECONDS)).contains(time) {
        return Err(Refusal::Time);
    }
    let blank = given.job.template.header;
    let version = blank.version.to_consensus();
    let version = match version_bits {
        Some(bits) if bits & !mask != 0 => return Err(Refusal::Version),
        // Source: BIP 310.
        Some(bits) => version & !mask.cast_signed() | bits.cast_signed(),
        None => version,
    };
    let header = Header {
        version: Version::from_consensus(version),
        merkle_root: given.job.merkle_root([&given.extranonce1, extranonce2]),
        time: *time,
        nonce: *nonce,
        ..blank
    };
    let hash = header.block_hash();
    let difficulty = Target::from_le_bytes(hash.to_byte_array()).difficulty_float();
    let is_block = header.target().is_met_by(hash);
    Ok(Hashed { header, hash, difficulty, is_block })
}

#[cfg(test)]
pub(super) mod tests;
