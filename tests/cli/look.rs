//! The commands that only look: `verify`, `kernel`, `devices`, `selftest`, `--help`.

use std::collections::BTreeSet;

use crate::{GENESIS, GENESIS_HASH, adit, done, json, with_bits};

#[test]
fn verify_tells_hash_difficulty_and_whether_the_target_is_met() {
    let told = done(&["verify", GENESIS]);
    for line in [
        format!("hash        {GENESIS_HASH}"),
        "version     0x00000001".to_owned(),
        "time        1231006505".to_owned(),
        "bits        0x1d00ffff".to_owned(),
        "nonce       2083236893 (0x7c2bac1d)".to_owned(),
        format!("target      00000000ffff{}", "0".repeat(52)),
        "difficulty  1".to_owned(),
        "The target is met.".to_owned(),
    ] {
        assert!(told.lines().any(|told| told == line), "{line:?} is not in:\n{told}");
    }
    let other = format!("{}00000000", &GENESIS[..152]);
    assert!(done(&["verify", &other]).ends_with("The target is not met.\n"));
    let none = done(&["verify", &with_bits(0)]);
    assert!(none.contains("The bits hold no target: target 00000000 is zero"), "{none}");
}

#[test]
fn the_kernels_are_listed() {
    let listed = json(&done(&["kernel", "list", "--json"]));
    let listed = listed.as_array().unwrap();
    let names: BTreeSet<&str> =
        listed.iter().map(|kernel| kernel["name"].as_str().unwrap()).collect();
    assert_eq!(names.len(), listed.len(), "a name comes twice");
    let operations = |name| {
        let kernel = listed.iter().find(|kernel| kernel["name"] == name).unwrap();
        assert_eq!(kernel["workgroup"], 64);
        &kernel["operations"]
    };
    for (name, small_sigma, adds, shared, job, lane, row) in [
        ("std-literal-w64", 156, 1041, 0, 26, 0, 0),
        ("boost16loop-literal-w64", 80, 885, 76, 8, 18, 47),
        ("verlane-literal-w64", 80, 885, 76, 8, 18, 47),
    ] {
        let cost = operations(name);
        for (figure, expected) in
            [("big_sigma", 236), ("small_sigma", small_sigma), ("ch_maj", 236), ("adds", adds)]
        {
            assert_eq!(cost["hash"][figure], expected, "{name}: {cost}");
        }
        assert_eq!(cost["row"]["small_sigma"], shared, "{name}: {cost}");
        for (words, expected) in [("job_words", job), ("lane_words", lane), ("row_words", row)] {
            assert_eq!(cost[words], expected, "{name}: {cost}");
        }
    }
    let table = done(&["kernel", "list"]);
    assert!(names.iter().all(|name| table.contains(name)), "{table}");
}

#[test]
fn a_kernel_is_printed_in_every_language() {
    let wgsl = done(&["kernel", "print", "--variant", "std-literal-w128"]);
    let naga = naga::front::wgsl::parse_str(&wgsl).unwrap();
    assert_eq!(naga.entry_points[0].workgroup_size, [128, 1, 1]);
    assert_eq!(wgsl, done(&["kernel", "print", "--variant", "std-literal-w128", "--as", "wgsl"]));
    let table = done(&["kernel", "print", "--variant", "verlane-literal-w64", "--rows"]);
    assert_eq!(naga::front::wgsl::parse_str(&table).unwrap().entry_points[0].name, "fill");
    assert!(done(&["kernel", "print", "--as", "msl"]).contains("#include <metal_stdlib>"));
    assert!(done(&["kernel", "print", "--as", "hlsl"]).contains("[numthreads(64, 1, 1)]"));
    let spirv = adit(&["kernel", "print", "--as", "spirv"]).output().unwrap().stdout;
    assert_eq!(spirv[..4], 0x0723_0203_u32.to_le_bytes());
    assert_eq!(spirv.len() % 4, 0);
}

#[test]
fn the_list_of_devices_ends_with_the_cpu() {
    let listed = json(&done(&["devices", "--json"]));
    let listed = listed.as_array().unwrap();
    for (index, device) in listed.iter().enumerate() {
        assert_eq!(device["index"], index);
        let kind = device["kind"].as_str().unwrap();
        assert!(
            ["discrete", "integrated", "virtual", "software", "cpu"].contains(&kind),
            "{device}"
        );
        for key in ["name", "backend"] {
            assert!(device[key].is_string(), "{device}");
        }
        for key in ["pci", "driver", "subgroup_sizes", "used", "unused_because"] {
            assert!(device.get(key).is_some(), "{device}");
        }
    }
    let (cpu, others) = listed.split_last().unwrap();
    assert_eq!(cpu["kind"], "cpu");
    assert!(others.iter().all(|other| other["kind"] != "cpu"));
    let table = done(&["devices"]);
    assert!(table.contains(cpu["name"].as_str().unwrap()), "{table}");
}

#[test]
fn the_cpu_passes_the_self_test() {
    let told = done(&["selftest", "--device", "cpu"]);
    assert!(!told.contains("FAILED"), "{told}");
    let passed = told.lines().filter(|line| line.starts_with("  ok ")).count();
    assert!(told.ends_with(&format!("  {passed} of {passed} checks passed\n")), "{told}");
    assert!(passed > 24, "{told}");
}

#[test]
fn the_help_documents_the_exit_codes() {
    let codes = "0 done, 1 a wrong result or --fail-on, 2 bad usage or input, 3 no usable device, 4 self-test failed, \
                 5 no source with --once, 130 interrupted";
    for command in [&["--help"][..], &["scan", "--help"], &["mine", "--help"]] {
        // The help is wrapped to the width of the terminal.
        let help = done(command).split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(help.contains(codes), "{help}");
    }
}
