//! The jobs that were handed out: which one is at work, and whose shares can still be sent.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bitcoin::Target;
use bitcoin::block::{Header, Version};
use bitcoin::consensus::deserialize;

use super::notify::Notify;
use crate::chain::payout::{self, PayoutError, PayoutRule};
use crate::chain::{self, CoinbaseError};
use crate::limits::{JOBS_REMEMBERED, TIME_AHEAD};
use crate::source::Work;
use crate::work::{Coinbase, Hit, Job, JobId, Nonces, Rolls, RollsError, Share, SourceId};

/// The jobs of a session.
#[derive(Debug)]
pub(super) struct Jobs {
    source: SourceId,
    /// Of the last job handed out.
    serial: u64,
    /// Whose shares can be sent, oldest first.
    issued: VecDeque<Issued>,
    at_work: Option<AtWork>,
}

/// A job that was handed out.
#[derive(Debug)]
pub(super) struct Issued {
    job: Arc<Job>,
    coinbase: Arc<Coinbase>,
    /// As the pool gave them.
    header: Header,
    /// The pool's name for it.
    name: String,
}

/// The job at work, as the pool gave it and as it was handed out last. It is the newest that was issued.
#[derive(Debug)]
struct AtWork {
    name: String,
    header: Header,
    block_target: Target,
    coinbase: Arc<Coinbase>,
    decoded: Arc<payout::Coinbase>,
    target: Target,
    version_mask: u32,
    received: Instant,
    /// The time in the headers that were handed out.
    time: u32,
    /// All of it was tested, and the next second is not yet allowed.
    is_exhausted: bool,
}

/// What jobs are made with beside their announcement.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms<'a> {
    /// A hash at or below this is a share.
    pub(super) target: Target,
    pub(super) version_mask: u32,
    pub(super) rule: Option<&'a PayoutRule>,
    /// Whether a clean job spares earlier ones that build on the same block: the first one after a
    /// session was resumed is clean only because it is the first.
    pub(super) is_lenient: bool,
}

