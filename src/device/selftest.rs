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
use crate::work::{
    Batch, Coverage, Filter, Headers, Hit, Job, JobId, Nonces, Region, Rolls, Scan, Width, verify,
};

/// Runs the suite on an idle device until a check fails.
///
/// # Errors
///
/// [`Refused`] when a check fails. Drop the device then: it may have batches under way.
pub fn admit(device: &mut dyn Device) -> Result<(), Refused> {
    first_failure(cases(device.info().width), device)
}

fn first_failure(cases: Vec<Case>, device: &mut dyn Device) -> Result<(), Refused> {
    let mut failures = Checks::new(cases, device, SELFTEST_DEADLINE)
        .filter_map(|Check { name, outcome }| Some((name, outcome.err()?)));
    let Some((check, why)) = failures.next() else { return Ok(()) };
    let info = device.info();
    Err(Refused { device: info.name.clone(), kernel: info.kernel.clone(), check, why })
}

/// A few known answers, for a device that works: a header of every few years, hits in the first and last thread and
/// workgroup, and for a device that takes many headers at once some of those. It takes a fraction of a second.
///
/// # Errors
///
/// As [`admit`].
pub fn remind(device: &mut dyn Device) -> Result<(), Refused> {
    first_failure(reminders(device.info().width), device)
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
    Checks::new(cases(device.info().width), device, limit)
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

impl<'a> Checks<'a> {
    fn new(cases: Vec<Case>, device: &'a mut dyn Device, limit: Duration) -> Self {
        let trials = cases.iter().flat_map(|case| &case.trials);
        let waiting = trials.map(|trial| trial.batch.clone()).collect();
        Self { device, limit, waiting, under_way: 0, cases: cases.into() }
    }

    /// The trial's true hits, and what the device says.
    fn scan(&mut self, trial: &Trial) -> Result<(Vec<Hit>, Scan), DeviceError> {
        while self.under_way < self.device.info().in_flight.max(1) {
            let Some(batch) = self.waiting.pop_front() else { break };
            self.device.begin(batch)?;
            self.under_way += 1;
        }
        // Hashed while the device works.
        let mut expected = trial.expected();
        let scan = self.device.finish(self.limit)?;
        self.under_way -= 1;
        if trial.only.is_some() {
            // What was not hashed may hold another hit, though hardly ever does.
            let found: BTreeSet<Hit> = scan.hits.iter().copied().collect();
            let others = found.into_iter().filter(|hit| trial.only != Some(*hit));
            expected.extend(others.filter(|hit| verify(&trial.batch, *hit).is_ok()));
        }
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
    only: Option<Hit>,
}

impl Trial {
    /// Nonces of the job's first header.
    fn new(job: &Arc<Job>, nonces: Nonces, bits: u32) -> Self {
        Self::of(job, Region::first_header(nonces), bits)
    }

    fn of(job: &Arc<Job>, region: Region, bits: u32) -> Self {
        let batch = Batch { job: Arc::clone(job), region, filter: Filter::new(bits) };
        Self { batch, only: None }
    }

    /// `length` nonces around the one that solves the job's block.
    fn around(job: &Arc<Job>, before: u64, length: u64, bits: u32) -> Self {
        Self::new(job, Nonces::around(solution(job), before, length), bits)
    }

    fn place(&self) -> String {
        format!("{}, {}", self.batch.region, self.batch.filter)
    }

    /// All hits, in order.
    fn expected(&self) -> Vec<Hit> {
        self.only.map_or_else(|| self.hashed(), |hit| vec![hit])
    }

    fn hashed(&self) -> Vec<Hit> {
        self.batch.region.iter().filter(|&hit| verify(&self.batch, hit).is_ok()).collect()
    }

    /// What is wrong with a report, if anything is.
    fn fault(&self, expected: &[Hit], scan: &Scan) -> Option<String> {
        let (found, overflowed) = match &scan.coverage {
            Coverage::Full => (scan.hits.len() as u64, false),
            Coverage::Overflow { found } => (*found, true),
            Coverage::Partial { why } => return Some(format!("the report is incomplete: {why}")),
        };
        let hits: BTreeSet<Hit> = scan.hits.iter().copied().collect();
        let missing = expected.iter().find(|hit| !hits.contains(hit));
        let name = |hit: &Hit| format!("nonce {:#010x} of header {}", hit.nonce, hit.header);
        let fault = if scan.region != self.batch.region {
            format!("the report is on {}", scan.region)
        } else if let Some(hit) = hits.iter().find(|hit| !expected.contains(hit)) {
            let bad = verify(&self.batch, *hit).err();
            bad.map_or_else(|| format!("{} is not known", name(hit)), |bad| bad.to_string())
        } else if hits.len() < scan.hits.len() {
            "a hit is reported twice".to_owned()
        } else if overflowed != (expected.len() > HITS_PER_BATCH) {
            let says = if overflowed { "says" } else { "hides" };
            format!("the report {says} that it overflowed")
        } else if found == expected.len() as u64 {
            // No hit is wrong or double, so with this number none is missing.
            return None;
        } else {
            match missing.filter(|_| !overflowed) {
                Some(hit) => format!("{} is missing", name(hit)),
                None => "the report counts wrongly".to_owned(),
            }
        };
        Some(format!("hits expected: {}, found: {found}; {fault}", expected.len()))
    }
}

/// The suite. Small enough for a processor that renders in software: some 1.1 million hashes, of which
/// half must be made here, and up to 5 million more for a device that takes many headers at once, of which
/// 0.3 million must.
fn cases(width: Width) -> Vec<Case> {
    let jobs = jobs();
    let mut cases = known_blocks(&jobs);
    if width.most > 1 {
        cases.extend(side_by_side(width));
    }
    cases.extend(places(&jobs));
    cases.extend(filters(&jobs));
    cases.extend(reports(&jobs));
    cases.extend(ranges(&jobs));
    cases.extend(mixtures(&jobs));
    cases.extend(jobs.first().into_iter().flat_map(large));
    cases
}

/// What [`remind`] checks.
fn reminders(width: Width) -> Vec<Case> {
    let mut cases: Vec<Case> = known_blocks(&jobs()).into_iter().step_by(4).collect();
    cases.push(case("hits in the outer threads", outer_threads()));
    if width.most > 1 {
        cases.extend(side_by_side(width).into_iter().take(2));
    }
    cases
}

/// The known blocks as jobs, in their order.
fn jobs() -> Vec<Arc<Job>> {
    // A test of the table parses every entry.
    let headers = KNOWN_BLOCKS.iter().filter_map(|block| block.header().ok());
    headers.zip(0..).map(|(header, number)| job(number, header)).collect()
}

fn job(number: u64, header: Header) -> Arc<Job> {
    rolled(number, Rolls::one(header))
}

fn rolled(number: u64, rolls: Rolls) -> Arc<Job> {
    Arc::new(Job { id: JobId::only(number), rolls, target: Target::MAX, nonces: Nonces::ALL })
}

/// The nonce that solves the job's block.
fn solution(job: &Job) -> u32 {
    job.rolls.header(0).nonce
}

fn case(name: impl Into<String>, trials: impl IntoIterator<Item = Trial>) -> Case {
    Case { name: name.into(), trials: trials.into_iter().collect() }
}

/// Real work: the whole word must be zero, in headers of every kind.
fn known_blocks(jobs: &[Arc<Job>]) -> Vec<Case> {
    let of = |(block, job): (&KnownBlock, &Arc<Job>)| {
        let year = 1970 + job.rolls.header(0).time / SECONDS_PER_YEAR;
        let length = 2001 + 2 * job.id.serial;
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
            let lane = u64::from(solution(job)) % threads;
            [lane, lane + 3 * threads].map(|before| Trial::around(job, before, 4 * threads, 32))
        })
    });
    let outside = some().flat_map(|job| {
        let before = Nonces::around(solution(job), 777, 778).split_at(777).0;
        let after = Nonces::around(solution(job), 0, 778).split_at(1).1;
        [(before, 32), (after, 32), (before, 24), (after, 24)]
            .map(|(nonces, bits)| Trial::new(job, nonces, bits))
    });
    vec![
        case("a hit in the first and in the last thread", outer_threads()),
        case("a hit at the first and at the last nonce of a range", ends),
        case("a hit in the first and in the last workgroup", groups),
        case("no hit: the nonces beside a known one", outside),
    ]
}

