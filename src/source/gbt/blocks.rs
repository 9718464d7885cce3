//! Solved blocks on their way to the node: on disk first, then given to it until it answers for good.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bitcoin::BlockHash;
use bitcoin::hex::DisplayHex;
use serde::Deserialize;
use serde_json::{Value, json};

use super::rpc::{self, Answer, Fault};
use super::{Chain, SolvedBlock};
use crate::limits::{BLOCK_PATIENCE, BLOCK_RETRY, BLOCK_RETRY_LATE, SOLVED_BLOCKS};
use crate::source::Event;
use crate::work::Verdict;

/// All solved blocks without a final answer, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    waiting: Vec<Waiting>,
    answered: VecDeque<(BlockHash, String)>,
}

#[derive(Debug)]
struct Waiting {
    block: SolvedBlock,
    previous: BlockHash,
    disk: Disk,
    step: Step,
    /// When it was on disk.
    since: Instant,
    tries: u32,
    due: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Disk {
    Unknown,
    Handed,
    Stored,
}

/// What the node is asked about a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// To take it.
    Submit,
    /// Whether it is in the chain by now.
    Look,
}

/// A block's final answer.
#[derive(Debug)]
pub(super) struct Settled {
    /// The block that it follows.
    pub(super) previous: BlockHash,
    pub(super) verdict: Verdict,
}

/// What an answer means.
#[derive(Debug, PartialEq, Eq)]
enum Judged {
    Final(Verdict, String),
    /// The node has it, but does not say whether in the chain.
    Look(String),
    /// Give it once more.
    Again(String),
}

impl Blocks {
    /// Takes a new block; `stored` where it came from the disk. If there are too many the one leaves that
    /// nobody waits for, or else the oldest: it stays on disk.
    pub(super) fn add(
        &mut self,
        block: SolvedBlock,
        previous: BlockHash,
        stored: bool,
        now: Instant,
        events: &mut VecDeque<Event>,
    ) {
        if self.waiting.len() >= SOLVED_BLOCKS {
            let unawaited = self.waiting.iter().position(|other| other.block.ticket.is_none());
            let mut left = self.waiting.remove(unawaited.unwrap_or(0));
            left.expire("there are too many solved blocks without an answer", events);
        }
        let disk = if stored { Disk::Stored } else { Disk::Unknown };
        let step = Step::Submit;
        self.waiting.push(Waiting { block, previous, disk, step, since: now, tries: 0, due: now });
    }

    /// The next block to be written to disk.
    pub(super) fn unstored(&mut self) -> Option<SolvedBlock> {
        let waiting = self.waiting.iter_mut().find(|waiting| waiting.disk == Disk::Unknown)?;
        waiting.disk = Disk::Handed;
        Some(waiting.block.clone())
    }

    pub(super) fn stored(&mut self, hash: BlockHash, now: Instant) {
        if let Some(waiting) = self.find(hash) {
            waiting.disk = Disk::Stored;
            (waiting.since, waiting.due) = (now, now);
        }
    }

    /// The next final answer to be noted on disk.
    pub(super) fn answered(&mut self) -> Option<(BlockHash, String)> {
        self.answered.pop_front()
    }

    /// The block that is due, and what to ask: method and parameters.
    pub(super) fn next(&self, now: Instant) -> Option<(BlockHash, Step, &'static str, Value)> {
        let due = self.stored_ones().filter(|waiting| waiting.due <= now);
        let Waiting { block, step, .. } = due.min_by_key(|waiting| waiting.due)?;
        Some(match step {
            Step::Submit => {
                (block.hash, *step, "submitblock", json!([block.bytes.to_lower_hex_string()]))
            }
            Step::Look => (block.hash, *step, "getblockheader", json!([block.hash.to_string()])),
        })
    }

    /// When a block is due.
    pub(super) fn due(&self) -> Option<Instant> {
        self.stored_ones().map(|waiting| waiting.due).min()
    }

