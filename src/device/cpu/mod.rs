//! The CPU as a device, through the `sha2` crate: the reference that any machine has.
//!
//! One thread per core takes small pieces of the oldest batch from one queue, so that all cores end
//! together and none waits between batches.

mod crew;
mod search;

use std::fs::File;
use std::io::Read;
use std::num::NonZeroUsize;
use std::thread;
use std::time::{Duration, Instant};

use self::crew::{Crew, Scanner};
use self::search::Search;
use super::{Device, DeviceError, DeviceInfo, Facts, Kind};
use crate::limits::{DISPATCHES_IN_FLIGHT, HITS_PER_BATCH};
use crate::work::{Batch, Coverage, Scan, Width};

/// The processor of this machine.
///
/// Its scans are `Full`, or `Overflow` with the true count. Their time runs from the begin of the batch,
/// or from the end of the one before if that is later: the sum over all batches is the time in which the
/// device was busy. A batch without hashes takes none, nor does one that ended before its predecessor.
///
/// It takes any headers, one after the other, and gains nothing from more than one.
///
/// A dropped device stops its threads within a few milliseconds, whatever is under way.
#[derive(Debug)]
pub struct Cpu {
    info: DeviceInfo,
    crew: Crew,
    /// End of the batch finished last.
    busy_until: Option<Instant>,
}

impl Cpu {
    /// Starts `threads` worker threads, by default one for each core that this process may use.
    ///
    /// # Errors
    ///
    /// [`DeviceError::Driver`] when the system refuses a thread.
    pub fn open(threads: Option<NonZeroUsize>) -> Result<Self, DeviceError> {
        Self::with_scanner(threads, Search::scan)
    }

    /// What is known of the processor without starting anything.
    #[must_use]
    pub fn facts() -> Facts {
        Facts {
            name: processor().unwrap_or_else(|| "CPU".to_owned()),
            kind: Kind::Cpu,
            backend: "cpu".to_owned(),
            driver: None,
            pci: None,
            vendor_id: None,
            device_id: None,
            subgroup_sizes: None,
            also_through: Vec::new(),
        }
    }

    fn with_scanner(threads: Option<NonZeroUsize>, scanner: Scanner) -> Result<Self, DeviceError> {
        let threads = threads.or_else(|| thread::available_parallelism().ok());
        let info =
            DeviceInfo::new(Self::facts(), kernel().to_owned(), DISPATCHES_IN_FLIGHT, Width::ONE);
        let crew = Crew::start(threads.map_or(1, NonZeroUsize::get), scanner)?;
        Ok(Self { info, crew, busy_until: None })
    }
}

impl Device for Cpu {
    fn info(&self) -> &DeviceInfo {
        &self.info
    }

    fn begin(&mut self, batch: Batch) -> Result<(), DeviceError> {
        self.crew.begin(&batch)
    }

    fn finish(&mut self, limit: Duration) -> Result<Scan, DeviceError> {
        let run = self.crew.finish(limit)?;
        let start = self.busy_until.map_or(run.begun, |end| end.max(run.begun));
        let end = run.ended.map_or(start, |end| end.max(start));
        self.busy_until = Some(end);
        let coverage = if run.found > HITS_PER_BATCH as u64 {
            Coverage::Overflow { found: run.found }
        } else {
            Coverage::Full
        };
        let elapsed = end - start;
        Ok(Scan { region: run.region, hits: run.hits, coverage, elapsed, on_device: None })
    }
}

/// The processor's name, where a file tells it.
fn processor() -> Option<String> {
    // Linux repeats the entry for each core, x86 with a name. The first is enough.
    let mut start = Vec::new();
    File::open("/proc/cpuinfo").ok()?.take(4096).read_to_end(&mut start).ok()?;
    model_name(&String::from_utf8_lossy(&start))
}

fn model_name(cpuinfo: &str) -> Option<String> {
    let mut entries = cpuinfo.lines().filter_map(|line| line.split_once(':'));
    let (_, name) = entries.find(|(key, _)| key.trim() == "model name")?;
    Some(name.trim().to_owned()).filter(|name| !name.is_empty())
}

/// Names the code that the `sha2` crate takes on this processor.
pub(crate) fn kernel() -> &'static str {
    #[expect(unexpected_cfgs, reason = "the sha2 crate's switches, given to all crates of a build")]
    let plain = cfg!(any(sha2_backend = "soft", sha2_256_backend = "soft"));
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    if !plain && is_x86_feature_detected!("sha") && is_x86_feature_detected!("sse4.1") {
        return "sha2 crate, SHA-NI";
    }
    #[cfg(target_arch = "aarch64")]
    if !plain && std::arch::is_aarch64_feature_detected!("sha2") {
        return "sha2 crate, Armv8 SHA-2";
    }
    if plain { "sha2 crate, portable" } else { "sha2 crate" }
}

#[cfg(test)]
mod tests;
