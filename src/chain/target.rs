//! Targets: the numbers that a block hash must not exceed.

use bitcoin::hashes::Hash as _;
use bitcoin::{BlockHash, CompactTarget, Target};

use super::hex;

/// Why a target cannot be used.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TargetError {
    /// A character is no hex digit.
    #[error(
        "{found:?} at position {at} is no hex digit; give a target as 64 hex digits, \
        or as 8 (compact bits)"
    )]
    Digit {
        /// The character.
        found: char,
        /// Its position in characters, from 1.
        at: usize,
    },
    /// The number of hex digits is wrong.
    #[error(
        "{digits} hex digits were given; give a target as 64 hex digits, or as 8 (compact bits)"
    )]
    Length {
        /// Digits given, without the prefix.
        digits: usize,
    },
    /// The target is zero.
    #[error(
        "target {given} is zero, which no hash can be expected to meet; give one of at least 1"
    )]
    Zero {
        /// The digits given.
        given: String,
    },
    /// Compact bits with a sign.
    #[error("compact bits {bits:#010x} are negative; clear bit 0x00800000, or use a longer length")]
    Negative {
        /// The compact bits.
        bits: u32,
    },
    /// Compact bits above 2^256.
    #[error(
        "compact bits {bits:#010x} exceed 256 bits; \
        lower the first byte, which is the value's length in bytes"
    )]
    Overflow {
        /// The compact bits.
        bits: u32,
    },
    /// A difficulty that is not a finite number above zero.
    #[error(
        "difficulty {difficulty:?} is not a finite number above zero; give one such as 1 or 0.001"
    )]
    Difficulty {
        /// The difficulty.
        difficulty: f64,
    },
    /// A difficulty whose target is zero.
    #[error(
        "difficulty {difficulty:?} leaves a target of zero; give at most 1.7668e67 (65535 * 2^208)"
    )]
    TooDifficult {
        /// The difficulty.
        difficulty: f64,
    },
}

/// The target that a header's compact bits stand for.
///
/// The first byte is the number's length in bytes, the other three are its first bytes, with a sign
/// in the top bit. Whether the target is within a network's own limit is not checked.
/// Source: Bitcoin Core, `arith_uint256::SetCompact` and `CheckProofOfWork`.
///
/// # Errors
///
/// When the target is zero, negative, or above 256 bits.
pub fn decode_bits(bits: CompactTarget) -> Result<Target, TargetError> {
    let bits = bits.to_consensus();
    let [length, first, second, third] = bits.to_be_bytes();
    let mut value = [0; 32];
    let mut overflow = false;
    // A length below 3 cuts the last bytes off, as Core's right shift does.
    for (place, byte) in (0..length).rev().zip([first & 0x7f, second, third]) {
        match value.get_mut(usize::from(place)) {
            Some(slot) => *slot = byte,
            None => overflow |= byte != 0,
        }
    }
    if value == [0; 32] && !overflow {
        return Err(TargetError::Zero { given: format!("{bits:08x}") });
    }
    if first & 0x80 != 0 {
        return Err(TargetError::Negative { bits });
    }
    if overflow {
        return Err(TargetError::Overflow { bits });
    }
    Ok(Target::from_le_bytes(value))
}

/// Reads a target: 64 hex digits as explorers show a hash, or 8 hex digits of compact bits.
///
/// White space around the digits is ignored, and a prefix `0x` is allowed.
///
/// # Errors
///
/// When the text is neither, or the target is zero, negative or above 256 bits.
pub fn parse_target(text: &str) -> Result<Target, TargetError> {
    let text = text.trim();
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")).unwrap_or(text);
    if let Some((at, found)) = hex::bad_digit(digits) {
        return Err(TargetError::Digit { found, at: at + text.len() - digits.len() });
    }
    if let Some(bits) = hex::bytes(digits) {
        return decode_bits(CompactTarget::from_consensus(u32::from_be_bytes(bits)));
    }
    match hex::bytes(digits).map(Target::from_be_bytes) {
        None => Err(TargetError::Length { digits: digits.len() }),
        Some(Target::ZERO) => Err(TargetError::Zero { given: digits.to_owned() }),
        Some(target) => Ok(target),
    }
}

