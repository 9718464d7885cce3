//! `adit bench` on the first graphics adapter, as its users see it.

#![expect(clippy::unwrap_used, reason = "a test may panic, and so may what it calls")]

#[expect(dead_code, reason = "these tests open adapters in their own way")]
mod common;

use std::time::Duration;

use adit::bench::record::KernelFacts;
use adit::bench::run::{Amount, Entrant, Plan, run};
use adit::bench::workload::Workload;
use adit::device::gpu::Gpu;
use adit::device::{Device, Opening};
use adit::kernel::Variant;
use assert_cmd::Command;
use common::{failed, gpu};
use serde_json::Value;

/// A command that hangs fails its test.
const LIMIT: Duration = Duration::from_secs(240);

/// As little as shows that it works.
const SHORT: [&str; 6] = ["--openings", "1", "--warm-up", "0s", "--time", "100ms"];

#[test]
fn an_adapter_and_the_cpu_have_the_same_checksum() {
    let Some(adapters) = gpu("an_adapter_and_the_cpu_have_the_same_checksum") else { return };
    let bench = ["--device", "0", "--device", "cpu", "--hashes", "2M", "--seed", "5"];
    let record = json(&[&bench[..], &SHORT[..4]].concat());
    let [gpu, cpu] = [0, 1].map(|place| &record["subjects"][place]);
    assert_eq!(gpu["device"]["name"], adapters[0].facts.name);
    // That of the command line on a fixed range, whatever the device.
    assert!(gpu["proof"]["checksum"].is_string(), "{gpu}");
    assert_eq!(gpu["proof"], cpu["proof"]);
    for subject in [gpu, cpu] {
        assert_eq!(subject["hits"]["wrong"], 0, "{subject}");
        let rounds = subject["rounds"].as_array().unwrap();
        let tested: u64 = rounds.iter().filter_map(|round| round["hashes"].as_u64()).sum();
        assert!((2_000_000..2_010_000).contains(&tested), "{tested}");
    }
    assert!(cpu["estimate"]["device_rate"].is_null(), "the CPU has no clock of its own");
}

#[test]
fn a_users_kernel_is_measured_beside_ones_that_are_built_in() {
    let test = "a_users_kernel_is_measured_beside_ones_that_are_built_in";
    let Some(_) = gpu(test) else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.into_os_string().into_string().unwrap()
    };
    let printed = adit(&["kernel", "print", "--variant", "std-uniform-w64"], 0).0;
    let own = file("own.wgsl", &printed);
    let kernels = ["--device", "0", "--variant", "std-literal-w64", "--wgsl", &own];
    let record = json(&[&kernels[..], &SHORT].concat());
    let [built_in, custom] = [0, 1].map(|place| &record["subjects"][place]);
    assert_eq!(built_in["kernel"]["name"], "std-literal-w64");
    assert_eq!(custom["kernel"]["name"], *own);
    assert_ne!(custom["kernel"]["wgsl_sha256"], built_in["kernel"]["wgsl_sha256"]);
    assert_eq!(custom["proof"], built_in["proof"]);
    assert!(custom["estimate"]["rate"]["median"].as_f64() > Some(0.0), "{custom}");

    // K of round 20. The other is measured all the same.
    let wrong = file("wrong.wgsl", &printed.replace("0x2de92c6fu", "0x2de92c6eu"));
    let kernels = ["--device", "0", "--variant", "std-literal-w64", "--wgsl", &wrong];
    let record = json(&[&kernels[..], &SHORT].concat());
    let error = record["subjects"][1]["error"].as_str().unwrap();
    assert!(error.contains("failed the self-test at \"block 0, 2009, main\""), "{error}");
    assert!(record["subjects"][1]["estimate"].is_null());
    assert!(record["subjects"][0]["estimate"]["rate"]["median"].as_f64() > Some(0.0));
    // Alone there is nothing to measure.
    let alone = ["bench", "--device", "0", "--wgsl", &wrong];
    let (_, said) = adit(&[&alone[..], &SHORT].concat(), 4);
    assert!(said.contains("nothing could be measured"), "{said}");
}

