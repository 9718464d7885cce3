//! Opens the candidates of a tune on a device and measures them as the [`Tuner`] asks.

use std::time::{Duration, Instant};

use super::halving::{Settings, Skip, Step, Tuner, Verdict};
use crate::device::inventory::NotUsable;
use crate::device::speed::{Meter, Sample, slice};
use crate::device::{Device, DeviceError};
use crate::kernel::Variant;

/// What a tune does.
#[derive(Debug, Clone)]
pub struct Order {
    /// What is measured, the likely winners first.
    pub candidates: Vec<Variant>,
    /// How long it may take.
    pub budget: Duration,
    /// How long a batch takes.
    pub batch_time: Duration,
}

/// What came of a tune.
pub struct Tuned {
    /// Of the candidates, by their order.
    pub verdict: Verdict,
    /// How long it took.
    pub elapsed: Duration,
    /// The device with the winner, tested and idle.
    pub device: Option<Box<dyn Device>>,
}

/// Tunes a device, opened and tested by `open`. Each variant that is skipped is told to `on_skip`.
/// `None` when `is_stopped` says so, which is asked before each opening and measurement.
pub fn run(
    order: &Order,
    mut open: impl FnMut(Variant) -> Result<Box<dyn Device>, NotUsable>,
    is_stopped: impl Fn() -> bool,
    mut on_skip: impl FnMut(Variant, &Skip),
) -> Option<Tuned> {
    let slice = slice(order.batch_time);
    let fallback = order.candidates.iter().position(|variant| *variant == Variant::DEFAULT);
    // Any seed will do: it orders the rounds.
    let settings = Settings { budget: order.budget, slice, fallback, seed: 0 };
    let mut tuner = Tuner::new(order.candidates.len(), settings);
    let mut rig = Rig::default();
    rig.places.resize_with(order.candidates.len(), Place::default);
    let begun = Instant::now();
    loop {
        let step = tuner.next(begun.elapsed());
        let (Step::Open(candidate) | Step::Measure(candidate)) = step else { break };
        if is_stopped() {
            return None;
        }
        let variant = order.candidates[candidate];
        let mut open = || open_meter(&mut open, variant, order.batch_time, slice);
        let outcome = match step {
            Step::Open(_) => open().map(|meter| {
                rig.places[candidate].meter = Some(meter);
                tuner.opened(candidate);
            }),
            _ => rig.measure(candidate, slice, open).map(|sample| tuner.observe(candidate, sample)),
        };
        if let Err(why) = outcome {
            on_skip(variant, &why);
            tuner.skip(candidate, why);
        }
    }
    let verdict = tuner.verdict();
    let winner = verdict.winner.and_then(|winner| rig.places.into_iter().nth(winner)?.meter);
    let device = winner.map(Meter::into_device);
    Some(Tuned { verdict, elapsed: begun.elapsed(), device })
}

/// A tested device whose batches have grown to their size.
fn open_meter(
    open: &mut impl FnMut(Variant) -> Result<Box<dyn Device>, NotUsable>,
    variant: Variant,
    batch_time: Duration,
    slice: Duration,
) -> Result<Meter, Skip> {
    let meter = Meter::new(open(variant)?, batch_time)?;
    Ok(meter.sample(slice)?.1)
}

impl From<NotUsable> for Skip {
    fn from(why: NotUsable) -> Self {
        match why {
            NotUsable::Refused(refused) => Self::Refused(refused.to_string()),
            why => Self::NotOpened(why.to_string()),
        }
    }
}

impl From<DeviceError> for Skip {
    fn from(error: DeviceError) -> Self {
        Self::Broke(error.to_string())
    }
}

/// One device, opened once for each candidate, side by side.
#[derive(Default)]
struct Rig {
    places: Vec<Place>,
}

#[derive(Default)]
struct Place {
    meter: Option<Meter>,
    /// Another broke since this one worked, and may have taken it down.
    suspect: bool,
}

