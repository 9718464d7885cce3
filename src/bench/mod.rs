//! Measuring kernels and devices so that others can trust and repeat the figures.

pub mod record;
