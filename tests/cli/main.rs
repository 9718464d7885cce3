//! The program as its users see it: arguments and input, output, exit codes. On the CPU, so that no
//! test needs a graphics driver.

#![expect(clippy::unwrap_used, reason = "a test may panic, and so may what it calls")]

mod bad_input;
mod bench;
mod desktop;
#[cfg(target_os = "linux")]
mod egress;
mod hooks;
mod http;
#[cfg(target_os = "linux")]
#[path = "../common/ledger.rs"]
mod ledger;
mod log;
mod look;
mod mine;
#[cfg(unix)]
mod pools;
#[cfg(target_os = "linux")]
mod presence;
#[cfg(unix)]
mod proxied;
#[cfg(unix)]
#[path = "../common/proxy.rs"]
mod proxy;
#[cfg(unix)]
mod reload;
mod scan;
mod settings;
#[cfg(unix)]
#[path = "../common/signal.rs"]
mod signal;
mod tune;
#[path = "../common/watched.rs"]
mod watched;

use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use assert_cmd::Command;
use serde_json::Value;

/// The main chain's first header. Its nonce is 2083236893.
const GENESIS: &str = "0100000000000000000000000000000000000000000000000000000000000000000000003ba3edfd7a7b12b27ac72c3e67768f617fc81bc3888a51323a9fb8aa4b1e5e4a29ab5f49ffff001d1dac2b7c";
const GENESIS_HASH: &str = "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f";

const ADIT: &str = env!("CARGO_BIN_EXE_adit");

/// Far more than any of these commands takes: a command that hangs fails its test.
const LIMIT: Duration = Duration::from_secs(300);

fn adit(arguments: &[&str]) -> Command {
    let mut command = Command::new(ADIT);
    command.args(arguments).env_remove("RUST_LOG").timeout(LIMIT);
    // No test reads or writes what the user has.
    command.env("ADIT_CACHE_DIR", env!("CARGO_TARGET_TMPDIR"));
    command.env("ADIT_BENCH_DIR", env!("CARGO_TARGET_TMPDIR"));
    command.env("ADIT_CONFIG", empty_settings()).env("ADIT_STATE_DIR", state_folder());
    command
}

/// A folder for share log and blocks that no other run has, which would be refused.
fn state_folder() -> PathBuf {
    static RUNS: AtomicU32 = AtomicU32::new(0);
    let run = RUNS.fetch_add(1, Ordering::Relaxed);
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("state {} {run}", std::process::id()))
}

/// Nobody tells whether the machine is used: no display, and no program of logind's.
fn without_a_desktop(command: &mut Command) {
    command.env_remove("DISPLAY").env_remove("WAYLAND_DISPLAY");
    command.env("PATH", env!("CARGO_TARGET_TMPDIR"));
}

/// A file without a setting, in place of the user's.
fn empty_settings() -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("no settings.toml");
    if !path.exists() {
        std::fs::write(&path, "").unwrap();
    }
    path
}

/// Standard output of a command that must end well.
fn done(arguments: &[&str]) -> String {
    let output = adit(arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn json_lines(text: &str) -> Vec<Value> {
    text.lines().map(json).collect()
}

/// What a command that must fail with `code` says. It says it in words, not with a panic's.
fn refused(arguments: &[&str], code: i32) -> String {
    complaint(&adit(arguments).output().unwrap(), code)
}

fn complaint(output: &Output, code: i32) -> String {
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    let said = String::from_utf8(output.stderr.clone()).unwrap();
    assert!(said.contains("error: "), "{said}");
    assert_calm(&said);
    said
}

fn assert_calm(said: &str) {
    for word in ["panicked", "backtrace", "RUST_BACKTRACE", "unwrap", "Err("] {
        assert!(!said.contains(word), "{said}");
    }
}

/// A header with other compact bits, which lie at byte 72 with the lowest byte first.
fn with_bits(bits: u32) -> String {
    format!("{}{:08x}{}", &GENESIS[..144], bits.swap_bytes(), &GENESIS[152..])
}
