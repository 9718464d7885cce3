//! The devices: how fast each is, what it holds, and how much it should get next.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::judge::Judge;
use super::times::BatchTimes;
use super::{DeviceAccount, DeviceId};
use crate::work::{Batch, Duty, Speed, Width};

/// A device holds about this much work: long enough that it never waits for the engine, short enough
/// that a slow device does not hold up the end of a job.
const STOCK: Duration = Duration::from_millis(500);

/// What a device of unknown speed gets first: it lasts until its first report, and the slowest device
/// does not hold up a short job with it.
const FIRST_ASSIGNMENT: u64 = 1 << 12;

/// Less than this part of its stock is not worth an assignment of its own.
const SMALLEST: u64 = 16;

/// A device is judged anew after so many expected hits.
const LOOK: f64 = 4.0;

/// How likely a healthy device is ever accused of losing hits, from its opening on and however long it works: so
/// ten thousand days of ten thousand devices have no false alarm.
const HITS_RISK: f64 = 1e-9;

#[derive(Debug, Default)]
pub(super) struct Roster {
    members: BTreeMap<DeviceId, Member>,
    /// Those who left.
    left: BTreeMap<DeviceId, DeviceAccount>,
    /// Those who come back when they leave.
    returning: BTreeSet<DeviceId>,
}

#[derive(Debug)]
struct Member {
    width: Width,
    speed: Speed,
    /// Which part of the time it works; none while it is paused.
    duty: Option<Duty>,
    times: BatchTimes,
    account: DeviceAccount,
    /// Mistakes since it joined.
    faults: u32,
    watch: Watch,
}

/// Whether a device reports as many hits as its hashes have, since it joined.
#[derive(Debug)]
struct Watch {
    judge: Judge,
    expected: f64,
    found: u64,
    /// Of these it was not judged yet.
    waiting: (f64, u64),
}

impl Roster {
    /// A device that was there before goes on with its account. Returns whether it was.
    pub(super) fn join(&mut self, device: DeviceId, width: Width) -> bool {
        let before = self.left.remove(&device);
        let member = Member {
            width,
            speed: Speed::default(),
            duty: Some(Duty::FULL),
            times: BatchTimes::default(),
            account: before.unwrap_or_default(),
            faults: 0,
            watch: Watch::new(),
        };
        self.members.entry(device).or_insert(member);
        before.is_some()
    }

    /// Whether the device was there.
    pub(super) fn leave(&mut self, device: DeviceId) -> bool {
        let member = self.members.remove(&device);
        self.left.extend(member.as_ref().map(|member| (device, member.account())));
        member.is_some()
    }

    pub(super) fn has(&self, device: DeviceId) -> bool {
        self.members.contains_key(&device)
    }

    pub(super) fn expect(&mut self, device: DeviceId, returns: bool) {
        if returns {
            self.returning.insert(device);
        } else {
            self.returning.remove(&device);
        }
    }

    /// Whether nobody is there, and nobody comes back.
    pub(super) fn is_deserted(&self) -> bool {
        self.members.is_empty() && self.returning.is_empty()
    }

    pub(super) fn members(&self) -> Vec<DeviceId> {
        self.members.keys().copied().collect()
    }

    /// Returns whether the device is paused by this, and was not before.
    pub(super) fn allow(&mut self, device: DeviceId, duty: Option<Duty>) -> bool {
        let Some(member) = self.members.get_mut(&device) else { return false };
        let before = std::mem::replace(&mut member.duty, duty);
        before.is_some() && duty.is_none()
    }

    pub(super) fn is_paused(&self, device: DeviceId) -> bool {
        self.members.get(&device).is_some_and(|member| member.duty.is_none())
    }

    /// A batch ended, believed or not.
    pub(super) fn observe(&mut self, device: DeviceId, hashes: u64, elapsed: Duration, wrong: u64) {
        if let Some(member) = self.members.get_mut(&device) {
            member.speed.observe(hashes, elapsed);
            member.times.note(elapsed);
            member.account.busy += elapsed;
            member.account.wrong += wrong;
        }
    }

    /// Candidates were found that were not known, in a batch that counts if it is `believed`; with it comes how many
    /// the device reported, known or not. Says why it is certain that the device does not report all hits, once
    /// it is.
    pub(super) fn book(
        &mut self,
        device: DeviceId,
        found: u64,
        believed: Option<(&Batch, u64)>,
    ) -> Option<String> {
        let member = self.members.get_mut(&device)?;
        member.account.candidates += found;
        let (batch, reported) = believed?;
        let expected = batch.expected_candidates();
        member.account.scanned += batch.region.len();
        member.account.expected_candidates += expected;
        member.watch.book(expected, reported)
    }

    /// What each device did, also those that left.
    pub(super) fn accounts(&self) -> BTreeMap<DeviceId, DeviceAccount> {
        let present = self.members.iter().map(|(device, member)| (*device, member.account()));
        self.left.iter().map(|(device, account)| (*device, *account)).chain(present).collect()
    }

    /// Counts a mistake and returns how many there were since the device joined.
    pub(super) fn fault(&mut self, device: DeviceId) -> u32 {
        self.members.get_mut(&device).map_or(0, |member| {
            member.account.faults += 1;
            member.faults += 1;
            member.faults
        })
    }

    /// The mistakes of a device since the run began.
    pub(super) fn faults(&self, device: DeviceId) -> u32 {
        let present = self.members.get(&device).map(|member| member.account);
        present.or_else(|| self.left.get(&device).copied()).unwrap_or_default().faults
    }

