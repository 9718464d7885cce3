//! Decides who scans what, checks what comes back, and keeps the account.
//!
//! No thread, clock or device in here: the engine takes an [`Input`] and the time, and returns
//! [`Output`]s. `runtime` carries them between it and the devices.

mod current;
pub mod governor;
pub mod judge;
mod lanes;
mod ledger;
pub mod outbox;
mod report;
mod roster;
pub mod supervisor;
mod times;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use crate::limits::FAULTS_PER_DEVICE;
use crate::work::{Assignment, Batch, Duty, Job, JobId, Region, Scan, Share, SourceId, Width};

pub use ledger::{Ledger, LedgerError, Reason, Tally};
pub use report::{Account, Counters, DeviceAccount, DeviceReport, JobReport};
pub use times::Quantiles;

use current::{Current, Hits};
use lanes::Lanes;
use roster::Roster;

/// Names a device within a run.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
#[serde(transparent)]
pub struct DeviceId(pub u16);

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "device {}", self.0)
    }
}

/// What happens to the engine.
#[derive(Debug)]
pub enum Input {
    /// A device is ready and takes that many headers at once; it passed its self-test when it was opened.
    Joined(DeviceId, Width),
    /// Whether a device that leaves comes back: as long as one does, jobs wait for it.
    Returns(DeviceId, bool),
    /// A new job. It takes the place of the one that its source gave before: of that nothing new is begun, and
    /// what is under way still counts. Jobs that come faster than [`JOB_INTERVAL`](crate::limits::JOB_INTERVAL)
    /// take the place of each other before they begin.
    Job(Arc<Job>),
    /// How much of the devices' work a source gets, in proportion to the others'. With 0 its job ends. A source
    /// that was never weighed has 1.
    Weigh(SourceId, u32),
    /// The time of [`Engine::deadline`] has come.
    Tick,
    /// A device finished a batch.
    Scanned {
        /// Who.
        device: DeviceId,
        /// The batch it was given.
        batch: Batch,
        /// What it says.
        scan: Scan,
    },
    /// Which part of the time a device works. With none it is paused: it gives back what it has not begun, and
    /// gets nothing.
    Allow(DeviceId, Option<Duty>),
    /// A device gave back hashes that it had not begun, because their job was abandoned or it was paused.
    GaveBack {
        /// Who.
        device: DeviceId,
        /// Of which job.
        job: JobId,
        /// Which hashes.
        region: Region,
    },
    /// A device broke. It says nothing more.
    Failed {
        /// Who.
        device: DeviceId,
        /// What it said last.
        why: String,
    },
    /// The job shall end, done or not.
    End(JobId),
}

/// What the engine wants done, and what it found out.
#[derive(Debug, Clone)]
pub enum Output {
    /// Give this to the device.
    Assign(DeviceId, Assignment),
    /// Tell all devices to drop what they have not begun of this job.
    Abandon(JobId),
    /// Tell the device to drop all that it has not begun.
    Recall(DeviceId),
    /// Give the device no more work and close it.
    Dismiss(DeviceId, String),
    /// A device that had left is there again.
    Back(DeviceId),
    /// A hash meets the job's target.
    Found(DeviceId, Share),
    /// A device made a mistake. It was counted.
    Fault(DeviceId, String),
    /// The job ended, with its account.
    Finished(JobReport),
}

/// The deciding part of a run.
#[derive(Debug, Default)]
pub struct Engine {
    roster: Roster,
    lanes: Lanes,
    /// The jobs at work, and those that end.
    jobs: Vec<Current>,
}

