//! The hash of everything in Bitcoin.

use sha2::{Digest, Sha256};

/// Initial hash value of SHA-256 (FIPS 180-4, section 5.3.3).
pub const SHA256_INITIAL: [u32; 8] = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];

/// SHA-256 twice over `bytes`, in the order SHA-256 emits them (explorers print the reverse).
///
/// Source: Bitcoin Core, `CHash256`.
#[must_use]
pub fn sha256d(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(Sha256::digest(bytes)).into()
}

#[cfg(test)]
mod tests {
    use bitcoin::hashes::{Hash, sha256d};
    use proptest::prelude::*;

    #[test]
    fn hashes_the_word_hello() {
        // The example of the Bitcoin wiki's page on protocol documentation.
        let expected = "9595c9df90075148eb06860365df33584b75bff782a510c6cd4883a419833d50";
        let digest = super::sha256d(b"hello");
        assert_eq!(super::super::hex::bytes(expected), Some(digest));
    }

    proptest! {
        #[test]
        fn agrees_with_bitcoin_hashes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(super::sha256d(&bytes), sha256d::Hash::hash(&bytes).to_byte_array());
        }
    }
}
