//! Whole days of a run with faults of all kinds, on a clock that is a number: the engine, the office, the supervisor and
//! the Stratum clients are the real ones, hashes are real, and every share is judged with the `bitcoin` crate.
//!
//! A world follows from its seed. One that went wrong is named, and lives again with
//! `ADIT_SIM_SEEDS=SEED cargo test --test sim_world a_day`; its seed goes to tests/data/seeds.txt, and is tried for ever.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test may panic, and so may what it calls"
)]
#![expect(clippy::print_stdout, reason = "the account of a run is worth reading")]

mod cards;
mod end;
mod wire;
mod world;

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::mem::discriminant;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use adit::device::sim::Fault;
use adit::pool::judge::Refusal;
use adit::work::Verdict;

use end::{End, Trouble};
use wire::Mischief;
use world::{Rates, World};

const DAY: Duration = Duration::from_secs(86_400);

/// Cards and sources of a world.
const SIZE: (u16, u16) = (4, 2);

/// A trouble of each source in ten minutes, a fault of each device in half an hour.
const RATES: Rates = Rates { seconds_per_trouble: 600.0, seconds_per_device_fault: 1800.0 };

/// What happened in several worlds together.
#[derive(Default)]
struct Sum {
    faults: Vec<Fault>,
    troubles: Vec<Trouble>,
    refused_openings: u32,
    benched: u64,
    returns: u64,
    switches: u64,
    verdicts: BTreeSet<Verdict>,
    clean_jobs: u64,
    difficulties: u64,
    found: u64,
    accepted: u64,
}

