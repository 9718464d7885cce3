//! What is mined: jobs, ranges of nonces, batches, their scans, and the verification of each hit.
//!
//! Plain data. Nothing here knows a device, a thread or a clock.

mod batch;
mod job;
mod nonces;
mod rate;
mod verify;

pub use batch::{Assignment, Batch, Coverage, Filter, Scan};
pub use job::{Job, JobId, Share};
pub use nonces::{Nonces, NoncesError};
pub use rate::{Speed, rate};
pub use verify::{BadHit, verify};
