use proptest::prelude::*;

use super::*;
use crate::work::{Filter, Hit, Nonces};

const A: DeviceId = DeviceId(0);
const B: DeviceId = DeviceId(1);
const ONE: Width = Width::ONE;

fn span(start: u64, end: u64) -> Nonces {
    Nonces::new(start, end).unwrap()
}

fn region(headers: (u64, u64), nonces: (u64, u64)) -> Region {
    Region { headers: span(headers.0, headers.1), nonces: span(nonces.0, nonces.1) }
}

/// Nonces of header 0.
fn nonces(start: u64, end: u64) -> Region {
    region((0, 1), (start, end))
}

fn width(least: u32, most: u32) -> Width {
    Width { least, most, filter: Filter::new(0), ..Width::ONE }
}

/// One header.
fn flat(start: u64, end: u64) -> Ledger {
    Ledger::new(nonces(start, end), 1)
}

#[test]
fn two_devices_share_a_space_without_gap_or_overlap() {
    let mut ledger = flat(100, 1000);
    assert_eq!(ledger.take(A, ONE, 300), Some(nonces(100, 400)));
    assert_eq!(ledger.take(B, ONE, 10_000), Some(nonces(400, 1000)));
    assert_eq!(ledger.take(A, ONE, 1), None);
    ledger.scanned(B, nonces(400, 700)).unwrap();
    ledger.scanned(A, nonces(100, 400)).unwrap();
    assert!(!ledger.is_complete());
    assert_eq!(ledger.give_back_all(B, Reason::Lost), 300);
    assert_eq!(ledger.take(A, ONE, 10_000), Some(nonces(700, 1000)));
    ledger.scanned(A, nonces(700, 1000)).unwrap();
    assert!(ledger.is_complete());
    assert_eq!(ledger.tally().assigned, 900);
    assert_eq!(ledger.tally().given_back[&Reason::Lost], 300);
    ledger.audit().unwrap();
}

#[test]
fn a_hash_is_never_tested_twice_nor_by_a_stranger() {
    let mut ledger = Ledger::new(region((0, 4), (0, 100)), 4);
    assert_eq!(ledger.take(A, width(2, 2), 100), Some(region((0, 2), (0, 50))));
    let before = ledger.clone();
    for (device, range, why) in [
        (B, nonces(0, 50), "header 0: device 0 holds nonce 0"),
        (A, nonces(0, 51), "header 0: nonce 50 is held by nobody"),
        (A, nonces(90, 101), "header 0: nonce 90 is held by nobody"),
        (A, nonces(200, 300), "header 0: nonce 200 is not in the job"),
        (A, region((1, 3), (10, 20)), "header 2: nonce 10 is held by nobody"),
        (A, region((4, 5), (0, 1)), "header 4 is not in the job"),
        (A, region((0, 5), (0, 1)), "header 2: nonce 0 is held by nobody"),
    ] {
        let error = ledger.scanned(device, range).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
        let bands = ledger.bands().zip(before.bands());
        let unchanged = |((headers, band), (before, old)): ((Headers, &Band), (Headers, &Band))| {
            headers == before && band.intervals == old.intervals
        };
        assert!(bands.into_iter().all(unchanged), "an error changes nothing");
    }
    ledger.scanned(A, region((1, 2), (10, 20))).unwrap();
    let error = ledger.scanned(A, region((0, 2), (15, 25))).unwrap_err().to_string();
    assert!(error.contains("header 1: nonce 15 was scanned before"), "{error}");
    ledger.audit().unwrap();
}

#[test]
fn a_sweep_in_order_keeps_few_intervals() {
    for (headers, wide) in [(1, ONE), (1 << 16, width(64, 1 << 16))] {
        let mut ledger = Ledger::new(region((0, headers), (0, 1 << 32)), 1 << 16);
        while let Some(taken) = ledger.take(A, wide, headers << 22) {
            ledger.scanned(A, taken).unwrap();
            assert!(ledger.intervals() <= 2);
        }
        assert!(ledger.is_complete());
        assert_eq!(ledger.tally().scanned, headers << 32);
    }
}

