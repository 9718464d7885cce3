//! Who does the work: graphics adapters, the CPU, and a scripted device for tests.

pub mod cpu;
mod cycle;
pub mod display;
pub mod driver;
pub mod flawed;
pub mod gpu;
pub mod inventory;
pub mod selftest;
pub mod sensors;
pub mod sim;
pub mod speed;
pub mod tune;

use std::sync::mpsc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::kernel::Kernel;
use crate::work::{Batch, Region, Scan, Width};

/// What a device is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A graphics card of its own.
    Discrete,
    /// A GPU that shares the processor's memory.
    Integrated,
    /// A GPU lent to a virtual machine.
    Virtual,
    /// A graphics driver that runs on the CPU, such as lavapipe or WARP.
    Software,
    /// The CPU itself, through the `sha2` crate.
    Cpu,
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Discrete => "discrete",
            Self::Integrated => "integrated",
            Self::Virtual => "virtual",
            Self::Software => "software",
            Self::Cpu => "cpu",
        })
    }
}

impl Kind {
    /// Whether it computes on the processor, under whatever name.
    #[must_use]
    pub const fn is_processor(self) -> bool {
        matches!(self, Self::Software | Self::Cpu)
    }
}

/// What is known of an adapter before it is opened. An unknown fact is `None`, never a guess.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// The name that the driver gives it.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// The interface that reaches it: `vulkan`, `metal`, `dx12` or `cpu`.
    pub backend: String,
    /// Driver name and version, as the driver tells it.
    pub driver: Option<String>,
    /// PCI address, such as `0000:01:00.0`.
    pub pci: Option<String>,
    /// PCI vendor number, or the interface's own.
    pub vendor_id: Option<u32>,
    /// PCI device number, or the interface's own.
    pub device_id: Option<u32>,
    /// Smallest and largest subgroup.
    pub subgroup_sizes: Option<[u32; 2]>,
    /// Other interfaces or drivers that reach the same GPU, with their drivers.
    pub also_through: Vec<String>,
}

/// What is known of an open device. An unknown fact is `None`, never a guess.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeviceInfo {
    /// The name that the driver gives it.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// The interface that reaches it: `vulkan`, `metal`, `dx12` or `cpu`.
    pub backend: String,
    /// Driver name and version, as the driver tells it.
    pub driver: Option<String>,
    /// PCI address, such as `0000:01:00.0`.
    pub pci: Option<String>,
    /// PCI vendor number, or the interface's own.
    #[serde(skip)]
    pub vendor_id: Option<u32>,
    /// The kernel it was opened with. Targets easier than difficulty 1 run its mask twin.
    pub kernel: String,
    /// Batches that it takes before the first must be finished.
    #[serde(skip)]
    pub in_flight: usize,
    /// How many headers it scans side by side.
    #[serde(skip)]
    pub width: Width,
}

impl DeviceInfo {
    /// The facts of an adapter that was opened.
    #[must_use]
    pub fn new(facts: Facts, kernel: String, in_flight: usize, width: Width) -> Self {
        let Facts { name, kind, backend, driver, pci, vendor_id, .. } = facts;
        Self { name, kind, backend, driver, pci, vendor_id, kernel, in_flight, width }
    }

    /// The facts by which its sensors are found.
    #[must_use]
    pub fn facts(&self) -> Facts {
        let Self { name, kind, backend, driver, pci, vendor_id, .. } = self.clone();
        let (device_id, subgroup_sizes, also_through) = (None, None, Vec::new());
        Facts {
            name,
            kind,
            backend,
            driver,
            pci,
            vendor_id,
            device_id,
            subgroup_sizes,
            also_through,
        }
    }
}

/// How a device is opened.
#[derive(Debug, Clone)]
pub struct Opening {
    /// The kernel, for GPUs; the CPU has its own code.
    pub kernel: Kernel,
    /// Whether each scan shall tell its [`DeviceSpan`](crate::work::DeviceSpan), where the device can.
    pub timestamps: bool,
}

impl<K: Into<Kernel>> From<K> for Opening {
    fn from(kernel: K) -> Self {
        Self { kernel: kernel.into(), timestamps: false }
    }
}

/// Something that tests hashes.
///
/// The headers of a batch are of one roll, and as many as `info().width` allows with the batch's filter.
///
/// Batches end in the order in which they began. A device that returned an error other than
/// [`DeviceError::Full`], [`DeviceError::TooLarge`], [`DeviceError::Headers`] or [`DeviceError::Idle`] is done
/// for: drop it and give back what it held.
pub trait Device: Send {
    /// What the device is.
    fn info(&self) -> &DeviceInfo;

    /// Starts a batch and returns at once.
    ///
    /// # Errors
    ///
    /// [`DeviceError::Full`] when `info().in_flight` batches are under way, [`DeviceError::TooLarge`] for a
    /// batch of more than [`MAX_BATCH`](crate::limits::MAX_BATCH) hashes, [`DeviceError::Headers`] for headers
    /// that it does not take at once, else what broke.
    fn begin(&mut self, batch: Batch) -> Result<(), DeviceError>;

    /// Waits for the oldest batch, `limit` at most.
    ///
    /// # Errors
    ///
    /// [`DeviceError::Idle`] when none is under way, [`DeviceError::Hung`] when the limit passed, else
    /// what broke.
    fn finish(&mut self, limit: Duration) -> Result<Scan, DeviceError>;
}

/// What can go wrong with a device.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// `begin` was called with as many batches under way as the device takes.
    #[error("the device already has {0} batches under way")]
    Full(usize),
    /// A batch has more hashes than a device takes at once.
    #[error("a batch of {0} hashes is larger than the {max} that a device takes", max = crate::limits::MAX_BATCH)]
    TooLarge(u64),
    /// A batch has other headers than the device takes at once.
    #[error("the device takes {width}, all of one roll; a batch has {region}")]
    Headers {
        /// What it was given.
        region: Region,
        /// What it takes with the batch's filter.
        width: Width,
    },
    /// `finish` was called with no batch under way.
    #[error("the device has no batch under way")]
    Idle,
    /// A batch did not end in time.
    #[error("the device did not answer within {:.1} s", .0.as_secs_f64())]
    Hung(Duration),
    /// The driver reports that the device is gone: unplugged, reset, or crashed.
    #[error("the device was lost: {0}")]
    Lost(String),
    /// The driver refused a call, or panicked in it.
    #[error("the driver failed: {0}")]
    Driver(String),
}

/// Refuses a batch whose headers a device of this width does not take at once.
pub(crate) fn check_headers(batch: &Batch, width: Width) -> Result<(), DeviceError> {
    let (region, width) = (batch.region, width.with(batch.filter));
    if width.takes_batch(region) && batch.job.rolls.are_of_one_roll(region.headers) {
        Ok(())
    } else {
        Err(DeviceError::Headers { region, width })
    }
}

/// Runs a call that may never return, on a thread of its own. `None` when it did not end within
/// `limit`, and when it panicked; the thread is then left to itself.
pub(crate) fn within<T: Send + 'static>(
    limit: Duration,
    call: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let (sender, receiver) = mpsc::channel();
    let spawned = std::thread::Builder::new().spawn(move || {
        // Nobody listens any more when the limit has passed.
        let _ = sender.send(call());
    });
    // Without a thread the call would block the caller: it counts as one that did not end.
    spawned.ok()?;
    receiver.recv_timeout(limit).ok()
}
