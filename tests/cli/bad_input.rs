//! What cannot be done is refused with the reason and the way out.

use crate::{GENESIS, adit, complaint, done, refused, with_bits};

#[test]
fn headers() {
    let half = &GENESIS[..80];
    let spaced = format!("{} {}", &GENESIS[..80], &GENESIS[80..]);
    for (header, reasons) in [
        ("", ["0 hex digits were given", "160 hex digits"]),
        ("00", ["2 hex digits were given", "160 hex digits"]),
        (half, ["80 hex digits were given", "160 hex digits"]),
        (&format!("{GENESIS}00"), ["162 hex digits were given", "160 hex digits"]),
        (&format!("0x{GENESIS}"), ["'x' at position 2 is no hex digit", "without a prefix"]),
        (&spaced, ["' ' at position 81 is no hex digit", "without a prefix or spaces"]),
        (&"é".repeat(80), ["'é' at position 1 is no hex digit", "160 hex digits"]),
    ] {
        for command in [&["verify"][..], &["scan", "--device", "cpu"]] {
            let said = refused(&[command, &[header]].concat(), 2);
            assert!(reasons.iter().all(|reason| said.contains(reason)), "{said}");
        }
    }
}

#[test]
fn bits_that_hold_no_target() {
    for (bits, reason) in [
        (0, "target 00000000 is zero"),
        (0x1d00_0000, "is zero"),
        (0x01fe_0000, "0x01fe0000 are negative"),
        (0x1d80_ffff, "0x1d80ffff are negative"),
        (0xff12_3456, "0xff123456 exceed 256 bits"),
    ] {
        let said = refused(&["scan", "--device", "cpu", &with_bits(bits)], 2);
        assert!(said.contains(reason), "{said}");
        assert!(said.contains("give --target or --difficulty"), "{said}");
        // With a target of its own such a header can be scanned.
        let scan = ["scan", "--device", "cpu", &with_bits(bits), "--difficulty", "1"];
        adit(&[&scan[..], &["--nonces", "0..100"]].concat()).assert().success();
    }
}

#[test]
fn ranges() {
    for (range, reason) in [
        ("9..3", "the range 9..3 is reversed: write the smaller number first"),
        ("0..4294967297", "passes 4294967296 (2^32)"),
        ("99999999999999999999..", "passes 4294967296 (2^32)"),
        ("5", "write A..B"),
        ("-1..5", "write A..B"),
        ("1...5", "write A..B"),
        ("0x..", "write A..B"),
        ("", "write A..B"),
    ] {
        let said = refused(&["scan", GENESIS, "--device", "cpu", "--nonces", range], 2);
        assert!(said.contains("--nonces") && said.contains(reason), "{said}");
    }
}

#[test]
fn targets() {
    let zero = "0".repeat(64);
    for (target, reason) in [
        ("", "64 hex digits, or as 8"),
        ("0", "64 hex digits, or as 8"),
        ("-1d00ffff", "'-' at position 1"),
        (&zero, "is zero"),
        ("00000000", "is zero"),
        ("1d80ffff", "negative"),
        ("ff123456", "exceed 256 bits"),
        ("gg00ffff", "'g' at position 1"),
    ] {
        let said = refused(&["scan", GENESIS, "--device", "cpu", "--target", target], 2);
        assert!(said.contains("--target") && said.contains(reason), "{said}");
    }
    for (difficulty, reason) in [
        ("0", "give one such as 1 or 0.001"),
        ("-1", "give one such as 1 or 0.001"),
        ("nan", "give one such as 1 or 0.001"),
        ("-inf", "give one such as 1 or 0.001"),
        ("inf", "give one such as 1 or 0.001"),
        ("1e300", "give at most 1.7668e67"),
        ("1e999", "give one such as 1 or 0.001"),
        ("hard", "\"hard\" is not a number"),
        ("", "\"\" is not a number"),
    ] {
        let said = refused(&["scan", GENESIS, "--device", "cpu", "--difficulty", difficulty], 2);
        assert!(said.contains("--difficulty") && said.contains(reason), "{said}");
    }
    let both = ["scan", GENESIS, "--target", "1d00ffff", "--difficulty", "1"];
    assert!(refused(&both, 2).contains("cannot be used with"));
}

