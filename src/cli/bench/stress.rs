//! `adit bench --stress`

use std::time::Duration;

use clap::ValueEnum;

use super::Args;
use super::show::Live;
use crate::bench::record::Subject;
use crate::bench::run::{Entrant, Open};
use crate::bench::stress::{Event, Plan};
use crate::bench::workload::Workload;
use crate::cli::Failure;
use crate::device::Device;
use crate::device::flawed::{Flaw, Flawed};
use crate::runtime::Stop;
use crate::ui::text::{self, counted};

/// A flaw that is put into the devices on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Drill {
    /// One hit in ten is not reported
    LosesHits,
    /// One hit in a thousand has a wrong nonce
    WrongHit,
    /// The device is lost every hundred batches
    Lost,
}

impl Drill {
    const fn flaw(self) -> Flaw {
        match self {
            Self::LosesHits => Flaw::LosesHits(0.1),
            Self::WrongHit => Flaw::WrongHit(1000),
            Self::Lost => Flaw::Lost(100),
        }
    }
}

/// Loads the devices and shows what goes wrong. Returns the subjects, and whether it was stopped.
pub(super) fn run(
    args: &Args,
    workload: Workload,
    time: Duration,
    mut entrants: Vec<Entrant<'_>>,
    stop: &Stop,
) -> Result<(Vec<Subject>, bool), Failure> {
    if let Some(drill) = args.drill {
        entrants = entrants.into_iter().map(|entrant| flawed(entrant, drill)).collect();
    }
    let live = Live::new(&entrants, args.form.is_quiet());
    let (plan, whole) = (Plan { workload, time }, text::time(time));
    let mut at = Duration::ZERO;
    crate::bench::stress::run(&plan, entrants, &|| stop.is_requested(), &mut |event| {
        if let Event::Round(_, _, until) = event {
            at = at.max(Duration::try_from_secs_f64(until).unwrap_or_default());
        }
        let stage = format!("{} of {whole}", text::time(at));
        match event {
            Event::Opened(place) => live.at(&stage, place, "open and tested"),
            Event::Round(place, round, _) => live.at(&stage, place, &text::rate(round.rate())),
            Event::Trouble(place, what) => live.keep(place, &what),
            Event::Dropped(place, why) => live.keep(place, &format!("it drops out: {why}")),
        }
    })
    .map_err(|error| Failure::usage(format!("the system gives no thread to a device: {error}")))
}

/// An entrant whose device has the flaw from its first opening, after its self-test.
fn flawed(entrant: Entrant<'_>, drill: Drill) -> Entrant<'_> {
    let mut open = entrant.open;
    let mut seed = 0;
    let open: Open<'_> = Box::new(move |turn| {
        seed += 1;
        let device = open(turn)?;
        Ok(Box::new(Flawed::new(device, drill.flaw(), seed)) as Box<dyn Device>)
    });
    Entrant { open, ..entrant }
}

/// What was wrong with a subject beside wrong hits; `None` when nothing was.
pub(super) fn failed(subject: &Subject) -> Option<String> {
    let stress = subject.stress.as_ref()?;
    let mut told = Vec::new();
    if stress.missing_at.is_some() {
        told.push("lost hits".to_owned());
    }
    if !stress.losses.is_empty() {
        told.push(format!("broke {}", counted(stress.losses.len() as u64, "time")));
    }
    if stress.unproven > 0 {
        told.push(format!("could not vouch for {}", counted(stress.unproven, "hash")));
    }
    let (kernel, device) = (text::clean(&subject.kernel.name), text::clean(&subject.device.name));
    (!told.is_empty()).then(|| format!("{kernel} on {device} {}", told.join(", and ")))
}
