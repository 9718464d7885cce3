//! Files of one run at a time.

use crate::life::{Life, Place};
use crate::node::{Habit, Node};

#[test]
fn a_second_run_is_refused_until_the_first_is_gone_however_it_went() {
    let node = Node::start(1);
    node.set(Some(Habit::Answer));
    let place = Place::new();
    let mut first = place.start(&mut place.solo(node.address));
    let logged = || place.logged().found.len();
    assert_eq!(first.wait_until("a block", || logged() > 0), None, "{}", first.said());

    let refused = |arguments: &[&str], why: &str, file: &str, way_out: &str| {
        let output = place.solo(node.address).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        for part in [why, file, way_out] {
            assert!(said.contains(part), "{part} is not in {said}");
        }
    };
    let (log, blocks) = (place.log(), place.blocks());
    let (log, blocks) = (log.to_str().unwrap(), blocks.to_str().unwrap());
    let other = place.folder.path().join("other.jsonl");
    let other = other.to_str().unwrap();
    refused(&[], "another adit that is running writes to it", log, "give --share-log another file");
    let link = place.folder.path().join("by another name.jsonl");
    std::os::unix::fs::symlink(log, &link).unwrap();
    let link = link.to_str().unwrap();
    refused(&["--share-log", link], "another adit", link, "give --share-log another file");
    let why = "another adit that is running keeps its solved blocks in";
    refused(&["--share-log", other], why, blocks, "set ADIT_STATE_DIR to another folder");
    assert!(first.child.try_wait().unwrap().is_none(), "the first goes on: {}", first.said());

    first.kill();
    let before = logged();
    let mut second = place.start(&mut place.solo(node.address));
    assert_eq!(second.wait_until("a block", || logged() > before), None, "{}", second.said());
    second.signal("TERM");
    assert_eq!(second.end().code(), Some(0), "{}", second.said());
    assert_eq!(place.logged().runs, 2, "who was refused wrote nothing");
}

#[test]
fn what_is_no_file_is_for_everybody() {
    let node = Node::start(2);
    node.set(Some(Habit::Answer));
    let places = [Place::new(), Place::new()];
    let mut lives: Vec<Life> = places
        .iter()
        .map(|place| place.start(place.solo(node.address).args(["--share-log", "/dev/null"])))
        .collect();
    for life in &mut lives {
        life.wait_for("work");
    }
    for life in &mut lives {
        life.signal("TERM");
        assert_eq!(life.end().code(), Some(0), "{}", life.said());
    }
}
