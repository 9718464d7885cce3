//! Messages beside the output: lines for people, or a JSON object a line.

use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;

/// One for the whole process, as standard error is.
static ARE_JSON: AtomicBool = AtomicBool::new(false);

/// How bad it is, in the words of `tracing`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Level {
    /// Good to know.
    Info,
    /// The reason why a command failed.
    Error,
}

/// A message with the keys that those of `tracing` have too.
#[derive(Serialize)]
struct Object<'a> {
    timestamp: String,
    level: Level,
    message: &'a str,
    target: &'static str,
}

/// Says in which form messages are from now on.
pub fn use_json(is_json: bool) {
    // Relaxed: the flag guards no other data.
    ARE_JSON.store(is_json, Ordering::Relaxed);
}

/// Whether each message is a JSON object.
#[must_use]
pub fn are_json() -> bool {
    ARE_JSON.load(Ordering::Relaxed)
}

/// A message in the form that was asked for, with the end of its line.
#[must_use]
pub fn line(level: Level, message: &str) -> String {
    if are_json() {
        return json(level, message, jiff::Timestamp::now());
    }
    match level {
        Level::Info => format!("{message}\n"),
        Level::Error => format!("error: {message}\n"),
    }
}

fn json(level: Level, message: &str, now: jiff::Timestamp) -> String {
    let object = Object { timestamp: format!("{now:.6}"), level, message, target: "adit" };
    // Text always has a form in JSON.
    serde_json::to_string(&object).unwrap_or_default() + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_line_whatever_is_in_it() {
        let now = jiff::Timestamp::from_microsecond(1_764_000_000_000_000).unwrap();
        assert_eq!(
            json(Level::Info, "a \"name\"\nand more", now),
            "{\"timestamp\":\"2025-11-24T16:00:00.000000Z\",\"level\":\"INFO\",\
             \"message\":\"a \\\"name\\\"\\nand more\",\"target\":\"adit\"}\n"
        );
        assert_eq!(line(Level::Error, "no device"), "error: no device\n");
    }
}
