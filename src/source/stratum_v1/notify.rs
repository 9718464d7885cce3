//! Jobs as a pool announces them: `mining.notify`, and the extranonce that goes into them.

use bitcoin::block::{Header, Version};
use bitcoin::hashes::Hash;
use bitcoin::{BlockHash, CompactTarget, Target, TxMerkleNode};

use super::wire::{Json, Nonsense};
use crate::chain::{self, CoinbaseParts};
use crate::limits::{COINBASE_PART, EXTRANONCE1, EXTRANONCE2, MERKLE_BRANCH, POOL_JOB_ID};

/// What makes the coinbases of a session its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Extranonce {
    /// The pool's part, extranonce1.
    pub(super) first: Vec<u8>,
    /// Bytes of ours, extranonce2.
    pub(super) size: usize,
}

/// Why an extranonce cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ExtranonceError {
    #[error("its extranonce1 is not hex digits of 0 to {EXTRANONCE1} bytes")]
    First,
    #[error("the size of its extranonce2 is {0}; 0 to {EXTRANONCE2} bytes can be rolled")]
    Size(i64),
    #[error("the size of its extranonce2 is not a whole number of bytes")]
    NoSize,
}

impl Extranonce {
    pub(super) fn parse(first: &Json<'_>, size: &Json<'_>) -> Result<Self, ExtranonceError> {
        let first = first.data(EXTRANONCE1).ok_or(ExtranonceError::First)?;
        let Json::Integer(size) = *size else { return Err(ExtranonceError::NoSize) };
        let fits = usize::try_from(size).ok().filter(|size| *size <= EXTRANONCE2);
        Ok(Self { first, size: fits.ok_or(ExtranonceError::Size(size))? })
    }
}

/// A job as announced, every field of it valid.
#[derive(Debug)]
pub(super) struct Notify {
    /// The pool's name for it.
    pub(super) name: String,
    /// Whether shares of earlier jobs are worthless.
    pub(super) clean: bool,
    /// Without merkle root and nonce.
    pub(super) header: Header,
    /// What the header's bits stand for.
    pub(super) block_target: Target,
    pub(super) parts: CoinbaseParts,
    pub(super) branch: Vec<TxMerkleNode>,
}

impl Notify {
    /// Reads the parameters of `mining.notify`; what follows the ninth is ignored.
    pub(super) fn parse(params: &[Json<'_>], extranonce: &Extranonce) -> Result<Self, Nonsense> {
        let [name, previous, coinb1, coinb2, branch, version, bits, time, clean, ..] = params
        else {
            return Err(field("mining.notify", "of 9 parameters"));
        };
        let name = name.text().filter(|name| (1..=POOL_JOB_ID).contains(&name.len()));
        let name = name.ok_or(field("a job's name", "text of 1 to 256 bytes"))?.to_owned();
        let Json::Bool(clean) = *clean else {
            return Err(field("a job's clean flag", "true or false"));
        };
        let bits = CompactTarget::from_consensus(word(bits, "a job's bits")?);
        let block_target = chain::decode_bits(bits).map_err(Nonsense::Bits)?;
        let header = Header {
            version: Version::from_consensus(word(version, "a job's version")?.cast_signed()),
            prev_blockhash: previous_block(previous)?,
            merkle_root: TxMerkleNode::all_zeros(),
            time: word(time, "a job's time")?,
            bits,
            nonce: 0,
        };
        let branch = merkle_branch(branch)?;
        let [coinb1, coinb2] = [coinb1, coinb2].map(|part| part.data(COINBASE_PART));
        let (Some(coinb1), Some(coinb2)) = (coinb1, coinb2) else {
            return Err(field("a part of a coinbase", "hex digits of up to 100000 bytes"));
        };
        let Extranonce { first, size } = extranonce;
        let parts = CoinbaseParts::new(&coinb1, first, *size, &coinb2)?;
        Ok(Self { name, clean, header, block_target, parts, branch })
    }
}

/// Stratum sends the words of the header in their order, but the bytes of each word in reverse.
fn previous_block(json: &Json<'_>) -> Result<BlockHash, Nonsense> {
    let bytes = json.bytes::<32>();
    let mut bytes = bytes.ok_or(field("a job's previous block", "64 hex digits"))?;
    bytes.as_chunks_mut::<4>().0.iter_mut().for_each(|word| word.reverse());
    Ok(BlockHash::from_byte_array(bytes))
}

fn merkle_branch(json: &Json<'_>) -> Result<Vec<TxMerkleNode>, Nonsense> {
    let wrong = || field("a job's merkle branch", "a list of up to 64 times 64 hex digits");
    let Json::Array(nodes) = json else { return Err(wrong()) };
    if nodes.len() > MERKLE_BRANCH {
        return Err(wrong());
    }
    let node = |node: &Json<'_>| node.bytes().map(TxMerkleNode::from_byte_array).ok_or_else(wrong);
    nodes.iter().map(node).collect()
}

fn word(json: &Json<'_>, what: &'static str) -> Result<u32, Nonsense> {
    json.bytes().map(u32::from_be_bytes).ok_or(field(what, "8 hex digits"))
}

pub(super) const fn field(what: &'static str, wanted: &'static str) -> Nonsense {
    Nonsense::Field { what, wanted }
}
