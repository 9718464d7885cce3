//! Which kernel variant is the fastest on a device, measured on the device itself and remembered.
//!
//! [`candidates`] says what is worth measuring, [`run`] opens and measures it, [`halving`] decides
//! without clock or device what is measured next and which is the fastest, [`stats`] says how sure a
//! figure is, and [`cache`] keeps the results.

pub mod cache;
mod candidates;
pub mod halving;
mod run;
pub mod stats;

pub use candidates::candidates;
pub use run::{Order, Tuned, run};
