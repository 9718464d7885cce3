//! The targets of `tests/fuzz` on any toolchain: every file of their corpus, and mutations of each from fixed seeds.

#![expect(clippy::unwrap_used, reason = "a test may panic, and so may what it calls")]

#[path = "fuzz/targets/mod.rs"]
mod targets;

use std::collections::BTreeSet;
use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use fastrand::Rng;

use targets::{TARGETS, Target};

/// Bytes of a mutation at most.
const LONGEST: usize = 1 << 16;

/// Bytes of a target's corpus at most: it is no archive.
const CORPUS: usize = 200_000;

/// Memory of a process that replays, in KiB.
const MEMORY: u64 = 256 << 10;

/// What the parsers look for, and numbers at the ends of what they can be.
const WORDS: [&str; 32] = [
    "\n",
    "\r\n",
    "\0",
    "{",
    "}",
    "[",
    "]",
    "\"",
    "\\",
    ",",
    ":",
    "null",
    "true",
    "-1",
    "0",
    "1e308",
    "1e-308",
    "4294967296",
    "18446744073709551616",
    "\u{202e}",
    "\u{1b}[2J",
    "é",
    "%00",
    "ffffffff",
    "\n!t 1000\n",
    "\n!T\n",
    "\n!c\n",
    "\n!d\n",
    "\n!s 0 0 0\n",
    "\n!s 1 7 0 1\n",
    "Host: localhost\r\n",
    "://",
];

/// A test for each target, so that they run side by side.
macro_rules! replayed {
    ($($name:ident)*) => {
        const NAMES: &[&str] = &[$(stringify!($name)),*];

        $(#[test]
        fn $name() {
            replay(stringify!($name));
        })*
    };
}

replayed! {
    stratum_wire stratum_session gbt_template gbt_session share_log config http rig_api wgsl header location address
    practice_pool
}

#[test]
fn every_target_is_replayed_and_can_be_fuzzed() {
    let names: BTreeSet<&str> = TARGETS.iter().map(|target| target.name).collect();
    assert_eq!(names, NAMES.iter().copied().collect());
    let folders = fs::read_dir(folder().join("corpus")).unwrap();
    let folders = folders.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(folders.collect::<BTreeSet<_>>(), names.iter().map(ToString::to_string).collect());
    let manifest = fs::read_to_string(folder().join("Cargo.toml")).unwrap();
    for name in names {
        assert!(manifest.contains(&format!("[[bin]]\nname = \"{name}\"\n")), "{name}");
        let main = fs::read_to_string(folder().join(format!("fuzz_targets/{name}.rs"))).unwrap();
        assert!(main.contains(&format!("run(\"{name}\", input)")), "{name}");
    }
}

#[test]
fn mutations_differ_and_come_again_with_their_seed() {
    let files = [b"{\"id\":1}\n".to_vec(), vec![0; 100], Vec::new()];
    for index in 0..files.len() {
        let mutations = |seed| -> Vec<Vec<u8>> {
            let mut rng = Rng::with_seed(seed);
            (0..1000).map(|_| mutated(&mut rng, &files, index)).collect()
        };
        let all = mutations(7);
        assert_eq!(all, mutations(7));
        assert_ne!(all, mutations(8));
        assert!(all.iter().collect::<BTreeSet<_>>().len() > 100, "of file {index}");
        assert!(all.iter().filter(|mutation| **mutation != files[index]).count() > 500);
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz")
}

fn replay(name: &str) {
    let target = TARGETS.iter().find(|target| target.name == name).unwrap();
    let files = corpus(name);
    for (file, text) in &files {
        try_on(target, text, file);
    }
    let reached = targets::reached();
    let missed: Vec<_> = target.reaches.iter().filter(|place| !reached.contains(*place)).collect();
    assert!(missed.is_empty(), "the corpus of {name} no longer leads to {missed:?}");
    let texts: Vec<Vec<u8>> = files.iter().map(|(_, text)| text.clone()).collect();
    for (index, (file, _)) in files.iter().enumerate() {
        let mut rng = Rng::with_seed(index as u64);
        for number in 0..target.mutations {
            let mutation = mutated(&mut rng, &texts, index);
            try_on(target, &mutation, &format!("mutation {number} of {file}"));
        }
    }
    if let Some(most) = peak_memory() {
        assert!(most < MEMORY, "{most} KiB");
    }
}

/// The files of a target's corpus, by their name.
fn corpus(name: &str) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(folder().join("corpus").join(name)).unwrap();
    let mut files: Vec<_> = entries
        .map(|entry| {
            let path = entry.unwrap().path();
            let file = path.file_name().unwrap().to_string_lossy().into_owned();
            (file, fs::read(path).unwrap())
        })
        .collect();
    files.sort();
    assert!(!files.is_empty(), "no corpus for {name}");
    let bytes: usize = files.iter().map(|(_, text)| text.len()).sum();
    assert!(bytes < CORPUS, "{bytes} bytes in the corpus of {name}");
    files
}

/// Says which input it was when a promise is broken.
fn try_on(target: &Target, input: &[u8], what: &str) {
    let Target { name, .. } = target;
    let kept = catch_unwind(|| targets::run(name, input));
    assert!(
        kept.is_ok(),
        "{name} on {what}: put this into tests/fuzz/corpus/{name}:\n{}",
        input.escape_ascii()
    );
}

/// A file with one to four changes.
fn mutated(rng: &mut Rng, files: &[Vec<u8>], index: usize) -> Vec<u8> {
    let mut bytes = files[index].clone();
    for _ in 0..rng.usize(1..=4) {
        change(rng, &mut bytes, files);
    }
    bytes.truncate(LONGEST);
    bytes
}

fn change(rng: &mut Rng, bytes: &mut Vec<u8>, files: &[Vec<u8>]) {
    let at = rng.usize(..=bytes.len());
    let end = at + rng.usize(..=(bytes.len() - at).min(64));
    match rng.u8(..8) {
        0 if at < bytes.len() => bytes[at] ^= 1 << rng.u8(..8),
        1 if at < bytes.len() => bytes[at] = rng.u8(..),
        2 => drop(bytes.drain(at..end)),
        3 => {
            let word = WORDS[rng.usize(..WORDS.len())];
            bytes.splice(at..at, word.bytes());
        }
        4 => {
            let word = WORDS[rng.usize(..WORDS.len())];
            bytes.splice(at..end, word.bytes());
        }
        5 => {
            let times = rng.usize(1..=20);
            let again = bytes[at..end].repeat(times);
            bytes.splice(at..at, again);
        }
        6 => {
            let other = &files[rng.usize(..files.len())];
            let from = rng.usize(..=other.len());
            let to = from + rng.usize(..=other.len() - from);
            bytes.splice(at..end, other[from..to].iter().copied());
        }
        _ => {
            // A digit is another one.
            let digits: Vec<usize> =
                (0..bytes.len()).filter(|at| bytes[*at].is_ascii_hexdigit()).collect();
            if let Some(at) = rng.choice(digits) {
                bytes[at] = *rng.choice(b"0123456789abcdef").unwrap_or(&b'0');
            }
        }
    }
}

/// The most memory that this process had, where the system tells it.
fn peak_memory() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}
