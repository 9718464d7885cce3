//! The kernel of a device: as asked for, as an earlier tune found, or by a short tune now.

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread::Builder;
use std::time::{Duration, Instant};

use super::Failure;
use super::options::TeamOptions;
use super::output::note;
use crate::device::inventory::{Entry, NotUsable};
use crate::device::tune::cache::{Cache, FOLDER_VARIABLE, Key, Lookup, Saved};
use crate::device::tune::halving::{Ending, Skip};
use crate::device::tune::{Order, Tuned, candidates, run};
use crate::device::{Device, Kind};
use crate::kernel::{Kernel, Variant};
use crate::limits::STOP_DEADLINE;
use crate::runtime::{Reopen, Stop};
use crate::ui::text;

/// How long the first run on a device tunes it. A GPU opens a kernel in a fraction of a second; a
/// software adapter gets to the most likely ones.
const SHORT: Duration = Duration::from_secs(5);

/// Opens a device and tests it, with the kernel that the options ask for.
///
/// # Errors
///
/// When it is stopped meanwhile; inside, why the device cannot be used.
pub(super) fn open(
    entry: &Entry,
    options: &TeamOptions,
    batch_time: Duration,
    stop: &Stop,
) -> Result<Result<Box<dyn Device>, NotUsable>, Failure> {
    if let Some(own) = &options.wgsl {
        return Ok(entry.open_tested(own.clone()));
    }
    let by_default = options.no_tune || entry.facts.kind == Kind::Cpu;
    if let Some(variant) = options.variant.or(by_default.then_some(Variant::DEFAULT)) {
        return Ok(entry.open_tested(variant));
    }
    let place = Place::of(entry);
    if !options.retune
        && let Some(variant) = place.known_variant()
    {
        return Ok(entry.open_tested(variant).or_else(|why| {
            let is_default = variant == Variant::DEFAULT;
            let opened =
                if is_default { Err(why.clone()) } else { entry.open_tested(Variant::DEFAULT) };
            if opened.is_ok() {
                note(format_args!(
                    "{}: its tuned kernel {variant} cannot be used any more, so the default works: {}",
                    place.name,
                    text::clean(&why.to_string())
                ));
            }
            // Where the default does not open either, the device is busy or gone, and the result is good.
            if opened.is_ok() || matches!(why, NotUsable::Refused(_)) {
                place.forget();
            }
            opened
        }));
    }
    let time = humantime::format_duration(SHORT);
    let how = if options.retune {
        format!("anew ({time}); `adit tune` does it thoroughly")
    } else {
        format!("once ({time}); `adit tune` does it thoroughly, --no-tune and --variant do without")
    };
    note(format_args!("Tuning {} {how}.", place.name));
    let (saved, device) = place.tune(entry, SHORT, batch_time, stop)?;
    if let Some(saved) = saved {
        note(format_args!("{}: {}", place.name, in_words(&saved)));
    }
    Ok(device.map_or_else(|| entry.open_tested(Variant::DEFAULT), Ok))
}

/// How a device is opened again, with the kernel that it works with.
pub(super) fn reopen(entry: &Entry, options: &TeamOptions, device: &dyn Device) -> Reopen {
    let kernel = options.wgsl.clone().unwrap_or_else(|| {
        // The CPU has no variant, and needs none.
        Kernel::new(device.info().kernel.parse().unwrap_or(Variant::DEFAULT))
    });
    let entry = entry.clone();
    Arc::new(move || {
        // After a reset of the driver the old list leads nowhere.
        let entry = entry.again()?;
        entry.open_tested(kernel.clone()).map_err(|why| why.to_string())
    })
}

/// What a tune found, and the device with it.
pub(super) type Found = (Option<Saved>, Option<Box<dyn Device>>);

/// A device and where its result is kept.
pub(super) struct Place {
    /// The device's name, clean.
    pub(super) name: String,
    key: Key,
    candidates: Vec<Variant>,
    cache: Option<Cache>,
}

impl Place {
    pub(super) fn of(entry: &Entry) -> Self {
        let candidates = candidates(&entry.facts);
        Self {
            name: text::clean(&entry.facts.name),
            key: Key::new(&entry.facts, &candidates),
            candidates,
            cache: Cache::of_user(),
        }
    }

    pub(super) fn look_up(&self) -> Lookup {
        self.cache.as_ref().map_or(Lookup::None, |cache| cache.look_up(&self.key))
    }

    /// Measures the candidates anew and saves the result. Nothing is saved when no candidate works.
    ///
    /// # Errors
    ///
    /// When it is stopped meanwhile.
    pub(super) fn tune(
        &self,
        entry: &Entry,
        budget: Duration,
        batch_time: Duration,
        stop: &Stop,
    ) -> Result<Found, Failure> {
        let order = Order { candidates: self.candidates.clone(), budget, batch_time };
        let tuned = self.race(entry, &order, stop)?;
        let saved = Saved::new(self.key.clone(), &order, &tuned);
        match &saved {
            Some(saved) => self.save(saved),
            None => note(format_args!("{}: no kernel could be tuned", self.name)),
        }
        Ok((saved, tuned.device))
    }

