use super::*;
use crate::chain::KNOWN_BLOCKS;
use crate::device::Device as _;
use crate::device::sim::Sim;
use crate::engine::Quantiles;
use crate::engine::governor::{Asker, Event as Governed, Governor};
use crate::engine::supervisor::Standing;
use crate::runtime::snapshot::BatchSeconds;
use crate::source::{Down, Remedy};
use crate::work::{Duty, Job, JobId, Nonces, Profile, Rolls};

const POOL: SourceId = SourceId(0);
const SPARE: SourceId = SourceId(1);
const CARD: DeviceId = DeviceId(0);

/// A run of one device for two sources, on virtual time.
struct World {
    recorder: Recorder,
    books: Books,
    now: Moment,
}

impl World {
    fn new() -> Self {
        let now = Moment { at: Instant::now(), unix_seconds: 1e9 };
        let titles =
            ["pool", "spare"].map(|name| Title { name: name.to_owned(), is_insecure: false });
        let device = Sim::new();
        let desk = |place, weight| Desk {
            counts: Counts::default(),
            is_wanted: weight > 0,
            place: Some(place),
            weight,
        };
        Self {
            recorder: Recorder::new([device.info()].into_iter(), &titles, now),
            books: Books {
                accounts: BTreeMap::new(),
                devices: BTreeMap::from([(CARD, DeviceAccount::default())]),
                readings: vec![Reading { temperature_c: Some(61.0), ..Reading::default() }],
                desks: vec![desk(0, 1), desk(1, 0)],
                total: Counts::default(),
                governed: governor::Status::default(),
                is_over: false,
            },
            now,
        }
    }

    fn pass(&mut self, seconds: f64) {
        self.now.at += Duration::from_secs_f64(seconds);
        self.now.unix_seconds += seconds;
    }

    fn hear(&mut self, news: &News<'_>) {
        self.recorder.hear(news, self.now);
    }

    fn says(&mut self, source: SourceId, event: Event) {
        self.hear(&News::Said(source, &Said::Event(event)));
    }

    /// A share is found, and has its verdict after a while.
    fn share(&mut self, ticket: u64, seconds: f64, verdict: Verdict, why: Option<&str>) {
        let header = KNOWN_BLOCKS[0].header().unwrap();
        let job = JobId { source: POOL, serial: 1 };
        let share = Share { job, number: 0, header, hash: header.block_hash() };
        let found = self.now.at;
        let pending = Pending { source: POOL, difficulty: 2.0, is_block: false, found };
        self.hear(&News::Found(CARD, &share, Ticket(ticket), pending));
        self.pass(seconds);
        self.hear(&News::Closed(Ticket(ticket), pending, verdict, why));
    }

    fn snapshot(&mut self) -> Snapshot {
        self.recorder.snapshot(&self.books, self.now)
    }
}

fn work() -> Event {
    let header = KNOWN_BLOCKS[0].header().unwrap();
    let job = Job {
        id: JobId { source: POOL, serial: 1 },
        rolls: Rolls::one(header),
        target: chain::target_of_difficulty(2.0).unwrap(),
        nonces: Nonces::ALL,
    };
    Event::Work(Box::new(Work {
        job: Arc::new(job),
        name: "7f".to_owned(),
        height: Some(900_000),
        clean: true,
        block_target: header.target(),
        coinbase: None,
    }))
}

