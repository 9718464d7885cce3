//! Bitcoin arithmetic without input or output: headers, targets, merkle trees, coinbases, and a
//! table of known blocks.
//!
//! Types come from the `bitcoin` crate. Every hash is made by the `sha2` crate, so that what is
//! checked here shares no code with what the GPU kernels are derived from. Hashes of blocks and
//! transactions are kept as they come out of SHA-256, and printed in reverse, as explorers do.

pub mod blocks;
pub mod coinbase;
mod digest;
pub mod header;
mod hex;
pub mod merkle;
pub mod payout;
#[cfg(test)]
pub(crate) mod pool_jobs;
pub mod target;

pub use blocks::{KNOWN_BLOCKS, KnownBlock, is_version_rolled};
pub use coinbase::{
    CoinbaseError, CoinbaseParts, decode_height, height_script, is_witness_commitment, subsidy,
    witness_commitment,
};
pub use digest::{SHA256_INITIAL, sha256d};
pub use header::{
    HEADER_LEN, HeaderError, VERSION_ROLLING_MASK, block_hash, header_bytes, header_from_bytes,
    midstate, parse_header, tail, version_rolling_bits, with_nonce,
};
pub use merkle::{branch_of_coinbase, fold_branch, root as merkle_root, witness_root};
pub use target::{
    TargetError, decode_bits, difficulty, hash_difficulty, leading_zero_bits, meets, parse_target,
    target_of_difficulty,
};
