//! adit: a GPU mining engine for double SHA-256.
//!
//! ```text
//!  replay ──Job──▶ engine ──Assignment──▶ mailbox of each device
//!                   ▲  │                        │ the driver cuts it into batches of 2 to 50 ms
//!                   │  │                        ▼
//!                   │  │                 Device: begin … finish (GPU, CPU, simulated)
//!                   │  │                        │ Scan { hits, coverage }
//!                   │  └── Share ◀── verify() with the sha2 crate, on the CPU
//!                   └──── ledger ◀──────────────┘ every hash tested once, or given back with a reason
//! ```
//!
//! Data flows one way, and so do dependencies: `chain` ← `kernel`, `work` ← `source`, `device` ←
//! `engine` ← `runtime` ← `api`, `bench`, `pool` ← `ui` ← `cli`. docs/ARCHITECTURE.md tells the whole story.

pub mod api;
pub mod bench;
pub mod chain;
pub mod cli;
pub mod device;
pub mod engine;
pub mod files;
pub mod kernel;
pub mod limits;
pub mod link;
pub mod pool;
pub mod runtime;
pub mod source;
pub mod ui;
pub mod work;
