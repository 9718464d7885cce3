//! The ledger of one dimension: intervals of nonces that cover a range exactly.

use std::collections::BTreeMap;

use crate::engine::DeviceId;
use crate::work::Nonces;

/// Where hashes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Nobody has them. `returned` when somebody had.
    Free { returned: bool },
    /// A device has them.
    Held(DeviceId),
    /// Tested.
    Scanned,
}

/// Intervals without gap or overlap; neighbours differ in state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Intervals {
    /// By start; each ends where the next begins.
    by_start: BTreeMap<u64, (u64, State)>,
}

impl Intervals {
    /// One interval, in the state of what nobody had yet.
    pub(super) fn new(nonces: Nonces) -> Self {
        let fresh = (nonces.end(), State::Free { returned: false });
        Self { by_start: BTreeMap::from([(nonces.start(), fresh)]) }
    }

    pub(super) fn len(&self) -> usize {
        self.by_start.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Nonces, State)> {
        let nonces = |start: u64, end: u64| Nonces::ALL.split_at(end).0.split_at(start).1;
        self.by_start.iter().map(move |(start, (end, state))| (nonces(*start, *end), *state))
    }

    /// The first nonces that nobody has, and whether somebody had them.
    pub(super) fn first_free(&self) -> Option<(Nonces, bool)> {
        self.iter().find_map(|(nonces, state)| match state {
            State::Free { returned } => Some((nonces, returned)),
            _ => None,
        })
    }

    /// Whether the device holds all of `nonces`, else why not.
    pub(super) fn check_held(&self, device: DeviceId, nonces: Nonces) -> Result<(), String> {
        let mut next = nonces.start();
        let first = self.by_start.range(..=next).next_back().map(|(start, _)| *start);
        for (start, (end, state)) in self.by_start.range(first.unwrap_or(next)..nonces.end()) {
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

    /// Sets the state of a range inside: cuts at its ends, then joins equal neighbours.
    pub(super) fn set(&mut self, nonces: Nonces, state: State) {
        self.cut(nonces.start());
        self.cut(nonces.end());
        let inside: Vec<u64> =
            self.by_start.range(nonces.start()..nonces.end()).map(|(start, _)| *start).collect();
        for start in inside {
            self.by_start.remove(&start);
        }
        let (mut start, mut end) = (nonces.start(), nonces.end());
        if let Some((before, (_, _))) =
            self.by_start.range(..start).next_back().filter(|(_, (_, s))| *s == state)
        {
            start = *before;
        }
        if let Some((after, _)) = self.by_start.get(&end).filter(|(_, s)| *s == state).copied() {
            self.by_start.remove(&end);
            end = after;
        }
        self.by_start.insert(start, (end, state));
    }

    /// Recounts: the intervals cover `nonces` exactly. Returns how many are scanned and held.
    ///
    /// # Errors
    ///
    /// A text that says what does not add up.
    pub(super) fn audit(&self, nonces: Nonces) -> Result<(u64, u64), String> {
        let (mut next, mut scanned, mut held) = (nonces.start(), 0, 0);
        for (start, (end, state)) in &self.by_start {
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
        if next == nonces.end() {
            Ok((scanned, held))
        } else {
            Err(format!("the intervals end at {next}, the space at {}", nonces.end()))
        }
    }

    /// Makes `at` the boundary of two intervals, if it lies inside one.
    fn cut(&mut self, at: u64) {
        if let Some((start, (end, state))) =
            self.by_start.range(..at).next_back().map(|(s, v)| (*s, *v))
            && end > at
        {
            self.by_start.insert(start, (at, state));
            self.by_start.insert(at, (end, state));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_audit_finds_gaps_overlaps_and_wrong_ends() {
        let nonces = Nonces::ALL.split_at(100).0;
        let audit = |intervals: &[(u64, u64, State)]| {
            let by_start = intervals.iter().map(|(start, end, state)| (*start, (*end, *state)));
            Intervals { by_start: by_start.collect() }.audit(nonces)
        };
        let (free, held) = (State::Free { returned: true }, State::Held(DeviceId(3)));
        let whole =
            [(0, 10, State::Scanned), (10, 13, held), (13, 90, free), (90, 100, State::Scanned)];
        assert_eq!(audit(&whole), Ok((20, 3)));
        for (what, intervals) in [
            ("a gap", &[(0, 10, held), (11, 100, free)][..]),
            ("an overlap", &[(0, 10, held), (9, 100, free)]),
            ("too late a start", &[(1, 100, free)]),
            ("too early an end", &[(0, 99, free)]),
            ("too late an end", &[(0, 101, free)]),
            ("an empty interval", &[(0, 100, free), (100, 100, held)]),
            ("nothing", &[]),
        ] {
            assert!(audit(intervals).is_err(), "{what}");
        }
    }
}