#[test]
fn narrow_devices_leave_the_wide_bands_to_wide_ones() {
    let mut ledger = Ledger::new(region((0, 64), (0, 1000)), 64);
    let wide = width(16, 48);
    assert_eq!(ledger.take(A, ONE, 10), Some(region((0, 1), (0, 10))));
    assert_eq!(ledger.take(B, wide, 480), Some(region((1, 49), (0, 10))));
    assert_eq!(ledger.take(A, ONE, 10), Some(region((0, 1), (10, 20))), "the narrowest band");
    assert_eq!(ledger.take(B, wide, 481), Some(region((1, 49), (10, 21))), "a nonce too many");
    assert_eq!(ledger.take(B, wide, 1), Some(region((1, 49), (21, 22))), "one nonce at least");
    assert_eq!(ledger.take(B, width(16, 32), 32), Some(region((1, 33), (22, 23))));
    assert_eq!(ledger.take(B, width(49, 64), 5), Some(region((0, 1), (20, 25))), "too few for it");
    let whole = [(0, 1), (1, 33), (33, 49), (49, 64)];
    for (headers, _) in ledger.bands().map(|(headers, band)| (headers, band.end)) {
        assert!(whole.contains(&(headers.start(), headers.end())), "{headers}");
    }
    ledger.give_back_all(A, Reason::Ended);
    ledger.give_back_all(B, Reason::Ended);
    ledger.audit().unwrap();
}

#[test]
fn bands_that_become_equal_are_joined() {
    let mut ledger = Ledger::new(region((0, 64), (0, 10)), 64);
    for _ in 0..64 {
        ledger.take(A, ONE, 10).unwrap();
    }
    assert_eq!(ledger.bands.len(), 1, "all are held by one device");
    for header in (0..64).step_by(2) {
        ledger.scanned(A, region((header, header + 1), (0, 10))).unwrap();
    }
    assert_eq!(ledger.bands.len(), 64);
    ledger.give_back_all(A, Reason::Lost);
    while let Some(taken) = ledger.take(B, width(2, 64), 1000) {
        ledger.scanned(B, taken).unwrap();
        ledger.audit().unwrap();
    }
    assert!(ledger.is_complete());
    assert_eq!(ledger.bands.len(), 1);
}

#[test]
fn nobody_gets_headers_of_two_rolls() {
    // The space begins and ends in the middle of a roll of 8.
    let mut ledger = Ledger::new(region((5, 27), (0, 1)), 8);
    let taken: Vec<Region> = std::iter::from_fn(|| ledger.take(A, width(4, 100), 100)).collect();
    let headers: Vec<(u64, u64)> =
        taken.iter().map(|region| (region.headers.start(), region.headers.end())).collect();
    let singles = [(5, 6), (6, 7), (7, 8), (24, 25), (25, 26), (26, 27)];
    assert_eq!(headers[..2], [(8, 16), (16, 24)]);
    assert_eq!(headers[2..], singles);
    ledger.audit().unwrap();
}

#[test]
fn an_audit_finds_what_does_not_add_up() {
    type Spoil = fn(&mut Ledger);

    let mut ledger = Ledger::new(region((0, 8), (0, 10)), 8);
    ledger.take(A, width(4, 4), 20).unwrap();
    ledger.scanned(A, region((0, 2), (0, 5))).unwrap();
    let spoilt = |spoil: Spoil| {
        let mut ledger = ledger.clone();
        spoil(&mut ledger);
        ledger.audit()
    };
    assert_eq!(spoilt(|_| ()), Ok(()));
    let ways: [(&str, Spoil); 6] = [
        ("booked as", |ledger| ledger.tally.scanned += 1),
        ("booked as", |ledger| ledger.tally.held -= 1),
        ("does not begin at 0", |ledger| drop(ledger.bands.remove(&0))),
        ("the bands end at 4", |ledger| drop(ledger.bands.remove(&4))),
        ("is as the one before it", |ledger| ledger.cut(6)),
        ("band 4..8: ", |ledger| {
            ledger.bands.get_mut(&4).unwrap().intervals = Intervals::new(span(0, 9));
        }),
    ];
    for (why, spoil) in ways {
        let found = spoilt(spoil).unwrap_err();
        assert!(found.contains(why), "{found}");
    }
}