impl Rig {
    /// A candidate that breaks is out. But where another may be to blame, it is opened once more.
    fn measure(
        &mut self,
        candidate: usize,
        slice: Duration,
        open: impl FnOnce() -> Result<Meter, Skip>,
    ) -> Result<Sample, Skip> {
        let place = &mut self.places[candidate];
        let was_suspect = std::mem::take(&mut place.suspect);
        let lost = || DeviceError::Lost("it is not open".to_owned());
        let sampled = place.meter.take().ok_or_else(lost).and_then(|meter| meter.sample(slice));
        let sampled = match sampled {
            Err(_) if was_suspect => open().and_then(|meter| Ok(meter.sample(slice)?)),
            sampled => sampled.map_err(Skip::from),
        };
        match sampled {
            Ok((sample, meter)) => {
                self.places[candidate].meter = Some(meter);
                Ok(sample)
            }
            Err(why) => {
                for other in &mut self.places {
                    other.suspect = other.meter.is_some();
                }
                Err(why)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::num::NonZeroU64;

    use super::*;
    use crate::device::sim::{Fault, Script, Sim};

    const BATCH: Duration = Duration::from_millis(2);

    fn sim(script: Script) -> Box<dyn Device> {
        Box::new(Sim::planted(vec![]).rate(NonZeroU64::new(1 << 24).unwrap()).script(script))
    }

    fn order(candidates: usize, budget: Duration) -> Order {
        let listed = Variant::list().into_iter().map(|(variant, _)| variant);
        Order { candidates: listed.take(candidates).collect(), budget, batch_time: BATCH }
    }

    #[test]
    fn the_winner_comes_back_open_and_idle_and_who_fails_is_named() {
        // Those that fail come first: none that works is open yet, so a slow machine skips none of them.
        let order = order(3, Duration::from_secs(60));
        let broken = [order.candidates[0], order.candidates[1]];
        let open = |variant| match broken.iter().position(|broken| *broken == variant) {
            Some(0) => Err(NotUsable::NotOpened("no compiler".to_owned())),
            Some(_) => Ok(sim(Script::new().since(0, Fault::Lost))),
            None => Ok(sim(Script::new())),
        };
        let mut skipped = Vec::new();
        let tuned = run(&order, open, || false, |v, why| skipped.push((v, why.to_string())));
        let tuned = tuned.unwrap();
        assert_eq!(skipped[0], (broken[0], "not opened: no compiler".to_owned()));
        assert_eq!(skipped[1].0, broken[1]);
        assert!(skipped[1].1.starts_with("broke: the device was lost"), "{skipped:?}");
        assert_eq!(skipped.len(), 2);
        let result = &tuned.verdict.results[2];
        assert!(tuned.verdict.winner == Some(2) && result.rounds > 0 && result.skipped.is_none());
        let finished = tuned.device.unwrap().finish(Duration::ZERO);
        assert_eq!(finished, Err(DeviceError::Idle));
    }

    #[test]
    fn one_that_another_took_down_is_opened_again_once() {
        let slice = Duration::from_millis(1);
        let place = || {
            let device = sim(Script::new().since(0, Fault::Lost));
            Place { meter: Some(Meter::new(device, BATCH).unwrap()), suspect: false }
        };
        let mut rig = Rig { places: vec![place(), place(), place()] };
        let never = || panic!("opened again");
        let good = || Ok(Meter::new(sim(Script::new()), BATCH).unwrap());
        assert!(rig.measure(0, slice, never).is_err());
        assert!(rig.measure(1, slice, good).is_ok());
        assert!(rig.measure(1, slice, never).is_ok());
        assert!(rig.measure(2, slice, || Err(Skip::NotOpened("gone".to_owned()))).is_err());
    }

    #[test]
    fn a_stop_ends_it_before_the_next_step() {
        let order = order(1, Duration::from_secs(9));
        let opened = Cell::new(0);
        let open = |_| {
            opened.set(opened.get() + 1);
            Ok(Box::new(Sim::planted(vec![])) as Box<dyn Device>)
        };
        assert!(run(&order, open, || opened.get() > 0, |_, _| {}).is_none());
        assert_eq!(opened.get(), 1);
    }
}
