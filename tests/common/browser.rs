//! The browser for tests of pages.

#[path = "ledger.rs"]
mod ledger;

use std::env;
use std::path::PathBuf;

/// The browser that is installed; `None` where there is none, or where `ADIT_TEST_BROWSER=0` asks for
/// none of these tests. Either way the ledger has it.
pub(crate) fn browser(test: &str) -> Option<PathBuf> {
    let unwanted = env::var_os("ADIT_TEST_BROWSER").is_some_and(|value| value == "0");
    let found = installed().filter(|_| !unwanted);
    let test = format!("browser::{test}");
    match found {
        Some(_) => ledger::ran(&test),
        None if unwanted => ledger::skipped(&test, "ADIT_TEST_BROWSER=0"),
        None => ledger::skipped(&test, "no Chromium is installed"),
    }
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
