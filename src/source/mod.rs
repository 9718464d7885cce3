//! Who hands out work.

pub mod replay;
