//! The program is killed, its disk is full or broken, others want its files, and it is asked to end: nothing that it
//! told of is lost.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test may panic, and so may what it calls")]

mod disk;
mod end;
mod kills;
mod life;
mod node;
mod owners;
mod pool;
#[path = "../common/signal.rs"]
mod signal;

use std::time::Duration;

/// Far more than anything here takes.
const LIMIT: Duration = Duration::from_secs(120);
