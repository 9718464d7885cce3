use super::*;

const BUDGET: Duration = Duration::from_secs(30);
const SLICE: Duration = Duration::from_millis(150);
const OPENING_TAKES: Duration = Duration::from_millis(900);

/// Rates as those of a processor with seven variants, in percent of the best.
const RATES: [f64; 7] = [94.0, 97.5, 100.0, 63.0, 91.0, 88.0, 90.0];

/// A machine whose speed has noise, outliers and drift, and a clock that only measurements move.
struct Machine {
    rates: Vec<f64>,
    noise: f64,
    random: fastrand::Rng,
    clock: Duration,
    measured: Vec<usize>,
}

impl Machine {
    fn new(rates: &[f64], noise: f64, seed: u64) -> Self {
        let random = fastrand::Rng::with_seed(seed);
        Self { rates: rates.to_vec(), noise, random, clock: Duration::ZERO, measured: Vec::new() }
    }

    fn sample(&mut self, candidate: usize) -> Sample {
        self.measured.push(candidate);
        let second = self.clock.as_secs_f64();
        self.clock += SLICE;
        // A sum of uniform numbers is nearly normal.
        let normal = (0..12).map(|_| self.random.f64()).sum::<f64>() - 6.0;
        // It gets warm, and something else runs now and then.
        let drift = 1.0 - 0.2 * (second / 30.0) + 0.05 * (second / 3.0).sin();
        let outlier = if self.random.f64() < 0.05 { 0.5 } else { 1.0 };
        let rate = self.rates[candidate] * (1.0 + self.noise * normal) * drift * outlier;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive")]
        let hashes = (rate * 1e6) as u64;
        Sample { hashes, elapsed: Duration::from_secs(1), ..Sample::default() }
    }

    /// Runs a tune in which candidates for which `fault` has a reason fail where it says.
    fn tune(&mut self, settings: Settings, fault: impl Fn(Step) -> Option<Skip>) -> Verdict {
        let mut tuner = Tuner::new(self.rates.len(), settings);
        loop {
            let step = tuner.next(self.clock);
            match (step, fault(step)) {
                (Step::Done, _) => return tuner.verdict(),
                (Step::Open(candidate), fault) => {
                    self.clock += OPENING_TAKES;
                    match fault {
                        Some(why) => tuner.skip(candidate, why),
                        None => tuner.opened(candidate),
                    }
                }
                (Step::Measure(candidate), Some(why)) => tuner.skip(candidate, why),
                (Step::Measure(candidate), None) => {
                    let sample = self.sample(candidate);
                    tuner.observe(candidate, sample);
                }
            }
        }
    }
}

fn settings(budget: Duration, seed: u64) -> Settings {
    Settings { budget, slice: SLICE, fallback: None, seed }
}

#[test]
fn the_choice_is_within_3_percent_of_the_best_in_95_of_100_tunes() {
    let good = (0..100).filter(|&seed| {
        let mut machine = Machine::new(&RATES, 0.05, seed);
        let verdict = machine.tune(settings(BUDGET, seed), |_| None);
        assert!(machine.clock <= BUDGET, "{:?}", machine.clock);
        RATES[verdict.winner.unwrap()] >= 97.0
    });
    let good = good.count();
    assert!(good >= 95, "{good} of 100");
}

#[test]
fn a_clear_winner_ends_the_tune_early_and_so_do_equals() {
    let mut machine = Machine::new(&[80.0, 100.0, 60.0], 0.01, 1);
    let verdict = machine.tune(settings(BUDGET, 1), |_| None);
    assert_eq!((verdict.winner, verdict.ending), (Some(1), Ending::Separated));
    assert!(machine.clock < BUDGET / 2, "{:?}", machine.clock);
    let measured = &verdict.results[1];
    let interval = measured.interval.unwrap();
    assert!(interval.low <= measured.rate.unwrap() && measured.rate.unwrap() <= interval.high);

    let mut machine = Machine::new(&[100.0, 100.0, 99.9], 0.001, 1);
    let verdict = machine.tune(settings(BUDGET, 1), |_| None);
    assert_eq!(verdict.ending, Ending::Equal);
    assert!(machine.clock < BUDGET / 2, "{:?}", machine.clock);

    let mut machine = Machine::new(&[100.0], 0.05, 1);
    let verdict = machine.tune(settings(BUDGET, 1), |_| None);
    assert_eq!((verdict.winner, verdict.ending), (Some(0), Ending::Separated));
    assert_eq!(machine.measured, [0], "once, for its rate");
}

#[test]
fn candidates_are_measured_in_turns() {
    let mut machine = Machine::new(&RATES, 0.05, 3);
    let _ = machine.tune(settings(BUDGET, 3), |_| None);
    let rounds: Vec<&[usize]> = machine.measured.chunks(RATES.len()).take(3).collect();
    for round in &rounds {
        let mut round = round.to_vec();
        round.sort_unstable();
        assert_eq!(round, [0, 1, 2, 3, 4, 5, 6]);
    }
    assert!(rounds[0] != rounds[1] || rounds[1] != rounds[2], "always in the same order");
}

