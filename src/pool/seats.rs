//! What outlives a connection: a session's extranonce1 and the jobs that it was given.

use std::collections::VecDeque;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::time::Instant;

use bitcoin::hex::DisplayHex as _;

use super::jobs::Job;
use super::judge::{Book, Judgement, Submission};
use crate::limits::{POOL_RESUME, POOL_SESSIONS};

/// A session, with or without a connection.
pub(super) struct Seat {
    /// The name under which it can be resumed.
    pub(super) id: String,
    pub(super) extranonce2_size: usize,
    /// Whether it had a connection before.
    pub(super) is_resumed: bool,
    extranonce1: Vec<u8>,
    book: Book,
}

impl Seat {
    /// In hex, as the miner reads it.
    pub(super) fn extranonce1(&self) -> String {
        self.extranonce1.to_lower_hex_string()
    }

    pub(super) fn give(&mut self, job: Arc<Job>, difficulty: f64) {
        self.book.give(job, &self.extranonce1, self.extranonce2_size, difficulty);
    }

    pub(super) fn judge(&mut self, submission: &Submission, mask: u32) -> Judgement {
        self.book.judge(submission, mask)
    }

    /// Whether it is time for another job.
    pub(super) fn is_full(&self) -> bool {
        self.book.is_full()
    }
}

/// Hands seats out, and keeps those that lost their connection.
pub(super) struct Seats {
    /// Bytes of extranonce1 and extranonce2.
    sizes: [usize; 2],
    /// Extranonces given out.
    count: u32,
    /// Nobody can guess another's session.
    secret: RandomState,
    /// Without connection, since when; the longest first.
    free: VecDeque<(Instant, Seat)>,
}

impl Seats {
    pub(super) fn new(sizes: [usize; 2]) -> Self {
        Self { sizes, count: 0, secret: RandomState::new(), free: VecDeque::new() }
    }

    /// The seat that is `wanted`, if it is free, else a new one.
    pub(super) fn take(&mut self, wanted: Option<&str>) -> Seat {
        let place = self.free.iter().position(|(_, seat)| Some(seat.id.as_str()) == wanted);
        if let Some((_, seat)) = place.and_then(|place| self.free.remove(place)) {
            return Seat { is_resumed: true, ..seat };
        }
        let extranonce1 = self.extranonce1();
        Seat {
            id: format!("{:016x}", self.secret.hash_one(self.count)),
            extranonce2_size: self.sizes[1],
            is_resumed: false,
            extranonce1,
            book: Book::default(),
        }
    }

    /// Gives a seat another extranonce1, for the jobs to come.
    pub(super) fn move_extranonce(&mut self, seat: &mut Seat) {
        seat.extranonce1 = self.extranonce1();
    }

    /// Keeps a seat that lost its connection.
    pub(super) fn keep(&mut self, seat: Seat, now: Instant) {
        if self.free.len() >= POOL_SESSIONS {
            self.free.pop_front();
        }
        self.free.push_back((now, seat));
    }

    /// Drops seats that nobody came back for.
    pub(super) fn expire(&mut self, now: Instant) {
        self.free.retain(|(since, _)| now.saturating_duration_since(*since) < POOL_RESUME);
    }

    /// The next number; the lowest byte is the last.
    fn extranonce1(&mut self) -> Vec<u8> {
        self.count = self.count.wrapping_add(1);
        let mut bytes: Vec<u8> = self.count.to_le_bytes().to_vec();
        bytes.resize(self.sizes[0], 0);
        bytes.reverse();
        bytes
    }
}