#[test]
fn a_day_with_faults_of_all_kinds_loses_nothing_and_sends_nothing_invalid() {
    let seeds: Vec<u64> = match std::env::var("ADIT_SIM_SEEDS") {
        Ok(text) => range(&text),
        Err(_) => (0..10).chain(kept()).collect(),
    };
    let sum = Mutex::new(Sum::default());
    let (next, failed) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(&seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if catch_unwind(AssertUnwindSafe(|| live(seed, &sum))).is_err() {
                        failed.lock().unwrap().push(seed);
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(
        failed.is_empty(),
        "the worlds of these seeds went wrong, see above: {failed:?}; each lives again with \
         ADIT_SIM_SEEDS=SEED cargo test --test sim_world a_day"
    );
    // A single world need not have seen it all.
    if seeds.len() >= 10 {
        all_happened(&sum.into_inner().unwrap());
    }
}

#[test]
fn a_machine_that_sleeps_works_again_as_soon_as_it_wakes() {
    let calm = Rates { seconds_per_trouble: 1e9, seconds_per_device_fault: 1e9 };
    for (seed, hours) in [(1, 8), (2, 1), (3, 100)] {
        let mut world = World::new(SIZE.0, SIZE.1, &calm, seed);
        for _ in 0..3 {
            world.run(Duration::from_secs(600));
            let accepted = world.counts().accepted;
            assert!(accepted > 0);
            world.sleep(Duration::from_secs(3600 * hours));
            // Without that it would take a minute and a half to find out.
            world.run(Duration::from_secs(60));
            assert!(world.counts().accepted > accepted, "{:?}", world.counts());
        }
        world.end();
        let counts = world.counts();
        assert_eq!((counts.pending, counts.invalid, counts.rejected), (0, 0, 0), "{counts:?}");
        the_pools_agree(&world);
        let silences = world.ends.iter().flat_map(End::troubles);
        assert!(silences.filter(|trouble| *trouble == Trouble::Silence).count() >= 3);
    }
}

/// `5`, or `0..1000`.
fn range(text: &str) -> Vec<u64> {
    let number = |text: &str| text.trim().parse::<u64>().expect("ADIT_SIM_SEEDS is N or N..M");
    match text.split_once("..") {
        Some((start, end)) => (number(start)..number(end)).collect(),
        None => vec![number(text)],
    }
}

/// Seeds that once went wrong.
fn kept() -> Vec<u64> {
    let lines = include_str!("../data/seeds.txt").lines();
    let seeds = lines.map(|line| line.split('#').next().unwrap_or_default().trim());
    seeds.filter(|seed| !seed.is_empty()).map(|seed| seed.parse().unwrap()).collect()
}

/// One day, and what must be true of it.
fn live(seed: u64, sum: &Mutex<Sum>) {
    let mut world = World::new(SIZE.0, SIZE.1, &RATES, seed);
    world.run(DAY);
    world.end();
    let (counts, story, scanned) = (world.counts(), &world.story, world.scanned());
    println!(
        "seed {seed}: {scanned} hashes of {}, {counts:?}, {} jobs, {} dismissals, {} returns, {} on the bench, {} \
         switches; {}",
        world.hashes_per_second * DAY.as_secs(),
        story.finished_jobs,
        story.dismissals,
        story.returns,
        story.benched,
        story.switches,
        told(&world),
    );
    assert!(counts.is_balanced() && counts.pending == 0, "{counts:?}");
    assert_eq!(story.verdicts.values().sum::<u64>() + counts.withheld, counts.found);
    the_pools_agree(&world);
    // Each share speaks for as many hashes as its difficulty says; their number is Poisson's.
    #[expect(clippy::cast_precision_loss, reason = "compared roughly")]
    let expected = scanned as f64 / 2_f64.powi(32);
    let off = (story.difficulty - expected).abs() / story.difficulty_squared.sqrt();
    assert!(off < 4.0, "what was found is {off:.1} σ from what {scanned} hashes have");
    // Faults cost time, not much more.
    assert!(scanned > world.hashes_per_second * DAY.as_secs() / 2, "{scanned} hashes are few");
    assert!(counts.accepted * 10 > counts.found * 8, "{counts:?}");
    let mut sum = sum.lock().unwrap();
    for card in world.cards() {
        sum.faults.extend(card.faults());
        sum.refused_openings += card.refused_openings;
    }
    for end in &world.ends {
        sum.troubles.extend(end.troubles());
        sum.clean_jobs += end.story.clean_jobs;
        sum.difficulties += end.story.difficulties;
    }
    sum.benched += story.benched;
    sum.returns += story.returns;
    sum.switches += story.switches;
    sum.verdicts.extend(story.verdicts.keys());
    sum.found += counts.found;
    sum.accepted += counts.accepted;
}

/// Nothing but the race between a share and a new job is ever refused.
fn the_pools_agree(world: &World) {
    let mut accepted = 0;
    for end in &world.ends {
        let story = &end.story;
        accepted += story.accepted;
        for (refusal, times) in &story.refused {
            let is_race = match refusal {
                // A duplicate was sent again because the answer was lost, or repeated by somebody in between.
                Refusal::Stale | Refusal::UnknownJob | Refusal::Duplicate => true,
                // Half of a line.
                Refusal::Nonsense => end.troubles().contains(&Trouble::ToPool(Mischief::Spoil)),
                // The login was dropped or spoilt on its way, and the miner could not know yet.
                Refusal::Unauthorized | Refusal::NotSubscribed => {
                    end.troubles().iter().any(|trouble| matches!(trouble, Trouble::ToPool(_)))
                }
                _ => false,
            };
            assert!(is_race, "{times} shares were refused by {}: {refusal}", end.source);
        }
    }
    let counts = world.counts();
    // What a pool took and could not say is known to nobody.
    assert!(counts.accepted <= accepted, "{counts:?}, but the pools took {accepted}");
    assert!(
        counts.accepted + counts.duplicate + counts.expired + counts.stale >= accepted,
        "{counts:?} {accepted}"
    );
}

fn told(world: &World) -> String {
    let told = world.ends.iter().map(|end| {
        let story = &end.story;
        format!(
            "{}: {} jobs, {} clean, {} connections, {} difficulties, {} accepted, refused {:?}",
            end.source,
            story.jobs,
            story.clean_jobs,
            story.connections,
            story.difficulties,
            story.accepted,
            story.refused
        )
    });
    told.collect::<Vec<_>>().join("; ")
}

/// A fault that never happened proves nothing.
fn all_happened(sum: &Sum) {
    let faults = [
        Fault::OutsideHit,
        Fault::MissHits,
        Fault::RepeatHits,
        Fault::Overflow,
        Fault::Partial,
        Fault::Slow(Duration::ZERO),
        Fault::Refuse,
        Fault::Hang,
        Fault::Lost,
        Fault::Panic,
    ];
    each_happened(&faults, &sum.faults);
    let mischief = [
        Mischief::Delay(Duration::ZERO),
        Mischief::Drop,
        Mischief::Repeat,
        Mischief::Swap,
        Mischief::Spoil,
    ];
    let done = |which: fn(&Trouble) -> Option<Mischief>| -> Vec<Mischief> {
        sum.troubles.iter().filter_map(which).collect()
    };
    each_happened(
        &mischief,
        &done(|trouble| match trouble {
            Trouble::ToMiner(mischief) => Some(*mischief),
            _ => None,
        }),
    );
    each_happened(
        &mischief,
        &done(|trouble| match trouble {
            Trouble::ToPool(mischief) => Some(*mischief),
            _ => None,
        }),
    );
    for trouble in [Trouble::Cut, Trouble::Silence, Trouble::Outage(Duration::ZERO)] {
        each_happened(&[trouble], &sum.troubles);
    }
    for verdict in [Verdict::Accepted, Verdict::Stale, Verdict::Expired, Verdict::Duplicate] {
        assert!(sum.verdicts.contains(&verdict), "no share was {verdict}");
    }
    let counts = [u64::from(sum.refused_openings), sum.benched, sum.returns, sum.switches];
    assert!(counts.iter().all(|count| *count > 10), "{counts:?}");
    assert!(sum.clean_jobs > 1000 && sum.difficulties > 1000 && sum.found > 100_000);
    println!("{} found, {} accepted", sum.found, sum.accepted);
}

fn each_happened<T: Debug>(kinds: &[T], happened: &[T]) {
    for kind in kinds {
        let count = happened.iter().filter(|one| discriminant(*one) == discriminant(kind)).count();
        println!("{kind:?}: {count}");
        assert!(count > 0, "{kind:?} never happened");
    }
}
