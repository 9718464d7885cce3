//! The 80-byte block header: text, bytes, hash, and the words that SHA-256 sees.

use bitcoin::block::{Header, Version};
use bitcoin::hashes::Hash;
use bitcoin::{BlockHash, CompactTarget, TxMerkleNode};

use super::digest::SHA256_INITIAL;
use super::{hex, sha256d};

/// Bytes of a header: version 4, previous hash 32, merkle root 32, time 4, bits 4, nonce 4.
pub const HEADER_LEN: usize = 80;

/// The version bits that miners may roll. Source: BIP 320.
pub const VERSION_ROLLING_MASK: u32 = 0x1fff_e000;

/// The lowest `bits` of [`VERSION_ROLLING_MASK`]; all 16 when there are no more.
#[must_use]
pub const fn version_rolling_bits(bits: u32) -> u32 {
    match VERSION_ROLLING_MASK.checked_shl(bits) {
        Some(others) => VERSION_ROLLING_MASK & !others,
        None => VERSION_ROLLING_MASK,
    }
}

/// Why a text is no block header.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// A character is no hex digit.
    #[error(
        "{found:?} at position {at} is no hex digit; give a header as 160 hex digits, \
        without a prefix or spaces"
    )]
    Digit {
        /// The character.
        found: char,
        /// Its position in characters, from 1.
        at: usize,
    },
    /// The number of hex digits is wrong.
    #[error(
        "{digits} hex digits were given; give a whole header, which is 160 hex digits (80 bytes)"
    )]
    Length {
        /// Digits given.
        digits: usize,
    },
}

/// Reads a header from exactly 160 hex digits, as `bitcoin-cli getblockheader <hash> false` prints
/// them.
///
/// White space around the digits is ignored.
///
/// # Errors
///
/// When a character is no hex digit, or there are not 160 of them.
pub fn parse_header(text: &str) -> Result<Header, HeaderError> {
    let text = text.trim();
    if let Some((at, found)) = hex::bad_digit(text) {
        return Err(HeaderError::Digit { found, at });
    }
    let bytes = hex::bytes(text).ok_or(HeaderError::Length { digits: text.len() })?;
    Ok(header_from_bytes(&bytes))
}

/// Reads a header from its serialisation. Every 80 bytes are a header.
///
/// Source: Bitcoin Core, `CBlockHeader`.
#[must_use]
pub fn header_from_bytes(bytes: &[u8; HEADER_LEN]) -> Header {
    Header {
        version: Version::from_consensus(i32::from_le_bytes(field::<0, 4>(bytes))),
        prev_blockhash: BlockHash::from_byte_array(field::<4, 32>(bytes)),
        merkle_root: TxMerkleNode::from_byte_array(field::<36, 32>(bytes)),
        time: u32::from_le_bytes(field::<68, 4>(bytes)),
        bits: CompactTarget::from_consensus(u32::from_le_bytes(field::<72, 4>(bytes))),
        nonce: u32::from_le_bytes(field::<76, 4>(bytes)),
    }
}

/// The serialisation of `header`, which is what gets hashed.
#[must_use]
pub fn header_bytes(header: &Header) -> [u8; HEADER_LEN] {
    let mut bytes = [0; HEADER_LEN];
    bytes[..4].copy_from_slice(&header.version.to_consensus().to_le_bytes());
    bytes[4..36].copy_from_slice(&header.prev_blockhash.to_byte_array());
    bytes[36..68].copy_from_slice(&header.merkle_root.to_byte_array());
    bytes[68..72].copy_from_slice(&header.time.to_le_bytes());
    bytes[72..76].copy_from_slice(&header.bits.to_consensus().to_le_bytes());
    bytes[76..].copy_from_slice(&header.nonce.to_le_bytes());
    bytes
}

/// The block's hash: SHA-256 twice over the header, made by the `sha2` crate alone.
#[must_use]
pub fn block_hash(header: &Header) -> BlockHash {
    BlockHash::from_byte_array(sha256d(&header_bytes(header)))
}

/// SHA-256's state after the header's first 64 bytes, which the nonce does not touch.
#[must_use]
pub fn midstate(header: &Header) -> [u32; 8] {
    let mut state = SHA256_INITIAL;
    sha2::block_api::compress256(&mut state, &[field::<0, 64>(&header_bytes(header))]);
    state
}

/// The first three words of SHA-256's second block: the merkle root's last four bytes, time, bits.
///
/// Big-endian words of bytes 64 to 75. The fourth word is the nonce: `nonce.swap_bytes()`.
#[must_use]
pub fn tail(header: &Header) -> [u32; 3] {
    let bytes = header_bytes(header);
    [field::<64, 4>(&bytes), field::<68, 4>(&bytes), field::<72, 4>(&bytes)].map(u32::from_be_bytes)
}

/// The same header with another nonce.
#[must_use]
pub fn with_nonce(header: &Header, nonce: u32) -> Header {
    Header { nonce, ..*header }
}

/// `LEN` bytes from offset `AT`; a field outside the header does not compile.
fn field<const AT: usize, const LEN: usize>(bytes: &[u8; HEADER_LEN]) -> [u8; LEN] {
    const { assert!(AT + LEN <= HEADER_LEN) };
    std::array::from_fn(|i| bytes[AT + i])
}

#[cfg(test)]
mod tests {
    use bitcoin::consensus::encode::serialize_hex;
    use bitcoin::consensus::serialize;
    use bitcoin::hashes::{HashEngine, sha256};
    use proptest::prelude::*;

    use super::*;

