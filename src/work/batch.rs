//! One piece of work for a device, and what the device says of it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bitcoin::Target;

use super::{Hit, Job, Region};
use crate::chain;
use crate::limits::HITS_PER_BATCH;

/// What a device looks for: this many leading zero bits in the hash as explorers show it.
///
/// At most 32, because devices test one word, digest word 7. The job's target decides the rest on the
/// CPU. A filter is never stricter than the target it was made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Filter(u8);

impl Filter {
    /// Digest word 7 is zero: every target of difficulty 1 or more.
    pub const WORD: Self = Self(32);

    /// `bits` leading zero bits; more than 32 count as 32.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "below 32")]
    pub const fn new(bits: u32) -> Self {
        Self(if bits < 32 { bits as u8 } else { 32 })
    }

    /// The strictest filter that lets every hash at or below `target` pass.
    #[must_use]
    pub fn for_target(target: &Target) -> Self {
        Self::new(chain::leading_zero_bits(target))
    }

    /// Leading zero bits, 0 to 32.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.0 as u32
    }

    /// The bits of digest word 7 (a big-endian word) that must be zero.
    #[must_use]
    pub const fn mask(self) -> u32 {
        match self.0 {
            0 => 0,
            bits => (u32::MAX << (32 - bits as u32)).swap_bytes(),
        }
    }

    /// Whether a digest whose last word is `word7` passes.
    #[must_use]
    pub const fn passes(self, word7: u32) -> bool {
        word7 & self.mask() == 0
    }

    /// Largest batch whose hits are expected to fill a quarter of the report: overflow stays rare.
    #[must_use]
    pub const fn batch_cap(self) -> u64 {
        (HITS_PER_BATCH as u64 / 4) << self.0
    }
}

/// A region of a job for one device, which cuts it into batches.
#[derive(Debug, Clone)]
pub struct Assignment {
    /// The job.
    pub job: Arc<Job>,
    /// The hashes, held by the device from now on.
    pub region: Region,
    /// What to look for.
    pub filter: Filter,
    /// Most hashes in a batch, so that its hits fit a report.
    pub batch_cap: u64,
}

/// One piece of a job for one device.
#[derive(Debug, Clone)]
pub struct Batch {
    /// The job it is cut from.
    pub job: Arc<Job>,
    /// The hashes to test, a part of the job's.
    pub region: Region,
    /// What to look for.
    pub filter: Filter,
}

impl Batch {
    /// How many of its hashes pass the filter on average.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "an average")]
    pub fn expected_candidates(&self) -> f64 {
        self.region.len() as f64 / (1_u64 << self.filter.bits()) as f64
    }
}

/// A device's report on one batch. Its hits are candidates: only [`super::verify`] makes a hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scan {
    /// The region of the batch.
    pub region: Region,
    /// Hashes that pass the filter, in any order, as far as the device is right.
    pub hits: Vec<Hit>,
    /// How much of the batch the report vouches for.
    pub coverage: Coverage,
    /// Time the device spent on it, by the host's clock.
    pub elapsed: Duration,
    /// The same by the device's own clock, where it has one and was asked to use it.
    pub on_device: Option<DeviceSpan>,
}

/// From when to when a device worked on a batch, by its own clock, whose zero means nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceSpan {
    /// When the first of its work began.
    pub begun: Duration,
    /// When the last of it ended.
    pub ended: Duration,
}

/// How much of its batch a scan vouches for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Coverage {
    /// Every hash was tested and every hit reported.
    Full,
    /// More hits than a report holds: the region must be split and scanned again.
    Overflow {
        /// Hits counted, kept or not.
        found: u64,
    },
    /// The device cannot prove that it tested every hash.
    Partial {
        /// What was wrong with the report.
        why: String,
    },
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} leading zero bits", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mask_covers_the_leading_bits_of_the_displayed_hash() {
        assert_eq!(Filter::new(0).mask(), 0);
        assert_eq!(Filter::new(1).mask(), 0x0000_0080);
        assert_eq!(Filter::new(8).mask(), 0x0000_00ff);
        assert_eq!(Filter::new(9).mask(), 0x0000_80ff);
        assert_eq!(Filter::new(31).mask(), 0xfeff_ffff);
        assert_eq!(Filter::WORD.mask(), u32::MAX);
        assert_eq!(Filter::new(200), Filter::WORD);
    }

    #[test]
    fn a_filter_is_never_stricter_than_its_target() {
        for shift in 0..=255_u32 {
            let mut bytes = [0_u8; 32];
            bytes[31 - shift as usize / 8] = 1 << (shift % 8);
            let target = Target::from_be_bytes(bytes);
            // The largest hash that meets the target is the target itself.
            let word7 = u32::from_be_bytes(bytes[..4].try_into().unwrap()).swap_bytes();
            let filter = Filter::for_target(&target);
            assert!(filter.passes(word7), "2^{shift}");
            assert_eq!(filter.bits(), (255 - shift).min(32));
        }
    }

    #[test]
    fn the_hits_of_the_largest_batch_fill_a_quarter_of_a_report_on_average() {
        for bits in [0, 1, 8, 32] {
            let filter = Filter::new(bits);
            assert_eq!(filter.batch_cap() >> filter.bits() << 2, HITS_PER_BATCH as u64, "{bits}");
        }
    }
}
