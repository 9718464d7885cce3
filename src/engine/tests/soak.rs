//! Random worlds, each from a seed that a failure names.

use std::collections::BTreeMap;
use std::mem::discriminant;

use fastrand::Rng;

use super::*;
use crate::chain;
use crate::work::Span;

const SEEDS: u64 = 300;

/// What happened in all worlds together.
#[derive(Default)]
struct Sum {
    fired: Vec<Fault>,
    complete: u32,
    incomplete: u32,
    ended: u32,
    empty: u32,
    shares: u64,
    given_back: BTreeMap<Reason, u64>,
}

#[test]
fn random_worlds_end_with_exact_accounts() {
    let mut sum = Sum::default();
    for seed in 0..SEEDS {
        let told = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| live(seed, &mut sum)));
        assert!(told.is_ok(), "the world of seed {seed} went wrong, see above");
    }
    for fault in kinds(&mut Rng::with_seed(0), Region::first_header(Nonces::ALL)) {
        let fired = sum.fired.iter().filter(|fired| discriminant(*fired) == discriminant(&fault));
        assert!(fired.count() > 0, "{fault:?} never happened");
    }
    assert!(sum.complete > 100 && sum.incomplete > 30 && sum.ended > 30 && sum.empty > 10);
    assert!(sum.shares > 10_000);
    assert_eq!(sum.given_back.len(), 6, "{:?}", sum.given_back);
}

/// One world with up to three jobs in turn.
fn live(seed: u64, sum: &mut Sum) {
    let mut random = Rng::with_seed(seed);
    let devices = random.u16(1..=6);
    let mut sims = Vec::new();
    let first = random_job(1, &mut random);
    let mut jobs = vec![first];
    jobs.extend((2..=random.u64(1..=3)).map(|id| random_job(id, &mut random)));
    for _ in 0..devices {
        let rate = NonZeroU64::new(10_u64.pow(random.u32(4..9)) * random.u64(1..10)).unwrap();
        let sim = Sim::new().rate(rate).wide(random_width(&mut random));
        sims.push(sim.script(random_script(&jobs[0], &mut random)));
    }
    let fired: Vec<Fired> = sims.iter().map(Sim::fired).collect();
    let mut world = world(sims);
    world.reckless = [1, 1, 4, 50][random.usize(0..4)];
    let mut present: Vec<DeviceId> = (0..devices).map(DeviceId).collect();
    for job in jobs {
        world.interruption = interruption(devices, &mut random);
        let (hits, shares) = answers(&job);
        let report = world.work(job.clone());
        let ended = world.story.abandoned > 0;
        let found = found(&world);
        assert!(found.windows(2).all(|pair| pair[0] < pair[1]), "a share came twice");
        assert!(found.iter().all(|hit| shares.contains(hit)));
        let scanned = |hit: &Hit| world.story.believed.iter().any(|region| region.contains(*hit));
        let missed = shares.iter().filter(|share| scanned(share) && !found.contains(share));
        assert_eq!(missed.count(), 0, "a share of scanned hashes is missing");
        present.retain(|device| !world.story.dismissed.iter().any(|(left, _)| left == device));
        assert!(report.complete || ended || present.is_empty(), "gave up too early");
        if report.complete {
            assert_eq!((found.len(), report.counters.candidates), (shares.len(), hits));
            sum.complete += 1;
        } else {
            sum.incomplete += 1;
        }
        sum.ended += u32::from(ended);
        sum.empty += u32::from(job.nonces.is_empty());
        sum.shares += report.counters.shares;
        for (reason, count) in report.tally.given_back {
            *sum.given_back.entry(reason).or_default() += count;
        }
    }
    sum.fired.extend(fired.iter().flat_map(Fired::list).map(|(_, fault)| fault));
}

fn random_job(id: u64, random: &mut Rng) -> Job {
    let bits = random.u32(0..=10);
    let length = if bits < 2 { random.u64(2..900) } else { random.u64(2..6000) };
    let place = random.u64(0..(1 << 32) - length);
    let (start, length) = match random.u8(0..12) {
        0 => (place, 0),
        1 => (1 << 32, 0),
        2 => (place, 1),
        3 => ((1 << 32) - 1, 1),
        4 | 5 => ((1 << 32) - length, length),
        6 => (0, length),
        _ => (place, length),
    };
    // Some targets are as easy as their filter, others a little or a lot harder.
    let mut bytes = easy(bits).to_be_bytes();
    if random.bool() {
        bytes[bits as usize / 8] &= !(random.u8(..) >> 1 >> (bits % 8));
    }
    let job = small(id, start, length, Target::from_be_bytes(bytes));
    let mut header = job.rolls.header(0);
    header.time = random.u32(..u32::MAX - 3);
    // As many hashes as one header would have, roughly.
    let mask = chain::version_rolling_bits(random.u32(0..5)).rotate_left(random.u32(..));
    let rolls = Rolls::new(header, mask, random.u32(1..4), None).unwrap();
    let nonces = job.nonces.split_at(length.div_ceil(rolls.all().len())).0;
    Job { rolls, nonces, ..job }
}

fn random_width(random: &mut Rng) -> Width {
    let least = random.u32(1..10);
    let filter = Filter::new(random.u32(0..6));
    if random.bool() {
        Width::ONE
    } else {
        Width { least, most: least + random.u32(..12), filter, ..Width::ONE }
    }
}

/// How many candidates the job has, and its shares.
fn answers(job: &Job) -> (u64, Vec<Hit>) {
    let mut hits = truth(job);
    let candidates = hits.len() as u64;
    hits.retain(|hit| chain::meets(&block_hash(&job.header(*hit)), &job.target));
    (candidates, hits)
}

fn random_script(job: &Job, random: &mut Rng) -> Script {
    let mut script = Script::new();
    for _ in 0..[0, 0, 1, 2, 3][random.usize(0..5)] {
        let fault = kinds(random, job.space());
        let fault = fault[random.usize(0..fault.len())];
        let batch = random.u64(0..8);
        let lasts = random.u8(0..4) == 0 || matches!(fault, Fault::WrongHit(_));
        script = if lasts { script.since(batch, fault) } else { script.on(batch, fault) };
    }
    script
}

/// Every fault that a report can show. `MissHits` is not among them: only a self-test notices it.
fn kinds(random: &mut Rng, space: Region) -> [Fault; 11] {
    let mut place = |span: Span| {
        let at = span.start() + random.u64(..span.len().max(1));
        u32::try_from(at).unwrap_or(0)
    };
    let wrong = Hit { header: place(space.headers), nonce: place(space.nonces) };
    [
        Fault::WrongHit(wrong),
        Fault::OutsideHit,
        Fault::MirrorHeaders,
        Fault::RepeatHits,
        Fault::Overflow,
        Fault::Partial,
        Fault::Slow(Duration::from_millis(random.u64(0..3000))),
        Fault::Refuse,
        Fault::Hang,
        Fault::Lost,
        Fault::Panic,
    ]
}

fn interruption(devices: u16, random: &mut Rng) -> Option<(u64, Interruption)> {
    let what = match random.u8(0..8) {
        0 | 1 => Interruption::End,
        2 => Interruption::Lose(DeviceId(random.u16(0..devices))),
        3 => Interruption::Pause(DeviceId(random.u16(0..devices))),
        _ => return None,
    };
    Some((random.u64(1..60), what))
}
