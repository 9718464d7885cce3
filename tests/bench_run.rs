//! A benchmark of simulated devices, whose rates and noise are known and whose time is virtual.

#![expect(clippy::unwrap_used, reason = "a test may panic, and so may what it calls")]

use std::cell::Cell;
use std::num::NonZeroU64;
use std::sync::Mutex;
use std::time::Duration;

use adit::bench::compare::{Comparison, Verdict};
use adit::bench::record::{KernelFacts, Subject};
use adit::bench::run::{Amount, Entrant, Plan, Turn, run};
use adit::bench::workload::Workload;
use adit::device::Device;
use adit::device::cpu::Cpu;
use adit::device::sim::{Fault, Script, Sim};

const RATE: u64 = 1 << 26;

fn entrant(mut open: impl FnMut() -> Sim + Send + 'static) -> Entrant<'static> {
    let kernel = KernelFacts {
        name: "scripted".to_owned(),
        wgsl_sha256: None,
        workgroup: None,
        nonces_per_thread: None,
        headers: [1, 1],
    };
    Entrant {
        device: Cpu::facts(),
        kernel,
        batch_time: Duration::from_millis(12),
        limit: None,
        open: Box::new(move |_| Ok(Box::new(open()) as Box<dyn Device>)),
        is_simulated: true,
    }
}

/// Opened with another noise each time, and with a rate that is off by up to `of_openings`.
fn noisy(rate: u64, seed: u64, of_rounds: f64, of_openings: f64) -> Entrant<'static> {
    let mut random = fastrand::Rng::with_seed(seed);
    entrant(move || {
        let off = 1.0 + of_openings * (2.0 * random.f64() - 1.0);
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a rate"
        )]
        let rate = NonZeroU64::new((rate as f64 * off) as u64).unwrap();
        Sim::planted(vec![]).rate(rate).noisy(random.u64(..), of_rounds)
    })
}

fn plan(time: Duration, openings: u32) -> Plan {
    let warm_up = Duration::ZERO;
    Plan { workload: Workload::new(0).unwrap(), amount: Amount::Time(time), openings, warm_up }
}

fn measure(plan: &Plan, entrants: Vec<Entrant<'_>>) -> Vec<Subject> {
    let (subjects, stopped) = run(plan, entrants, &|| false, &mut |_| {});
    assert!(!stopped);
    subjects
}

/// Of 100 runs the 95 % interval must cover the true rate in 90 to 99.
#[test]
fn the_interval_covers_the_known_rate() {
    let plan = plan(Duration::from_secs(4), 10);
    for of_openings in [0.0, 0.03] {
        let covers = |seed: &u64| {
            let subject = &measure(&plan, vec![noisy(RATE, *seed, 0.3, of_openings)])[0];
            let interval = subject.estimate.as_ref().unwrap().rate.interval.unwrap();
            #[expect(clippy::cast_precision_loss, reason = "a rate")]
            let rate = RATE as f64;
            (interval.low..=interval.high).contains(&rate)
        };
        let covered = (0..100).filter(covers).count();
        assert!(
            (90..=99).contains(&covered),
            "{covered} of 100 with openings off by {of_openings}"
        );
    }
}

#[test]
fn equals_are_rarely_told_apart_and_a_slower_one_is_found() {
    // A minute for both.
    let plan = plan(Duration::from_secs(30), 10);
    let compare = |seed: u64, rate: u64| {
        let one = noisy(RATE, seed, 0.3, 0.02);
        let other = noisy(rate, seed + 1000, 0.3, 0.02);
        let subjects = measure(&plan, vec![one, other]);
        Comparison::new(&subjects[0], &subjects[1], 1, true).verdict
    };
    let differ = |verdict: &Verdict| matches!(verdict, Verdict::Faster | Verdict::Slower);
    let wrong = (0..40).map(|seed| compare(seed, RATE)).filter(differ).count();
    assert!(wrong <= 3, "{wrong} of 40");
    let slower = RATE - RATE / 20;
    let found = (0..20).filter(|seed| compare(*seed, slower) == Verdict::Slower).count();
    assert!(found >= 19, "{found} of 20");
}

#[test]
fn a_device_that_breaks_drops_out_and_the_others_go_on() {
    let lost = entrant(|| Sim::planted(vec![]).script(Script::new().on(9000, Fault::Lost)));
    let subjects = measure(&plan(Duration::from_secs(1), 3), vec![lost, noisy(RATE, 1, 0.1, 0.0)]);
    assert!(
        subjects[1].error.is_none() && subjects[1].rounds.iter().any(|round| round.opening == 2)
    );
    let refused =
        Entrant { open: Box::new(|_| Err("no such luck".to_owned())), ..noisy(RATE, 1, 0.1, 0.0) };
    let subjects =
        measure(&plan(Duration::from_secs(1), 3), vec![refused, noisy(RATE, 1, 0.1, 0.0)]);
    assert_eq!(subjects[0].error.as_deref(), Some("no such luck"));
    assert!(subjects[0].estimate.is_none() && subjects[1].estimate.is_some());
}

#[test]
fn a_kernel_proves_itself_once_on_each_device_whatever_its_batches() {
    let turns: Mutex<Vec<(&str, Turn)>> = Mutex::default();
    let noting = |name: &'static str, is_broken: bool| {
        let (turns, entrant) = (&turns, noisy(RATE, 1, 0.1, 0.0));
        let kernel = KernelFacts { name: name.to_owned(), ..entrant.kernel };
        let mut open = entrant.open;
        let open = move |turn| {
            turns.lock().unwrap().push((name, turn));
            if is_broken { Err("no such luck".to_owned()) } else { open(turn) }
        };
        Entrant { kernel, open: Box::new(open), ..entrant }
    };
    let entrants =
        vec![noting("a", true), noting("a", false), noting("b", false), noting("a", false)];
    run(&plan(Duration::from_secs(1), 2), entrants, &|| false, &mut |_| {});
    let (first, later) = (Turn::First, Turn::Later);
    let expected = [
        ("a", first), // refused, so it proved nothing
        ("a", first),
        ("b", first),
        ("a", later),
        ("a", later),
        ("b", later),
        ("a", later),
    ];
    assert_eq!(*turns.lock().unwrap(), expected);
}

#[test]
fn a_stop_keeps_what_was_measured() {
    let asked = Cell::new(0);
    let is_stopped = || {
        asked.set(asked.get() + 1);
        asked.get() > 20
    };
    let entrants = vec![noisy(RATE, 1, 0.1, 0.0)];
    let (subjects, stopped) =
        run(&plan(Duration::from_secs(60), 1), entrants, &is_stopped, &mut |_| {});
    assert!(stopped && !subjects[0].rounds.is_empty() && subjects[0].estimate.is_some());
}
