//! The suite that every device passes at opening, before it may mine or be timed.
//!
//! What a device has to report is hashed here with the `sha2` crate, which shares no code with the
//! kernels.

use std::collections::{BTreeSet, VecDeque};
use std::iter::FusedIterator;
use std::sync::Arc;
use std::time::Duration;

use bitcoin::Target;
use bitcoin::block::Header;

use super::{Device, DeviceError};
use crate::chain::{self, KNOWN_BLOCKS, KnownBlock};
use crate::limits::{HITS_PER_BATCH, NONCES_PER_HEADER, SELFTEST_DEADLINE};
use crate::work::{Batch, Coverage, Filter, Job, JobId, Nonces, Scan, verify};

/// Runs the suite on an idle device until a check fails.
///
/// # Errors
///
/// [`Refused`] when a check fails. Drop the device then: it may have batches under way.
pub fn admit(device: &mut dyn Device) -> Result<(), Refused> {
    let mut failures = checks(device, SELFTEST_DEADLINE)
        .filter_map(|Check { name, outcome }| Some((name, outcome.err()?)));
    let Some((check, why)) = failures.next() else { return Ok(()) };
    let info = device.info();
    Err(Refused { device: info.name.clone(), kernel: info.kernel.clone(), check, why })
}

/// A device that failed its self-test.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{device} with kernel {kernel} failed the self-test at \"{check}\": {why}")]
pub struct Refused {
    /// The device's name.
    pub device: String,
    /// The kernel it ran.
    pub kernel: String,
    /// The first check that failed.
    pub check: String,
    /// What was expected, and what was found.
    pub why: String,
}

/// What came of one check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What was checked, in one line.
    pub name: String,
    /// When it failed: what was expected, and what was found.
    pub outcome: Result<(), String>,
}

/// Runs the suite on an idle device, a check for each call of `next`. Every batch gets `limit`.
///
/// The suite goes on after a wrong report and ends with the check in which the device breaks. When it
/// ended without a break, the device is idle again; left early, it has batches under way.
pub fn checks(device: &mut dyn Device, limit: Duration) -> Checks<'_> {
    let cases: VecDeque<Case> = cases().into();
    let waiting = cases.iter().flat_map(|case| &case.trials).map(|trial| trial.batch.clone());
    Checks { device, limit, waiting: waiting.collect(), under_way: 0, cases }
}

/// The suite at work: see [`checks`].
#[must_use = "a check runs when it is asked for"]
pub struct Checks<'a> {
    device: &'a mut dyn Device,
    limit: Duration,
    cases: VecDeque<Case>,
    /// The batches not begun yet, of all cases: the device stays busy from one check to the next.
    waiting: VecDeque<Batch>,
    under_way: usize,
}

impl Iterator for Checks<'_> {
    type Item = Check;

    fn next(&mut self) -> Option<Check> {
        let Case { name, trials } = self.cases.pop_front()?;
        let mut faults = Vec::new();
        for trial in &trials {
            match self.scan(trial) {
                // Of many wrong reports the first says enough.
                Ok(_) if !faults.is_empty() => {}
                Ok((expected, scan)) => {
                    let fault = trial.fault(&expected, &scan);
                    faults.extend(fault.map(|fault| format!("{}: {fault}", trial.place())));
                }
                Err(error) => {
                    faults.push(error.to_string());
                    self.cases.clear();
                    break;
                }
            }
        }
        let outcome = if faults.is_empty() { Ok(()) } else { Err(faults.join("; ")) };
        Some(Check { name, outcome })
    }
}

impl FusedIterator for Checks<'_> {}

impl Checks<'_> {
    /// The trial's true hits, and what the device says.
    fn scan(&mut self, trial: &Trial) -> Result<(Vec<u32>, Scan), DeviceError> {
        while self.under_way < self.device.info().in_flight.max(1) {
            let Some(batch) = self.waiting.pop_front() else { break };
            self.device.begin(batch)?;
            self.under_way += 1;
        }
        // Hashed while the device works.
        let expected = trial.expected();
        let scan = self.device.finish(self.limit)?;
        self.under_way -= 1;
        Ok((expected, scan))
    }
}

/// A check before it ran.
struct Case {
    name: String,
    trials: Vec<Trial>,
}

