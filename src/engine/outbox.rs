//! The shares of a run, from when they are found to their verdicts. Each gets exactly one.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::limits::{OUTBOX, SHARES_PER_SECOND};
use crate::work::{JobId, Share, SourceId, Ticket, Verdict};

/// The shares of all sources.
#[derive(Debug, Default)]
pub struct Outbox {
    next: u64,
    pending: HashMap<Ticket, Pending>,
    books: BTreeMap<SourceId, Book>,
}

/// A share without a verdict.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pending {
    /// Whose job it solves.
    pub source: SourceId,
    /// The difficulty of its job: what it counts for when it is accepted.
    pub difficulty: f64,
    /// Whether its hash makes a block.
    pub is_block: bool,
    /// When it was found.
    pub found: Instant,
}

/// Shares counted. `found` is the sum of all the others but `blocks` and `late`, which say more of some.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, schemars::JsonSchema)]
pub struct Counts {
    /// Hashes that met the target of their job.
    pub found: u64,
    /// The source took them.
    pub accepted: u64,
    /// The source refused them, for reasons not named here.
    pub rejected: u64,
    /// Their job was over.
    pub stale: u64,
    /// Found or sent before, as the source says or as was known here.
    pub duplicate: u64,
    /// No answer came.
    pub expired: u64,
    /// Our own check refused to send them, or the source says that their hash is above the target.
    pub invalid: u64,
    /// Not sent, because the source asks for more shares than anybody needs.
    pub withheld: u64,
    /// Sent or about to be, without an answer yet.
    pub pending: u64,
    /// Accepted ones that make a block.
    pub blocks: u64,
    /// Answers that came after their share had a verdict, and changed nothing.
    pub late: u64,
    /// The sum of the difficulties of the accepted ones.
    pub accepted_difficulty: f64,
    /// The same of the rejected ones.
    pub rejected_difficulty: f64,
    /// The same of the stale ones.
    pub stale_difficulty: f64,
}

#[derive(Debug, Default)]
struct Book {
    counts: Counts,
    /// The last job that had a block.
    solved: Option<JobId>,
    /// How many shares may go out now, and since when.
    allowance: f64,
    since: Option<Instant>,
}

impl Outbox {
    /// A share was found. `None` when it is withheld: its source asks for more shares than anybody needs.
    pub fn found(
        &mut self,
        share: &Share,
        difficulty: f64,
        is_block: bool,
        now: Instant,
    ) -> Option<(Ticket, Pending)> {
        let source = share.job.source;
        let is_full = self.pending.len() >= OUTBOX;
        let book = self.books.entry(source).or_default();
        book.counts.found += 1;
        // A block is worth more than any bound; a second one of its job is worth nothing.
        let is_first_block = is_block && book.solved.replace(share.job) != Some(share.job);
        if !is_first_block && (is_full || !book.may_send(now)) {
            book.counts.book(Verdict::Withheld);
            return None;
        }
        let ticket = Ticket(self.next);
        self.next += 1;
        book.counts.pending += 1;
        let pending = Pending { source, difficulty, is_block, found: now };
        self.pending.insert(ticket, pending);
        Some((ticket, pending))
    }

    /// A share ended. `None` when it had its verdict before, or is unknown; that is counted as late if
    /// `source` is known.
    pub fn close(&mut self, source: SourceId, ticket: Ticket, verdict: Verdict) -> Option<Pending> {
        let pending = self.pending.remove(&ticket);
        let counts = &mut self.books.entry(source).or_default().counts;
        let Some(pending) = pending else {
            counts.late += 1;
            return None;
        };
        counts.pending -= 1;
        counts.book(verdict);
        match verdict {
            Verdict::Accepted => {
                counts.accepted_difficulty += pending.difficulty;
                counts.blocks += u64::from(pending.is_block);
            }
            Verdict::Rejected => counts.rejected_difficulty += pending.difficulty,
            Verdict::Stale => counts.stale_difficulty += pending.difficulty,
            _ => {}
        }
        Some(pending)
    }

    /// The shares of a source.
    #[must_use]
    pub fn counts(&self, source: SourceId) -> Counts {
        self.books.get(&source).map(|book| book.counts).unwrap_or_default()
    }

