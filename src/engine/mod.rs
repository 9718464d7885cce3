//! Decides who scans what, checks what comes back, and keeps the account.
//!
//! No thread, clock or device in here: the engine takes an [`Input`] and the time, and returns
//! [`Output`]s. `runtime` carries them between it and the devices.

mod ledger;
mod report;
mod roster;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::chain;
use crate::limits::{FAULTS_PER_DEVICE, HITS_PER_BATCH};
use crate::work::{Assignment, Batch, Coverage, Job, JobId, Nonces, Scan, Share, verify};

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
    /// A device passed its self-test.
    Joined(DeviceId),
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
    /// A device gave back nonces that it had not begun, because their job was abandoned.
    GaveBack {
        /// Who.
        device: DeviceId,
        /// Of which job.
        job: JobId,
        /// Which nonces.
        nonces: Nonces,
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
    /// A nonce meets the job's target.
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
    /// Nonces of verified candidates, so that a batch scanned again counts them once.
    candidates: std::collections::HashSet<u32>,
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
            Input::Joined(device) => self.roster.join(device),
            Input::Job(job) => self.begin(job, now),
            Input::Scanned { device, batch, scan } => self.scanned(device, &batch, &scan, outputs),
            Input::GaveBack { device, job, nonces } => {
                if let Some(current) = self.current.as_mut().filter(|current| current.job.id == job)
                    && let Err(error) = current.ledger.give_back(device, nonces, Reason::Ended)
                {
                    outputs.push(Output::Fault(device, error.to_string()));
                }
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

    /// The account of the job at work: nonces and counters so far.
    #[must_use]
    pub fn progress(&self) -> Option<(&Tally, &Counters)> {
        self.current.as_ref().map(|current| (current.ledger.tally(), &current.counters))
    }

    fn begin(&mut self, job: Arc<Job>, now: Instant) {
        self.roster.new_job();
        self.current = Some(Current {
            ledger: Ledger::new(job.nonces),
            counters: Counters::default(),
            candidates: std::collections::HashSet::new(),
            batch_cap: job.filter().batch_cap(),
            begun: now,
            ending: false,
            job,
        });
    }

    fn scanned(&mut self, device: DeviceId, batch: &Batch, scan: &Scan, outputs: &mut Vec<Output>) {
        if !self.roster.has(device) {
            return; // dismissed: what it held was given back
        }
        self.roster.observe(device, batch.nonces.len(), scan.elapsed);
        let Some(current) = self.current.as_mut().filter(|current| current.job.id == batch.job.id)
        else {
            return; // its nonces were given back when the job ended without the device
        };
        let mut wrong = None;
        for nonce in &scan.hits {
            match verify(batch, *nonce) {
                Err(bad) => {
                    current.counters.wrong += 1;
                    wrong.get_or_insert(bad);
                }
                Ok(_) if !current.candidates.insert(*nonce) => {}
                Ok(hash) => {
                    current.counters.candidates += 1;
                    if chain::meets(&hash, &batch.job.target) {
                        current.counters.shares += 1;
                        let header = chain::with_nonce(&batch.job.header, *nonce);
                        outputs
                            .push(Output::Found(device, Share { job: batch.job.id, header, hash }));
                    }
                }
            }
        }
        let (booked, fault) = match (&scan.coverage, wrong) {
            _ if scan.nonces != batch.nonces => {
                let why = format!("it was given {} and reports on {}", batch.nonces, scan.nonces);
                (current.ledger.give_back(device, batch.nonces, Reason::Partial), Some(why))
            }
            (_, Some(bad)) => {
                let why = format!("a wrong hit: {bad}");
                (current.ledger.give_back(device, batch.nonces, Reason::WrongHit), Some(why))
            }
            (Coverage::Partial { why }, None) => {
                let why = format!("an incomplete report: {why}");
                (current.ledger.give_back(device, batch.nonces, Reason::Partial), Some(why))
            }
            (Coverage::Overflow { found }, None) => {
                let fault = current.overflowed(batch.nonces.len(), *found);
                (current.ledger.give_back(device, batch.nonces, Reason::Overflow), fault)
            }
            (Coverage::Full, None) => (current.ledger.scanned(device, batch.nonces), None),
        };
        if let Some(fault) = fault.or(booked.err().map(|error| error.to_string())) {
            self.fault(device, fault, outputs);
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
        for (device, want) in self.roster.wants(current.ledger.free()) {
            let Some(nonces) = current.ledger.take(device, want) else { break };
            self.roster.hold(device, nonces.len());
            outputs.push(Output::Assign(
                device,
                Assignment {
                    job: Arc::clone(&current.job),
                    nonces,
                    filter: current.job.filter(),
                    batch_cap: current.batch_cap,
                },
            ));
        }
    }

    /// Ends the job when nobody holds any of it and nobody will take more.
    fn finish(&mut self, now: Instant, outputs: &mut Vec<Output>) {
        let over = self.current.as_ref().is_some_and(|current| {
            let nobody_left = self.roster.is_empty();
            current.ledger.tally().held == 0
                && (current.ledger.is_complete() || current.ending || nobody_left)
        });
        if let Some(current) = self.current.take_if(|_| over) {
            let elapsed = now.saturating_duration_since(current.begun);
            outputs.push(Output::Finished(current.report(&self.roster, elapsed)));
        }
    }
}

impl Current {
    /// Makes batches so small that the hits found here would fit. Returns why that cannot be.
    fn overflowed(&mut self, nonces: u64, found: u64) -> Option<String> {
        if found > nonces || nonces <= HITS_PER_BATCH as u64 {
            return Some(format!(
                "it counts {found} hits in {nonces} nonces, and calls that an overflow"
            ));
        }
        let parts = found.div_ceil(HITS_PER_BATCH as u64).max(1) * 2;
        self.batch_cap = self.batch_cap.min(nonces / parts).max(HITS_PER_BATCH as u64);
        None
    }

    fn report(self, roster: &Roster, elapsed: Duration) -> JobReport {
        let tally = self.ledger.tally().clone();
        JobReport {
            job: self.job.id,
            space: self.job.nonces,
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
