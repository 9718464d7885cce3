//! What Mesa's compiler for AMD, RADV, makes of the kernels. It compiles for chips that are not there, so
//! this needs the driver but no GPU.

#[path = "common/ledger.rs"]
mod ledger;

use std::process::{Command, Output};

use serde_json::Value;

/// Variant, the most vector instructions that it may take for a hash on any of [`CHIPS`], the same of one
/// pass through its loop over hashes where it has one, and the most bytes of its code.
const BOUNDS: [(&str, f64, Option<f64>, u64); 4] = [
    ("std-uniform-chor-majshare-split-w64", 2782.0, None, 24 << 10),
    ("boost16loop-uniform-chor-majshare-split-w64", 2390.0, Some(2360.0), 24 << 10),
    ("verlane-uniform-chor-majshare-split-w64", 2360.0, Some(2360.0), 24 << 10),
    ("std-uniform-w64", 3012.0, None, 24 << 10),
];

/// The last is one whose assembly Debian's Mesa 25 cannot print.
const CHIPS: [&str; 3] = ["navi21", "navi31", "gfx1201"];

/// What is said where there is no driver to ask.
const NO_DRIVER: [&str; 2] = ["no Vulkan driver", "no Vulkan loader"];

/// Older compilers write other code, and some tell less.
const OLDEST_MESA: u32 = 25;

#[test]
fn no_kernel_costs_more_than_it_did() {
    let test = "no_kernel_costs_more_than_it_did";
    for chip in CHIPS {
        let variants = BOUNDS.iter().flat_map(|(variant, ..)| ["--variant", variant]);
        let arguments: Vec<&str> = ["--chip", chip].into_iter().chain(variants).collect();
        let rows = match cost(&arguments) {
            Ok(rows) => rows,
            Err(why) => return skipped(test, &why),
        };
        let driver = rows[0]["driver"].as_str().unwrap_or_default();
        if mesa(driver).is_none_or(|mesa| mesa < OLDEST_MESA) {
            let why = format!("{driver:?} is not of Mesa {OLDEST_MESA} or newer");
            return skipped(test, &why);
        }
        let rows = rows.as_array().unwrap();
        assert_eq!(rows.len(), BOUNDS.len(), "{rows:?}");
        for (row, (variant, bound, in_loop, bytes)) in rows.iter().zip(BOUNDS) {
            assert_eq!(row["variant"], variant);
            let cost = row["valu_per_hash"].as_f64();
            let kept = cost.is_some_and(|cost| cost <= bound);
            assert!(kept, "{variant} on {chip}: {cost:?} per hash, {bound} before: {row}");
            assert_eq!(row["spills"], 0, "{variant} on {chip}");
            let body = row["loop_valu_per_hash"].as_f64();
            let kept = in_loop.is_none_or(|bound| body.is_some_and(|body| body <= bound));
            assert!(kept, "{variant} on {chip}: {body:?} in the loop, {in_loop:?} before: {row}");
            assert!(row["code_bytes"].as_u64().is_some_and(|size| size <= bytes), "{row}");
        }
    }
    ran(test);
}

#[test]
fn whatever_the_driver_tells_the_figures_have_their_names() {
    let test = "whatever_the_driver_tells_the_figures_have_their_names";
    let rows = match cost(&["--variant", "std-literal-w64", "--variant", "std-reference-w64"]) {
        Ok(rows) => rows,
        Err(why) => return skipped(test, &why),
    };
    for (row, variant) in rows.as_array().into_iter().flatten().zip(["literal", "reference"]) {
        assert_eq!(row["variant"], format!("std-{variant}-w64"));
        assert!(row["device"].is_string() && row["compile_seconds"].is_f64(), "{row}");
        assert!(row["statistics"].is_object() && row["loops"].is_array(), "{row}");
        for figure in [
            "driver",
            "instructions",
            "valu",
            "vector_registers",
            "scalar_registers",
            "spills",
            "code_bytes",
            "valu_per_hash",
            "loop_valu_per_hash",
            "error",
        ] {
            assert!(row.get(figure).is_some(), "{figure} is not in {row}");
        }
        for limit in row["limits"].as_array().into_iter().flatten() {
            assert!(limit["gpu"].is_string() && limit["source"].is_string(), "{limit}");
            assert!(limit.get("hashes_per_second").is_some(), "{limit}");
        }
    }
    assert_eq!(rows.as_array().map(Vec::len), Some(2), "{rows}");
    ran(test);
}

/// A chip that no driver knows, which RADV of Mesa 25 answers with an abort.
#[test]
fn a_driver_that_crashes_is_told_with_the_variant() {
    let test = "a_driver_that_crashes_is_told_with_the_variant";
    if let Err(why) = cost(&["--chip", "navi21", "--variant", "std-literal-w64"]) {
        return skipped(test, &why);
    }
    let output = run(&["--chip", "barrel", "--variant", "std-literal-w64"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let crashed = said.contains("std-literal-w64: the driver's compiler crashed");
    // A driver that takes the question without a crash finds no device.
    assert!(crashed || said.contains("no Vulkan driver finds a device"), "{said}");
    ran(test);
}

/// What `adit kernel cost --json` prints, or why there is no driver that it could ask.
fn cost(arguments: &[&str]) -> Result<Value, String> {
    let output = run(arguments);
    let said = String::from_utf8_lossy(&output.stderr);
    // Only that: a variant without a name must not pass for a missing driver.
    if NO_DRIVER.iter().any(|no_driver| said.contains(no_driver)) && output.stdout.is_empty() {
        return Err(said.into_owned());
    }
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    Ok(serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}")))
}

fn run(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_adit"));
    let command = command.args(["kernel", "cost", "--json"]).args(arguments).env_remove("RUST_LOG");
    command.output().unwrap_or_else(|error| panic!("{error}"))
}

fn ran(test: &str) {
    ledger::ran(&format!("compiler::{test}"));
}

fn skipped(test: &str, why: &str) {
    ledger::skipped(&format!("compiler::{test}"), why);
}

/// The major version in `radv Mesa 25.0.7-2`.
fn mesa(driver: &str) -> Option<u32> {
    driver.split_once("Mesa ")?.1.split('.').next()?.parse().ok()
}

#[test]
fn the_version_is_read_from_the_drivers_name() {
    assert_eq!(mesa("radv Mesa 25.0.7-2~bpo12+1"), Some(25));
    assert_eq!(mesa("radv Mesa 22.3.6"), Some(22));
    assert_eq!(mesa("AMD open-source driver 2025.Q1"), None);
}
