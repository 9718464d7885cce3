//! Disks that are full, and folders that take nothing: mining goes on, and it is said what is lost.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use crate::life::{self, Place};
use crate::node::{Habit, Node};

fn willing_node() -> Node {
    let node = Node::start(3);
    node.set(Some(Habit::Answer));
    node
}

fn warnings(said: &str) -> Vec<String> {
    let events = life::events(said, "warning");
    events.iter().map(|event| event["text"].as_str().unwrap().to_owned()).collect()
}

/// A run until this many blocks are accepted, which must end well.
fn mined(command: &mut Command, blocks: u64) -> (String, String) {
    let output = command.args(["--blocks", &blocks.to_string()]).output().unwrap();
    let Output { status, stdout, stderr } = output;
    let [told, noted] = [stdout, stderr].map(|said| String::from_utf8(said).unwrap());
    assert_eq!(status.code(), Some(0), "{told}{noted}");
    let summary = life::events(&told, "summary").pop().unwrap();
    assert!(summary["accepted"].as_u64() >= Some(blocks), "{summary}");
    (told, noted)
}

/// The system takes no more than four KiB of a file: it cuts a line in its middle.
#[test]
fn a_share_log_that_can_grow_no_more_ends_with_a_torn_line_and_mining_goes_on() {
    let (place, node) = (Place::new(), willing_node());
    let plain = place.solo(node.address);
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' XFSZ; ulimit -f 8; exec \"$0\" \"$@\""]);
    command.arg(plain.get_program()).args(plain.get_args());
    command.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let (told, _) = mined(&mut command, 20);
    let length = place.log().metadata().unwrap().len();
    assert_eq!(length, 8 * 512, "the limit was reached");
    let warnings = warnings(&told);
    let about: Vec<&String> =
        warnings.iter().filter(|text| text.contains("the share log cannot be written")).collect();
    assert_eq!(about.len(), 1, "it is said once: {warnings:?}");
    assert!(about[0].contains("mining goes on"), "{warnings:?}");
    let output = place.verify();
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8(output.stdout).unwrap().contains(" 1 torn, 0 corrupt"));
    let told = place.logged().found;
    assert!((2..20).contains(&told.len()), "{} shares fit in", told.len());
    assert!(place.disk().blocks.len() >= 20, "blocks have files of their own");
}

#[cfg(target_os = "linux")]
#[test]
fn a_share_log_on_a_disk_that_is_full_from_the_start_is_told_and_mining_begins() {
    let (place, node) = (Place::new(), willing_node());
    let (told, noted) = mined(place.solo(node.address).args(["--share-log", "/dev/full"]), 3);
    assert!(noted.contains("the share log /dev/full cannot be written: No space left"), "{noted}");
    assert!(warnings(&told).iter().any(|text| text.contains("mining goes on")), "{told}");
}

/// A folder that takes no file, whoever it is who writes.
#[test]
fn blocks_that_cannot_be_kept_are_submitted_and_it_is_said() {
    let (place, node) = (Place::new(), willing_node());
    fs::create_dir(place.state()).unwrap();
    fs::write(place.blocks(), "no folder").unwrap();
    let (told, noted) = mined(&mut place.solo(node.address), 3);
    assert!(noted.contains("solved blocks cannot be kept in"), "{noted}");
    let warnings = warnings(&told);
    assert!(warnings.iter().any(|text| text.contains("is not on disk")), "{warnings:?}");
    assert!(node.state().came.len() >= 3);
    let logged = place.logged();
    // Those that are not accepted are second ones of their height, which are stale.
    assert_eq!(logged.verdicts.values().sum::<u64>(), logged.found.len() as u64);
    assert!(logged.verdicts["accepted"] >= 3, "{:?}", logged.verdicts);
}

/// A disk of 32 KiB, in a mount of the run's own.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_costs_records_until_there_is_room_again() {
    let (place, node) = (Place::new(), willing_node());
    fs::create_dir(place.state()).unwrap();
    let mount = "mount -t tmpfs -o size=32k adit \"$0\" && exec \"$@\"";
    let unshare = |program: &[&std::ffi::OsStr]| {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--map-root-user", "sh", "-c", mount]).arg(place.state());
        command.args(program);
        command
    };
    if !unshare(&["true".as_ref()]).output().is_ok_and(|output| output.status.success()) {
        println!("skipped: no mounts of one's own here");
        return;
    }
    let plain = place.solo(node.address);
    let mut command = unshare(&[plain.get_program()]);
    command.args(plain.get_args());
    command.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let mut life = place.start(&mut command);

    let is_full = |said: &str| {
        let warnings = warnings(said);
        let full = |what: &str| {
            warnings.iter().any(|text| text.contains(what) && text.contains("No space left"))
        };
        full("the share log cannot be written") && full("is not on disk")
    };
    life.wait_till("the disk is full", is_full);
    // Through the eyes of the run.
    let root = format!("/proc/{}/root", life.child.id());
    let inside = |path: &Path| Path::new(&root).join(path.strip_prefix("/").unwrap());
    let before = node.state().came.len();
    node.wait_until("mining goes on", |state| state.came.len() >= before + 10);

    let (log, blocks) = (inside(&place.log()), inside(&place.blocks()));
    let found = life::logged(&log).found.len();
    for entry in fs::read_dir(&blocks).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "json") {
            // The run may be about to replace it.
            let _ = fs::remove_file(path);
        }
    }
    let goes_on = || life::logged(&log).found.len() > found;
    assert_eq!(life.wait_until("the log goes on", goes_on), None, "{}", life.said());
    let copy = place.folder.path().join("copy.jsonl");
    fs::copy(&log, &copy).unwrap();
    life.signal("TERM");
    assert_eq!(life.end().code(), Some(0), "{}", life.said());
    let output = life::verify(&copy);
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8(output.stdout).unwrap().contains(", 0 corrupt"));
}
