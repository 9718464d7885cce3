//! An open adapter as a [`Device`].

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use wgpu::{Features, PollError, PollType};

use super::ring::Ring;
use super::stage::{self, Stage};
use super::{Adapter, guarded};
use crate::device::{Device, DeviceError, DeviceInfo, Opening, check_headers, within};
use crate::kernel::{Kernel, Test, Variant};
use crate::limits::{DISPATCHES_IN_FLIGHT, DRIVER_DEADLINE, MAX_BATCH};
use crate::work::{Batch, Scan, Width};

/// Four buffers of 6 MiB at most: what the weakest adapter of WebGPU has is more than enough.
fn required_limits() -> wgpu::Limits {
    wgpu::Limits { max_non_sampler_bindings: 1024, ..wgpu::Limits::downlevel_defaults() }
}

/// Why an adapter could not be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The driver gives no device.
    #[error("the driver gives no device: {0}")]
    Refused(String),
    /// The driver's compiler fails on the kernel.
    #[error("the driver cannot compile kernel {kernel}: {why}")]
    Compile {
        /// The kernel's name.
        kernel: String,
        /// What the driver says.
        why: String,
    },
    /// The driver did not answer.
    #[error("the driver did not open the device within {} s", DRIVER_DEADLINE.as_secs())]
    Hung,
    /// The driver panicked.
    #[error("the driver panicked: {0}")]
    Panicked(String),
}

/// A graphics adapter at work.
pub struct Gpu {
    info: DeviceInfo,
    /// `None` once the device failed: dropping a lost queue can panic or hang, so it is forgotten.
    inner: Option<Inner>,
}

struct Inner {
    device: wgpu::Device,
    queue: wgpu::Queue,
    stages: Stages,
    ring: Ring,
    faults: Arc<Faults>,
    previous_end: Option<Instant>,
}

/// The kernels of a device: the variant that it was opened with, and those in the same forms that serve
/// what it does not.
struct Stages {
    /// For several headers at once, where the variant's layout takes them.
    wide: Option<Stage>,
    /// For targets of difficulty 1 or more. `None` when the variant has the mask test, which serves all.
    zero_test: Option<Stage>,
    mask_test: Stage,
}

/// What wgpu's callbacks report from wherever they run.
#[derive(Default)]
struct Faults {
    lost: AtomicBool,
    /// The first error that no scope caught, or the reason of the loss.
    first: Mutex<Option<String>>,
}

impl Gpu {
    /// Opens an adapter with a kernel: the variant for targets of difficulty 1 or more, its mask twin
    /// for easier ones, and the std layout where it takes several headers and gets one. The device is not
    /// tested yet; [`crate::device::selftest`] does that.
    ///
    /// # Errors
    ///
    /// When the driver refuses, hangs or panics, or cannot compile the kernel.
    pub fn open(adapter: &Adapter, opening: impl Into<Opening>) -> Result<Self, OpenError> {
        let (adapter, opening) = (adapter.clone(), opening.into());
        within(DRIVER_DEADLINE, move || guarded(|| Self::open_now(&adapter, &opening)))
            .ok_or(OpenError::Hung)?
            .map_err(OpenError::Panicked)?
    }

    fn open_now(adapter: &Adapter, opening: &Opening) -> Result<Self, OpenError> {
        let kernel = &opening.kernel;
        // The adapter's own clock, where it has one.
        let offered =
            if opening.timestamps { adapter.handle.features() } else { Features::empty() };
        let timestamps = offered & Features::TIMESTAMP_QUERY;
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("adit"),
            required_features: timestamps,
            required_limits: required_limits(),
            memory_hints: wgpu::MemoryHints::MemoryUsage,
            ..wgpu::DeviceDescriptor::default()
        };
        let (device, queue) = pollster::block_on(adapter.handle.request_device(&descriptor))
            .map_err(|error| OpenError::Refused(error.to_string()))?;
        let faults = Arc::new(Faults::default());
        faults.watch(&device);
        let stages = Stages::compile(&device, kernel)?;
        let info = DeviceInfo::new(
            adapter.facts.clone(),
            kernel.to_string(),
            DISPATCHES_IN_FLIGHT,
            stage::width(kernel.variant),
        );
        let clock = (!timestamps.is_empty()).then(|| queue.get_timestamp_period());
        let ring = Ring::new(&device, DISPATCHES_IN_FLIGHT, clock);
        let inner = Inner { device, queue, stages, ring, faults, previous_end: None };
        inner.faults.check().map_err(|error| OpenError::Refused(error.to_string()))?;
        Ok(Self { info, inner: Some(inner) })
    }

    /// Destroys the device behind wgpu's back, as an unplugged card or a driver reset does. For tests.
    pub fn destroy(&self) {
        if let Some(inner) = &self.inner {
            inner.device.destroy();
        }
    }

    /// Runs a call on the open device. After an error that ends the device nothing more is called.
    fn call<T>(
        &mut self,
        call: impl FnOnce(&mut Inner) -> Result<T, DeviceError>,
    ) -> Result<T, DeviceError> {
        let Some(inner) = &mut self.inner else {
            return Err(DeviceError::Lost("it failed before".to_owned()));
        };
        let result =
            guarded(|| call(inner)).unwrap_or_else(|panic| Err(DeviceError::Driver(panic)));
        match result {
            Err(error @ (DeviceError::Lost(_) | DeviceError::Driver(_) | DeviceError::Hung(_))) => {
                std::mem::forget(self.inner.take());
                Err(error)
            }
            other => other,
        }
    }
}

