//! adit.toml, the environment and `adit config`.

use std::fs;
use std::path::Path;

use assert_cmd::Command;

use crate::{adit, assert_calm, complaint, json_lines};

/// Files that are wrong, each with what is said of it.
const BROKEN: &str = include_str!("broken_settings.txt");

/// In a folder of its own, with nothing of the user's.
fn adit_in(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = adit(arguments);
    command.current_dir(folder).env("ADIT_STATE_DIR", folder).env("ADIT_CONFIG", "adit.toml");
    command
}

fn said(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_broken_file_is_told_with_its_line_and_the_way_out() {
    let folder = tempfile::tempdir().unwrap();
    let mut wrong = Vec::new();
    let cases: Vec<&str> = BROKEN.split("=== ").filter(|case| !case.is_empty()).collect();
    assert!(cases.len() >= 50, "{}", cases.len());
    for case in cases {
        let (name, rest) = case.split_once('\n').unwrap();
        let (text, expected) = rest.split_once("\n---\n").unwrap();
        fs::write(folder.path().join("adit.toml"), text).unwrap();
        let output = adit_in(folder.path(), &["config", "check"]).output().unwrap();
        let told = complaint(&output, 2);
        let told = told.strip_prefix("error: ").unwrap().trim();
        assert!(told.lines().all(|line| line.starts_with("adit.toml:")), "{name}: {told}");
        assert!(!told.contains("hunter2"), "{name}: {told}");
        if told != expected.trim() {
            wrong.push(format!("=== {name}\n{text}\n---\n{told}\n"));
        }
    }
    assert!(
        wrong.is_empty(),
        "said otherwise than broken_settings.txt has it:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn the_command_line_wins_over_the_environment_and_that_over_the_file() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(
        folder.path().join("adit.toml"),
        "for = \"0s\"\nprofile = \"dedicated\"\nuser = \"file\"\n",
    )
    .unwrap();
    let shown = said(adit_in(folder.path(), &["config", "show"]).env("ADIT_USER", "variable"));
    let line = |key: &str| {
        let start = format!("{key} = ");
        shown.lines().find(|line| line.starts_with(&start)).unwrap_or_default().to_owned()
    };
    assert!(
        line("user").starts_with("user = \"variable\"") && line("user").ends_with("# ADIT_USER"),
        "{shown}"
    );
    assert!(line("for").contains("\"0s\"") && line("for").ends_with("# adit.toml:1:1"), "{shown}");
    assert!(line("version-mask").ends_with("# default"), "{shown}");

    // The file alone ends a run at once; what is typed wins.
    let run = |arguments: &[&str]| {
        let all =
            [&["mine", "--device", "cpu", "--source", "replay:", "--json"], arguments].concat();
        let told = json_lines(&said(&mut adit_in(folder.path(), &all)));
        told.last().unwrap()["blocks"].as_u64().unwrap()
    };
    assert_eq!(run(&[]), 0);
    assert_eq!(run(&["--for", "5m", "--blocks", "1"]), 1);
}

#[test]
fn a_wrong_variable_is_named() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("adit.toml"), "").unwrap();
    let told = |variable: &str, value: &str| {
        let mut command = adit_in(folder.path(), &["mine", "--for", "0s"]);
        complaint(&command.env(variable, value).output().unwrap(), 2)
    };
    assert!(told("ADIT_PROFILE", "fast").contains("ADIT_PROFILE: invalid value 'fast'"));
    assert!(told("ADIT_ONCE", "yes").contains("ADIT_ONCE: it is true or false"));
    assert!(
        told("ADIT_SOURCE", "[\"a\"").contains("ADIT_SOURCE: several values are written as a list")
    );
    let both = "[\"stratum+tcp://a@127.0.0.1:1\", \"pool:3333\"]";
    assert!(told("ADIT_SOURCE", both).contains("is no kind of source"));
}

#[test]
fn a_file_that_is_named_must_be_there() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in [&["config", "check"][..], &["mine", "--for", "0s"]] {
        let told = complaint(&adit_in(folder.path(), arguments).output().unwrap(), 2);
        assert!(
            told.contains("adit.toml: it cannot be read") && told.contains("config init"),
            "{told}"
        );
    }
    fs::write(folder.path().join("adit.toml"), b"user = \"\xff\"\n").unwrap();
    let told = complaint(&adit_in(folder.path(), &["config", "check"]).output().unwrap(), 2);
    assert!(told.contains("adit.toml:1:9: this is no text in UTF-8"), "{told}");
    fs::write(folder.path().join("adit.toml"), "#".repeat((1 << 20) + 1)).unwrap();
    let told = complaint(&adit_in(folder.path(), &["config", "check"]).output().unwrap(), 2);
    assert!(told.contains("more than 1048576 bytes"), "{told}");
}

#[test]
fn a_file_is_written_once_and_says_all_that_can_be_set() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("adit.toml");
    said(&mut adit_in(folder.path(), &["config", "init"]));
    let text = fs::read_to_string(&file).unwrap();
    assert!(said(&mut adit_in(folder.path(), &["config", "check"])).contains("adit.toml: OK"));
    assert!(text.lines().all(|line| line.is_empty() || line.starts_with('#')), "{text}");

    // Each key with its default is right as it stands.
    let mut set = String::new();
    for line in text.lines().filter_map(|line| line.strip_prefix("# ")) {
        let default = ["coinbase-tag", "version-mask", "template-every", "once"];
        if line.split_once(" = ").is_some_and(|(key, _)| default.contains(&key)) {
            set.push_str(line);
            set.push('\n');
        }
    }
    assert_eq!(set.lines().count(), 4, "{set}");
    fs::write(&file, &set).unwrap();
    assert!(said(&mut adit_in(folder.path(), &["config", "check"])).contains("adit.toml: OK"));

    let told = complaint(&adit_in(folder.path(), &["config", "init"]).output().unwrap(), 2);
    assert!(
        told.contains("is there already and was left as it is; --force writes over it"),
        "{told}"
    );
    assert_eq!(fs::read_to_string(&file).unwrap(), set);
    said(&mut adit_in(folder.path(), &["config", "init", "--force"]));
    assert_eq!(fs::read_to_string(&file).unwrap(), text);
}

#[test]
fn what_is_shown_has_no_secrets_and_can_be_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("adit.toml");
    fs::write(
        &file,
        "proxy = \"socks5://me:hunter2@127.0.0.1:9050\"\npassword-file = 'C:\\pool \"1\"'\n\
         [[source]]\nurl = \"stratum+tcp://pool.example.org:3333\"\nuser = \"me/rig 1\"\n\
         proxy = \"socks5://me:hunter2@127.0.0.1:9050\"\n",
    )
    .unwrap();
    let shown = said(adit_in(folder.path(), &["config", "show"]).env("ADIT_PASSWORD", "hunter2"));
    assert!(!shown.contains("hunter2"), "{shown}");
    assert!(shown.contains("socks5://me:…@127.0.0.1:9050"), "{shown}");
    assert!(shown.contains("stratum+tcp://me%2Frig%201@pool.example.org:3333?…"), "{shown}");
    assert!(shown.contains(r#"password-file = "C:\\pool \"1\"""#), "{shown}");
    assert_calm(&shown);
}