    /// When the patience with a block ends.
    pub(super) fn patience(&self) -> Option<Instant> {
        let awaited = self.stored_ones().filter(|waiting| {
            waiting.was_tried_enough()
                && (waiting.block.ticket.is_some() || waiting.step == Step::Look)
        });
        awaited.map(|waiting| waiting.since + BLOCK_PATIENCE.0).min()
    }

    /// Takes the answer to request `id`, which asked about the block `hash`.
    pub(super) fn respond(
        &mut self,
        (hash, step): (BlockHash, Step),
        (id, answer): (u64, &Result<Answer, String>),
        now: Instant,
        events: &mut VecDeque<Event>,
    ) -> Option<Settled> {
        let judged = match step {
            Step::Submit => judge_submission(rpc::result(id, answer)),
            Step::Look => judge_look(rpc::result(id, answer)),
        };
        let waiting = self.find(hash)?;
        waiting.tries = waiting.tries.saturating_add(1);
        waiting.due = now + waiting.wait(now);
        match judged {
            Judged::Final(verdict, words) => return self.settle(hash, verdict, words, events),
            Judged::Look(words) => {
                let SolvedBlock { height, hash, .. } = waiting.block;
                if step == Step::Submit {
                    events.push_back(Event::Message(format!(
                        "block {height} {hash} is with the node, but not in its chain ({words})"
                    )));
                }
                waiting.step = Step::Look;
            }
            Judged::Again(words) => {
                waiting.step = Step::Submit;
                if waiting.tries == 1 {
                    let SolvedBlock { height, hash, .. } = waiting.block;
                    events.push_back(Event::Warning(format!(
                        "block {height} {hash} is not with the node yet ({words}); it is on disk and is \
                        given to it again"
                    )));
                }
            }
        }
        None
    }

    /// Ends the patience with blocks that were tried long and often enough.
    #[must_use]
    pub(super) fn expire(&mut self, now: Instant, events: &mut VecDeque<Event>) -> Vec<Settled> {
        let mut late = Vec::new();
        for waiting in &mut self.waiting {
            if waiting.disk != Disk::Stored || !waiting.is_late(now) {
                continue;
            }
            match waiting.step {
                Step::Submit => waiting.expire("the node gave no final answer in time", events),
                Step::Look => late.push(waiting.block.hash),
            }
        }
        let words = "the node has it, but another block of its height is in the chain";
        late.into_iter()
            .filter_map(|hash| self.settle(hash, Verdict::Stale, words.to_owned(), events))
            .collect()
    }

    /// Gives every share its verdict: nobody will be there to hear it.
    pub(super) fn end(&mut self, events: &mut VecDeque<Event>) {
        for waiting in &mut self.waiting {
            waiting.expire("adit ended before the node gave its answer", events);
        }
    }

    /// Lets go of blocks that are not of `chain`.
    pub(super) fn keep_only(&mut self, chain: Chain, events: &mut VecDeque<Event>) {
        self.waiting.retain(|Waiting { block, .. }| {
            if block.chain != chain {
                events.push_back(Event::Warning(format!(
                    "block {} {} of an earlier run is one of {}, but this node's chain is {chain}; it \
                    stays on disk",
                    block.height, block.hash, block.chain
                )));
            }
            block.chain == chain
        });
    }

    fn settle(
        &mut self,
        hash: BlockHash,
        verdict: Verdict,
        words: String,
        events: &mut VecDeque<Event>,
    ) -> Option<Settled> {
        let at = self.waiting.iter().position(|waiting| waiting.block.hash == hash)?;
        let Waiting { block: SolvedBlock { height, ticket, .. }, previous, .. } =
            self.waiting.remove(at);
        events.push_back(match verdict {
            Verdict::Accepted => {
                Event::Message(format!("block {height} {hash} is in the chain ({words})"))
            }
            _ => Event::Warning(format!("block {height} {hash} is {verdict} ({words})")),
        });
        self.answered.push_back((hash, format!("{verdict}: {words}")));
        if let Some(ticket) = ticket {
            events.push_back(Event::Verdict(ticket, verdict, Some(words)));
        }
        Some(Settled { previous, verdict })
    }

