//! Measures subjects in turns.
//!
//! The run goes through openings. In each, all subjects are opened anew, side by side, and measured in
//! rounds in which each has one turn, in an order drawn by lot. So drift of clocks, heat and other programs
//! meets all alike, and the difference from opening to opening shows.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::measured::Measured;
use super::record::{Hits, KernelFacts, Limit, Proof, Round, Subject, WarmUp};
use super::steady::Steady;
use super::watch::Watch;
use super::workload::{Checksum, Part, Workload};
use crate::device::speed::{Meter, Sample, Untested, slice};
use crate::device::{Device, Facts};
use crate::work::{Filter, Hit, Nonces};

/// Rounds of an opening whose work is fixed.
const FIXED_ROUNDS: u32 = 5;

/// A device that is so slow does not finish a fixed round: a thousand hashes a second.
const SLOWEST: u64 = 1000;

/// What a run does.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What is hashed.
    pub workload: Workload,
    /// How much of it.
    pub amount: Amount,
    /// How often each subject is opened anew, once at least.
    pub openings: u32,
    /// How long the warm-up may take for each subject.
    pub warm_up: Duration,
}

/// How much a run measures of each subject.
#[derive(Debug, Clone)]
pub enum Amount {
    /// As much as it does in this time.
    Time(Duration),
    /// This part, whole.
    Fixed(Part),
}

/// What opens a subject's device, tested the first time. Fails with a message for people.
pub type Open<'o> = Box<dyn FnMut(Turn) -> Result<Box<dyn Device>, String> + Send + 'o>;

/// Which opening a subject asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// The first: the kernel must prove itself.
    First,
    /// A later one of a kernel that has proved itself.
    Later,
}

/// A subject before it was measured.
pub struct Entrant<'o> {
    /// The device.
    pub device: Facts,
    /// The kernel.
    pub kernel: KernelFacts,
    /// How long a batch takes.
    pub batch_time: Duration,
    /// What the device could do at most; its `reached` is filled in.
    pub limit: Option<Limit>,
    /// Opens it.
    pub open: Open<'o>,
    /// Whether its time is what its scans say, as that of simulated devices.
    pub is_simulated: bool,
}

/// What happens in a run, for those who watch it. Subjects are named by their place.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Event<'e> {
    /// All are opened anew for the time of this number, from 0.
    Opening(u32),
    /// A subject is open and tested.
    Opened(usize),
    /// A sample of the warm-up.
    WarmUp(usize, f64),
    /// A round.
    Round(usize, &'e Round),
    /// A subject drops out.
    Dropped(usize, &'e str),
}

/// Measures the entrants and returns them as subjects, in their order, and whether it was stopped.
///
/// `is_stopped` is asked before each opening and each round.
pub fn run(
    plan: &Plan,
    entrants: Vec<Entrant<'_>>,
    is_stopped: &dyn Fn() -> bool,
    tell: &mut dyn FnMut(Event<'_>),
) -> (Vec<Subject>, bool) {
    let begin = Instant::now();
    let mut watches: Vec<(Facts, Watch)> = Vec::new();
    for entrant in &entrants {
        if watches.iter().all(|(device, _)| *device != entrant.device) {
            watches.push((entrant.device.clone(), Watch::start(&entrant.device, begin)));
        }
    }
    let seats = entrants.into_iter().map(|entrant| Seat::new(entrant, &watches)).collect();
    let broken = Vec::new();
    let mut bench = Bench { plan, begin, watches, seats, broken, is_stopped, tell };
    let stopped = bench.all_openings().is_err();
    let Bench { watches, seats, .. } = bench;
    (seats.into_iter().map(|seat| seat.subject(&watches)).collect(), stopped)
}

/// The run was stopped.
struct Stopped;

struct Bench<'b, 'o> {
    plan: &'b Plan,
    begin: Instant,
    watches: Vec<(Facts, Watch)>,
    seats: Vec<Seat<'o>>,
    /// The devices, by their watches, of which a kernel broke in this opening.
    broken: Vec<usize>,
    is_stopped: &'b dyn Fn() -> bool,
    tell: &'b mut dyn FnMut(Event<'_>),
}

/// An entrant with what is measured of it.
struct Seat<'o> {
    entrant: Entrant<'o>,
    watch: usize,
    /// While it is open.
    meter: Option<Meter>,
    /// The work that was left when it last was given some.
    untested: Option<Untested>,
    /// Why it is closed until the next opening, and whether it was before.
    setback: Option<String>,
    had_setback: bool,
    /// Why it is out.
    error: Option<String>,
    warm_up: Option<WarmUp>,
    rounds: Vec<Round>,
    hits: Hits,
    proof: Option<Proof>,
    /// Of a fixed amount: its pieces with their hits.
    fixed: Vec<(Part, Vec<Hit>)>,
}

