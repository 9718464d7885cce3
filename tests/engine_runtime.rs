//! The crew with real threads: simulated devices, the CPU, and devices that get stuck.
//!
//! The only clocks here are guards against a test that hangs.

#![expect(clippy::unwrap_used, reason = "a test may panic, and so may what it calls")]

use std::num::{NonZeroU64, NonZeroUsize};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use adit::chain::{KNOWN_BLOCKS, block_hash, parse_target, with_nonce};
use adit::device::cpu::Cpu;
use adit::device::sim::{Fault, Fired, Script, Sim};
use adit::device::{Device, DeviceError, DeviceInfo};
use adit::engine::governor::Asker;
use adit::engine::supervisor::Standing;
use adit::engine::{DeviceId, JobReport, Reason};
use adit::limits::{BATCH_DEADLINE, HUNG_THREADS, REOPEN_AFTER, STOP_DEADLINE};
use adit::runtime::{Control, Crew, Flow, Notice, Reopen, Stop};
use adit::work::{Batch, Duty, Hit, Job, JobId, Nonces, Profile, Rolls, Scan};

const BATCH_TIME: Duration = Duration::from_millis(20);

/// No test takes longer, unless it hangs.
const GUARD: Duration = Duration::from_secs(60);

/// Fails a test that hangs.
fn guarded(test: impl FnOnce() + Send + 'static) {
    let (sender, receiver) = channel();
    let body = thread::spawn(move || {
        test();
        // Nobody listens any more if the guard was faster.
        let _ = sender.send(());
    });
    match receiver.recv_timeout(GUARD) {
        Err(RecvTimeoutError::Timeout) => panic!("nothing happened for {GUARD:?}"),
        Ok(()) | Err(RecvTimeoutError::Disconnected) => {
            body.join().unwrap_or_else(|panic| resume_unwind(panic));
        }
    }
}

/// 65536 nonces, and those that meet the target: about 256.
fn easy_job(id: u64) -> (Job, Vec<u32>) {
    let header = KNOWN_BLOCKS[1].header().unwrap();
    let target = parse_target(&format!("00{}", "ff".repeat(31))).unwrap();
    let nonces = Nonces::new(id << 20, (id << 20) + (1 << 16)).unwrap();
    let meets = |nonce: &u32| target.is_met_by(block_hash(&with_nonce(&header, *nonce)));
    let hits = nonces.iter().filter(meets).collect();
    (Job { id: JobId::only(id), rolls: Rolls::one(header), target, nonces }, hits)
}

/// All nonces of a real header: minutes of work for a CPU, nothing for a simulated device.
fn long_job(id: u64) -> Job {
    let header = KNOWN_BLOCKS[1].header().unwrap();
    let target = header.target();
    Job { id: JobId::only(id), rolls: Rolls::one(header), target, nonces: Nonces::ALL }
}

fn sim(hits: &[u32]) -> Sim {
    Sim::planted(hits.iter().map(|&nonce| Hit { header: 0, nonce }).collect())
        .rate(NonZeroU64::new(10_000_000).unwrap())
}

fn cpu() -> Box<dyn Device> {
    Box::new(Cpu::open(NonZeroUsize::new(1)).unwrap())
}

fn crew(devices: Vec<Box<dyn Device>>) -> Crew {
    Crew::new(devices, BATCH_TIME, Stop::default())
}

/// What was heard of a job besides its report.
#[derive(Default)]
struct Heard {
    found: Vec<u32>,
    faults: Vec<DeviceId>,
    dismissed: Vec<(DeviceId, String)>,
}

fn work(crew: &mut Crew, job: Job) -> (JobReport, Heard) {
    work_until(crew, job, |_| Flow::Continue)
}

