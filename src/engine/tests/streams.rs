//! Jobs that replace each other, and sources that share the devices.

use std::collections::BTreeMap;

use super::*;
use crate::limits::JOB_INTERVAL;
use crate::work::SourceId;

/// An engine and devices that scan what they are given, at once and rightly.
struct Stream {
    engine: Engine,
    now: Instant,
    /// What each device was given and did not scan.
    stock: BTreeMap<DeviceId, Vec<Assignment>>,
    abandoned: Vec<JobId>,
    reports: Vec<JobReport>,
}

impl Stream {
    fn new(devices: u16) -> Self {
        let (engine, now) = (Engine::new(), Instant::now());
        let (stock, abandoned, reports) = (BTreeMap::new(), Vec::new(), Vec::new());
        let mut stream = Self { engine, now, stock, abandoned, reports };
        for device in 0..devices {
            stream.tell(Input::Joined(DeviceId(device), Width::ONE));
        }
        stream
    }

    fn tell(&mut self, input: Input) -> Vec<Share> {
        let mut outputs = Vec::new();
        self.engine.handle(input, self.now, &mut outputs);
        let mut shares = Vec::new();
        for output in outputs {
            match output {
                Output::Assign(device, assignment) => {
                    self.stock.entry(device).or_default().push(assignment);
                }
                Output::Abandon(job) => self.abandoned.push(job),
                Output::Recall(device) => panic!("{device} is not paused"),
                Output::Back(device) => panic!("{device} never left"),
                Output::Found(_, share) => shares.push(share),
                Output::Finished(report) => self.reports.push(report),
                Output::Fault(_, why) | Output::Dismiss(_, why) => panic!("{why}"),
            }
        }
        for current in &self.engine.jobs {
            assert_eq!(current.ledger.audit(), Ok(()));
        }
        shares
    }

    /// A device scans what it was given first, in as long as `rate` hashes a second take.
    fn scan(&mut self, device: DeviceId, rate: u64) -> Vec<Share> {
        let Some(assignment) = self.stock.get_mut(&device).filter(|s| !s.is_empty()) else {
            return Vec::new();
        };
        let Assignment { job, region, filter, .. } = assignment.remove(0);
        let elapsed = Duration::from_nanos(region.len() * 1_000_000_000 / rate);
        self.now += elapsed;
        let hits = if region.len() <= 1 << 16 {
            truth(&Job { nonces: region.nonces, ..(*job).clone() })
        } else {
            Vec::new()
        };
        let batch = Batch { job, region, filter };
        let scan = Scan { region, hits, coverage: Coverage::Full, elapsed, on_device: None };
        self.tell(Input::Scanned { device, batch, scan })
    }

    /// A device gives back what it was given of a job.
    fn give_back(&mut self, device: DeviceId, job: JobId) {
        let stock = self.stock.entry(device).or_default();
        let (back, kept): (Vec<_>, Vec<_>) =
            std::mem::take(stock).into_iter().partition(|a| a.job.id == job);
        *stock = kept;
        for Assignment { region, .. } in back {
            self.tell(Input::GaveBack { device, job, region });
        }
    }

    fn newest(&self, device: DeviceId) -> JobId {
        self.stock[&device].last().unwrap().job.id
    }
}

fn of(source: u16, serial: u64, length: u64) -> Arc<Job> {
    let id = JobId { source: SourceId(source), serial };
    Arc::new(Job { id, ..small(1, 0, length, easy(8)) })
}

/// Of all nonces, of which these tests know no hit.
fn lasting(source: u16, serial: u64) -> Arc<Job> {
    let id = JobId { source: SourceId(source), serial };
    Arc::new(Job { id, ..small(1, 0, 1 << 32, easy(60)) })
}

#[test]
fn a_new_job_begins_at_once_and_what_is_under_way_of_the_old_one_still_counts() {
    let mut stream = Stream::new(1);
    stream.tell(Input::Job(of(0, 1, 1 << 16)));
    stream.now += JOB_INTERVAL;
    stream.tell(Input::Job(of(0, 2, 1 << 16)));
    assert_eq!(stream.abandoned, [JobId::only(1)]);
    assert_eq!(stream.newest(A), JobId::only(2), "before anything of the old one came back");
    let shares = stream.scan(A, 1_000_000);
    assert!(!shares.is_empty() && shares.iter().all(|share| share.job == JobId::only(1)));
    let [report] = &stream.reports[..] else { panic!("{:?}", stream.reports) };
    assert_eq!((report.job, report.counters.shares), (JobId::only(1), shares.len() as u64));
    assert!(!report.complete);
    let shares = stream.scan(A, 1_000_000);
    assert!(!shares.is_empty() && shares.iter().all(|share| share.job == JobId::only(2)));
}

#[test]
fn a_flood_of_jobs_is_as_few_as_their_least_interval_allows_and_the_last_one_stays() {
    let mut stream = Stream::new(2);
    let flood = 10_000;
    for serial in 1..=flood {
        stream.tell(Input::Job(lasting(0, serial)));
        stream.now += Duration::from_micros(100);
        for device in [A, B] {
            for job in stream.abandoned.clone() {
                stream.give_back(device, job);
            }
        }
        stream.abandoned.clear();
        assert!(stream.engine.jobs.len() <= 2);
    }
    let most = flood / 10 / 20 + 1;
    assert!((most - 2..=most).contains(&(stream.reports.len() as u64)), "{}", stream.reports.len());
    let due = stream.engine.deadline().unwrap();
    assert!(due + Duration::from_micros(100) > stream.now && due <= stream.now + JOB_INTERVAL);
    stream.now = stream.now.max(due);
    stream.tell(Input::Tick);
    assert_eq!((stream.engine.deadline(), stream.newest(A)), (None, JobId::only(flood)));
}

