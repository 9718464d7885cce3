//! The sources' turns: whose job begins when, and who gets how much of the devices' work.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use super::current::Current;
use super::{Account, Counters, Tally};
use crate::limits::JOB_INTERVAL;
use crate::work::{Job, JobId, SourceId};

#[derive(Debug, Default)]
pub(super) struct Lanes(BTreeMap<SourceId, Lane>);

#[derive(Debug)]
struct Lane {
    weight: u32,
    /// Hashes given to devices and not given back, for each unit of weight. Whoever has the least is next.
    spent: f64,
    /// The newest job that did not begin yet.
    waiting: Option<Arc<Job>>,
    /// When the last one began.
    begun: Option<Instant>,
    /// Of the jobs that have their report.
    past: Account,
}

impl Lanes {
    pub(super) fn sources(&self) -> impl Iterator<Item = SourceId> {
        self.0.keys().copied()
    }

    /// The job begins when its turn comes, unless a newer one comes first.
    pub(super) fn wait(&mut self, job: Arc<Job>) {
        let lane = self.lane(job.id.source);
        if lane.weight > 0 {
            lane.waiting = Some(job);
        }
    }

    /// A job that did not begin shall not.
    pub(super) fn forget(&mut self, job: JobId) {
        if let Some(lane) = self.0.get_mut(&job.source) {
            lane.waiting.take_if(|waiting| waiting.id == job);
        }
    }

    pub(super) fn weigh(&mut self, source: SourceId, weight: u32) {
        let lane = self.lane(source);
        // What it spent stays the same number of hashes.
        lane.spent *= f64::from(lane.weight) / f64::from(weight.max(1));
        lane.weight = weight;
        if weight == 0 {
            lane.waiting = None;
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let waiting = self.0.values().filter(|lane| lane.waiting.is_some());
        waiting.filter_map(|lane| Some(lane.begun? + JOB_INTERVAL)).min()
    }

    /// The jobs that begin now: those of sources that have none `at_work`, and those whose time has come.
    pub(super) fn due(&mut self, at_work: &[SourceId], now: Instant) -> Vec<Arc<Job>> {
        let least = at_work.iter().filter_map(|source| Some(self.0.get(source)?.spent));
        let least = least.reduce(f64::min);
        let mut due = Vec::new();
        for (source, lane) in &mut self.0 {
            let is_new = !at_work.contains(source);
            let is_time = lane.begun.is_none_or(|begun| now >= begun + JOB_INTERVAL);
            let Some(job) = lane.waiting.take_if(|_| is_new || is_time) else { continue };
            lane.begun = Some(now);
            // Who was away does not catch up: the others worked for themselves meanwhile.
            if is_new && let Some(least) = least {
                lane.spent = lane.spent.max(least);
            }
            due.push(job);
        }
        due
    }

    /// The job whose source is next, among those with something free.
    pub(super) fn next<'j>(&self, jobs: &'j mut [Current]) -> Option<&'j mut Current> {
        let can_give = |current: &&mut Current| {
            !current.ending && !current.is_stuck && current.ledger.free() > 0
        };
        let spent = |current: &Current| self.0.get(&current.job.id.source).map_or(0.0, |l| l.spent);
        jobs.iter_mut().filter(can_give).min_by(|a, b| spent(a).total_cmp(&spent(b)))
    }

    pub(super) fn spend(&mut self, source: SourceId, hashes: u64) {
        self.lane(source).book(hashes, 1.0);
    }

    pub(super) fn unspend(&mut self, source: SourceId, hashes: u64) {
        self.lane(source).book(hashes, -1.0);
    }

    /// Adds the account of a job that has its report.
    pub(super) fn add(&mut self, source: SourceId, tally: &Tally, counters: &Counters) {
        self.lane(source).past.add(tally, counters);
    }

    pub(super) fn accounts(&self) -> BTreeMap<SourceId, Account> {
        self.0.iter().map(|(source, lane)| (*source, lane.past.clone())).collect()
    }

    fn lane(&mut self, source: SourceId) -> &mut Lane {
        self.0.entry(source).or_insert_with(|| Lane {
            weight: 1,
            spent: 0.0,
            waiting: None,
            begun: None,
            past: Account::default(),
        })
    }
}

impl Lane {
    #[expect(clippy::cast_precision_loss, reason = "a share of the work, not an account")]
    fn book(&mut self, hashes: u64, sign: f64) {
        self.spent += sign * hashes as f64 / f64::from(self.weight.max(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_that_come_back_were_not_spent() {
        let (mut lanes, source) = (Lanes::default(), SourceId(3));
        lanes.weigh(source, 4);
        lanes.spend(source, 1000);
        assert_eq!(lanes.lane(source).spent.to_bits(), 250_f64.to_bits());
        lanes.weigh(source, 2);
        assert_eq!(lanes.lane(source).spent.to_bits(), 500_f64.to_bits());
        lanes.unspend(source, 1000);
        assert_eq!(lanes.lane(source).spent.to_bits(), 0_f64.to_bits());
    }
}
