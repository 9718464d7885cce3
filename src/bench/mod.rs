//! Measuring kernels and devices so that others can trust and repeat the figures.
//!
//! [`run`] measures subjects (a kernel on a device) in turns, over headers of a [`workload`]; [`estimate`]
//! makes figures of the rounds with [`stats`], and [`compare`] says whether one is faster than another.
//! [`stress`] loads devices steadily instead, and watches what they report.
//! A [`record`] keeps all of it.

pub mod compare;
pub mod estimate;
pub mod machine;
mod measured;
pub mod record;
pub mod run;
pub mod stats;
mod steady;
pub mod store;
pub mod stress;
mod watch;
pub mod workload;
