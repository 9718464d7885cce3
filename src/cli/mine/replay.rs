//! `adit mine --source replay:`: real blocks are found again.

use std::collections::BTreeMap;
use std::fs::File;
use std::time::{Duration, Instant};

use bitcoin::block::Header;
use serde::Serialize;

use super::Args;
use super::desktop::Governed;
use crate::cli::scan::Worker;
use crate::cli::{Failure, output};
use crate::engine::{DeviceId, DeviceReport, JobReport, Reason};
use crate::limits::NONCES_PER_HEADER;
use crate::runtime::{Control, Crew, Flow, Notice, Stop};
use crate::source::replay::{Replay, ReplayJob};
use crate::ui::progress::Progress;
use crate::ui::text;
use crate::work::{Share, rate};

pub(super) fn run(args: &Args, control: &Control, stop: &Stop) -> Result<(), Failure> {
    let summary_file = args.summary_file()?;
    let Governed { crew, speeds, widest, .. } = args.desktop.open(&args.options, control, stop)?;
    let mut replay = Replay::new(speeds.iter().sum(), widest, fastrand::Rng::new());
    let mut run = Run {
        args,
        stop,
        crew,
        begun: Instant::now(),
        summary: Summary::default(),
        summary_file,
        workers: Vec::new(),
    };
    run.announce(&speeds, &replay)?;
    let outcome = run.mine(&mut replay);
    // Whatever happened, what was done so far is told.
    let told = run.conclude();
    if stop.is_requested() {
        return Err(Failure::interrupted());
    }
    outcome.and(told)
}

struct Run<'r> {
    args: &'r Args,
    stop: &'r Stop,
    crew: Crew,
    begun: Instant,
    summary: Summary,
    summary_file: Option<File>,
    workers: Vec<DeviceReport>,
}

/// What a run came to; the documented JSON of `--summary-json`.
#[derive(Default, Serialize)]
struct Summary {
    /// Blocks worked on.
    blocks: u64,
    /// Blocks that were found, with the hash that the chain has.
    found: u64,
    /// Shares, blocks included.
    shares: u64,
    assigned: u64,
    scanned: u64,
    candidates: u64,
    wrong: u64,
    rescanned: u64,
    /// Hashes that devices gave back, by reason.
    given_back: BTreeMap<Reason, u64>,
    seconds: f64,
    /// Hashes tested per second of the whole run.
    hashes_per_second: Option<f64>,
    interrupted: bool,
}

/// The events of `--json`, one per line.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Event<'e> {
    Job {
        job: u64,
        network: &'e str,
        height: u32,
        nonces: [u64; 2],
        /// As `mining.configure` writes it.
        version_mask: String,
        headers: u64,
        window: bool,
    },
    Found {
        job: u64,
        device: u16,
        nonce: u32,
        version: i32,
        hash: String,
        expected: bool,
    },
    Summary {
        #[serde(flatten)]
        summary: &'e Summary,
        devices: Vec<Worker<'e>>,
    },
}

