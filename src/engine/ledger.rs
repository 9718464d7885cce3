//! The ledger: where every hash of a job is, at every moment.
//!
//! The job's headers are cut into bands, and the nonces of a band into intervals, the same for each of its
//! headers: together they cover the job exactly. Each interval is free, held by a device, or scanned.
//! Hashes move only from free to held, from held to scanned, or from held back to free with a reason;
//! anything else is an error. So a hash is tested once, or it is known why it was not.

mod intervals;

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use self::intervals::{Intervals, State};
use super::DeviceId;
use crate::limits::LEDGER_INTERVALS;
use crate::work::{Headers, Region, Width};

/// Why a device gave hashes back.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// More hits than a report holds: the hashes are scanned again in smaller batches.
    Overflow,
    /// The report does not prove that they were all tested.
    Partial,
    /// The report held a hit that is none.
    WrongHit,
    /// The device broke.
    Lost,
    /// The job ended before they were tested.
    Ended,
    /// The device was paused before they were tested.
    Paused,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Overflow => "overflow",
            Self::Partial => "incomplete report",
            Self::WrongHit => "wrong hit",
            Self::Lost => "device lost",
            Self::Ended => "job ended",
            Self::Paused => "paused",
        })
    }
}

/// Hashes counted, each where it last was. A hash is a header and a nonce.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Hashes that a device had at some time; each counts once.
    pub assigned: u64,
    /// Hashes tested; each counts once.
    pub scanned: u64,
    /// Hashes that devices hold now.
    pub held: u64,
    /// Hashes given back, by reason, as often as it happened.
    pub given_back: BTreeMap<Reason, u64>,
}

/// A move of hashes that cannot be right: a bug in adit or a device that reports what it was not given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the ledger refuses to move {region} of {device}: {why}")]
pub struct LedgerError {
    region: Region,
    device: DeviceId,
    why: String,
}

/// The account of one job.
#[derive(Debug, Clone)]
pub struct Ledger {
    space: Region,
    /// How many headers are in a roll.
    per_roll: u64,
    /// By the first header; each ends where the next begins, and neighbours differ.
    bands: BTreeMap<u64, Band>,
    tally: Tally,
}

/// Headers whose nonces are in the same places.
#[derive(Debug, Clone)]
struct Band {
    /// One past the last header.
    end: u64,
    intervals: Intervals,
}

/// What a device could take of one band.
struct Offer {
    region: Region,
    /// Whether somebody had it before.
    returned: bool,
    band: Headers,
}

impl Ledger {
    /// All of `space` is free. No device is given headers of two rolls at once, each of which is as many
    /// headers as `per_roll` and begins at a multiple of it.
    #[must_use]
    pub fn new(space: Region, per_roll: u32) -> Self {
        let mut bands = BTreeMap::new();
        if !space.is_empty() {
            let intervals = Intervals::new(space.nonces);
            bands.insert(space.headers.start(), Band { end: space.headers.end(), intervals });
        }
        Self { space, per_roll: u64::from(per_roll).max(1), bands, tally: Tally::default() }
    }

    /// The hashes in the account.
    #[must_use]
    pub const fn space(&self) -> Region {
        self.space
    }