#[test]
fn a_shattered_job_is_not_cut_further() {
    let pairs = LEDGER_INTERVALS as u64 / 2;
    let mut ledger = flat(0, pairs * 4);
    ledger.take(A, ONE, u64::MAX).unwrap();
    for pair in 0..pairs {
        ledger.give_back(A, nonces(pair * 4, pair * 4 + 2), Reason::Partial).unwrap();
    }
    assert_eq!(ledger.intervals(), LEDGER_INTERVALS);
    assert_eq!(ledger.take(B, ONE, 1), None);
    assert_eq!(ledger.take(A, ONE, 1), None, "whoever asks");
    assert_eq!(ledger.take(B, ONE, 2), Some(nonces(0, 2)), "a whole interval adds none");
    ledger.scanned(A, nonces(2, 4)).unwrap();
    ledger.scanned(B, nonces(0, 2)).unwrap();
    assert_eq!(ledger.take(B, ONE, 1), Some(nonces(4, 5)), "two became one");
    ledger.audit().unwrap();
}

#[test]
fn a_band_of_many_intervals_is_not_copied_beyond_the_bound() {
    let pairs = LEDGER_INTERVALS as u64 / 4;
    let mut ledger = Ledger::new(region((0, 8), (0, pairs * 2)), 8);
    let wide = width(8, 8);
    ledger.take(A, wide, u64::MAX).unwrap();
    for pair in 0..pairs {
        let back = region((0, 8), (pair * 2, pair * 2 + 1));
        ledger.give_back(A, back, Reason::Partial).unwrap();
    }
    assert_eq!(ledger.intervals(), LEDGER_INTERVALS / 2);
    // A copy for the other headers just fits; a second one does not.
    assert_eq!(ledger.take(B, ONE, 1), Some(region((0, 1), (0, 1))));
    assert_eq!(ledger.intervals(), LEDGER_INTERVALS);
    let piece = region((0, 1), (2, 3));
    assert_eq!(ledger.take(B, width(3, 3), 1), Some(piece), "no three headers can be cut off");
    assert_eq!(ledger.take(B, width(7, 8), 7), Some(region((1, 8), (0, 1))));
    ledger.audit().unwrap();
}

#[test]
fn nor_is_it_for_the_headers_before_a_whole_roll() {
    let pairs = LEDGER_INTERVALS as u64 / 4 + 1;
    let mut ledger = Ledger::new(region((7, 16), (0, pairs * 2)), 8);
    for headers in [(8, 16), (7, 8)] {
        let whole = region(headers, (0, pairs * 2));
        assert_eq!(ledger.take(A, width(8, 8), u64::MAX), Some(whole));
    }
    for pair in 0..pairs {
        let back = region((7, 16), (pair * 2, pair * 2 + 1));
        ledger.give_back(A, back, Reason::Partial).unwrap();
    }
    assert_eq!(ledger.bands.len(), 1);
    assert_eq!(ledger.take(B, width(8, 8), 8), None, "a copy for header 7 does not fit");
    for odd in [1, 3] {
        ledger.give_back(A, region((7, 16), (odd, odd + 1)), Reason::Partial).unwrap();
    }
    assert_eq!(ledger.take(B, width(8, 8), 8), Some(region((8, 16), (0, 1))), "now it does");
    ledger.audit().unwrap();
}

/// What each hash went through, kept the naive way.
struct Naive {
    space: Region,
    holder: Vec<Option<DeviceId>>,
    done: Vec<bool>,
}

impl Naive {
    fn new(space: Region) -> Self {
        let hashes = usize::try_from(space.len()).unwrap();
        Self { space, holder: vec![None; hashes], done: vec![false; hashes] }
    }