/// Hits whose nonces begin and end a workgroup of any size: in the only workgroup, in the first of many
/// and in the last.
fn outer_threads() -> Vec<Trial> {
    let headers = OUTER_THREADS.iter().filter_map(|header| chain::parse_header(header).ok());
    let jobs = headers.map(|header| job(u64::from(header.nonce), header));
    let around = |job: Arc<Job>| {
        let lane = u64::from(solution(&job)) % 256;
        [(lane, 256), (lane, 2048), (lane + 1792, 2048)]
            .map(|(before, length)| Trial::around(&job, before, length, 32))
    };
    jobs.flat_map(around).collect()
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
            trials(|job, length| Nonces::around(solution(job) | 1, 0, length)),
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
                let mut bytes = chain::header_bytes(&first.rolls.header(0));
                bytes[byte] ^= 0x10;
                job(100 + byte as u64, chain::header_from_bytes(&bytes))
            });
        others.flat_map(|other| {
            let nonces = Nonces::around(solution(first), 500, 1000);
            [(&other, 32), (&other, 5), (first, 32)]
                .map(|(job, bits)| Trial::new(job, nonces, bits))
        })
    });
    let pairs = jobs.iter().zip(jobs.iter().skip(1)).flat_map(|(one, other)| {
        let nonces = Nonces::around(solution(one), 200, 501);
        [(one, 32), (other, 32), (one, 4)].map(|(job, bits)| Trial::new(job, nonces, bits))
    });
    let headers = version_rolled(2).into_iter().take(4).flat_map(|Solved { job, hit }| {
        let nonces = Nonces::around(hit.nonce, 100, 301);
        let around = [hit.header, hit.header - 1, hit.header, 0, hit.header + 1];
        around.into_iter().zip([32, 32, 5, 5, 5]).map(move |(header, bits)| {
            Trial::of(&job, Region { headers: Headers::one(header), nonces }, bits)
        })
    });
    vec![
        case("headers that differ in one byte", bytes),
        case("jobs and filters in turn, in flight together", pairs),
        case("headers of one job in turn", headers),
    ]
}