/// The target of a share of `difficulty`: 65535 × 2^208 / `difficulty`, rounded down, exact to the
/// last bit.
///
/// `difficulty` counts as the exact binary value that the `f64` holds: the one nearest to 0.1, say.
/// Below about 2^-32 the quotient has more than 256 bits, and the target is 2^256 - 1, which every
/// hash meets.
/// Source: Stratum `mining.set_difficulty`, with Bitcoin Core's `GetDifficulty` as the unit.
///
/// # Errors
///
/// When `difficulty` is not a finite number above zero, or is so high that the target is zero.
pub fn target_of_difficulty(difficulty: f64) -> Result<Target, TargetError> {
    if !difficulty.is_finite() || difficulty <= 0.0 {
        return Err(TargetError::Difficulty { difficulty });
    }
    // difficulty = mantissa * 2^(exponent - 1075), so the quotient is 65535 * 2^shift / mantissa.
    let bits = difficulty.to_bits();
    let (fraction, exponent) = (bits & ((1 << 52) - 1), bits >> 52);
    let mantissa = if exponent == 0 { fraction } else { fraction | 1 << 52 };
    let Some(shift) = (208 + 1075_u64).checked_sub(exponent.max(1)) else {
        return Err(TargetError::TooDifficult { difficulty });
    };

    // Long division in base 256: the remainder stays below 2^53, so a step fits 61 bits.
    let head = (0xffff_u32 << (shift % 8)).to_be_bytes();
    let mut quotient = [0; 32];
    let mut remainder = 0;
    for byte in head.into_iter().chain((0..shift / 8).map(|_| 0)) {
        if quotient[0] != 0 {
            return Ok(Target::from_be_bytes([0xff; 32]));
        }
        let dividend = remainder << 8 | u64::from(byte);
        let [digit, ..] = (dividend / mantissa).to_le_bytes();
        remainder = dividend % mantissa;
        quotient.rotate_left(1);
        quotient[31] = digit;
    }
    match Target::from_be_bytes(quotient) {
        Target::ZERO => Err(TargetError::TooDifficult { difficulty }),
        target => Ok(target),
    }
}

/// How many times harder `target` is than 65535 × 2^208; infinite for a target of zero.
///
/// Right to about 15 digits. Source: Bitcoin Core, `GetDifficulty`.
#[must_use]
pub fn difficulty(target: &Target) -> f64 {
    target.difficulty_float()
}

/// The difficulty of the hardest target that `hash` meets; infinite for a hash of zero.
#[must_use]
pub fn hash_difficulty(hash: &BlockHash) -> f64 {
    difficulty(&Target::from_le_bytes(hash.to_byte_array()))
}

/// Whether `hash`, read as a little-endian number of 256 bits, is at most `target`.
///
/// Source: Bitcoin Core, `CheckProofOfWork`.
#[must_use]
pub fn meets(hash: &BlockHash, target: &Target) -> bool {
    target.is_met_by(*hash)
}

