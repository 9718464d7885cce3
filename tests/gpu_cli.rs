//! The program on the first graphics adapter, as its users see it.

#![expect(clippy::unwrap_used, reason = "a test may panic, and so may what it calls")]

#[expect(dead_code, reason = "these tests open no adapter themselves")]
mod common;

use std::time::Duration;

use adit::chain::KNOWN_BLOCKS;
use adit::work::Nonces;
use assert_cmd::Command;
use common::gpu;
use serde_json::Value;

/// A software adapter scans a whole header in that time; a command that hangs fails its test.
const LIMIT: Duration = Duration::from_secs(1800);

#[test]
fn an_adapter_is_listed_with_what_is_known_of_it() {
    let Some(adapters) = gpu("an_adapter_is_listed_with_what_is_known_of_it") else { return };
    let (told, _) = adit(&["devices", "--json"]);
    let listed: Vec<Value> = serde_json::from_str(&told).unwrap();
    assert_eq!(listed.len(), adapters.len() + 1, "the adapters and the CPU");
    for (adapter, listed) in adapters.iter().zip(&listed) {
        let facts = &adapter.facts;
        assert_eq!(listed["name"], facts.name);
        assert_eq!(listed["kind"], facts.kind.to_string());
        assert_eq!(listed["backend"], facts.backend);
        assert_eq!(listed["pci"].as_str(), facts.pci.as_deref());
        assert!(listed["subgroup_sizes"].is_array(), "{listed}");
        // Software is used only if it is faster, and the list says so.
        assert_eq!(listed["used"].as_bool() == Some(true), !facts.kind.is_processor());
        assert_eq!(listed["unused_because"].is_null(), listed["used"] == true);
    }
    let (table, _) = adit(&["devices"]);
    assert!(adapters.iter().all(|adapter| table.contains(&adapter.facts.name)), "{table}");
}

#[test]
fn an_adapter_passes_the_self_test_of_the_command_line() {
    let Some(_) = gpu("an_adapter_passes_the_self_test_of_the_command_line") else { return };
    let (told, _) = adit(&["selftest", "--device", "0"]);
    assert!(told.contains("  ok ") && !told.contains("FAILED"), "{told}");
    assert!(told.trim_end().ends_with(" checks passed"), "{told}");
}

#[test]
#[ignore = "scans 2^32 nonces, which takes a software adapter minutes"]
fn a_whole_header_has_exactly_the_nonce_that_the_chain_knows() {
    let Some(_) = gpu("a_whole_header_has_exactly_the_nonce_that_the_chain_knows") else { return };
    // The newest block: its target is so hard that another nonce is out of the question.
    let block = KNOWN_BLOCKS.last().unwrap();
    let (told, _) = adit(&["scan", block.header, "--device", "0", "--no-tune", "--json"]);
    println!("{told}");
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["hits"].as_array().unwrap().len(), 1);
    assert_eq!(told["hits"][0]["nonce"], block.header().unwrap().nonce);
    assert_eq!(told["hits"][0]["hash"], block.hash);
    assert_eq!(told["assigned"], 4_294_967_296_u64);
    assert_eq!(told["scanned"], 4_294_967_296_u64);
    assert_eq!(told["wrong"], 0);
}

#[test]
fn an_adapter_and_the_cpu_share_a_scan() {
    let Some(adapters) = gpu("an_adapter_and_the_cpu_share_a_scan") else { return };
    let window =
        ["--nonces", "2080000000..2084000000", "--profile", "background", "--no-tune", "--json"];
    for devices in [&["--device", "0"][..], &["--device", "0", "--device", "cpu"]] {
        let scan = [&["scan", KNOWN_BLOCKS[0].header], devices, &window].concat();
        let (told, _) = adit(&scan);
        let told: Value = serde_json::from_str(&told).unwrap();
        assert_eq!(told["hits"].as_array().unwrap().len(), 1);
        assert_eq!(told["hits"][0]["hash"], KNOWN_BLOCKS[0].hash);
        assert_eq!(told["assigned"], 4_000_000);
        assert_eq!(told["scanned"], 4_000_000);
        assert_eq!(told["wrong"], 0);
        let workers = told["devices"].as_array().unwrap();
        assert_eq!(workers.len() * 2, devices.len());
        assert_eq!(workers[0]["name"], adapters[0].facts.name);
        let tested: Option<u64> = workers.iter().map(|worker| worker["tested"].as_u64()).sum();
        assert_eq!(tested, Some(4_000_000));
    }
}