    /// How many headers a device takes at once, and how many of a job's `free` hashes it should get, if the
    /// stock that it `holds` is half used.
    pub(super) fn wants(&self, device: DeviceId, holds: u64, free: u64) -> Option<(Width, u64)> {
        let member = self.members.get(&device)?;
        let stock = member.stock()?;
        if holds > stock / 2 {
            return None;
        }
        // Near the end everybody gets a share in proportion to its speed, so that all end together.
        // Who was not measured yet gets an equal one.
        let at_work = || self.members.values().filter(|member| member.duty.is_some());
        #[expect(clippy::cast_precision_loss, reason = "a few devices")]
        let equal = 1.0 / at_work().count() as f64;
        let total: f64 = at_work().filter_map(Member::per_second).sum();
        let share = member.per_second().map_or(equal, |speed| speed / total.max(1.0));
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "an estimate; a share of the free hashes is positive; the cast saturates"
        )]
        let fair = (free as f64 * share) as u64;
        let want = stock.saturating_sub(holds).min(fair.max(stock.div_ceil(SMALLEST)));
        (want > 0).then_some((member.width, want))
    }
}

impl Watch {
    fn new() -> Self {
        Self { judge: Judge::new(HITS_RISK), expected: 0.0, found: 0, waiting: (0.0, 0) }
    }

    fn book(&mut self, expected: f64, found: u64) -> Option<String> {
        self.expected += expected;
        self.found += found;
        self.waiting = (self.waiting.0 + expected, self.waiting.1 + found);
        if self.waiting.0 < LOOK {
            return None;
        }
        let (expected, found) = std::mem::take(&mut self.waiting);
        self.judge.look(expected, found).then(|| {
            format!(
                "it loses hits: its hashes have {:.0} on average, and it reported {}",
                self.expected, self.found
            )
        })
    }
}

impl Member {
    fn account(&self) -> DeviceAccount {
        DeviceAccount { batch_times: self.times.quantiles(), ..self.account }
    }

    /// Hashes in a second, rests included. `None` when unknown, and while it is paused.
    fn per_second(&self) -> Option<f64> {
        Some(self.speed.per_second()? * self.duty?.part())
    }

    /// Hashes that the device should hold; `None` while it is paused.
    fn stock(&self) -> Option<u64> {
        self.duty?;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a positive estimate"
        )]
        let stock = self
            .per_second()
            .map_or(FIRST_ASSIGNMENT, |speed| (speed * STOCK.as_secs_f64()) as u64);
        Some(stock.max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_judged_when_enough_hits_are_expected_and_not_before() {
        let mut watch = Watch::new();
        assert_eq!(watch.book(LOOK / 2.0, 1), None);
        assert_eq!(watch.waiting, (LOOK / 2.0, 1));
        assert_eq!(watch.book(LOOK / 2.0, 2), None);
        assert_eq!((watch.waiting, watch.expected, watch.found), ((0.0, 0), LOOK, 3));
    }
    #[test]
    fn a_device_that_rests_half_of_the_time_gets_half_as_much() {
        let (busy, resting) = (DeviceId(0), DeviceId(1));
        let mut roster = Roster::default();
        for device in [busy, resting] {
            roster.join(device, Width::ONE);
            roster.observe(device, 8000, Duration::from_secs(1), 0);
            roster.observe(device, 8000, Duration::from_secs(1), 0);
        }
        let wants = |roster: &Roster, holds, free| {
            [busy, resting].map(|device| roster.wants(device, holds, free).map(|(_, want)| want))
        };
        assert_eq!(wants(&roster, 0, 1 << 32), [Some(4000), Some(4000)]);
        roster.allow(resting, Some(Duty::of(0.5)));
        assert_eq!(wants(&roster, 0, 1 << 32), [Some(4000), Some(2000)]);
        // Half of a stock is enough.
        assert_eq!(wants(&roster, 1000, 1 << 32), [Some(3000), Some(1000)]);
        assert_eq!(wants(&roster, 1001, 1 << 32), [Some(2999), None]);
        // At the end of a job each gets its part of what is left, unless that is next to nothing.
        assert_eq!(wants(&roster, 0, 3000), [Some(2000), Some(1000)]);
        assert_eq!(wants(&roster, 0, 30), [Some(250), Some(125)]);
        roster.allow(resting, None);
        assert_eq!(wants(&roster, 0, 3000), [Some(3000), None]);
    }

    #[test]
    fn an_account_goes_on_when_its_device_comes_back() {
        let device = DeviceId(4);
        let mut roster = Roster::default();
        assert!(!roster.join(device, Width::ONE), "it was not there before");
        roster.observe(device, 8000, Duration::from_secs(1), 2);
        roster.book(device, 5, None);
        assert_eq!((roster.fault(device), roster.fault(device)), (1, 2));
        assert!(roster.leave(device) && !roster.leave(device));
        assert_eq!(roster.faults(device), 2, "also of one who left");
        assert!(roster.join(device, Width::ONE));
        roster.observe(device, 8000, Duration::from_secs(2), 3);
        roster.book(device, 7, None);
        assert_eq!(roster.fault(device), 1, "since it joined");
        let account = roster.accounts()[&device];
        assert_eq!((account.wrong, account.candidates, account.faults), (5, 12, 3));
        assert_eq!((account.busy, account.scanned), (Duration::from_secs(3), 0));
    }
}
