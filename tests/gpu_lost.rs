//! An adapter that is lost, at every point where it can be.

#![expect(clippy::unwrap_used, reason = "a test may panic, and so may what it calls")]

mod common;

use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use adit::chain::KNOWN_BLOCKS;
use adit::device::gpu::{Adapter, Gpu, adapters};
use adit::device::inventory::inventory;
use adit::device::selftest::admit;
use adit::device::{Device, DeviceError, DeviceInfo, Kind};
use adit::engine::{DeviceId, Reason};
use adit::kernel::Variant;
use adit::runtime::{Crew, Flow, Notice, Stop};
use adit::work::{Batch, Coverage, Filter, Hit, Job, JobId, Nonces, Region, Rolls, Scan};
use bitcoin::Target;
use common::{LIMIT, failed, gpu, open};

#[test]
fn lost_before_the_first_batch() {
    lose("lost_before_the_first_batch", |gpu| {
        gpu.destroy();
        assert_broken(gpu.begin(batch()).and_then(|()| gpu.finish(LIMIT)));
    });
}

#[test]
fn lost_between_begin_and_finish() {
    lose("lost_between_begin_and_finish", |gpu| {
        gpu.begin(batch()).unwrap();
        gpu.destroy();
        assert_broken(gpu.finish(LIMIT));
    });
}

#[test]
fn lost_after_a_batch() {
    lose("lost_after_a_batch", |gpu| {
        gpu.begin(batch()).unwrap();
        assert_eq!(gpu.finish(LIMIT).map(|scan| scan.coverage), Ok(Coverage::Full));
        gpu.destroy();
        assert_broken(gpu.begin(batch()).and_then(|()| gpu.finish(LIMIT)));
    });
}

#[test]
fn lost_with_three_batches_under_way() {
    lose("lost_with_three_batches_under_way", |gpu| {
        let most = gpu.info().in_flight;
        assert_eq!(most, 3);
        for _ in 0..most {
            gpu.begin(batch()).unwrap();
        }
        // Not an error that ends the device.
        assert_eq!(gpu.begin(batch()), Err(DeviceError::Full(most)));
        gpu.destroy();
        for _ in 0..most {
            match gpu.finish(LIMIT) {
                // A batch that ended before: its report proves that it did.
                Ok(scan) => assert_eq!((scan.coverage, scan.hits), (Coverage::Full, vec![HIT])),
                error => assert_broken(error),
            }
        }
    });
}

#[test]
fn lost_twice() {
    lose("lost_twice", |gpu| {
        gpu.begin(batch()).unwrap();
        gpu.destroy();
        gpu.destroy();
        assert_broken(gpu.finish(LIMIT));
        gpu.destroy();
    });
}

#[test]
fn lost_and_dropped() {
    let name = "lost_and_dropped";
    let Some(adapters) = gpu(name) else { return };
    for adapter in adapters {
        for batches in 0..=3 {
            within_limit(&adapter, move |adapter| {
                let mut gpu = open(adapter, variant());
                for _ in 0..batches {
                    gpu.begin(batch()).unwrap();
                }
                gpu.destroy();
                drop(gpu);
            });
            within_limit(&adapter, assert_works);
        }
    }
}

#[test]
fn dropped_with_batches_under_way() {
    let Some(adapters) = gpu("dropped_with_batches_under_way") else { return };
    for adapter in adapters {
        within_limit(&adapter, |adapter| {
            let mut gpu = open(adapter, variant());
            for _ in 0..gpu.info().in_flight {
                gpu.begin(batch()).unwrap();
            }
        });
        within_limit(&adapter, assert_works);
    }
}

/// An adapter that is lost by itself after some batches, as a card that a driver resets.
struct Doomed {
    gpu: Gpu,
    batches: u32,
}

impl Device for Doomed {
    fn info(&self) -> &DeviceInfo {
        self.gpu.info()
    }

    fn begin(&mut self, batch: Batch) -> Result<(), DeviceError> {
        self.gpu.begin(batch)
    }

    fn finish(&mut self, limit: Duration) -> Result<Scan, DeviceError> {
        match self.batches.checked_sub(1) {
            Some(left) => self.batches = left,
            None => self.gpu.destroy(),
        }
        self.gpu.finish(limit)
    }
}