/// One batch of a check.
struct Trial {
    batch: Batch,
    /// The only hit of a batch that would take too long to hash; a test hashes it.
    only: Option<u32>,
}

impl Trial {
    fn new(job: &Arc<Job>, nonces: Nonces, bits: u32) -> Self {
        let batch = Batch { job: Arc::clone(job), nonces, filter: Filter::new(bits) };
        Self { batch, only: None }
    }

    /// `length` nonces around the one that solves the job's block.
    fn around(job: &Arc<Job>, before: u64, length: u64, bits: u32) -> Self {
        Self::new(job, Nonces::around(job.header.nonce, before, length), bits)
    }

    fn place(&self) -> String {
        format!("nonces {}, {}", self.batch.nonces, self.batch.filter)
    }

    /// All hits, in order.
    fn expected(&self) -> Vec<u32> {
        self.only.map_or_else(|| self.hashed(), |nonce| vec![nonce])
    }

    fn hashed(&self) -> Vec<u32> {
        self.batch.nonces.iter().filter(|&nonce| verify(&self.batch, nonce).is_ok()).collect()
    }

    /// What is wrong with a report, if anything is.
    fn fault(&self, expected: &[u32], scan: &Scan) -> Option<String> {
        let (found, overflowed) = match &scan.coverage {
            Coverage::Full => (scan.hits.len() as u64, false),
            Coverage::Overflow { found } => (*found, true),
            Coverage::Partial { why } => return Some(format!("the report is incomplete: {why}")),
        };
        let hits: BTreeSet<u32> = scan.hits.iter().copied().collect();
        let missing = expected.iter().find(|nonce| !hits.contains(nonce));
        let fault = if scan.nonces != self.batch.nonces {
            format!("the report is on nonces {}", scan.nonces)
        } else if let Some(nonce) = hits.iter().find(|nonce| !expected.contains(nonce)) {
            let bad = verify(&self.batch, *nonce).err();
            bad.map_or_else(|| format!("nonce {nonce:#010x} is not known"), |bad| bad.to_string())
        } else if hits.len() < scan.hits.len() {
            "a nonce is reported twice".to_owned()
        } else if overflowed != (expected.len() > HITS_PER_BATCH) {
            let says = if overflowed { "says" } else { "hides" };
            format!("the report {says} that it overflowed")
        } else if found == expected.len() as u64 {
            // No hit is wrong or double, so with this number none is missing.
            return None;
        } else {
            match missing.filter(|_| !overflowed) {
                Some(nonce) => format!("nonce {nonce:#010x} is missing"),
                None => "the report counts wrongly".to_owned(),
            }
        };
        Some(format!("hits expected: {}, found: {found}; {fault}", expected.len()))
    }
}

/// The suite. Small enough for a processor that renders in software: some 1.1 million nonces, of which
/// half must be hashed here.
fn cases() -> Vec<Case> {
    let jobs = jobs();
    let mut cases = known_blocks(&jobs);
    cases.extend(places(&jobs));
    cases.extend(filters(&jobs));
    cases.extend(reports(&jobs));
    cases.extend(ranges(&jobs));
    cases.extend(mixtures(&jobs));
    cases.extend(jobs.first().into_iter().flat_map(large));
    cases
}

/// The known blocks as jobs, in their order.
fn jobs() -> Vec<Arc<Job>> {
    // A test of the table parses every entry.
    let headers = KNOWN_BLOCKS.iter().filter_map(|block| block.header().ok());
    headers.zip(0..).map(|(header, number)| job(number, header)).collect()
}

fn job(number: u64, header: Header) -> Arc<Job> {
    Arc::new(Job { id: JobId(number), header, target: Target::MAX, nonces: Nonces::ALL })
}

fn case(name: impl Into<String>, trials: impl IntoIterator<Item = Trial>) -> Case {
    Case { name: name.into(), trials: trials.into_iter().collect() }
}

/// Real work: the whole word must be zero, in headers of every kind.
fn known_blocks(jobs: &[Arc<Job>]) -> Vec<Case> {
    let of = |(block, job): (&KnownBlock, &Arc<Job>)| {
        let year = 1970 + job.header.time / SECONDS_PER_YEAR;
        let length = 2001 + 2 * job.id.0;
        let name = format!("block {}, {year}, {}", block.height, block.network);
        case(name, [Trial::around(job, length / 3, length, 32)])
    };
    KNOWN_BLOCKS.iter().zip(jobs).map(of).collect()
}