    /// The shares of all sources.
    #[must_use]
    pub fn total(&self) -> Counts {
        self.books.values().fold(Counts::default(), |sum, book| sum.plus(&book.counts))
    }

    /// The tickets without a verdict.
    #[must_use]
    pub fn pending(&self) -> Vec<(Ticket, Pending)> {
        self.pending.iter().map(|(ticket, pending)| (*ticket, *pending)).collect()
    }
}

impl Counts {
    /// Whether every share found is in exactly one place.
    #[must_use]
    pub const fn is_balanced(&self) -> bool {
        self.found
            == self.accepted
                + self.rejected
                + self.stale
                + self.duplicate
                + self.expired
                + self.invalid
                + self.withheld
                + self.pending
    }

    fn book(&mut self, verdict: Verdict) {
        let count = match verdict {
            Verdict::Accepted => &mut self.accepted,
            Verdict::Duplicate => &mut self.duplicate,
            Verdict::Stale => &mut self.stale,
            Verdict::Rejected => &mut self.rejected,
            Verdict::Expired => &mut self.expired,
            Verdict::Invalid | Verdict::LowDifficulty => &mut self.invalid,
            Verdict::Withheld => &mut self.withheld,
        };
        *count += 1;
    }

    fn plus(self, other: &Self) -> Self {
        Self {
            found: self.found + other.found,
            accepted: self.accepted + other.accepted,
            rejected: self.rejected + other.rejected,
            stale: self.stale + other.stale,
            duplicate: self.duplicate + other.duplicate,
            expired: self.expired + other.expired,
            invalid: self.invalid + other.invalid,
            withheld: self.withheld + other.withheld,
            pending: self.pending + other.pending,
            blocks: self.blocks + other.blocks,
            late: self.late + other.late,
            accepted_difficulty: self.accepted_difficulty + other.accepted_difficulty,
            rejected_difficulty: self.rejected_difficulty + other.rejected_difficulty,
            stale_difficulty: self.stale_difficulty + other.stale_difficulty,
        }
    }
}

