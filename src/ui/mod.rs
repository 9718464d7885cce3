//! How things look to a person.

pub mod messages;
pub mod progress;
pub mod report;
pub mod screen;
pub mod text;
