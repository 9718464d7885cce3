//! One device under load, with its kernels in turns.

use std::time::{Duration, Instant};

use super::{Event, Plan, Tell};
use crate::bench::measured::Measured;
use crate::bench::record::{Hits, Loss, Round, Stress, Subject};
use crate::bench::run::{Entrant, Turn};
use crate::bench::watch::Watch;
use crate::bench::workload::Workload;
use crate::device::speed::{Meter, Sample, Untested, slice};
use crate::device::{DeviceError, Facts};
use crate::engine::judge::Judge;
use crate::limits::{FAULTS_PER_DEVICE, STRESS_ROUNDS};
use crate::work::Filter;

/// How long a round is: long enough that the time between them is no rest, and short enough for Ctrl-C.
const ROUND: Duration = Duration::from_millis(1600);

/// How likely a healthy device is ever accused of losing hits, however long the test.
const RISK: f64 = 1e-6;

/// How long easy hits are looked for after it.
const EASY: Duration = Duration::from_millis(400);

/// A device.
pub(super) struct Lane<'l, 'o> {
    plan: &'l Plan,
    seats: Vec<Seat<'o>>,
    watch: Watch,
    begin: Instant,
    /// How much time passed on a simulated device.
    virtual_time: Option<Duration>,
}

/// A kernel on it.
struct Seat<'o> {
    place: usize,
    entrant: Entrant<'o>,
    /// While it is open.
    meter: Option<Meter>,
    /// What was left when it was closed.
    untested: Option<Untested>,
    /// Of the hits of rounds, and of easy ones.
    judges: [Judge; 2],
    measured: Measured,
    stress: Stress,
    openings: u32,
}

/// What a sample is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// Batches grow to their size; the rate says nothing.
    Start,
    Round,
    Easy,
}

impl<'l, 'o> Lane<'l, 'o> {
    pub(super) fn new(
        plan: &'l Plan,
        device: &Facts,
        entrants: Vec<(usize, Entrant<'o>)>,
        begin: Instant,
    ) -> Self {
        let is_simulated = entrants.iter().any(|(_, entrant)| entrant.is_simulated);
        Self {
            plan,
            seats: entrants.into_iter().map(|(place, entrant)| Seat::new(place, entrant)).collect(),
            watch: Watch::start(device, begin),
            begin,
            virtual_time: is_simulated.then_some(Duration::ZERO),
        }
    }

    /// Works until the time is over, it is stopped, or no kernel is left.
    pub(super) fn run(
        mut self,
        is_stopped: &dyn Fn() -> bool,
        tell: &Tell,
    ) -> Vec<(usize, Subject)> {
        'test: while self.seats.iter().any(Seat::goes_on) {
            for number in 0..self.seats.len() {
                if is_stopped() || self.at() >= self.plan.time.as_secs_f64() {
                    break 'test;
                }
                if self.seats[number].goes_on() {
                    self.turn(number, tell);
                }
            }
        }
        let Self { seats, watch, .. } = self;
        seats.into_iter().map(|seat| seat.subject(&watch)).collect()
    }

    /// Seconds since the begin.
    fn at(&self) -> f64 {
        self.virtual_time.unwrap_or_else(|| self.begin.elapsed()).as_secs_f64()
    }

    /// A turn of a kernel. When it breaks, it is opened anew in its next turn, a few times.
    fn turn(&mut self, number: usize, tell: &Tell) {
        if let Err(why) = self.work(number, tell) {
            let at = self.at();
            self.seats[number].broke(at, why, tell);
        }
    }

    fn work(&mut self, number: usize, tell: &Tell) -> Result<(), String> {
        if self.seats[number].meter.is_none() {
            self.seats[number].open(&self.plan.workload)?;
            // Nobody listens any more when the test was given up.
            let _ = tell.send(Event::Opened(self.seats[number].place));
            self.sample(number, Purpose::Start, tell)?;
        }
        // The others of the device sit idle meanwhile, each open.
        self.sample(number, Purpose::Round, tell)?;
        self.sample(number, Purpose::Easy, tell)
    }

    fn sample(&mut self, number: usize, purpose: Purpose, tell: &Tell) -> Result<(), String> {
        let at = self.at();
        let left =
            Duration::try_from_secs_f64(self.plan.time.as_secs_f64() - at).unwrap_or_default();
        let seat = &mut self.seats[number];
        let filter = if purpose == Purpose::Easy { seat.easy() } else { Filter::WORD };
        let time = slice(seat.entrant.batch_time).max(match purpose {
            Purpose::Start => Duration::ZERO,
            Purpose::Round => ROUND,
            Purpose::Easy => EASY,
        });
        let Some(sample) = seat.sample(filter, time.min(left)).map_err(|e| e.to_string())? else {
            return Ok(());
        };
        if let Some(time) = &mut self.virtual_time {
            *time += sample.elapsed;
        }
        let until = self.at();
        let seat = &mut self.seats[number];
        seat.stress.seconds += sample.elapsed.as_secs_f64();
        if purpose == Purpose::Start {
            seat.set_easy(&sample);
        }
        if purpose == Purpose::Round && sample.hashes > 0 {
            let said = self.watch.between(at, until);
            let round = Round::of(&sample, seat.openings - 1, at, said);
            let _ = tell.send(Event::Round(seat.place, round.clone(), until));
            seat.keep(round);
        }
        seat.judge(&sample, filter, until, tell);
        Ok(())
    }
}

