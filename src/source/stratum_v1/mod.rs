//! Stratum V1, the client's side.
