//! What the tests on real graphics adapters share.

mod ledger;

use std::fmt;
use std::time::Duration;

use adit::device::gpu::{Adapter, Gpu, adapters};
use adit::kernel::Variant;

/// For one batch of these tests, and for whatever else a driver may take its time for.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// The machine's adapters; `None` where a test is to be skipped because there are none. Either way it
/// is noted in the ledger.
pub(crate) fn gpu(test: &str) -> Option<Vec<Adapter>> {
    let adapters = adapters().unwrap_or_else(|error| panic!("{error}"));
    if adapters.is_empty() {
        ledger::skipped(test, "no graphics adapter was found");
        return None;
    }
    ledger::ran(test);
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
