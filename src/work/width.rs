//! How many headers a device scans side by side.

use std::fmt;

use super::{Filter, Headers, Region};
use crate::limits::NONCES_PER_HEADER;

/// How many headers, which differ in version bits only, a device scans side by side: one, or any number
/// from `least` to `most` where the filter is at least as strict as `filter`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Width {
    /// Fewest headers beside one, at least 1.
    pub least: u32,
    /// Most headers, at least `least` and at most 2^16: a version has 16 bits to roll by BIP 320.
    pub most: u32,
    /// The easiest filter with which it takes more than one.
    pub filter: Filter,
    /// Most nonces of more than one header in a batch: what the headers share has a place in memory.
    pub nonces: u64,
}

impl Width {
    /// One header at a time.
    pub const ONE: Self =
        Self { least: 1, most: 1, filter: Filter::WORD, nonces: NONCES_PER_HEADER };

    /// What is left of it when the device looks for `filter`.
    #[must_use]
    pub fn with(self, filter: Filter) -> Self {
        if filter >= self.filter { self } else { Self::ONE }
    }

    /// How many of `headers` headers the device takes: as many as it can, and one rather than too few.
    #[must_use]
    pub fn of(self, headers: u64) -> u64 {
        if headers < self.least.into() { headers.min(1) } else { headers.min(self.most.into()) }
    }

    /// Whether the device takes just these headers at once, as far as their number goes.
    #[must_use]
    pub fn takes(self, headers: Headers) -> bool {
        headers.len() == 1 || (self.least.into()..=self.most.into()).contains(&headers.len())
    }

    /// Whether it takes such a batch, as far as its size goes.
    #[must_use]
    pub fn takes_batch(self, region: Region) -> bool {
        self.takes(region.headers)
            && (region.headers.len() == 1 || region.nonces.len() <= self.nonces)
    }
}

impl fmt::Display for Width {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self { most: 1, .. } => f.write_str("one header"),
            Self { least, most, filter, nonces } => {
                write!(f, "one header, or {least} to {most} with a filter of {filter} or more")?;
                if *nonces < NONCES_PER_HEADER {
                    write!(f, " and up to {nonces} nonces")?;
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::work::Nonces;

    #[test]
    fn a_width_is_one_or_a_range() {
        let width = Width { least: 4, most: 10, filter: Filter::new(20), nonces: 7 };
        let is_taken = |headers| width.takes(Headers::new(5, 5 + headers).unwrap());
        let taken: Vec<u64> = (0..14).filter(|headers| is_taken(*headers)).collect();
        assert_eq!(taken, [1, 4, 5, 6, 7, 8, 9, 10]);
        let of = [0, 1, 3, 4, 10, 11, 1 << 32].map(|headers| width.of(headers));
        assert_eq!(of, [0, 1, 1, 4, 10, 10, 10]);
        assert_eq!(width.with(Filter::new(20)), width);
        assert_eq!(width.with(Filter::new(19)), Width::ONE);
        assert_eq!(Width::ONE.with(Filter::new(0)), Width::ONE);
        assert_eq!(Width::ONE.of(100), 1);
        let is_taken = |headers: u64, nonces: u64| {
            width.takes_batch(Region {
                headers: Headers::new(5, 5 + headers).unwrap(),
                nonces: Nonces::new(1, 1 + nonces).unwrap(),
            })
        };
        assert!(is_taken(1, 8) && is_taken(4, 7) && !is_taken(4, 8) && !is_taken(3, 7));
    }
}