#[test]
fn a_run_that_loses_its_adapter_gets_it_back_and_loses_nothing() {
    let name = "a_run_that_loses_its_adapter_gets_it_back_and_loses_nothing";
    if gpu(name).is_none() {
        return;
    }
    for entry in inventory(&[]).unwrap().into_iter().filter(|entry| entry.facts.kind != Kind::Cpu) {
        let adapters = adapters().unwrap();
        let adapter = adapters.iter().find(|adapter| adapter.facts == entry.facts).unwrap();
        let doomed = Doomed { gpu: open(adapter, variant()), batches: 2 };
        let mut crew =
            Crew::new(vec![Box::new(doomed)], Duration::from_millis(20), Stop::default());
        crew.supervise(
            DeviceId(0),
            Arc::new(move || {
                let entry = entry.again()?;
                entry.open_tested(variant()).map_err(|why| why.to_string())
            }),
        );
        let (mut found, mut lost) = (Vec::new(), Vec::new());
        let Batch { job, .. } = batch();
        let nonces = Nonces::around(HIT.nonce, 1000, 10_000_000);
        let target = KNOWN_BLOCKS[0].header().unwrap().target();
        let job = Job { nonces, target, ..job.as_ref().clone() };
        let report = crew.work(job, |notice| {
            match notice {
                Notice::Found(_, share) => found.push(share.header.nonce),
                Notice::Dismissed(_, why) => lost.push(why.to_owned()),
                _ => {}
            }
            Flow::Continue
        });
        assert_eq!(lost.len(), 1, "{lost:?}");
        assert!(report.complete, "{report:?}");
        assert_eq!(found, [HIT.nonce]);
        assert!(report.tally.given_back[&Reason::Lost] > 0);
    }
}

/// Opens each adapter and loses it: then every call must end in an error, and a new device must work.
fn lose(test: &str, scene: fn(&mut Gpu)) {
    let Some(adapters) = gpu(test) else { return };
    for adapter in adapters {
        within_limit(&adapter, move |adapter| {
            let mut gpu = open(adapter, variant());
            scene(&mut gpu);
            for _ in 0..2 {
                assert_broken(gpu.finish(LIMIT));
                assert_broken(gpu.begin(batch()));
            }
        });
        within_limit(&adapter, assert_works);
    }
}

fn assert_broken<T>(result: Result<T, DeviceError>) {
    match result {
        Err(DeviceError::Lost(why) | DeviceError::Driver(why)) => {
            assert!(!why.trim().is_empty() && !why.contains('\n'), "not readable: {why:?}");
        }
        Err(error) => panic!("not an error of a lost device: {error}"),
        Ok(_) => panic!("a lost device answered as if nothing had happened"),
    }
}

fn assert_works(adapter: &Adapter) {
    let mut gpu = open(adapter, variant());
    admit(&mut gpu).unwrap_or_else(|refused| failed(adapter, &refused));
}

/// Fails the test when a driver hangs.
fn within_limit(adapter: &Adapter, scene: impl FnOnce(&Adapter) + Send + 'static) {
    let (sender, receiver) = mpsc::channel();
    let here = adapter.clone();
    let scene = thread::spawn(move || {
        scene(&here);
        let _ = sender.send(());
    });
    // A panic drops the sender, which ends the wait too.
    if receiver.recv_timeout(LIMIT) == Err(mpsc::RecvTimeoutError::Timeout) {
        failed(adapter, &"the driver hangs");
    }
    if let Err(panic) = scene.join() {
        std::panic::resume_unwind(panic);
    }
}

/// The only hit of [`batch`].
const HIT: Hit = Hit { header: 0, nonce: 0x7c2b_ac1d };

/// The kernel that compiles fastest: what it computes does not matter here.
fn variant() -> Variant {
    "std-reference-w64".parse().unwrap()
}

fn batch() -> Batch {
    let header = KNOWN_BLOCKS[0].header().unwrap();
    let nonces = Nonces::around(header.nonce, 1000, 50_000);
    let job = Job { id: JobId::only(0), rolls: Rolls::one(header), target: Target::MAX, nonces };
    let region = Region::first_header(nonces);
    Batch { job: Arc::new(job), region, filter: Filter::WORD }
}
