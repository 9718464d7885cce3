//! The whole way of a nonce through the engine, against the same kernel dispatched back to back on the
//! same adapter: what engine, ledger, mailboxes and batch sizes cost. Wanted: at least 95 % of the bare
//! rate, and less than 5 % of a core for the host while the adapter works.
//!
//! The two are measured in turns, so that a change of any clock meets both.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a bench may panic and print")]

#[expect(dead_code, reason = "the other benches use the rest")]
mod common;

use std::time::{Duration, Instant};

use adit::device::Device;
use adit::device::gpu::{Adapter, Gpu, adapters};
use adit::kernel::Variant;
use adit::runtime::{Crew, Flow, Stop};
use adit::work::Nonces;
use common::{ROUNDS, Rounds, batches, job, per_second, print_row, scan_for, started};

/// One measurement of one of the two.
const ROUND: Duration = Duration::from_secs(2);

/// What `--profile dedicated` asks for.
const BATCH_TIME: Duration = Duration::from_millis(50);

fn main() {
    if !started() {
        return;
    }
    let adapters = adapters().unwrap();
    let Some(adapter) = adapters.first() else {
        return println!("skipped: there is no graphics adapter");
    };
    let mut bare = open(adapter);
    println!("{} with {}", bare.info().name, bare.info().kernel);
    let rate = scan_for(bare.as_mut(), &mut batches(1 << 18), ROUND);
    let mut batches = batches(nonces(rate, BATCH_TIME));

    // Opened first: a driver has threads of its own.
    let devices = vec![open(adapter)];
    let before = tasks::all();
    let mut crew = Crew::new(devices, BATCH_TIME, Stop::default());
    let host = tasks::Host::of(&before);
    // Finds the batch size.
    work(&mut crew, nonces(rate, ROUND));

    let mut rounds = Rounds::default();
    let mut shares = Vec::new();
    for _ in 0..ROUNDS {
        let compared = scan_for(bare.as_mut(), &mut batches, ROUND);
        let (begun, busy) = (Instant::now(), host.time());
        rounds.add(work(&mut crew, nonces(rate, ROUND)), compared);
        let used = host.time().zip(busy).map(|(after, before)| after.saturating_sub(before));
        shares.extend(used.map(|used| used.as_secs_f64() / begun.elapsed().as_secs_f64()));
    }
    rounds.print("engine", "bare device");
    if !shares.is_empty() {
        print_row("host, of a core", shares.into_iter(), |share| format!("{:.1} %", share * 100.0));
    }
}

fn open(adapter: &Adapter) -> Box<dyn Device> {
    Box::new(Gpu::open(adapter, Variant::DEFAULT).unwrap())
}

/// How many nonces a rate tests in some time.
fn nonces(rate: f64, time: Duration) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "positive, and a saturated size is cut to the header"
    )]
    let nonces = (rate * time.as_secs_f64()) as u64;
    nonces.clamp(1, Nonces::ALL.len())
}

/// Hashes per second of one job, from its assignment to its report.
fn work(crew: &mut Crew, length: u64) -> f64 {
    let begun = Instant::now();
    let report = crew.work(job(1, Nonces::ALL.split_at(length).0), |_| Flow::Continue);
    assert!(report.complete && report.counters.wrong == 0, "{report:?}");
    per_second(length, begun.elapsed())
}

/// The processor time of single threads, which only Linux tells without a library.
mod tasks {
    use std::collections::BTreeSet;
    use std::fs;
    use std::time::Duration;

    /// The threads of this process.
    pub(crate) fn all() -> BTreeSet<u32> {
        let Ok(folder) = fs::read_dir("/proc/self/task") else { return BTreeSet::new() };
        folder.filter_map(|task| task.ok()?.file_name().to_str()?.parse().ok()).collect()
    }

    /// The thread that the engine runs on, and the one that drives the adapter.
    pub(crate) struct Host(Vec<u32>);

    impl Host {
        /// Call it when a crew has just started: its thread is the one that was not there `before`.
        pub(crate) fn of(before: &BTreeSet<u32>) -> Self {
            let own = fs::read_link("/proc/thread-self").ok();
            let own = own.and_then(|link| link.file_name()?.to_str()?.parse().ok());
            Self(own.into_iter().chain(all().difference(before).copied()).collect())
        }

        /// What they used so far.
        pub(crate) fn time(&self) -> Option<Duration> {
            if self.0.is_empty() {
                return None;
            }
            self.0.iter().map(|task| used(*task)).sum()
        }
    }

    /// The scheduler's own account: nanoseconds on a processor are its first figure. It is finer than
    /// the ticks of `stat`.
    fn used(task: u32) -> Option<Duration> {
        let account = fs::read_to_string(format!("/proc/self/task/{task}/schedstat")).ok()?;
        Some(Duration::from_nanos(account.split_whitespace().next()?.parse().ok()?))
    }
}
