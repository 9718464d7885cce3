//! The devices: how fast each is, what it holds, and how much it should get next.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{DeviceId, DeviceReport};
use crate::work::{Speed, Width};

/// A device holds about this much work: long enough that it never waits for the engine, short enough
/// that a slow device does not hold up the end of a job.
const STOCK: Duration = Duration::from_millis(500);

/// What a device of unknown speed gets first: it lasts until its first report, and the slowest device
/// does not hold up a short job with it.
const FIRST_ASSIGNMENT: u64 = 1 << 12;

#[derive(Debug, Default)]
pub(super) struct Roster {
    members: BTreeMap<DeviceId, Member>,
    /// Devices that left while the job was at work.
    left: Vec<DeviceReport>,
}

#[derive(Debug)]
struct Member {
    width: Width,
    speed: Speed,
    holds: u64,
    tested: u64,
    faults: u32,
}

impl Roster {
    pub(super) fn join(&mut self, device: DeviceId, width: Width) {
        let member = Member { width, speed: Speed::default(), holds: 0, tested: 0, faults: 0 };
        self.members.entry(device).or_insert(member);
    }

    /// Whether the device was there.
    pub(super) fn leave(&mut self, device: DeviceId) -> bool {
        let member = self.members.remove(&device);
        self.left.extend(member.as_ref().map(|member| member.report(device)));
        member.is_some()
    }

    pub(super) fn has(&self, device: DeviceId) -> bool {
        self.members.contains_key(&device)
    }

    pub(super) fn holds(&self, device: DeviceId) -> u64 {
        self.members.get(&device).map_or(0, |member| member.holds)
    }

    pub(super) fn new_job(&mut self) {
        self.left.clear();
        for member in self.members.values_mut() {
            member.holds = 0;
            member.tested = 0;
        }
    }

    pub(super) fn hold(&mut self, device: DeviceId, hashes: u64) {
        if let Some(member) = self.members.get_mut(&device) {
            member.holds += hashes;
        }
    }

    pub(super) fn release(&mut self, device: DeviceId, hashes: u64) {
        if let Some(member) = self.members.get_mut(&device) {
            member.holds = member.holds.saturating_sub(hashes);
        }
    }

    /// A batch ended, believed or not.
    pub(super) fn observe(&mut self, device: DeviceId, hashes: u64, elapsed: Duration) {
        self.release(device, hashes);
        let Some(member) = self.members.get_mut(&device) else { return };
        member.tested += hashes;
        member.speed.observe(hashes, elapsed);
    }

    /// Counts a mistake and returns how many there were.
    pub(super) fn fault(&mut self, device: DeviceId) -> u32 {
        self.members.get_mut(&device).map_or(0, |member| {
            member.faults += 1;
            member.faults
        })
    }

    /// The devices whose stock is half used, with how many headers each takes at once and how many hashes
    /// it should get of the `free` ones.
    pub(super) fn wants(&self, free: u64) -> Vec<(DeviceId, Width, u64)> {
        // Near the end everybody gets a share in proportion to its speed, so that all end together.
        // Who was not measured yet gets an equal one.
        #[expect(clippy::cast_precision_loss, reason = "a few devices")]
        let equal = 1.0 / self.members.len() as f64;
        let total: f64 = self.members.values().filter_map(|member| member.speed.per_second()).sum();
        self.members
            .iter()
            .filter_map(|(device, member)| {
                let stock = member.stock();
                let share = member.speed.per_second().map_or(equal, |speed| speed / total.max(1.0));
                #[expect(
                    clippy::cast_precision_loss,
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "an estimate; a share of the free hashes is positive; the cast saturates"
                )]
                let fair = (free as f64 * share) as u64;
                let want = stock.saturating_sub(member.holds).min(fair.max(member.smallest()));
                (member.holds <= stock / 2 && want > 0).then_some((*device, member.width, want))
            })
            .collect()
    }

    pub(super) fn reports(&self) -> Vec<DeviceReport> {
        let here = self.members.iter().map(|(device, member)| member.report(*device));
        self.left.iter().cloned().chain(here).collect()
    }
}

impl Member {
    /// Hashes that the device should hold.
    fn stock(&self) -> u64 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a positive estimate"
        )]
        self.speed
            .per_second()
            .map_or(FIRST_ASSIGNMENT, |speed| (speed * STOCK.as_secs_f64()) as u64)
            .max(1)
    }

    /// Less than this is not worth an assignment of its own.
    fn smallest(&self) -> u64 {
        self.stock().div_ceil(16)
    }

    fn report(&self, device: DeviceId) -> DeviceReport {
        DeviceReport { device, tested: self.tested, faults: self.faults }
    }
}
