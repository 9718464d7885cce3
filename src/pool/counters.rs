//! What came of the shares, by worker and in total.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Share;
use super::judge::Refusal;
use crate::limits::POOL_WORKERS;

/// All shares of a pool.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Counters {
    /// Of all workers.
    pub total: Tally,
    /// By worker, whose name is as it came.
    pub workers: BTreeMap<String, Tally>,
}

/// The shares of a worker, or of all.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Tally {
    /// Shares accepted.
    pub accepted: u64,
    /// Shares refused, by reason.
    pub rejected: BTreeMap<Refusal, u64>,
    /// The sum of the difficulties that were asked for and met: 2^32 hashes each.
    pub difficulty: f64,
    /// The highest difficulty that a hash met.
    pub best: f64,
    /// Hashes that would be a block.
    pub blocks: u64,
}

impl Counters {
    /// Counts a share.
    pub fn count(&mut self, share: &Share) {
        self.total.count(share);
        // A new name is a new string, an old one is none.
        if let Some(tally) = self.workers.get_mut(&share.worker) {
            tally.count(share);
            return;
        }
        let is_full = self.workers.len() >= POOL_WORKERS;
        let name = if is_full { "others".to_owned() } else { share.worker.clone() };
        self.workers.entry(name).or_default().count(share);
    }
}

impl Tally {
    /// Shares refused.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.rejected.values().sum()
    }

    fn count(&mut self, share: &Share) {
        if let Some(refusal) = share.refusal {
            *self.rejected.entry(refusal).or_default() += 1;
            return;
        }
        self.accepted += 1;
        self.difficulty += share.asked.unwrap_or_default();
        self.best = self.best.max(share.difficulty.unwrap_or_default());
        self.blocks += u64::from(share.is_block);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::ConnectionId;

    fn share(worker: &str, refusal: Option<Refusal>) -> Share {
        Share {
            connection: ConnectionId(1),
            worker: worker.to_owned(),
            hash: None,
            difficulty: Some(3.0),
            asked: Some(2.0),
            is_block: true,
            refusal,
        }
    }

    #[test]
    fn only_what_was_accepted_is_worth_something() {
        let mut counters = Counters::default();
        for refusal in [None, Some(Refusal::Stale), None, Some(Refusal::Stale)] {
            counters.count(&share("a", refusal));
        }
        let expected = Tally {
            accepted: 2,
            rejected: [(Refusal::Stale, 2)].into(),
            difficulty: 4.0,
            best: 3.0,
            blocks: 2,
        };
        assert_eq!(counters.total, expected);
        assert_eq!(counters.workers, [("a".to_owned(), expected)].into());
        assert_eq!(counters.total.refused(), 2);
    }

    #[test]
    fn names_have_an_upper_bound_and_shares_have_none() {
        let mut counters = Counters::default();
        for worker in 0..2000 {
            counters.count(&share(&worker.to_string(), None));
        }
        assert_eq!(counters.workers.len(), POOL_WORKERS + 1);
        assert_eq!(counters.workers["others"].accepted, 1000);
        assert_eq!(counters.total.accepted, 2000);
    }
}