impl Engine {
    /// No devices, no job.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes one event at `now` and appends what follows from it.
    pub fn handle(&mut self, input: Input, now: Instant, outputs: &mut Vec<Output>) {
        match input {
            Input::Joined(device, width) => {
                if self.roster.join(device, width) {
                    outputs.push(Output::Back(device));
                }
            }
            Input::Returns(device, returns) => self.roster.expect(device, returns),
            Input::Job(job) => self.lanes.wait(job),
            Input::Weigh(source, weight) => self.weigh(source, weight, outputs),
            Input::Tick => {}
            Input::Scanned { device, batch, scan } => self.scanned(device, &batch, &scan, outputs),
            Input::Allow(device, duty) => {
                if self.roster.allow(device, duty) {
                    outputs.push(Output::Recall(device));
                }
            }
            Input::GaveBack { device, job, region } => {
                self.gave_back(device, job, region, outputs);
            }
            Input::Failed { device, why } => self.dismiss(device, why, outputs),
            Input::End(job) => {
                self.lanes.forget(job);
                self.end(|current| current.job.id == job, outputs);
            }
        }
        self.begin(now, outputs);
        self.assign(outputs);
        self.finish(now, outputs);
    }

    /// When a job that came too fast begins, if there is one.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.lanes.deadline()
    }

    /// The account of a job at work: hashes and counters so far.
    #[must_use]
    pub fn progress(&self, job: JobId) -> Option<(&Tally, &Counters)> {
        let current = self.jobs.iter().find(|current| current.job.id == job)?;
        Some((current.ledger.tally(), &current.counters))
    }

    /// What was done for each source, in all its jobs.
    #[must_use]
    pub fn accounts(&self) -> BTreeMap<SourceId, Account> {
        let mut accounts = self.lanes.accounts();
        for current in &self.jobs {
            let account = accounts.entry(current.job.id.source).or_default();
            account.add(current.ledger.tally(), &current.counters);
        }
        accounts
    }

    /// What each device did, also those that left.
    #[must_use]
    pub fn device_accounts(&self) -> BTreeMap<DeviceId, DeviceAccount> {
        self.roster.accounts()
    }

    /// Whether the device has hashes to report on.
    #[must_use]
    pub fn is_busy(&self, device: DeviceId) -> bool {
        self.jobs.iter().any(|current| current.holds(device) > 0)
    }

    fn weigh(&mut self, source: SourceId, weight: u32, outputs: &mut Vec<Output>) {
        self.lanes.weigh(source, weight);
        if weight == 0 {
            self.end(|current| current.job.id.source == source, outputs);
        }
    }

    /// Ends the jobs that `which` names.
    fn end(&mut self, which: impl Fn(&Current) -> bool, outputs: &mut Vec<Output>) {
        for current in self.jobs.iter_mut().filter(|current| !current.ending && which(current)) {
            current.ending = true;
            outputs.push(Output::Abandon(current.job.id));
        }
    }

    /// Begins the jobs that wait, in the place of those before them.
    fn begin(&mut self, now: Instant, outputs: &mut Vec<Output>) {
        let is_at_work = |source: SourceId| {
            self.jobs.iter().any(|current| !current.ending && current.job.id.source == source)
        };
        let at_work: Vec<SourceId> = self.lanes.sources().filter(|s| is_at_work(*s)).collect();
        for job in self.lanes.due(&at_work, now) {
            self.end(
                |current| current.job.id.source == job.id.source && current.job.id != job.id,
                outputs,
            );
            // Its source was away for a moment: it goes on where it was.
            if let Some(current) = find(&mut self.jobs, job.id) {
                current.ending = false;
                continue;
            }
            self.jobs.push(Current::new(job, self.roster.members(), now));
        }
    }

    fn scanned(&mut self, device: DeviceId, batch: &Batch, scan: &Scan, outputs: &mut Vec<Output>) {
        let Some(current) = find(&mut self.jobs, batch.job.id) else {
            return; // of a job that has its report
        };
        if !self.roster.has(device) {
            return; // dismissed: what it held was given back
        }
        let hits = Hits::verified(batch, scan);
        self.roster.observe(device, batch.region.len(), scan.elapsed, hits.wrong);
        current.tested(device, batch.region.len());
        current.counters.wrong += hits.wrong;
        let known = current.counters.candidates;
        let reported = hits.candidates.len() as u64;
        let (reason, fault) = current.judge(device, batch, scan, &hits);
        let booked = match reason {
            None => current.ledger.scanned(device, batch.region),
            Some(reason) => current.ledger.give_back(device, batch.region, reason),
        };
        if let Err(error) = booked {
            // Hashes that the device did not hold are accounted for elsewhere, and so are the hits.
            self.fault(device, error.to_string(), outputs);
            return;
        }
        if reason.is_some() {
            self.lanes.unspend(batch.job.id.source, batch.region.len());
        }
        let shares = current.count(hits.candidates, reason.is_some());
        let found = current.counters.candidates - known;
        let believed = reason.is_none().then_some((batch, reported));
        let lost = self.roster.book(device, found, believed);
        outputs.extend(shares.into_iter().map(|share| Output::Found(device, share)));
        if let Some(why) = fault {
            self.fault(device, why, outputs);
        }
        if let Some(why) = lost {
            self.dismiss(device, why, outputs);
        }
    }

    fn gave_back(
        &mut self,
        device: DeviceId,
        job: JobId,
        region: Region,
        outputs: &mut Vec<Output>,
    ) {
        let Some(current) = find(&mut self.jobs, job) else { return };
        if !self.roster.has(device) {
            return; // dismissed meanwhile: these hashes were given back with all that it held
        }
        let is_paused = !current.ending && self.roster.is_paused(device);
        let reason = if is_paused { Reason::Paused } else { Reason::Ended };
        match current.ledger.give_back(device, region, reason) {
            Ok(()) => {
                current.release(device, region.len());
                self.lanes.unspend(job.source, region.len());
            }
            Err(error) => self.fault(device, error.to_string(), outputs),
        }
    }

    /// Counts a mistake. A device that makes too many is dismissed.
    fn fault(&mut self, device: DeviceId, why: String, outputs: &mut Vec<Output>) {
        let dismissal = format!("{FAULTS_PER_DEVICE} faults, the last: {why}");
        outputs.push(Output::Fault(device, why));
        if self.roster.fault(device) >= FAULTS_PER_DEVICE {
            self.dismiss(device, dismissal, outputs);
        }
    }

    fn dismiss(&mut self, device: DeviceId, why: String, outputs: &mut Vec<Output>) {
        if self.roster.leave(device) {
            outputs.push(Output::Dismiss(device, why));
        }
        for current in &mut self.jobs {
            let lost = current.lose(device);
            self.lanes.unspend(current.job.id.source, lost);
        }
    }

    /// Tops up the devices that run low.
    fn assign(&mut self, outputs: &mut Vec<Output>) {
        self.jobs.iter_mut().for_each(Current::begin_round);
        for device in self.roster.members() {
            let is_active = |current: &&Current| !current.ending;
            let held =
                self.jobs.iter().filter(is_active).map(|current| current.holds(device)).sum();
            while let Some(current) = self.lanes.next(&mut self.jobs) {
                let Some((width, want)) = self.roster.wants(device, held, current.offered) else {
                    break;
                };
                let given = current.give(device, width, want, outputs);
                self.lanes.spend(current.job.id.source, given);
                if given > 0 {
                    break;
                }
                // Nobody can take what is free of it: what was given back lies in too many pieces.
                current.is_stuck = true;
            }
        }
    }

    /// Ends the jobs of which nobody holds any, and nobody can take any.
    fn finish(&mut self, now: Instant, outputs: &mut Vec<Output>) {
        let nobody = self.roster.is_deserted();
        for current in self.jobs.extract_if(.., |current| {
            let no_more = current.ending || current.is_stuck || nobody;
            current.ledger.tally().held == 0 && (no_more || current.ledger.free() == 0)
        }) {
            self.lanes.add(current.job.id.source, current.ledger.tally(), &current.counters);
            outputs.push(Output::Finished(current.report(&self.roster, now)));
        }
    }
}

fn find(jobs: &mut [Current], id: JobId) -> Option<&mut Current> {
    jobs.iter_mut().find(|current| current.job.id == id)
}

#[cfg(test)]
mod tests;
