//! Which peers are installed, and where.

use std::env;
use std::path::PathBuf;

use adit::device::gpu::adapters;

use crate::ledger;

/// The same facts for `install`, which is a shell script.
const VERSIONS: &str = include_str!("versions");

/// The folders of the peers that a test needs; `None` where one is not installed, or where
/// `ADIT_TEST_PEERS=0` asks for none of these tests. Either way the ledger has it.
pub(crate) fn peers<const N: usize>(test: &str, names: [&str; N]) -> Option<[PathBuf; N]> {
    if env::var_os("ADIT_TEST_PEERS").is_some_and(|value| value == "0") {
        skip(test, "ADIT_TEST_PEERS=0");
        return None;
    }
    let folders = names.map(folder);
    if let Some(missing) = names.iter().zip(&folders).find(|(_, folder)| !folder.is_dir()) {
        let name = missing.0;
        skip(test, &format!("{name} is not installed; run tests/peers/install {name}"));
        return None;
    }
    ledger::ran(&format!("peers::{test}"));
    Some(folders)
}

/// The first graphics adapter as `--device` names it, if there is one.
pub(crate) fn adapter() -> Option<&'static str> {
    let adapters = adapters().unwrap_or_else(|error| panic!("{error}"));
    (!adapters.is_empty()).then_some("0")
}

/// Says that a test does not run, and why.
pub(crate) fn skip(test: &str, why: &str) {
    ledger::skipped(&format!("peers::{test}"), why);
}

fn folder(name: &str) -> PathBuf {
    let mut peers = VERSIONS.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let version = peers.find(|words| words.first() == Some(&name)).unwrap()[1];
    let base = env::var_os("ADIT_PEERS_DIR").map(PathBuf::from);
    let base = base.unwrap_or_else(|| env::home_dir().unwrap().join(".cache/adit-peers"));
    base.join(format!("{name}-{version}"))
}
