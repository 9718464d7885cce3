//! When a device that broke is opened again, and when it is left alone for longer.
//!
//! Events and the time come in, [`Standing`] says what follows. A reset of the driver is over in a second, a hung
//! driver is replaced in a minute, and a card that breaks again and again shall not keep a machine busy.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use super::DeviceId;
use crate::limits::{BENCH, LOSS_WINDOW, LOSSES_BEFORE_BENCH, REOPEN_AFTER};

/// Where a device is between breaking and working again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It works.
    Working,
    /// It is opened again then.
    Waiting(Instant),
    /// It broke too often: it is opened again then, much later.
    Benched(Instant),
    /// It is being opened and tested.
    Opening,
    /// It is not opened again.
    Gone,
}

/// Watches the devices that can be opened again.
#[derive(Debug, Default)]
pub struct Supervisor {
    seats: BTreeMap<DeviceId, Seat>,
}

#[derive(Debug)]
struct Seat {
    standing: Standing,
    /// When it broke, the latest last.
    losses: VecDeque<Instant>,
    /// How often it was opened since it last worked for a while.
    attempts: usize,
    /// Since when it works.
    since: Instant,
}

impl Supervisor {
    /// A device works, and can be opened again when it breaks.
    pub fn watch(&mut self, device: DeviceId, now: Instant) {
        let seat =
            Seat { standing: Standing::Working, losses: VecDeque::new(), attempts: 0, since: now };
        self.seats.insert(device, seat);
    }

    /// A device broke, or could not be opened. Says when it is opened again.
    pub fn lost(&mut self, device: DeviceId, now: Instant) -> Standing {
        let Some(seat) = self.seats.get_mut(&device) else { return Standing::Gone };
        if seat.standing == Standing::Gone {
            return Standing::Gone;
        }
        let worked = now.saturating_duration_since(seat.since);
        if seat.standing == Standing::Working && worked >= LOSS_WINDOW {
            seat.attempts = 0;
        }
        let is_old = |at: &Instant| now.saturating_duration_since(*at) > LOSS_WINDOW;
        while seat.losses.front().is_some_and(is_old) {
            seat.losses.pop_front();
        }
        seat.losses.push_back(now);
        seat.standing = if seat.losses.len() >= LOSSES_BEFORE_BENCH {
            seat.losses.clear();
            seat.attempts = 0;
            Standing::Benched(now + BENCH)
        } else {
            let last = REOPEN_AFTER.len() - 1;
            let pause = REOPEN_AFTER[seat.attempts.min(last)];
            seat.attempts += 1;
            Standing::Waiting(now + pause)
        };
        seat.standing
    }

    /// The devices to open now.
    pub fn due(&self, now: Instant) -> impl Iterator<Item = DeviceId> {
        let is_due = move |(_, seat): &(&DeviceId, &Seat)| {
            seat.standing.until().is_some_and(|until| until <= now)
        };
        self.seats.iter().filter(is_due).map(|(device, _)| *device)
    }

    /// A device is being opened.
    pub fn opening(&mut self, device: DeviceId) {
        self.stand(device, Standing::Opening);
    }

    /// A device was opened, and passed its self-test.
    pub fn opened(&mut self, device: DeviceId, now: Instant) {
        self.stand(device, Standing::Working);
        if let Some(seat) = self.seats.get_mut(&device) {
            seat.since = now;
        }
    }

    /// A device is not opened again.
    pub fn give_up(&mut self, device: DeviceId) {
        self.stand(device, Standing::Gone);
    }

    /// Where a device is; one that nobody watches works until it is gone.
    #[must_use]
    pub fn standing(&self, device: DeviceId) -> Option<Standing> {
        self.seats.get(&device).map(|seat| seat.standing)
    }

    /// Whether a device that does not work now may work again.
    #[must_use]
    pub fn has_hope(&self) -> bool {
        self.seats.values().any(|seat| seat.standing != Standing::Gone)
    }

    fn stand(&mut self, device: DeviceId, standing: Standing) {
        if let Some(seat) = self.seats.get_mut(&device) {
            seat.standing = standing;
        }
    }
}

impl Standing {
    /// When the device is opened again, if that is known.
    #[must_use]
    pub const fn until(self) -> Option<Instant> {
        match self {
            Self::Waiting(until) | Self::Benched(until) => Some(until),
            Self::Working | Self::Opening | Self::Gone => None,
        }
    }

    /// What people read behind the reason why a device broke.
    #[must_use]
    pub fn in_words(self, now: Instant) -> Option<String> {
        let left = |until: Instant| {
            // A second that has begun counts.
            let left = until.saturating_duration_since(now) + Duration::from_millis(999);
            humantime::format_duration(Duration::from_secs(left.as_secs()))
        };
        match self {
            Self::Waiting(until) => Some(format!("it is opened again in {}", left(until))),
            Self::Benched(until) => Some(format!(
                "it broke {LOSSES_BEFORE_BENCH} times in {}, and is tried again in {}",
                humantime::format_duration(LOSS_WINDOW),
                left(until)
            )),
            Self::Opening => Some("it is being opened and tested".to_owned()),
            Self::Working | Self::Gone => None,
        }
    }
}
