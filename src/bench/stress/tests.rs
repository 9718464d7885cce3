//! Flawed devices in virtual time. Their hits are real: they hash.

use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;
use crate::bench::record::KernelFacts;
use crate::bench::run::Turn;
use crate::device::cpu::Cpu;
use crate::device::flawed::{Flaw, Flawed};
use crate::device::sim::{Fault, Script, Sim};
use crate::device::{Device, Facts};

/// Slow, so that hours cost little hashing.
const RATE: u64 = 4096;

fn entrant<'o>(
    name: &str,
    open: impl FnMut(Turn) -> Result<Box<dyn Device>, String> + Send + 'o,
) -> Entrant<'o> {
    Entrant {
        device: Facts { name: name.to_owned(), ..Cpu::facts() },
        kernel: KernelFacts {
            name: "scripted".to_owned(),
            wgsl_sha256: None,
            workgroup: None,
            nonces_per_thread: None,
            headers: [1, 1],
        },
        batch_time: Duration::from_millis(50),
        limit: None,
        open: Box::new(open),
        is_simulated: true,
    }
}

fn sim() -> Sim {
    Sim::new().rate(NonZeroU64::new(RATE).unwrap())
}

fn with(name: &str, flaw: Option<Flaw>) -> Entrant<'static> {
    let mut seed = 0;
    entrant(name, move |_| {
        seed += 1;
        let device: Box<dyn Device> = Box::new(sim());
        Ok(match flaw {
            Some(flaw) => Box::new(Flawed::new(device, flaw, seed)),
            None => device,
        })
    })
}

fn stress(seconds: u64, entrants: Vec<Entrant<'_>>) -> (Vec<Subject>, Vec<Event>) {
    let plan = Plan { workload: Workload::new(3).unwrap(), time: Duration::from_secs(seconds) };
    let mut events = Vec::new();
    let (subjects, stopped) =
        run(&plan, entrants, &|| false, &mut |event| events.push(event)).unwrap();
    assert!(!stopped);
    (subjects, events)
}

fn troubles(events: &[Event], subject: usize) -> Vec<&str> {
    let of = |event| match event {
        &Event::Trouble(place, ref what) if place == subject => Some(what.as_str()),
        _ => None,
    };
    events.iter().filter_map(of).collect()
}

#[test]
fn a_tenth_of_the_hits_lost_is_named_within_ten_minutes_and_a_healthy_device_is_not() {
    let entrants = vec![with("healthy", None), with("loses", Some(Flaw::LosesHits(0.1)))];
    let (subjects, events) = stress(600, entrants);
    let of = |place: usize| subjects[place].stress.as_ref().unwrap();
    assert!(troubles(&events, 0).is_empty(), "{events:?}");
    assert_eq!((of(0).missing_at, of(0).wrong_at, of(0).unproven), (None, None, 0));
    assert!(of(0).easy.found > 10_000 && of(0).seconds >= 600.0);
    assert!(troubles(&events, 1)[0].contains("MISSING"));
    assert!(of(1).missing_at.is_some_and(|at| at < 600.0), "{:?}", of(1));
    assert_eq!(of(1).wrong_at, None);
}

#[test]
fn the_first_wrong_hit_of_ten_thousand_is_seen() {
    let (subjects, events) = stress(1200, vec![with("liar", Some(Flaw::WrongHit(10_000)))]);
    let stress = subjects[0].stress.as_ref().unwrap();
    assert!(troubles(&events, 0)[0].contains("WRONG"));
    assert!(stress.easy.found > 9_990 && stress.wrong_at.is_some(), "{stress:?}");
    // One in ten thousand, neither more nor fewer; the last sample may have ended in between.
    let all = stress.easy.found + subjects[0].wrong();
    assert_eq!(subjects[0].wrong(), all / 10_000, "{stress:?}");
    assert_eq!(stress.missing_at, None, "a wrong hit is not a missing one");
}

#[test]
fn a_lost_device_is_opened_anew_and_given_up_when_it_goes_on() {
    let opened = AtomicU32::new(0);
    let open = |turn| {
        let before = opened.fetch_add(1, Ordering::Relaxed);
        assert_eq!(turn == Turn::First, before == 0);
        Ok(Box::new(Flawed::new(Box::new(sim()), Flaw::Lost(40), 0)) as Box<dyn Device>)
    };
    let (subjects, events) = stress(600, vec![entrant("lost", open), with("healthy", None)]);
    let stress = subjects[0].stress.as_ref().unwrap();
    assert_eq!(stress.losses.len(), 3);
    assert!(stress.losses[0].at > 1.0 && stress.losses[2].at < 120.0, "{stress:?}");
    assert!(subjects[0].error.as_ref().unwrap().contains("on purpose"));
    assert_eq!(opened.load(Ordering::Relaxed), 3);
    assert_eq!(troubles(&events, 0).len(), 3);
    assert!(matches!(subjects[1].stress.as_ref(), Some(other) if other.seconds >= 600.0));
}

#[test]
fn a_device_that_cannot_be_opened_or_panics_is_said() {
    let panics =
        |_| Ok(Box::new(sim().script(Script::new().on(9, Fault::Panic))) as Box<dyn Device>);
    let refuses = |_| Err("refused".to_owned());
    let entrants = vec![entrant("panics", panics), entrant("refuses", refuses)];
    let (subjects, events) = stress(300, entrants);
    assert_eq!(subjects[0].stress.as_ref().unwrap().losses.len(), 3);
    assert_eq!(subjects[1].error.as_deref(), Some("refused"));
    assert!(subjects[1].stress.as_ref().unwrap().losses.is_empty());
    assert!(events.contains(&Event::Dropped(1, "refused".to_owned())));
}

#[test]
fn kernels_of_one_device_take_turns_and_a_stop_keeps_what_was_measured() {
    let plan = Plan { workload: Workload::new(3).unwrap(), time: Duration::from_secs(3600) };
    let rounds = AtomicU32::new(0);
    let (subjects, stopped) = run(
        &plan,
        vec![with("one", None), with("one", None)],
        &|| rounds.load(Ordering::Relaxed) >= 10,
        &mut |event| {
            rounds.fetch_add(u32::from(matches!(event, Event::Round(..))), Ordering::Relaxed);
        },
    )
    .unwrap();
    assert!(stopped);
    let seconds = subjects.iter().map(|subject| subject.stress.as_ref().unwrap().seconds);
    let seconds: Vec<f64> = seconds.collect();
    assert!(seconds[0] > 1.0 && (seconds[0] - seconds[1]).abs() < 6.0, "{seconds:?}");
    assert!(subjects.iter().all(|subject| subject.estimate.is_some()));
}

#[test]
fn rounds_have_a_bound() {
    let (subjects, _) = stress(
        10_000,
        vec![entrant("planted", |_| {
            Ok(Box::new(Sim::planted(vec![]).rate(NonZeroU64::new(RATE).unwrap()))
                as Box<dyn Device>)
        })],
    );
    let rounds = &subjects[0].rounds;
    assert!(rounds.len() <= crate::limits::STRESS_ROUNDS);
    let seconds: f64 = rounds.iter().map(|round| round.seconds).sum();
    assert!(seconds > 7000.0, "none is dropped: {seconds}");
    // No hit where many are expected.
    assert!(subjects[0].stress.as_ref().unwrap().missing_at.is_some());
}
