//! `adit tune` on the first graphics adapter: what it finds is kept, and used.

#![expect(clippy::unwrap_used, reason = "a test may panic, and so may what it calls")]

#[expect(dead_code, reason = "these tests open no adapter themselves")]
mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::{Duration, Instant};

use adit::chain::KNOWN_BLOCKS;
use adit::device::inventory::{Entry, inventory};
use adit::device::speed::Meter;
use adit::device::tune::stats::median;
use adit::device::tune::{Order, candidates, run};
use adit::kernel::Variant;
use assert_cmd::Command;
use common::gpu;
use serde_json::Value;
use tempfile::TempDir;

/// A command that hangs fails its test.
const LIMIT: Duration = Duration::from_secs(120);

#[test]
fn a_tune_is_kept_used_and_shown_until_something_changes() {
    let Some(_) = gpu("a_tune_is_kept_used_and_shown_until_something_changes") else { return };
    let folder = TempDir::new().unwrap();
    let (told, _) = adit(folder.path(), &["tune", "--show", "--device", "0"]);
    assert!(told.contains("there is no result"), "{told}");

    let (told, _) = adit(folder.path(), &["tune", "-d", "0", "--budget", "2s", "--json"]);
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["status"], "fresh", "{told}");
    let result = told["result"].clone();
    let winner = result["winner"].as_str().unwrap();
    let file = only_file(folder.path());

    let scan =
        ["scan", KNOWN_BLOCKS[0].header, "--device", "0", "--nonces", "0..1000000", "--json"];
    let (told, said) = adit(folder.path(), &scan);
    assert!(!said.contains("Tuning"), "{said}");
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["devices"][0]["kernel"], winner);

    let show = ["tune", "--show", "--device", "0"];
    let (table, _) = adit(folder.path(), &show);
    let chosen = table.lines().find(|line| line.trim_end().ends_with("chosen")).unwrap();
    assert!(chosen.trim_start().starts_with(winner), "{table}");

    // Whatever the file says is used, though it is neither the fastest nor the default.
    let good = fs::read_to_string(&file).unwrap();
    let default = Variant::DEFAULT.to_string();
    let names = kernels(&result);
    let other = names.iter().find(|name| ![winner, &default].contains(name)).unwrap();
    let chosen = |kernel: &str| format!("\"winner\": \"{kernel}\"");
    fs::write(&file, good.replace(&chosen(winner), &chosen(other))).unwrap();
    let told: Value = serde_json::from_str(&adit(folder.path(), &scan).0).unwrap();
    assert_eq!(told["devices"][0]["kernel"], *other);
    let (_, said) = adit(folder.path(), &[&scan[..], &["--retune"]].concat());
    assert!(said.contains("anew (5s); `adit tune` does it thoroughly.\n"), "{said}");
    let retuned: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    assert_eq!(retuned["budget_seconds"], 5.0);

    fs::write(&file, good.replace("\"driver\": \"", "\"driver\": \"elder ")).unwrap();
    let (told, _) = adit(folder.path(), &show);
    assert!(told.contains("does not count any more: its driver was elder "), "{told}");
    fs::write(&file, &good[..good.len() / 2]).unwrap();
    let (told, _) = adit(folder.path(), &show);
    assert!(told.contains(&format!("{} is ignored: ", file.display())), "{told}");
    // Nothing of this is a reason to fail, and the file is replaced.
    let (_, said) = adit(folder.path(), &scan);
    assert!(said.contains("is ignored, and it is tuned anew: "), "{said}");
    assert!(said.contains("once (5s); `adit tune` does it thoroughly"), "{said}");
    assert!(adit(folder.path(), &show).0.contains("chosen"));
}

#[test]
fn a_folder_that_cannot_be_written_costs_the_result_only() {
    let Some(_) = gpu("a_folder_that_cannot_be_written_costs_the_result_only") else { return };
    let folder = TempDir::new().unwrap();
    let blocked = folder.path().join("file");
    fs::write(&blocked, "").unwrap();
    let (told, said) = adit(&blocked, &["tune", "--device", "0", "--budget", "1s"]);
    assert!(told.contains("chosen"), "{told}");
    assert!(said.contains("cannot be saved: "), "{said}");
}

#[test]
#[cfg(unix)]
fn ctrl_c_ends_a_tune_and_leaves_nothing() {
    use std::process::{Command, Stdio};

    let Some(_) = gpu("ctrl_c_ends_a_tune_and_leaves_nothing") else { return };
    let folder = TempDir::new().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_adit"));
    command.args(["tune", "--device", "0", "--budget", "10m"]).env("ADIT_CACHE_DIR", folder.path());
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(1500));
    let stopped = Instant::now();
    let kill = format!("kill -INT {}", child.id());
    assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    // The driver's compiler cannot be interrupted, but it is not waited for.
    assert!(stopped.elapsed() < Duration::from_secs(20), "{:?}", stopped.elapsed());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