impl Device for Gpu {
    fn info(&self) -> &DeviceInfo {
        &self.info
    }

    fn begin(&mut self, batch: Batch) -> Result<(), DeviceError> {
        let width = self.info.width;
        self.call(|inner| inner.begin(&batch, width))
    }

    fn finish(&mut self, limit: Duration) -> Result<Scan, DeviceError> {
        self.call(|inner| inner.finish(limit))
    }
}

impl Drop for Gpu {
    fn drop(&mut self) {
        let Some(inner) = self.inner.take() else { return };
        match within(DRIVER_DEADLINE, || guarded(|| drop(inner))) {
            Some(Ok(())) => {}
            Some(Err(panic)) => tracing::warn!(
                "{}: the driver panicked while it was closed: {panic}",
                self.info.name
            ),
            None => tracing::warn!("{}: the driver did not close the device", self.info.name),
        }
    }
}

impl Inner {
    fn begin(&mut self, batch: &Batch, width: Width) -> Result<(), DeviceError> {
        if self.ring.is_full() {
            return Err(DeviceError::Full(self.ring.under_way.len()));
        }
        // The shader counts in 32 bits: 2^32 hashes would look like none.
        if batch.region.len() > MAX_BATCH {
            return Err(DeviceError::TooLarge(batch.region.len()));
        }
        check_headers(batch, width)?;
        let stage = self.stages.of(batch);
        self.ring.submit(&self.device, &self.queue, stage, batch);
        self.faults.check()
    }

    fn finish(&mut self, limit: Duration) -> Result<Scan, DeviceError> {
        let Some(oldest) = self.ring.under_way.front() else { return Err(DeviceError::Idle) };
        let submission_index = Some(oldest.submission.clone());
        let waited = self.device.poll(PollType::Wait { submission_index, timeout: Some(limit) });
        self.faults.check()?;
        match waited {
            Ok(_) => {}
            Err(PollError::Timeout) => return Err(DeviceError::Hung(limit)),
            Err(error) => return Err(DeviceError::Lost(error.to_string())),
        }
        let scan = self.ring.take(self.previous_end).map_err(DeviceError::Lost)?;
        self.previous_end = Some(Instant::now());
        Ok(scan)
    }
}

impl Stages {
    fn compile(device: &wgpu::Device, kernel: &Kernel) -> Result<Self, OpenError> {
        let stage = |kernel: Kernel| {
            let name = kernel.to_string();
            Stage::new(device, kernel).map_err(|why| OpenError::Compile { kernel: name, why })
        };
        let of = |variant: Variant| {
            stage(if variant == kernel.variant { kernel.clone() } else { Kernel::new(variant) })
        };
        let (variant, std) = (kernel.variant, kernel.variant.std());
        Ok(Self {
            wide: (std != variant).then(|| of(variant)).transpose()?,
            zero_test: (std.test == Test::Word7).then(|| of(std)).transpose()?,
            mask_test: of(std.with_test(Test::Mask))?,
        })
    }

    /// The kernel for a batch that the device takes.
    fn of(&mut self, batch: &Batch) -> &mut Stage {
        let wide = self.wide.as_mut().filter(|_| batch.region.headers.len() > 1);
        let zero_test = self.zero_test.as_mut().filter(|stage| stage.serves(batch.filter));
        wide.or(zero_test).unwrap_or(&mut self.mask_test)
    }
}

impl Faults {
    /// Installs the handlers. Without them wgpu panics on the first error.
    fn watch(self: &Arc<Self>, device: &wgpu::Device) {
        let faults = Arc::clone(self);
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            faults.note(error.to_string());
        }));
        let faults = Arc::clone(self);
        // Called with locks of wgpu held: it takes the one short lock of `note`, and calls nothing of wgpu.
        device.set_device_lost_callback(move |reason, message| {
            let message = message.trim();
            faults.note(match reason {
                wgpu::DeviceLostReason::Destroyed => "it was destroyed".to_owned(),
                wgpu::DeviceLostReason::Unknown if message.is_empty() => {
                    "the driver gives no reason".to_owned()
                }
                wgpu::DeviceLostReason::Unknown => message.to_owned(),
            });
            // Relaxed: the flag is read after the calls of the same thread that can set it.
            faults.lost.store(true, Ordering::Relaxed);
        });
    }

    fn note(&self, what: String) {
        self.first.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(what);
    }

    fn check(&self) -> Result<(), DeviceError> {
        let first = self.first.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match first {
            None => Ok(()),
            Some(why) if self.lost.load(Ordering::Relaxed) => Err(DeviceError::Lost(why)),
            Some(why) => Err(DeviceError::Driver(why)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::WORKGROUP_MEMORY;

    #[test]
    fn a_kernel_may_share_what_an_open_adapter_has() {
        assert_eq!(WORKGROUP_MEMORY, required_limits().max_compute_workgroup_storage_size);
    }
}
