//! `adit scan`

use std::collections::BTreeMap;

use bitcoin::block::Header;
use bitcoin::{BlockHash, Target};
use serde::{Serialize, Serializer};

use super::lines::Lines;
use super::options::{Profile, TeamOptions, nonces, times, version_mask};
use super::{Failure, output, team};
use crate::chain;
use crate::device::DeviceInfo;
use crate::engine::{DeviceReport, JobReport, Reason};
use crate::limits::HITS_PER_SCAN;
use crate::runtime::{Crew, Flow, Notice, Stop};
use crate::ui::progress::Progress;
use crate::ui::text;
use crate::work::{Job, JobId, Nonces, Rolls, Share};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The header: 160 hex digits (its nonce and what rolls are ignored), or `-` for one per line on standard input
    header: String,

    /// Nonces to scan, A..B without B; decimal or 0x
    #[arg(
        long,
        value_name = "A..B",
        value_parser = nonces,
        default_value = "0..4294967296",
        allow_hyphen_values = true
    )]
    nonces: Nonces,

    /// Roll these bits of the version: all their values are tried. Hex as in BIP 310, such as 1fffe000
    #[arg(
        long,
        value_name = "MASK",
        value_parser = version_mask,
        default_value = "0",
        allow_hyphen_values = true
    )]
    version_mask: u32,

    /// Try N times of the header: its own and the seconds that follow
    #[arg(long, value_name = "N", value_parser = times, default_value = "1", allow_hyphen_values = true)]
    times: u32,

    /// Largest hash that counts: 64 hex digits as explorers show them, or 8 as in a header's bits.
    /// Default: the header's own bits
    #[arg(
        long,
        value_parser = |text: &str| chain::parse_target(text),
        conflicts_with = "difficulty",
        allow_hyphen_values = true
    )]
    target: Option<Target>,

    /// The target as a difficulty
    #[arg(long, value_parser = difficulty, allow_hyphen_values = true)]
    difficulty: Option<Target>,

    #[command(flatten)]
    options: TeamOptions,

    /// How long a batch takes on a GPU
    #[arg(long, value_enum, default_value_t = Profile::Dedicated)]
    profile: Profile,

    /// Print one JSON object per header
    #[arg(long)]
    json: bool,
}

fn difficulty(text: &str) -> Result<Target, String> {
    let number: f64 = text.parse().map_err(|_| format!("{text:?} is not a number"))?;
    chain::target_of_difficulty(number).map_err(|error| error.to_string())
}

pub(super) fn run(args: &Args, stop: &Stop) -> Result<(), Failure> {
    if args.header == "-" {
        return scan_lines(args, stop);
    }
    let job = job(args, &args.header, 1)?;
    scan(args, job, &mut crew(args, stop)?, stop)
}

/// Scans a header per line. Each line is answered before the next is taken.
fn scan_lines(args: &Args, stop: &Stop) -> Result<(), Failure> {
    let mut lines = Lines::of_stdin()?;
    // Opened for the first header, so that bad input does not wait for drivers.
    let mut open = None;
    while let Some((number, line)) = lines.next(stop)? {
        if line.trim().is_empty() {
            continue;
        }
        let job = job(args, &line, number)
            .map_err(|failure| Failure::usage(format!("line {number}: {}", failure.message)))?;
        let crew = match &mut open {
            Some(crew) => crew,
            None => open.insert(crew(args, stop)?),
        };
        scan(args, job, crew, stop)?;
    }
    Ok(())
}

fn crew(args: &Args, stop: &Stop) -> Result<Crew, Failure> {
    let batch_time = args.profile.batch_time();
    let devices = team::open(&args.options, &|_| args.profile, stop)?;
    Ok(Crew::new(devices, batch_time, stop.clone()))
}

fn job(args: &Args, header: &str, id: u64) -> Result<Job, Failure> {
    let header = chain::parse_header(header).map_err(Failure::usage)?;
    let target = match args.target.or(args.difficulty) {
        Some(target) => target,
        None => chain::decode_bits(header.bits).map_err(|error| {
            Failure::usage(format!(
                "{error}; give --target or --difficulty to scan for another target"
            ))
        })?,
    };
    let rolls = Rolls::new(header, args.version_mask, args.times, None).map_err(Failure::usage)?;
    let job = Job { id: JobId::only(id), rolls, target, nonces: args.nonces };
    let hashes = job.space().len();
    let expected = expected_hits(&target, hashes);
    #[expect(clippy::cast_precision_loss, reason = "the bound is a power of two")]
    if expected > HITS_PER_SCAN as f64 {
        return Err(Failure::usage(format!(
            "about {expected:.0} of {hashes} hashes meet this target, more than the {HITS_PER_SCAN} that a scan \
             keeps; scan fewer with --nonces A..B or ask for a harder target",
        )));
    }
    Ok(job)
}

/// How many of the hashes meet the target, on average.
#[expect(clippy::cast_precision_loss, reason = "an estimate")]
fn expected_hits(target: &Target, hashes: u64) -> f64 {
    let bytes = target.to_be_bytes();
    let fraction = bytes.iter().rev().fold(0.0, |sum, byte| (sum + f64::from(*byte)) / 256.0);
    fraction * hashes as f64
}

