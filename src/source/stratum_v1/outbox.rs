//! Shares on their way: those that wait to be sent, and those whose answer has not come.

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::time::Instant;

use bitcoin::BlockHash;

use crate::limits::{OUTBOX, SHARES_REMEMBERED, UNANSWERED};
use crate::work::{JobId, Share, Ticket};

/// Every share from when it is found to fit until it has its verdict.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    /// Oldest first.
    waiting: VecDeque<Pending>,
    /// By the number of their request, which is their order too.
    sent: BTreeMap<u64, Pending>,
    /// Requests of this connection whose share expired.
    expired: BTreeSet<u64>,
    known: Known,
}

/// A share without a verdict.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) ticket: Ticket,
    pub(super) share: Share,
    /// When it counts as expired.
    pub(super) until: Instant,
    /// Whether the pool may have it: it was sent on a connection that broke.
    pub(super) was_sent: bool,
}

/// Whose request an answer answers.
#[derive(Debug)]
pub(super) enum Answered {
    Pending(Pending),
    Expired,
    Unknown,
}

/// The hashes that were taken last, so that none is sent twice.
#[derive(Debug, Default)]
struct Known {
    hashes: HashSet<BlockHash>,
    order: VecDeque<BlockHash>,
}

impl Outbox {
    pub(super) fn is_full(&self) -> bool {
        self.waiting.len() + self.sent.len() >= OUTBOX
    }

    /// Whether a share is new; if so it is remembered.
    pub(super) fn is_new(&mut self, share: &Share) -> bool {
        self.known.insert(share.hash)
    }

    pub(super) fn push(&mut self, pending: Pending) {
        self.waiting.push_back(pending);
    }

    /// The next share to send, unless too many answers are missing.
    pub(super) fn next(&mut self) -> Option<Pending> {
        if self.sent.len() < UNANSWERED { self.waiting.pop_front() } else { None }
    }

    pub(super) fn sent(&mut self, request: u64, pending: Pending) {
        self.sent.insert(request, pending);
    }

    pub(super) fn answered(&mut self, request: u64) -> Answered {
        match self.sent.remove(&request) {
            Some(pending) => Answered::Pending(pending),
            None if self.expired.remove(&request) => Answered::Expired,
            None => Answered::Unknown,
        }
    }

    /// Takes one share whose time is over.
    pub(super) fn expire(&mut self, now: Instant) -> Option<(Pending, bool)> {
        if self.waiting.front().is_some_and(|pending| pending.until <= now) {
            let pending = self.waiting.pop_front()?;
            let was_sent = pending.was_sent;
            return Some((pending, was_sent));
        }
        let entry = self.sent.first_entry().filter(|entry| entry.get().until <= now)?;
        let (request, pending) = entry.remove_entry();
        self.expired.insert(request);
        if self.expired.len() > UNANSWERED {
            self.expired.pop_first();
        }
        Some((pending, true))
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let sent = self.sent.first_key_value().map(|(_, pending)| pending.until);
        let waiting = self.waiting.front().map(|pending| pending.until);
        sent.into_iter().chain(waiting).min()
    }

    /// The connection broke: whatever has no answer waits for a session that may take it again.
    pub(super) fn disconnected(&mut self) {
        self.expired.clear();
        while let Some((_, pending)) = self.sent.pop_last() {
            self.waiting.push_front(Pending { was_sent: true, ..pending });
        }
    }

    /// Takes the waiting shares whose job is not among those that can still be sent.
    pub(super) fn orphans(&mut self, is_alive: impl Fn(JobId) -> bool) -> Vec<Pending> {
        let (waiting, orphans) =
            self.waiting.drain(..).partition(|pending| is_alive(pending.share.job));
        self.waiting = waiting;
        Vec::from(orphans)
    }

    /// A new session has seen none of the shares.
    pub(super) fn forget_known(&mut self) {
        self.known = Known::default();
    }
}

impl Known {
    fn insert(&mut self, hash: BlockHash) -> bool {
        if !self.hashes.insert(hash) {
            return false;
        }
        self.order.push_back(hash);
        if self.order.len() > SHARES_REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.hashes.remove(&oldest);
        }
        true
    }
}
