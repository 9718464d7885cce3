//! The coinbase transaction: its extranonce, the height and commitment it carries, what it may pay.

use bitcoin::blockdata::script::{Builder, PushBytes};
use bitcoin::consensus::{deserialize, encode, serialize};
use bitcoin::hashes::Hash;
use bitcoin::opcodes::all::OP_RETURN;
use bitcoin::{Amount, Script, ScriptBuf, Transaction, Txid, WitnessMerkleNode};

use super::sha256d;

/// Longest coinbase script that consensus allows, in bytes; the shortest is 2.
///
/// Source: Bitcoin Core, `CheckTransaction` (`bad-cb-length`).
pub const MAX_SCRIPT_LEN: usize = 100;

/// Where a stripped coinbase's script starts: version 4, input count 1, null outpoint 36, length 1.
const SCRIPT_START: usize = 42;

/// What BIP 141 puts before the 32 bytes of a witness commitment.
const COMMITMENT_HEADER: [u8; 4] = [0xaa, 0x21, 0xa9, 0xed];

/// Why coinbase parts cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CoinbaseError {
    /// The extranonce is too long for a script.
    #[error(
        "an extranonce of {size} bytes does not fit a coinbase script, which has at most 100; \
        ask for a smaller one"
    )]
    Extranonce {
        /// Bytes of both extranonces together.
        size: usize,
    },
    /// The parts do not assemble to a transaction.
    #[error("the coinbase parts form no transaction; check their order and the extranonce sizes")]
    Transaction(#[source] encode::Error),
    /// The transaction has witnesses, so that its bytes do not hash to its id.
    #[error(
        "the coinbase parts hold witness data; send the transaction without marker and witness"
    )]
    Witness,
    /// The transaction is no coinbase.
    #[error("the transaction has {inputs} input(s); a coinbase has one, with a null outpoint")]
    NoCoinbase {
        /// Inputs of the transaction.
        inputs: usize,
    },
    /// The script is too short or too long.
    #[error("the coinbase script has {len} bytes; consensus allows 2 to 100")]
    Script {
        /// Bytes of the script.
        len: usize,
    },
    /// The place for the extranonce lies outside the script.
    #[error("{size} bytes from offset {at} lie outside the coinbase script of {len} bytes")]
    Place {
        /// First byte of the place.
        at: usize,
        /// Bytes of the place.
        size: usize,
        /// Bytes of the script.
        len: usize,
    },
    /// The extranonce2 has the wrong size.
    #[error("extranonce2 has {given} bytes; this coinbase takes {wanted}")]
    Extranonce2 {
        /// Bytes given.
        given: usize,
        /// Bytes of the gap.
        wanted: usize,
    },
}

/// A coinbase transaction, without witness, that lacks only its extranonce2.
///
/// With every extranonce2 of the right size it assembles to bytes whose SHA-256d is the transaction
/// id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CoinbaseParts {
    /// Everything before extranonce2, extranonce1 included.
    prefix: Vec<u8>,
    extranonce2_size: usize,
    suffix: Vec<u8>,
}

impl CoinbaseParts {
    /// Joins what a Stratum v1 pool sends: `mining.notify` has prefix and suffix (coinb1, coinb2),
    /// the answer to `mining.subscribe` has extranonce1 and the size of extranonce2 in bytes.
    ///
    /// # Errors
    ///
    /// When the extranonces exceed 100 bytes, or the whole is no coinbase without witness.
    pub fn new(
        prefix: &[u8],
        extranonce1: &[u8],
        extranonce2_size: usize,
        suffix: &[u8],
    ) -> Result<Self, CoinbaseError> {
        // Before anything of that size is allocated: a pool may name any number.
        let size = extranonce1.len().saturating_add(extranonce2_size);
        if size > MAX_SCRIPT_LEN {
            return Err(CoinbaseError::Extranonce { size });
        }
        let parts = Self {
            prefix: [prefix, extranonce1].concat(),
            extranonce2_size,
            suffix: suffix.to_vec(),
        };
        let bytes = parts.join(&vec![0; extranonce2_size]);
        check(&deserialize(&bytes).map_err(CoinbaseError::Transaction)?)?;
        Ok(parts)
    }

