//! Whom a coinbase pays.

/// What a coinbase says and whom it pays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coinbase {}