impl<'o> Seat<'o> {
    fn new(place: usize, entrant: Entrant<'o>) -> Self {
        let stress = Stress {
            seconds: 0.0,
            easy_bits: 0,
            easy: Hits::default(),
            unproven: 0,
            wrong_at: None,
            missing_at: None,
            losses: Vec::new(),
        };
        Self {
            place,
            entrant,
            meter: None,
            untested: None,
            judges: [Judge::new(RISK), Judge::new(RISK)],
            measured: Measured::default(),
            stress,
            openings: 0,
        }
    }

    const fn goes_on(&self) -> bool {
        self.measured.error.is_none()
    }

    fn open(&mut self, workload: &Workload) -> Result<(), String> {
        let turn = if self.openings == 0 { Turn::First } else { Turn::Later };
        let device = (self.entrant.open)(turn)?;
        self.openings += 1;
        let meter = Meter::of_job(device, self.entrant.batch_time, workload.job.clone());
        let meter = if self.entrant.is_simulated { meter.by_scans() } else { meter };
        self.meter = Some(match self.untested.take() {
            Some(untested) => meter.going_on(untested),
            None => meter,
        });
        Ok(())
    }

    /// Works for a time. `None` when the device is not open.
    fn sample(&mut self, filter: Filter, time: Duration) -> Result<Option<Sample>, DeviceError> {
        let Some(meter) = self.meter.take() else { return Ok(None) };
        self.untested = Some(meter.untested());
        let (sample, meter) = meter.looking_for(filter).sample(time)?;
        self.meter = Some(meter);
        Ok(Some(sample))
    }

    const fn easy(&self) -> Filter {
        Filter::new(self.stress.easy_bits)
    }

    /// The easiest filter whose hits fit the reports of full batches.
    fn set_easy(&mut self, sample: &Sample) {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "hashes of a batch"
        )]
        let batch =
            (sample.rate().unwrap_or_default() * self.entrant.batch_time.as_secs_f64()) as u64;
        let fits = |bits: &u32| Filter::new(*bits).batch_cap() >= batch;
        let bits = (1..Filter::WORD.bits()).find(fits).unwrap_or(Filter::WORD.bits());
        // Easy hits of one kind are judged together: after a loss they stay as they were.
        if self.stress.easy_bits == 0 {
            self.stress.easy_bits = bits;
        }
    }

    /// Keeps a round; neighbours become one when there are too many.
    fn keep(&mut self, round: Round) {
        let rounds = &mut self.measured.rounds;
        if rounds.len() >= STRESS_ROUNDS {
            *rounds = rounds
                .chunks(2)
                .map(|pair| match pair {
                    [one, next] if one.opening == next.opening => one.with(next),
                    [one, ..] => one.clone(),
                    [] => unreachable!("chunks are never empty"),
                })
                .collect();
        }
        rounds.push(round);
    }

    /// Books what a sample found, and says what is wrong with it.
    fn judge(&mut self, sample: &Sample, filter: Filter, at: f64, tell: &Tell) {
        let is_easy = filter != Filter::WORD;
        let hits = if is_easy { &mut self.stress.easy } else { &mut self.measured.hits };
        let expected = hits.add(sample, filter);
        self.stress.unproven += sample.unproven;
        let mut trouble = Vec::new();
        if sample.wrong > 0 && self.stress.wrong_at.is_none() {
            self.stress.wrong_at = Some(at);
            trouble.push("a WRONG hit".to_owned());
        }
        let is_sure = self.judges[usize::from(is_easy)].look(expected, sample.found);
        if is_sure && self.stress.missing_at.is_none() {
            self.stress.missing_at = Some(at);
            trouble.push(format!(
                "hits are MISSING: {} found where {:.0} are expected",
                hits.found, hits.expected
            ));
        }
        for what in trouble {
            let _ = tell.send(Event::Trouble(self.place, format!("after {at:.0} s: {what}")));
        }
    }

    /// It broke, or could not be opened.
    fn broke(&mut self, at: f64, why: String, tell: &Tell) {
        self.meter = None;
        let was_open = self.openings > 0;
        if was_open {
            let _ = tell.send(Event::Trouble(self.place, format!("after {at:.0} s: LOST: {why}")));
            self.stress.losses.push(Loss { at, why: why.clone() });
        }
        if !was_open || self.stress.losses.len() >= FAULTS_PER_DEVICE as usize {
            let _ = tell.send(Event::Dropped(self.place, why.clone()));
            self.measured.error = Some(why);
        }
    }

    fn subject(self, watch: &Watch) -> (usize, Subject) {
        let Self { place, entrant, measured, stress, .. } = self;
        let measured = Measured { stress: Some(stress), ..measured };
        (place, measured.subject(entrant, watch))
    }
}
