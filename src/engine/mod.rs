//! Decides who scans what, checks what comes back, and keeps the account.
//!
//! No thread, clock or device in here: the engine takes an [`Input`] and the time, and returns
//! [`Output`]s. `runtime` carries them between it and the devices.

mod ledger;
mod report;
mod roster;

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bitcoin::BlockHash;

use crate::chain;
use crate::limits::{FAULTS_PER_DEVICE, HITS_PER_BATCH};
use crate::work::{
    Assignment, Batch, Coverage, Hit, Job, JobId, Region, Scan, Share, Width, verify,
};

pub use ledger::{Ledger, LedgerError, Reason, Tally};
pub use report::{Counters, DeviceReport, JobReport};

use roster::Roster;

/// Names a device within a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
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
    /// A new job. The one before must have ended.
    Job(Arc<Job>),
    /// A device finished a batch.
    Scanned {
        /// Who.
        device: DeviceId,
        /// The batch it was given.
        batch: Batch,
        /// What it says.
        scan: Scan,
    },
    /// A device gave back hashes that it had not begun, because their job was abandoned.
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
    /// Give the device no more work and close it.
    Dismiss(DeviceId, String),
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
    current: Option<Current>,
}

/// The job at work.
#[derive(Debug)]
struct Current {
    job: Arc<Job>,
    ledger: Ledger,
    counters: Counters,
    /// Candidates among hashes that were given back: when those are scanned again, they are known.
    known: HashSet<Hit>,
    batch_cap: u64,
    begun: Instant,
    ending: bool,
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
            Input::Joined(device, width) => self.roster.join(device, width),
            Input::Job(job) => self.begin(job, now),
            Input::Scanned { device, batch, scan } => self.scanned(device, &batch, &scan, outputs),
            Input::GaveBack { device, job, region } => {
                self.gave_back(device, job, region, outputs);
            }
            Input::Failed { device, why } => self.dismiss(device, why, outputs),
            Input::End(job) => {
                if let Some(current) =
                    self.current.as_mut().filter(|c| c.job.id == job && !c.ending)
                {
                    current.ending = true;
                    outputs.push(Output::Abandon(job));
                }
            }
        }
        self.assign(outputs);
        self.finish(now, outputs);
    }

    /// The account of the job at work: hashes and counters so far.
    #[must_use]
    pub fn progress(&self) -> Option<(&Tally, &Counters)> {
        self.current.as_ref().map(|current| (current.ledger.tally(), &current.counters))
    }

    /// Whether the device has hashes to report on.
    #[must_use]
    pub fn is_busy(&self, device: DeviceId) -> bool {
        self.current.is_some() && self.roster.holds(device) > 0
    }

    fn begin(&mut self, job: Arc<Job>, now: Instant) {
        self.roster.new_job();
        self.current = Some(Current {
            ledger: Ledger::new(job.space(), job.rolls.per_roll()),
            counters: Counters::default(),
            known: HashSet::new(),
            batch_cap: job.filter().batch_cap(),
            begun: now,
            ending: false,
            job,
        });
    }

    fn scanned(&mut self, device: DeviceId, batch: &Batch, scan: &Scan, outputs: &mut Vec<Output>) {
        let Some(current) = self.current.as_mut().filter(|current| current.job.id == batch.job.id)
        else {
            return; // of a job that has its report
        };
        if !self.roster.has(device) {
            return; // dismissed: what it held was given back
        }
        self.roster.observe(device, batch.region.len(), scan.elapsed);
        let hits = Hits::verified(batch, scan);
        current.counters.wrong += hits.wrong;
        let (reason, fault) = current.judge(batch, scan, &hits);
        let booked = match reason {
            None => current.ledger.scanned(device, batch.region),
            Some(reason) => current.ledger.give_back(device, batch.region, reason),
        };
        if let Err(error) = booked {
            // Hashes that the device did not hold are accounted for elsewhere, and so are the hits.
            self.fault(device, error.to_string(), outputs);
            return;
        }
        let shares = current.count(hits.candidates, reason.is_some());
        outputs.extend(shares.into_iter().map(|share| Output::Found(device, share)));
        if let Some(why) = fault {
            self.fault(device, why, outputs);
        }
    }

    fn gave_back(
        &mut self,
        device: DeviceId,
        job: JobId,
        region: Region,
        outputs: &mut Vec<Output>,
    ) {
        let Some(current) = self.current.as_mut().filter(|current| current.job.id == job) else {
            return;
        };
        if !self.roster.has(device) {
            return; // dismissed meanwhile: these hashes were given back with all that it held
        }
        match current.ledger.give_back(device, region, Reason::Ended) {
            Ok(()) => self.roster.release(device, region.len()),
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
        if let Some(current) = &mut self.current {
            current.ledger.give_back_all(device, Reason::Lost);
        }
    }

    /// Tops up the devices that run low.
    fn assign(&mut self, outputs: &mut Vec<Output>) {
        let Some(current) = self.current.as_mut().filter(|current| !current.ending) else { return };
        let filter = current.job.filter();
        for (device, width, mut want) in self.roster.wants(current.ledger.free()) {
            // What was given back lies in pieces: one of them may be less than the device needs.
            while let Some(region) = current.ledger.take(device, width.with(filter), want) {
                // The last nonce of many headers may be more than was wanted.
                want = want.saturating_sub(region.len());
                self.roster.hold(device, region.len());
                outputs.push(Output::Assign(
                    device,
                    Assignment {
                        job: Arc::clone(&current.job),
                        region,
                        filter,
                        batch_cap: current.batch_cap,
                    },
                ));
            }
        }
    }

    /// Ends the job when nobody holds any of it. Whoever could take more just did: what is free then
    /// stays free.
    fn finish(&mut self, now: Instant, outputs: &mut Vec<Output>) {
        if let Some(current) = self.current.take_if(|current| current.ledger.tally().held == 0) {
            let elapsed = now.saturating_duration_since(current.begun);
            outputs.push(Output::Finished(current.report(&self.roster, elapsed)));
        }
    }
}

