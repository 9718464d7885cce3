//! Every adapter of this machine against the `sha2` crate.

#![expect(clippy::unwrap_used, reason = "a test may panic, and so may what it calls")]

mod common;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{array, fs};

use adit::chain::{self, HEADER_LEN, KNOWN_BLOCKS, parse_header};
use adit::device::cpu::Cpu;
use adit::device::selftest::admit;
use adit::device::{Device, DeviceError};
use adit::kernel::{Test, Variant};
use adit::limits::{HITS_PER_BATCH, MAX_BATCH, NONCES_PER_HEADER};
use adit::runtime::{Crew, Flow, Notice, Stop};
use adit::work::{Batch, Coverage, Filter, Hit, Job, JobId, Nonces, Region, Rolls, Scan, verify};
use bitcoin::block::Header;
use bitcoin::hashes::Hash;
use bitcoin::{BlockHash, Target};
use common::{LIMIT, failed, gpu, open};

#[test]
fn every_listed_variant_passes_the_self_test() {
    let Some(adapters) = gpu("every_listed_variant_passes_the_self_test") else { return };
    for adapter in &adapters {
        // Opening a variant compiles its mask twin too.
        let variants = Variant::list().into_iter().map(|(variant, _)| variant);
        let variants = variants.filter(|variant| variant.with_test(Test::Word7) == *variant);
        // Parts of names that no listed one has, beside each other.
        let others = [
            "std-uniform-chor-majshare-split-imad30-n3-mask-w32",
            "boost3-function-major-n2-mask-w128",
            "boost32loop-literal-split-mask-w1",
            "verlane-uniform-majshare-n1-mask-w256",
            "verlanewin-function-chor-n5-mask-w64",
            "verlanewin-literal-n255-w256",
        ];
        let variants = variants.chain(others.map(|name| name.parse().unwrap()));
        for variant in variants {
            let start = Instant::now();
            let mut gpu = open(adapter, variant);
            let (opened, start) = (start.elapsed(), Instant::now());
            admit(&mut gpu).unwrap_or_else(|refused| failed(adapter, &refused));
            let tested = start.elapsed();
            println!(
                "{}, {variant}: opened in {opened:.1?}, tested in {tested:.1?}",
                adapter.facts.name
            );
        }
    }
}

#[test]
fn a_dispatch_of_many_rows_covers_its_range() {
    let Some(adapters) = gpu("a_dispatch_of_many_rows_covers_its_range") else { return };
    // With one thread in a workgroup, a row of the grid ends after 65,535 nonces.
    let single: Variant = "std-literal-w1".parse().unwrap();
    let batch = |(index, nonces): (usize, Nonces)| {
        let header = KNOWN_BLOCKS[index].header().unwrap();
        batch(header, Target::MAX, nonces, Filter::new(10))
    };
    let lengths = [65_534, 65_535, 65_536, 131_070, 131_071, 200_003];
    let starts = lengths.map(|length| Nonces::around(0x1234_5679, 0, length));
    let ends = lengths.map(|length| Nonces::around(u32::MAX, length - 1, length));
    let batches: Vec<Batch> = starts.into_iter().chain(ends).enumerate().map(batch).collect();
    for adapter in &adapters {
        let scans = scan_all(&mut open(adapter, single), &batches);
        for (batch, scan) in batches.iter().zip(scans) {
            assert_right(batch, scan, &adapter.facts.name);
        }
    }
}

#[test]
fn ten_thousand_random_ranges_agree_with_the_sha2_crate() {
    let adapters = gpu("ten_thousand_random_ranges_agree_with_the_sha2_crate");
    let mut random = fastrand::Rng::with_seed(0xad17);
    let batches: Vec<Batch> = (0..10_000).map(|_| random_batch(&mut random)).collect();
    let hits: usize = batches.iter().map(|batch| true_hits(batch).len()).sum();
    assert!(hits > 100_000, "{hits} hits are too few for a test");

    let mut devices: Vec<Box<dyn Device>> = vec![Box::new(Cpu::open(None).unwrap())];
    for adapter in adapters.iter().flatten() {
        devices.push(Box::new(open(adapter, Variant::DEFAULT)));
    }
    for mut device in devices {
        let start = Instant::now();
        let scans = scan_all(device.as_mut(), &batches);
        let name = &device.info().name;
        println!("{name}: {:.1?}", start.elapsed());
        for (batch, scan) in batches.iter().zip(scans) {
            assert_right(batch, scan, name);
        }
    }
}

