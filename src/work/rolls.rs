//! The headers of a job: one header whose version, time and extranonce roll.

use std::sync::Arc;

use bitcoin::TxMerkleNode;
use bitcoin::block::{Header, Version};

use super::Headers;
use crate::chain::{self, CoinbaseParts};

/// The headers of a job, numbered from 0.
///
/// Version bits run fastest: the lowest bit of the number is the lowest bit of the mask. Then come the seconds after the first time, then the extranonces. Fewer than 2^32 headers of 2^32 nonces each have
/// fewer than 2^64 hashes, so that every count of hashes fits.
///
/// The headers of a *roll* differ in version bits only: they share all that a kernel can compute once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rolls {
    /// The first of all.
    header: Header,
    version_mask: u32,
    times: u32,
    coinbase: Option<Arc<Coinbase>>,
    count: u32,
}

/// What makes a merkle root of each extranonce.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coinbase {
    /// The coinbase transaction around its extranonce2.
    pub parts: CoinbaseParts,
    /// From the coinbase to the merkle root.
    pub branch: Vec<TxMerkleNode>,
    /// How many extranonces the job tries, from 0.
    pub extranonces: u32,
}

/// Why headers cannot be numbered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RollsError {
    /// All bits of the version would roll.
    #[error(
        "a version mask of all 32 bits makes 2^64 hashes, more than can be counted; leave out a bit, \
        or give 1fffe000 as BIP 320 has it"
    )]
    WholeVersion,
    /// A dimension is empty.
    #[error("a job needs at least one time and one extranonce")]
    Empty,
    /// The last time passes its field.
    #[error(
        "{times} times from {first} on pass 4294967295 (2^32 - 1), the last that a header holds"
    )]
    Times {
        /// The header's own time.
        first: u32,
        /// Seconds asked for.
        times: u32,
    },
    /// The coinbase has no room for as many extranonces.
    #[error("{extranonces} extranonces do not fit the {size} bytes of extranonce2")]
    Extranonces {
        /// Extranonces asked for.
        extranonces: u32,
        /// Bytes of extranonce2.
        size: usize,
    },
    /// The headers cannot be numbered with 32 bits.
    #[error(
        "{headers} headers are more than the 4294967295 (2^32 - 1) of a job; give a version mask of \
        fewer bits or fewer times"
    )]
    TooMany {
        /// Headers asked for.
        headers: u128,
    },
}

impl Rolls {
    /// One header; nothing rolls. Its nonce is ignored, here and below.
    #[must_use]
    pub const fn one(header: Header) -> Self {
        Self { header, version_mask: 0, times: 1, coinbase: None, count: 1 }
    }

    /// The headers that differ from `header` in the bits of `version_mask`, by up to `times - 1` seconds,
    /// and in their extranonce. With a coinbase the header's merkle root is ignored.
    ///
    /// # Errors
    ///
    /// When there is no header, the last time passes its field, or there are 2^32 headers or more.
    pub fn new(
        header: Header,
        version_mask: u32,
        times: u32,
        coinbase: Option<Arc<Coinbase>>,
    ) -> Result<Self, RollsError> {
        if version_mask == u32::MAX {
            return Err(RollsError::WholeVersion);
        }
        let extranonces = coinbase.as_ref().map_or(1, |coinbase| coinbase.extranonces);
        let Some(further) = times.checked_sub(1).filter(|_| extranonces > 0) else {
            return Err(RollsError::Empty);
        };
        let first = header.time;
        if first.checked_add(further).is_none() {
            return Err(RollsError::Times { first, times });
        }
        if let Some(coinbase) = &coinbase {
            let size = coinbase.parts.extranonce2_size();
            if size < 4 && extranonces > 1 << (8 * size) {
                return Err(RollsError::Extranonces { extranonces, size });
            }
        }
        let headers =
            (1_u128 << version_mask.count_ones()) * u128::from(times) * u128::from(extranonces);
        let count = u32::try_from(headers).map_err(|_| RollsError::TooMany { headers })?;
        let fixed = header.version.to_consensus() & !version_mask.cast_signed();
        let header = Header { version: Version::from_consensus(fixed), ..header };
        Ok(Self { header, version_mask, times, coinbase, count })
    }

    /// The same headers in another order: each roll begins with the version that was its number `first`, as far
    /// as there are so many.
    ///
    /// So shares show from the first one on whether a pool takes rolled versions, also from a device that
    /// would need minutes for the nonces of one.
    #[must_use]
    pub fn starting_from(mut self, first: u32) -> Self {
        self.header.version = self.version(first);
        self
    }

    /// The numbers of all headers.
    #[must_use]
    pub fn all(&self) -> Headers {
        Headers::ALL.split_at(self.count.into()).0
    }

