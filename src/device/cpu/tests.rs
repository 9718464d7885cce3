use std::sync::{Arc, Condvar, Mutex};
use std::thread::sleep;

use bitcoin::Target;

use super::search::Found;
use super::*;
use crate::chain::KNOWN_BLOCKS;
use crate::work::{Filter, Headers, Hit, Job, JobId, Nonces, Region, Rolls, verify};

const LIMIT: Duration = Duration::from_secs(60);

fn open(threads: usize) -> Cpu {
    Cpu::open(NonZeroUsize::new(threads)).unwrap()
}

fn batch(block: usize, nonces: Nonces, filter: Filter) -> Batch {
    let header = KNOWN_BLOCKS[block].header().unwrap();
    let rolls = Rolls::new(header, 0x1c, 2, None).unwrap();
    let number = rolls.number_of(header.version).unwrap();
    let region = Region { headers: Headers::one(number), nonces };
    let job = Job { id: JobId::only(0), rolls, target: Target::MAX, nonces };
    Batch { job: Arc::new(job), region, filter }
}

fn range(start: u64, end: u64) -> Nonces {
    Nonces::new(start, end).unwrap()
}

fn scan(cpu: &mut Cpu, batch: &Batch) -> Scan {
    cpu.begin(batch.clone()).unwrap();
    let mut scan = cpu.finish(LIMIT).unwrap();
    scan.hits.sort_unstable();
    scan
}

/// What a plain loop over the whole headers finds.
fn plainly(batch: &Batch) -> Vec<Hit> {
    batch.region.iter().filter(|&hit| verify(batch, hit).is_ok()).collect()
}

#[test]
fn finds_the_nonces_of_known_blocks() {
    let mut cpu = open(3);
    for (index, block) in KNOWN_BLOCKS.iter().enumerate() {
        let nonce = block.header().unwrap().nonce;
        for (before, length) in [(0, 1), (0, 20_000), (19_999, 20_000), (9000, 18_001)] {
            let batch = batch(index, Nonces::around(nonce, before, length), Filter::WORD);
            let scan = scan(&mut cpu, &batch);
            assert_eq!(scan.hits, plainly(&batch), "{}", block.height);
            assert_eq!(scan.coverage, Coverage::Full);
            assert_eq!(scan.region, batch.region);
        }
    }
}

#[test]
fn many_hits_in_many_pieces_are_those_of_a_plain_loop() {
    let mut cpu = open(4);
    let batch = batch(0, range(1000, 31_001), Filter::new(8));
    let expected = plainly(&batch);
    assert!(expected.len() > 50 && expected.len() <= HITS_PER_BATCH);
    assert_eq!(scan(&mut cpu, &batch).hits, expected);
}

#[test]
fn short_ranges_and_both_ends_of_the_header() {
    let mut cpu = open(2);
    for length in [0, 1, 2, 63, 65, 4095, 4096, 4097] {
        for nonces in [range(0, length), range((1 << 32) - length, 1 << 32)] {
            let batch = batch(1, nonces, Filter::new(5));
            let scan = scan(&mut cpu, &batch);
            assert_eq!(scan.hits, plainly(&batch), "{nonces}");
            assert_eq!((scan.region, scan.coverage), (batch.region, Coverage::Full));
        }
    }
}

#[test]
fn many_headers_are_scanned_one_after_the_other() {
    let mut cpu = open(3);
    for (first, count, nonces) in [(0, 16, 300), (3, 5, 1), (9, 2, 5000), (2, 0, 9), (1, 7, 0)] {
        let one = batch(0, range(77, 77 + nonces), Filter::new(6));
        let headers = Headers::new(first, first + count).unwrap();
        let batch = Batch { region: Region { headers, ..one.region }, ..one };
        let scan = scan(&mut cpu, &batch);
        assert_eq!(scan.hits, plainly(&batch), "{}", batch.region);
        assert_eq!((scan.region, scan.coverage), (batch.region, Coverage::Full));
    }
}

#[test]
fn an_overflow_tells_the_true_count() {
    let mut cpu = open(4);
    let kept = HITS_PER_BATCH as u64;
    for length in [kept, kept + 1, 50_001] {
        let batch = batch(0, range(5, 5 + length), Filter::new(0));
        let mut scan = scan(&mut cpu, &batch);
        let coverage =
            if length > kept { Coverage::Overflow { found: length } } else { Coverage::Full };
        assert_eq!(scan.coverage, coverage);
        assert_eq!(scan.hits.len(), HITS_PER_BATCH);
        assert!(scan.hits.iter().all(|&hit| verify(&batch, hit).is_ok()));
        scan.hits.dedup();
        assert_eq!(scan.hits.len(), HITS_PER_BATCH, "a hit is kept once");
    }
}

#[test]
fn batches_end_in_the_order_in_which_they_began() {
    let mut cpu = open(4);
    // The short ones end first and must wait for the long one.
    let batches = [200_000, 10, 0, 4097, 1].map(|length| {
        let nonces = range(length, 2 * length);
        batch(0, nonces, Filter::new(12))
    });
    let mut expected = batches.iter();
    for (index, batch) in batches.iter().enumerate() {
        if index >= cpu.info().in_flight {
            assert_eq!(cpu.finish(LIMIT).unwrap().region, expected.next().unwrap().region);
        }
        cpu.begin(batch.clone()).unwrap();
    }
    for batch in expected {
        let mut scan = cpu.finish(LIMIT).unwrap();
        scan.hits.sort_unstable();
        assert_eq!((scan.region, scan.hits), (batch.region, plainly(batch)));
    }
}

