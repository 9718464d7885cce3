//! What a benchmark hashes: headers that a seed decides, and the parts whose hits every device must agree
//! on.

use std::sync::Arc;

use bitcoin::block::{Header, Version};
use bitcoin::hashes::Hash as _;
use bitcoin::hex::DisplayHex as _;
use bitcoin::{BlockHash, CompactTarget, TxMerkleNode};
use sha2::{Digest as _, Sha256};

use crate::chain::{self, KNOWN_BLOCKS};
use crate::device::speed::endless_job;
use crate::work::{Filter, Headers, Hit, Job, JobId, Nonces, Region, Rolls};

/// Fewest hashes of a fixed range: less is over before it can be measured.
pub const FEWEST_HASHES: u64 = 1 << 20;

/// Most hashes of a fixed range: all nonces of all versions of one header.
pub const MOST_HASHES: u64 = 1 << 48;

/// Headers side by side in the proof: as many as the widest kernel needs.
const PROOF_HEADERS: u64 = crate::limits::VERLANE_FEWEST_HEADERS as u64;

/// Real blocks in the proof.
const PROOF_BLOCKS: usize = 4;

/// The work of a benchmark.
#[derive(Debug, Clone)]
pub struct Workload {
    seed: u64,
    /// Headers for years, each with all its nonces.
    pub job: Job,
}

/// A region of a job, and what to look for in it.
#[derive(Debug, Clone)]
pub struct Part {
    /// The job.
    pub job: Arc<Job>,
    /// The hashes.
    pub region: Region,
    /// What a hit is.
    pub filter: Filter,
}

impl Workload {
    /// The work of a seed. Who has the seed has the headers.
    ///
    /// # Errors
    ///
    /// Never: the headers are numbered alike for all seeds.
    pub fn new(seed: u64) -> Result<Self, String> {
        let digest = |what: &str| -> [u8; 32] {
            Sha256::digest(format!("adit bench, seed {seed}, {what}")).into()
        };
        let header = Header {
            version: Version::from_consensus(0x2000_0000),
            prev_blockhash: BlockHash::from_byte_array(digest("previous block")),
            merkle_root: TxMerkleNode::from_byte_array(digest("merkle root")),
            time: 1_700_000_000,
            bits: CompactTarget::from_consensus(0x1d00_ffff),
            nonce: 0,
        };
        let job = endless_job(header).map_err(|error| error.to_string())?;
        Ok(Self { seed, job })
    }

    /// A part that takes any device about a second at most: many hits by an easy target, and then, for the
    /// very test that is timed, the solutions of real blocks among other versions and nonces of theirs.
    #[must_use]
    pub fn proof(&self) -> Vec<Part> {
        let easy = Region {
            headers: Headers::ALL.split_at(PROOF_HEADERS).0,
            nonces: Nonces::ALL.split_at(1 << 14).0,
        };
        let job = Arc::new(self.job.clone());
        let mut parts = vec![Part { job, region: easy, filter: Filter::new(13) }];
        let mut blocks: Vec<_> = KNOWN_BLOCKS.iter().collect();
        fastrand::Rng::with_seed(self.seed).shuffle(&mut blocks);
        parts.extend(
            blocks.into_iter().filter_map(|block| solved(&block.header().ok()?)).take(PROOF_BLOCKS),
        );
        parts
    }

    /// A range of at least so many hashes, and no more than its shape needs: headers and nonces so that
    /// narrow and wide kernels both find room. `None` outside [`FEWEST_HASHES`] to [`MOST_HASHES`].
    #[must_use]
    pub fn range(&self, hashes: u64) -> Option<Part> {
        if !(FEWEST_HASHES..=MOST_HASHES).contains(&hashes) {
            return None;
        }
        let per_roll = u64::from(self.job.rolls.per_roll());
        let headers = (1 << (hashes.ilog2() / 3)).clamp(PROOF_HEADERS, per_roll);
        let nonces = Nonces::ALL.split_at(hashes.div_ceil(headers)).0;
        let region = Region { headers: Headers::ALL.split_at(headers).0, nonces };
        Some(Part { job: Arc::new(self.job.clone()), region, filter: Filter::WORD })
    }
}

/// A real block's header among other versions of it, with the nonces around its own.
fn solved(header: &Header) -> Option<Part> {
    let mask = chain::version_rolling_bits(PROOF_HEADERS.ilog2());
    let rolls = Rolls::new(*header, mask, 1, None).ok()?;
    let nonces = Nonces::around(header.nonce, 1234, 1 << 12);
    let job = Job { id: JobId::only(0), rolls, target: header.target(), nonces };
    let region = job.space();
    Some(Part { job: Arc::new(job), region, filter: Filter::WORD })
}

