//! Signals for programs that run.

use std::process::{Child, Command};

/// Sends a signal such as `INT` to a program.
pub(crate) fn signal(child: &Child, name: &str) {
    // The shell's own `kill`: the program of that name is not everywhere.
    let kill = format!("kill -{name} {}", child.id());
    assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
}