#[test]
fn rolls() {
    for (mask, reason) in [
        ("", "is no version mask: write 1 to 8 hex digits, such as 1fffe000"),
        ("0x", "such as 1fffe000"),
        ("1fffe0000", "such as 1fffe000"),
        ("bits", "such as 1fffe000"),
        ("-1", "such as 1fffe000"),
        ("ffffffff", "more than can be counted; leave out a bit, or give 1fffe000"),
    ] {
        let said = refused(&["scan", GENESIS, "--device", "cpu", "--version-mask", mask], 2);
        assert!(said.contains(reason), "{said}");
    }
    for (times, reason) in [
        ("0", "give at least 1"),
        ("-1", "give a whole number"),
        ("4294967296", "4294967296 passes 4294967295"),
        ("4294967295", "4294967295 times from 1231006505 on pass 4294967295"),
    ] {
        let said = refused(&["scan", GENESIS, "--device", "cpu", "--times", times], 2);
        assert!(said.contains(reason), "{said}");
    }
    let both = ["--version-mask", "7fffffff", "--times", "2"];
    let said = refused(&[&["scan", GENESIS, "--device", "cpu"], &both[..]].concat(), 2);
    assert!(said.contains("4294967296 headers are more than the 4294967295"), "{said}");
    // 2^54 hashes hold some 2^22 hits of difficulty 1.
    let said = refused(&["scan", GENESIS, "--device", "cpu", "--version-mask", "3fffff"], 2);
    assert!(said.contains("of 18014398509481984 hashes meet this target"), "{said}");
}

#[test]
fn more_hits_than_a_scan_keeps() {
    let all = "f".repeat(64);
    for option in [["--target", &all], ["--difficulty", "1e-10"]] {
        let arguments = [&["scan", GENESIS, "--device", "cpu"], &option[..]].concat();
        let said = refused(&arguments, 2);
        assert!(said.contains("about 4294967296 of 4294967296 hashes meet"), "{said}");
        assert!(
            said.contains("scan fewer with --nonces A..B or ask for a harder target"),
            "{said}"
        );
    }
    // A regtest header asks for as little.
    let said = refused(&["scan", &with_bits(0x207f_ffff), "--device", "cpu"], 2);
    assert!(said.contains("about 2147483"), "{said}");
}

#[test]
fn devices() {
    let said = refused(&["scan", GENESIS, "--device", "voodoo 2"], 2);
    assert!(said.contains("no device is called \"voodoo 2\"; there are:\n  0  "), "{said}");
    assert!(said.contains("(cpu"), "the CPU is always there: {said}");
    let said = refused(&["mine", "--device", ""], 2);
    assert!(said.contains("give an index, part of a name, a PCI address, or cpu"), "{said}");
}

#[test]
fn variants() {
    for (variant, reason) in [
        ("bogus", "it does not start with its layout: std, boost4"),
        ("std-literal-w63", "a power of two from 1 to 256"),
        ("std-rot13-w64", "rot13"),
        ("", "it does not start with its layout"),
    ] {
        for command in [&["scan", GENESIS, "--device", "cpu"][..], &["kernel", "print"]] {
            let said = refused(&[command, &["--variant", variant]].concat(), 2);
            assert!(said.contains(reason), "{said}");
            assert!(said.contains("`adit kernel list` shows the names"), "{said}");
        }
    }
    assert!(refused(&["kernel", "print", "--as", "glsl"], 2).contains("wgsl, spirv, msl, hlsl"));
}

#[test]
fn kernels_of_ones_own() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("own.wgsl").into_os_string().into_string().unwrap();
    let printed = done(&["kernel", "print"]);
    let fourth = "@group(0) @binding(4) var<storage, read> more: array<u32>;";
    for (text, reasons) in [
        (None, ["--wgsl", "cannot read it"]),
        (Some(b"\xff".to_vec()), ["--wgsl", "it is no text in UTF-8"]),
        (Some(b"fn f(\n{".to_vec()), ["does not parse as WGSL", "own.wgsl:2:1"]),
        (Some(b"fn f() -> u32 {\n}".to_vec()), ["is not valid WGSL", "own.wgsl:1:1"]),
        (
            Some(b"// adit kernel std-quick-w64".to_vec()),
            ["\"quick\" is none of", "adit kernel list"],
        ),
        (Some(format!("{printed}{fourth}").into()), ["binds 4 of group 0", "0, 1"]),
        (Some(vec![b' '; (2 << 20) + 1]), ["2097153 bytes", "2097152"]),
    ] {
        if let Some(text) = text {
            std::fs::write(&path, text).unwrap();
        }
        for command in [&["scan", GENESIS][..], &["mine"], &["selftest"]] {
            let said = refused(&[command, &["--wgsl", &path]].concat(), 2);
            assert!(reasons.iter().all(|reason| said.contains(reason)), "{said}");
        }
    }
    std::fs::write(&path, &printed).unwrap();
    let said = refused(&["scan", GENESIS, "--device", "cpu", "--wgsl", &path], 3);
    assert!(said.contains("needs a graphics adapter") && said.contains("own.wgsl"), "{said}");
    let both = ["mine", "--variant", "std-literal-w64", "--wgsl", &path];
    assert!(refused(&both, 2).contains("cannot be used with"));
}

