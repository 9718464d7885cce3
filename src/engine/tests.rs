//! The engine with simulated devices and a simulated clock. Every fault that a test plans must happen.

mod by_hand;
mod soak;
mod streams;
mod world;

use std::num::NonZeroU64;
use std::time::Duration;

use bitcoin::Target;

use self::world::{BATCH_TIME, Interruption, World, easy, truth};
use super::*;
use crate::chain::{self, KNOWN_BLOCKS, KnownBlock, block_hash, with_nonce};
use crate::device::sim::{Fault, Fired, Script, Sim};
use crate::limits::HITS_PER_BATCH;
use crate::work::{Coverage, Filter, Hit, Nonces, Rolls};

const A: DeviceId = DeviceId(0);
const B: DeviceId = DeviceId(1);

/// All nonces of a real header; the answer is known.
fn real(block: &KnownBlock) -> (Job, Hit) {
    let header = block.header().unwrap();
    let job = Job {
        id: JobId::only(u64::from(block.height)),
        rolls: Rolls::one(with_nonce(&header, 0)),
        target: header.target(),
        nonces: Nonces::ALL,
    };
    (job, at(header.nonce))
}

/// Few nonces with many hits.
fn small(id: u64, start: u64, length: u64, target: Target) -> Job {
    let header = KNOWN_BLOCKS[0].header().unwrap();
    let nonces = Nonces::new(start, start + length).unwrap();
    Job { id: JobId::only(id), rolls: Rolls::one(header), target, nonces }
}

/// A nonce of the first header.
fn at(nonce: u32) -> Hit {
    Hit { header: 0, nonce }
}

fn sim(hits: &[Hit], rate: u64) -> Sim {
    Sim::planted(hits.to_vec()).rate(NonZeroU64::new(rate).unwrap())
}

fn world(sims: Vec<Sim>) -> World {
    World::new(Instant::now(), sims)
}

fn found(world: &World) -> Vec<Hit> {
    let hit = |share: &Share| Hit { header: share.number, nonce: share.header.nonce };
    let mut hits: Vec<Hit> = world.story.shares.iter().map(|(_, share)| hit(share)).collect();
    hits.sort_unstable();
    hits
}

/// Few hits, found by hashing: the first are at 0 to 65536.
fn easy_job(id: u64) -> (Job, Vec<Hit>) {
    let job = small(id, 0, 1 << 16, easy(8));
    let hits = truth(&job);
    (job, hits)
}

mod sharing {
    use super::*;

    /// Works on all nonces of a header and checks that the devices shared them well.
    fn share(block: &KnownBlock, speeds: &[u64]) -> World {
        let (job, answer) = real(block);
        let mut world = world(speeds.iter().map(|speed| sim(&[answer], *speed)).collect());
        let report = world.work(job);
        assert!(report.complete);
        assert_eq!((report.tally.assigned, report.tally.scanned), (1 << 32, 1 << 32));
        assert!(report.tally.given_back.is_empty());
        assert_eq!(report.rescanned(), 0);
        assert_eq!(report.hashes_per_second(), crate::work::rate(1 << 32, report.elapsed));
        let [(_, share)] = world.story.shares[..] else { panic!("{:?}", world.story.shares) };
        assert_eq!(Ok(share.hash), block.hash());
        assert_eq!((share.header.nonce, block_hash(&share.header)), (answer.nonce, share.hash));
        let tested: Vec<u64> = report.devices.iter().map(|device| device.tested).collect();
        assert_eq!(tested.iter().sum::<u64>(), 1 << 32);
        assert_eq!((&world.story.faults[..], &world.story.dismissed[..]), (&[][..], &[][..]));
        check_accounts(&world, &tested);
        check_shares(&world, speeds, &tested, report.elapsed);
        world
    }

