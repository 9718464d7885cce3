//! From templates to work, and from shares to blocks.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bitcoin::block::Header;
use bitcoin::consensus::deserialize;
use bitcoin::{Block, BlockHash, CompactTarget};

use super::{ANOTHER_TEMPLATE, Client, Stage};
use crate::chain::payout::Chain;
use crate::source::gbt::blocks::Settled;
use crate::source::gbt::tips::Allowed;
use crate::source::gbt::{SolvedBlock, Template};
use crate::source::{Event, Remedy};
use crate::work::{JobId, Share, Ticket, Verdict};

/// What is worked on.
#[derive(Debug)]
pub(super) struct Current {
    job: JobId,
    previous: BlockHash,
    height: u32,
    bits: CompactTarget,
    /// When the template came, and when the job was made of it.
    since: Instant,
    /// The next request then: answers to earlier ones may be older than this.
    requests: u64,
}

impl Client {
    /// A template came, with the answer to `request`.
    pub(super) fn offered(&mut self, template: Template, request: u64, now: Instant) {
        self.failures = 0;
        self.longpoll_id.clone_from(&template.longpoll);
        if self.longpoll_at.is_none() {
            self.longpoll_at = Some(now);
        }
        match self.tips.offered(template.previous, request) {
            Allowed::Yes => {}
            Allowed::No => return,
            Allowed::AskAgain => {
                self.poll_at = Some(now);
                return;
            }
        }
        if let Some(current) = &self.current {
            if request < current.requests && template.height < current.height {
                // Overtaken by the answer to a later request.
                self.poll_at = Some(now);
                return;
            }
            let is_same = (current.previous, current.bits) == (template.previous, template.bits);
            if is_same && now.saturating_duration_since(current.since) < self.settings.refresh {
                return;
            }
        }
        if self.settings.propose {
            self.candidate = Some(Box::new(template));
        } else {
            self.adopt(template, now);
        }
    }

    /// The node would take a block of this template.
    pub(super) fn proposed(&mut self, template: Template, now: Instant) {
        // A share may have solved its tip meanwhile.
        if !self.tips.is_occupied(template.previous) {
            self.adopt(template, now);
        }
    }

    /// Works on a template from now on.
    fn adopt(&mut self, template: Template, now: Instant) {
        let (previous, height, bits) = (template.previous, template.height, template.bits);
        let clean = self.current.as_ref().is_none_or(|current| current.previous != previous);
        self.warn_of(&template);
        let template = Arc::new(template);
        let work = match self.jobs.issue(&self.settings, &template, template.time, clean) {
            Ok(work) => work,
            Err(why) => return self.down(why, Remedy::User),
        };
        if std::mem::replace(&mut self.stage, Stage::Ready) != Stage::Ready {
            self.events.push_back(Event::Ready);
        }
        let (job, requests) = (work.job.id, self.requests);
        self.current = Some(Current { job, previous, height, bits, since: now, requests });
        self.poll_at = Some(now + self.settings.refresh);
        self.events.push_back(Event::Work(Box::new(work)));
    }

    /// What is odd about a template, but may be meant.
    fn warn_of(&mut self, template: &Template) {
        if let Some(last) = self.jobs.last().filter(|last| template.height < last.height) {
            self.events.push_back(Event::Warning(format!(
                "the node went back from height {} to {}: its chain was reorganised, or it was started \
                with other data",
                last.height, template.height
            )));
        }
        let due = self.progress.as_ref().and(self.chain).and_then(|chain| template.due(chain));
        if let Some(due) = due.filter(|due| *due != template.value && !self.warned_of_value) {
            self.warned_of_value = true;
            self.events.push_back(Event::Warning(format!(
                "the node says that the coinbase may pay {}, but subsidy and fees of height {} make {due}",
                template.value, template.height
            )));
        }
    }

