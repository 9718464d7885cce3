//! `adit scan`

use std::io::Write as _;
use std::process::{Command, Stdio};

use adit::chain::{self, KNOWN_BLOCKS, KnownBlock};
use adit::limits::HEADER_LINE;
use adit::work::Nonces;
use bitcoin::Target;
use serde_json::{Value, json};

use crate::{ADIT, GENESIS, GENESIS_HASH, adit, assert_calm, complaint, done, json, json_lines};

#[test]
fn the_genesis_block_is_found_and_accounted_for() {
    let told = json(&scan(GENESIS, &["--nonces", "2083200000..2083300000", "--json"]));
    let hits = json!([{
        "nonce": 2_083_236_893,
        "version": 1,
        "time": 1_231_006_505,
        "hash": GENESIS_HASH,
    }]);
    assert_eq!(told["hits"], hits);
    assert_eq!(told["assigned"], 100_000);
    assert_eq!(told["scanned"], 100_000);
    assert_eq!(told["candidates"], 1);
    assert_eq!(told["wrong"], 0);
    assert_eq!(told["rescanned"], 0);
    assert_eq!(told["given_back"], serde_json::json!({}));
    assert!(told["seconds"].as_f64().unwrap() > 0.0);
    assert!(told["hashes_per_second"].as_f64().unwrap() > 0.0);
    assert!(!told["device"].as_str().unwrap().is_empty());
    assert_eq!(told["devices"][0]["kind"], "cpu");
    assert_eq!(told["devices"][0]["tested"], 100_000);
    assert_eq!(told["complete"], true);
}

#[test]
fn a_person_reads_the_same() {
    let told = scan(GENESIS, &["--nonces", "0x7c2bac00..0x7c2bad00"]);
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(lines[0], format!("nonce 2083236893 (0x7c2bac1d)  hash {GENESIS_HASH}"));
    assert_eq!(
        lines[1],
        "assigned 256, scanned 256, candidates 1, wrong 0, scanned again after overflow 0, given \
         back none"
    );
    assert!(lines[2].starts_with("time ") && lines[2].contains(", rate "), "{told}");
    assert_eq!(lines.len(), 3);
}

#[test]
fn an_empty_range_is_scanned_in_no_time() {
    let told = json(&scan(GENESIS, &["--nonces", "5..5", "--json"]));
    assert_eq!((&told["hits"], &told["scanned"]), (&json!([]), &json!(0)));
    assert_eq!(told["hashes_per_second"], Value::Null, "unknown, not invented");
    assert_eq!(told["complete"], true);
}

#[test]
fn easy_targets_give_what_the_sha2_crate_gives() {
    let window = 2_083_200_000..2_083_300_000;
    let hexadecimal = format!("000fedcb{}", "0".repeat(56));
    let cases = [
        (["--difficulty", "0.001"], chain::target_of_difficulty(0.001).unwrap()),
        (["--difficulty", "1e-6"], chain::target_of_difficulty(1e-6).unwrap()),
        (["--target", "1f7fffff"], chain::parse_target("1f7fffff").unwrap()),
        (["--target", &hexadecimal], chain::parse_target(&hexadecimal).unwrap()),
    ];
    let hashes = hashes(window.clone());
    for (option, target) in cases {
        let nonces = format!("{}..{}", window.start, window.end);
        let arguments = [&option[..], &["--nonces", &nonces, "--json"]].concat();
        let told = json(&scan(GENESIS, &arguments));
        let expected = meeting(&hashes, &target);
        assert!(!expected.is_empty(), "{option:?} finds nothing, so it shows nothing");
        assert_eq!(told["hits"], Value::from(expected), "{option:?}");
        assert_eq!(told["scanned"], 100_000);
    }
}

/// The genesis header's hashes over a window, from the `sha2` crate.
fn hashes(window: std::ops::Range<u32>) -> Vec<(u32, bitcoin::BlockHash)> {
    let header = chain::parse_header(GENESIS).unwrap();
    window.map(|nonce| (nonce, chain::block_hash(&chain::with_nonce(&header, nonce)))).collect()
}

fn meeting(hashes: &[(u32, bitcoin::BlockHash)], target: &Target) -> Vec<Value> {
    let met = hashes.iter().filter(|(_, hash)| chain::meets(hash, target));
    let told = |(nonce, hash): &(u32, bitcoin::BlockHash)| json!({ "nonce": nonce, "version": 1, "time": 1_231_006_505, "hash": hash.to_string() });
    met.map(told).collect()
}

#[test]
fn dense_hits_are_all_reported() {
    // Every second hash meets the target: any batch of a useful size overflows its report.
    let half = format!("7{}", "f".repeat(63));
    let told = json(&scan(GENESIS, &["--target", &half, "--nonces", "0..5000", "--json"]));
    let expected = meeting(&hashes(0..5000), &chain::parse_target(&half).unwrap());
    assert_eq!(told["hits"], Value::from(expected));
    assert_eq!(told["scanned"], 5000);
}