    /// What each device did, as it stands in the report and among the devices.
    fn check_accounts(world: &World, tested: &[u64]) {
        let accounts = world.engine.device_accounts();
        let scanned: Vec<u64> = accounts.values().map(|account| account.scanned).collect();
        assert_eq!(scanned, tested);
        assert_eq!(accounts.values().map(|account| account.candidates).sum::<u64>(), 1);
        let expected: f64 = accounts.values().map(|account| account.expected_candidates).sum();
        assert!((expected - 1.0).abs() < 1e-9, "one in 2^32 hashes: {expected}");
        assert!(accounts.values().all(|account| account.batch_times.is_some()));
    }

    #[expect(clippy::cast_precision_loss, reason = "estimates")]
    fn check_shares(world: &World, speeds: &[u64], tested: &[u64], elapsed: Duration) {
        let sum: u64 = speeds.iter().sum();
        let ideal = (1_u64 << 32) as f64 / sum as f64;
        for (tested, speed) in tested.iter().zip(speeds) {
            let fair = *speed as f64 * ideal;
            let ratio = *tested as f64 / fair;
            assert!((0.85..1.15).contains(&ratio), "at {speed}/s: {ratio} of its fair share");
        }
        assert!(elapsed.as_secs_f64() < ideal * 1.03, "{elapsed:?} instead of {ideal} s");
        let ends = || world.story.last_report.values();
        let tail = ends().max().unwrap().saturating_sub(*ends().min().unwrap());
        assert!(tail <= BATCH_TIME * 2, "the last ended {tail:?} after the first");
        assert!(world.story.dry.is_empty(), "a device had nothing to do: {:?}", world.story.dry);
    }

    #[test]
    fn devices_of_very_different_speeds_end_together() {
        share(&KNOWN_BLOCKS[0], &[100_000, 1_000_000, 1_000_000_000]);
        share(&KNOWN_BLOCKS[7], &[1_000_000_000]);
        share(&KNOWN_BLOCKS[9], &[500_000_000, 500_000_000]);
    }

    #[test]
    fn sixteen_devices_of_speeds_from_1_to_10000() {
        let speeds: Vec<u64> =
            (0..16).map(|n| 100_000 * 10_u64.pow(n / 4) * [1, 2, 4, 7][n as usize % 4]).collect();
        share(&KNOWN_BLOCKS[31], &speeds);
    }
}

mod rolling {
    use super::*;

    fn wide(most: u32, rate: u64, hits: &[Hit]) -> Sim {
        sim(hits, rate).wide(Width {
            least: most.min(64),
            most,
            filter: Filter::WORD,
            ..Width::ONE
        })
    }

    /// All version bits of BIP 320, few nonces, and hits at the ends and in between.
    fn rolled(id: u64, nonces: u64) -> (Job, Vec<Hit>) {
        let header = KNOWN_BLOCKS[30].header().unwrap();
        let rolls = Rolls::new(header, chain::VERSION_ROLLING_MASK, 2, None).unwrap();
        let nonces = Nonces::around(header.nonce, nonces / 2, nonces);
        let job = Job { id: JobId::only(id), rolls, target: header.target(), nonces };
        let solution =
            Hit { header: job.rolls.number_of(header.version).unwrap(), nonce: header.nonce };
        (job, vec![solution])
    }

    #[test]
    fn devices_of_widths_1_4_and_65536_share_all_versions() {
        for nonces in [1, 9, 1000] {
            let (job, hits) = rolled(1, nonces);
            let speeds = [(1, 300_000), (4, 2_000_000), (1 << 16, 40_000_000)];
            let sims = speeds.map(|(most, rate)| wide(most, rate, &hits));
            let mut world = world(sims.into());
            let report = world.work(job);
            assert!(report.complete && report.tally.given_back.is_empty());
            assert_eq!(report.tally.scanned, nonces << 17);
            assert_eq!(found(&world), hits);
            let [(_, share)] = world.story.shares[..] else { panic!("{:?}", world.story.shares) };
            assert_eq!(share.header, KNOWN_BLOCKS[30].header().unwrap(), "version and all");
            // Who is wide works wide: it gets what it must, and no more than its share, in one piece.
            for (device, region) in &world.story.assigned {
                let most = u64::from(speeds[usize::from(device.0)].0);
                assert!(region.headers.len() <= most, "{device}: {region}");
            }
            let widest = world.story.believed.iter().map(|region| region.headers.len()).max();
            assert!(widest >= Some((1 << 16) - 8), "{widest:?}");
            assert!(world.engine.jobs.is_empty());
        }
    }

