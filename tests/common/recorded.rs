//! Where recorded sessions, templates and headers lie.

use std::env;
use std::path::PathBuf;

/// The folder that `ADIT_TEST_DATA` names, else the one beside the repository, of which the data is no part: a
/// test that finds nothing there says so.
pub(crate) fn folder() -> PathBuf {
    let beside = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    env::var_os("ADIT_TEST_DATA").map_or_else(beside, PathBuf::from)
}
