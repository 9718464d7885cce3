//! A half-open range of 32-bit numbers whose end fits 2^32: nonces of a header, headers of a job.

use std::fmt;

use crate::limits::NONCES_PER_HEADER;

/// Nonces of one header.
pub type Nonces = Span;

/// Numbers of headers of one job.
pub type Headers = Span;

/// The numbers `start..end`, `start <= end <= 2^32`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Span {
    start: u64,
    end: u64,
}

/// Why two numbers are not a range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SpanError {
    /// The range runs backwards.
    #[error("the range {start}..{end} is reversed: write the smaller number first")]
    Reversed {
        /// Start as given.
        start: u64,
        /// End as given.
        end: u64,
    },
    /// The range leaves the 32 bits.
    #[error("the range {start}..{end} passes 4294967296 (2^32)")]
    PastEnd {
        /// Start as given.
        start: u64,
        /// End as given.
        end: u64,
    },
}

impl Span {
    /// All numbers of 32 bits, such as the nonces of a header.
    pub const ALL: Self = Self { start: 0, end: NONCES_PER_HEADER };

    /// The range `start..end`.
    ///
    /// # Errors
    ///
    /// When `start > end` or `end > 2^32`.
    pub const fn new(start: u64, end: u64) -> Result<Self, SpanError> {
        if start > end {
            return Err(SpanError::Reversed { start, end });
        }
        if end > NONCES_PER_HEADER {
            return Err(SpanError::PastEnd { start, end });
        }
        Ok(Self { start, end })
    }

    /// One number.
    #[must_use]
    pub const fn one(number: u32) -> Self {
        let start = number as u64;
        Self { start, end: start + 1 }
    }

    /// The `length` numbers around `number`, cut off at 0 and 2^32, with `before` of them ahead of it.
    #[must_use]
    pub fn around(number: u32, before: u64, length: u64) -> Self {
        let length = length.min(NONCES_PER_HEADER);
        let start = u64::from(number).saturating_sub(before).min(NONCES_PER_HEADER - length);
        Self { start, end: start + length }
    }

    /// First number; 2^32 for an empty range at the end.
    #[must_use]
    pub const fn start(self) -> u64 {
        self.start
    }

    /// One past the last number, at most 2^32.
    #[must_use]
    pub const fn end(self) -> u64 {
        self.end
    }

    /// How many numbers the range has.
    #[must_use]
    pub const fn len(self) -> u64 {
        self.end - self.start
    }

    /// Whether the range has no number.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.start == self.end
    }

    /// First number in its 32 bits.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "wraps only for the empty range at 2^32, which has no first number"
    )]
    pub const fn first(self) -> u32 {
        self.start as u32
    }

    /// Whether `number` lies in the range.
    #[must_use]
    pub fn contains(self, number: u32) -> bool {
        (self.start..self.end).contains(&u64::from(number))
    }

    /// Whether all of `other` lies in this range.
    #[must_use]
    pub const fn covers(self, other: Self) -> bool {
        self.start <= other.start && other.end <= self.end
    }

    /// The first `length` numbers (or all, if there are fewer), and the rest.
    #[must_use]
    pub fn split_at(self, length: u64) -> (Self, Self) {
        let middle = self.start + length.min(self.len());
        (Self { start: self.start, end: middle }, Self { start: middle, end: self.end })
    }

    /// The numbers, in order.
    pub fn iter(self) -> impl Iterator<Item = u32> {
        #[expect(clippy::cast_possible_truncation, reason = "every member is below 2^32")]
        (self.start..self.end).map(|number| number as u32)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.start, self.end)
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_fits_two_to_the_32() {
        assert_eq!(Nonces::new(0, 1 << 32), Ok(Nonces::ALL));
        assert_eq!(Nonces::new(1 << 32, 1 << 32).map(Nonces::len), Ok(0));
        assert!(matches!(Nonces::new(0, (1 << 32) + 1), Err(SpanError::PastEnd { .. })));
        assert!(matches!(Nonces::new(2, 1), Err(SpanError::Reversed { start: 2, end: 1 })));
    }

    #[test]
    fn a_split_loses_nothing() {
        let all = Nonces::ALL;
        for length in [0, 1, 255, 1 << 31, 1 << 32, 1 << 40] {
            let (head, tail) = all.split_at(length);
            assert_eq!(head.start(), 0);
            assert_eq!(head.end(), tail.start());
            assert_eq!(tail.end(), 1 << 32);
            assert_eq!(head.len() + tail.len(), all.len());
        }
    }

    #[test]
    fn a_window_stays_inside_the_field_and_holds_its_nonce() {
        for nonce in [0, 1, 999, 1 << 31, u32::MAX - 1, u32::MAX] {
            for (before, length) in [(0, 1), (10, 100), (99, 100), (1 << 32, 1 << 33)] {
                let window = Nonces::around(nonce, before, length);
                assert!(window.end() <= 1 << 32);
                assert_eq!(window.len(), length.min(1 << 32));
                assert!(window.contains(nonce), "{window} misses {nonce}");
            }
        }
    }
}