    #[test]
    fn planted_hits_in_every_corner_are_found_once() {
        // Real hits of an easy target, so that every one of them verifies.
        let header = KNOWN_BLOCKS[30].header().unwrap();
        let rolls = Rolls::new(header, chain::version_rolling_bits(10), 3, None).unwrap();
        let nonces = Nonces::new((1 << 32) - 20, 1 << 32).unwrap();
        let job = Job { id: JobId::only(1), rolls, target: easy(9), nonces };
        let hits = truth(&job);
        let width = |most| Width { least: 3, most, filter: Filter::new(9), ..Width::ONE };
        let sims = [width(700), width(4), Width::ONE, width(1 << 16)];
        let sims = sims.map(|width| sim(&hits, 1_000_000).wide(width));
        let mut world = world(sims.into());
        let report = world.work(job);
        assert!(report.complete && hits.len() > 80);
        assert_eq!(found(&world), hits);
        assert!(world.story.faults.is_empty());
    }

    #[test]
    fn an_easy_target_makes_every_device_narrow() {
        let (job, _) = rolled(1, 1);
        let rolls = Rolls::new(job.rolls.header(0), 0x1e000, 1, None).unwrap();
        let nonces = Nonces::new(0, 1000).unwrap();
        let job = Job { rolls, nonces, target: easy(8), ..job };
        let hits = truth(&job);
        let mut world = world(vec![wide(16, 1_000_000, &hits), wide(1, 1_000_000, &hits)]);
        assert!(world.work(job).complete);
        assert_eq!(found(&world), hits);
        assert!(world.story.assigned.iter().all(|(_, region)| region.headers.len() == 1));
    }

    #[test]
    fn headers_taken_for_each_other_cost_no_hit() {
        let (job, hits) = rolled(1, 4);
        let mirror = Script::new().since(0, Fault::MirrorHeaders);
        let liar = wide(1 << 16, 1_000_000, &hits).script(mirror);
        let mut world = world(vec![liar, wide(4, 1_000_000, &hits)]);
        let report = world.work(job);
        assert!(report.complete);
        assert_eq!(found(&world), hits);
    }
}

mod faults {
    use super::*;

    /// A job that A spoils with a fault and B does well. All hits must be found, once each.
    fn spoil(script: Script) -> (World, JobReport, Fired) {
        let (job, hits) = easy_job(1);
        let spoiler = sim(&hits, 100_000).script(script);
        let fired = spoiler.fired();
        let mut world = world(vec![spoiler, sim(&hits, 100_000)]);
        let report = world.work(job);
        assert!(report.complete);
        assert_eq!(report.tally.assigned, 1 << 16);
        assert_eq!(found(&world), hits);
        assert_eq!(report.counters.candidates, hits.len() as u64);
        (world, report, fired)
    }

    /// What the faults of a device are called, and how many hashes went back for which reason.
    fn consequences(world: &World, report: &JobReport) -> (Vec<String>, Vec<Reason>) {
        assert!(world.story.faults.iter().all(|(device, _)| *device == A));
        let names = world.story.faults.iter().map(|(_, why)| why.clone()).collect();
        (names, report.tally.given_back.keys().copied().collect())
    }

    #[test]
    fn a_wrong_report_is_done_again() {
        let (_, hits) = easy_job(1);
        let wrong = (0..256).map(at).find(|hit| !hits.contains(hit)).unwrap();
        let cases = [
            (0, Fault::WrongHit(wrong), Reason::WrongHit, "lacks the 8 leading zero bits", 1),
            (2, Fault::OutsideHit, Reason::WrongHit, "lies outside the batch", 1),
            (4, Fault::RepeatHits, Reason::WrongHit, "is reported twice", 3),
            (2, Fault::Partial, Reason::Partial, "an incomplete report: as scripted", 0),
        ];
        for (batch, fault, reason, why, wrong) in cases {
            let (world, report, fired) = spoil(Script::new().on(batch, fault));
            assert_eq!(fired.list(), [(batch, fault)]);
            let (names, reasons) = consequences(&world, &report);
            assert!(names.len() == 1 && names[0].contains(why), "{fault:?}: {names:?}");
            assert_eq!((&reasons[..], report.counters.wrong), (&[reason][..], wrong), "{fault:?}");
            assert_eq!(report.devices[0].faults, 1);
            assert!(world.story.dismissed.is_empty());
        }
    }