    /// The counts.
    #[must_use]
    pub const fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Whether every hash was tested.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.tally.scanned == self.space.len()
    }

    /// Hashes that nobody has.
    #[must_use]
    pub const fn free(&self) -> u64 {
        self.space.len() - self.tally.scanned - self.tally.held
    }

    /// Hands free hashes to a device: of as many headers as it takes, and as many nonces of each as make
    /// `want` hashes, one at least. `None` when nothing is free.
    ///
    /// Of the bands that offer the most headers it takes the narrowest, then the first: narrow devices use
    /// up narrow bands and leave the wide ones to wide devices.
    pub fn take(&mut self, device: DeviceId, width: Width, want: u64) -> Option<Region> {
        if want == 0 {
            return None;
        }
        let intervals = self.intervals();
        let offers = self.bands().filter_map(|(headers, band)| {
            self.offer(headers, &band.intervals, width, want, intervals)
        });
        let Offer { region, returned, .. } =
            offers.max_by_key(|Offer { region, band, .. }| {
                (region.headers.len(), Reverse(band.len()), Reverse(band.start()))
            })?;
        self.set(region, State::Held(device));
        self.tally.held += region.len();
        if !returned {
            self.tally.assigned += region.len();
        }
        Some(region)
    }

    /// Hashes that the device holds were tested.
    ///
    /// # Errors
    ///
    /// When the device does not hold all of them. Nothing changes then.
    pub fn scanned(&mut self, device: DeviceId, region: Region) -> Result<(), LedgerError> {
        self.release(device, region, State::Scanned)?;
        self.tally.scanned += region.len();
        Ok(())
    }

    /// The device gives hashes back untested.
    ///
    /// # Errors
    ///
    /// When the device does not hold all of them. Nothing changes then.
    pub fn give_back(
        &mut self,
        device: DeviceId,
        region: Region,
        reason: Reason,
    ) -> Result<(), LedgerError> {
        self.release(device, region, State::Free { returned: true })?;
        if !region.is_empty() {
            *self.tally.given_back.entry(reason).or_default() += region.len();
        }
        Ok(())
    }

    /// Everything that the device holds goes back. Returns how many hashes that were.
    pub fn give_back_all(&mut self, device: DeviceId, reason: Reason) -> u64 {
        let mut held = Vec::new();
        for (headers, band) in self.bands() {
            let intervals = band.intervals.iter();
            let own = intervals.filter(|(_, state)| *state == State::Held(device));
            held.extend(own.map(|(nonces, _)| Region { headers, nonces }));
        }
        // What was just read as held can be given back.
        held.into_iter()
            .filter(|region| self.give_back(device, *region, reason).is_ok())
            .map(Region::len)
            .sum()
    }

    /// Recounts everything: the bands cover the headers exactly, the intervals of each band the nonces, and
    /// the counts are theirs.
    ///
    /// # Errors
    ///
    /// A text that says what does not add up.
    pub fn audit(&self) -> Result<(), String> {
        let (mut next, mut scanned, mut held) = (self.space.headers.start(), 0, 0);
        let mut before: Option<&Band> = None;
        for (start, band) in &self.bands {
            let end = band.end;
            if *start != next || end <= *start {
                return Err(format!("band {start}..{end} does not begin at {next}"));
            }
            if before.is_some_and(|before| before.intervals == band.intervals) {
                return Err(format!("band {start}..{end} is as the one before it"));
            }
            let (nonces_scanned, nonces_held) = band
                .intervals
                .audit(self.space.nonces)
                .map_err(|why| format!("band {start}..{end}: {why}"))?;
            scanned += nonces_scanned * (end - start);
            held += nonces_held * (end - start);
            (next, before) = (end, Some(band));
        }
        if next != self.space.headers.end() && !self.space.is_empty() {
            let end = self.space.headers.end();
            return Err(format!("the bands end at {next}, the headers at {end}"));
        }
        if (scanned, held) != (self.tally.scanned, self.tally.held) {
            return Err(format!(
                "{scanned} scanned and {held} held are booked as {:?}",
                self.tally
            ));
        }
        Ok(())
    }

    fn bands(&self) -> impl Iterator<Item = (Headers, &Band)> {
        let headers = |start: u64, end: u64| Headers::ALL.split_at(end).0.split_at(start).1;
        self.bands.iter().map(move |(start, band)| (headers(*start, band.end), band))
    }

    /// How many intervals there are in all bands.
    fn intervals(&self) -> usize {
        self.bands.values().map(|band| band.intervals.len()).sum()
    }

    /// What a device of this width could take of a band; `None` when nothing of it is free.
    fn offer(
        &self,
        band: Headers,
        intervals: &Intervals,
        width: Width,
        want: u64,
        all_intervals: usize,
    ) -> Option<Offer> {
        let (free, returned) = intervals.first_free()?;
        // The first roll of a band may be cut off; the second is whole, or the last.
        let to_next_roll = self.per_roll - band.start() % self.per_roll;
        let (first, rest) = band.split_at(to_next_roll);
        let second = rest.split_at(self.per_roll).0;
        let roll = if width.of(second.len()) > width.of(first.len()) { second } else { first };
        let headers = roll.split_at(width.of(roll.len())).0;
        let (nonces, rest) = free.split_at(want.div_ceil(headers.len()));
        // A shattered job is not cut further. Whole pieces still go, and join others when scanned.
        let ends = [headers.start() > band.start(), headers.end() < band.end()];
        let copies = ends.into_iter().filter(|is_cut| *is_cut).count() * intervals.len();
        let more = copies + usize::from(!rest.is_empty());
        if more > 0 && all_intervals + more > LEDGER_INTERVALS {
            return None;
        }
        Some(Offer { region: Region { headers, nonces }, returned, band })
    }

    fn release(
        &mut self,
        device: DeviceId,
        region: Region,
        state: State,
    ) -> Result<(), LedgerError> {
        if region.is_empty() {
            return Ok(());
        }
        self.check_held(device, region).map_err(|why| LedgerError { region, device, why })?;
        self.set(region, state);
        self.tally.held -= region.len();
        Ok(())
    }

    fn check_held(&self, device: DeviceId, region: Region) -> Result<(), String> {
        let Region { headers, nonces } = region;
        let mut next = headers.start();
        let first = self.bands.range(..=next).next_back().map(|(start, _)| *start);
        for (start, band) in self.bands.range(first.unwrap_or(next)..headers.end()) {
            if *start > next || band.end <= next {
                break;
            }
            let held = band.intervals.check_held(device, nonces);
            held.map_err(|why| format!("header {next}: {why}"))?;
            next = band.end;
        }
        if next < headers.end() { Err(format!("header {next} is not in the job")) } else { Ok(()) }
    }

    /// Sets the state of a region inside the space: cuts the bands at its ends, sets its nonces in each
    /// band inside, then joins bands that became equal.
    fn set(&mut self, region: Region, state: State) {
        let Region { headers, nonces } = region;
        self.cut(headers.start());
        self.cut(headers.end());
        for band in self.bands.range_mut(headers.start()..headers.end()) {
            band.1.intervals.set(nonces, state);
        }
        let before = self.bands.range(..headers.start()).next_back().map(|(start, _)| *start);
        let mut start = before.unwrap_or(headers.start());
        while start < headers.end() {
            start = self.join(start);
        }
    }

    /// Makes `at` the boundary of two bands, if it lies inside one.
    fn cut(&mut self, at: u64) {
        if let Some((_, band)) = self.bands.range_mut(..at).next_back()
            && band.end > at
        {
            let rest = band.clone();
            band.end = at;
            self.bands.insert(at, rest);
        }
    }

    /// Joins the band at `start` with the next one, if they are equal. Returns where to go on.
    fn join(&mut self, start: u64) -> u64 {
        let Some(band) = self.bands.get(&start) else { return u64::MAX };
        let next = band.end;
        match self.bands.get(&next) {
            Some(after) if after.intervals == band.intervals => {
                let end = after.end;
                self.bands.remove(&next);
                if let Some(band) = self.bands.get_mut(&start) {
                    band.end = end;
                }
                start
            }
            _ => next,
        }
    }
}

#[cfg(test)]
mod tests;
