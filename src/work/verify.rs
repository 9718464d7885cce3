//! The one place where a candidate becomes a hash.

use bitcoin::BlockHash;
use bitcoin::hashes::Hash;

use super::{Batch, Hit, Region};
use crate::chain;

/// Why a device's hit is no candidate. Each one is a hardware, driver or compiler error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadHit {
    /// The hit was not in the batch.
    #[error("nonce {:#010x} of header {} lies outside the batch, {region}", .hit.nonce, .hit.header)]
    Outside {
        /// The hit reported.
        hit: Hit,
        /// The hashes asked for.
        region: Region,
    },
    /// The hash does not pass the batch's filter.
    #[error(
        "nonce {nonce:#010x} of version {version:#010x} hashes to {hash}, which lacks the {bits} leading \
        zero bits asked for"
    )]
    Filtered {
        /// The version of the header reported.
        version: u32,
        /// The nonce reported.
        nonce: u32,
        /// Their true hash.
        hash: BlockHash,
        /// Leading zero bits asked for.
        bits: u32,
    },
}

/// Hashes a hit with the `sha2` crate, which shares no code with the kernels.
///
/// # Errors
///
/// When the hit is not in the batch, or its hash does not pass the batch's filter.
pub fn verify(batch: &Batch, hit: Hit) -> Result<BlockHash, BadHit> {
    if !batch.region.contains(hit) {
        return Err(BadHit::Outside { hit, region: batch.region });
    }
    let header = batch.job.header(hit);
    let hash = chain::block_hash(&header);
    let [.., a, b, c, d] = hash.to_byte_array();
    if batch.filter.passes(u32::from_be_bytes([a, b, c, d])) {
        Ok(hash)
    } else {
        let version = header.version.to_consensus().cast_unsigned();
        let (nonce, bits) = (hit.nonce, batch.filter.bits());
        Err(BadHit::Filtered { version, nonce, hash, bits })
    }
}