fn scan(args: &Args, job: Job, crew: &mut Crew, stop: &Stop) -> Result<(), Failure> {
    let progress = Progress::new(job.space().len(), "scan", args.json);
    let (mut found, mut hits) = (0, Vec::new());
    let mut failure = None;
    let report = crew.work(job, |notice| {
        match notice {
            Notice::Progress(tally, _) => progress.update(tally),
            Notice::Found(_, share) => {
                found += 1;
                if args.json {
                    hits.push(Hit::of(share));
                } else {
                    progress
                        .suspend(|| failure = failure.take().or(print_share(args, share).err()));
                }
            }
            // Nobody can pause a scan.
            Notice::Governed(_) => {}
            Notice::Fault(device, why) => {
                progress.suspend(|| output::note(format_args!("{device}: {why}")));
            }
            Notice::Dismissed(device, why) => {
                progress
                    .suspend(|| output::note(format_args!("{device} gets no more work: {why}")));
            }
        }
        if failure.is_some() || found > HITS_PER_SCAN { Flow::End } else { Flow::Continue }
    });
    drop(progress);
    if let Some(failure) = failure {
        return Err(failure);
    }
    let devices: Vec<&DeviceInfo> =
        report.devices.iter().filter_map(|d| crew.device(d.device)).collect();
    if args.json {
        hits.sort_by_key(|hit| (hit.number, hit.nonce));
        output::json(&Account::new(hits, &report, &devices))?;
    } else {
        print_summary(&report, &devices)?;
    }
    if stop.is_requested() {
        Err(Failure::interrupted())
    } else if report.complete {
        Ok(())
    } else if found > HITS_PER_SCAN {
        Err(Failure::usage(format!(
            "more than {HITS_PER_SCAN} hashes meet the target; the scan was ended"
        )))
    } else {
        Err(Failure::no_device(format!(
            "no device can go on; {} of {} hashes were tested",
            text::count(report.tally.scanned),
            text::count(report.space.len())
        )))
    }
}

/// With what was rolled to find it.
fn print_share(args: &Args, share: &Share) -> Result<(), Failure> {
    let Header { nonce, version, time, .. } = share.header;
    let version = version.to_consensus();
    let rolled = match (args.version_mask, args.times) {
        (0, 1) => String::new(),
        (_, 1) => format!("version {version:08x}  "),
        _ => format!("version {version:08x}  time {time}  "),
    };
    output::line(format_args!("{rolled}nonce {nonce:>10} ({nonce:#010x})  hash {}", share.hash))
}

fn print_summary(report: &JobReport, devices: &[&DeviceInfo]) -> Result<(), Failure> {
    output::line(format_args!(
        "assigned {}, scanned {}, candidates {}, wrong {}, scanned again after overflow {}, given back {}",
        text::count(report.tally.assigned),
        text::count(report.tally.scanned),
        report.counters.candidates,
        report.counters.wrong,
        text::count(report.rescanned()),
        text::given_back(&report.tally.given_back),
    ))?;
    let names: Vec<String> = devices.iter().map(|info| text::device(info)).collect();
    output::line(format_args!(
        "time {}, rate {}, on {}",
        text::time(report.elapsed),
        text::rate(report.hashes_per_second()),
        names.join(" and "),
    ))
}

/// The documented JSON of a scan.
#[derive(Serialize)]
struct Account<'s> {
    hits: Vec<Hit>,
    assigned: u64,
    scanned: u64,
    candidates: u64,
    wrong: u64,
    rescanned: u64,
    /// Hashes that devices gave back, by reason.
    given_back: &'s BTreeMap<Reason, u64>,
    seconds: f64,
    hashes_per_second: Option<f64>,
    /// The names of the devices.
    device: String,
    devices: Vec<Worker<'s>>,
    complete: bool,
}

#[derive(Serialize)]
struct Hit {
    /// The header's number, which orders the hits.
    #[serde(skip)]
    number: u32,
    nonce: u32,
    version: i32,
    time: u32,
    #[serde(serialize_with = "as_explorers_show_it")]
    hash: BlockHash,
}

/// One device in the JSON of a scan or a run.
#[derive(Serialize)]
pub(super) struct Worker<'s> {
    #[serde(flatten)]
    info: &'s DeviceInfo,
    /// Hashes in its batches, believed or not.
    tested: u64,
    /// Its mistakes.
    faults: u32,
}

impl<'s> Account<'s> {
    fn new(hits: Vec<Hit>, report: &'s JobReport, devices: &[&'s DeviceInfo]) -> Self {
        let names: Vec<&str> = devices.iter().map(|info| info.name.as_str()).collect();
        Self {
            hits,
            assigned: report.tally.assigned,
            scanned: report.tally.scanned,
            candidates: report.counters.candidates,
            wrong: report.counters.wrong,
            rescanned: report.rescanned(),
            given_back: &report.tally.given_back,
            seconds: report.elapsed.as_secs_f64(),
            hashes_per_second: report.hashes_per_second(),
            device: names.join(", "),
            devices: devices
                .iter()
                .zip(&report.devices)
                .map(|(info, report)| Worker::new(info, report))
                .collect(),
            complete: report.complete,
        }
    }
}

impl Hit {
    fn of(share: &Share) -> Self {
        let Header { nonce, version, time, .. } = share.header;
        let version = version.to_consensus();
        Self { number: share.number, nonce, version, time, hash: share.hash }
    }
}

fn as_explorers_show_it<S: Serializer>(hash: &BlockHash, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(hash)
}

impl<'s> Worker<'s> {
    pub(super) fn new(info: &'s DeviceInfo, report: &DeviceReport) -> Self {
        Self { info, tested: report.tested, faults: report.faults }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_expected_hits_of_a_target() {
        assert!((expected_hits(&Target::MAX, 1 << 32) - 1.0).abs() < 1e-4, "difficulty 1");
        let half = chain::parse_target(&format!("7f{}", "ff".repeat(31))).unwrap();
        assert!((expected_hits(&half, 100) - 50.0).abs() < 1e-9);
    }
}