    #[test]
    fn a_device_that_breaks_leaves_its_nonces_to_the_others() {
        let cases = [
            (Fault::Hang, "the device did not answer within 10.0 s"),
            (Fault::Lost, "the device was lost"),
            (Fault::Refuse, "the driver failed: batch 4 refused"),
            (Fault::Panic, "its driver panicked"),
        ];
        for (fault, why) in cases {
            let (world, report, fired) = spoil(Script::new().on(4, fault));
            assert_eq!(fired.list(), [(4, fault)]);
            let [(A, told)] = &world.story.dismissed[..] else { panic!("{fault:?}") };
            assert!(told.contains(why), "{told}");
            let lost = report.tally.given_back[&Reason::Lost];
            assert!(lost > 0);
            let [left, stayed] = &report.devices[..] else { panic!("{:?}", report.devices) };
            assert_eq!((left.device, stayed.device), (A, B));
            assert!(left.tested > 0 && stayed.tested >= lost);
        }
    }

    #[test]
    #[expect(clippy::cast_precision_loss, reason = "estimates")]
    fn whatever_a_device_does_the_others_keep_their_rate() {
        let (job, answer) = real(&KNOWN_BLOCKS[0]);
        // A minute and a half of work for one of them, so that the wait for a hung one is within it.
        let rate = 50_000_000;
        let breaks = [Fault::Hang, Fault::Lost, Fault::Refuse, Fault::Panic];
        let lies = [Fault::OutsideHit, Fault::RepeatHits, Fault::Partial, Fault::Overflow];
        for fault in breaks.into_iter().chain(lies) {
            let broken = sim(&[answer], rate).script(Script::new().since(5, fault));
            let fired = broken.fired();
            let mut world = world(vec![broken, sim(&[answer], rate)]);
            let report = world.work(job.clone());
            assert!(report.complete && fired.count() > 0, "{fault:?}");
            let healthy = report.devices.iter().find(|device| device.device == B).unwrap();
            let part = healthy.tested as f64 / (rate as f64 * report.elapsed.as_secs_f64());
            assert!(part > 0.98, "beside {fault:?} it does {part} of what it could");
        }
    }

    #[test]
    fn a_slow_batch_is_no_fault() {
        let slow = Fault::Slow(Duration::from_secs(3));
        let (world, report, fired) = spoil(Script::new().on(3, slow));
        assert_eq!(fired.list(), [(3, slow)]);
        assert_eq!(consequences(&world, &report), (vec![], vec![]));
    }

    #[test]
    fn three_faults_end_the_work_of_a_device() {
        let (world, report, fired) = spoil(Script::new().since(2, Fault::OutsideHit));
        assert_eq!(world.story.faults.len(), 3);
        let [(A, why)] = &world.story.dismissed[..] else { panic!("nobody was dismissed") };
        assert!(why.starts_with("3 faults, the last: a wrong hit"), "{why}");
        assert!(fired.count() >= 3, "batches that were under way do not count any more");
        assert_eq!(report.counters.wrong, 3);
        assert_eq!(report.devices[0].faults, 3);
    }