/// Where in a range a hit lies.
fn places(jobs: &[Arc<Job>]) -> Vec<Case> {
    let some = || jobs.iter().step_by(4);
    let ends = some().flat_map(|job| {
        [(0, 1), (0, 1000), (999, 1000)]
            .map(|(before, length)| Trial::around(job, before, length, 32))
    });
    let groups = some().flat_map(|job| {
        WORKGROUPS.into_iter().flat_map(move |threads| {
            let lane = u64::from(job.header.nonce) % threads;
            [lane, lane + 3 * threads].map(|before| Trial::around(job, before, 4 * threads, 32))
        })
    });
    let outside = some().flat_map(|job| {
        let before = Nonces::around(job.header.nonce, 777, 778).split_at(777).0;
        let after = Nonces::around(job.header.nonce, 0, 778).split_at(1).1;
        [(before, 32), (after, 32), (before, 24), (after, 24)]
            .map(|(nonces, bits)| Trial::new(job, nonces, bits))
    });
    vec![
        case("a hit in the first and in the last thread", ends),
        case("a hit in the first and in the last workgroup", groups),
        case("no hit: the nonces beside a known one", outside),
    ]
}

/// Every kind of mask, with many hits where it is easy, and with hashes that it only just stops.
fn filters(jobs: &[Arc<Job>]) -> Vec<Case> {
    let of = |((bits, length), job): ((u32, u64), &Arc<Job>)| {
        let plural = if bits == 1 { "" } else { "s" };
        let name = format!("a filter of {bits} bit{plural}");
        case(name, [Trial::around(job, length / 2, length, bits)])
    };
    let near = jobs.iter().take(1).flat_map(|job| {
        NEAR_MISSES.into_iter().flat_map(move |(nonce, zeros)| {
            let nonces = Nonces::around(nonce, 50, 99);
            [zeros, zeros + 1, 32].map(|bits| Trial::new(job, nonces, bits))
        })
    });
    let near = case("hashes that almost pass a filter", near);
    FILTERS.into_iter().zip(jobs).map(of).chain([near]).collect()
}

/// How many hits a report holds.
fn reports(jobs: &[Arc<Job>]) -> Vec<Case> {
    let most = HITS_PER_BATCH as u64;
    let trials = |sizes: &[(u64, u32)]| -> Vec<Trial> {
        jobs.iter()
            .zip(sizes)
            .map(|(job, &(length, bits))| Trial::around(job, 1, length, bits))
            .collect()
    };
    vec![
        case("as many hits as a report holds", trials(&[(most - 1, 0), (most, 0)])),
        case("more hits than a report holds", trials(&[(most + 1, 0), (1000, 0), (10_000, 4)])),
    ]
}

/// Where ranges begin and end, and how long they are.
fn ranges(jobs: &[Arc<Job>]) -> Vec<Case> {
    let trials = |place: fn(&Job, u64) -> Nonces| -> Vec<Trial> {
        let pairs = LENGTHS.iter().zip(jobs);
        pairs.map(|(&(length, bits), job)| Trial::new(job, place(job, length), bits)).collect()
    };
    let carries = CARRIES.into_iter().zip(jobs);
    let carries = carries.map(|(nonce, job)| Trial::new(job, Nonces::around(nonce, 100, 201), 0));
    vec![
        case(
            "ranges of 0 to 5001 nonces from an odd start",
            trials(|job, length| Nonces::around(job.header.nonce | 1, 0, length)),
        ),
        case("ranges that start at 0", trials(|_, length| Nonces::ALL.split_at(length).0)),
        case(
            "ranges that end at 2^32",
            trials(|_, length| Nonces::ALL.split_at(NONCES_PER_HEADER - length).1),
        ),
        case("ranges across a carry between the bytes of a nonce", carries),
    ]
}

