//! Where a hash lies: a header of the job and a nonce, and rectangles of both.

use std::fmt;

use super::{Headers, Nonces};

/// Headers of a job, each with the same nonces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Region {
    /// By their numbers in the job.
    pub headers: Headers,
    /// The nonces of each of them.
    pub nonces: Nonces,
}

/// A hash that a device reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hit {
    /// The header's number in the job.
    pub header: u32,
    /// Its nonce.
    pub nonce: u32,
}

impl Region {
    /// Nonces of a job's first header, which is the only one where nothing rolls.
    #[must_use]
    pub const fn first_header(nonces: Nonces) -> Self {
        Self { headers: Headers::one(0), nonces }
    }

    /// How many hashes it has. Those of a job's regions fit: see [`super::Rolls`].
    #[must_use]
    pub const fn len(self) -> u64 {
        self.headers.len().saturating_mul(self.nonces.len())
    }

    /// Whether it has no hash.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.headers.is_empty() || self.nonces.is_empty()
    }

    /// Whether `hit` lies in it.
    #[must_use]
    pub fn contains(self, hit: Hit) -> bool {
        self.headers.contains(hit.header) && self.nonces.contains(hit.nonce)
    }

    /// All its hashes, header by header.
    pub fn iter(self) -> impl Iterator<Item = Hit> {
        self.headers
            .iter()
            .flat_map(move |header| self.nonces.iter().map(move |nonce| Hit { header, nonce }))
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.headers.len() {
            1 => write!(f, "nonces {} of header {}", self.nonces, self.headers.start()),
            _ => write!(f, "nonces {} of headers {}", self.nonces, self.headers),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_is_all_its_hashes_in_order() {
        let span = |start, end| Nonces::new(start, end).unwrap();
        let region = Region { headers: span(3, 5), nonces: span(7, 10) };
        let hits: Vec<Hit> = region.iter().collect();
        assert_eq!(hits.len() as u64, region.len());
        assert!(hits.is_sorted() && hits.iter().all(|hit| region.contains(*hit)));
        for (header, nonce) in [(2, 7), (5, 7), (3, 6), (4, 10)] {
            assert!(!region.contains(Hit { header, nonce }));
        }
        assert_eq!(region.to_string(), "nonces 7..10 of headers 3..5");
        assert_eq!(Region::first_header(span(7, 10)).to_string(), "nonces 7..10 of header 0");
        let all = Region { headers: span(0, u32::MAX.into()), nonces: Nonces::ALL };
        assert_eq!(all.len(), u64::MAX - u64::from(u32::MAX));
        assert!(Region { nonces: span(1, 1), ..all }.is_empty());
        assert!(Region { headers: span(1, 1), ..all }.is_empty());
    }
}
