//! Messages on standard error, and the forms in which they come.

use crate::{adit, json_lines, without_a_desktop};

/// Something of each kind: of `tracing`, remarks beside the output, and at the end the reason of a failure.
const TALKATIVE: [&str; 9] = [
    "mine",
    "--device",
    "cpu",
    "--shares",
    "1",
    "--on-share",
    "a-program-that-is-not-there",
    "--when",
    "idle",
];

#[test]
fn messages_are_objects_too_where_the_log_format_is_json() {
    let mut command = adit(&[&TALKATIVE[..], &["--log-format", "json"]].concat());
    without_a_desktop(&mut command);
    let output = command.env("RUST_LOG", "trace").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let said = json_lines(&String::from_utf8(output.stderr).unwrap());
    let of = |level: &str, words: &str| {
        let found = said.iter().find(|message| {
            message["level"] == level && message["message"].as_str().unwrap().contains(words)
        });
        assert!(found.is_some(), "no {level} with {words:?} in {said:?}");
        found.unwrap()
    };
    assert_eq!(of("WARN", "a-program-that-is-not-there")["target"], "adit::runtime::hooks");
    assert_eq!(of("INFO", "--when idle does nothing")["target"], "adit");
    for message in &said {
        let stamp: jiff::Timestamp = message["timestamp"].as_str().unwrap().parse().unwrap();
        assert!(stamp.as_second() > 1_700_000_000, "{message}");
    }
    // What is printed is still what --json prints.
    let told = json_lines(&String::from_utf8(output.stdout).unwrap());
    assert!(told.iter().all(|event| event["event"].is_string()), "{told:?}");

    let nobody = ["mine", "--device", "cpu", "--source", "stratum+tcp://a@127.0.0.1:1", "--once"];
    let output = adit(&[&nobody[..], &["--log-format", "json"]].concat()).output().unwrap();
    assert_eq!(output.status.code(), Some(5), "{output:?}");
    let said = json_lines(&String::from_utf8(output.stderr).unwrap());
    assert_eq!(said.last().unwrap()["level"], "ERROR", "{said:?}");
}

#[test]
fn other_formats_leave_messages_as_they_are() {
    for form in ["--json", "--plain"] {
        let mut command = adit(&[&TALKATIVE[..], &[form]].concat());
        without_a_desktop(&mut command);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        for begin in [" WARN adit::runtime::hooks: the hook for ", "--when idle does nothing: "] {
            let found = said.lines().filter(|line| line.starts_with(begin)).count();
            assert_eq!(found, 1, "{begin:?} in {said}");
        }
    }
}