    fn find(&mut self, hash: BlockHash) -> Option<&mut Waiting> {
        self.waiting.iter_mut().find(|waiting| waiting.block.hash == hash)
    }

    fn stored_ones(&self) -> impl Iterator<Item = &Waiting> {
        self.waiting.iter().filter(|waiting| waiting.disk == Disk::Stored)
    }
}

impl Waiting {
    /// A block that the node has needs no more tries, only time.
    fn was_tried_enough(&self) -> bool {
        self.step == Step::Look || self.tries >= BLOCK_PATIENCE.1
    }

    fn is_late(&self, now: Instant) -> bool {
        let waited = now.saturating_duration_since(self.since);
        self.was_tried_enough() && waited >= BLOCK_PATIENCE.0
    }

    /// How long to wait for the next try.
    fn wait(&self, now: Instant) -> Duration {
        if self.is_late(now) {
            return BLOCK_RETRY_LATE;
        }
        let [first, longest] = BLOCK_RETRY;
        first.saturating_mul(1 << self.tries.saturating_sub(1).min(10)).min(longest)
    }

    /// Ends the share. The block goes on.
    fn expire(&mut self, why: &str, events: &mut VecDeque<Event>) {
        let Some(ticket) = self.block.ticket.take() else { return };
        let (height, hash) = (self.block.height, self.block.hash);
        events.push_back(Event::Warning(format!(
            "block {height} {hash}: {why}; it is on disk and is given to the node again"
        )));
        events.push_back(Event::Verdict(ticket, Verdict::Expired, Some(why.to_owned())));
    }
}

/// What `submitblock` says. `None` is BIP 22's null.
///
/// Bitcoin Core gives the reject reason alone, bcoin puts "rejected: " before it.
fn judge_submission(result: Result<Option<String>, Fault>) -> Judged {
    let words = match result {
        Ok(None) => return Judged::Final(Verdict::Accepted, "accepted by the node".to_owned()),
        Ok(Some(words)) => rpc::shortened(&words),
        Err(Fault::Rpc { code: rpc::DECODE_FAILED, message }) => {
            return Judged::Final(Verdict::Rejected, message);
        }
        Err(fault) => return Judged::Again(fault.to_string()),
    };
    match words.strip_prefix("rejected: ").unwrap_or(&words) {
        // An earlier try arrived, though its answer did not.
        "duplicate" => {
            Judged::Final(Verdict::Accepted, "duplicate: the node has it already".to_owned())
        }
        "inconclusive" | "duplicate-inconclusive" => Judged::Look(words),
        // A node that restarted may have to fetch its last blocks again; a clock that lags is set right.
        "prev-blk-not-found" | "time-too-new" => Judged::Again(words),
        "bad-prevblk" | "stale-prevblk" | "stale-work" | "inconclusive-not-best-prevblk" => {
            Judged::Final(Verdict::Stale, words)
        }
        _ => Judged::Final(Verdict::Rejected, words),
    }
}

/// What `getblockheader` gives, as far as it is used.
#[derive(Debug, Deserialize)]
struct HeaderInfo {
    /// From 1 for a block in the chain; -1 beside it.
    confirmations: i64,
}

fn judge_look(result: Result<Option<HeaderInfo>, Fault>) -> Judged {
    match result {
        Ok(Some(HeaderInfo { confirmations: 1.. })) => {
            Judged::Final(Verdict::Accepted, "it is in the chain by now".to_owned())
        }
        Ok(_) => Judged::Look("beside the chain".to_owned()),
        Err(fault @ (Fault::Rpc { code: rpc::METHOD_NOT_FOUND, .. } | Fault::Forbidden)) => {
            Judged::Final(Verdict::Stale, format!("it did not become the tip; {fault}"))
        }
        // Code -1 in bcoin.
        Err(fault @ Fault::Rpc { code: rpc::NOT_FOUND | -1, .. }) => {
            Judged::Again(fault.to_string())
        }
        Err(fault) => Judged::Look(fault.to_string()),
    }
}