/// Prints how good the choices of ten tunes are, each by an exhaustive measurement just before and after
/// it: the machine's other work, which not all kernels mind alike, is then the same.
#[test]
#[ignore = "measures for a quarter of an hour"]
fn the_choice_against_an_exhaustive_measurement() {
    let Some(_) = gpu("the_choice_against_an_exhaustive_measurement") else { return };
    let entry = &inventory(&[]).unwrap()[0];
    let order = Order {
        candidates: candidates(&entry.facts),
        budget: Duration::from_secs(30),
        batch_time: Duration::from_millis(12),
    };
    let name = |winner: usize| order.candidates[winner].to_string();
    let mut exhausted = vec![exhaust(entry, &order)];
    let mut good = 0;
    for _ in 0..10 {
        let tuned = run(&order, |variant| entry.open_tested(variant), || false, |_, _| {});
        let tuned = tuned.unwrap();
        let winner = tuned.verdict.winner.unwrap();
        exhausted.push(exhaust(entry, &order));
        let medians = medians(exhausted.iter().rev().take(2));
        let best = (0..medians.len()).max_by(|a, b| medians[*a].total_cmp(&medians[*b])).unwrap();
        let share = medians[winner] / medians[best];
        good += usize::from(share >= 0.97);
        println!(
            "{} in {:.1?}, {:?}: {:.1} % of {}",
            name(winner),
            tuned.elapsed,
            tuned.verdict.ending,
            share * 100.0,
            name(best)
        );
    }
    let medians = medians(exhausted.iter());
    let best = medians.iter().copied().fold(0.0, f64::max);
    for (variant, median) in order.candidates.iter().zip(&medians) {
        println!("{variant}: {:.1} % of the best", median / best * 100.0);
    }
    println!("{good} of 10 choices are within 3 % of the best");
}

/// Rounds of an exhaustive measurement, in each of which every candidate has a share of what all did.
type Shares = Vec<Vec<f64>>;

/// The median share of each candidate.
fn medians<'s>(measurements: impl Iterator<Item = &'s Shares>) -> Vec<f64> {
    let rounds: Vec<&Vec<f64>> = measurements.flatten().collect();
    let of = |candidate: usize| rounds.iter().map(|round| round[candidate]).collect::<Vec<f64>>();
    (0..rounds[0].len()).map(|candidate| median(&of(candidate)).unwrap()).collect()
}

/// Measures every candidate in each of some rounds.
fn exhaust(entry: &Entry, order: &Order) -> Shares {
    let time = Duration::from_millis(150);
    let opened = order.candidates.iter().map(|variant| {
        let meter = Meter::new(entry.open_tested(*variant).unwrap(), order.batch_time).unwrap();
        meter.sample(time).unwrap().1
    });
    let mut meters: Vec<Meter> = opened.collect();
    let mut rounds = Vec::new();
    for round in 0..9 {
        let count = meters.len();
        meters.rotate_left(round % count);
        let sampled: Vec<_> = meters.into_iter().map(|meter| meter.sample(time).unwrap()).collect();
        let mut rates: Vec<f64> =
            sampled.iter().map(|(sample, _)| sample.rate().unwrap()).collect();
        meters = sampled.into_iter().map(|(_, meter)| meter).collect();
        rates.rotate_right(round % count);
        meters.rotate_right(round % count);
        let sum: f64 = rates.iter().sum();
        rounds.push(rates.into_iter().map(|rate| rate / sum).collect());
    }
    rounds
}

/// The names of the candidates of a result.
fn kernels(result: &Value) -> Vec<&str> {
    let rows = result["candidates"].as_array().unwrap().iter();
    rows.map(|row| row["kernel"].as_str().unwrap()).collect()
}

fn only_file(folder: &Path) -> PathBuf {
    let files: Vec<PathBuf> =
        fs::read_dir(folder.join("tune")).unwrap().map(|entry| entry.unwrap().path()).collect();
    let [file] = files.as_slice() else { panic!("{files:?}") };
    file.clone()
}

/// What a command that must end well prints, and what it remarks.
fn adit(folder: &Path, arguments: &[&str]) -> (String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_adit"));
    command.args(arguments).env_remove("RUST_LOG").env("ADIT_CACHE_DIR", folder).timeout(LIMIT);
    let Output { status, stdout, stderr } = command.output().unwrap();
    let [told, said] = [stdout, stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    assert!(status.success(), "{arguments:?}: {told}{said}");
    (told, said)
}