/// Leading zero bits, 0 to 256, that every hash at or below `target` has, as explorers show it.
#[must_use]
pub fn leading_zero_bits(target: &Target) -> u32 {
    let mut bits = 0;
    for byte in target.to_be_bytes() {
        bits += byte.leading_zeros();
        if byte != 0 {
            break;
        }
    }
    bits
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bits(bits: u32) -> Result<Target, TargetError> {
        decode_bits(CompactTarget::from_consensus(bits))
    }

    /// The target whose first hex digits are given; zeros follow.
    fn starts(digits: &str) -> Target {
        parse_target(&format!("{digits:0<64}")).unwrap()
    }

    /// The target whose last hex digits are given; zeros precede.
    fn ends(digits: &str) -> Target {
        parse_target(&format!("{digits:0>64}")).unwrap()
    }

    #[test]
    fn decodes_bits_as_core_does() {
        // Bitcoin Core, arith_uint256_tests.cpp, bignum_SetCompact; and the edges of 256 bits.
        for (compact, value) in [
            (0x0112_3456, ends("12")),
            (0x0212_3456, ends("1234")),
            (0x0312_3456, ends("123456")),
            (0x0412_3456, ends("12345600")),
            (0x0500_9234, ends("92340000")),
            (0x2012_3456, starts("123456")),
            (0x2100_ffff, starts("ffff")),
            (0x2200_00ff, starts("ff")),
            (0x1d00_ffff, Target::MAX),
            (0x207f_ffff, Target::MAX_ATTAINABLE_REGTEST),
            (0x1e03_77ae, Target::MAX_ATTAINABLE_SIGNET),
        ] {
            assert_eq!(bits(compact), Ok(value), "{compact:#010x}");
        }
        for zero in [0, 0x0012_3456, 0x0080_0000, 0x0100_3456, 0x0180_3456, 0xff80_0000] {
            assert_eq!(bits(zero), Err(TargetError::Zero { given: format!("{zero:08x}") }));
        }
        for negative in [0x01fe_dcba, 0x0492_3456, 0xff92_3456] {
            assert_eq!(bits(negative), Err(TargetError::Negative { bits: negative }));
        }
        for overflow in [0xff12_3456, 0x2112_3456, 0x2200_0100, 0x2300_0001] {
            assert_eq!(bits(overflow), Err(TargetError::Overflow { bits: overflow }));
        }
    }

    #[test]
    fn reads_targets_as_users_write_them() {
        let one = "00000000ffff0000000000000000000000000000000000000000000000000000";
        assert_eq!(parse_target(one), Ok(Target::MAX));
        assert_eq!(parse_target(&format!(" 0x{one}\n")), Ok(Target::MAX));
        assert_eq!(parse_target("0X1D00FFFF"), Ok(Target::MAX));
    }

    #[test]
    fn names_what_is_wrong_with_a_text() {
        let message = |text: &str| parse_target(text).unwrap_err().to_string();
        assert!(message("1d00ff").starts_with("6 hex digits were given; give a target as 64"));
        assert!(message("").starts_with("0 hex digits were given"));
        assert!(message("0x1d00fffg").starts_with("'g' at position 10 is no hex digit"));
        assert!(message("0x0x1d00ffff").starts_with("'x' at position 4 is no hex digit"));
        assert!(message(&"0".repeat(64)).contains("is zero"));
        assert!(message("00000000").starts_with("target 00000000 is zero"));
        assert!(message("1d80ffff").starts_with("compact bits 0x1d80ffff are negative"));
        assert!(message("ff00ffff").starts_with("compact bits 0xff00ffff exceed 256 bits"));
    }

    #[test]
    fn difficulties_that_pools_send() {
        for (difficulty, digits) in [
            (1.0, "00000000ffff"),
            (2.0, "000000007fff8"),
            (0.5, "00000001fffe"),
            (8192.0, "000000000007fff8"),
            (65535.0, "0000000000010000"),
            (65536.0, "000000000000ffff"),
        ] {
            assert_eq!(target_of_difficulty(difficulty), Ok(starts(digits)), "{difficulty}");
        }
        let third = target_of_difficulty(3.0).unwrap();
        assert_eq!(third, starts("000000005555"));
        // 0.0001 as an f64 is a little above 0.0001, so its target is a little below.
        let easy = target_of_difficulty(0.0001).unwrap();
        assert!(easy < starts("0000270fd8f0") && easy > starts("0000270fd8e0"), "{easy:x}");
    }

    #[test]
    fn the_ends_of_the_range_of_difficulties() {
        let all = Target::from_be_bytes([0xff; 32]);
        assert_eq!(target_of_difficulty(f64::from_bits(1)), Ok(all));
        assert_eq!(target_of_difficulty(f64::MIN_POSITIVE), Ok(all));
        // 65535 * 2^208 / 2^-32 = 65535 * 2^240 still fits 256 bits; half of that divisor does not.
        assert_eq!(target_of_difficulty(2_f64.powi(-32)), Ok(starts("ffff")));
        assert_eq!(target_of_difficulty(2_f64.powi(-33)), Ok(all));

        let hardest = 65535.0 * 2_f64.powi(208);
        assert_eq!(target_of_difficulty(hardest), Ok(ends("1")));
        for difficulty in [hardest.next_up(), 2_f64.powi(260), 2_f64.powi(261), f64::MAX] {
            let error = target_of_difficulty(difficulty);
            assert_eq!(error, Err(TargetError::TooDifficult { difficulty }));
        }
        for difficulty in [0.0, -0.0, -1.0, f64::INFINITY, f64::NEG_INFINITY] {
            let error = target_of_difficulty(difficulty);
            assert_eq!(error, Err(TargetError::Difficulty { difficulty }));
        }
        let nan = target_of_difficulty(f64::NAN).unwrap_err().to_string();
        assert!(nan.starts_with("difficulty NaN is not a finite number above zero"));
    }

    #[test]
    fn a_hash_meets_a_target_up_to_equality() {
        let hash: BlockHash =
            "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f".parse().unwrap();
        assert!(meets(&hash, &Target::MAX));
        assert!(meets(&hash, &parse_target(&hash.to_string()).unwrap()));
        assert!(!meets(&hash, &starts("000000000019d6689c08")));
    }

    #[test]
    fn counts_leading_zero_bits() {
        assert_eq!(leading_zero_bits(&Target::ZERO), 256);
        assert_eq!(leading_zero_bits(&ends("1")), 255);
        assert_eq!(leading_zero_bits(&Target::MAX), 32);
        assert_eq!(leading_zero_bits(&starts("7f")), 1);
        assert_eq!(leading_zero_bits(&starts("8")), 0);
    }

    /// 65535 * 2^208 / difficulty by schoolbook division, one bit at a time; at most 256 bits.
    fn divide_bit_by_bit(difficulty: f64) -> [u8; 32] {
        let (mut odd, mut power) = (difficulty, 0);
        while odd.fract() != 0.0 {
            (odd, power) = (odd * 2.0, power - 1);
        }
        while odd >= 2_f64.powi(53) {
            (odd, power) = (odd / 2.0, power + 1);
        }
        #[expect(clippy::cast_possible_truncation, reason = "an integer below 2^53")]
        let divisor = odd as i128; // difficulty = divisor * 2^power

        let (mut remainder, mut quotient) = (0_i128, Vec::new());
        for place in 0..(16 + 208 - power).max(0) {
            remainder = remainder * 2 + i128::from(place < 16);
            quotient.push(remainder >= divisor);
            remainder -= if remainder >= divisor { divisor } else { 0 };
        }
        let significant = quotient.iter().skip_while(|bit| !**bit).count();
        if significant > 256 {
            return [0xff; 32];
        }
        let mut bytes = [0; 32];
        for (place, bit) in quotient.iter().rev().take(256).enumerate() {
            bytes[31 - place / 8] |= u8::from(*bit) << (place % 8);
        }
        bytes
    }

    #[test]
    fn a_million_difficulties_lead_to_exact_targets() {
        let mut random = fastrand::Rng::with_seed(6);
        for _ in 0..1_000_000 {
            let difficulty = (1.0 + random.f64()) * 2_f64.powi(random.i32(-40..230));
            let target = target_of_difficulty(difficulty).unwrap_or(Target::ZERO);
            let exact = Target::from_be_bytes(divide_bit_by_bit(difficulty));
            assert_eq!(target, exact, "{difficulty:?}");
        }
    }

    fn any_difficulty() -> impl Strategy<Value = f64> {
        prop_oneof![
            (1.0..2.0, -40..230).prop_map(|(m, e): (f64, i32)| m * 2_f64.powi(e)),
            (1_u32.., -40..40).prop_map(|(m, e): (u32, i32)| f64::from(m) * 2_f64.powi(e)),
            any::<u64>()
                .prop_map(|bits| f64::from_bits(bits >> 1))
                .prop_filter("finite", |d| { d.is_finite() && *d > 0.0 }),
        ]
    }

    proptest! {
        #[test]
        fn targets_of_difficulties_are_exact(difficulty in any_difficulty()) {
            let target = target_of_difficulty(difficulty).unwrap_or(Target::ZERO);
            prop_assert_eq!(target, Target::from_be_bytes(divide_bit_by_bit(difficulty)));
        }

        #[test]
        fn difficulties_come_back(wanted in 1e-9..1e30) {
            let got = difficulty(&target_of_difficulty(wanted).unwrap());
            prop_assert!((got / wanted - 1.0).abs() < 1e-14, "{wanted} came back as {got}");
        }

        #[test]
        fn bits_agree_with_the_bitcoin_crate(length in 3_u32..=32, mantissa in 1_u32..0x0080_0000) {
            let compact = CompactTarget::from_consensus(length << 24 | mantissa);
            prop_assert_eq!(decode_bits(compact), Ok(Target::from_compact(compact)));
        }

        #[test]
        fn no_bits_panic(compact: u32) {
            let _ = bits(compact);
        }

        #[test]
        fn every_hash_that_meets_a_target_has_its_zero_bits(
            hash: [u8; 32],
            limit: [u8; 32],
            zeros in 0_usize..32,
        ) {
            let mut limit = limit;
            limit[..zeros].fill(0);
            let (hash, target) = (BlockHash::from_byte_array(hash), Target::from_be_bytes(limit));
            let value = Target::from_le_bytes(hash.to_byte_array());
            prop_assert_eq!(meets(&hash, &target), value.to_be_bytes() <= limit);
            let bits = leading_zero_bits(&target);
            prop_assert!(value > target || leading_zero_bits(&value) >= bits);
            prop_assert_eq!(leading_zero_bits(&target), u32::try_from(limit
                .iter()
                .flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1))
                .take_while(|bit| *bit == 0)
                .count()).unwrap());
        }

        #[test]
        fn no_text_panics(text in "(0x)?\\PC*") {
            let _ = parse_target(&text);
        }
    }

    #[test]
    fn a_hash_is_as_hard_as_the_hardest_target_that_it_meets() {
        let hash = |target: Target| BlockHash::from_byte_array(target.to_le_bytes());
        for target in [Target::MAX, starts("00000000ffff"), ends("1")] {
            let difference = hash_difficulty(&hash(target)) - difficulty(&target);
            assert!(difference.abs() < 1e-12 && meets(&hash(target), &target));
        }
        assert!((hash_difficulty(&hash(starts("00000000ffff"))) - 1.0).abs() < 1e-12);
        assert!(hash_difficulty(&hash(Target::ZERO)).is_infinite());
    }
}
