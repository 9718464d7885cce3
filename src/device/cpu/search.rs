//! The double hash over a range of nonces, through the `sha2` crate.

use std::slice;

use bitcoin::block::Header;
use sha2::block_api::compress256;

use crate::chain::{self, SHA256_INITIAL};
use crate::limits::HITS_PER_BATCH;
use crate::work::{Batch, Filter, Nonces};

/// All that the nonces of one header share.
#[derive(Debug, Clone, Copy)]
pub(super) struct Search {
    /// SHA-256's state after the header's first 64 bytes.
    midstate: [u32; 8],
    /// The header's second block, padded, with a nonce of zero.
    head: [u8; 64],
    filter: Filter,
}

/// What a range of nonces held.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// The first hits, in order, [`HITS_PER_BATCH`] at most.
    pub(super) hits: Vec<u32>,
    /// All hits, kept or not.
    pub(super) count: u64,
}

impl Search {
    /// For the header of that number.
    pub(super) fn new(batch: &Batch, header: u32) -> Self {
        let header = batch.job.rolls.header(header);
        let (midstate, head) = (chain::midstate(&header), second_block(&header));
        Self { midstate, head, filter: batch.filter }
    }

    /// Tests every nonce of `nonces`.
    ///
    /// [`LANES`] nonces advance together, and each buffer is filled long before it is read: a processor
    /// waits when 16 bytes are loaded right after 4 of them were stored, which costs a fifth of the rate.
    pub(super) fn scan(&self, nonces: Nonces) -> Found {
        let mut found = Found::default();
        let mut heads = [self.head; LANES];
        let mut bodies = [BODY; LANES];
        let mut first = nonces.first();
        set_nonces(&mut heads, first);
        for _ in 0..nonces.len().div_ceil(LANES as u64) {
            let mut states = [self.midstate; LANES];
            for (state, head) in states.iter_mut().zip(&heads) {
                compress256(state, slice::from_ref(head));
            }
            // Wraps in the last group of a header, whose successor is never hashed.
            let next = first.wrapping_add(STEP);
            set_nonces(&mut heads, next);
            for (body, state) in bodies.iter_mut().zip(&states) {
                set_words(body, state);
            }
            for (nonce, body) in lanes(first).zip(&bodies) {
                let mut digest = SHA256_INITIAL;
                compress256(&mut digest, slice::from_ref(body));
                // The last group may reach past the end of the range.
                if self.filter.passes(digest[7]) && nonces.contains(nonce) {
                    found.add(nonce);
                }
            }
            first = next;
        }
        found
    }
}

impl Found {
    fn add(&mut self, nonce: u32) {
        self.count += 1;
        if self.hits.len() < HITS_PER_BATCH {
            self.hits.push(nonce);
        }
    }
}

/// Nonces hashed together. Two suffice on processors with SHA instructions; more than four gain nothing.
const LANES: usize = 4;

/// [`LANES`] as a distance between nonces.
#[expect(clippy::cast_possible_truncation, reason = "four")]
const STEP: u32 = LANES as u32;

/// The one block of the second hash: room for the first digest, then the padding of a 32-byte message.
const BODY: [u8; 64] = padded([0; 64], 32, 32);

/// Bytes 64 to 75 of the header, a nonce of zero, and the padding of an 80-byte message.
fn second_block(header: &Header) -> [u8; 64] {
    let bytes = chain::header_bytes(&chain::with_nonce(header, 0));
    let mut block = [0; 64];
    block[..16].copy_from_slice(&bytes[64..]);
    padded(block, 16, 80)
}

/// Ends a message of `length` bytes in this block, of which it fills `used` bytes, at most 55.
const fn padded(mut block: [u8; 64], used: usize, length: u16) -> [u8; 64] {
    block[used] = 0x80;
    [block[62], block[63]] = (length * 8).to_be_bytes();
    block
}

/// The nonces of the group that begins at `first`.
fn lanes(first: u32) -> impl Iterator<Item = u32> {
    (0..STEP).map(move |lane| first.wrapping_add(lane))
}

