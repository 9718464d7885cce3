//! Replays real blocks: each is a job whose nonce and rolled version bits are not told, and whose answer the
//! chain knows.

use std::time::Duration;

use bitcoin::BlockHash;
use fastrand::Rng;

use crate::chain::{
    self, HeaderError, KNOWN_BLOCKS, KnownBlock, is_version_rolled, version_rolling_bits,
};
use crate::limits::NONCES_PER_HEADER;
use crate::work::{Job, JobId, Nonces, Rolls, RollsError, Share};

/// What a job should take at most. A device that cannot scan as many hashes as a header has in this time gets a window.
const JOB_TIME: Duration = Duration::from_secs(10);

/// Smallest window: less says nothing about a device.
const SMALLEST_WINDOW: u64 = 1 << 20;

/// The built-in blocks, over and over.
#[derive(Debug)]
pub struct Replay {
    random: Rng,
    speed: f64,
    window: u64,
    /// What rolls in blocks whose version was rolled.
    version_mask: u32,
    next: usize,
}

/// Why there is no next block: the built-in table is damaged, which a test excludes.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// An entry is no header.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// An entry cannot roll.
    #[error(transparent)]
    Rolls(#[from] RollsError),
}

/// A block to find again.
#[derive(Debug, Clone)]
pub struct ReplayJob {
    /// The block.
    pub block: KnownBlock,
    /// Its hash on the chain.
    pub hash: BlockHash,
    /// The work: the header without its nonce and its rolled version bits.
    pub job: Job,
}

impl Replay {
    /// For devices that test `hashes_per_second` together, the widest of which takes `widest` headers at
    /// once. Windows are placed at random, from `random`.
    #[must_use]
    pub fn new(hashes_per_second: f64, widest: u32, random: Rng) -> Self {
        let wanted = hashes_per_second.max(0.0) * JOB_TIME.as_secs_f64();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "an estimate above zero; the cast saturates"
        )]
        let window = (wanted as u64).clamp(SMALLEST_WINDOW, NONCES_PER_HEADER);
        // Without wide devices some bits roll all the same: it is what mining is.
        let bits = if widest > 1 { widest.ilog2() } else { 2 };
        let version_mask = version_rolling_bits(bits);
        Self { random, speed: hashes_per_second, window, version_mask, next: 0 }
    }

    /// Hashes of each job, as nearly as whole nonces of all its headers come to it.
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
    /// [`ReplayError`], which does not happen.
    pub fn next_job(&mut self) -> Result<ReplayJob, ReplayError> {
        let block = KNOWN_BLOCKS[self.next % KNOWN_BLOCKS.len()];
        self.next += 1;
        let header = block.header()?;
        let mask = if is_version_rolled(&header) { self.version_mask } else { 0 };
        let rolls = Rolls::new(chain::with_nonce(&header, 0), mask, 1, None)?;
        let length = (self.window / rolls.all().len()).max(1);
        let job = Job {
            id: JobId::only(self.next as u64),
            rolls,
            target: header.target(),
            nonces: Nonces::around(header.nonce, self.random.u64(0..length), length),
        };
        Ok(ReplayJob { block, hash: header.block_hash(), job })
    }
}

impl ReplayJob {
    /// Whether the job has less than all nonces of its headers.
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
    fn a_fast_device_searches_whole_headers_and_a_slow_one_a_window_that_holds_the_answer() {
        for (speed, whole) in [(0.0, false), (1e6, false), (f64::NAN, false), (1e12, true)] {
            for widest in [1, 2, 64, 100, 1 << 16] {
                let mut replay = Replay::new(speed, widest, Rng::with_seed(1));
                for block in KNOWN_BLOCKS {
                    let replayed = replay.next_job().unwrap();
                    assert_eq!(
                        (replayed.block.hash, replayed.hash),
                        (block.hash, block.hash().unwrap())
                    );
                    check(&replayed, widest, replay.window());
                    let rolls = &replayed.job.rolls;
                    assert_eq!(replayed.is_window(), !whole || rolls.all().len() > 1, "{speed}");
                }
                assert_eq!(
                    replay.next_job().unwrap().block.hash,
                    KNOWN_BLOCKS[0].hash,
                    "they repeat"
                );
            }
        }
    }

    /// The answer is not told, and lies among as many hashes as there shall be.
    fn check(ReplayJob { block, hash, job }: &ReplayJob, widest: u32, window: u64) {
        let (header, first) = (block.header().unwrap(), job.rolls.header(0));
        assert_eq!(first.nonce, 0, "the nonce is not told");
        let headers = job.rolls.all().len();
        if is_version_rolled(&header) {
            assert!(headers >= 2 && (widest == 1 || headers * 2 > widest.into()));
            let bits = first.version.to_consensus().cast_unsigned() & job.rolls.version_mask();
            assert_eq!(bits, 0, "the rolled bits are not told");
        } else {
            assert_eq!((headers, first.version), (1, header.version));
        }
        let number = job.rolls.number_of(header.version).unwrap();
        let hit = crate::work::Hit { header: number, nonce: header.nonce };
        assert!(job.space().contains(hit));
        assert_eq!(chain::block_hash(&job.header(hit)), *hash);
        let hashes = job.space().len();
        assert!(hashes <= window && hashes + headers > window && window >= SMALLEST_WINDOW);
    }

    #[test]
    fn the_nonce_lies_anywhere_in_its_window() {
        let nonce = u64::from(KNOWN_BLOCKS[0].header().unwrap().nonce);
        let offsets: Vec<u64> = (0..200)
            .map(|seed| {
                let mut replay = Replay::new(1e6, 1, Rng::with_seed(seed));
                nonce - replay.next_job().unwrap().job.nonces.start()
            })
            .collect();
        let window = 10_000_000;
        assert!(offsets.iter().any(|offset| *offset < window / 10));
        assert!(offsets.iter().any(|offset| *offset > window - window / 10));
    }
}