impl Part {
    /// Cuts it by nonces into `count` pieces of about the same size. All have hashes as long as there are
    /// nonces enough.
    #[must_use]
    pub fn pieces(&self, count: u64) -> Vec<Self> {
        let (mut rest, mut pieces) = (self.region.nonces, Vec::new());
        for left in (1..=count.max(1)).rev() {
            let (nonces, after) = rest.split_at(rest.len().div_ceil(left));
            rest = after;
            let region = Region { nonces, ..self.region };
            pieces.push(Self { region, ..self.clone() });
        }
        pieces.retain(|piece| !piece.region.is_empty());
        pieces
    }
}

/// SHA-256 over parts and their hits: for each part the 80 bytes of its first header with nonce 0, the
/// mask of the versions, first header, end of headers, first nonce, end of nonces, leading zero bits of a
/// hit, and the number of hits, each as 8 bytes, little endian; then each hit in ascending order, header
/// and nonce as 4 bytes.
#[derive(Debug, Clone, Default)]
pub struct Checksum(Sha256);

impl Checksum {
    /// Adds a part with its hits in ascending order.
    pub fn add(&mut self, part: &Part, hits: &[Hit]) {
        let Part { job, region, filter } = part;
        self.0.update(chain::header_bytes(&chain::with_nonce(&job.rolls.header(0), 0)));
        for number in [
            job.rolls.version_mask().into(),
            region.headers.start(),
            region.headers.end(),
            region.nonces.start(),
            region.nonces.end(),
            filter.bits().into(),
            hits.len() as u64,
        ] {
            self.0.update(number.to_le_bytes());
        }
        for hit in hits {
            self.0.update(hit.header.to_le_bytes());
            self.0.update(hit.nonce.to_le_bytes());
        }
    }

    /// Of checksums, in hex, one after the other.
    #[must_use]
    pub fn of_texts(checksums: &[String]) -> String {
        Sha256::digest(checksums.concat()).to_lower_hex_string()
    }

    /// In hex.
    #[must_use]
    pub fn hex(self) -> String {
        self.0.finalize().to_lower_hex_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::work::{Batch, verify};

    fn work(seed: u64) -> Workload {
        Workload::new(seed).unwrap()
    }

    #[test]
    fn a_seed_decides_the_headers() {
        assert_eq!(work(1).job, work(1).job);
        assert_ne!(work(1).job.rolls.header(0), work(2).job.rolls.header(0));
    }

    #[test]
    fn the_proof_has_the_solutions_of_real_blocks() {
        let parts = work(7).proof();
        assert_eq!(parts.len(), 1 + PROOF_BLOCKS);
        let hashes: u64 = parts.iter().map(|part| part.region.len()).sum();
        assert_eq!(hashes, 1 << 24);
        for Part { job, region, filter } in parts.into_iter().skip(1) {
            let solved = KNOWN_BLOCKS.iter().find_map(|block| {
                let header = block.header().unwrap();
                let is_its = header.merkle_root == job.rolls.header(0).merkle_root;
                is_its.then(|| Hit {
                    header: job.rolls.number_of(header.version).unwrap(),
                    nonce: header.nonce,
                })
            });
            let batch = Batch { job, region, filter };
            assert!(verify(&batch, solved.unwrap()).is_ok());
        }
    }

    #[test]
    fn a_range_has_the_hashes_asked_for_and_its_pieces_cover_it() {
        for hashes in [FEWEST_HASHES, 10_000_001, 1 << 36, 100_000_000_000, MOST_HASHES] {
            let range = work(1).range(hashes).unwrap();
            let headers = range.region.headers.len();
            assert!(range.region.len() >= hashes && range.region.len() - hashes < headers);
            assert!(range.job.rolls.are_of_one_roll(range.region.headers));
            let pieces = range.pieces(30);
            assert_eq!(pieces.len(), 30);
            let mut next = 0;
            for piece in pieces {
                assert_eq!(piece.region.nonces.start(), next);
                assert_eq!(piece.region.headers, range.region.headers);
                next = piece.region.nonces.end();
            }
            assert_eq!(next, range.region.nonces.end());
        }
        assert!(work(1).range(FEWEST_HASHES - 1).is_none());
        assert!(work(1).range(MOST_HASHES + 1).is_none());
    }

    #[test]
    fn a_checksum_depends_on_every_hit_and_on_the_range() {
        let part = work(1).range(FEWEST_HASHES).unwrap();
        let hits = [Hit { header: 1, nonce: 2 }, Hit { header: 3, nonce: 4 }];
        let of = |part: &Part, hits: &[Hit]| {
            let mut sum = Checksum::default();
            sum.add(part, hits);
            sum.hex()
        };
        let all = [
            of(&part, &hits),
            of(&part, &hits[..1]),
            of(&part, &[hits[1], hits[0]]),
            of(&Part { filter: Filter::new(9), ..part.clone() }, &hits),
            of(&part.pieces(2)[0], &hits),
            of(&work(2).range(FEWEST_HASHES).unwrap(), &hits),
        ];
        let different: std::collections::HashSet<_> = all.iter().collect();
        assert_eq!(different.len(), all.len());
        assert_eq!(of(&part, &hits), all[0]);
    }
}