fn work_until(
    crew: &mut Crew,
    job: Job,
    mut until: impl FnMut(&Notice<'_>) -> Flow,
) -> (JobReport, Heard) {
    let mut heard = Heard::default();
    let report = crew.work(job, |notice| {
        match &notice {
            Notice::Found(_, share) => heard.found.push(share.header.nonce),
            Notice::Fault(device, _) => heard.faults.push(*device),
            Notice::Dismissed(device, why) => heard.dismissed.push((*device, (*why).to_owned())),
            Notice::Governed(_) => {}
            Notice::Progress(tally, _) => assert!(tally.scanned <= tally.assigned),
        }
        until(&notice)
    });
    heard.found.sort_unstable();
    assert_eq!(report.counters.shares, heard.found.len() as u64);
    assert_eq!(report.tally.held, 0);
    assert_eq!(report.complete, report.tally.scanned == report.space.len());
    (report, heard)
}

fn given_back(report: &JobReport) -> u64 {
    report.tally.given_back.values().sum()
}

/// A device that never returns from a call, whatever its limit says, until its other end is dropped.
struct Stuck {
    sim: Sim,
    batches: u32,
    release: Mutex<Receiver<()>>,
}

impl Stuck {
    /// After that many batches.
    fn after(batches: u32, hits: &[u32]) -> (Sender<()>, Box<dyn Device>) {
        let (keep, release) = channel();
        (keep, Box::new(Self { sim: sim(hits), batches, release: Mutex::new(release) }))
    }
}

impl Device for Stuck {
    fn info(&self) -> &DeviceInfo {
        self.sim.info()
    }

    fn begin(&mut self, batch: Batch) -> Result<(), DeviceError> {
        self.sim.begin(batch)
    }

    fn finish(&mut self, limit: Duration) -> Result<Scan, DeviceError> {
        if self.batches == 0 {
            let _ = self.release.lock().unwrap().recv();
        }
        self.batches = self.batches.saturating_sub(1);
        self.sim.finish(limit)
    }
}

/// A device that shows whether it was closed.
struct Watched(Box<dyn Device>, #[expect(dead_code, reason = "it is counted")] Arc<()>);

impl Device for Watched {
    fn info(&self) -> &DeviceInfo {
        self.0.info()
    }

    fn begin(&mut self, batch: Batch) -> Result<(), DeviceError> {
        self.0.begin(batch)
    }

    fn finish(&mut self, limit: Duration) -> Result<Scan, DeviceError> {
        self.0.finish(limit)
    }
}

#[test]
fn two_simulated_devices_and_a_cpu_share_a_job() {
    guarded(|| {
        let (job, hits) = easy_job(1);
        let mut crew = crew(vec![Box::new(sim(&hits)), cpu(), Box::new(sim(&hits))]);
        let (report, heard) = work(&mut crew, job);
        assert!(report.complete && report.tally.given_back.is_empty());
        assert_eq!((report.tally.assigned, report.tally.scanned), (1 << 16, 1 << 16));
        assert_eq!(heard.found, hits);
        let tested: Vec<u64> = report.devices.iter().map(|device| device.tested).collect();
        assert!(tested.len() == 3 && tested.iter().all(|tested| *tested > 0), "{tested:?}");
        assert_eq!(tested.iter().sum::<u64>(), 1 << 16);
        assert!(heard.faults.is_empty() && heard.dismissed.is_empty());
    });
}

#[test]
fn a_share_can_end_the_job() {
    guarded(|| {
        let target = parse_target(&format!("0000{}", "ff".repeat(30))).unwrap();
        let easy = Job { target, ..long_job(1) };
        let mut crew = crew(vec![cpu(), cpu()]);
        for id in 1..4 {
            let job = Job { id: JobId::only(id), ..easy.clone() };
            let (report, heard) = work_until(&mut crew, job, |notice| match notice {
                Notice::Found(..) => Flow::End,
                _ => Flow::Continue,
            });
            assert!(!report.complete && !heard.found.is_empty());
            assert_eq!(report.tally.assigned - report.tally.scanned, given_back(&report));
            assert!(report.tally.given_back.keys().all(|reason| *reason == Reason::Ended));
            let tested: u64 = report.devices.iter().map(|device| device.tested).sum();
            assert_eq!(tested, report.tally.scanned, "what was under way still counts");
            assert!(crew.can_work() && heard.dismissed.is_empty());
        }
    });
}

#[test]
fn a_stop_from_another_thread_ends_the_job_at_once() {
    guarded(|| {
        let stop = Stop::default();
        let mut crew = Crew::new(vec![cpu(), cpu()], BATCH_TIME, stop.clone());
        let (working, begun) = channel();
        let stopper = thread::spawn(move || {
            begun.recv().unwrap();
            stop.request();
            Instant::now()
        });
        let (report, heard) = work_until(&mut crew, long_job(1), |notice| {
            if let Notice::Progress(tally, _) = notice
                && tally.scanned > 0
            {
                // The second time nobody listens any more.
                let _ = working.send(());
            }
            Flow::Continue
        });
        let delay = stopper.join().unwrap().elapsed();
        assert!(delay < BATCH_DEADLINE, "it took {delay:?}");
        assert!(!report.complete && report.tally.scanned > 0);
        assert_eq!(report.tally.assigned - report.tally.scanned, given_back(&report));
        assert!(heard.dismissed.is_empty(), "nobody had to be left alone: {:?}", heard.dismissed);
        // A job that comes after the stop ends too.
        let (report, _) = work(&mut crew, long_job(2));
        assert!(!report.complete);
    });
}

#[test]
fn devices_that_break_do_not_stop_the_others() {
    guarded(|| {
        let ((job, hits), (next, next_hits)) = (easy_job(1), easy_job(2));
        let all = [&hits[..], &next_hits[..]].concat();
        let faults = [Fault::Hang, Fault::Panic, Fault::Lost, Fault::Refuse, Fault::Partial];
        let broken = faults.map(|fault| sim(&all).script(Script::new().since(2, fault)));
        let fired: Vec<Fired> = broken.iter().map(Sim::fired).collect();
        let mut devices: Vec<Box<dyn Device>> = vec![Box::new(sim(&all)), cpu()];
        devices.extend(broken.map(|sim| Box::new(sim) as Box<dyn Device>));
        let mut crew = crew(devices);
        let (report, heard) = work(&mut crew, job);
        assert!(report.complete);
        assert_eq!(heard.found, hits);
        assert!(fired.iter().all(|fired| fired.count() > 0), "a fault did not happen");
        let mut dismissed: Vec<u16> = heard.dismissed.iter().map(|(device, _)| device.0).collect();
        dismissed.sort_unstable();
        assert_eq!(dismissed, [2, 3, 4, 5, 6]);
        assert_eq!(heard.faults, [DeviceId(6); 3]);
        assert!(report.tally.given_back[&Reason::Lost] > 0);
        assert!(report.tally.given_back[&Reason::Partial] > 0);
        assert_eq!(report.devices.len(), 7);
        // Those that are left do the next job.
        let (report, heard) = work(&mut crew, next);
        assert!(report.complete && report.devices.len() == 2);
        assert_eq!(heard.found, next_hits);
    });
}

#[test]
fn a_stuck_driver_is_left_alone_and_its_nonces_go_to_the_others() {
    guarded(|| {
        let (job, hits) = easy_job(1);
        let (keep, stuck) = Stuck::after(3, &hits);
        let mut crew = crew(vec![stuck, cpu()]);
        let begun = Instant::now();
        let (report, heard) = work(&mut crew, job);
        assert!(begun.elapsed() > BATCH_DEADLINE, "it was given its time");
        assert!(report.complete);
        assert_eq!(heard.found, hits);
        let [(DeviceId(0), why)] = &heard.dismissed[..] else { panic!("{:?}", heard.dismissed) };
        assert!(why.contains("its driver said nothing for 1"), "{why}");
        assert_eq!(report.tally.scanned, 1 << 16);
        assert!(report.tally.given_back[&Reason::Lost] > 0);
        // It wakes up in the middle of the next job, and has no say in it.
        let (job, hits) = easy_job(2);
        let mut keep = Some(keep);
        let (report, heard) = work_until(&mut crew, job, |_| {
            keep = None;
            Flow::Continue
        });
        assert!(report.complete && heard.found == hits);
        assert_eq!((report.devices.len(), report.devices[0].device), (1, DeviceId(1)));
    });
}

#[test]
fn a_stuck_driver_does_not_prevent_a_stop() {
    guarded(|| {
        // Two batches are under way behind the first, so it is stuck whenever the stop comes.
        let (keep, stuck) = Stuck::after(1, &[]);
        let stop = Stop::default();
        let mut crew = Crew::new(vec![stuck], BATCH_TIME, stop.clone());
        let begun = Instant::now();
        let (report, heard) = work_until(&mut crew, long_job(1), |notice| {
            if let Notice::Progress(tally, _) = notice
                && tally.scanned > 0
            {
                stop.request();
            }
            Flow::Continue
        });
        assert!(!report.complete && report.tally.scanned > 0);
        let [(DeviceId(0), why)] = &heard.dismissed[..] else { panic!("{:?}", heard.dismissed) };
        assert_eq!(why, "it did not stop within 2.0 s");
        assert!(report.tally.given_back[&Reason::Lost] > 0 && !crew.can_work());
        drop(crew);
        assert!(begun.elapsed() < BATCH_DEADLINE, "nobody waited for the stuck thread");
        drop(keep);
    });
}

#[test]
fn without_devices_work_returns() {
    guarded(|| {
        let (job, hits) = easy_job(1);
        let lost = [Fault::Lost, Fault::Panic].map(|fault| {
            Box::new(sim(&hits).script(Script::new().on(5, fault))) as Box<dyn Device>
        });
        let mut crew = crew(lost.into());
        assert!(crew.can_work());
        let (report, heard) = work(&mut crew, job);
        assert!(!report.complete && report.tally.scanned > 0);
        assert_eq!((heard.dismissed.len(), crew.can_work()), (2, false));
        assert!(crew.device(DeviceId(1)).is_some(), "its name is still known");
        for id in 2..4 {
            let (report, _) = work(&mut crew, easy_job(id).0);
            assert_eq!((report.complete, report.tally.assigned), (false, 0));
        }
        let (report, _) = work(&mut Crew::new(vec![], BATCH_TIME, Stop::default()), easy_job(5).0);
        assert_eq!((report.complete, report.devices.len()), (false, 0));
    });
}

#[test]
fn jobs_in_turn_have_accounts_of_their_own() {
    guarded(|| {
        let jobs: Vec<(Job, Vec<u32>)> = (1..30).map(easy_job).collect();
        let all: Vec<u32> = jobs.iter().flat_map(|(_, hits)| hits.clone()).collect();
        let mut crew = crew(vec![Box::new(sim(&all)), Box::new(sim(&all)), cpu()]);
        for (job, hits) in jobs {
            let id = job.id;
            let (report, heard) = work(&mut crew, job);
            assert!(report.complete && report.job == id);
            assert_eq!((report.tally.scanned, heard.found), (1 << 16, hits));
            assert_eq!(report.devices.iter().map(|device| device.tested).sum::<u64>(), 1 << 16);
        }
    });
}

#[test]
fn a_dropped_crew_closes_its_devices() {
    guarded(|| {
        let open = Arc::new(());
        let watched = |device| Box::new(Watched(device, Arc::clone(&open))) as Box<dyn Device>;
        // Nobody ever worked; somebody did; somebody is in the middle of it.
        drop(crew(vec![watched(cpu()), watched(Box::new(sim(&[])))]));
        assert_eq!(Arc::strong_count(&open), 1);
        let (job, hits) = easy_job(1);
        let mut idle = crew(vec![watched(cpu()), watched(Box::new(sim(&hits)))]);
        assert!(work(&mut idle, job).0.complete);
        drop(idle);
        assert_eq!(Arc::strong_count(&open), 1);
        let mut busy = crew(vec![watched(cpu()), watched(cpu())]);
        let broken = catch_unwind(AssertUnwindSafe(|| {
            busy.work(long_job(1), |notice| match notice {
                Notice::Progress(tally, _) if tally.scanned > 0 => panic!("the observer breaks"),
                _ => Flow::Continue,
            })
        }));
        assert!(broken.is_err());
        let begun = Instant::now();
        drop(busy);
        assert!(begun.elapsed() < STOP_DEADLINE, "{:?}", begun.elapsed());
        assert_eq!(Arc::strong_count(&open), 1);
    });
}

#[test]
fn a_paused_crew_begins_nothing_and_goes_on_when_it_may() {
    guarded(|| {
        let control = Control::default();
        control.join(DeviceId(0), Profile::Desktop, Duty::FULL);
        // Faster than a real device, so that it would betray itself.
        let mut crew = crew(vec![Box::new(sim(&[]).rate(NonZeroU64::new(1_000_000).unwrap()))]);
        crew.obey(control.clone());
        let (mut steps, mut told) = (Vec::new(), Vec::new());
        crew.work(long_job(1), |notice| {
            match notice {
                Notice::Governed(status) => told.push(status.paused.len()),
                // Nobody has any: the pause is complete.
                Notice::Progress(tally, _) if tally.held == 0 && told == [1] => {
                    steps.push(tally.scanned);
                    if steps.len() == 5 {
                        control.resume(Asker::Key);
                    }
                }
                Notice::Progress(tally, _) if tally.scanned > 0 && told.is_empty() => {
                    control.pause(Asker::Signal);
                }
                Notice::Progress(tally, _) if told == [1, 0] && tally.scanned > steps[0] => {
                    return Flow::End;
                }
                _ => {}
            }
            Flow::Continue
        });
        assert_eq!(told, [1, 0]);
        assert!(steps.len() >= 5 && steps.iter().all(|scanned| *scanned == steps[0]), "{steps:?}");
    });
}

/// Opens the next of some devices each time.
fn one_after_the_other(devices: Vec<Result<Box<dyn Device>, String>>) -> (Reopen, Arc<Mutex<u32>>) {
    let devices = Mutex::new(devices.into_iter());
    let opened = Arc::new(Mutex::new(0));
    let count = Arc::clone(&opened);
    let reopen = move || {
        *count.lock().unwrap() += 1;
        devices.lock().unwrap().next().unwrap_or_else(|| Err("there are no more".to_owned()))
    };
    (Arc::new(reopen), opened)
}

#[test]
fn a_lost_device_is_opened_again_and_does_the_rest() {
    guarded(|| {
        let (job, hits) = easy_job(1);
        let broken = sim(&hits).script(Script::new().since(3, Fault::Lost));
        let fired = broken.fired();
        // The first try fails too.
        let next = vec![Err("the driver is still away".to_owned()), Ok(cpu())];
        let (reopen, opened) = one_after_the_other(next);
        let mut crew = crew(vec![Box::new(broken)]);
        crew.supervise(DeviceId(0), reopen);
        let begun = Instant::now();
        let (report, heard) = work(&mut crew, job);
        assert!(fired.count() > 0);
        assert!(report.complete && heard.found == hits, "nothing is lost");
        let whys: Vec<&str> = heard.dismissed.iter().map(|(_, why)| why.as_str()).collect();
        let [lost, refused] = whys[..] else { panic!("{whys:?}") };
        assert!(lost.contains("lost") && refused.contains("still away"), "{whys:?}");
        assert_eq!(*opened.lock().unwrap(), 2);
        assert!(begun.elapsed() >= REOPEN_AFTER[0] + REOPEN_AFTER[1], "it waited");
        assert_eq!(crew.standing(DeviceId(0)), Some(Standing::Working));
        assert!(report.tally.given_back[&Reason::Lost] > 0);
        assert_eq!(crew.device(DeviceId(0)).unwrap().name, cpu().info().name);
    });
}

#[test]
fn others_work_on_while_a_device_is_away_and_an_old_thread_has_no_say() {
    guarded(|| {
        let (job, hits) = easy_job(1);
        let (keep, stuck) = Stuck::after(1, &hits);
        // It does real work: the job that follows has hits that no plan knows.
        let (reopen, opened) = one_after_the_other(vec![Ok(cpu())]);
        let mut crew = crew(vec![stuck, cpu()]);
        crew.supervise(DeviceId(0), reopen);
        let (report, heard) = work(&mut crew, job);
        assert!(report.complete && heard.found == hits);
        assert_eq!(*opened.lock().unwrap(), 0, "the other was faster");
        // The job that follows has it again, although its first thread still hangs, and then wakes up.
        let (next, _) = easy_job(2);
        let mut keep = Some(keep);
        let (report, heard) =
            work_until(&mut crew, Job { nonces: Nonces::ALL, ..next }, |notice| {
                let is_back = *opened.lock().unwrap() > 0;
                match notice {
                    Notice::Progress(..) if is_back && keep.take().is_none() => Flow::End,
                    _ => Flow::Continue,
                }
            });
        assert!(heard.dismissed.is_empty() && heard.faults.is_empty(), "{:?}", heard.dismissed);
        assert!(report.tally.scanned > 0 && !crew.is_wedged());
    });
}

#[test]
fn after_too_many_hangs_no_device_is_opened_any_more() {
    guarded(|| {
        let stuck: Vec<_> = (0..=HUNG_THREADS).map(|_| Stuck::after(1, &[])).collect();
        let (keeps, devices): (Vec<_>, Vec<_>) = stuck.into_iter().unzip();
        let count = devices.len();
        let mut crew = crew(devices);
        let (reopen, opened) = one_after_the_other(Vec::new());
        // Only the last one could be opened again.
        crew.supervise(DeviceId(u16::try_from(count - 1).unwrap()), reopen);
        let (report, heard) = work(&mut crew, long_job(1));
        assert!(!report.complete && !crew.can_work() && crew.is_wedged());
        assert_eq!((heard.dismissed.len(), *opened.lock().unwrap()), (count, 0));
        drop(keeps);
    });
}
