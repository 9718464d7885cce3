//! What is mined: jobs, their headers and nonces, batches, their scans, and the verification of each hit.
//!
//! Plain data. Nothing here knows a device, a thread or a clock.

mod batch;
mod job;
mod pace;
mod price;
mod rate;
mod region;
mod rolls;
mod span;
mod verdict;
mod verify;
mod width;

pub use batch::{Assignment, Batch, Coverage, DeviceSpan, Filter, Scan};
pub use job::{Job, JobId, Share, SourceId};
pub use pace::{Duty, Pace, Profile};
pub use price::Price;
pub use rate::{Speed, rate};
pub use region::{Hit, Region};
pub use rolls::{Coinbase, Rolls, RollsError};
pub use span::{Headers, Nonces, Span, SpanError};
pub use verdict::{Ticket, Verdict};
pub use verify::{BadHit, verify};
pub use width::Width;
