//! Records of benchmarks as people and other programs like to read them.
//!
//! All of it is text without a newline at its end. Records may come from files, so nothing in them is
//! trusted: text is cleaned and escaped for where it goes, and figures that cannot be are unknown.

mod compared;
mod csv;
mod figures;
mod html;
mod lines;
mod markdown;
mod notes;
mod table;
#[cfg(test)]
mod tests;

pub use csv::csv;
pub use html::html;
pub use markdown::markdown;
pub use table::table;