    #[test]
    fn without_devices_the_job_ends_with_an_exact_account() {
        let (job, hits) = easy_job(1);
        let lost = sim(&hits, 100_000).script(Script::new().on(6, Fault::Lost));
        let liar = sim(&hits, 100_000).script(Script::new().since(5, Fault::Partial));
        let fired = [lost.fired(), liar.fired()];
        let mut world = world(vec![lost, liar]);
        let report = world.work(job);
        assert!(fired.iter().all(|fired| fired.count() > 0));
        assert!(!report.complete);
        assert_eq!(world.story.dismissed.len(), 2);
        assert!(report.tally.scanned > 0 && report.tally.scanned < report.space.len());
        // What was found is found, whatever became of the finder.
        let found = found(&world);
        let is_scanned =
            |hit: &Hit| world.story.believed.iter().any(|region| region.contains(*hit));
        assert!(hits.iter().filter(|hit| is_scanned(hit)).all(|hit| found.contains(hit)));
        assert!(found.iter().all(|hit| hits.contains(hit)));
        // The next job ends at once, and so does one with nothing to do.
        let next = world.work(small(2, 5, 100, easy(8)));
        assert_eq!((next.complete, next.tally.assigned, next.devices.len()), (false, 0, 0));
        assert!(world.work(small(3, 1 << 32, 0, easy(8))).complete);
    }

    #[test]
    fn an_overflow_is_split_and_every_hit_is_found() {
        for script in
            [Script::new().on(2, Fault::Overflow), Script::new().since(7, Fault::Overflow)]
        {
            let (_, report, fired) = spoil(script);
            assert!(fired.count() > 0);
            assert!(report.rescanned() > 0);
        }
    }

    #[test]
    fn more_hits_than_reports_hold_are_all_found() {
        // Each nonce is a hit, and the devices take batches of 1008 nonces until they are told better.
        let job = small(1, 1_000_000, 20_000, easy(0));
        let sims = [1_000_000, 2_000_000, 3_000_000]
            .map(|rate| Sim::new().rate(NonZeroU64::new(rate).unwrap()));
        let mut world = world(sims.into());
        world.reckless = 16;
        let report = world.work(job);
        assert!(report.complete && report.rescanned() > 0);
        assert_eq!(found(&world), (1_000_000..1_020_000).map(at).collect::<Vec<Hit>>());
        assert_eq!(report.counters.shares, 20_000);
        assert!(world.story.faults.is_empty());
    }

    #[test]
    fn a_device_that_always_overflows_is_dismissed_and_spoils_nothing() {
        let (world, report, fired) = spoil(Script::new().since(0, Fault::Overflow));
        assert!(fired.count() > 3);
        assert_eq!(world.story.faults.len(), 3);
        assert!(world.story.faults.iter().all(|(_, why)| why.contains("calls that an overflow")));
        assert_eq!(world.story.dismissed.len(), 1);
        assert!(report.rescanned() > 0, "the first overflows were possible");
        let largest = world.story.believed.iter().map(|region| region.len()).max();
        assert!(largest > Some(2000), "batches stayed small: {largest:?}");
    }
}

mod ends {
    use super::*;

    #[test]
    fn an_end_keeps_what_is_under_way_and_gives_back_the_rest() {
        let (job, answer) = real(&KNOWN_BLOCKS[3]);
        for event in [1, 2, 5, 50, 200] {
            let mut world =
                world([1_000_000_000, 3_000_000].map(|rate| sim(&[answer], rate)).into());
            world.interruption = Some((event, Interruption::End));
            let report = world.work(job.clone());
            assert!(world.interruption.is_none(), "it was ended at {event}");
            assert!(!report.complete);
            assert_eq!(world.story.abandoned, 1);
            let ended = report.tally.given_back.get(&Reason::Ended).copied().unwrap_or_default();
            assert_eq!(report.tally.assigned - report.tally.scanned, ended);
            assert_eq!(report.tally.given_back.len(), usize::from(ended > 0));
            assert!(world.story.faults.is_empty() && world.story.dismissed.is_empty());
            // The devices are free for the next job.
            let report = world.work(Job { id: JobId::only(event + 1_000_000), ..job.clone() });
            assert!(report.complete && found(&world) == [answer]);
        }
    }

    #[test]
    fn a_job_ends_within_the_batches_under_way() {
        let (job, answer) = real(&KNOWN_BLOCKS[3]);
        let mut world = world([1_000_000_000, 3_000_000].map(|rate| sim(&[answer], rate)).into());
        world.interruption = Some((150, Interruption::End));
        let report = world.work(job);
        let last = world.story.believed.len();
        assert!(last > 10 && report.elapsed == world.elapsed());
        assert!(world.ended_for() <= BATCH_TIME * 4, "{:?}", world.ended_for());
    }