#[test]
fn each_source_has_an_interval_of_its_own() {
    let mut stream = Stream::new(1);
    stream.tell(Input::Job(lasting(1, 1)));
    // Another source's first job begins beside it, and its next one waits.
    stream.tell(Input::Job(lasting(2, 1)));
    assert_eq!((stream.engine.jobs.len(), stream.engine.deadline()), (2, None));
    for source in [1, 2] {
        stream.tell(Input::Job(lasting(source, 2)));
    }
    assert_eq!(
        (stream.engine.deadline(), stream.abandoned.len()),
        (Some(stream.now + JOB_INTERVAL), 0)
    );
    // One without a job at work does not wait, whoever else works.
    stream.tell(Input::End(JobId { source: SourceId(2), serial: 1 }));
    stream.tell(Input::Job(lasting(2, 3)));
    assert_eq!(stream.engine.jobs.iter().filter(|current| !current.ending).count(), 2);
}

#[test]
fn an_ended_or_replaced_job_that_waited_never_begins() {
    let mut stream = Stream::new(1);
    stream.tell(Input::Job(lasting(0, 1)));
    stream.tell(Input::Job(lasting(0, 2)));
    stream.tell(Input::End(JobId::only(2)));
    assert_eq!(stream.engine.deadline(), None);
    stream.tell(Input::Job(lasting(0, 3)));
    stream.tell(Input::Weigh(SourceId(0), 0));
    assert_eq!((stream.engine.deadline(), &stream.abandoned[..]), (None, &[JobId::only(1)][..]));
    stream.tell(Input::Job(lasting(0, 4)));
    stream.now += JOB_INTERVAL;
    stream.tell(Input::Tick);
    assert_eq!(stream.newest(A), JobId::only(1), "a source without a part gets no device");
}

#[test]
fn a_source_that_was_away_for_a_moment_goes_on_where_it_was() {
    let mut stream = Stream::new(1);
    stream.tell(Input::Job(of(0, 1, 1 << 16)));
    stream.scan(A, 1_000_000);
    let tested = stream.engine.progress(JobId::only(1)).unwrap().0.scanned;
    stream.tell(Input::Weigh(SourceId(0), 0));
    stream.now += JOB_INTERVAL;
    stream.tell(Input::Weigh(SourceId(0), 1));
    stream.tell(Input::Job(of(0, 1, 1 << 16)));
    stream.give_back(A, JobId::only(1));
    while stream.reports.is_empty() {
        stream.scan(A, 1_000_000);
    }
    let report = &stream.reports[0];
    assert!(report.complete && tested > 0 && report.tally.scanned == 1 << 16);
    assert_eq!(report.counters.shares, truth(&of(0, 1, 1 << 16)).len() as u64);
}

#[test]
#[expect(clippy::cast_precision_loss, reason = "shares of a sum")]
fn sources_get_their_parts_whatever_their_jobs_do() {
    let mut stream = Stream::new(2);
    for (source, weight) in [(0, 80), (1, 20)] {
        stream.tell(Input::Weigh(SourceId(source), weight));
    }
    let mut serial = 0;
    for round in 0..600_u64 {
        // One source has a new job all the time, the other has one that lasts.
        if round % 5 == 0 {
            serial += 1;
            stream.tell(Input::Job(lasting(1, serial)));
            if round == 0 {
                stream.tell(Input::Job(lasting(0, 1)));
            }
        }
        for device in [A, B] {
            for job in stream.abandoned.clone() {
                stream.give_back(device, job);
            }
            stream.scan(device, [1_000_000, 3_000_000][usize::from(device.0)]);
        }
        stream.abandoned.clear();
    }
    let accounts = stream.engine.accounts();
    let scanned = |source| accounts[&SourceId(source)].tally.scanned as f64;
    let part = scanned(0) / (scanned(0) + scanned(1));
    assert!((0.78..0.82).contains(&part), "{part}");
    // Who has no job leaves all to the other, and does not catch up later.
    stream.tell(Input::End(JobId { source: SourceId(1), serial }));
    let before = scanned(0);
    for _ in 0..200 {
        stream.scan(A, 1_000_000);
    }
    stream.tell(Input::Job(lasting(1, serial + 1)));
    let accounts = |stream: &Stream| {
        let accounts = stream.engine.accounts();
        [0, 1].map(|source| accounts[&SourceId(source)].tally.scanned as f64)
    };
    let middle = accounts(&stream);
    assert!(middle[0] > before);
    for _ in 0..600 {
        stream.scan(A, 1_000_000);
        stream.scan(B, 3_000_000);
    }
    let after = accounts(&stream);
    let (first, second) = (after[0] - middle[0], after[1] - middle[1]);
    let part = first / (first + second);
    assert!((0.75..0.85).contains(&part), "{part}");
}
