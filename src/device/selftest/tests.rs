//! The suite passes devices that are right, and finds out those that are not.

use super::*;
use crate::device::DeviceInfo;
use crate::device::cpu::Cpu;
use crate::device::sim::{Fault, Script, Sim};

const LIMIT: Duration = SELFTEST_DEADLINE;

#[test]
fn right_devices_pass_every_check() {
    let names: BTreeSet<String> = cases(Width::ONE).into_iter().map(|case| case.name).collect();
    let devices: [Box<dyn Device>; 2] = [Box::new(Cpu::open(None).unwrap()), Box::new(Sim::new())];
    for mut device in devices {
        let mut passed = BTreeSet::new();
        for check in checks(device.as_mut(), LIMIT) {
            assert_eq!(check.outcome, Ok(()), "{}", check.name);
            assert!(passed.insert(check.name), "two checks of one name");
        }
        assert_eq!(passed, names);
        assert_eq!(device.finish(LIMIT), Err(DeviceError::Idle));
    }
}

#[test]
fn a_device_may_take_one_batch_at_a_time() {
    let info = DeviceInfo { in_flight: 1, ..Sim::new().info().clone() };
    assert_eq!(admit(&mut Sim::new().described(info)), Ok(()));
}

#[test]
fn the_suite_is_what_it_says() {
    let cases = cases(Width::ONE);
    assert_eq!(cases.iter().filter(|case| case.name.starts_with("block ")).count(), 32);
    assert_eq!(cases[0].name, "block 0, 2009, main");
    let (mut all, mut hashed) = (0, 0);
    for case in &cases {
        assert!(!case.trials.is_empty() && case.name.len() <= 60, "{}", case.name);
        let mut hits = Vec::new();
        for trial in &case.trials {
            all += trial.batch.region.len();
            hashed += trial.only.map_or(trial.batch.region.len(), |_| 0);
            assert_eq!(trial.expected(), trial.hashed(), "{}", trial.place());
            hits.push(trial.expected().len());
        }
        let fit = |hits: &usize| *hits <= HITS_PER_BATCH;
        match case.name.as_str() {
            "more hits than a report holds" => assert!(!hits.iter().any(fit)),
            "as many hits as a report holds" => {
                assert_eq!(hits, [HITS_PER_BATCH - 1, HITS_PER_BATCH]);
            }
            "a hit in the first and in the last thread" => {
                assert_eq!(hits, [1; 6]);
                for trial in &case.trials {
                    let nonce = trial.expected()[0].nonce;
                    assert!(WORKGROUPS.into_iter().all(|threads| {
                        let lane = u64::from(nonce) % threads;
                        lane == if nonce & 1 == 0 { 0 } else { threads - 1 }
                    }));
                }
            }
            "no hit: the nonces beside a known one" => {
                assert!(hits.iter().all(|hits| *hits == 0));
            }
            name => {
                assert!(hits.iter().all(fit) && hits.iter().any(|hits| *hits > 0), "{name}");
            }
        }
    }
    assert!(all < 1_500_000 && hashed < 700_000, "{all} hashes, {hashed} made here");
}

#[test]
fn near_misses_have_the_zeros_that_they_claim() {
    let case = cases(Width::ONE).into_iter().find(|case| case.name.contains("almost")).unwrap();
    for (trials, (nonce, zeros)) in case.trials.chunks(3).zip(NEAR_MISSES) {
        let hits = [0, 1, 2].map(|trial| trials[trial].expected());
        let hit = Hit { header: 0, nonce };
        let strict = if zeros == 32 { vec![hit] } else { vec![] };
        assert_eq!(hits, [vec![hit], strict.clone(), strict]);
    }
}

/// Runs the whole suite and names the checks that pass.
fn passed(device: &mut dyn Device) -> Vec<String> {
    let passed = checks(device, LIMIT).filter(|check| check.outcome.is_ok());
    passed.map(|check| check.name).collect()
}

#[test]
fn each_check_can_fail() {
    for fault in [Fault::OutsideHit, Fault::Overflow, Fault::Partial] {
        let names = passed(&mut Sim::new().script(Script::new().since(0, fault)));
        assert!(names.is_empty(), "{fault:?}: {names:?}");
    }
    for fault in [Fault::MissHits, Fault::RepeatHits] {
        let names = passed(&mut Sim::new().script(Script::new().since(0, fault)));
        assert_eq!(names, ["no hit: the nonces beside a known one"], "{fault:?}");
    }
}

