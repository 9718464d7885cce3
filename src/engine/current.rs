//! A job at work: its ledger, what each device holds of it, and what its reports are worth.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use bitcoin::BlockHash;

use super::{Counters, DeviceId, DeviceReport, JobReport, Ledger, Output, Reason, Roster};
use crate::chain;
use crate::limits::HITS_PER_BATCH;
use crate::work::{Assignment, Batch, Coverage, Hit, Job, Scan, Share, Width, verify};

#[derive(Debug)]
pub(super) struct Current {
    pub(super) job: Arc<Job>,
    pub(super) ledger: Ledger,
    pub(super) counters: Counters,
    /// Nothing new of it is begun.
    pub(super) ending: bool,
    /// A device that wanted more of it could not get any.
    pub(super) is_stuck: bool,
    /// Hashes that were free before anybody got more.
    pub(super) offered: u64,
    parts: BTreeMap<DeviceId, Part>,
    /// Candidates among hashes that were given back: when those are scanned again, they are known.
    pub(super) known: HashSet<Hit>,
    begun: Instant,
}

/// A device's part in a job, in hashes.
#[derive(Debug, Default, Clone, Copy)]
struct Part {
    holds: u64,
    tested: u64,
    /// Largest batch whose hits fit a report, once one did not. Each device learns that for itself: one that lies
    /// must not make the batches of others small.
    batch_cap: Option<u64>,
}

impl Current {
    pub(super) fn new(job: Arc<Job>, members: Vec<DeviceId>, begun: Instant) -> Self {
        Self {
            ledger: Ledger::new(job.space(), job.rolls.per_roll()),
            counters: Counters::default(),
            ending: false,
            is_stuck: false,
            offered: 0,
            parts: members.into_iter().map(|device| (device, Part::default())).collect(),
            known: HashSet::new(),
            begun,
            job,
        }
    }

    /// All devices that run low are about to get more.
    pub(super) fn begin_round(&mut self) {
        self.is_stuck = false;
        self.offered = self.ledger.free();
    }

    pub(super) fn holds(&self, device: DeviceId) -> u64 {
        self.parts.get(&device).map_or(0, |part| part.holds)
    }

    pub(super) fn release(&mut self, device: DeviceId, hashes: u64) {
        let part = self.parts.entry(device).or_default();
        part.holds = part.holds.saturating_sub(hashes);
    }

    /// A batch ended, believed or not.
    pub(super) fn tested(&mut self, device: DeviceId, hashes: u64) {
        self.release(device, hashes);
        self.parts.entry(device).or_default().tested += hashes;
    }

    /// The device is gone. Returns how many hashes it held.
    pub(super) fn lose(&mut self, device: DeviceId) -> u64 {
        if let Some(part) = self.parts.get_mut(&device) {
            *part = Part { tested: part.tested, ..Part::default() };
        }
        self.ledger.give_back_all(device, Reason::Lost)
    }

    /// Gives a device about `want` hashes of what is free. Returns how many it got.
    pub(super) fn give(
        &mut self,
        device: DeviceId,
        width: Width,
        mut want: u64,
        outputs: &mut Vec<Output>,
    ) -> u64 {
        let (filter, mut given) = (self.job.filter(), 0);
        let part = self.parts.entry(device).or_default();
        let batch_cap = part.batch_cap.unwrap_or(filter.batch_cap());
        // What was given back lies in pieces: one of them may be less than the device needs.
        while let Some(region) = self.ledger.take(device, width.with(filter), want) {
            // The last nonce of many headers may be more than was wanted.
            want = want.saturating_sub(region.len());
            given += region.len();
            let assignment = Assignment { job: Arc::clone(&self.job), region, filter, batch_cap };
            outputs.push(Output::Assign(device, assignment));
        }
        part.holds += given;
        given
    }

    /// Why the hashes of a batch go back, if they do, and what the device did wrong, if it did.
    pub(super) fn judge(
        &mut self,
        device: DeviceId,
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
                match self.overflowed(device, batch.region.len(), *found) {
                    None => (Some(Reason::Overflow), None),
                    why => (Some(Reason::Partial), why),
                }
            }
            (Coverage::Full, None) => (None, None),
        }
    }

    /// Makes the device's batches so small that the hits found here would fit. Returns why that cannot be.
    fn overflowed(&mut self, device: DeviceId, hashes: u64, found: u64) -> Option<String> {
        let (most, usual) = (HITS_PER_BATCH as u64, self.job.filter().batch_cap());
        let cap = &mut self.parts.entry(device).or_default().batch_cap;
        if found <= most || found > hashes {
            // What it said before was no truer.
            *cap = None;
            return Some(format!(
                "it counts {found} hits in {hashes} hashes, and calls that an overflow"
            ));
        }
        let parts = found.div_ceil(most) * 2;
        *cap = Some(cap.unwrap_or(usual).min((hashes / parts).max(most)));
        None
    }

    /// Counts candidates that are new, and returns those that are shares. What is `rescanned` shows
    /// the same candidates again; what is not is never seen again, so nothing of it is remembered.
    pub(super) fn count(
        &mut self,
        candidates: Vec<(Hit, BlockHash)>,
        rescanned: bool,
    ) -> Vec<Share> {
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

    pub(super) fn report(self, roster: &Roster, now: Instant) -> JobReport {
        let device = |(device, part): (&DeviceId, &Part)| DeviceReport {
            device: *device,
            tested: part.tested,
            faults: roster.faults(*device),
        };
        JobReport {
            job: self.job.id,
            space: self.job.space(),
            complete: self.ledger.is_complete(),
            tally: self.ledger.tally().clone(),
            counters: self.counters,
            elapsed: now.saturating_duration_since(self.begun),
            devices: self.parts.iter().map(device).collect(),
        }
    }
}

/// The hits of a report after each was hashed.
#[derive(Default)]
pub(super) struct Hits {
    /// Distinct, in the order of the report.
    pub(super) candidates: Vec<(Hit, BlockHash)>,
    pub(super) wrong: u64,
    first_wrong: Option<String>,
}

impl Hits {
    pub(super) fn verified(batch: &Batch, scan: &Scan) -> Self {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::KNOWN_BLOCKS;
    use crate::work::{JobId, Nonces, Rolls};

    #[test]
    fn after_an_overflow_half_a_report_of_hits_is_expected() {
        const A: DeviceId = DeviceId(0);
        let header = KNOWN_BLOCKS[0].header().unwrap();
        let (rolls, nonces) = (Rolls::one(header), Nonces::ALL);
        let job = Job { id: JobId::only(1), rolls, target: header.target(), nonces };
        let mut current = Current::new(Arc::new(job), vec![A], Instant::now());
        let most = HITS_PER_BATCH as u64;
        let cap = |current: &Current| current.parts[&A].batch_cap;

        assert_eq!(current.overflowed(A, 1_000_000, 3 * most), None);
        assert_eq!(cap(&current), Some(1_000_000 / 6));
        assert_eq!(current.overflowed(A, 1_000_000, most + 1), None);
        assert_eq!(cap(&current), Some(1_000_000 / 6), "it was smaller before");
        assert_eq!(current.overflowed(A, most + 1, most + 1), None);
        assert_eq!(cap(&current), Some(most), "so many always fit");
        for (hashes, found) in [(1_000_000, most), (most + 1, most + 2)] {
            assert!(current.overflowed(A, hashes, found).is_some());
            assert_eq!(cap(&current), None);
            current.overflowed(A, 1_000_000, 3 * most);
        }
    }
}
