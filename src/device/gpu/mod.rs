//! Graphics adapters, through wgpu on Vulkan, Metal and DX12.
//!
//! Drivers hang, panic and lie. Every call that can block has a limit, every panic is caught, and a
//! dispatch counts only when its report proves that it ran.

mod adapter;
mod clock;
mod executable;
mod manifest;
mod open;
mod pipeline;
mod ring;
mod stage;
mod statistics;

pub use adapter::{Adapter, adapters};
pub use executable::{CompileError, Compiled, Executable, compile};
pub use manifest::{UnknownDriver, driver_files};
pub use open::{Gpu, OpenError};
pub use statistics::Counts;

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs driver code and turns its panic into a message.
fn guarded<T>(call: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(call)).map_err(|panic| {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
        text.unwrap_or_else(|| "the driver panicked without a message".to_owned())
    })
}