/// Batches in flight together that a device could take for each other.
fn mixtures(jobs: &[Arc<Job>]) -> Vec<Case> {
    let bytes = jobs.iter().take(1).flat_map(|first| {
        // One byte of each field, both halves of the merkle root, and the nonce, which is to be ignored.
        let others =
            [0, 3, 4, 35, 36, 63, 64, 67, 68, 71, 72, 75, 76, 79].into_iter().map(|byte| {
                let mut bytes = chain::header_bytes(&first.header);
                bytes[byte] ^= 0x10;
                job(100 + byte as u64, chain::header_from_bytes(&bytes))
            });
        others.flat_map(|other| {
            let nonces = Nonces::around(first.header.nonce, 500, 1000);
            [(&other, 32), (&other, 5), (first, 32)]
                .map(|(job, bits)| Trial::new(job, nonces, bits))
        })
    });
    let pairs = jobs.iter().zip(jobs.iter().skip(1)).flat_map(|(one, other)| {
        let nonces = Nonces::around(one.header.nonce, 200, 501);
        [(one, 32), (other, 32), (one, 4)].map(|(job, bits)| Trial::new(job, nonces, bits))
    });
    vec![
        case("headers that differ in one byte", bytes),
        case("jobs and filters in turn, in flight together", pairs),
    ]
}

/// Enough nonces to occupy a whole GPU.
fn large(job: &Arc<Job>) -> [Case; 2] {
    let many = Trial::around(job, 200_000, (1 << 18) + 3, 11);
    let zero =
        Trial { only: Some(job.header.nonce), ..Trial::around(job, 400_000, (1 << 19) + 5, 32) };
    [
        case("262147 nonces at once, many hits", [many]),
        case("524293 nonces at once, one hit", [zero]),
    ]
}

/// Mean Gregorian year.
const SECONDS_PER_YEAR: u32 = 31_556_952;

/// Threads of the workgroups in use.
const WORKGROUPS: [u64; 3] = [64, 128, 256];

/// Leading zero bits, and nonces that hold no more such hits than a report.
const FILTERS: [(u32, u64); 9] = [
    (0, 252),
    (1, 400),
    (7, 1 << 14),
    (8, 1 << 14),
    (9, 1 << 14),
    (16, 1 << 14),
    (20, 1 << 14),
    (24, 1 << 10),
    (31, 1 << 10),
];

/// Nonces of block 0, and the leading zero bits of their hashes. The last one passes the strictest
/// filter, though it does not solve the block.
const NEAR_MISSES: [(u32, u32); 8] = [
    (0x6cdf_7ca6, 30),
    (0x7a81_b0bb, 30),
    (0xb5a3_8337, 29),
    (0x9d54_87cb, 28),
    (0xeeca_3203, 28),
    (0xef4c_b787, 27),
    (0xf3c6_5bb1, 27),
    (0xbe96_aceb, 32),
];

/// Lengths of ranges beside those of workgroups, each with a filter whose hits fit a report.
const LENGTHS: [(u64, u32); 14] = [
    (0, 0),
    (1, 0),
    (2, 0),
    (63, 0),
    (64, 0),
    (65, 0),
    (127, 0),
    (128, 0),
    (129, 0),
    (252, 0),
    (255, 1),
    (257, 1),
    (1000, 3),
    (5001, 6),
];

