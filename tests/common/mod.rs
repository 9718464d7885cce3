//! What the tests on real graphics adapters share.

use std::fs::OpenOptions;
use std::io::Write;
use std::time::Duration;
use std::{env, fmt};

use adit::device::gpu::{Adapter, Gpu, adapters};
use adit::kernel::Variant;

/// For one batch of these tests, and for whatever else a driver may take its time for.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// The machine's adapters; `None` where a test is to be skipped because there are none. Either way the
/// test is noted in the file that `ADIT_TEST_LEDGER` names, if any: a run must not look complete only
/// because nothing ran.
#[expect(clippy::print_stdout, reason = "a skipped test says so")]
pub(crate) fn gpu(test: &str) -> Option<Vec<Adapter>> {
    let adapters = adapters().unwrap_or_else(|error| panic!("{error}"));
    if adapters.is_empty() {
        let line = format!("skipped {test}: no graphics adapter was found");
        println!("{line}");
        note(&line);
        return None;
    }
    note(&format!("ran {test}"));
    Some(adapters)
}

/// Opens an adapter, or fails the test.
pub(crate) fn open(adapter: &Adapter, variant: Variant) -> Gpu {
    Gpu::open(adapter, variant).unwrap_or_else(|error| failed(adapter, &error))
}

/// Fails the test with the name of the adapter.
pub(crate) fn failed(adapter: &Adapter, error: &dyn fmt::Display) -> ! {
    panic!("{} through {}: {error}", adapter.facts.name, adapter.facts.backend)
}

fn note(line: &str) {
    let Some(ledger) = env::var_os("ADIT_TEST_LEDGER") else { return };
    // One write for each line: tests of other processes append to the same file.
    let written = OpenOptions::new()
        .append(true)
        .create(true)
        .open(&ledger)
        .and_then(|mut file| file.write_all(format!("{line}\n").as_bytes()));
    written.unwrap_or_else(|error| panic!("{}: {error}", ledger.display()));
}
