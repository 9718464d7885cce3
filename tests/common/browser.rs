//! The browser for tests of pages.

#[path = "ledger.rs"]
mod ledger;

use std::env;
use std::path::PathBuf;

/// The browser that is installed; `None` where there is none, or where `ADIT_TEST_BROWSER=0` asks for
/// none of these tests. Either way the ledger has it.
#[expect(clippy::print_stdout, reason = "a skipped test says so")]
pub(crate) fn browser(test: &str) -> Option<PathBuf> {
    let unwanted = env::var_os("ADIT_TEST_BROWSER").is_some_and(|value| value == "0");
    let found = installed().filter(|_| !unwanted);
    let line = match found {
        Some(_) => format!("ran browser::{test}"),
        None if unwanted => format!("skipped browser::{test}: ADIT_TEST_BROWSER=0"),
        None => format!("skipped browser::{test}: no Chromium is installed"),
    };
    if found.is_none() {
        println!("{line}");
    }
    ledger::note(&line);
    found
}

fn installed() -> Option<PathBuf> {
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let path = env::var_os("PATH")?;
    let folders: Vec<PathBuf> = env::split_paths(&path).collect();
    let mut files =
        names.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    files.find(|file| file.is_file())
}
