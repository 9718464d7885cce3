//! The CPU device against the bare `sha2` crate on as many threads: what the queue, the batches and
//! the nonces cost. Wanted: at least 80 % of the crate's compressions, two of which make a hash.
//!
//! The two are measured in turns, so that a change of the processor's clock meets both.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a bench may panic and print")]

#[expect(dead_code, reason = "the other benches use the rest")]
mod common;

use std::hint::black_box;
use std::num::NonZeroUsize;
use std::slice;
use std::thread;
use std::time::{Duration, Instant};

use adit::device::Device;
use adit::device::cpu::Cpu;
use common::{ROUNDS, Rounds, batches, scan_for, started};
use sha2::block_api::compress256;

/// One measurement of one of the two.
const ROUND: Duration = Duration::from_secs(2);

/// Compressions between two looks at the clock.
const PIECE: u64 = 1 << 14;

fn main() {
    if !started() {
        return;
    }
    let threads = thread::available_parallelism().unwrap();
    let mut cpu = Cpu::open(Some(threads)).unwrap();
    let (name, kernel) = (cpu.info().name.clone(), cpu.info().kernel.clone());
    println!("{name}, {threads} threads, {kernel}");
    // 20 ms at 10 MH/s: a batch size that a run has too.
    let mut batches = batches(200_000);
    scan_for(&mut cpu, &mut batches, ROUND / 4);

    let mut rounds = Rounds::default();
    for _ in 0..ROUNDS {
        let crate_alone = compressions(threads, ROUND) / 2.0;
        rounds.add(scan_for(&mut cpu, &mut batches, ROUND), crate_alone);
    }
    rounds.print("cpu device", "sha2 crate alone");
}

/// Compressions per second of all threads together.
fn compressions(threads: NonZeroUsize, time: Duration) -> f64 {
    thread::scope(|scope| {
        let workers: Vec<_> =
            (0..threads.get()).map(|_| scope.spawn(move || compress(time))).collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).sum()
    })
}

fn compress(time: Duration) -> f64 {
    let mut states = [[0_u32; 8]; 4];
    let block = black_box([0x5a_u8; 64]);
    let mut done = 0_u64;
    let begun = Instant::now();
    while begun.elapsed() < time {
        // Four states in turn, as the device does: one alone waits for its own result.
        for _ in 0..PIECE / 4 {
            for state in &mut states {
                compress256(state, slice::from_ref(&block));
            }
        }
        done += PIECE;
    }
    black_box(states);
    common::per_second(done, begun.elapsed())
}