    /// The version bits that roll.
    #[must_use]
    pub const fn version_mask(&self) -> u32 {
        self.version_mask
    }

    /// How many headers are in a roll: a power of two, and every multiple of it begins one.
    #[must_use]
    pub const fn per_roll(&self) -> u32 {
        1 << self.version_mask.count_ones()
    }

    /// Whether the headers differ in version bits only.
    #[must_use]
    pub fn are_of_one_roll(&self, headers: Headers) -> bool {
        let per_roll = u64::from(self.per_roll());
        headers.is_empty() || headers.start() / per_roll == (headers.end() - 1) / per_roll
    }

    /// The header of a number. One past the last is none of the job's.
    #[must_use]
    pub fn header(&self, number: u32) -> Header {
        let version = self.version(number);
        let roll = number / self.per_roll();
        let time = self.header.time.wrapping_add(roll % self.times);
        let merkle_root = self
            .coinbase
            .as_ref()
            .map_or(self.header.merkle_root, |coinbase| coinbase.root(self.extranonce(number)));
        Header { version, time, merkle_root, ..self.header }
    }

    /// The extranonce of a header, by its number; 0 where none rolls.
    #[must_use]
    pub const fn extranonce(&self, number: u32) -> u32 {
        number / self.per_roll() / self.times
    }

    /// The headers of these numbers, which are of one roll. What they share is computed once.
    pub fn headers(&self, numbers: Headers) -> impl Iterator<Item = Header> {
        let shared = self.header(numbers.first());
        numbers.iter().map(move |number| Header { version: self.version(number), ..shared })
    }

    fn version(&self, number: u32) -> Version {
        let rolled = scatter(number, self.version_mask).cast_signed();
        Version::from_consensus(self.header.version.to_consensus() ^ rolled)
    }

    /// The number, within the first roll, of the header that has this version; `None` when it differs in
    /// bits that do not roll.
    #[must_use]
    pub fn number_of(&self, version: Version) -> Option<u32> {
        let turned = version.to_consensus() ^ self.header.version.to_consensus();
        let turned = turned.cast_unsigned();
        (turned & !self.version_mask == 0).then(|| gather(turned, self.version_mask))
    }
}

impl Coinbase {
    /// The merkle root of an extranonce.
    #[must_use]
    pub fn root(&self, extranonce: u32) -> TxMerkleNode {
        chain::fold_branch(self.parts.numbered_txid(extranonce.into()), &self.branch)
    }
}

/// Spreads the low bits of `number` over the bits of `mask`, lowest first.
fn scatter(mut number: u32, mask: u32) -> u32 {
    let mut spread = 0;
    for bit in bits(mask) {
        spread |= bit * (number & 1);
        number >>= 1;
    }
    spread
}

/// Collects the bits of `spread` under `mask`: the inverse of [`scatter`].
fn gather(spread: u32, mask: u32) -> u32 {
    (0..).zip(bits(mask)).map(|(place, bit)| u32::from(spread & bit != 0) << place).sum()
}