impl Bench<'_, '_> {
    fn all_openings(&mut self) -> Result<(), Stopped> {
        let mut random = fastrand::Rng::with_seed(0);
        for opening in 0..self.plan.openings.max(1) {
            (self.tell)(Event::Opening(opening));
            self.broken.clear();
            self.open_all(opening)?;
            if opening == 0 {
                self.prove_all()?;
                self.warm_up()?;
            }
            self.rounds(opening, &mut random)?;
        }
        Ok(())
    }

    fn go_on(&self) -> Result<(), Stopped> {
        if (self.is_stopped)() { Err(Stopped) } else { Ok(()) }
    }

    fn at(&self) -> f64 {
        self.begin.elapsed().as_secs_f64()
    }

    /// A device that breaks can take the others of its GPU with it, so only the first to break in an opening is
    /// out for good. Others that were measured come back with the next opening, once.
    fn broke(&mut self, place: usize, why: &str) {
        let seat = &mut self.seats[place];
        let is_first = !self.broken.contains(&seat.watch);
        seat.meter = None;
        if is_first || seat.had_setback || seat.rounds.is_empty() {
            seat.error = Some(why.to_owned());
            self.broken.push(seat.watch);
            (self.tell)(Event::Dropped(place, why));
        } else {
            seat.setback = Some(why.to_owned());
            seat.had_setback = true;
        }
    }

    fn open_all(&mut self, opening: u32) -> Result<(), Stopped> {
        for place in 0..self.seats.len() {
            self.go_on()?;
            let (before, here) = self.seats.split_at_mut(place);
            let seat = &mut here[0];
            if seat.error.is_some() {
                continue;
            }
            // With batches of another length it is the same kernel, which proves itself once.
            let is_proved = opening > 0 || before.iter().any(|other| other.has_proved(seat));
            let turn = if is_proved { Turn::Later } else { Turn::First };
            match seat.open(turn, &self.plan.workload) {
                Ok(()) => (self.tell)(Event::Opened(place)),
                Err(why) => self.broke(place, &why),
            }
        }
        Ok(())
    }

    /// The part of the work by which devices are compared.
    fn prove_all(&mut self) -> Result<(), Stopped> {
        let parts = self.plan.workload.proof();
        for place in 0..self.seats.len() {
            self.go_on()?;
            match self.seats[place].prove(&parts) {
                Ok(proof) => self.seats[place].proof = proof,
                Err(why) => self.broke(place, &why),
            }
        }
        Ok(())
    }

    /// Turns until all are steady, or the time for it is over.
    fn warm_up(&mut self) -> Result<(), Stopped> {
        let mut judges = vec![(Steady::default(), 0.0, false); self.seats.len()];
        let most = self.plan.warm_up.as_secs_f64();
        loop {
            let mut is_over = true;
            for (place, (steady, seconds, is_steady)) in judges.iter_mut().enumerate() {
                self.go_on()?;
                if *is_steady || *seconds >= most {
                    continue;
                }
                let from = self.at();
                let Some(sample) = self.sample(place, self.seats[place].slice()) else { continue };
                *seconds += sample.elapsed.as_secs_f64();
                let rate = sample.rate().unwrap_or_default();
                let watch = &self.watches[self.seats[place].watch].1;
                steady.add(rate, watch.between(from, self.at()).temperature_c);
                *is_steady = steady.is_steady();
                (self.tell)(Event::WarmUp(place, rate));
                is_over = false;
            }
            if is_over {
                break;
            }
        }
        for (place, (_, seconds, steady)) in judges.into_iter().enumerate() {
            if self.seats[place].meter.is_some() {
                self.seats[place].warm_up = Some(WarmUp { seconds, steady });
            }
        }
        Ok(())
    }