/// Why a job is not mined.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error("a job that does not pay as required: {0}")]
    Payout(#[from] PayoutError),
    #[error("a job that cannot be mined: {0}")]
    Coinbase(#[from] CoinbaseError),
    #[error("a job that cannot be mined: {0}")]
    Rolls(#[from] RollsError),
}

/// Why a share does not fit its job.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Misfit {
    #[error("its job was never handed out")]
    Job,
    #[error("its job has no header of this number")]
    Number,
    #[error("its version differs from its job's in bits that do not roll")]
    Version,
    #[error("its time is not its job's")]
    Time,
    #[error("its header is not the one of its number")]
    Header,
    #[error("its hash is not its header's")]
    Hash,
    #[error("its hash is above its job's target")]
    Target,
}

impl Jobs {
    pub(super) const fn new(source: SourceId) -> Self {
        Self { source, serial: 0, issued: VecDeque::new(), at_work: None }
    }

    /// A job whose shares can be sent.
    pub(super) fn get(&self, id: JobId) -> Option<&Issued> {
        self.issued.iter().rev().find(|issued| issued.job.id == id)
    }

    /// Whether a job of this name was ever handed out.
    pub(super) const fn knew(&self, id: JobId) -> bool {
        id.source.0 == self.source.0 && 0 < id.serial && id.serial <= self.serial
    }

    /// Forgets all. Returns whether one was at work.
    pub(super) fn clear(&mut self) -> bool {
        self.issued.clear();
        self.at_work.take().is_some()
    }

    /// Takes an announced job. Returns nothing when it is the one at work, whose search goes on.
    pub(super) fn take(
        &mut self,
        notify: Notify,
        terms: Terms<'_>,
        now: Instant,
    ) -> Result<Option<Work>, Refusal> {
        let same = self.at_work.take().filter(|at_work| at_work.is_of(&notify));
        let goes_on = same.as_ref().is_some_and(|at_work| at_work.has(terms));
        if notify.clean {
            let last = self.last();
            let spared = terms.is_lenient.then_some(notify.header.prev_blockhash);
            self.issued.retain(|issued| {
                goes_on && issued.job.id == last || Some(issued.header.prev_blockhash) == spared
            });
        }
        if goes_on {
            if let Some(issued) = self.issued.back_mut() {
                issued.name.clone_from(&notify.name);
            }
            self.at_work = same.map(|same| AtWork { name: notify.name, ..same });
            return Ok(None);
        }
        let clean = notify.clean && self.issued.is_empty();
        let at_work = match same {
            Some(same) => AtWork {
                name: notify.name,
                target: terms.target,
                time: same.next_time(now).unwrap_or(same.time),
                ..same
            },
            None => AtWork::new(notify, terms, now)?,
        };
        self.hand_out(at_work, terms.version_mask, clean).map(Some)
    }

    /// Hands the job at work out with other version bits, if they are others.
    pub(super) fn roll_versions(
        &mut self,
        version_mask: u32,
        now: Instant,
    ) -> Result<Option<Work>, Refusal> {
        let Some(at_work) = self.at_work.take_if(|at_work| at_work.version_mask != version_mask)
        else {
            return Ok(None);
        };
        let time = at_work.next_time(now).unwrap_or(at_work.time);
        self.hand_out(AtWork { time, ..at_work }, version_mask, false).map(Some)
    }

    /// Notes that all of a job was tested. It counts only while it is at work.
    pub(super) fn exhaust(&mut self, id: JobId) {
        let last = self.last();
        if let Some(at_work) = self.at_work.as_mut().filter(|_| id == last) {
            at_work.is_exhausted = true;
        }
    }

    /// Hands the job at work out with its next second, if it is exhausted and the second allowed.
    pub(super) fn advance(&mut self, now: Instant) -> Result<Option<Work>, Refusal> {
        let Some(at_work) = self.at_work.as_ref().filter(|at_work| at_work.is_exhausted) else {
            return Ok(None);
        };
        let Some(time) = at_work.next_time(now) else { return Ok(None) };
        let Some(at_work) = self.at_work.take() else { return Ok(None) };
        let version_mask = at_work.version_mask;
        self.hand_out(AtWork { time, ..at_work }, version_mask, false).map(Some)
    }

    /// When [`advance`](Self::advance) will have something to do.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let at_work = self.at_work.as_ref().filter(|at_work| at_work.is_exhausted)?;
        let ahead = at_work.time - at_work.header.time + 1;
        let is_allowed = ahead <= TIME_AHEAD && at_work.time < u32::MAX;
        is_allowed.then(|| at_work.received + Duration::from_secs(ahead.into()))
    }

    /// The name of the last job handed out: of the one at work, if there is one.
    pub(super) const fn last(&self) -> JobId {
        JobId { source: self.source, serial: self.serial }
    }

    fn hand_out(
        &mut self,
        at_work: AtWork,
        version_mask: u32,
        clean: bool,
    ) -> Result<Work, Refusal> {
        let extranonces = extranonces(version_mask, at_work.coinbase.parts.extranonce2_size());
        let coinbase = if at_work.coinbase.extranonces == extranonces {
            at_work.coinbase
        } else {
            Arc::new(Coinbase { extranonces, ..at_work.coinbase.as_ref().clone() })
        };
        let header = Header { time: at_work.time, ..at_work.header };
        let rolls = Rolls::new(header, version_mask, 1, Some(coinbase.clone()))?.starting_from(1);
        self.serial += 1;
        let id = self.last();
        let job = Arc::new(Job { id, rolls, target: at_work.target, nonces: Nonces::ALL });
        let at_work = AtWork { coinbase, version_mask, is_exhausted: false, ..at_work };
        if self.issued.len() == JOBS_REMEMBERED {
            self.issued.pop_front();
        }
        self.issued.push_back(Issued {
            job: job.clone(),
            coinbase: at_work.coinbase.clone(),
            header: at_work.header,
            name: at_work.name.clone(),
        });
        let work = Work {
            job,
            name: at_work.name.clone(),
            height: at_work.coinbase.parts.height(),
            clean,
            block_target: at_work.block_target,
            coinbase: Some(at_work.decoded.clone()),
        };
        self.at_work = Some(at_work);
        Ok(work)
    }
}

