//! What measuring costs: the rate that `adit bench` measures against that of `adit scan`, with the same kernel on the
//! same device, over nonces of one header in batches of the same length, both as whole programs, in turns. Wanted:
//! within 2 %. With `--hashes` a range has many headers, so that other kernels find room, and batches that are shorter.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a bench may panic and print")]

#[expect(dead_code, reason = "other benches need the rest")]
mod common;

use std::process::Command;

use adit::chain::KNOWN_BLOCKS;
use adit::device::gpu::adapters;
use common::{ROUNDS, Rounds, started};
use serde_json::Value;

/// What `scan` does: on lavapipe five to fifteen seconds of work, on a fast GPU less than one.
const HASHES: &str = "150000000";

/// How long `bench` measures.
const TIME: &str = "12s";

fn main() {
    if !started() {
        return;
    }
    let adapters = adapters().unwrap();
    let Some(adapter) = adapters.first() else {
        return println!("skipped: there is no graphics adapter");
    };
    println!("{}", adapter.facts.name);
    let device = adapter.facts.name.as_str();
    let header = KNOWN_BLOCKS[0].header;
    let nonces = format!("0..{HASHES}");
    let kernel =
        ["--variant", "std-literal-w64", "--device", device, "--json", "--profile", "dedicated"];
    let mut rounds = Rounds::default();
    for _ in 0..ROUNDS {
        let scanned = json(&[&["scan", header, "--nonces", &nonces], &kernel[..]].concat());
        let scanned = scanned["hashes_per_second"].as_f64().unwrap();
        let once = ["bench", "--time", TIME, "--openings", "1"];
        let measured = json(&[&once, &kernel[..]].concat());
        let measured = measured["subjects"][0]["estimate"]["rate"]["median"].as_f64().unwrap();
        rounds.add(measured, scanned);
    }
    rounds.print("bench", "scan");
}

fn json(arguments: &[&str]) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_adit")).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}