    /// The kernel of a result that counts. Says why there is none, unless there never was.
    pub(super) fn known_variant(&self) -> Option<Variant> {
        match self.look_up() {
            Lookup::Fresh(saved) => saved.variant().ok(),
            Lookup::None => None,
            Lookup::Stale(_, change) => {
                let change = text::clean(&change);
                note(format_args!("{}: {change}, so it is tuned anew", self.name));
                None
            }
            Lookup::Unusable(path, why) => {
                let (path, why) = (path.display(), text::clean(&why));
                note(format_args!("{}: {path} is ignored, and it is tuned anew: {why}", self.name));
                None
            }
        }
    }

    /// Runs the tune on a thread of its own, because a driver that compiles cannot be interrupted.
    fn race(&self, entry: &Entry, order: &Order, stop: &Stop) -> Result<Tuned, Failure> {
        enum Event {
            Skipped(Variant, Skip),
            Ended(Option<Tuned>),
        }
        let (sender, events) = channel();
        let (entry, order, stopped) = (entry.clone(), order.clone(), stop.clone());
        let thread = Builder::new().spawn(move || {
            let open = |variant| entry.open_tested(variant);
            // Nobody listens any more after a stop.
            let tuned = run(
                &order,
                open,
                || stopped.is_requested(),
                |variant, why| {
                    let _ = sender.send(Event::Skipped(variant, why.clone()));
                },
            );
            let _ = sender.send(Event::Ended(tuned));
        });
        thread.map_err(|error| Failure::no_device(format!("no thread for the tune: {error}")))?;
        let mut stopped_at = None;
        loop {
            match events.recv_timeout(Stop::TICK) {
                Ok(Event::Skipped(variant, why)) => {
                    let why = text::clean(&why.to_string());
                    note(format_args!("{}: {variant} is left out, {why}", self.name));
                }
                Ok(Event::Ended(Some(tuned))) => return Ok(tuned),
                Ok(Event::Ended(None)) => return Err(Failure::interrupted()),
                Err(RecvTimeoutError::Timeout) if stop.is_requested() => {
                    let stopped_at = *stopped_at.get_or_insert_with(Instant::now);
                    if stopped_at.elapsed() > STOP_DEADLINE {
                        return Err(Failure::interrupted());
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(Failure::no_device(format!("{}: the tune broke off", self.name)));
                }
            }
        }
    }

    fn save(&self, saved: &Saved) {
        let failed = match &self.cache {
            Some(cache) => cache.save(saved).err(),
            None => Some(format!("there is no home folder; name one in {FOLDER_VARIABLE}")),
        };
        if let Some(why) = failed {
            note(format_args!("{}: the result of the tune cannot be saved: {why}", self.name));
        }
    }

    fn forget(&self) {
        if let Some(cache) = &self.cache {
            cache.forget(&self.key);
        }
    }
}

/// The choice in a line, with how sure it is.
pub(super) fn in_words(saved: &Saved) -> String {
    let untried = saved.candidates.iter().filter(|row| row.rounds == 0).count();
    let tried = saved.candidates.len() - untried;
    let rate =
        saved.candidates.iter().find(|row| row.kernel == saved.winner).and_then(|row| row.rate);
    let (winner, rate) = (text::clean(&saved.winner), text::rate(rate));
    let took = text::time(Duration::try_from_secs_f64(saved.seconds).unwrap_or_default());
    let place = match saved.ending {
        _ if tried < 2 => format!("the only one that was measured in {took}"),
        Ending::Separated => format!("the fastest of {tried}, which was clear after {took}"),
        Ending::Equal => {
            format!("the fastest of {tried}, and equal to those left after {took}, within 1 %")
        }
        Ending::Budget => format!("the fastest of {tried}, as far as {took} tell"),
    };
    let rest = if untried > 0 { format!("; not measured: {untried}") } else { String::new() };
    format!("{winner} with {rate} is {place}{rest}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::cpu::Cpu;
    use crate::device::tune::halving::{Measured, Verdict};

    fn saved(tried: usize, untried: usize, ending: Ending) -> Saved {
        let row = |rounds| Measured {
            rounds,
            rate: (rounds > 0).then_some(5e6),
            interval: None,
            skipped: (rounds == 0).then_some(Skip::OutOfTime),
        };
        let rounds = [vec![3; tried], vec![0; untried]].concat();
        let variants = Variant::list().into_iter().map(|(variant, _)| variant);
        let order = Order {
            candidates: variants.take(rounds.len()).collect(),
            budget: SHORT,
            batch_time: Duration::ZERO,
        };
        let results = rounds.into_iter().map(row).collect();
        let verdict = Verdict { winner: Some(0), ending, results };
        let tuned = Tuned { verdict, elapsed: Duration::from_secs(4), device: None };
        Saved::new(Key::new(&Cpu::facts(), &[]), &order, &tuned).unwrap()
    }

    #[test]
    fn the_choice_in_words_is_as_sure_as_it_was() {
        let words = |tried, untried, ending| in_words(&saved(tried, untried, ending));
        let start = format!("{} with 5.00 MH/s is the ", Variant::DEFAULT);
        for (words, rest) in [
            (words(3, 0, Ending::Separated), "fastest of 3, which was clear after 4.0 s"),
            (words(2, 4, Ending::Budget), "fastest of 2, as far as 4.0 s tell; not measured: 4"),
            (
                words(2, 0, Ending::Equal),
                "fastest of 2, and equal to those left after 4.0 s, within 1 %",
            ),
            (
                words(1, 5, Ending::Separated),
                "only one that was measured in 4.0 s; not measured: 5",
            ),
        ] {
            assert_eq!(words, format!("{start}{rest}"));
        }
    }
}