#[test]
fn what_cannot_be_used_is_named_and_does_not_win() {
    let fault = |step| match step {
        Step::Open(0) => Some(Skip::NotOpened("no".to_owned())),
        Step::Open(1) => Some(Skip::Refused("wrong".to_owned())),
        Step::Measure(2) => Some(Skip::Broke("lost".to_owned())),
        _ => None,
    };
    let verdict = Machine::new(&RATES, 0.01, 4).tune(settings(BUDGET, 4), fault);
    assert_eq!(verdict.winner, Some(4));
    let skipped: Vec<String> =
        verdict.results.iter().flat_map(|r| &r.skipped).map(ToString::to_string).collect();
    assert_eq!(skipped, ["not opened: no", "refused: wrong", "broke: lost"]);

    let nothing = |step| matches!(step, Step::Open(_)).then(|| Skip::NotOpened("no".to_owned()));
    let verdict = Machine::new(&RATES, 0.01, 5).tune(settings(BUDGET, 5), nothing);
    assert_eq!(verdict.winner, None);
    let all_broke = |step| matches!(step, Step::Measure(_)).then(|| Skip::Broke("x".to_owned()));
    let verdict = Machine::new(&RATES, 0.01, 5).tune(settings(BUDGET, 5), all_broke);
    assert_eq!(verdict.winner, None);
    assert_eq!(Tuner::new(0, settings(BUDGET, 0)).next(Duration::ZERO), Step::Done);
}

#[test]
fn a_candidate_that_does_nothing_does_not_hold_up_the_others() {
    let verdict = Machine::new(&[100.0, 0.0, 90.0], 0.01, 6).tune(settings(BUDGET, 6), |_| None);
    assert_eq!(verdict.winner, Some(0));
    assert_eq!(verdict.results[1].skipped, Some(Skip::Broke("it did no work".to_owned())));
}

#[test]
fn the_budget_is_passed_by_a_round_at_most() {
    for (seed, budget) in [(1, 1), (2, 500), (3, 2000), (4, 5000), (5, 9000)] {
        let budget = Duration::from_millis(budget);
        let mut machine = Machine::new(&RATES, 0.05, seed);
        let verdict = machine.tune(settings(budget, seed), |_| None);
        // A round of what could be opened in half of the time, or the one that is needed.
        let opened = (budget.as_millis() / 2 / OPENING_TAKES.as_millis()).max(1);
        let round = SLICE * u32::try_from(opened).unwrap();
        let most = budget.max(OPENING_TAKES) + round;
        assert!(machine.clock <= most, "{budget:?}: {:?}", machine.clock);
        let tried = verdict.results.iter().filter(|r| r.rounds > 0).count();
        assert_eq!(tried as u128, opened.min(7), "{budget:?}");
        let untried = verdict.results.iter().filter(|r| r.skipped == Some(Skip::OutOfTime)).count();
        assert_eq!(tried + untried, RATES.len());
        assert!(verdict.winner.is_some_and(|winner| winner < tried));
    }
}

#[test]
fn when_all_the_time_went_to_candidates_that_fail_the_fallback_is_tried() {
    let settings = Settings { fallback: Some(5), ..settings(OPENING_TAKES * 2, 9) };
    let hung = |step| match step {
        Step::Open(0 | 1) => Some(Skip::NotOpened("it hung".to_owned())),
        _ => None,
    };
    let mut machine = Machine::new(&RATES, 0.01, 9);
    let verdict = machine.tune(settings, hung);
    assert_eq!((verdict.winner, verdict.ending), (Some(5), Ending::Budget));
    assert_eq!(machine.measured, [5]);
    assert_eq!(verdict.results[2].skipped, Some(Skip::OutOfTime));

    let nothing = |step| matches!(step, Step::Open(_)).then(|| Skip::NotOpened("no".to_owned()));
    let verdict = Machine::new(&RATES, 0.01, 9).tune(settings, nothing);
    assert_eq!(verdict.winner, None);
    let tried = verdict.results.iter().filter(|r| r.skipped != Some(Skip::OutOfTime)).count();
    assert_eq!(tried, 3, "once");
}

#[test]
fn who_replaces_those_that_broke_is_measured_before_it_wins() {
    let settings = Settings { fallback: Some(5), ..settings(OPENING_TAKES * 2, 9) };
    let broke = |step| match step {
        Step::Measure(0..=3) => Some(Skip::Broke("lost".to_owned())),
        _ => None,
    };
    for (budget, winner) in [(2, 5), (9, 4)] {
        let settings = Settings { budget: OPENING_TAKES * budget, ..settings };
        let mut machine = Machine::new(&RATES, 0.01, 9);
        let verdict = machine.tune(settings, broke);
        assert_eq!(verdict.winner, Some(winner));
        assert!(verdict.results[winner].rounds > 0 && verdict.results[winner].rate.is_some());
    }
}

#[test]
fn one_alone_gets_a_rival_while_there_is_time() {
    // So far apart that one outlier decides nothing.
    let rates = [30.0, 70.0, 200.0, 80.0];
    let tried = |openings: u32, slices: u32, fault: fn(Step) -> Option<Skip>| {
        let budget = OPENING_TAKES * openings + SLICE * slices;
        let mut machine = Machine::new(&rates, 0.01, 1);
        let verdict = machine.tune(settings(budget, 1), fault);
        assert!(machine.clock <= budget, "{:?}", machine.clock);
        let measured = |candidate: &usize| verdict.results[*candidate].rounds > 0;
        (verdict.winner, (0..rates.len()).filter(measured).collect::<Vec<_>>())
    };
    // Half of the time is over before a second opening would end.
    assert_eq!(tried(2, 2, |_| None), (Some(1), vec![0, 1]));
    assert_eq!(tried(2, 1, |_| None), (Some(0), vec![0]), "not both could be measured");
    // The second is no rival any more when the race has begun.
    let second = |step| (step == Step::Measure(1)).then(|| Skip::Broke("lost".to_owned()));
    assert_eq!(tried(4, 0, second), (Some(2), vec![0, 2]));
}

#[test]
fn one_seed_gives_one_tune() {
    let verdict = || Machine::new(&RATES, 0.05, 8).tune(settings(BUDGET, 8), |_| None);
    assert_eq!(verdict(), verdict());
}