#[test]
fn the_nonce_of_the_header_is_ignored() {
    let nonces = ["--nonces", "2083236000..2083237000", "--json"];
    let other = format!("{}ffffffff", &GENESIS[..152]);
    let told = json(&scan(&other, &nonces));
    assert_eq!(told["hits"], json(&scan(GENESIS, &nonces))["hits"]);
    assert_eq!(told["hits"][0]["hash"], GENESIS_HASH);
}

#[test]
fn a_negative_version_keeps_its_sign() {
    let other = format!("000000a0{}", &GENESIS[8..]);
    let told = json(&scan(&other, &["--difficulty", "1e-6", "--nonces", "0..20000", "--json"]));
    assert_eq!(told["hits"][0]["version"], i64::from(0xa000_0000_u32.cast_signed()));
}

/// Block 951658 of the main chain, whose version is 253ac004.
fn rolled() -> KnownBlock {
    *KNOWN_BLOCKS.last().unwrap()
}

/// The header with `version` in hex, as `verify` prints it, and another nonce.
fn with_version(version: u32) -> String {
    format!("{:08x}{}00000000", version.swap_bytes(), &rolled().header[8..152])
}

fn nonces_around(block: &KnownBlock, before: u64, length: u64) -> String {
    Nonces::around(block.header().unwrap().nonce, before, length).to_string()
}

#[test]
fn rolled_version_bits_are_found_with_the_nonce() {
    let (block, nonces) = (rolled(), nonces_around(&rolled(), 20, 50));
    // Without what BIP 320 lets roll; bit 2 is the miner's own.
    let zeroed = with_version(0x2000_0004);
    for (mask, headers) in [("1fffe000", 1 << 16), ("0x053AC000", 1 << 8), ("253ac000", 1 << 9)] {
        let options = ["--version-mask", mask, "--nonces", &nonces];
        let told = json(&scan(&zeroed, &[&options[..], &["--json"]].concat()));
        let header = block.header().unwrap();
        assert_eq!(
            told["hits"],
            json!([{
                "nonce": header.nonce,
                "version": 0x253a_c004,
                "time": header.time,
                "hash": block.hash,
            }]),
            "{mask}"
        );
        assert_eq!(
            (&told["scanned"], &told["assigned"]),
            (&json!(headers * 50), &json!(headers * 50))
        );
        assert_eq!(told["complete"], true);
    }
    let told = scan(&zeroed, &["--version-mask", "053ac000", "--nonces", &nonces]);
    let nonce = block.header().unwrap().nonce;
    let line =
        format!("version 253ac004  nonce {nonce:>10} ({nonce:#010x})  hash {}\n", block.hash);
    assert!(told.starts_with(&line), "{told}");
    let others = json(&scan(&zeroed, &["--version-mask", "2000", "--nonces", &nonces, "--json"]));
    assert_eq!((&others["hits"], &others["scanned"]), (&json!([]), &json!(100)));
}

#[test]
fn a_later_time_is_found() {
    let block = rolled();
    let header = block.header().unwrap();
    let early = (header.time - 3).swap_bytes();
    let early = format!("{}{early:08x}{}", &block.header[..136], &block.header[144..]);
    let nonces = nonces_around(&block, 100, 300);
    let rolls = ["--version-mask", "0x1000000", "--times", "5", "--nonces", &nonces];
    let told = json(&scan(&early, &[&rolls[..], &["--json"]].concat()));
    assert_eq!(told["hits"][0]["time"], header.time);
    assert_eq!(told["hits"][0]["hash"], block.hash);
    assert_eq!(told["scanned"], 2 * 5 * 300);
    let told = scan(&early, &rolls);
    assert!(told.starts_with(&format!("version 253ac004  time {}  nonce ", header.time)), "{told}");
}

#[test]
fn hits_come_by_header_and_nonce() {
    let options = ["--version-mask", "6", "--times", "2", "--nonces", "0..3000", "--json"];
    let told = json(&scan(GENESIS, &[&options[..], &["--difficulty", "1e-7"]].concat()));
    let hits = told["hits"].as_array().unwrap();
    let order = |hit: &Value| [&hit["time"], &hit["version"], &hit["nonce"]].map(Value::as_i64);
    assert!(hits.is_sorted_by_key(order), "{hits:?}");
    let target = chain::target_of_difficulty(1e-7).unwrap();
    let mut expected = 0;
    for (version, time) in [(1, 0), (3, 0), (5, 0), (7, 0), (1, 1), (3, 1), (5, 1), (7, 1)] {
        let mut header = chain::parse_header(GENESIS).unwrap();
        header.version = bitcoin::block::Version::from_consensus(version);
        header.time += time;
        let meets = |nonce: &u32| {
            chain::meets(&chain::block_hash(&chain::with_nonce(&header, *nonce)), &target)
        };
        expected += (0..3000).filter(meets).count();
    }
    assert!(hits.len() == expected && expected > 20, "{expected}");
}

fn scan(header: &str, options: &[&str]) -> String {
    done(&[&["scan", header, "--device", "cpu"], options].concat())
}