impl Issued {
    /// The pool's name for the job.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Whether a share fits the job, which is all that can be known before the pool is asked.
    pub(super) fn check(&self, share: &Share) -> Result<(), Misfit> {
        let rolls = &self.job.rolls;
        if u64::from(share.number) >= rolls.all().len() {
            return Err(Misfit::Number);
        }
        let nonce = share.header.nonce;
        let own = self.job.header(Hit { header: share.number, nonce });
        if bits(own.version, share.header.version) & !rolls.version_mask() != 0 {
            return Err(Misfit::Version);
        }
        if own.time != share.header.time {
            return Err(Misfit::Time);
        }
        if own != share.header {
            return Err(Misfit::Header);
        }
        if chain::block_hash(&own) != share.hash {
            return Err(Misfit::Hash);
        }
        if chain::meets(&share.hash, &self.job.target) { Ok(()) } else { Err(Misfit::Target) }
    }

    /// Whether the pool, which puts the bits of its mask into its own version, gets a share's version.
    pub(super) fn version_is_within(&self, share: &Share, mask: u32) -> bool {
        bits(self.header.version, share.header.version) & !mask == 0
    }

    /// The extranonce2 of a share.
    pub(super) fn extranonce2(&self, share: &Share) -> Vec<u8> {
        self.coinbase.parts.numbered(self.job.rolls.extranonce(share.number).into())
    }
}

impl AtWork {
    /// Decodes what the job's coinbase says, and holds it to the rule.
    fn new(notify: Notify, terms: Terms<'_>, now: Instant) -> Result<Self, Refusal> {
        let Notify { name, clean: _, header, block_target, parts, branch } = notify;
        let bytes = parts.assemble(&parts.numbered(0))?;
        let transaction = deserialize(&bytes).map_err(CoinbaseError::Transaction)?;
        let decoded = Arc::new(payout::Coinbase::of(&transaction));
        terms.rule.map_or(Ok(()), |rule| rule.check(&decoded))?;
        let Terms { target, version_mask, .. } = terms;
        let extranonces = extranonces(version_mask, parts.extranonce2_size());
        Ok(Self {
            name,
            header,
            block_target,
            coinbase: Arc::new(Coinbase { parts, branch, extranonces }),
            decoded,
            target,
            version_mask,
            received: now,
            time: header.time,
            is_exhausted: false,
        })
    }

    /// Whether an announced job hashes the same.
    fn is_of(&self, notify: &Notify) -> bool {
        let Coinbase { parts, branch, .. } = &*self.coinbase;
        self.header == notify.header && *parts == notify.parts && *branch == notify.branch
    }

    fn has(&self, terms: Terms<'_>) -> bool {
        self.target == terms.target && self.version_mask == terms.version_mask
    }

    /// The second after the last that was handed out, once it is not ahead of the pool's clock.
    fn next_time(&self, now: Instant) -> Option<u32> {
        let elapsed = now.saturating_duration_since(self.received).as_secs();
        let next = self.time.checked_add(1)?;
        let ahead = next - self.header.time;
        (ahead <= TIME_AHEAD && u64::from(ahead) <= elapsed).then_some(next)
    }
}

/// The version bits that differ.
fn bits(one: Version, other: Version) -> u32 {
    (one.to_consensus() ^ other.to_consensus()).cast_unsigned()
}

/// As many extranonces as extranonce2 has, and as a job can number beside its version bits.
const fn extranonces(version_mask: u32, size: usize) -> u32 {
    // All 32 bits never roll: that mask is not granted.
    let numbered = u32::MAX >> (version_mask.count_ones() & 31);
    match size {
        0..4 if numbered > 1 << (8 * size) => 1 << (8 * size),
        _ => numbered,
    }
}