    fn rounds(&mut self, opening: u32, random: &mut fastrand::Rng) -> Result<(), Stopped> {
        let openings = self.plan.openings.max(1);
        match &self.plan.amount {
            Amount::Time(time) => self.rounds_of_time(*time / openings, opening, random),
            Amount::Fixed(part) => {
                let pieces = (0..).zip(part.pieces((FIXED_ROUNDS * openings).into()));
                let here = pieces.filter(|(number, _)| number / FIXED_ROUNDS == opening);
                self.rounds_of_pieces(here.map(|(_, piece)| piece), opening, random)
            }
        }
    }

    /// Turns until each had its share of the time.
    fn rounds_of_time(
        &mut self,
        share: Duration,
        opening: u32,
        random: &mut fastrand::Rng,
    ) -> Result<(), Stopped> {
        let slices: Vec<Duration> = self.seats.iter().map(|seat| seat.slice().min(share)).collect();
        if opening > 0 {
            // Batches grow to their size again.
            for (place, slice) in slices.iter().enumerate() {
                let _ = self.sample(place, *slice);
            }
        }
        let mut left = vec![share; self.seats.len()];
        let mut order: Vec<usize> = (0..self.seats.len()).collect();
        while left.iter().any(|left| !left.is_zero()) {
            random.shuffle(&mut order);
            for &place in &order {
                self.go_on()?;
                if left[place].is_zero() {
                    continue;
                }
                let slice = slices[place];
                let took = self.timed(place, opening, |bench| bench.sample(place, slice));
                let rest = took.and_then(|took| left[place].checked_sub(took));
                // What is shorter than half a round is not worth one.
                left[place] = rest.filter(|rest| *rest >= slice / 2).unwrap_or_default();
            }
        }
        Ok(())
    }

    /// A turn for each with each piece.
    fn rounds_of_pieces(
        &mut self,
        pieces: impl Iterator<Item = Part>,
        opening: u32,
        random: &mut fastrand::Rng,
    ) -> Result<(), Stopped> {
        let mut order: Vec<usize> = (0..self.seats.len()).collect();
        for piece in pieces {
            random.shuffle(&mut order);
            for &place in &order {
                self.go_on()?;
                self.timed(place, opening, |bench| bench.fixed(place, &piece));
            }
        }
        Ok(())
    }

    /// Measures a round and books it. Returns how long it took; `None` when there was none.
    fn timed(
        &mut self,
        place: usize,
        opening: u32,
        measure: impl FnOnce(&mut Self) -> Option<Sample>,
    ) -> Option<Duration> {
        let at = self.at();
        let sample = measure(self)?;
        let said = self.watches[self.seats[place].watch].1.between(at, self.at());
        let round = Round::of(&sample, opening, at, said);
        (self.tell)(Event::Round(place, &round));
        let seat = &mut self.seats[place];
        // Wrong ones were counted with all samples.
        let _ = seat.hits.add(&Sample { wrong: 0, ..sample }, Filter::WORD);
        seat.rounds.push(round);
        Some(sample.elapsed)
    }

    fn sample(&mut self, place: usize, time: Duration) -> Option<Sample> {
        let seat = &mut self.seats[place];
        let meter = seat.meter.take()?;
        // Goes on there if it breaks.
        seat.untested = Some(meter.untested());
        match meter.sample(time) {
            Ok((sample, meter)) => {
                seat.meter = Some(meter);
                seat.hits.wrong += sample.wrong;
                Some(sample)
            }
            Err(error) => {
                self.broke(place, &error.to_string());
                None
            }
        }
    }

    fn fixed(&mut self, place: usize, piece: &Part) -> Option<Sample> {
        let seat = &mut self.seats[place];
        match seat.scan(piece) {
            Ok(Some((sample, hits))) => {
                seat.fixed.push((piece.clone(), hits));
                Some(sample)
            }
            Ok(None) => None,
            Err(why) => {
                self.broke(place, &why);
                None
            }
        }
    }
}

impl<'o> Seat<'o> {
    fn new(entrant: Entrant<'o>, watches: &[(Facts, Watch)]) -> Self {
        let watch = watches.iter().position(|(device, _)| *device == entrant.device);
        Self {
            entrant,
            watch: watch.unwrap_or_default(),
            meter: None,
            untested: None,
            setback: None,
            had_setback: false,
            error: None,
            warm_up: None,
            rounds: Vec::new(),
            hits: Hits::default(),
            proof: None,
            fixed: Vec::new(),
        }
    }