#[test]
fn a_matrix_has_each_workgroup_with_each_length_of_batches() {
    let Some(_) = gpu("a_matrix_has_each_workgroup_with_each_length_of_batches") else { return };
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("matrix.html");
    let html = format!("--html={}", page.display());
    let matrix = ["--device", "0", "--matrix", "--variant", "std-literal-w64", &html];
    let record = json(&[&matrix[..], &SHORT].concat());
    let subjects = record["subjects"].as_array().unwrap();
    let mut cells: Vec<(u64, u64)> = subjects
        .iter()
        .map(|subject| {
            assert!(subject["estimate"]["rate"]["median"].as_f64() > Some(0.0), "{subject}");
            assert_eq!(subject["proof"], subjects[0]["proof"]);
            let seconds = subject["batch_seconds"].as_f64().unwrap();
            let millis = Duration::from_secs_f64(seconds).as_millis();
            (subject["kernel"]["workgroup"].as_u64().unwrap(), millis.try_into().unwrap())
        })
        .collect();
    cells.sort_unstable();
    let expected = [64, 128, 256].map(|workgroup| [2, 12, 50].map(|batch| (workgroup, batch)));
    assert_eq!(cells, expected.concat());
    let page = std::fs::read_to_string(&page).unwrap();
    assert!(page.contains("Kernels by length of batches"), "no heat map");
}

#[test]
#[cfg(unix)]
fn ctrl_c_keeps_what_was_measured() {
    use std::process::{Command, Stdio};

    let Some(_) = gpu("ctrl_c_keeps_what_was_measured") else { return };
    // Who is asked before the first round has nothing to keep, so the next is asked later.
    for seconds in [3, 6, 12, 24, 48, 96] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_adit"));
        let bench = ["bench", "--device", "0", "--time", "1h", "--warm-up", "0s", "--json"];
        command.args(bench).env("ADIT_CACHE_DIR", env!("CARGO_TARGET_TMPDIR"));
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        std::thread::sleep(Duration::from_secs(seconds));
        let kill = format!("kill -INT {}", child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(130), "{said}");
        assert!(said.contains("Stopped early: what was measured until then is shown"), "{said}");
        let record: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(record["interrupted"], true);
        let subject = &record["subjects"][0];
        if !subject["rounds"].as_array().unwrap().is_empty() {
            assert!(subject["estimate"]["rate"]["median"].as_f64() > Some(0.0), "{subject}");
            return;
        }
    }
    panic!("no round was measured in 96 seconds");
}

#[test]
fn without_a_clock_of_the_device_its_own_rate_is_unknown() {
    let test = "without_a_clock_of_the_device_its_own_rate_is_unknown";
    let Some(adapters) = gpu(test) else { return };
    let adapter = &adapters[0];
    let entrant = |timestamps: bool| {
        let kernel = KernelFacts {
            name: timestamps.to_string(),
            wgsl_sha256: None,
            workgroup: None,
            nonces_per_thread: None,
            headers: [1, 1],
        };
        Entrant {
            device: adapter.facts.clone(),
            kernel,
            batch_time: Duration::from_millis(12),
            limit: None,
            open: Box::new(move |_| {
                let opening = Opening { timestamps, ..Variant::DEFAULT.into() };
                let gpu = Gpu::open(adapter, opening).unwrap_or_else(|why| failed(adapter, &why));
                Ok(Box::new(gpu) as Box<dyn Device>)
            }),
            is_simulated: false,
        }
    };
    let plan = Plan {
        workload: Workload::new(0).unwrap(),
        amount: Amount::Time(Duration::from_millis(200)),
        openings: 1,
        warm_up: Duration::ZERO,
    };
    let (subjects, _) = run(&plan, [false, true].map(entrant).into(), &|| false, &mut |_| {});
    for (subject, may_tell) in subjects.iter().zip([false, true]) {
        let estimate = subject.estimate.as_ref().unwrap();
        let told = subject.rounds.iter().any(|round| round.device_seconds.is_some());
        assert!(estimate.rate.median > 0.0 && told <= may_tell, "{subject:?}");
        assert_eq!(
            (estimate.device_rate.is_some(), estimate.host_overhead.is_some()),
            (told, told)
        );
    }
}

/// The record of a benchmark that ends well.
fn json(arguments: &[&str]) -> Value {
    let (told, _) = adit(&[&["bench", "--json"], arguments].concat(), 0);
    serde_json::from_str(&told).unwrap()
}

/// What a command prints and remarks that ends with a code.
fn adit(arguments: &[&str], code: i32) -> (String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_adit"));
    // These tests choose no kernel: tests/gpu_tune.rs does.
    command.env("ADIT_CACHE_DIR", env!("CARGO_TARGET_TMPDIR"));
    let output = command.args(arguments).env_remove("RUST_LOG").timeout(LIMIT).output().unwrap();
    let [told, said] =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {told}{said}");
    (told, said)
}
