//! The word type that SHA-256 is written over.

use std::fmt;

/// A 32-bit word as SHA-256 uses it: the functions of FIPS 180-4 §4.1.2, and sums modulo 2^32.
///
/// Two types implement it. With [`u32`] the algorithm computes; with the symbolic word of `recorder` it
/// records its operations.
pub trait Word: Copy {
    /// A word whose value is part of the specification.
    fn constant(value: u32) -> Self;
    /// One of the four sigma functions.
    #[must_use]
    fn sigma(self, function: Sigma) -> Self;
    /// `self` chooses: a set bit takes the bit of `f`, a clear bit that of `g`.
    #[must_use]
    fn ch(self, f: Self, g: Self) -> Self;
    /// The majority of three bits, bit by bit.
    #[must_use]
    fn maj(self, b: Self, c: Self) -> Self;
    /// The sum modulo 2^32.
    fn sum<const N: usize>(terms: [Self; N]) -> Self;
    /// Gives the word the name it has in the specification. Only recording needs it.
    #[must_use]
    fn named(self, _name: Name) -> Self {
        self
    }
}

/// The four functions of three rotations (or two and a shift) each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Sigma {
    /// Σ0, of the state word a.
    Big0,
    /// Σ1, of the state word e.
    Big1,
    /// σ0, of the message schedule.
    Small0,
    /// σ1, of the message schedule.
    Small1,
}

impl Sigma {
    /// The amounts of its rotations to the right; for σ the third is a shift.
    #[must_use]
    pub const fn amounts(self) -> [u32; 3] {
        match self {
            Self::Big0 => [2, 13, 22],
            Self::Big1 => [6, 11, 25],
            Self::Small0 => [7, 18, 3],
            Self::Small1 => [17, 19, 10],
        }
    }

    /// Whether it is σ0 or σ1.
    #[must_use]
    pub const fn is_small(self) -> bool {
        matches!(self, Self::Small0 | Self::Small1)
    }

    /// The function's value.
    #[must_use]
    pub const fn apply(self, x: u32) -> u32 {
        let [first, second, third] = self.amounts();
        let last = if self.is_small() { x >> third } else { x.rotate_right(third) };
        x.rotate_right(first) ^ x.rotate_right(second) ^ last
    }
}

impl Word for u32 {
    fn constant(value: u32) -> Self {
        value
    }

    fn sigma(self, function: Sigma) -> Self {
        function.apply(self)
    }

    fn ch(self, f: Self, g: Self) -> Self {
        (self & f) ^ (!self & g)
    }

    fn maj(self, b: Self, c: Self) -> Self {
        (self & b) ^ (self & c) ^ (b & c)
    }

    fn sum<const N: usize>(terms: [Self; N]) -> Self {
        terms.into_iter().fold(0, Self::wrapping_add)
    }
}

/// Which of the two hashes of SHA-256d a word belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Pass {
    /// The hash of the header, second block.
    First,
    /// The hash of that hash.
    Second,
}

/// What a word is in its hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// Message schedule word `W_t`.
    W,
    /// The temporary `T1` of a round.
    T,
    /// State word a after a round.
    A,
    /// State word e after a round.
    E,
}

/// A word's name in the specification, such as `e18` of the first hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name {
    /// Which hash.
    pub pass: Pass,
    /// The round that makes it, counted from 0.
    pub round: u8,
    /// What it is there.
    pub role: Role,
}

impl fmt::Display for Name {
    /// Lower case in the first hash (`e18`), upper case in the second (`E18`).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letter = match (self.pass, self.role) {
            (Pass::First, Role::W) => 'w',
            (Pass::First, Role::T) => 't',
            (Pass::First, Role::A) => 'a',
            (Pass::First, Role::E) => 'e',
            (Pass::Second, Role::W) => 'W',
            (Pass::Second, Role::T) => 'T',
            (Pass::Second, Role::A) => 'A',
            (Pass::Second, Role::E) => 'E',
        };
        write!(f, "{letter}{}", self.round)
    }
}