    /// All hashes of a job are tested: another job of the same template, with the time that it is by now.
    pub fn exhausted(&mut self, job: JobId, now: Instant) {
        let Some(current) = self.current.as_mut().filter(|current| current.job == job) else {
            return;
        };
        let Some(template) = self.jobs.template(job).map(Arc::clone) else { return };
        let elapsed = now.saturating_duration_since(current.since).as_secs();
        // Where the target depends on the time, another time can make the header wrong.
        let is_fixed = self.chain.is_none_or(Chain::time_changes_target) || !template.time_rolls;
        let elapsed = if is_fixed { 0 } else { u32::try_from(elapsed).unwrap_or(u32::MAX) };
        let time = template.time.saturating_add(elapsed).min(*template.times.end());
        match self.jobs.issue(&self.settings, &template, time, false) {
            Ok(work) => {
                current.job = work.job.id;
                self.events.push_back(Event::Work(Box::new(work)));
            }
            Err(why) => self.down(why, Remedy::User),
        }
    }

    /// Takes a share, which is a block. Exactly one [`Event::Verdict`] follows.
    pub fn submit(&mut self, ticket: Ticket, share: &Share, now: Instant) {
        let solved = self.jobs.solve(share).and_then(|solved| {
            if self.tips.knows(share.hash) {
                return Err((Verdict::Duplicate, "it was found before"));
            }
            if self.tips.is_occupied(solved.previous) {
                return Err((Verdict::Stale, "another block of its height was found before"));
            }
            Ok(solved)
        });
        let solved = match solved {
            Ok(solved) => solved,
            Err((verdict, why)) => {
                self.events.push_back(Event::Verdict(ticket, verdict, Some(why.to_owned())));
                return;
            }
        };
        let block = SolvedBlock {
            hash: share.hash,
            height: solved.height,
            chain: self.chain.unwrap_or(self.settings.payout.chain()),
            bytes: solved.bytes,
            ticket: Some(ticket),
        };
        self.occupy(solved.previous, share.hash);
        self.blocks.add(block, solved.previous, false, now, &mut self.events);
    }

    /// Takes a block of an earlier run that has no final answer yet, as it was stored. It is given to the
    /// node before anything is mined on the same tip.
    pub fn recover(&mut self, block: SolvedBlock, now: Instant) {
        let Some(header) = header_of(&block) else {
            self.events.push_back(Event::Warning(format!(
                "what is on disk as block {} {} is not that block; it is left alone",
                block.height, block.hash
            )));
            return;
        };
        let (previous, block) = (header.prev_blockhash, SolvedBlock { ticket: None, ..block });
        if self.tips.knows(block.hash) {
            return;
        }
        self.occupy(previous, block.hash);
        self.blocks.add(block, previous, true, now, &mut self.events);
        if let Some(chain) = self.chain {
            self.blocks.keep_only(chain, &mut self.events);
        }
    }

    /// There is a block to follow `previous`: another is of no use there.
    fn occupy(&mut self, previous: BlockHash, solution: BlockHash) {
        self.tips.occupy(previous, solution);
        if self.current.take_if(|current| current.previous == previous).is_some() {
            let why = "a block was found; work goes on when the node has answered";
            self.events.push_back(Event::NoWork(why.to_owned()));
        }
    }

    /// A block has its final answer: the next one can be mined.
    pub(super) fn settled(&mut self, settled: &Settled, now: Instant) {
        self.tips.answered(settled.previous, self.requests);
        let wait =
            if settled.verdict == Verdict::Rejected { ANOTHER_TEMPLATE } else { Duration::ZERO };
        self.poll_at = Some(now + wait);
    }
}

/// The header of a block of which every byte is as it was: its hash covers the header, which covers the transactions,
/// of which the first covers the witnesses.
fn header_of(block: &SolvedBlock) -> Option<Header> {
    let read: Block = deserialize(&block.bytes).ok()?;
    let is_whole = read.block_hash() == block.hash
        && read.check_merkle_root()
        && read.check_witness_commitment();
    is_whole.then_some(read.header)
}
