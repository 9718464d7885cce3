//! `adit bench` on the CPU. Kernels on an adapter are in `tests/gpu_bench.rs`.

use std::fs;

use crate::{adit, done, json, refused};

const SHORT: [&str; 8] =
    ["bench", "--device", "cpu", "--time", "600ms", "--openings", "3", "--warm-up=0s"];

#[test]
fn a_record_has_what_was_measured_and_where() {
    let record = json(&done(&[&SHORT[..], &["--json"]].concat()));
    assert_eq!((&record["schema"], &record["interrupted"]), (&1.into(), &false.into()));
    assert_eq!(record["settings"]["openings"], 3);
    let subject = &record["subjects"][0];
    let rounds = subject["rounds"].as_array().unwrap();
    assert!(rounds.len() >= 3 && rounds.iter().all(|round| round["hashes"].as_u64() > Some(0)));
    assert!(subject["estimate"]["rate"]["median"].as_f64().unwrap() > 0.0);
    assert!(subject["estimate"]["device_rate"].is_null(), "the CPU has no clock of its own");
    assert_eq!(
        (&subject["hits"]["wrong"], &subject["warm_up"]["steady"]),
        (&0.into(), &false.into())
    );
    // Easy hits, and those of real blocks.
    assert_eq!(subject["proof"]["hashes"], 1 << 24);
    assert!(subject["proof"]["hits"].as_u64().unwrap() > 900);
}

#[test]
fn the_same_seed_and_hashes_have_the_same_checksum() {
    let checksum = |openings: &str, seed: &str, hashes: &str| {
        let fixed = ["bench", "--device", "cpu", "--warm-up", "0s", "--json"];
        let asked = ["--openings", openings, "--seed", seed, "--hashes", hashes];
        let record = json(&done(&[&fixed[..], &asked].concat()));
        let rounds = record["subjects"][0]["rounds"].as_array().unwrap();
        let tested: u64 = rounds.iter().filter_map(|round| round["hashes"].as_u64()).sum();
        assert!(tested >= 2_000_000, "{tested}");
        record["subjects"][0]["proof"]["checksum"].as_str().unwrap().to_owned()
    };
    let first = checksum("1", "1", "2M");
    assert_eq!(first, checksum("2", "1", "2M"), "however the range is cut");
    assert_ne!(first, checksum("1", "2", "2M"));
    assert_ne!(first, checksum("1", "1", "3M"));
}

#[test]
fn a_saved_result_is_compared_with_and_reported() {
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("page.html");
    let bench = |arguments: &[&str]| {
        let output = adit(arguments).env("ADIT_BENCH_DIR", folder.path()).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    bench(&[&SHORT[..], &["--save", "base"]].concat());
    let page_option = format!("--html={}", page.display());
    let compared =
        bench(&[&SHORT[..], &["--compare", "base", "--fail-on", "90%", &page_option]].concat());
    let verdicts = ["faster", "slower", "no difference shown", "too noisy to say"];
    let last = compared.lines().last().unwrap();
    assert!(verdicts.iter().any(|verdict| last.contains(verdict)), "{last}");
    assert!(last.contains("two runs"), "{last}");
    assert!(fs::read_to_string(&page).unwrap().contains("<svg"));
    let file = folder.path().join("base.json");
    for form in ["--csv", "--markdown"] {
        let report = bench(&["bench", "report", "base", file.to_str().unwrap(), form]);
        assert!(report.lines().count() >= 3, "{report}");
    }
}

#[test]
fn a_stress_test_of_a_healthy_device_ends_well_and_a_drill_is_found() {
    // Longer where a busy core has no time for enough hits.
    let record = ["3s", "12s", "48s"]
        .into_iter()
        .map(|time| json(&done(&["bench", "--device", "cpu", "--stress", time, "--json"])))
        .find(|record| record["subjects"][0]["stress"]["easy"]["expected"].as_f64() > Some(200.0))
        .unwrap();
    assert_eq!(record["settings"]["stress"], true);
    let subject = &record["subjects"][0];
    let stress = &subject["stress"];
    assert!(stress["seconds"].as_f64() > Some(2.0) && subject["hits"]["wrong"] == 0, "{stress}");
    assert!(stress["easy"]["found"].as_u64() > Some(100), "{stress}");
    for what in ["wrong_at", "missing_at"] {
        assert!(stress[what].is_null(), "{stress}");
    }
    // A tenth of the hits is missed for certain after some five thousand: on a slow and busy core that takes its time.
    for (drill, found, told) in [
        ("wrong-hit", "reported ", "The device miscalculates"),
        ("loses-hits", "lost hits", "Hits are MISSING"),
        ("lost", "broke ", "The device BROKE"),
    ] {
        let output = ["5s", "15s", "45s", "135s"]
            .into_iter()
            .map(|time| adit(&["bench", "--device", "cpu", "--stress", time, "--drill", drill]))
            .map(|mut drilled| drilled.output().unwrap())
            .find(|output| output.status.code() != Some(0))
            .unwrap();
        assert_eq!(output.status.code(), Some(1), "{drill}: {output:?}");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(found), "{drill}: {said}");
        let table = String::from_utf8_lossy(&output.stdout);
        assert!(table.contains(told), "{drill}: {table}");
    }
}

#[test]
fn what_cannot_be_is_refused_before_anything_is_measured() {
    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("other.json");
    fs::write(&other, "{\"schema\": 7}").unwrap();
    let unwritable = format!("--html={}", folder.path().join("none/x.html").display());
    for (options, code, reason) in [
        (&["--compare", "no-such-baseline"][..], 2, "--save NAME"),
        (&["--compare", other.to_str().unwrap()], 2, "a newer adit wrote it"),
        (&[&unwritable], 2, "cannot be written"),
        (&["--variant", "nonsense"], 2, "nonsense"),
        (&["--variant", "std-literal-w64"], 3, "the CPU has its own code"),
        (&["--save", "../escape"], 2, "a name has"),
        (&["--time", "1ns"], 2, "is measured for"),
        (&["--hashes", "12"], 2, "such as 500M"),
        (&["--fail-on", "much"], 2, "such as 2%"),
        (&["--json", "--csv"], 2, "cannot be used with"),
        (&["--drill", "lost"], 2, "--stress"),
        (&["--stress", "0s"], 2, "a stress test takes"),
        (&["--stress", "10s", "--matrix"], 2, "cannot be used with"),
    ] {
        let said = refused(&[&["bench", "--device", "cpu"], options].concat(), code);
        assert!(said.contains(reason), "{options:?}: {said}");
    }
    assert!(refused(&["bench", "report"], 2).contains("FILE|NAME"));
}