    /// Splits a coinbase around extranonce2: `size` bytes of its script from offset `at` on.
    ///
    /// A witness, as the block needs one, is left out.
    ///
    /// # Errors
    ///
    /// When the transaction is no coinbase, or the place lies outside its script.
    pub fn split(coinbase: &Transaction, at: usize, size: usize) -> Result<Self, CoinbaseError> {
        let mut stripped = coinbase.clone();
        stripped.input.iter_mut().for_each(|input| input.witness.clear());
        let len = check(&stripped)?;
        if at.saturating_add(size) > len {
            return Err(CoinbaseError::Place { at, size, len });
        }
        let bytes = serialize(&stripped);
        let (prefix, rest) = bytes.split_at(SCRIPT_START + at);
        let (_, suffix) = rest.split_at(size);
        Ok(Self { prefix: prefix.to_vec(), extranonce2_size: size, suffix: suffix.to_vec() })
    }

    /// Bytes of extranonce2, 0 to 100.
    #[must_use]
    pub const fn extranonce2_size(&self) -> usize {
        self.extranonce2_size
    }

    /// The height in the script, as far as it lies before extranonce2. See [`decode_height`].
    #[must_use]
    pub fn height(&self) -> Option<u32> {
        decode_height(Script::from_bytes(self.prefix.get(SCRIPT_START..)?))
    }

    /// The transaction's serialisation, without witness, for one extranonce2.
    ///
    /// # Errors
    ///
    /// When `extranonce2` has not [`extranonce2_size`](Self::extranonce2_size) bytes.
    pub fn assemble(&self, extranonce2: &[u8]) -> Result<Vec<u8>, CoinbaseError> {
        if extranonce2.len() != self.extranonce2_size {
            let (given, wanted) = (extranonce2.len(), self.extranonce2_size);
            return Err(CoinbaseError::Extranonce2 { given, wanted });
        }
        Ok(self.join(extranonce2))
    }

    /// The transaction's id for one extranonce2, made by the `sha2` crate alone.
    ///
    /// # Errors
    ///
    /// When `extranonce2` has not [`extranonce2_size`](Self::extranonce2_size) bytes.
    pub fn txid(&self, extranonce2: &[u8]) -> Result<Txid, CoinbaseError> {
        Ok(Txid::from_byte_array(sha256d(&self.assemble(extranonce2)?)))
    }

    /// The extranonce2 that counts to `number`, from 0.
    ///
    /// The lowest byte comes first and bytes that extranonce2 lacks are cut off, as in cgminer and what
    /// descends from it. A pool takes any order; it sees the bytes.
    #[must_use]
    pub fn numbered(&self, number: u64) -> Vec<u8> {
        let mut extranonce2 = number.to_le_bytes().to_vec();
        extranonce2.resize(self.extranonce2_size, 0);
        extranonce2
    }

    /// The transaction's id for the extranonce2 that counts to `number`. See [`numbered`](Self::numbered).
    #[must_use]
    pub fn numbered_txid(&self, number: u64) -> Txid {
        Txid::from_byte_array(sha256d(&self.join(&self.numbered(number))))
    }

    fn join(&self, extranonce2: &[u8]) -> Vec<u8> {
        [&self.prefix, extranonce2, &self.suffix].concat()
    }
}