#[test]
fn runs() {
    for (option, value, reason) in [
        ("--blocks", "0", "give at least 1"),
        ("--blocks", "-1", "give a whole number, at least 1"),
        ("--blocks", "many", "give a whole number, at least 1"),
        ("--shares", "0", "give at least 1"),
        ("--for", "5parsecs", "unknown time unit"),
        ("--for", "", "--for"),
        ("--source", "stratum+tcp://pool:3333", "needs a worker name"),
        ("--source", "stratum+tcp://pool", "it names no port"),
        ("--proxy", "http://p:1", "is no proxy"),
        ("--proxy", "socks5://p:1", "there is no pool to reach through it"),
        ("--profile", "turbo", "background, desktop, dedicated"),
    ] {
        let said = refused(&["mine", "--device", "cpu", option, value], 2);
        assert!(said.contains(reason), "{said}");
    }
}

#[test]
fn nothing_that_is_typed_wrong_shows_a_password_on_the_screen() {
    for (option, value) in [
        ("--source", "stratum://w:geheim@pool:1"),
        ("--source", "stratum+tcp://w:geheim@pool:1"),
        ("--source", "w:geheim@pool:1"),
        ("--source", "stratum+tcp://w:33/geheim@pool:1"),
        ("--source", "stratum+tcp://pool:1?proxy=http://u:geheim@p:1"),
        ("--source", "stratum+tcp://pool?proxy=socks5%3A%2F%2Fu%3Ageheim%40p%3A1"),
        ("--source", "gbt+http://pool?proxy=socks5://u:geheim@p:1"),
        ("--proxy", "http://u:geheim@p:1"),
        ("--proxy", "u:geheim@p:1"),
        ("--proxy", "socks5://:geheim@p:1"),
    ] {
        let said = refused(&["mine", "--device", "cpu", option, value], 2);
        assert!(said.contains(option) && !said.contains("geheim"), "{value}: {said}");
    }
}

#[test]
fn pools_and_nodes_together_share_no_password() {
    let sources = ["--source", "stratum+tcp://w@pool:1", "--source", "gbt+http://rpc@node"];
    let pay = ["--payout-address", "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"];
    let mut command = adit(&[&["mine", "--device", "cpu"], &sources[..], &pay].concat());
    let output = command.env("ADIT_PASSWORD", "geheim").output().unwrap();
    let said = complaint(&output, 2);
    assert!(said.contains("?password-file=FILE") && !said.contains("geheim"), "{said}");
}

#[test]
fn a_summary_that_cannot_be_written_is_refused_before_anything_is_mined() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing/summary.json");
    for path in [missing.as_path(), folder.path()] {
        let path = path.to_str().unwrap();
        let output = adit(&["mine", "--device", "cpu", "--summary-json", path]).output().unwrap();
        let said = complaint(&output, 2);
        assert!(said.contains(&format!("cannot write the summary to {path}: ")), "{said}");
        assert!(said.contains("give --summary-json a file"), "{said}");
        assert!(output.stdout.is_empty(), "it began: {output:?}");
    }
}

#[test]
fn usage() {
    assert!(refused(&["dig"], 2).contains("unrecognized subcommand 'dig'"));
    assert!(refused(&["scan"], 2).contains("<HEADER>"));
    assert!(refused(&["verify", GENESIS, GENESIS], 2).contains("unexpected argument"));
}

#[test]
fn drivers() {
    for driver in ["nonsense", "/nowhere/radeon_icd.json"] {
        let said = refused(&["kernel", "cost", "--driver", driver], 2);
        assert!(said.contains(&format!("no Vulkan driver is called {driver:?}")), "{said}");
        assert!(said.contains("give the path of its manifest"), "{said}");
    }
    let said = refused(&["kernel", "cost", "--variant", "std-barrel-w64"], 2);
    assert!(said.contains("adit kernel list"), "{said}");
}
