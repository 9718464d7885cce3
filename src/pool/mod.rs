//! The practice pool.
