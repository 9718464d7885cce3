//! What ran and what was skipped: a run must not look complete only because nothing ran.

use std::env;
use std::fs::OpenOptions;
use std::io::Write as _;

/// Notes that a test runs that needs what not every machine has.
pub(crate) fn ran(test: &str) {
    note(&format!("ran {test}"));
}

/// Notes that it does not, and says so.
#[expect(clippy::print_stdout, reason = "a skipped test says so")]
pub(crate) fn skipped(test: &str, why: &str) {
    let line = format!("skipped {test}: {}", why.trim());
    println!("{line}");
    note(&line);
}

/// Adds a line to the file that `ADIT_TEST_LEDGER` names, if any.
fn note(line: &str) {
    let Some(ledger) = env::var_os("ADIT_TEST_LEDGER") else { return };
    // One write for each line: tests of other processes append to the same file.
    let written = OpenOptions::new()
        .append(true)
        .create(true)
        .open(&ledger)
        .and_then(|mut file| file.write_all(format!("{line}\n").as_bytes()));
    written.unwrap_or_else(|error| panic!("{}: {error}", ledger.display()));
}