/// Nonces at which a carry reaches a higher byte, or the sign of a signed number.
const CARRIES: [u32; 5] = [1 << 8, 1 << 16, 1 << 24, 1 << 31, 0xff00_0000];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::DeviceInfo;
    use crate::device::cpu::Cpu;
    use crate::device::sim::{Fault, Script, Sim};

    const LIMIT: Duration = SELFTEST_DEADLINE;

    #[test]
    fn right_devices_pass_every_check() {
        let names: BTreeSet<String> = cases().into_iter().map(|case| case.name).collect();
        let devices: [Box<dyn Device>; 2] =
            [Box::new(Cpu::open(None).unwrap()), Box::new(Sim::new())];
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
        let cases = cases();
        assert_eq!(cases.iter().filter(|case| case.name.starts_with("block ")).count(), 32);
        assert_eq!(cases[0].name, "block 0, 2009, main");
        let (mut nonces, mut hashed) = (0, 0);
        for case in &cases {
            assert!(!case.trials.is_empty() && case.name.len() <= 60, "{}", case.name);
            let mut hits = Vec::new();
            for trial in &case.trials {
                nonces += trial.batch.nonces.len();
                hashed += trial.only.map_or(trial.batch.nonces.len(), |_| 0);
                assert_eq!(trial.expected(), trial.hashed(), "{}", trial.place());
                hits.push(trial.expected().len());
            }
            let fit = |hits: &usize| *hits <= HITS_PER_BATCH;
            match case.name.as_str() {
                "more hits than a report holds" => assert!(!hits.iter().any(fit)),
                "as many hits as a report holds" => {
                    assert_eq!(hits, [HITS_PER_BATCH - 1, HITS_PER_BATCH]);
                }
                "no hit: the nonces beside a known one" => {
                    assert!(hits.iter().all(|hits| *hits == 0));
                }
                name => {
                    assert!(hits.iter().all(fit) && hits.iter().any(|hits| *hits > 0), "{name}");
                }
            }
        }
        assert!(nonces < 1_500_000 && hashed < 700_000, "{nonces} nonces, {hashed} hashed");
    }

    #[test]
    fn near_misses_have_the_zeros_that_they_claim() {
        let case = cases().into_iter().find(|case| case.name.contains("almost")).unwrap();
        for (trials, (nonce, zeros)) in case.trials.chunks(3).zip(NEAR_MISSES) {
            let hits = [0, 1, 2].map(|trial| trials[trial].expected());
            let strict = if zeros == 32 { vec![nonce] } else { vec![] };
            assert_eq!(hits, [vec![nonce], strict.clone(), strict]);
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
        let mut sim = Sim::new().script(Script::new().on(0, Fault::WrongHit(nonce)));
        let refused = admit(&mut sim).unwrap_err();
        let start = format!(
            "Simulated device with kernel scripted failed the self-test at \"block 0, 2009, main\": nonces \
             {}..{}, 32 leading zero bits: hits expected: 1, found: 2; nonce {nonce:#010x} hashes to ",
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
                scan.hits.retain(|&nonce| is_kept(batch, nonce.into()));
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
            scan.nonces = asked.nonces;
            (self.tell)(&asked, &mut scan);
            Ok(scan)
        }
    }

    fn cut(batch: &mut Batch, start: u64, end: u64) {
        batch.nonces = Nonces::new(start, end.max(start).min(NONCES_PER_HEADER)).unwrap();
    }

    #[test]
    fn wrong_ranges_and_filters_are_found_out() {
        let filter = |change: fn(u32) -> u32| {
            Broken::asking(move |batch| batch.filter = Filter::new(change(batch.filter.bits())))
        };
        let range = |change: fn(u64, u64) -> (u64, u64)| {
            Broken::asking(move |batch| {
                let (start, end) = change(batch.nonces.start(), batch.nonces.end());
                cut(batch, start, end);
            })
        };
        let devices = [
            ("masks whole bytes", filter(|bits| bits / 8 * 8)),
            ("masks every byte it meets", filter(|bits| bits.next_multiple_of(8))),
            ("knows the zero test only", filter(|_| 32)),
            ("knows masks of 29 bits at most", filter(|bits| bits.min(29))),
            ("starts with a whole workgroup", range(|start, end| (start / 64 * 64, end))),
            (
                "leaves the first workgroup out",
                range(|start, end| (start.next_multiple_of(64), end)),
            ),
            ("leaves the last workgroup out", range(|start, end| (start, end / 64 * 64))),
            ("ends with a whole workgroup", range(|start, end| (start, end.next_multiple_of(64)))),
            (
                "leaves the last nonce out",
                range(|start, end| (start, end - u64::from(end > start))),
            ),
            ("takes an empty range for one nonce", range(|start, end| (start, end.max(start + 1)))),
        ];
        for (name, mut device) in devices {
            assert!(admit(&mut device).is_err(), "a device that {name} is admitted");
        }
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
                let mut bytes = chain::header_bytes(&batch.job.header);
                bytes[byte] = 0x5a;
                batch.job = job(0, chain::header_from_bytes(&bytes));
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
            if let (Coverage::Overflow { .. }, Some(last)) = (&scan.coverage, scan.hits.last_mut())
            {
                *last = 0;
            }
        };
        let elsewhere = |_: &Batch, scan: &mut Scan| scan.nonces = Nonces::ALL;
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
                Broken::keeping(|batch, nonce| nonce < batch.nonces.start() + (1 << 18)),
            ),
            ("loses a carry", Broken::keeping(|_, nonce| nonce != 1 << 24)),
        ];
        for (name, mut device) in devices {
            assert!(admit(&mut device).is_err(), "a device that {name} is admitted");
        }
    }
}