#[test]
fn a_wrong_nonce_is_told_with_its_hash() {
    let nonce = KNOWN_BLOCKS[0].header().unwrap().nonce + 1;
    let mut sim = Sim::new().script(Script::new().on(0, Fault::WrongHit(Hit { header: 0, nonce })));
    let refused = admit(&mut sim).unwrap_err();
    let start = format!(
        "Simulated device with kernel scripted failed the self-test at \"block 0, 2009, main\": nonces \
         {}..{} of header 0, 32 leading zero bits: hits expected: 1, found: 2; nonce {nonce:#010x} of version \
         0x00000001 hashes to ",
        nonce - 668,
        nonce + 1333,
    );
    assert!(refused.to_string().starts_with(&start), "{refused}");
}

#[test]
fn a_device_that_breaks_ends_the_suite_with_its_error() {
    for (fault, text) in [
        (Fault::Refuse, "the driver failed: batch 40 refused"),
        (Fault::Hang, "the device did not answer within"),
        (Fault::Lost, "the device was lost: batch 40"),
    ] {
        let mut sim = Sim::new().script(Script::new().on(40, fault));
        let checks: Vec<Check> = checks(&mut sim, LIMIT).collect();
        let (last, before) = checks.split_last().unwrap();
        assert!(before.len() >= 32 && before.iter().all(|check| check.outcome.is_ok()));
        let why = last.outcome.as_ref().unwrap_err();
        assert!(why.contains(text), "{why}");
        let mut sim = Sim::new().script(Script::new().on(40, fault));
        assert_eq!(&admit(&mut sim).unwrap_err().why, why);
    }
    let script = Script::new().on(0, Fault::Lost);
    assert_eq!(checks(&mut Sim::new().script(script), LIMIT).count(), 1);
}

/// A device that misunderstands what it is asked, or tells something else than it found.
struct Broken {
    sim: Sim,
    asked: VecDeque<Batch>,
    ask: Box<dyn FnMut(&mut Batch) + Send>,
    tell: Box<Tell>,
}

type Tell = dyn FnMut(&Batch, &mut Scan) + Send;

impl Broken {
    fn asking(ask: impl FnMut(&mut Batch) + Send + 'static) -> Self {
        let (sim, asked) = (Sim::new(), VecDeque::new());
        Self { sim, asked, ask: Box::new(ask), tell: Box::new(|_, _| {}) }
    }

    fn telling(tell: impl FnMut(&Batch, &mut Scan) + Send + 'static) -> Self {
        Self { tell: Box::new(tell), ..Self::asking(|_| {}) }
    }

    fn keeping(is_kept: fn(&Batch, u64) -> bool) -> Self {
        Self::telling(move |batch, scan| {
            scan.hits.retain(|hit| is_kept(batch, hit.nonce.into()));
        })
    }
}

impl Device for Broken {
    fn info(&self) -> &DeviceInfo {
        self.sim.info()
    }

    fn begin(&mut self, batch: Batch) -> Result<(), DeviceError> {
        self.asked.push_back(batch.clone());
        let mut batch = batch;
        (self.ask)(&mut batch);
        self.sim.begin(batch)
    }

    fn finish(&mut self, limit: Duration) -> Result<Scan, DeviceError> {
        let mut scan = self.sim.finish(limit)?;
        let asked = self.asked.pop_front().unwrap();
        scan.region = asked.region;
        (self.tell)(&asked, &mut scan);
        Ok(scan)
    }
}

fn cut(batch: &mut Batch, start: u64, end: u64) {
    batch.region.nonces = Nonces::new(start, end.max(start).min(NONCES_PER_HEADER)).unwrap();
}

#[test]
fn wrong_ranges_and_filters_are_found_out() {
    let filter = |change: fn(u32) -> u32| {
        Broken::asking(move |batch| batch.filter = Filter::new(change(batch.filter.bits())))
    };
    let range = |change: fn(u64, u64) -> (u64, u64)| {
        Broken::asking(move |batch| {
            let (start, end) = change(batch.region.nonces.start(), batch.region.nonces.end());
            cut(batch, start, end);
        })
    };
    let devices = [
        ("masks whole bytes", filter(|bits| bits / 8 * 8)),
        ("masks every byte it meets", filter(|bits| bits.next_multiple_of(8))),
        ("knows the zero test only", filter(|_| 32)),
        ("knows masks of 29 bits at most", filter(|bits| bits.min(29))),
        ("starts with a whole workgroup", range(|start, end| (start / 64 * 64, end))),
        ("leaves the first workgroup out", range(|start, end| (start.next_multiple_of(64), end))),
        ("leaves the last workgroup out", range(|start, end| (start, end / 64 * 64))),
        ("ends with a whole workgroup", range(|start, end| (start, end.next_multiple_of(64)))),
        ("leaves the last nonce out", range(|start, end| (start, end - u64::from(end > start)))),
        ("takes an empty range for one nonce", range(|start, end| (start, end.max(start + 1)))),
    ];
    for (name, mut device) in devices {
        assert!(admit(&mut device).is_err(), "a device that {name} is admitted");
    }
}