    /// Where the hashes of a region are; `None` when it leaves the space.
    fn places(&self, region: Region) -> Option<Vec<usize>> {
        let Region { headers, nonces } = self.space;
        let place = |hit: Hit| {
            let row = u64::from(hit.header) - headers.start();
            usize::try_from(row * nonces.len() + u64::from(hit.nonce) - nonces.start()).unwrap()
        };
        region.iter().map(|hit| self.space.contains(hit).then(|| place(hit))).collect()
    }

    /// The same for hashes that the device holds, all of them.
    fn held(&self, device: DeviceId, region: Region) -> Option<Vec<usize>> {
        let places = self.places(region)?;
        places.iter().all(|place| self.holder[*place] == Some(device)).then_some(places)
    }

    fn free(&self) -> usize {
        self.holder.iter().zip(&self.done).filter(|(held, done)| held.is_none() && !**done).count()
    }
}

proptest! {
    /// Random traffic of three devices of different widths: the account is exact after every move.
    #[test]
    fn every_history_is_an_exact_cover(
        (start, length) in (0_u64..1000, 0_u64..40),
        (first, headers, roll_bits) in (0_u64..20, 0_u64..20, 0_u32..5),
        widths in prop::array::uniform3((1_u32..6, 0_u32..12)),
        moves in prop::collection::vec(
            (0_u8..5, 0_u16..3, (0_u64..22, 1_u64..8), (0_u64..45, 1_u64..20)),
            0..120,
        ),
    ) {
        let space = region((first, first + headers), (start, start + length));
        let per_roll = 1 << roll_bits;
        let mut ledger = Ledger::new(space, per_roll);
        let mut naive = Naive::new(space);
        for (kind, device, (header, height), (nonce, count)) in moves {
            let (least, more) = widths[usize::from(device)];
            let width = width(least, least + more);
            let device = DeviceId(device);
            let range = region(
                (first + header, first + header + height),
                (start + nonce, start + nonce + count),
            );
            match kind {
                0 | 1 => if let Some(taken) = ledger.take(device, width, count * height) {
                    prop_assert!(width.takes(taken.headers), "{} of {:?}", taken, width);
                    let rolls = [taken.headers.start(), taken.headers.end() - 1]
                        .map(|header| header / u64::from(per_roll));
                    prop_assert_eq!(rolls[0], rolls[1]);
                    let wanted = (count * height).div_ceil(taken.headers.len());
                    prop_assert!(taken.nonces.len() <= wanted);
                    for place in naive.places(taken).unwrap() {
                        prop_assert!(naive.holder[place].is_none() && !naive.done[place]);
                        naive.holder[place] = Some(device);
                    }
                } else {
                    prop_assert_eq!(naive.free(), 0);
                },
                2 => {
                    let held = naive.held(device, range);
                    prop_assert_eq!(ledger.scanned(device, range).is_ok(), held.is_some());
                    for place in held.into_iter().flatten() {
                        naive.holder[place] = None;
                        naive.done[place] = true;
                    }
                }
                3 => {
                    let held = naive.held(device, range);
                    let given = ledger.give_back(device, range, Reason::Partial);
                    prop_assert_eq!(given.is_ok(), held.is_some());
                    for place in held.into_iter().flatten() {
                        naive.holder[place] = None;
                    }
                }
                _ => {
                    ledger.give_back_all(device, Reason::Lost);
                    for held in naive.holder.iter_mut().filter(|held| **held == Some(device)) {
                        *held = None;
                    }
                }
            }
            prop_assert_eq!(ledger.audit(), Ok(()));
            let done = naive.done.iter().filter(|done| **done).count() as u64;
            prop_assert_eq!(ledger.tally().scanned, done);
            prop_assert_eq!(ledger.tally().held, naive.holder.iter().flatten().count() as u64);
            prop_assert_eq!(ledger.free(), naive.free() as u64);
            prop_assert_eq!(ledger.is_complete(), done == space.len());
        }
    }
}