/// Enough nonces to occupy a whole GPU.
fn large(job: &Arc<Job>) -> [Case; 2] {
    let many = Trial::around(job, 200_000, (1 << 18) + 3, 11);
    let zero = Trial {
        only: Some(Hit { header: 0, nonce: solution(job) }),
        ..Trial::around(job, 400_000, (1 << 19) + 5, 32)
    };
    [
        case("262147 nonces at once, many hits", [many]),
        case("524293 nonces at once, one hit", [zero]),
    ]
}

/// Batches of as many headers as the device takes at once: at least, at most and in between.
fn side_by_side(width: Width) -> Vec<Case> {
    let blocks = version_rolled(width.most.next_power_of_two().ilog2());
    let mut blocks = blocks.iter().cycle();
    let middle = u32::midpoint(width.least, width.most);
    let numbers = BTreeSet::from([width.least, middle, width.most].map(|headers| headers.max(2)));
    let mut cases = Vec::new();
    for headers in numbers.into_iter().map(u64::from) {
        let most_rows = (LARGEST / headers).clamp(4, 67);
        let places = [0, headers / 2, headers - 1].into_iter().flat_map(|before| {
            [(1, 0), (2, 1), (3, 0), (most_rows, most_rows - 1)]
                .map(|(rows, above)| ((before, headers), (above, rows)))
        });
        let one = places.zip(blocks.by_ref()).map(|((across, along), block)| Trial {
            only: Some(block.hit),
            ..block.among(across, along, 32)
        });
        cases.push(case(format!("{headers} headers side by side, one hit"), one));
        let bits = width.filter.bits().max(9);
        let rows = (MANY / headers).max(1);
        let many = [headers - 1, headers / 3].into_iter().zip(blocks.by_ref());
        let many =
            many.map(|(before, block)| block.among((before, headers), (rows / 2, rows), bits));
        // With a stricter filter it would take too long to find many.
        if bits < 16 {
            cases.push(case(format!("{headers} headers side by side, many hits"), many));
        }
    }
    cases
}

/// A block as a job whose version bits roll, and its solution.
struct Solved {
    job: Arc<Job>,
    hit: Hit,
}

impl Solved {
    /// So many headers and nonces around the solution, with so many of them ahead of it.
    fn among(&self, across: (u64, u64), along: (u64, u64), bits: u32) -> Trial {
        let headers = Headers::around(self.hit.header, across.0, across.1);
        let nonces = Nonces::around(self.hit.nonce, along.0, along.1);
        Trial::of(&self.job, Region { headers, nonces }, bits)
    }
}

/// The version-rolled blocks, with 2^`bits` headers before and behind the solution: the two highest bits
/// of its number, which are 0 and 1 in every such version, roll too.
fn version_rolled(bits: u32) -> Vec<Solved> {
    let mask = chain::version_rolling_bits(bits) | 0x6000_0000;
    let headers = KNOWN_BLOCKS.iter().filter_map(|block| block.header().ok());
    let solved =
        headers.filter(chain::is_version_rolled).zip(200..).filter_map(|(header, number)| {
            let rolls = Rolls::new(header, mask, 1, None).ok()?;
            let hit = Hit { header: rolls.number_of(header.version)?, nonce: header.nonce };
            Some(Solved { job: rolled(number, rolls), hit })
        });
    solved.collect()
}

/// Hashes of the largest batches of many headers, unless four nonces of each are more.
const LARGEST: u64 = 1 << 19;

/// Hashes that hold some 64 hits of 9 leading zero bits.
const MANY: u64 = 1 << 15;

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

/// Headers whose hash starts with 32 zero bits: block 125, whose nonce 0x38605600 has a workgroup's first
/// thread, and block 0 with its time 111 s later, where nonce 0x2257efff has the last.
const OUTER_THREADS: [&str; 2] = [
    "01000000214f1824d6b2eb5f201c6780488187fe72c608bd66f078b51c2baece000000006ac9cb0d762ee58fba505cf59b6d36f2e82ed40cfe19f1016cff52eb7ae34f0d17ef6949ffff001d00566038",
    "0100000000000000000000000000000000000000000000000000000000000000000000003ba3edfd7a7b12b27ac72c3e67768f617fc81bc3888a51323a9fb8aa4b1e5e4a98ab5f49ffff001dffef5722",
];

/// Nonces of block 0, and the leading zero bits of their hashes. The last one would have solved the block
/// too.
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
mod tests;