    #[test]
    fn a_device_lost_while_the_job_ends_does_not_hold_it_up() {
        let (job, hits) = easy_job(1);
        let lost = sim(&hits, 100_000).script(Script::new().on(6, Fault::Lost));
        let fired = lost.fired();
        let mut world = world(vec![lost, sim(&hits, 100_000)]);
        // Batch 6 was just begun.
        world.interruption = Some((19, Interruption::End));
        let report = world.work(job);
        assert_eq!((fired.count(), world.story.abandoned), (1, 1));
        assert!(report.tally.given_back.contains_key(&Reason::Lost));
    }

    #[test]
    fn a_paused_device_begins_nothing_and_goes_on_where_others_left_off() {
        let (job, answer) = real(&KNOWN_BLOCKS[4]);
        for rates in [vec![300_000_000], vec![300_000_000, 200_000_000]] {
            let sims: Vec<Sim> = rates.iter().map(|rate| sim(&[answer], *rate)).collect();
            let mut world = world(sims);
            world.interruption = Some((60, Interruption::Pause(A)));
            let report = world.work(job.clone());
            assert!(report.complete && report.tally.given_back[&Reason::Paused] > 0);
            assert_eq!(found(&world), [answer]);
            let (device, since) = world.story.paused[0];
            assert_eq!(device, A);
            let reports = &world.story.reports;
            let while_paused = reports.iter().filter(|(device, at)| {
                // What was under way when it was paused still ends.
                *device == A && *at > since + BATCH_TIME * 4 && *at < since + world::PAUSE
            });
            assert_eq!(while_paused.count(), 0, "it worked although it was paused");
            let after =
                reports.iter().any(|(device, at)| *device == A && *at > since + world::PAUSE);
            assert!(after, "it went on afterwards");
        }
    }

    #[test]
    fn an_unplugged_device_is_replaced_by_the_others() {
        let (job, answer) = real(&KNOWN_BLOCKS[4]);
        let mut world = world([1_000_000_000, 900_000_000].map(|rate| sim(&[answer], rate)).into());
        world.interruption = Some((100, Interruption::Lose(A)));
        let report = world.work(job);
        assert!(report.complete && report.tally.given_back[&Reason::Lost] > 0);
        assert_eq!(found(&world), [answer]);
    }
}

mod losing_hits {
    use super::*;

    /// How many hits a device was expected to report until it was accused of losing some; it keeps those for which
    /// `keeps` says so. `None` where it never was.
    fn accused(jobs: u64, keeps: impl Fn(usize) -> bool) -> Option<f64> {
        let jobs: Vec<Job> = (1..=jobs).map(|id| small(id, id << 16, 1 << 16, easy(6))).collect();
        let all = jobs.iter().flat_map(truth).enumerate();
        let kept: Vec<Hit> = all.filter(|(i, _)| keeps(*i)).map(|(_, hit)| hit).collect();
        let mut world = world(vec![sim(&kept, 10_000_000)]);
        for job in jobs {
            let report = world.work(job);
            assert!(world.story.faults.is_empty(), "{:?}", world.story.faults);
            if let [(A, why)] = &world.story.dismissed[..] {
                assert!(why.contains("it loses hits"), "{why}");
                return Some(world.engine.device_accounts()[&A].expected_candidates);
            }
            assert!(report.complete);
        }
        None
    }

    #[test]
    fn half_of_them_are_missed_soon_and_a_tenth_later_and_none_never() {
        // At 20 hits a second: within 12 s, and within 10 min.
        let half = accused(1, |i| i % 2 == 0).unwrap();
        assert!(half < 250.0, "{half}");
        let tenth = accused(12, |i| i % 10 != 0).unwrap();
        assert!(tenth > half && tenth < 12_000.0, "{tenth}");
        assert_eq!(accused(12, |_| true), None);
    }
}
