//! The one place where a candidate becomes a hash.

use bitcoin::BlockHash;
use bitcoin::hashes::Hash;

use super::Batch;
use crate::chain;

/// Why a device's hit is no candidate. Each one is a hardware, driver or compiler error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadHit {
    /// The nonce was not in the batch.
    #[error("nonce {nonce:#010x} lies outside the batch {nonces}", nonces = .nonces)]
    Outside {
        /// The nonce reported.
        nonce: u32,
        /// The nonces asked for.
        nonces: super::Nonces,
    },
    /// The hash does not pass the batch's filter.
    #[error(
        "nonce {nonce:#010x} hashes to {hash}, which lacks the {bits} leading zero bits asked for"
    )]
    Filtered {
        /// The nonce reported.
        nonce: u32,
        /// Its true hash.
        hash: BlockHash,
        /// Leading zero bits asked for.
        bits: u32,
    },
}

/// Hashes `nonce` with the `sha2` crate, which shares no code with the kernels.
///
/// # Errors
///
/// When the nonce is not in the batch, or its hash does not pass the batch's filter.
pub fn verify(batch: &Batch, nonce: u32) -> Result<BlockHash, BadHit> {
    if !batch.nonces.contains(nonce) {
        return Err(BadHit::Outside { nonce, nonces: batch.nonces });
    }
    let hash = chain::block_hash(&chain::with_nonce(&batch.job.header, nonce));
    let [.., a, b, c, d] = hash.to_byte_array();
    if batch.filter.passes(u32::from_be_bytes([a, b, c, d])) {
        Ok(hash)
    } else {
        Err(BadHit::Filtered { nonce, hash, bits: batch.filter.bits() })
    }
}
