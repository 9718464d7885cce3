//! A run watched from elsewhere: JSON, server-sent events, Prometheus metrics and a web page over HTTP, and the API
//! of port 4028 for dashboards of mining rigs.
//!
//! It has a thread of its own and sees the run through snapshots only, so no client can hold up mining.

mod events;
mod gate;
mod history;
mod metrics;
mod openapi;
mod page;
mod rigs;
mod routes;
mod server;

pub use gate::{Token, TokenError};
pub use rigs::{RigListener, answer as rig_answer};
pub use server::{Listener, Server, Site};

#[cfg(test)]
mod sample;
#[cfg(test)]
mod tests;