/// The newest block, whose version is rolled, without the bits that a mask covers.
#[test]
fn every_layout_finds_the_rolled_version_of_a_real_block() {
    let Some(_) = gpu("every_layout_finds_the_rolled_version_of_a_real_block") else { return };
    let block = KNOWN_BLOCKS.last().unwrap();
    let header = block.header().unwrap();
    let version = header.version.to_consensus().cast_unsigned();
    for (variant, mask, length) in [
        ("std-literal-w64", 0x2000_u32, 100_000),
        ("boost4-literal-w64", 0xc000, 1_000_000),
        ("boost16loop-literal-n3-w128", 0x001a_c000, 100_000),
        ("verlane-literal-w64", 0x1fff_e000, 100),
        // Bits that BIP 320 leaves alone roll as well.
        ("verlane-uniform-n1-w256", 0x053a_c00c, 200),
    ] {
        let fixed = (version & !mask).swap_bytes();
        let blank = format!("{fixed:08x}{}00000000", &block.header[8..152]);
        let nonces = Nonces::around(header.nonce, length / 3, length).to_string();
        let scan = ["scan", &blank, "--device", "0", "--json", "--variant", variant];
        let rolls = ["--version-mask", &format!("{mask:x}"), "--nonces", &nonces];
        let told: Value = serde_json::from_str(&adit(&[&scan[..], &rolls].concat()).0).unwrap();
        assert_eq!(told["hits"].as_array().unwrap().len(), 1, "{variant}: {told}");
        assert_eq!(told["hits"][0]["version"], version, "{variant}: {told}");
        assert_eq!(told["hits"][0]["nonce"], header.nonce, "{variant}: {told}");
        assert_eq!(told["hits"][0]["hash"], block.hash, "{variant}: {told}");
        assert_eq!(told["scanned"], length << mask.count_ones(), "{variant}: {told}");
        assert_eq!((&told["complete"], &told["wrong"]), (&true.into(), &0.into()), "{told}");
    }
}

#[test]
fn a_users_kernel_works_or_is_refused_with_the_check_that_failed() {
    let test = "a_users_kernel_works_or_is_refused_with_the_check_that_failed";
    let Some(_) = gpu(test) else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.into_os_string().into_string().unwrap()
    };
    let (printed, _) = adit(&["kernel", "print", "--variant", "std-uniform-w64"]);
    // What a workgroup shares is zero at first: without that only some workgroups would count themselves.
    let once = printed
        .replace("    if lane == 0u {", "    if lane == 0u && used == 0u {\n        used = 1u;");
    let good = file("good.wgsl", &format!("{once}\nvar<workgroup> used: u32;\n"));
    let window = ["--nonces", "2083000000..2084000000", "--device", "0", "--json"];
    let scan = [&["scan", KNOWN_BLOCKS[0].header, "--wgsl", &good][..], &window].concat();
    let told: Value = serde_json::from_str(&adit(&scan).0).unwrap();
    assert_eq!(told["hits"][0]["hash"], KNOWN_BLOCKS[0].hash);
    assert_eq!(told["devices"][0]["kernel"], *good);

    // K of round 20, a comparison that is never true, and every thread a hit.
    let wrong = file("wrong.wgsl", &printed.replace("0x2de92c6fu", "0x2de92c6eu"));
    let blind = file("blind.wgsl", &printed.replace("if rest == ", "if nonce == 0u && rest == "));
    let noisy = file("noisy.wgsl", &printed.replace("if rest == ", "if rest != "));
    let silent = file("silent.wgsl", &printed.replace("    finish_workgroup(lane);\n", ""));
    for (path, reason) in [
        (&wrong, "nonce 0x7c2bac1d of header 0 is missing"),
        (&blind, "nonce 0x7c2bac1d of header 0 is missing"),
        (&noisy, "which lacks the 32 leading zero bits asked for"),
        (&silent, "the report is incomplete: it echoes dispatch 0, not 1"),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_adit"));
        let scan = ["scan", KNOWN_BLOCKS[0].header, "--device", "0", "--wgsl", path];
        let output = command.args(scan).timeout(LIMIT).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(4), "{path}: {said}");
        assert!(said.contains("failed the self-test at \"block 0, 2009, main\""), "{said}");
        assert!(said.contains(reason), "{path}: {said}");
        assert!(said.contains("without --wgsl adit's own kernel works"), "{path}: {said}");
    }
}

#[test]
fn an_adapter_mines_a_block() {
    let Some(_) = gpu("an_adapter_mines_a_block") else { return };
    let (told, _) = adit(&[
        "mine",
        "--device",
        "0",
        "--no-tune",
        "--source",
        "replay:",
        "--blocks",
        "1",
        "--json",
    ]);
    let events: Vec<Value> = told.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let summary = events.last().unwrap();
    assert_eq!(summary["found"], 1, "{told}");
    assert_eq!(summary["wrong"], 0, "{told}");
}

#[test]
fn software_is_not_chosen_silently() {
    let Some(adapters) = gpu("software_is_not_chosen_silently") else { return };
    let scan = ["scan", KNOWN_BLOCKS[0].header, "--nonces", "0..1000000", "--no-tune", "--json"];
    let (told, said) = adit(&scan);
    let told: Value = serde_json::from_str(&told).unwrap();
    let chosen = told["devices"][0]["name"].as_str().unwrap();
    if adapters.iter().any(|adapter| !adapter.facts.kind.is_processor()) {
        assert_eq!(chosen, adapters[0].facts.name);
    } else {
        let start = "No GPU was found, so the processor works, through what was faster in a trial";
        assert!(said.contains(&format!("{start} of 0.4 s: {chosen} with ")), "{said}");
        assert!(said.contains("Give --device to choose."), "{said}");
    }
}

/// What a command that must end well prints, and what it remarks.
fn adit(arguments: &[&str]) -> (String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_adit"));
    // These tests choose no kernel: tests/gpu_tune.rs does.
    command.env("ADIT_CACHE_DIR", env!("CARGO_TARGET_TMPDIR"));
    let output = command.args(arguments).env_remove("RUST_LOG").timeout(LIMIT).output().unwrap();
    let [told, said] =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    assert!(output.status.success(), "{arguments:?}: {told}{said}");
    (told, said)
}
