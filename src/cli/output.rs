//! Lines on standard output and standard error. A closed pipe is an error here, never a panic.

use std::fmt::Display;
use std::io::{self, Write as _};

use serde::Serialize;

use super::Failure;
use crate::ui::messages::{self, Level};
use crate::ui::screen::terminal::Messages;

/// One line for the user or the next program in the pipe.
pub(super) fn line(text: impl Display) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")?;
    Ok(out.flush()?)
}

/// One line of JSON.
pub(super) fn json(value: &impl Serialize) -> Result<(), Failure> {
    // Written as it is made: a scan can have a million hits.
    let mut out = io::BufWriter::new(io::stdout().lock());
    serde_json::to_writer(&mut out, value).map_err(io::Error::from)?;
    out.write_all(b"\n")?;
    Ok(out.flush()?)
}

/// A remark beside the output. Nothing can be done when it cannot be shown.
pub(super) fn note(text: impl Display) {
    let _ = Messages.write_all(messages::line(Level::Info, &text.to_string()).as_bytes());
}
