//! The interval ledger: where every nonce of a job is, at every moment.
//!
//! The job's range is cut into intervals that cover it exactly. Each is free, held by a device, or
//! scanned. Nonces move only from free to held, from held to scanned, or from held back to free with a
//! reason; anything else is an error. So a nonce is scanned once, or it is known why it was not.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::DeviceId;
use crate::limits::LEDGER_INTERVALS;
use crate::work::Nonces;

/// Where the nonces of an interval are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nobody has them. `returned` when somebody had.
    Free { returned: bool },
    /// A device has them.
    Held(DeviceId),
    /// Tested.
    Scanned,
}

/// Why a device gave nonces back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// More hits than a report holds: the nonces are scanned again in smaller batches.
    Overflow,
    /// The report does not prove that they were all tested.
    Partial,
    /// The report held a hit that is none.
    WrongHit,
    /// The device broke.
    Lost,
    /// The job ended before they were tested.
    Ended,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Overflow => "overflow",
            Self::Partial => "incomplete report",
            Self::WrongHit => "wrong hit",
            Self::Lost => "device lost",
            Self::Ended => "job ended",
        })
    }
}

/// Nonces counted, each where it last was.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Nonces that a device had at some time; each counts once.
    pub assigned: u64,
    /// Nonces tested; each counts once.
    pub scanned: u64,
    /// Nonces that devices hold now.
    pub held: u64,
    /// Nonces given back, by reason, as often as it happened.
    pub given_back: BTreeMap<Reason, u64>,
}

/// A move of nonces that cannot be right: a bug in adit or a device that reports what it was not given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the ledger refuses to move nonces {nonces} of {device}: {why}")]
pub struct LedgerError {
    nonces: Nonces,
    device: DeviceId,
    why: String,
}

/// The account of one job.
#[derive(Debug, Clone)]
pub struct Ledger {
    space: Nonces,
    /// By start; each ends where the next begins.
    intervals: BTreeMap<u64, (u64, State)>,
    tally: Tally,
}

impl Ledger {
    /// All of `space` is free.
    #[must_use]
    pub fn new(space: Nonces) -> Self {
        let mut intervals = BTreeMap::new();
        if !space.is_empty() {
            intervals.insert(space.start(), (space.end(), State::Free { returned: false }));
        }
        Self { space, intervals, tally: Tally::default() }
    }

    /// The nonces in the account.
    #[must_use]
    pub const fn space(&self) -> Nonces {
        self.space
    }