impl Book {
    /// A second's worth of shares may go at once, and then as many as time brings.
    fn may_send(&mut self, now: Instant) -> bool {
        let most = f64::from(SHARES_PER_SECOND);
        let elapsed =
            self.since.map_or(Duration::from_secs(1), |since| now.saturating_duration_since(since));
        self.since = Some(now);
        self.allowance = (self.allowance + elapsed.as_secs_f64() * most).min(most);
        let may = self.allowance >= 1.0;
        if may {
            self.allowance -= 1.0;
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use bitcoin::BlockHash;
    use bitcoin::hashes::Hash as _;
    use proptest::prelude::*;

    use super::*;
    use crate::chain::KNOWN_BLOCKS;

    fn share(source: u16, number: u32) -> Share {
        let mut bytes = [0; 32];
        bytes[..4].copy_from_slice(&number.to_le_bytes());
        let job = JobId { source: SourceId(source), serial: 1 };
        let header = KNOWN_BLOCKS[0].header().unwrap();
        Share { job, number, header, hash: BlockHash::from_byte_array(bytes) }
    }

    #[test]
    fn a_share_has_one_verdict_and_answers_after_that_are_late() {
        let (mut outbox, now) = (Outbox::default(), Instant::now());
        let (ticket, pending) = outbox.found(&share(0, 1), 2.5, true, now).unwrap();
        assert_eq!(outbox.counts(SourceId(0)).pending, 1);
        assert_eq!(outbox.close(SourceId(0), ticket, Verdict::Accepted), Some(pending));
        assert_eq!(outbox.close(SourceId(0), ticket, Verdict::Rejected), None);
        let counts = outbox.counts(SourceId(0));
        assert_eq!((counts.accepted, counts.rejected, counts.late, counts.blocks), (1, 0, 1, 1));
        assert!((counts.accepted_difficulty - 2.5).abs() < 1e-12 && counts.is_balanced());
    }

    #[test]
    fn the_difficulty_of_a_share_is_booked_with_its_verdict() {
        let (mut outbox, now) = (Outbox::default(), Instant::now());
        for (number, verdict) in
            (0..).zip([Verdict::Accepted, Verdict::Rejected, Verdict::Stale, Verdict::Expired])
        {
            let difficulty = f64::from(1 << number);
            let (ticket, _) = outbox.found(&share(0, number), difficulty, false, now).unwrap();
            outbox.close(SourceId(0), ticket, verdict);
        }
        let counts = outbox.counts(SourceId(0));
        let booked =
            [counts.accepted_difficulty, counts.rejected_difficulty, counts.stale_difficulty];
        assert_eq!(booked.map(f64::to_bits), [1.0_f64, 2.0, 4.0].map(f64::to_bits));
    }

    #[test]
    fn a_flood_is_withheld_and_counted_but_the_first_block_of_a_job_is_not() {
        let (mut outbox, now) = (Outbox::default(), Instant::now());
        for number in 0..SHARES_PER_SECOND * 2 {
            outbox.found(&share(0, number), 1.0, false, now);
        }
        let counts = outbox.total();
        let most = u64::from(SHARES_PER_SECOND);
        assert_eq!((counts.pending, counts.withheld), (most, most));
        assert!(outbox.found(&share(0, u32::MAX), 1.0, true, now).is_some());
        assert!(outbox.found(&share(0, u32::MAX - 1), 1.0, true, now).is_none());
        // A second later as many may go again, and not more than wait at once.
        for second in 1..10 {
            let now = now + Duration::from_secs(second);
            for number in 0..SHARES_PER_SECOND {
                let number = number + 1_000_000 * u32::try_from(second).unwrap();
                outbox.found(&share(0, number), 1.0, false, now);
            }
        }
        let counts = outbox.total();
        assert_eq!(counts.pending, OUTBOX as u64);
        assert!(counts.is_balanced(), "{counts:?}");
    }

    #[test]
    fn the_total_is_the_sum_of_the_sources() {
        let counts = |n: u64, half: f64| Counts {
            found: 36 * n,
            accepted: n,
            rejected: 2 * n,
            stale: 3 * n,
            duplicate: 4 * n,
            expired: 5 * n,
            invalid: 6 * n,
            withheld: 7 * n,
            pending: 8 * n,
            blocks: 9 * n,
            late: 10 * n,
            accepted_difficulty: half,
            rejected_difficulty: 2.0 * half,
            stale_difficulty: 4.0 * half,
        };
        let mut outbox = Outbox::default();
        for (source, n, half) in [(1, 2, 0.5), (2, 30, 7.5)] {
            let book = Book { counts: counts(n, half), ..Book::default() };
            outbox.books.insert(SourceId(source), book);
        }
        assert_eq!(outbox.total(), counts(32, 8.0));
        assert!(outbox.total().is_balanced());
        assert!(!Counts { found: 1, ..Counts::default() }.is_balanced());
    }

    proptest! {
        #[test]
        fn every_history_balances(steps in prop::collection::vec((0_u16..3, 0_u32..40, 0_u8..9), 0..300)) {
            let (mut outbox, now) = (Outbox::default(), Instant::now());
            let verdicts = [
                Verdict::Accepted, Verdict::Duplicate, Verdict::Stale, Verdict::LowDifficulty,
                Verdict::Rejected, Verdict::Expired, Verdict::Invalid, Verdict::Withheld,
            ];
            let mut sent: Vec<(SourceId, Ticket)> = Vec::new();
            for (source, number, what) in steps {
                match verdicts.get(usize::from(what)) {
                    None => if let Some((ticket, _)) = outbox.found(&share(source, number), 1.0, false, now) {
                        sent.push((SourceId(source), ticket));
                    },
                    Some(verdict) => if let Some((source, ticket)) = sent.get(number as usize) {
                        outbox.close(*source, *ticket, *verdict);
                    },
                }
                for source in 0..3 {
                    prop_assert!(outbox.counts(SourceId(source)).is_balanced());
                }
                let pending = outbox.pending().len() as u64;
                prop_assert_eq!(outbox.total().pending, pending);
            }
        }
    }
}
