//! `adit tune` where there is nothing to tune. What it does on an adapter is in `tests/gpu_tune.rs`.

use crate::{GENESIS, done, json, refused};

#[test]
fn a_budget_has_bounds() {
    for (budget, reason) in [
        ("0s", "a tune takes 1s to 10m"),
        ("11m", "a tune takes 1s to 10m"),
        ("soon", "expected number"),
        ("-3s", "expected number"),
    ] {
        let said = refused(&["tune", "--device", "cpu", &format!("--budget={budget}")], 2);
        assert!(said.contains(reason), "{budget}: {said}");
    }
}

#[test]
fn the_cpu_has_nothing_to_tune_and_says_so() {
    let why = "the CPU has its own code and no kernel to choose";
    for show in [&["tune", "--device", "cpu"][..], &["tune", "--device", "cpu", "--show"]] {
        assert!(done(show).trim_end().ends_with(why));
        let told = json(&done(&[show, &["--json"]].concat()));
        assert_eq!((&told["status"], &told["why"]), (&"no_kernels".into(), &why.into()));
        assert!(told["result"].is_null());
    }
}

#[test]
fn contradictions_are_refused() {
    for options in [
        &["scan", GENESIS, "--retune", "--no-tune"][..],
        &["mine", "--retune", "--variant", "std-literal-w64"],
        &["tune", "--show", "--budget", "9s"],
        &["tune", "--show", "--profile", "desktop"],
    ] {
        assert!(refused(options, 2).contains("cannot be used with"), "{options:?}");
    }
}

#[test]
fn not_to_tune_goes_with_every_kernel() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("own.wgsl");
    std::fs::write(&file, done(&["kernel", "print"])).unwrap();
    let own = ["--wgsl", file.to_str().unwrap()];
    let scan = ["scan", GENESIS, "--device", "cpu", "--nonces", "0..9", "--no-tune"];
    done(&[&scan[..], &["--variant", "std-literal-w64"]].concat());
    // It is refused for its device, not for its options.
    assert!(refused(&[&scan[..], &own].concat(), 3).contains("needs a graphics adapter"));
    let both = [&["scan", GENESIS, "--retune"][..], &own].concat();
    assert!(refused(&both, 2).contains("cannot be used with"));
}