    /// The counts.
    #[must_use]
    pub const fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Whether every nonce was scanned.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.tally.scanned == self.space.len()
    }

    /// Nonces that nobody has.
    #[must_use]
    pub const fn free(&self) -> u64 {
        self.space.len() - self.tally.scanned - self.tally.held
    }

    /// Hands the first free nonces to a device, `want` at most. `None` when none are free.
    pub fn take(&mut self, device: DeviceId, want: u64) -> Option<Nonces> {
        if want == 0 {
            return None;
        }
        let free = self.intervals.iter().find_map(|(start, (end, state))| match state {
            State::Free { returned } => {
                Nonces::new(*start, *end).ok().map(|nonces| (nonces, *returned))
            }
            _ => None,
        });
        let (free, returned) = free?;
        let (taken, rest) = free.split_at(want);
        // A shattered job is not cut further. Whole intervals still go, and join others when scanned.
        if !rest.is_empty() && self.intervals.len() >= LEDGER_INTERVALS {
            return None;
        }
        self.set(taken, State::Held(device));
        self.tally.held += taken.len();
        if !returned {
            self.tally.assigned += taken.len();
        }
        Some(taken)
    }

    /// Nonces that the device holds were tested.
    ///
    /// # Errors
    ///
    /// When the device does not hold all of them. Nothing changes then.
    pub fn scanned(&mut self, device: DeviceId, nonces: Nonces) -> Result<(), LedgerError> {
        self.release(device, nonces, State::Scanned)?;
        self.tally.scanned += nonces.len();
        Ok(())
    }

    /// The device gives nonces back untested.
    ///
    /// # Errors
    ///
    /// When the device does not hold all of them. Nothing changes then.
    pub fn give_back(
        &mut self,
        device: DeviceId,
        nonces: Nonces,
        reason: Reason,
    ) -> Result<(), LedgerError> {
        self.release(device, nonces, State::Free { returned: true })?;
        if !nonces.is_empty() {
            *self.tally.given_back.entry(reason).or_default() += nonces.len();
        }
        Ok(())
    }

    /// Everything that the device holds goes back. Returns how many nonces that were.
    pub fn give_back_all(&mut self, device: DeviceId, reason: Reason) -> u64 {
        let held: Vec<Nonces> = self
            .intervals
            .iter()
            .filter(|(_, (_, state))| *state == State::Held(device))
            .filter_map(|(start, (end, _))| Nonces::new(*start, *end).ok())
            .collect();
        // What was just read as held can be given back.
        held.into_iter()
            .filter(|nonces| self.give_back(device, *nonces, reason).is_ok())
            .map(Nonces::len)
            .sum()
    }

    /// Recounts everything from the intervals: they cover the space exactly, and the counts are theirs.
    ///
    /// # Errors
    ///
    /// A text that says what does not add up.
    pub fn audit(&self) -> Result<(), String> {
        let (mut next, mut scanned, mut held) = (self.space.start(), 0, 0);
        for (start, (end, state)) in &self.intervals {
            if *start != next || end <= start {
                return Err(format!("interval {start}..{end} does not begin at {next}"));
            }
            next = *end;
            match state {
                State::Scanned => scanned += end - start,
                State::Held(_) => held += end - start,
                State::Free { .. } => {}
            }
        }
        if next != self.space.end() {
            return Err(format!("the intervals end at {next}, the space at {}", self.space.end()));
        }
        if (scanned, held) != (self.tally.scanned, self.tally.held) {
            return Err(format!(
                "{scanned} scanned and {held} held are booked as {:?}",
                self.tally
            ));
        }
        Ok(())
    }

    fn release(
        &mut self,
        device: DeviceId,
        nonces: Nonces,
        state: State,
    ) -> Result<(), LedgerError> {
        if nonces.is_empty() {
            return Ok(());
        }
        self.check_held(device, nonces).map_err(|why| LedgerError { nonces, device, why })?;
        self.set(nonces, state);
        self.tally.held -= nonces.len();
        Ok(())
    }

    fn check_held(&self, device: DeviceId, nonces: Nonces) -> Result<(), String> {
        let mut next = nonces.start();
        let first = self.intervals.range(..=next).next_back().map(|(start, _)| *start);
        for (start, (end, state)) in self.intervals.range(first.unwrap_or(next)..nonces.end()) {
            if *start > next || *end <= next {
                break;
            }
            match state {
                State::Held(holder) if *holder == device => next = *end,
                State::Held(holder) => return Err(format!("{holder} holds nonce {next}")),
                State::Free { .. } => return Err(format!("nonce {next} is held by nobody")),
                State::Scanned => return Err(format!("nonce {next} was scanned before")),
            }
        }
        if next < nonces.end() { Err(format!("nonce {next} is not in the job")) } else { Ok(()) }
    }

    /// Sets the state of a range inside the space: cuts at its ends, then joins equal neighbours.
    fn set(&mut self, nonces: Nonces, state: State) {
        self.cut(nonces.start());
        self.cut(nonces.end());
        let inside: Vec<u64> =
            self.intervals.range(nonces.start()..nonces.end()).map(|(start, _)| *start).collect();
        for start in inside {
            self.intervals.remove(&start);
        }
        let (mut start, mut end) = (nonces.start(), nonces.end());
        if let Some((before, (_, _))) =
            self.intervals.range(..start).next_back().filter(|(_, (_, s))| *s == state)
        {
            start = *before;
        }
        if let Some((after, _)) = self.intervals.get(&end).filter(|(_, s)| *s == state).copied() {
            self.intervals.remove(&end);
            end = after;
        }
        self.intervals.insert(start, (end, state));
    }

    /// Makes `at` the boundary of two intervals, if it lies inside one.
    fn cut(&mut self, at: u64) {
        if let Some((start, (end, state))) =
            self.intervals.range(..at).next_back().map(|(s, v)| (*s, *v))
            && end > at
        {
            self.intervals.insert(start, (at, state));
            self.intervals.insert(at, (end, state));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const A: DeviceId = DeviceId(0);
    const B: DeviceId = DeviceId(1);

    fn nonces(start: u64, end: u64) -> Nonces {
        Nonces::new(start, end).unwrap()
    }

    #[test]
    fn two_devices_share_a_space_without_gap_or_overlap() {
        let mut ledger = Ledger::new(nonces(100, 1000));
        assert_eq!(ledger.take(A, 300), Some(nonces(100, 400)));
        assert_eq!(ledger.take(B, 10_000), Some(nonces(400, 1000)));
        assert_eq!(ledger.take(A, 1), None);
        ledger.scanned(B, nonces(400, 700)).unwrap();
        ledger.scanned(A, nonces(100, 400)).unwrap();
        assert!(!ledger.is_complete());
        assert_eq!(ledger.give_back_all(B, Reason::Lost), 300);
        assert_eq!(ledger.take(A, 10_000), Some(nonces(700, 1000)));
        ledger.scanned(A, nonces(700, 1000)).unwrap();
        assert!(ledger.is_complete());
        assert_eq!(ledger.tally().assigned, 900);
        assert_eq!(ledger.tally().given_back[&Reason::Lost], 300);
        ledger.audit().unwrap();
    }

    #[test]
    fn a_nonce_is_never_scanned_twice_nor_by_a_stranger() {
        let mut ledger = Ledger::new(nonces(0, 100));
        ledger.take(A, 50).unwrap();
        let before = ledger.clone();
        for (device, range, why) in [
            (B, nonces(0, 50), "holds nonce 0"),
            (A, nonces(0, 51), "nonce 50 is held by nobody"),
            (A, nonces(90, 101), "nonce 90 is held by nobody"),
            (A, nonces(200, 300), "nonce 200 is not in the job"),
        ] {
            let error = ledger.scanned(device, range).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
            assert_eq!(ledger.intervals, before.intervals, "an error changes nothing");
        }
        ledger.scanned(A, nonces(10, 20)).unwrap();
        let error = ledger.scanned(A, nonces(15, 25)).unwrap_err().to_string();
        assert!(error.contains("nonce 15 was scanned before"), "{error}");
        ledger.audit().unwrap();
    }

    #[test]
    fn a_sweep_in_order_keeps_few_intervals() {
        let mut ledger = Ledger::new(Nonces::ALL);
        while let Some(taken) = ledger.take(A, 1 << 22) {
            ledger.scanned(A, taken).unwrap();
            assert!(ledger.intervals.len() <= 2);
        }
        assert!(ledger.is_complete());
        assert_eq!(ledger.tally().scanned, 1 << 32);
    }

    #[test]
    fn a_shattered_job_is_not_cut_further() {
        let pairs = LEDGER_INTERVALS as u64 / 2;
        let mut ledger = Ledger::new(nonces(0, pairs * 4));
        ledger.take(A, u64::MAX).unwrap();
        for pair in 0..pairs {
            ledger.give_back(A, nonces(pair * 4, pair * 4 + 2), Reason::Partial).unwrap();
        }
        assert_eq!(ledger.intervals.len(), LEDGER_INTERVALS);
        assert_eq!(ledger.take(B, 1), None);
        assert_eq!(ledger.take(A, 1), None, "whoever asks");
        assert_eq!(ledger.take(B, 2), Some(nonces(0, 2)), "a whole interval adds none");
        ledger.scanned(A, nonces(2, 4)).unwrap();
        ledger.scanned(B, nonces(0, 2)).unwrap();
        assert_eq!(ledger.take(B, 1), Some(nonces(4, 5)), "two became one");
        ledger.audit().unwrap();
    }

    proptest! {
        /// Random traffic of three devices: the intervals cover the space exactly after every move.
        #[test]
        fn every_history_is_an_exact_cover(
            start in 0_u64..1000,
            length in 0_u64..500,
            moves in prop::collection::vec((0_u8..4, 0_u16..3, 0_u64..600, 1_u64..200), 0..200),
        ) {
            let space = nonces(start, start + length);
            let mut ledger = Ledger::new(space);
            // What each nonce went through, kept the naive way.
            let mut holder = vec![None; usize::try_from(length).unwrap()];
            let mut done = vec![false; usize::try_from(length).unwrap()];
            for (kind, device, at, count) in moves {
                let device = DeviceId(device);
                let range = nonces(start + at, start + at + count);
                let index = |nonce: u64| usize::try_from(nonce - start).unwrap();
                let holds = |holder: &[Option<DeviceId>]| {
                    (range.start()..range.end()).all(|n| n < space.end() && holder[index(n)] == Some(device))
                };
                match kind {
                    0 => if let Some(taken) = ledger.take(device, count) {
                        for nonce in taken.start()..taken.end() {
                            prop_assert!(holder[index(nonce)].is_none() && !done[index(nonce)]);
                            holder[index(nonce)] = Some(device);
                        }
                    },
                    1 => {
                        let allowed = holds(&holder);
                        prop_assert_eq!(ledger.scanned(device, range).is_ok(), allowed);
                        for nonce in (range.start()..range.end()).filter(|_| allowed) {
                            holder[index(nonce)] = None;
                            done[index(nonce)] = true;
                        }
                    }
                    2 => {
                        let allowed = holds(&holder);
                        prop_assert_eq!(ledger.give_back(device, range, Reason::Partial).is_ok(), allowed);
                        for nonce in (range.start()..range.end()).filter(|_| allowed) {
                            holder[index(nonce)] = None;
                        }
                    }
                    _ => {
                        ledger.give_back_all(device, Reason::Lost);
                        for held in holder.iter_mut().filter(|held| **held == Some(device)) {
                            *held = None;
                        }
                    }
                }
                prop_assert_eq!(ledger.audit(), Ok(()));
                prop_assert_eq!(ledger.tally().scanned, done.iter().filter(|done| **done).count() as u64);
                prop_assert_eq!(ledger.tally().held, holder.iter().flatten().count() as u64);
            }
        }
    }
}