/// A random header, and a range with a target for which hits are likely, or right at one of its hashes.
fn random_batch(random: &mut fastrand::Rng) -> Batch {
    let bytes: [u8; HEADER_LEN] = array::from_fn(|_| random.u8(..));
    let header = chain::header_from_bytes(&bytes);
    let length = random.u64(1..=600);
    let nonces = match random.u8(..8) {
        0 => Nonces::around(u32::MAX, length - 1, length),
        1 => Nonces::around(u32::MAX, random.u64(0..1000), length),
        2 => Nonces::around(random.u32(0..1000), 0, length),
        _ => Nonces::around(random.u32(..), 0, length),
    };
    if random.bool() {
        let bits = if random.bool() { random.u32(0..10) } else { random.u32(0..=32) };
        return batch(header, Target::MAX, nonces, Filter::new(bits));
    }
    // The best hash of the range, or any.
    let hashes = nonces.iter().map(|nonce| number(&hash(&header, nonce)));
    let chosen =
        if random.bool() { hashes.min() } else { random.choice(hashes.collect::<Vec<_>>()) };
    let chosen = chosen.unwrap();
    let target = match random.u8(..3) {
        0 => chosen,
        1 => below(chosen),
        _ => above(chosen),
    };
    let target = Target::from_be_bytes(target);
    batch(header, target, nonces, Filter::for_target(&target))
}

#[test]
fn targets_step_by_one() {
    let mut small = [0; 32];
    small[30] = 1;
    let mut smaller = [0; 32];
    smaller[31] = 0xff;
    assert_eq!((below(small), above(smaller)), (smaller, small));
}

#[test]
fn every_recorded_header_is_found() {
    let adapters = gpu("every_recorded_header_is_found");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/headers.csv");
    let Ok(text) = fs::read_to_string(&path) else {
        return println!("skipped: there is no {}", path.display());
    };
    let rows: Vec<(&str, Header)> = text.lines().skip(1).map(recorded).collect();
    assert!(rows.len() > 100, "{} headers in {}", rows.len(), path.display());
    let mut devices: Vec<Box<dyn Device>> = vec![Box::new(Cpu::open(None).unwrap())];
    for adapter in adapters.iter().flatten() {
        devices.push(Box::new(open(adapter, Variant::DEFAULT)));
    }
    for device in devices {
        let name = device.info().name.clone();
        // What `adit scan` runs: engine, ledger and driver around the device.
        let mut crew = Crew::new(vec![device], Duration::from_millis(50), Stop::default());
        for (id, (hash, header)) in (0..).zip(&rows) {
            let target = chain::decode_bits(header.bits).unwrap();
            let length = Filter::for_target(&target).batch_cap().min(777);
            let nonces = Nonces::around(header.nonce, length / 3, length);
            let mut found = Vec::new();
            let job = Job { id: JobId::only(id), rolls: Rolls::one(*header), target, nonces };
            let report = crew.work(job, |notice| {
                if let Notice::Found(_, share) = notice {
                    found.push(share.hash.to_string());
                }
                Flow::Continue
            });
            assert!(found.iter().any(|found| found == hash), "{name} misses {hash}");
            assert_eq!((report.tally.assigned, report.tally.scanned), (length, length), "{name}");
            assert!(report.complete && report.counters.wrong == 0, "{name}: {report:?}");
        }
    }
}

#[test]
fn a_batch_too_large_for_the_shader_is_refused_and_harms_nothing() {
    let Some(adapters) = gpu("a_batch_too_large_for_the_shader_is_refused_and_harms_nothing")
    else {
        return;
    };
    let header = KNOWN_BLOCKS[0].header().unwrap();
    for adapter in &adapters {
        let mut gpu = open(adapter, Variant::DEFAULT);
        for nonces in [Nonces::ALL, Nonces::new(0, MAX_BATCH + 1).unwrap()] {
            let refused = gpu.begin(batch(header, Target::MAX, nonces, Filter::WORD));
            assert_eq!(refused, Err(DeviceError::TooLarge(nonces.len())));
        }
        admit(&mut gpu).unwrap_or_else(|refused| failed(adapter, &refused));
    }
}

/// The hash and the header of a line `network,height,hash,header,…`.
fn recorded(line: &str) -> (&str, Header) {
    let mut fields = line.split(',').skip(2);
    let (hash, header) = (fields.next().unwrap(), fields.next().unwrap());
    let header = parse_header(header).unwrap();
    assert_eq!(chain::block_hash(&header).to_string(), hash);
    (hash, header)
}