    const GENESIS: &str = "0100000000000000000000000000000000000000000000000000000000000000\
        000000003ba3edfd7a7b12b27ac72c3e67768f617fc81bc3888a51323a9fb8aa4b1e5e4a29ab5f49ffff001d\
        1dac2b7c";

    #[test]
    fn reads_the_genesis_block() {
        let header = parse_header(&format!("  {GENESIS}\r\n")).unwrap();
        assert_eq!(header, bitcoin::constants::genesis_block(bitcoin::Network::Bitcoin).header);
        assert_eq!(
            block_hash(&header).to_string(),
            "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f"
        );
        assert_eq!(tail(&header), [0x4b1e_5e4a, 0x29ab_5f49, 0xffff_001d]);
        assert_eq!(parse_header(&GENESIS.to_uppercase()), Ok(header));
    }

    #[test]
    fn names_what_is_wrong_with_a_text() {
        let short = parse_header(&GENESIS[..158]).unwrap_err();
        assert_eq!(short, HeaderError::Length { digits: 158 });
        assert_eq!(
            short.to_string(),
            "158 hex digits were given; give a whole header, which is 160 hex digits (80 bytes)"
        );
        assert_eq!(parse_header(""), Err(HeaderError::Length { digits: 0 }));
        let long = format!("{GENESIS}0");
        assert_eq!(parse_header(&long), Err(HeaderError::Length { digits: 161 }));

        let prefixed = parse_header(&format!("0x{GENESIS}")).unwrap_err();
        assert_eq!(prefixed, HeaderError::Digit { found: 'x', at: 2 });
        assert!(prefixed.to_string().starts_with("'x' at position 2 is no hex digit"));
        let escape = parse_header("00\u{1b}").unwrap_err().to_string();
        assert!(escape.starts_with("'\\u{1b}' at position 3"), "control codes reach no terminal");
        let wide = "é".repeat(80); // 160 bytes of UTF-8
        assert_eq!(parse_header(&wide), Err(HeaderError::Digit { found: 'é', at: 1 }));
    }

    #[test]
    fn version_bits_are_taken_from_the_lowest() {
        let masks = [0, 1, 2, 15, 16, 17, 32, 99].map(version_rolling_bits);
        let all = VERSION_ROLLING_MASK;
        assert_eq!(masks, [0, 0x2000, 0x6000, 0x0fff_e000, all, all, all, all]);
    }

    #[test]
    fn agrees_with_a_published_midstate() {
        // cgminer and bfgminer, driver-icarus.c: the golden work of block 171874.
        let mut state = [
            0xe48f_544a,
            0x9a3a_fa71,
            0x4514_7113,
            0x4df6_c356,
            0x82b4_0025,
            0x4bfe_0860,
            0xc998_76bf,
            0x4679_ba4e,
        ];
        let hash = finish(&mut state, [0x2fa7_22ce, 0x1426_674f, 0x8732_0b1a], 0x0001_87a2);
        assert_eq!(
            hash.to_string(),
            "00000000000004b64108a8e4168cfaa890d62b8c061c6b74305b7f6cb2cf9fda"
        );
    }

    /// The rest of the double hash, from a midstate, a tail and the nonce's word.
    fn finish(state: &mut [u32; 8], [w0, w1, w2]: [u32; 3], w3: u32) -> BlockHash {
        let mut words = [0; 16];
        words[..5].copy_from_slice(&[w0, w1, w2, w3, 0x8000_0000]);
        words[15] = 640;
        compress(state, words);
        words = [0; 16];
        words[..8].copy_from_slice(state);
        words[8] = 0x8000_0000;
        words[15] = 256;
        *state = SHA256_INITIAL;
        compress(state, words);
        let mut digest = [0; 32];
        for (bytes, word) in digest.chunks_mut(4).zip(state) {
            bytes.copy_from_slice(&word.to_be_bytes());
        }
        BlockHash::from_byte_array(digest)
    }

    fn compress(state: &mut [u32; 8], words: [u32; 16]) {
        let mut block = [0; 64];
        for (bytes, word) in block.chunks_mut(4).zip(words) {
            bytes.copy_from_slice(&word.to_be_bytes());
        }
        sha2::block_api::compress256(state, &[block]);
    }

    fn any_header() -> impl Strategy<Value = Header> {
        prop::collection::vec(any::<u8>(), HEADER_LEN)
            .prop_map(|bytes| header_from_bytes(&bytes.try_into().unwrap()))
    }

    proptest! {
        #[test]
        fn text_and_bytes_come_back(header in any_header()) {
            let bytes = header_bytes(&header);
            prop_assert_eq!(bytes.as_slice(), serialize(&header));
            prop_assert_eq!(header_from_bytes(&bytes), header);
            let text = serialize_hex(&header);
            prop_assert_eq!(parse_header(&text), Ok(header));
        }

        #[test]
        fn hash_and_midstate_agree_with_bitcoin_hashes(header in any_header()) {
            prop_assert_eq!(block_hash(&header), header.block_hash());
            let mut engine = sha256::Hash::engine();
            engine.input(&header_bytes(&header)[..64]);
            let words: Vec<u8> = midstate(&header).iter().flat_map(|w| w.to_be_bytes()).collect();
            prop_assert_eq!(words.as_slice(), engine.midstate().to_byte_array());
        }

        #[test]
        fn midstate_tail_and_nonce_are_all_that_a_kernel_needs(header in any_header(), nonce: u32) {
            let hash = finish(&mut midstate(&header), tail(&header), nonce.swap_bytes());
            prop_assert_eq!(hash, block_hash(&with_nonce(&header, nonce)));
        }

        #[test]
        fn no_text_panics(text in "\\PC*") {
            let _ = parse_header(&text);
        }
    }
}
