//! Hexadecimal digits of a known number of bytes.

/// The first character of `text` that is no hex digit, and its position in characters from 1.
pub(super) fn bad_digit(text: &str) -> Option<(usize, char)> {
    (1..).zip(text.chars()).find(|(_, c)| !c.is_ascii_hexdigit())
}

/// Decodes exactly `2 * N` hex digits; `None` for any other text.
pub(super) fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else {
        return None;
    };
    let pairs: &[[u8; 2]; N] = pairs.try_into().ok()?;
    let mut out = [0; N];
    for (byte, [high, low]) in out.iter_mut().zip(pairs) {
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(out)
}

fn digit(c: u8) -> Option<u8> {
    match c {
        b'0'..=b'9' => Some(c - b'0'),
        b'a'..=b'f' => Some(c - b'a' + 10),
        b'A'..=b'F' => Some(c - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_both_cases() {
        assert_eq!(bytes("00fFAb19"), Some([0x00, 0xff, 0xab, 0x19]));
        assert_eq!(bytes(""), Some([]));
    }

    #[test]
    fn refuses_other_lengths_and_characters() {
        assert_eq!(bytes::<2>("0123456"), None);
        assert_eq!(bytes::<2>("012"), None);
        assert_eq!(bytes::<2>("012345"), None);
        assert_eq!(bytes::<2>("01g3"), None);
        assert_eq!(bytes::<2>("+1+3"), None);
        assert_eq!(bytes::<2>("éé"), None);
    }

    #[test]
    fn finds_the_first_bad_digit_by_character() {
        assert_eq!(bad_digit("0123abcDEF"), None);
        assert_eq!(bad_digit("0x12"), Some((2, 'x')));
        assert_eq!(bad_digit("12é4"), Some((3, 'é')));
    }
}