const MANY: [&str; 7] =
    ["scan", "-", "--device", "cpu", "--nonces", "2083236000..2083237000", "--json"];

#[test]
fn each_line_of_standard_input_is_answered() {
    let other = format!("{}00000000", &GENESIS[..152]);
    let input = format!("\n{GENESIS}\r\n  \n{other}\n\n{}", GENESIS.to_uppercase());
    let output = adit(&MANY).write_stdin(input).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let told = json_lines(&String::from_utf8(output.stdout).unwrap());
    assert_eq!(told.len(), 3);
    for told in told {
        assert_eq!(told["hits"][0]["hash"], GENESIS_HASH);
        assert_eq!(told["scanned"], 1000);
    }
    let nothing = adit(&MANY).write_stdin("").output().unwrap();
    assert!(nothing.status.success() && nothing.stdout.is_empty(), "{nothing:?}");
}

#[test]
fn a_bad_line_is_named_after_the_good_ones_are_answered() {
    let input = format!("{GENESIS}\n{GENESIS}\n{}\n{GENESIS}\n", &GENESIS[..100]);
    let output = adit(&MANY).write_stdin(input).output().unwrap();
    let said = complaint(&output, 2);
    assert!(said.contains("line 3: 100 hex digits"), "{said}");
    assert_eq!(json_lines(&String::from_utf8(output.stdout).unwrap()).len(), 2);

    for (input, expected) in [
        (vec![0xff, 0xfe, b'\n'], "line 1: it is no text"),
        (vec![b'\n', b'0', 0, b'0'], "line 2: '\\0' at position 2"),
        (vec![b'0'; usize::try_from(HEADER_LINE).unwrap() + 1], "line 1: it is longer than 4096"),
        (with_spaces(), "line 1: it is longer than 4096"),
    ] {
        let said = complaint(&adit(&MANY).write_stdin(input).output().unwrap(), 2);
        assert!(said.contains(expected), "{said}");
    }
}

/// A line that would be a header if blanks did not count.
fn with_spaces() -> Vec<u8> {
    format!("{}{GENESIS}\n", " ".repeat(5000)).into_bytes()
}

#[test]
fn an_endless_line_is_not_read_to_its_end() {
    let mut child = Command::new(ADIT)
        .args(MANY)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    // A pipe holds some of it; a program that reads on takes it all.
    let piece = vec![b'0'; 1 << 20];
    let refused = (0..64).any(|_| input.write_all(&piece).is_err());
    assert!(refused, "64 MiB were read as one line");
    let said = complaint(&child.wait_with_output().unwrap(), 2);
    assert!(said.contains("longer than 4096 bytes"), "{said}");
}

#[test]
fn many_devices_may_be_named_and_each_works_once() {
    let told = json(&scan(GENESIS, &["--device", "CPU", "--nonces", "0..10", "--json"]));
    assert_eq!(told["devices"].as_array().unwrap().len(), 1);
    assert_eq!(told["scanned"], 10);
}

/// On other systems the graphics interface is part of the system.
#[cfg(target_os = "linux")]
mod without_drivers {
    use super::*;

    fn bare(arguments: &[&str]) -> std::process::Output {
        let nowhere = "/nonexistent/driver.json";
        let mut command = adit(arguments);
        command.env("VK_DRIVER_FILES", nowhere).env("VK_ICD_FILENAMES", nowhere);
        command.output().unwrap()
    }

    #[test]
    fn the_cpu_works_and_the_run_says_so() {
        let output = bare(&["scan", GENESIS, "--nonces", "2083236000..2083237000", "--json"]);
        assert!(output.status.success(), "{output:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("No graphics adapter was found, so the CPU works."), "{said}");
        assert_calm(&said);
        let told = json(&String::from_utf8(output.stdout).unwrap());
        assert_eq!(told["hits"][0]["hash"], GENESIS_HASH);
        assert_eq!(told["devices"][0]["kind"], "cpu");
    }

    #[test]
    fn the_list_holds_the_cpu_alone_and_tells_what_to_do() {
        let output = bare(&["devices"]);
        assert!(output.status.success(), "{output:?}");
        let told = String::from_utf8(output.stdout).unwrap();
        assert!(told.contains("No real GPU was found. If there is one, install its"), "{told}");
        let listed = json(&String::from_utf8(bare(&["devices", "--json"]).stdout).unwrap());
        assert_eq!(listed.as_array().unwrap().len(), 1);
        assert_eq!(listed[0]["kind"], "cpu");
        assert_eq!(listed[0]["used"], true);
    }

    #[test]
    fn a_device_that_is_not_there_is_refused_with_those_that_are() {
        let said = complaint(&bare(&["mine", "--device", "1"]), 2);
        assert!(said.contains("no device is called \"1\"; there are:\n  0  "), "{said}");
        let said = complaint(&bare(&["scan", GENESIS, "--device", "cpu", "--device", "gpu x"]), 2);
        assert!(said.contains("no device is called \"gpu x\""), "{said}");
    }
}
