//! x
pub mod chain;
pub mod device;
pub mod engine;
pub mod kernel;
pub mod limits;
pub mod runtime;
pub mod work;