    fn slice(&self) -> Duration {
        slice(self.entrant.batch_time)
    }

    /// Whether it is open, and so its device has tested the kernel of the other.
    fn has_proved(&self, other: &Self) -> bool {
        let is_same = self.watch == other.watch && self.entrant.kernel == other.entrant.kernel;
        self.meter.is_some() && is_same
    }

    /// Closes the device and opens it anew.
    fn open(&mut self, turn: Turn, workload: &Workload) -> Result<(), String> {
        if let Some(meter) = self.meter.take() {
            // Closed first: some devices cannot be opened twice.
            self.untested = Some(meter.untested());
        }
        let device = (self.entrant.open)(turn)?;
        let meter = Meter::of_job(device, self.entrant.batch_time, workload.job.clone());
        let meter = if self.entrant.is_simulated { meter.by_scans() } else { meter };
        self.meter = Some(match self.untested.take() {
            Some(untested) => meter.going_on(untested),
            None => meter,
        });
        self.setback = None;
        Ok(())
    }

    /// Scans a part. `None` when the device is not open.
    fn scan(&mut self, part: &Part) -> Result<Option<(Sample, Vec<Hit>)>, String> {
        let Some(meter) = self.meter.take() else { return Ok(None) };
        let Part { job, region, filter } = part;
        let limit = Duration::from_secs(region.len() / SLOWEST);
        let scanned = meter.scan(Arc::clone(job), *region, *filter, limit);
        let (sample, hits, meter) = scanned.map_err(|error| error.to_string())?;
        self.meter = Some(meter);
        self.hits.wrong += sample.wrong;
        Ok(Some((sample, hits)))
    }

    /// Scans all parts. `None` when the device is not open.
    fn prove(&mut self, parts: &[Part]) -> Result<Option<Proof>, String> {
        let mut scanned = Vec::new();
        for part in parts {
            let Some((_, hits)) = self.scan(part)? else { return Ok(None) };
            scanned.push((part.clone(), hits));
        }
        Ok(Some(proof(&scanned)))
    }

    fn subject(self, watches: &[(Facts, Watch)]) -> Subject {
        let Self { entrant, watch, warm_up, rounds, hits, mut proof, fixed, .. } = self;
        let error = self.error.or(self.setback);
        if let Some(range) = from_start(fixed) {
            let of_range = self::proof(&[range]);
            proof = proof.map(|of_start| Proof {
                hashes: of_start.hashes + of_range.hashes,
                hits: of_start.hits + of_range.hits,
                checksum: Checksum::of_texts(&[of_start.checksum, of_range.checksum]),
            });
        }
        let measured = Measured { warm_up, rounds, hits, proof, stress: None, error };
        measured.subject(entrant, &watches[watch].1)
    }
}

/// The pieces up to the first that is missing, as one: however the range was cut, and wherever a device broke,
/// equal numbers of hashes are the same hashes.
fn from_start(mut pieces: Vec<(Part, Vec<Hit>)>) -> Option<(Part, Vec<Hit>)> {
    pieces.sort_by_key(|(part, _)| part.region.nonces.start());
    let mut pieces = pieces.into_iter();
    let (mut whole, mut hits) =
        pieces.next().filter(|(part, _)| part.region.nonces.start() == 0)?;
    for (part, found) in pieces {
        let (before, after) = (whole.region.nonces, part.region.nonces);
        let both = Nonces::new(before.start(), after.end()).ok();
        let Some(nonces) = both.filter(|_| before.end() == after.start()) else { break };
        whole.region.nonces = nonces;
        hits.extend(found);
    }
    hits.sort_unstable();
    Some((whole, hits))
}

/// Of parts, whole, with their hits.
fn proof(parts: &[(Part, Vec<Hit>)]) -> Proof {
    let mut checksum = Checksum::default();
    for (part, hits) in parts {
        checksum.add(part, hits);
    }
    Proof {
        hashes: parts.iter().map(|(part, _)| part.region.len()).sum(),
        hits: parts.iter().map(|(_, hits)| hits.len() as u64).sum(),
        checksum: checksum.hex(),
    }
}