#[test]
fn a_source_is_followed_through_its_states() {
    let mut world = World::new();
    let states =
        |world: &mut World| world.snapshot().sources.iter().map(|s| s.state).collect::<Vec<_>>();
    assert_eq!(states(&mut world), [Link::Connecting, Link::Standby]);
    world.says(POOL, Event::Ready);
    world.says(POOL, work());
    let snapshot = world.snapshot();
    let pool = &snapshot.sources[0];
    assert_eq!((pool.state, pool.height), (Link::Mining, Some(900_000)));
    assert_eq!((pool.job.as_deref(), pool.why.as_deref()), (Some("7f"), None));
    assert!((pool.difficulty.unwrap() - 2.0).abs() < 1e-9);
    assert_eq!(snapshot.run.state, State::Mining);

    let down = Down { why: "it closed the connection".to_owned(), remedy: Remedy::Retry };
    world.hear(&News::Said(POOL, &Said::Down(down, Duration::from_secs(1))));
    world.books.desks[0].weight = 0;
    let snapshot = world.snapshot();
    let pool = &snapshot.sources[0];
    assert_eq!((pool.state, pool.why.as_deref()), (Link::Down, Some("it closed the connection")));
    assert_eq!(
        (pool.job.as_deref(), pool.difficulty),
        (None, None),
        "what it had is no job any more"
    );
    assert_eq!(snapshot.run.state, State::Waiting);
    let last = snapshot.log.back().unwrap();
    assert_eq!((last.source, last.level), (Some(POOL), Level::Warning));
    world.books.is_over = true;
    assert_eq!(world.snapshot().run.state, State::Ended);
}

#[test]
fn a_share_is_shown_with_its_verdict_and_how_long_that_took() {
    let mut world = World::new();
    world.share(1, 0.25, Verdict::Accepted, None);
    world.share(2, 0.75, Verdict::Stale, Some("job is over"));
    world.pass(1.0);
    let snapshot = world.snapshot();
    let shares: Vec<_> =
        snapshot.last_shares.iter().map(|s| (s.verdict, s.verdict_seconds)).collect();
    assert_eq!(shares, [(Some(Verdict::Accepted), Some(0.25)), (Some(Verdict::Stale), Some(0.75))]);
    let pool = &snapshot.sources[0];
    let latency = pool.verdict_seconds;
    assert_eq!((latency.last, latency.longest), (Some(0.75), Some(0.75)));
    assert_eq!(pool.accepted_unix_seconds, Some(1e9 + 0.25));
    // The genesis block's hash has ten zero bytes where its target asks for four.
    let best = snapshot.best_share_difficulty.unwrap();
    assert!((2000.0..3000.0).contains(&best), "{best}");
    assert_eq!(snapshot.sources[usize::from(SPARE.0)].best_share_difficulty, None);
    assert_eq!(snapshot.log.back().unwrap().text, "share stale: job is over");
}

#[test]
fn floods_end_at_their_bounds() {
    let mut world = World::new();
    for ticket in 0..10 * SHARES_SHOWN as u64 {
        world.share(ticket, 0.01, Verdict::Rejected, Some(&"no".repeat(1000)));
    }
    let snapshot = world.snapshot();
    assert_eq!(snapshot.last_shares.len(), SHARES_SHOWN);
    assert_eq!(snapshot.log.len(), 1, "five seconds of refusals are one line");
    assert!(snapshot.log[0].text.chars().count() <= FOREIGN_TEXT);
    for _ in 0..10 * LOG_SHOWN {
        world.says(POOL, Event::Message("hello".to_owned()));
    }
    let snapshot = world.snapshot();
    assert_eq!(snapshot.log.len(), LOG_SHOWN);
    assert_eq!(snapshot.log.back().unwrap().number, 10 * LOG_SHOWN as u64);
    assert!(world.recorder.sources[0].latencies.len() <= VERDICTS_TIMED);
}

#[test]
fn a_device_recovers_from_a_mistake_and_not_from_its_dismissal() {
    let mut world = World::new();
    let health = |world: &mut World| world.snapshot().devices[0].health;
    assert_eq!(health(&mut world), Health::Well);
    world.hear(&News::Fault(CARD, "a wrong hit"));
    assert_eq!(health(&mut world), Health::Sick);
    world.pass(CONVALESCENCE.as_secs_f64());
    assert_eq!(health(&mut world), Health::Well);
    world.hear(&News::Dismissed(CARD, "lost"));
    world.pass(CONVALESCENCE.as_secs_f64());
    assert_eq!(health(&mut world), Health::Gone);
    let device = world.snapshot().devices.remove(0);
    assert_eq!(device.why.as_deref(), Some("lost"));
    assert_eq!(device.sensors.temperature_celsius, Some(61.0));
    assert_eq!(device.sensors.power_watts, None, "unknown, not zero");
}