/// The bits of `mask` one by one, lowest first.
fn bits(mut mask: u32) -> impl Iterator<Item = u32> {
    std::iter::from_fn(move || {
        let lowest = mask & mask.wrapping_neg();
        mask ^= lowest;
        (lowest != 0).then_some(lowest)
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;
    use crate::chain::pool_jobs::{POOL_JOBS, unhex};
    use crate::chain::{KNOWN_BLOCKS, VERSION_ROLLING_MASK, parse_header};

    fn genesis() -> Header {
        KNOWN_BLOCKS[0].header().unwrap()
    }

    fn version(header: &Header) -> u32 {
        header.version.to_consensus().cast_unsigned()
    }

    #[test]
    fn version_bits_run_before_times() {
        let header = genesis();
        let rolls = Rolls::new(header, 0x8000_0101, 3, None).unwrap();
        assert_eq!((rolls.all().len(), rolls.per_roll()), (24, 8));
        assert_eq!(rolls.version_mask(), 0x8000_0101);
        let headers: Vec<Header> = rolls.all().iter().map(|number| rolls.header(number)).collect();
        let versions = [0, 1, 0x100, 0x101, 0x8000_0000, 0x8000_0001, 0x8000_0100, 0x8000_0101];
        for (number, rolled) in headers.iter().enumerate() {
            assert_eq!(version(rolled), versions[number % 8]);
            assert_eq!(rolled.time, header.time + u32::try_from(number / 8).unwrap());
            assert_eq!(rolled.merkle_root, header.merkle_root);
        }
        assert!(rolls.are_of_one_roll(Headers::new(8, 16).unwrap()));
        assert!(!rolls.are_of_one_roll(Headers::new(7, 9).unwrap()));
        assert!(rolls.are_of_one_roll(Headers::new(24, 24).unwrap()));
        assert_eq!(rolls.number_of(headers[6].version), Some(6));
        assert_eq!(rolls.number_of(Version::from_consensus(2)), None);
        assert_eq!(Rolls::new(header, 0, 1, None), Ok(Rolls::one(header)));
        assert_eq!(Rolls::one(header).header(0), header);

        let later = rolls.clone().starting_from(8 + 6);
        assert_eq!(later.header(0), headers[6]);
        assert_eq!(later.header(8 + 6), headers[8], "the others follow, each once");
        let all: HashSet<Header> = later.all().iter().map(|number| later.header(number)).collect();
        assert_eq!(all, headers.into_iter().collect());
    }

    /// The job of Public Pool, which a share with extranonce2 17000000 solved.
    fn pool_job(extranonces: u32, size: usize) -> (Header, Arc<Coinbase>) {
        let job = &POOL_JOBS[0];
        // Another size of extranonce2 takes its bytes from extranonce1, so that the whole keeps its length.
        let before = unhex(&format!("{}00000000", job.extranonce1));
        let parts =
            CoinbaseParts::new(&unhex(job.coinb1), &before[..8 - size], size, &unhex(job.coinb2));
        let header = parse_header(job.header).unwrap();
        (header, Arc::new(Coinbase { parts: parts.unwrap(), branch: job.branch(), extranonces }))
    }

    #[test]
    fn the_extranonce_of_a_real_share_leads_to_its_header() {
        let (share, coinbase) = pool_job(100, 4);
        let root = share.merkle_root;
        let base = Header { merkle_root: genesis().merkle_root, time: share.time - 1, ..share };
        let rolls = Rolls::new(base, VERSION_ROLLING_MASK, 2, Some(coinbase)).unwrap();
        assert_eq!(rolls.all().len(), 200 << 16);
        // Extranonce 0x17, the second time, and the share's version.
        let number = ((0x17 * 2 + 1) << 16) + rolls.number_of(share.version).unwrap();
        assert_eq!(rolls.header(number), share);
        let around = Headers::new(u64::from(number) - 3, u64::from(number) + 3).unwrap();
        let one_by_one = around.iter().map(|number| rolls.header(number));
        assert!(rolls.headers(around).eq(one_by_one));
        let roots: HashSet<TxMerkleNode> =
            (0..100).map(|extranonce| rolls.header((extranonce * 2) << 16).merkle_root).collect();
        assert!(roots.len() == 100 && roots.contains(&root));
    }

    #[test]
    fn what_cannot_be_numbered_is_refused() {
        let header = genesis();
        let new = |mask, times| Rolls::new(header, mask, times, None);
        assert_eq!(new(u32::MAX, 1), Err(RollsError::WholeVersion));
        assert_eq!(new(0, 0), Err(RollsError::Empty));
        assert_eq!(new(u32::MAX >> 1, 1).unwrap().all().len(), 1 << 31);
        assert_eq!(new(u32::MAX >> 1, 2), Err(RollsError::TooMany { headers: 1 << 32 }));
        let rest = u32::MAX - header.time + 1;
        assert_eq!(new(0, rest).unwrap().header(rest - 1).time, u32::MAX);
        let times = rest + 1;
        assert_eq!(new(0, times), Err(RollsError::Times { first: header.time, times }));

        let with = |extranonces, size| {
            Rolls::new(header, 0, 1, Some(pool_job(extranonces, size).1)).map(|rolls| rolls.count)
        };
        assert_eq!(with(0, 4), Err(RollsError::Empty));
        assert_eq!(with(u32::MAX, 4), Ok(u32::MAX));
        assert_eq!(with(256, 1), Ok(256));
        assert_eq!(with(257, 1), Err(RollsError::Extranonces { extranonces: 257, size: 1 }));
        assert_eq!(with(1, 0), Ok(1));
        assert_eq!(with(2, 0), Err(RollsError::Extranonces { extranonces: 2, size: 0 }));
    }

    proptest! {
        #[test]
        fn a_number_and_its_version_are_one(mask: u32, number: u32) {
            prop_assume!(mask != u32::MAX);
            let number = number & ((1_u32 << mask.count_ones()) - 1);
            let rolls = Rolls::new(genesis(), mask, 1, None).unwrap();
            let rolled = rolls.header(number);
            prop_assert_eq!((version(&rolled) ^ version(&genesis())) & !mask, 0);
            prop_assert_eq!(rolls.number_of(rolled.version), Some(number));
        }
    }
}