/// The length in bytes of the script of what must be a coinbase without witness.
fn check(transaction: &Transaction) -> Result<usize, CoinbaseError> {
    let inputs = transaction.input.len();
    let [input] = transaction.input.as_slice() else {
        return Err(CoinbaseError::NoCoinbase { inputs });
    };
    if !input.previous_output.is_null() {
        return Err(CoinbaseError::NoCoinbase { inputs });
    }
    if !input.witness.is_empty() {
        return Err(CoinbaseError::Witness);
    }
    match input.script_sig.len() {
        len @ 2..=MAX_SCRIPT_LEN => Ok(len),
        len => Err(CoinbaseError::Script { len }),
    }
}

/// The start of a coinbase script: the shortest push of `height`, which is one opcode up to 16.
///
/// Consensus wants a script of two bytes or more, so up to height 16 something must follow.
/// Source: BIP 34, and Bitcoin Core's `CScript() << nHeight`.
#[must_use]
pub fn height_script(height: u32) -> ScriptBuf {
    Builder::new().push_int(i64::from(height)).into_script()
}

/// The height at the start of a coinbase script; `None` unless it is pushed as BIP 34 has it.
///
/// A block from before BIP 34 (main chain: below 227931) may start with any other number.
/// Source: Bitcoin Core, `ContextualCheckBlock` (`bad-cb-height`).
#[must_use]
pub fn decode_height(script: &Script) -> Option<u32> {
    let (&opcode, rest) = script.as_bytes().split_first()?;
    let height = match opcode {
        0x51..=0x60 => u32::from(opcode) - 0x50,
        0..=5 => {
            let number = rest.get(..usize::from(opcode))?;
            let number = number.iter().rev().fold(0, |n, byte| n << 8 | u64::from(*byte));
            u32::try_from(number).ok()?
        }
        _ => return None,
    };
    // Only one script stands for a height, which rules out signs and needless bytes.
    script.as_bytes().starts_with(height_script(height).as_bytes()).then_some(height)
}

/// The output script that commits to all witnesses: `OP_RETURN`, and 36 bytes.
///
/// `reserved` is the coinbase's own witness, 32 zeros by custom. Source: BIP 141.
#[must_use]
pub fn witness_commitment(witness_root: WitnessMerkleNode, reserved: &[u8; 32]) -> ScriptBuf {
    let digest = sha256d([witness_root.to_byte_array(), *reserved].as_flattened());
    let mut data = [0; 36];
    data[..4].copy_from_slice(&COMMITMENT_HEADER);
    data[4..].copy_from_slice(&digest);
    let data: &PushBytes = (&data).into();
    Builder::new().push_opcode(OP_RETURN).push_slice(data).into_script()
}

/// Whether an output script commits to all witnesses. Source: BIP 141.
#[must_use]
pub fn is_witness_commitment(script: &Script) -> bool {
    let [0x6a, 0x24, data @ ..] = script.as_bytes() else { return false };
    data.len() >= 36 && data.starts_with(&COMMITMENT_HEADER)
}