/// The hits of a report after each was hashed.
#[derive(Default)]
struct Hits {
    /// Distinct, in the order of the report.
    candidates: Vec<(Hit, BlockHash)>,
    wrong: u64,
    first_wrong: Option<String>,
}

impl Hits {
    fn verified(batch: &Batch, scan: &Scan) -> Self {
        let mut hits = Self::default();
        let mut seen = HashSet::new();
        for &hit in &scan.hits {
            let bad = match verify(batch, hit) {
                // Where one hash was tested twice, another was perhaps not tested.
                Ok(_) if !seen.insert(hit) => {
                    format!("nonce {:#010x} of header {} is reported twice", hit.nonce, hit.header)
                }
                Ok(hash) => {
                    hits.candidates.push((hit, hash));
                    continue;
                }
                Err(bad) => bad.to_string(),
            };
            hits.wrong += 1;
            hits.first_wrong.get_or_insert(bad);
        }
        hits
    }
}

impl Current {
    /// Why the hashes of a batch go back, if they do, and what the device did wrong, if it did.
    fn judge(
        &mut self,
        batch: &Batch,
        scan: &Scan,
        hits: &Hits,
    ) -> (Option<Reason>, Option<String>) {
        if scan.region != batch.region {
            let why = format!("it was given {} and reports on {}", batch.region, scan.region);
            return (Some(Reason::Partial), Some(why));
        }
        match (&scan.coverage, &hits.first_wrong) {
            (_, Some(bad)) => (Some(Reason::WrongHit), Some(format!("a wrong hit: {bad}"))),
            (Coverage::Partial { why }, None) => {
                (Some(Reason::Partial), Some(format!("an incomplete report: {why}")))
            }
            (Coverage::Overflow { found }, None) => {
                match self.overflowed(batch.region.len(), *found) {
                    None => (Some(Reason::Overflow), None),
                    why => (Some(Reason::Partial), why),
                }
            }
            (Coverage::Full, None) => (None, None),
        }
    }

    /// Makes batches so small that the hits found here would fit. Returns why that cannot be.
    fn overflowed(&mut self, hashes: u64, found: u64) -> Option<String> {
        let most = HITS_PER_BATCH as u64;
        if found <= most || found > hashes {
            // What it said of others was no truer: batches need not stay small for the whole job.
            self.batch_cap = self.job.filter().batch_cap();
            return Some(format!(
                "it counts {found} hits in {hashes} hashes, and calls that an overflow"
            ));
        }
        let parts = found.div_ceil(most) * 2;
        self.batch_cap = self.batch_cap.min((hashes / parts).max(most));
        None
    }

    /// Counts candidates that are new, and returns those that are shares. What is `rescanned` shows
    /// the same candidates again; what is not is never seen again, so nothing of it is remembered.
    fn count(&mut self, candidates: Vec<(Hit, BlockHash)>, rescanned: bool) -> Vec<Share> {
        let mut shares = Vec::new();
        for (hit, hash) in candidates {
            let is_new = if rescanned { self.known.insert(hit) } else { !self.known.remove(&hit) };
            if !is_new {
                continue;
            }
            self.counters.candidates += 1;
            if chain::meets(&hash, &self.job.target) {
                self.counters.shares += 1;
                let header = self.job.header(hit);
                shares.push(Share { job: self.job.id, number: hit.header, header, hash });
            }
        }
        shares
    }

    fn report(self, roster: &Roster, elapsed: Duration) -> JobReport {
        let tally = self.ledger.tally().clone();
        JobReport {
            job: self.job.id,
            space: self.job.space(),
            complete: self.ledger.is_complete(),
            tally,
            counters: self.counters,
            elapsed,
            devices: roster.reports(),
        }
    }
}

#[cfg(test)]
mod tests;