/// Widths like those of real layouts, but small enough to hash.
const WIDTHS: [Width; 4] = [
    Width { least: 2, most: 2, filter: Filter::WORD, ..Width::ONE },
    Width { least: 1, most: 5, filter: Filter::new(0), ..Width::ONE },
    Width { least: 4, most: 100, filter: Filter::new(9), ..Width::ONE },
    Width { least: 64, most: 1024, filter: Filter::WORD, ..Width::ONE },
];

#[test]
fn wide_devices_pass_and_every_number_of_headers_is_tried() {
    for width in WIDTHS {
        let mut tried = BTreeSet::new();
        let mut places = BTreeSet::new();
        let mut hashed = 0;
        for case in cases(width) {
            assert!(case.name.len() <= 60, "{}", case.name);
            for trial in &case.trials {
                let Region { headers, nonces } = trial.batch.region;
                assert!(width.with(trial.batch.filter).takes(headers));
                assert!(trial.batch.job.rolls.are_of_one_roll(headers));
                assert!(headers.len() == 1 || headers.start() > 0);
                tried.insert(headers.len());
                if headers.len() > 1 && trial.only.is_none() {
                    hashed += trial.batch.region.len();
                    assert!((20..=HITS_PER_BATCH).contains(&trial.expected().len()));
                } else if let Some(hit) = trial.only.filter(|_| headers.len() > 1) {
                    assert!(verify(&trial.batch, hit).is_ok(), "{}", trial.place());
                    let ends = |first, last, at: u32| (at == first, u64::from(at) + 1 == last);
                    places.insert((
                        ends(headers.first(), headers.end(), hit.header),
                        ends(nonces.first(), nonces.end(), hit.nonce),
                        nonces.len().min(4),
                    ));
                }
            }
        }
        let expected =
            [1, width.least.max(2), u32::midpoint(width.least, width.most).max(2), width.most];
        assert_eq!(tried, expected.map(u64::from).into());
        assert!(places.len() >= if width.most > 2 { 12 } else { 8 }, "{width}: {places:?}");
        assert!(hashed < 400_000, "{width}: {hashed}");
        assert_eq!(admit(&mut Sim::new().wide(width)), Ok(()), "{width}");
    }
}

#[test]
fn the_widest_device_is_tested_with_all_its_headers() {
    let width = Width { least: 64, most: 1 << 16, filter: Filter::new(9), ..Width::ONE };
    let (mut all, mut hashed) = (0, 0);
    for trial in cases(width).iter().flat_map(|case| &case.trials) {
        if trial.batch.region.headers.len() > 1 {
            all += trial.batch.region.len();
            hashed += trial.only.map_or(trial.batch.region.len(), |_| 0);
            assert!(trial.only.is_none_or(|hit| verify(&trial.batch, hit).is_ok()));
        }
    }
    assert!(all < 6_000_000 && hashed < 350_000, "{all} hashes, {hashed} made here");
}

#[test]
fn headers_taken_for_each_other_are_found_out() {
    for width in WIDTHS {
        let mirror = Script::new().since(0, Fault::MirrorHeaders);
        let refused = admit(&mut Sim::new().wide(width).script(mirror)).unwrap_err();
        assert!(refused.check.ends_with("headers side by side, one hit"), "{refused}");

        let wide = |broken: Broken| Broken { sim: Sim::new().wide(width), ..broken };
        let devices = [
            (
                "always starts with the first header",
                wide(Broken::asking(|batch| {
                    let length = batch.region.headers.len();
                    batch.region.headers = Headers::ALL.split_at(length).0;
                })),
            ),
            (
                "leaves out the last of many headers",
                wide(Broken::telling(|batch, scan| {
                    let last = batch.region.headers.end() - 1;
                    let many = batch.region.headers.len() > 1;
                    scan.hits.retain(|hit| !many || u64::from(hit.header) != last);
                })),
            ),
            (
                "leaves out the last nonce of many headers",
                wide(Broken::telling(|batch, scan| {
                    let last = batch.region.nonces.end().saturating_sub(1);
                    let many = batch.region.headers.len() > 1;
                    scan.hits.retain(|hit| !many || u64::from(hit.nonce) != last);
                })),
            ),
            (
                "reports a hit for its header and for the next",
                wide(Broken::telling(|batch, scan| {
                    let next = scan.hits.first().map(|hit| Hit { header: hit.header + 1, ..*hit });
                    scan.hits.extend(next.filter(|hit| batch.region.contains(*hit)));
                })),
            ),
            (
                "reports each of many headers' hits twice",
                wide(Broken::telling(|batch, scan| {
                    if batch.region.headers.len() > 1 {
                        scan.hits.extend_from_within(..);
                    }
                })),
            ),
        ];
        for (name, mut device) in devices {
            assert!(admit(&mut device).is_err(), "{width}: a device that {name} is admitted");
        }
    }
}