#[test]
fn a_full_device_refuses_and_goes_on_and_an_idle_one_says_so() {
    let mut cpu = open(1);
    assert_eq!(cpu.finish(LIMIT), Err(DeviceError::Idle));
    let batch = batch(0, range(0, 5000), Filter::WORD);
    for _ in 0..3 {
        cpu.begin(batch.clone()).unwrap();
    }
    assert_eq!(cpu.begin(batch.clone()), Err(DeviceError::Full(3)));
    for _ in 0..3 {
        assert_eq!(cpu.finish(LIMIT).unwrap().region, batch.region);
    }
    assert_eq!(cpu.finish(LIMIT), Err(DeviceError::Idle));
}

#[test]
fn a_limit_that_passes_is_an_error() {
    let mut cpu = open(1);
    cpu.begin(batch(0, Nonces::ALL, Filter::WORD)).unwrap();
    for limit in [Duration::ZERO, Duration::from_millis(5)] {
        let start = Instant::now();
        assert_eq!(cpu.finish(limit), Err(DeviceError::Hung(limit)));
        assert!(start.elapsed() >= limit);
    }
}

#[test]
fn the_longest_limit_waits_for_the_end() {
    let mut cpu = open(1);
    cpu.begin(batch(0, range(0, 9000), Filter::WORD)).unwrap();
    assert!(cpu.finish(Duration::MAX).is_ok());
}

#[test]
fn a_dropped_device_does_not_end_its_work() {
    let mut cpu = open(4);
    for _ in 0..3 {
        cpu.begin(batch(0, Nonces::ALL, Filter::WORD)).unwrap();
    }
    sleep(Duration::from_millis(5)); // every thread is in a piece
    let start = Instant::now();
    drop(cpu);
    // The work would take an hour; the margin is for a busy machine.
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
}

#[test]
fn a_panic_in_a_thread_breaks_the_device_but_hangs_nobody() {
    let mut cpu = Cpu::with_scanner(NonZeroUsize::new(3), |_, nonces| {
        assert!(!nonces.contains(50_000), "nonce 50000");
        Found::default()
    })
    .unwrap();
    cpu.begin(batch(0, range(0, 40_000), Filter::WORD)).unwrap();
    assert!(cpu.finish(LIMIT).is_ok());
    cpu.begin(batch(0, range(40_000, 60_000), Filter::WORD)).unwrap();
    let broken = DeviceError::Driver("a thread panicked: nonce 50000".to_owned());
    assert_eq!(cpu.finish(LIMIT), Err(broken.clone()));
    assert_eq!(cpu.begin(batch(0, range(0, 1), Filter::WORD)), Err(broken.clone()));
    assert_eq!(cpu.finish(LIMIT), Err(broken));
}

#[test]
fn threads_share_a_batch_and_go_on_with_the_next_before_it_ends() {
    static MET: (Mutex<usize>, Condvar) = (Mutex::new(0), Condvar::new());
    /// Ends when four pieces are under way at once.
    fn meet(_: &Search, nonces: Nonces) -> Found {
        let mut met = MET.0.lock().unwrap();
        *met += 1;
        MET.1.notify_all();
        let (_met, wait) = MET.1.wait_timeout_while(met, LIMIT, |met| *met < 4).unwrap();
        Found { hits: Vec::new(), count: if wait.timed_out() { 0 } else { nonces.len() } }
    }
    let mut cpu = Cpu::with_scanner(NonZeroUsize::new(4), meet).unwrap();
    let nonces = range(0, 5000); // two pieces
    for _ in 0..2 {
        cpu.begin(batch(0, nonces, Filter::WORD)).unwrap();
    }
    for _ in 0..2 {
        let scan = cpu.finish(2 * LIMIT).unwrap();
        assert_eq!(scan.coverage, Coverage::Overflow { found: 5000 });
    }
}

#[test]
fn the_times_of_batches_add_up_to_the_busy_time() {
    let mut cpu = open(2);
    let batch = batch(0, range(0, 100_000), Filter::WORD);
    let start = Instant::now();
    for _ in 0..3 {
        cpu.begin(batch.clone()).unwrap();
    }
    let first = cpu.finish(LIMIT).unwrap().elapsed;
    sleep(Duration::from_millis(20)); // a slow host is not the device's time
    let sum = first + cpu.finish(LIMIT).unwrap().elapsed + cpu.finish(LIMIT).unwrap().elapsed;
    assert!(sum > Duration::ZERO && sum <= start.elapsed());
    let pause = Duration::from_millis(50);
    sleep(pause);
    let start = Instant::now();
    assert!(scan(&mut cpu, &batch).elapsed <= start.elapsed(), "idle time does not count");
}

#[test]
fn tells_what_it_is() {
    let cpu = Cpu::open(None).unwrap();
    let info = cpu.info();
    assert_eq!((info.kind, info.backend.as_str(), info.in_flight), (Kind::Cpu, "cpu", 3));
    assert!(!info.name.is_empty() && info.kernel.starts_with("sha2 crate"));
    assert_eq!((&info.driver, &info.pci), (&None, &None));
}

#[test]
fn reads_the_model_name() {
    let x86 = "processor\t: 0\nmodel\t\t: 17\nmodel name\t: AMD  Ryzen: 7 \nflags\t\t: sha_ni\n";
    assert_eq!(model_name(x86).as_deref(), Some("AMD  Ryzen: 7"));
    let arm = "processor\t: 0\nBogoMIPS\t: 48.00\nCPU part\t: 0xd0c\n";
    assert_eq!(model_name(arm), None);
    assert_eq!(model_name("model name\t:\n"), None);
    assert_eq!(model_name("model na"), None);
}