impl Run<'_> {
    fn announce(&self, speeds: &[f64], replay: &Replay) -> Result<(), Failure> {
        super::tell::devices(self.args, &self.crew, speeds)?;
        if replay.window() < NONCES_PER_HEADER && !self.args.json {
            output::line(format_args!(
                "All 2^32 nonces of a header would take {}, so each job is a window of {} hashes, placed at \
                 random so that it holds the answer.",
                text::time(replay.whole_header_time()),
                text::count(replay.window())
            ))?;
        }
        Ok(())
    }

    fn mine(&mut self, replay: &mut Replay) -> Result<(), Failure> {
        let endless = self.args.time.is_some() || self.args.shares.is_some();
        let blocks =
            self.args.blocks.unwrap_or(if endless { u64::MAX } else { Replay::len() as u64 });
        while self.summary.blocks < blocks && !self.is_over() {
            if !self.crew.can_work() {
                return Err(Failure::no_device("no device is left"));
            }
            let job = replay.next_job().map_err(Failure::usage)?;
            self.work(&job)?;
        }
        Ok(())
    }

    fn is_over(&self) -> bool {
        self.stop.is_requested()
            || self.args.time.is_some_and(|time| self.begun.elapsed() >= time)
            || self.args.shares.is_some_and(|shares| self.summary.shares >= shares)
    }

    fn work(&mut self, job: &ReplayJob) -> Result<(), Failure> {
        let (args, begun, mut shares) = (self.args, self.begun, self.summary.shares);
        let title =
            format!("block {} ({})", text::count(job.block.height.into()), job.block.network);
        tell_job(args, job, &title)?;
        let progress = Progress::new(job.job.space().len(), &title, args.json);
        let mut found = None;
        let mut failure = None;
        let report = self.crew.work(job.job.clone(), |notice| {
            let mut tell = |told: &mut dyn FnMut() -> Result<(), Failure>| {
                progress.suspend(|| failure = failure.take().or(told().err()));
            };
            match notice {
                Notice::Progress(tally, _) => progress.update(tally),
                Notice::Found(device, share) => {
                    shares += 1;
                    tell(&mut || tell_share(args, job, device, share));
                    found = found.or(job.is_solved_by(share).then_some(*share));
                }
                Notice::Governed(status) => {
                    tell(&mut || super::tell::governed(args, status));
                }
                Notice::Fault(device, why) => {
                    tell(&mut || super::tell::fault(args, device, why));
                }
                Notice::Dismissed(device, why) => {
                    tell(&mut || super::tell::dismissed(args, device, why));
                }
            }
            let late = args.time.is_some_and(|time| begun.elapsed() >= time);
            let enough = found.is_some() || args.shares.is_some_and(|wanted| shares >= wanted);
            if enough || failure.is_some() || late { Flow::End } else { Flow::Continue }
        });
        drop(progress);
        self.count(&report, found.is_some());
        if let Some(failure) = failure {
            return Err(failure);
        }
        if report.complete && found.is_none() {
            let space = report.space;
            return Err(Failure::selftest(format!(
                "{title}: it is among {space}, all of which were tested, and was not found: a device computes wrongly"
            )));
        }
        Ok(())
    }

    fn count(&mut self, report: &JobReport, found: bool) {
        let summary = &mut self.summary;
        summary.blocks += 1;
        summary.found += u64::from(found);
        summary.shares += report.counters.shares;
        summary.assigned += report.tally.assigned;
        summary.scanned += report.tally.scanned;
        summary.candidates += report.counters.candidates;
        summary.wrong += report.counters.wrong;
        summary.rescanned += report.rescanned();
        for (reason, hashes) in &report.tally.given_back {
            *summary.given_back.entry(*reason).or_default() += hashes;
        }
        for device in &report.devices {
            match self.workers.iter_mut().find(|worker| worker.device == device.device) {
                Some(worker) => {
                    worker.tested += device.tested;
                    worker.faults = device.faults;
                }
                None => self.workers.push(device.clone()),
            }
        }
    }

    fn conclude(&mut self) -> Result<(), Failure> {
        let elapsed = self.begun.elapsed();
        self.summary.seconds = elapsed.as_secs_f64();
        self.summary.hashes_per_second = rate(self.summary.scanned, elapsed);
        self.summary.interrupted = self.stop.is_requested();
        let workers = self.workers.iter();
        let devices = workers
            .filter_map(|worker| Some(Worker::new(self.crew.device(worker.device)?, worker)));
        let event = Event::Summary { summary: &self.summary, devices: devices.collect() };
        // Both are tried: a full disk must not cost the summary on the screen, nor the other way round.
        let written =
            self.summary_file.as_mut().map_or(Ok(()), |file| super::write_summary(file, &event));
        let told = if self.args.json { output::json(&event) } else { self.tell_summary(elapsed) };
        told.and(written)
    }

    fn tell_summary(&self, elapsed: Duration) -> Result<(), Failure> {
        let summary = &self.summary;
        output::line(format_args!(
            "{}found {} of {} blocks in {}; scanned {} of {} assigned hashes, {}",
            if summary.interrupted { "interrupted: " } else { "" },
            summary.found,
            summary.blocks,
            text::time(elapsed),
            text::count(summary.scanned),
            text::count(summary.assigned),
            text::rate(summary.hashes_per_second),
        ))?;
        output::line(format_args!(
            "candidates {}, wrong {}, given back {}",
            summary.candidates,
            summary.wrong,
            text::given_back(&summary.given_back),
        ))
    }
}

fn tell_job(args: &Args, job: &ReplayJob, title: &str) -> Result<(), Failure> {
    let (nonces, rolls) = (job.job.nonces, &job.job.rolls);
    if args.json {
        return output::json(&Event::Job {
            job: job.job.id.serial,
            network: job.block.network,
            height: job.block.height,
            nonces: [nonces.start(), nonces.end()],
            version_mask: format!("{:08x}", rolls.version_mask()),
            headers: rolls.all().len(),
            window: job.is_window(),
        });
    }
    let range = if job.is_window() { "window" } else { "whole range" };
    match rolls.version_mask() {
        0 => output::line(format_args!("{title}: nonces {nonces}, {range}")),
        mask => output::line(format_args!(
            "{title}: nonces {nonces} of {} headers, version mask {mask:08x}, {range}",
            rolls.all().len()
        )),
    }
}

fn tell_share(
    args: &Args,
    job: &ReplayJob,
    device: DeviceId,
    share: &Share,
) -> Result<(), Failure> {
    let expected = job.is_solved_by(share);
    let Header { nonce, version, .. } = share.header;
    if args.json {
        return output::json(&Event::Found {
            job: job.job.id.serial,
            device: device.0,
            nonce,
            version: version.to_consensus(),
            hash: share.hash.to_string(),
            expected,
        });
    }
    let remark = if expected {
        "the hash that the chain has"
    } else {
        "which meets the target too; the chain has another"
    };
    let rolled = match job.job.rolls.version_mask() {
        0 => String::new(),
        _ => format!("version {:08x}, ", version.to_consensus()),
    };
    output::line(format_args!(
        "  found {rolled}nonce {nonce} ({nonce:#010x}) on {device}: {}, {remark}",
        share.hash
    ))
}