fn set_nonces(heads: &mut [[u8; 64]; LANES], first: u32) {
    for (head, nonce) in heads.iter_mut().zip(lanes(first)) {
        head[12..16].copy_from_slice(&nonce.to_le_bytes());
    }
}

fn set_words(block: &mut [u8; 64], words: &[u32; 8]) {
    for (bytes, word) in block.as_chunks_mut().0.iter_mut().zip(words) {
        *bytes = word.to_be_bytes();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bitcoin::Target;
    use proptest::prelude::*;

    use super::*;
    use crate::chain::{HEADER_LEN, KNOWN_BLOCKS, header_from_bytes};
    use crate::work::{Hit, Job, JobId, Region, Rolls, verify};

    fn batch(header: Header, nonces: Nonces, bits: u32) -> Batch {
        let job =
            Job { id: JobId::only(0), rolls: Rolls::one(header), target: Target::MAX, nonces };
        let region = Region::first_header(nonces);
        Batch { job: Arc::new(job), region, filter: Filter::new(bits) }
    }

    /// What a plain loop over the whole headers finds.
    fn plainly(batch: &Batch) -> Vec<u32> {
        let hits = batch.region.iter().filter(|&hit| verify(batch, hit).is_ok());
        hits.map(|Hit { nonce, .. }| nonce).collect()
    }

    #[test]
    fn every_known_block_is_found_from_any_side() {
        for block in KNOWN_BLOCKS {
            let header = block.header().unwrap();
            for (before, length) in [(0, 1), (0, 9), (8, 9), (1, 2), (500, 1001)] {
                let batch = batch(header, Nonces::around(header.nonce, before, length), 32);
                let expected = plainly(&batch);
                let found = Search::new(&batch, 0).scan(batch.region.nonces);
                assert_eq!(found.hits, expected, "{} {}", block.height, batch.region);
            }
        }
    }

    #[test]
    fn the_neighbours_of_a_range_are_not_its_hits() {
        let header = KNOWN_BLOCKS[0].header().unwrap();
        let nonce = u64::from(header.nonce);
        for length in 1..=2 * LANES as u64 + 1 {
            let ahead = Nonces::new(nonce - length, nonce).unwrap();
            let behind = Nonces::new(nonce + 1, nonce + 1 + length).unwrap();
            for nonces in [ahead, behind] {
                let search = Search::new(&batch(header, nonces, 32), 0);
                assert_eq!(search.scan(nonces), Found::default(), "{nonces}");
            }
        }
    }

    #[test]
    fn the_last_nonce_of_a_header_does_not_wrap_into_the_first() {
        let header = KNOWN_BLOCKS[0].header().unwrap();
        for length in [0, 1, 2, 3, 4, 5, 63, 64, 65] {
            let nonces = Nonces::new((1 << 32) - length, 1 << 32).unwrap();
            let batch = batch(header, nonces, 0);
            let found = Search::new(&batch, 0).scan(nonces);
            assert_eq!(found.hits, nonces.iter().collect::<Vec<_>>());
            assert_eq!(found.count, length);
        }
    }

    #[test]
    fn hits_beyond_a_report_are_counted() {
        let header = KNOWN_BLOCKS[0].header().unwrap();
        let kept = HITS_PER_BATCH as u64;
        for length in [kept - 1, kept, kept + 1, 10 * kept] {
            let nonces = Nonces::new(7, 7 + length).unwrap();
            let found = Search::new(&batch(header, nonces, 0), 0).scan(nonces);
            assert_eq!(found.count, length);
            assert_eq!(found.hits.len() as u64, length.min(kept));
        }
    }

    proptest! {
        #[test]
        fn agrees_with_a_plain_loop(
            bytes in prop::collection::vec(any::<u8>(), HEADER_LEN),
            start in any::<u32>(),
            length in 0_u64..200,
            bits in 0_u32..10,
        ) {
            let header = header_from_bytes(&bytes.try_into().unwrap());
            let batch = batch(header, Nonces::around(start, 0, length), bits);
            let expected = plainly(&batch);
            let found = Search::new(&batch, 0).scan(batch.region.nonces);
            prop_assert_eq!(found.count, expected.len() as u64);
            prop_assert_eq!(found.hits, expected);
        }
    }
}