#[test]
fn rates_come_from_the_books() {
    let mut world = World::new();
    for second in 1..=60 {
        world.pass(1.0);
        let account = DeviceAccount {
            scanned: second << 32,
            candidates: second,
            expected_candidates: 1.0 * f64::from(u32::try_from(second).unwrap()),
            busy: Duration::from_secs(second) / 4,
            batch_times: Some(Quantiles {
                median: Duration::from_millis(12),
                p99: Duration::from_millis(15),
            }),
            ..DeviceAccount::default()
        };
        world.books.devices.insert(CARD, account);
        let mut sum = Account::default();
        sum.tally.scanned = account.scanned;
        sum.counters.candidates = account.candidates;
        world.books.accounts.insert(POOL, sum);
        world.snapshot();
    }
    let snapshot = world.snapshot();
    let giga = 2_f64.powi(32);
    for rates in [
        snapshot.run.hashes_per_second,
        snapshot.devices[0].hashes_per_second,
        snapshot.sources[0].hashes_per_second,
    ] {
        for rate in [rates.now, rates.one_minute, rates.fifteen_minutes, rates.all] {
            assert!((rate.unwrap() / giga - 1.0).abs() < 1e-9, "{rates:?}");
        }
    }
    assert_eq!(snapshot.devices[0].busy_ratio, Some(0.25));
    let times = BatchSeconds { median: 0.012, p99: 0.015 };
    assert_eq!(snapshot.devices[0].batch_seconds, Some(times));
    let found = snapshot.run.found_work;
    assert_eq!(found.candidates, 60);
    assert!((found.hashes_per_second.unwrap() / giga - 1.0).abs() < 1e-9);
    assert!(found.low_hashes_per_second < found.hashes_per_second && !found.disagrees);
}

#[test]
fn who_is_paused_and_why_is_shown() {
    let mut world = World::new();
    let mut governor = Governor::default();
    governor.join(CARD, Profile::Desktop, Duty::of(0.25));
    governor.handle(Governed::Pause(Asker::Signal), world.now.at);
    world.books.governed = governor.status();
    world.hear(&News::Governed(&governor.status()));
    let Snapshot { run, devices, log, .. } = world.snapshot();
    assert_eq!((run.state, run.paused), (State::Paused, [governor::Reason::Signal].into()));
    let pace = devices[0].pace.clone().unwrap();
    assert_eq!((pace.profile, pace.gpu_share), (Profile::Desktop, Duty::of(0.25)));
    assert!(log.back().unwrap().text.starts_with("paused: "), "{log:?}");
    governor.handle(Governed::Resume(Asker::Signal), world.now.at);
    world.books.governed = governor.status();
    assert_eq!(world.snapshot().run.state, State::Mining);
}

#[test]
fn a_device_that_is_opened_again_is_away_and_then_sick_for_a_while() {
    let mut world = World::new();
    let until = world.now.at + Duration::from_secs(5);
    world.hear(&News::Lost(CARD, "the device is lost", Standing::Waiting(until)));
    let snapshot = world.snapshot();
    assert_eq!(snapshot.devices[0].health, Health::Away);
    let why = "the device is lost; it is opened again in 5s";
    assert_eq!(snapshot.devices[0].why.as_deref(), Some(why));
    assert_eq!(snapshot.log.back().map(|line| line.text.as_str()), Some(why));
    world.hear(&News::Back(CARD));
    assert_eq!(world.snapshot().devices[0].health, Health::Sick);
    world.hear(&News::Lost(CARD, "again", Standing::Waiting(until)));
    world.hear(&News::Dismissed(CARD, "it cannot be opened"));
    assert_eq!(world.snapshot().devices[0].health, Health::Gone);
}
