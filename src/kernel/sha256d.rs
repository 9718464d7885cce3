//! SHA-256 (FIPS 180-4) and Bitcoin's double SHA-256 of a header, written once over any [`Word`].

use crate::chain::SHA256_INITIAL as IV;

use super::word::{Name, Pass, Role, Sigma, Word};

/// The round constants, FIPS 180-4 §4.2.2.
#[rustfmt::skip]
pub const K: [u32; 64] = [
    0x428a_2f98, 0x7137_4491, 0xb5c0_fbcf, 0xe9b5_dba5, 0x3956_c25b, 0x59f1_11f1, 0x923f_82a4, 0xab1c_5ed5,
    0xd807_aa98, 0x1283_5b01, 0x2431_85be, 0x550c_7dc3, 0x72be_5d74, 0x80de_b1fe, 0x9bdc_06a7, 0xc19b_f174,
    0xe49b_69c1, 0xefbe_4786, 0x0fc1_9dc6, 0x240c_a1cc, 0x2de9_2c6f, 0x4a74_84aa, 0x5cb0_a9dc, 0x76f9_88da,
    0x983e_5152, 0xa831_c66d, 0xb003_27c8, 0xbf59_7fc7, 0xc6e0_0bf3, 0xd5a7_9147, 0x06ca_6351, 0x1429_2967,
    0x27b7_0a85, 0x2e1b_2138, 0x4d2c_6dfc, 0x5338_0d13, 0x650a_7354, 0x766a_0abb, 0x81c2_c92e, 0x9272_2c85,
    0xa2bf_e8a1, 0xa81a_664b, 0xc24b_8b70, 0xc76c_51a3, 0xd192_e819, 0xd699_0624, 0xf40e_3585, 0x106a_a070,
    0x19a4_c116, 0x1e37_6c08, 0x2748_774c, 0x34b0_bcb5, 0x391c_0cb3, 0x4ed8_aa4a, 0x5b9c_ca4f, 0x682e_6ff3,
    0x748f_82ee, 0x78a5_636f, 0x84c8_7814, 0x8cc7_0208, 0x90be_fffa, 0xa450_6ceb, 0xbef9_a3f7, 0xc671_78f2,
];

/// The compression function, FIPS 180-4 §6.2.2: one block of 16 big-endian words into the state.
#[expect(clippy::many_single_char_names, reason = "the names of FIPS 180-4")]
pub fn compress<W: Word>(initial: [W; 8], block: [W; 16], pass: Pass) -> [W; 8] {
    let mut schedule = [W::constant(0); 64];
    let mut state = initial;
    for (round, constant) in (0_u8..).zip(K) {
        let name = |role| Name { pass, round, role };
        let index = usize::from(round);
        schedule[index] = if let Some(word) = block.get(index) {
            *word
        } else {
            W::sum([
                schedule[index - 2].sigma(Sigma::Small1),
                schedule[index - 7],
                schedule[index - 15].sigma(Sigma::Small0),
                schedule[index - 16],
            ])
        }
        .named(name(Role::W));

        let [a, b, c, d, e, f, g, h] = state;
        let t1 =
            W::sum([h, e.sigma(Sigma::Big1), e.ch(f, g), W::constant(constant), schedule[index]])
                .named(name(Role::T));
        let new_e = W::sum([d, t1]).named(name(Role::E));
        let new_a = W::sum([t1, a.sigma(Sigma::Big0), a.maj(b, c)]).named(name(Role::A));
        state = [new_a, a, b, c, new_e, e, f, g];
    }
    std::array::from_fn(|i| W::sum([initial[i], state[i]]))
}

/// The double SHA-256 of a header from its midstate (the state after bytes 0..64), the three words of
/// bytes 64..76, and the nonce as the big-endian word of bytes 76..80.
///
/// The result is the digest as eight big-endian words. Explorers show its bytes in reverse, so word 7
/// holds the zeros that a target asks for.
pub fn sha256d<W: Word>(midstate: [W; 8], tail: [W; 3], nonce: W) -> [W; 8] {
    let [w0, w1, w2] = tail;
    let digest = compress(midstate, padded([w0, w1, w2, nonce], 80), Pass::First);
    compress(IV.map(W::constant), padded(digest, 32), Pass::Second)
}

/// The last block of a message of so many bytes: its last words, then the padding of FIPS 180-4 §5.1.1.
fn padded<W: Word, const N: usize>(last: [W; N], message_bytes: u32) -> [W; 16] {
    std::array::from_fn(|i| match last.get(i) {
        Some(word) => *word,
        None if i == N => W::constant(0x8000_0000),
        None if i == 15 => W::constant(message_bytes * 8),
        None => W::constant(0),
    })
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;

    /// SHA-256 of any message, on [`compress`] with `u32`.
    fn sha256(message: &[u8]) -> [u8; 32] {
        let mut padded = message.to_vec();
        padded.push(0x80);
        while padded.len() % 64 != 56 {
            padded.push(0);
        }
        padded.extend((message.len() as u64 * 8).to_be_bytes());
        let mut state = IV;
        for block in padded.chunks_exact(64) {
            state = compress(state, words(block), Pass::First);
        }
        bytes(state)
    }

    fn words<const N: usize>(bytes: &[u8]) -> [u32; N] {
        std::array::from_fn(|i| u32::from_be_bytes(bytes[4 * i..4 * i + 4].try_into().unwrap()))
    }

    fn bytes(words: [u32; 8]) -> [u8; 32] {
        std::array::from_fn(|i| words[i / 4].to_be_bytes()[i % 4])
    }

    fn hex(bytes: &[u8]) -> String {
        bitcoin::hex::DisplayHex::to_lower_hex_string(bytes)
    }

    #[test]
    fn nist_vectors() {
        // FIPS 180-2 appendix B and the NIST example page; the last is a million letters a.
        let million = vec![b'a'; 1_000_000];
        let vectors: [(&[u8], &str); 5] = [
            (b"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
            (b"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
            (
                b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
                "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
            ),
            (
                b"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu",
                "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1",
            ),
            (&million, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"),
        ];
        for (message, expected) in vectors {
            assert_eq!(hex(&sha256(message)), expected);
        }
    }

    #[test]
    fn equals_the_sha2_crate_on_100_000_random_headers() {
        let mut random = fastrand::Rng::with_seed(0x0ad1_7000);
        for _ in 0..100_000 {
            let mut header = [0_u8; 80];
            random.fill(&mut header);
            let midstate = compress(IV, words(&header[..64]), Pass::First);
            let [w0, w1, w2, w3] = words(&header[64..]);
            let digest = bytes(sha256d(midstate, [w0, w1, w2], w3));
            assert_eq!(
                digest[..],
                Sha256::digest(Sha256::digest(header))[..],
                "header {}",
                hex(&header)
            );
        }
    }
}
