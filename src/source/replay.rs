//! Replays real blocks: each is a job whose nonce is not told, and whose answer the chain knows.

use std::time::Duration;

use bitcoin::BlockHash;
use fastrand::Rng;

use crate::chain::{HeaderError, KNOWN_BLOCKS, KnownBlock, with_nonce};
use crate::limits::NONCES_PER_HEADER;
use crate::work::{Job, JobId, Nonces, Share};

/// What a job should take at most. A device that cannot scan a whole header in this time gets a window.
const JOB_TIME: Duration = Duration::from_secs(10);

/// Smallest window: less says nothing about a device.
const SMALLEST_WINDOW: u64 = 1 << 20;

/// The built-in blocks, over and over.
#[derive(Debug)]
pub struct Replay {
    random: Rng,
    speed: f64,
    window: u64,
    next: usize,
}

/// A block to find again.
#[derive(Debug, Clone)]
pub struct ReplayJob {
    /// The block.
    pub block: KnownBlock,
    /// Its hash on the chain.
    pub hash: BlockHash,
    /// The work: the header without its nonce.
    pub job: Job,
}

impl Replay {
    /// For devices that test `hashes_per_second` together. Windows are placed at random, from `random`.
    #[must_use]
    pub fn new(hashes_per_second: f64, random: Rng) -> Self {
        let wanted = hashes_per_second.max(0.0) * JOB_TIME.as_secs_f64();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "an estimate above zero; the cast saturates"
        )]
        let window = (wanted as u64).clamp(SMALLEST_WINDOW, NONCES_PER_HEADER);
        Self { random, speed: hashes_per_second, window, next: 0 }
    }

    /// Nonces of each job.
    #[must_use]
    pub const fn window(&self) -> u64 {
        self.window
    }

    /// How long all nonces of a header would take.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "2^32 is exact")]
    pub fn whole_header_time(&self) -> Duration {
        Duration::try_from_secs_f64(NONCES_PER_HEADER as f64 / self.speed).unwrap_or(Duration::MAX)
    }

    /// How many blocks there are before they repeat.
    #[must_use]
    pub const fn len() -> usize {
        KNOWN_BLOCKS.len()
    }

    /// The next block.
    ///
    /// # Errors
    ///
    /// When the built-in table is damaged, which a test excludes.
    pub fn next_job(&mut self) -> Result<ReplayJob, HeaderError> {
        let block = KNOWN_BLOCKS[self.next % KNOWN_BLOCKS.len()];
        self.next += 1;
        let header = block.header()?;
        let job = Job {
            id: JobId(self.next as u64),
            header: with_nonce(&header, 0),
            target: header.target(),
            nonces: Nonces::around(header.nonce, self.random.u64(0..self.window), self.window),
        };
        Ok(ReplayJob { block, hash: header.block_hash(), job })
    }
}

impl ReplayJob {
    /// Whether the job is less than a whole header.
    #[must_use]
    pub fn is_window(&self) -> bool {
        self.job.nonces != Nonces::ALL
    }

    /// Whether a share is the block of the chain.
    #[must_use]
    pub fn is_solved_by(&self, share: &Share) -> bool {
        share.hash == self.hash
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fast_device_searches_whole_headers_and_a_slow_one_a_window_that_holds_the_nonce() {
        for (speed, whole) in [(0.0, false), (1e6, false), (f64::NAN, false), (1e12, true)] {
            let mut replay = Replay::new(speed, Rng::with_seed(1));
            for block in KNOWN_BLOCKS {
                let job = replay.next_job().unwrap();
                assert_eq!(job.block.hash, block.hash);
                assert_eq!(job.hash.to_string(), block.hash);
                assert_eq!(job.job.header.nonce, 0, "the nonce is not told");
                assert!(job.job.nonces.contains(block.header().unwrap().nonce));
                assert_eq!(job.is_window(), !whole, "{speed}");
                assert!(job.job.nonces.len() >= SMALLEST_WINDOW);
            }
            assert_eq!(replay.next_job().unwrap().block.hash, KNOWN_BLOCKS[0].hash, "they repeat");
        }
    }

    #[test]
    fn the_nonce_lies_anywhere_in_its_window() {
        let nonce = u64::from(KNOWN_BLOCKS[0].header().unwrap().nonce);
        let offsets: Vec<u64> = (0..200)
            .map(|seed| {
                let mut replay = Replay::new(1e6, Rng::with_seed(seed));
                nonce - replay.next_job().unwrap().job.nonces.start()
            })
            .collect();
        let window = 10_000_000;
        assert!(offsets.iter().any(|offset| *offset < window / 10));
        assert!(offsets.iter().any(|offset| *offset > window - window / 10));
    }
}