/// New coins of the block at `height`, without fees: 50 BTC, halved after every `halving_interval`
/// blocks.
///
/// The interval is 210000 on the main chain and 150 on regtest; at 0 nothing is ever halved.
/// Source: Bitcoin Core, `GetBlockSubsidy`.
#[must_use]
pub fn subsidy(height: u32, halving_interval: u32) -> Amount {
    let halvings = height.checked_div(halving_interval).unwrap_or(0);
    Amount::from_sat(Amount::from_int_btc(50).to_sat().checked_shr(halvings).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::chain::pool_jobs::{POOL_JOBS, PoolJob, unhex};
    use crate::chain::{block_hash, fold_branch, parse_header};

    fn parts(job: &PoolJob) -> CoinbaseParts {
        let (coinb1, extranonce1) = (unhex(job.coinb1), unhex(job.extranonce1));
        let size = job.extranonce2.len() / 2;
        CoinbaseParts::new(&coinb1, &extranonce1, size, &unhex(job.coinb2)).unwrap()
    }

    #[test]
    fn jobs_of_pools_lead_to_the_headers_they_accepted() {
        for job in POOL_JOBS {
            let parts = parts(&job);
            let extranonce2 = unhex(job.extranonce2);
            let root = fold_branch(parts.txid(&extranonce2).unwrap(), &job.branch());
            let header = parse_header(job.header).unwrap();
            assert_eq!(root, header.merkle_root);
            assert_eq!(block_hash(&header).to_string(), job.hash);
            assert_eq!(parts.height(), job.height);

            let bytes = parts.assemble(&extranonce2).unwrap();
            let transaction: Transaction = deserialize(&bytes).unwrap();
            assert_eq!(parts.txid(&extranonce2).unwrap(), transaction.compute_txid());
        }
    }

    // The block that Bitcoin Core 31.99 accepted on regtest at height 573.
    const COINBASE: &str = "020000000001010000000000000000000000000000000000000000000000\
        000000000000000000ffffffff0c023d02080556a1fc34c2e918ffffffff0240be4025000000001600141111\
        1111111111111111111111111111111111110000000000000000266a24aa21a9ede2f61c3f71d1defd3fa999\
        dfa36953755c690689799962b48bebd836974e8cf90120000000000000000000000000000000000000000000\
        000000000000000000000000000000";

    #[test]
    fn splits_a_coinbase_around_its_extranonce() {
        let coinbase: Transaction = deserialize(&unhex(COINBASE)).unwrap();
        let parts = CoinbaseParts::split(&coinbase, 4, 8).unwrap();
        assert_eq!(parts.extranonce2_size(), 8);
        assert_eq!(parts.height(), Some(573));
        let txid = parts.txid(&unhex("0556a1fc34c2e918")).unwrap();
        let expected = "fc941883c517214f73263fa3f85d2cb3f6988bacae08f53724d144df47799850";
        assert_eq!(txid.to_string(), expected);
        assert_ne!(parts.txid(&[0; 8]).unwrap(), txid);
        assert_eq!(parts.numbered_txid(0x18e9_c234_fca1_5605), txid, "the lowest byte comes first");
        let short = CoinbaseParts::split(&coinbase, 4, 2).unwrap();
        assert_eq!(short.numbered_txid(0xff_5605), txid, "what does not fit is cut off");
        let long = CoinbaseParts::split(&coinbase, 2, 10).unwrap();
        assert_eq!(long.numbered_txid(1), long.txid(&[1, 0, 0, 0, 0, 0, 0, 0, 0, 0]).unwrap());

        let outputs = &coinbase.output;
        assert_eq!(outputs[0].value, subsidy(573, 150));
        let commitment = witness_commitment(WitnessMerkleNode::all_zeros(), &[0; 32]);
        assert_eq!(outputs[1].script_pubkey, commitment);
    }

    #[test]
    fn refuses_parts_that_form_no_coinbase() {
        let new = |coinb1: &str, size, coinb2: &str| {
            let error = CoinbaseParts::new(&unhex(coinb1), &[], size, &unhex(coinb2)).unwrap_err();
            error.to_string()
        };
        assert!(new("", usize::MAX, "").starts_with("an extranonce of 18446744073709551615 bytes"));
        assert!(new("", 101, "").starts_with("an extranonce of 101 bytes does not fit"));
        assert!(new("", 4, "").starts_with("the coinbase parts form no transaction"));
        assert!(new(COINBASE, 0, "").starts_with("the coinbase parts hold witness data"));
        assert!(new(COINBASE, 0, "00").starts_with("the coinbase parts form no transaction"));

        let start = format!("01000000{}{}", "01", "00".repeat(32));
        let spends = format!("{start}000000000200");
        assert!(new(&spends, 1, "ffffffff0000000000").contains("a coinbase has one"));
        let short = format!("{start}ffffffff01");
        assert!(new(&short, 1, "ffffffff0000000000").contains("script has 1 bytes"));
        let long = format!("{start}ffffffff65{}", "00".repeat(100));
        assert!(new(&long, 1, "ffffffff0000000000").contains("script has 101 bytes"));
    }

    #[test]
    fn refuses_extranonces_of_another_size() {
        let coinbase: Transaction = deserialize(&unhex(COINBASE)).unwrap();
        let outside = CoinbaseParts::split(&coinbase, 5, 8).unwrap_err().to_string();
        assert_eq!(outside, "8 bytes from offset 5 lie outside the coinbase script of 12 bytes");
        assert!(CoinbaseParts::split(&coinbase, usize::MAX, 1).is_err());
        let parts = CoinbaseParts::split(&coinbase, 4, 8).unwrap();
        let error = parts.txid(&[0; 7]).unwrap_err().to_string();
        assert_eq!(error, "extranonce2 has 7 bytes; this coinbase takes 8");
        assert!(parts.assemble(&[0; 9]).is_err());
    }

    #[test]
    fn heights_as_core_pushes_them() {
        for (height, script) in [
            (0, "00"),
            (1, "51"),
            (16, "60"),
            (17, "0111"),
            (127, "017f"),
            (128, "028000"),
            (255, "02ff00"),
            (256, "020001"),
            (32_768, "03008000"),
            (227_931, "035b7a03"),
            (8_388_608, "0400008000"),
            (u32::MAX, "05ffffffff00"),
        ] {
            assert_eq!(height_script(height).to_hex_string(), script);
            let longer = unhex(&format!("{script}2f706f6f6c2f"));
            assert_eq!(decode_height(Script::from_bytes(&longer)), Some(height));
        }
    }

    #[test]
    fn other_scripts_hold_no_height() {
        // Nothing, cut short, -1 twice, 16 and 17 and 128 the long way, too large, another opcode.
        for script in [
            "",
            "02ff",
            "4f",
            "0181",
            "0110",
            "021100",
            "03800000",
            "050000000001",
            "06000000000000",
            "6a",
        ] {
            assert_eq!(decode_height(Script::from_bytes(&unhex(script))), None, "{script}");
        }
    }

    #[test]
    fn halvings_of_the_main_chain() {
        let coins = |height| subsidy(height, 210_000).to_sat();
        assert_eq!(coins(0), 5_000_000_000);
        assert_eq!(coins(209_999), 5_000_000_000);
        assert_eq!(coins(210_000), 2_500_000_000);
        assert_eq!(coins(840_000), 312_500_000);
        assert_eq!(coins(32 * 210_000), 1);
        assert_eq!(coins(33 * 210_000), 0);
        assert_eq!(subsidy(u32::MAX, 1).to_sat(), 0);
        assert_eq!(subsidy(u32::MAX, 0).to_sat(), 5_000_000_000);
        // Bitcoin Core, validation_tests.cpp, subsidy_limit_test: all coins there will ever be.
        let sum: u64 = (0..14_000_000).step_by(1000).map(|height| coins(height) * 1000).sum();
        assert_eq!(sum, 2_099_999_997_690_000);
    }

    proptest! {
        #[test]
        fn heights_come_back(height: u32) {
            prop_assert_eq!(decode_height(&height_script(height)), Some(height));
        }

        #[test]
        fn what_decodes_is_what_core_expects(script in prop::collection::vec(any::<u8>(), 0..8)) {
            if let Some(height) = decode_height(Script::from_bytes(&script)) {
                prop_assert!(script.starts_with(height_script(height).as_bytes()));
            }
        }

        #[test]
        fn no_parts_panic(
            prefix in prop::collection::vec(any::<u8>(), 0..80),
            extranonce1 in prop::collection::vec(any::<u8>(), 0..16),
            size in 0_usize..16,
            suffix in prop::collection::vec(any::<u8>(), 0..80),
        ) {
            if let Ok(parts) = CoinbaseParts::new(&prefix, &extranonce1, size, &suffix) {
                let _ = parts.height();
            }
        }
    }
}