#[test]
fn a_device_that_keeps_the_words_of_another_header_is_found_out() {
    let mut frozen = Broken::asking(|batch| batch.region.headers = Headers::one(0));
    let refused = admit(&mut frozen).unwrap_err();
    assert_eq!(refused.check, "headers of one job in turn");
}

#[test]
fn jobs_taken_for_each_other_are_found_out() {
    let mut last: Option<Arc<Job>> = None;
    let mut late = Broken::asking(move |batch| {
        let job = Arc::clone(&batch.job);
        batch.job = last.replace(Arc::clone(&job)).unwrap_or(job);
    });
    assert!(admit(&mut late).is_err());
    let mut last = Vec::new();
    let mut stale = Broken::telling(move |_, scan| std::mem::swap(&mut last, &mut scan.hits));
    assert!(admit(&mut stale).is_err());
    // The words of a job that a cache mixes up: each byte of the header must matter but the nonce.
    for byte in 0..76 {
        let mut frozen = Broken::asking(move |batch| {
            let header = batch.job.rolls.header(batch.region.headers.first());
            let mut bytes = chain::header_bytes(&header);
            bytes[byte] = 0x5a;
            batch.job = job(0, chain::header_from_bytes(&bytes));
            batch.region.headers = Headers::one(0);
        });
        assert!(admit(&mut frozen).is_err(), "byte {byte} of the header does not matter");
    }
}

#[test]
fn wrong_reports_are_found_out() {
    let saturated = |_: &Batch, scan: &mut Scan| {
        if let Coverage::Overflow { found } = &mut scan.coverage {
            *found = (*found).min(HITS_PER_BATCH as u64 + 1);
        }
    };
    let early = |_: &Batch, scan: &mut Scan| {
        if scan.hits.len() == HITS_PER_BATCH && scan.coverage == Coverage::Full {
            scan.coverage = Coverage::Overflow { found: HITS_PER_BATCH as u64 };
        }
    };
    let garbled = |_: &Batch, scan: &mut Scan| {
        if let (Coverage::Overflow { .. }, Some(last)) = (&scan.coverage, scan.hits.last_mut()) {
            *last = Hit { header: 0, nonce: 0 };
        }
    };
    let elsewhere = |_: &Batch, scan: &mut Scan| scan.region.nonces = Nonces::ALL;
    let devices = [
        (
            "misses the last hit of many",
            Broken::telling(|_, scan| drop(scan.hits.split_off(scan.hits.len().min(60)))),
        ),
        ("overflows quietly", Broken::telling(|_, scan| scan.coverage = Coverage::Full)),
        ("counts to 253", Broken::telling(saturated)),
        ("overflows by a full report", Broken::telling(early)),
        ("garbles a report that overflowed", Broken::telling(garbled)),
        ("answers for another range", Broken::telling(elsewhere)),
        ("has a dead last lane", Broken::keeping(|_, nonce| nonce % 256 != 255)),
        ("has a dead first lane", Broken::keeping(|_, nonce| nonce % 256 != 0)),
        ("loses the last nonce of a header", Broken::keeping(|_, nonce| nonce != 0xffff_ffff)),
        ("loses the first nonce of a header", Broken::keeping(|_, nonce| nonce != 0)),
        ("takes nonces for signed numbers", Broken::keeping(|_, nonce| nonce < 1 << 31)),
        (
            "stops after 2^18 nonces",
            Broken::keeping(|batch, nonce| nonce < batch.region.nonces.start() + (1 << 18)),
        ),
        ("loses a carry", Broken::keeping(|_, nonce| nonce != 1 << 24)),
    ];
    for (name, mut device) in devices {
        assert!(admit(&mut device).is_err(), "a device that {name} is admitted");
    }
}