#[test]
#[ignore = "takes seconds on a GPU, and minutes on one that runs in software"]
fn a_whole_header_has_its_two_known_hits() {
    let Some(adapters) = gpu("a_whole_header_has_its_two_known_hits") else { return };
    let header = KNOWN_BLOCKS[0].header().unwrap();
    let whole = batch(header, Target::MAX, Nonces::ALL, Filter::WORD);
    for adapter in &adapters {
        let mut gpu = open(adapter, Variant::DEFAULT);
        let (mut size, mut next, mut left) = (1 << 18, 0, Nonces::ALL);
        let (mut hits, mut under_way) = (Vec::new(), 0);
        let start = Instant::now();
        while under_way > 0 || !left.is_empty() {
            while under_way < gpu.info().in_flight && !left.is_empty() {
                let (nonces, rest) = left.split_at(size);
                let region = Region::first_header(nonces);
                gpu.begin(Batch { region, ..whole.clone() }).unwrap();
                (left, under_way) = (rest, under_way + 1);
            }
            let scan = gpu.finish(LIMIT).unwrap();
            under_way -= 1;
            let scanned = scan.region.nonces;
            assert_eq!((scanned.start(), &scan.coverage), (next, &Coverage::Full));
            next = scanned.end();
            hits.extend(scan.hits.iter().map(|hit| hit.nonce));
            if scan.elapsed.as_millis() < 100 {
                size = (size * 2).min(1 << 28);
            }
            let percent = next * 100 / NONCES_PER_HEADER;
            if percent > scanned.start() * 100 / NONCES_PER_HEADER {
                let rate = next / start.elapsed().as_secs().max(1) / 1_000_000;
                println!("{}: {percent} %, {rate} MH/s, {hits:?}", adapter.facts.name);
            }
        }
        // The second one would have made a genesis block too: its hash meets the target as well.
        assert_eq!((next, hits), (NONCES_PER_HEADER, vec![header.nonce, 0xbe96_aceb]));
    }
}

fn batch(header: Header, target: Target, nonces: Nonces, filter: Filter) -> Batch {
    let job = Job { id: JobId::only(0), rolls: Rolls::one(header), target, nonces: Nonces::ALL };
    Batch { job: Arc::new(job), region: Region::first_header(nonces), filter }
}

/// Scans all batches with as many in flight as the device takes.
fn scan_all(device: &mut dyn Device, batches: &[Batch]) -> Vec<Scan> {
    let mut waiting = batches.iter().cloned();
    let (mut scans, mut under_way) = (Vec::new(), 0);
    while scans.len() < batches.len() {
        for batch in waiting.by_ref().take(device.info().in_flight - under_way) {
            device.begin(batch).unwrap();
            under_way += 1;
        }
        scans.push(device.finish(LIMIT).unwrap());
        under_way -= 1;
    }
    scans
}

/// Compares a scan with the truth: the hits of the filter, and among them those that meet the target.
fn assert_right(batch: &Batch, mut scan: Scan, device: &str) {
    let expected = true_hits(batch);
    let place = format!("{device}: {}, {}", batch.region, batch.filter);
    assert_eq!(scan.region, batch.region, "{place}");
    if expected.len() > HITS_PER_BATCH {
        assert_eq!(scan.coverage, Coverage::Overflow { found: expected.len() as u64 }, "{place}");
        assert!(scan.hits.iter().all(|hit| expected.contains(hit)), "{place}");
        return;
    }
    scan.hits.sort_unstable();
    assert_eq!((&scan.hits, scan.coverage), (&expected, Coverage::Full), "{place}");
    if batch.filter == batch.job.filter() {
        let (job, target) = (&batch.job, &batch.job.target);
        let meets =
            |hit: &Hit| number(&chain::block_hash(&job.header(*hit))) <= target.to_be_bytes();
        let shares = scan
            .hits
            .into_iter()
            .filter(|&hit| verify(batch, hit).is_ok_and(|hash| chain::meets(&hash, target)));
        assert!(shares.eq(batch.region.iter().filter(meets)), "{place}, {target:x}");
    }
}

/// The hashes that pass the filter, by the `sha2` crate, in order.
fn true_hits(batch: &Batch) -> Vec<Hit> {
    batch.region.iter().filter(|&hit| verify(batch, hit).is_ok()).collect()
}

fn hash(header: &Header, nonce: u32) -> BlockHash {
    chain::block_hash(&chain::with_nonce(header, nonce))
}

/// A hash as the number that targets are compared with, big-endian.
fn number(hash: &BlockHash) -> [u8; 32] {
    let mut bytes = hash.to_byte_array();
    bytes.reverse();
    bytes
}

/// The number before.
fn below(number: [u8; 32]) -> [u8; 32] {
    step(number, u8::overflowing_sub)
}

/// The number after.
fn above(number: [u8; 32]) -> [u8; 32] {
    step(number, u8::overflowing_add)
}

/// Steps by one from the last byte, as far as the carry reaches.
fn step(mut number: [u8; 32], by: fn(u8, u8) -> (u8, bool)) -> [u8; 32] {
    for byte in number.iter_mut().rev() {
        let (next, carries) = by(*byte, 1);
        *byte = next;
        if !carries {
            break;
        }
    }
    number
}
