//! Settings that change while a run goes on.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::mine::Run;
use crate::pools::Pool;
use crate::signal::signal;

/// A run for the practice pool with these settings.
fn run(file: &Path, settings: &str, more: &[&str]) -> Run {
    fs::write(file, settings).unwrap();
    let mine = ["mine", "--device", "cpu", "--json", "--config", file.to_str().unwrap()];
    let mut run = Run::of(&[&mine[..], more].concat());
    run.until("share");
    run
}

/// Replaces the file as editors do, in one step.
fn replace(file: &Path, settings: &str) {
    let new = file.with_extension("new");
    fs::write(&new, settings).unwrap();
    fs::rename(new, file).unwrap();
}

fn reload(run: &mut Run, file: &Path, settings: &str) -> Value {
    replace(file, settings);
    signal(&run.child, "HUP");
    run.until("reloaded")
}

/// The rest of a run that is interrupted now.
fn rest(mut run: Run) -> Vec<Value> {
    signal(&run.child, "INT");
    let mut events = Vec::new();
    while events.last().is_none_or(|event: &Value| event["event"] != "summary") {
        events.push(run.next("summary"));
    }
    assert_eq!(run.child.wait().unwrap().code(), Some(130));
    events
}

#[test]
fn a_signal_has_the_settings_read_again_and_no_share_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("adit.toml");
    let log = folder.path().join("shares.jsonl");
    let log = ["--share-log", log.to_str().unwrap(), "--max-power", "9999W"];
    let mut run = run(&file, "gpu-share = \"90%\"\n", &log);

    // What is typed wins, also later; what no run can change is named.
    let text = "profile = \"background\"\nmax-power = \"100W\"\nprice = \"0.3\"\nuser = \"b\"\nonce = true\n";
    let told = reload(&mut run, &file, text);
    assert_eq!(told["changed"], json!(["price", "profile", "gpu-share"]), "{told}");
    assert_eq!((&told["at_next_start"], &told["error"]), (&json!(["user", "once"]), &Value::Null));
    let governed = run.until("governed");
    assert_eq!(governed["devices"][0]["profile"], "background", "{governed}");
    assert_eq!(governed["devices"][0]["gpu_share"], 1.0, "{governed}");

    // A broken file changes nothing, and is told as `config check` tells it.
    let told = reload(&mut run, &file, "\nprofle = \"dedicated\"\n");
    let error = told["error"].as_str().unwrap();
    assert!(error.contains("adit.toml:2:1: ") && error.contains("profile"), "{error}");
    assert_eq!((&told["changed"], &told["at_next_start"]), (&json!([]), &json!([])));
    run.until("share");

    // Back to how it was: nothing waits for the next start any more.
    let told = reload(&mut run, &file, "gpu-share = \"90%\"\n");
    assert_eq!(told["changed"], json!(["price", "profile", "gpu-share"]), "{told}");
    assert_eq!(told["at_next_start"], json!([]), "{told}");
    assert_eq!(run.until("governed")["devices"][0]["profile"], "dedicated");
    run.until("share");

    let events = rest(run);
    assert!(events.iter().all(|event| event["event"] != "source"), "it kept its connection");
    let summary = events.last().unwrap();
    assert_eq!((&summary["expired"], &summary["pending"]), (&json!(0), &json!(0)), "{summary}");
    assert_eq!(summary["rejected"], 0, "{summary}");
    assert!(summary["accepted"].as_u64().unwrap() >= 3, "{summary}");
}

#[test]
fn a_schedule_comes_and_goes_while_a_run_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("adit.toml");
    let mut run = run(&file, "", &[]);
    let closed = format!("schedule = \"{} 10:00-11:00\"\n", crate::desktop::a_day_far_from_now());
    assert_eq!(reload(&mut run, &file, &closed)["changed"], json!(["schedule"]));
    assert_eq!(run.until("governed")["paused"], json!(["schedule"]));
    assert_eq!(reload(&mut run, &file, "")["changed"], json!(["schedule"]));
    assert_eq!(run.until("governed")["paused"], json!([]));
    run.until("share");
    rest(run);
}

#[test]
fn a_watched_file_is_read_again_when_it_was_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("adit.toml");
    let mut run = run(&file, "watch-config = true\n", &[]);
    replace(&file, "watch-config = true\ngpu-share = \"80%\"\n");
    assert_eq!(run.until("reloaded")["changed"], json!(["gpu-share"]));
    // Where it is away for a moment, as with editors that write it anew, a named file is missed in plain words.
    fs::remove_file(&file).unwrap();
    let told = run.until("reloaded");
    assert!(told["error"].as_str().unwrap().contains("it cannot be read"), "{told}");
    fs::write(&file, "watch-config = true\n").unwrap();
    assert_eq!(run.until("reloaded")["changed"], json!(["gpu-share"]));
    rest(run);
}

/// Settings with these pools as sources.
fn sources(pools: &[&Pool]) -> String {
    let urls: Vec<String> = pools.iter().map(|pool| format!("{:?}", pool.url())).collect();
    format!("source = [{}]\n", urls.join(", "))
}

/// Reads events until a share of this source was found.
fn until_share_of(run: &mut Run, source: u16) {
    while run.until("share")["source"] != source {}
}

#[test]
fn sources_come_and_go_while_a_run_goes_on_and_no_share_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("adit.toml");
    let log = folder.path().join("shares.jsonl");
    let log = ["--share-log", log.to_str().unwrap()];
    let [a, b, c] = [(); 3].map(|()| Pool::with_difficulty(1e-5));
    let mut run = run(&file, &sources(&[&a]), &log);

    // Another pool instead: the one before gets no more work.
    let told = reload(&mut run, &file, &sources(&[&b]));
    assert_eq!((&told["changed"], &told["error"]), (&json!(["source"]), &Value::Null), "{told}");
    until_share_of(&mut run, 1);
    // The first one comes back, before the other: it has its number again, and the devices without a minute's wait.
    reload(&mut run, &file, &sources(&[&a, &b]));
    until_share_of(&mut run, 0);
    // All at once, in parts that are named by place.
    let parts = format!("{}quota = \"1=1,2=1,3=2\"\n", sources(&[&c, &b, &a]));
    let told = reload(&mut run, &file, &parts);
    assert_eq!(told["changed"], json!(["source", "quota"]), "{told}");
    while run.until("parts")["parts"] != json!([2, 1, 1]) {}
    for source in [0, 1, 2] {
        until_share_of(&mut run, source);
    }
    // What cannot be changes nothing.
    let told = reload(&mut run, &file, "profile = \"background\"\n");
    assert!(told["error"].as_str().unwrap().contains("no --source is left"), "{told}");
    until_share_of(&mut run, 2);

    let summary = rest(run).pop().unwrap();
    let number = |value: &Value| usize::try_from(value.as_u64().unwrap()).unwrap();
    for lost in ["expired", "pending", "rejected", "invalid", "duplicate"] {
        assert_eq!(summary[lost], 0, "{lost}: {summary}");
    }
    let told = summary["sources"].as_array().unwrap();
    assert_eq!(told.len(), 3, "{summary}");
    for (source, pool) in told.iter().zip([&a, &b, &c]) {
        assert_eq!(source["url"], pool.url());
        let sent = number(&source["accepted"]) + number(&source["stale"]);
        assert_eq!(sent, pool.judged(), "{source}");
        let accepted = pool.shares.lock().unwrap();
        let accepted = accepted.iter().filter(|share| share.refusal.is_none()).count();
        assert_eq!(number(&source["accepted"]), accepted, "{source}");
        assert!(accepted > 0, "{source}");
    }
    let checked = crate::done(&["verify", "--share-log", log[1]]);
    let found = number(&summary["found"]) - number(&summary["withheld"]);
    assert!(checked.contains(&found.to_string()), "{checked}");
}

#[test]
fn a_password_that_changes_in_its_file_makes_a_new_connection() {
    let folder = tempfile::tempdir().unwrap();
    let (file, password) = (folder.path().join("adit.toml"), folder.path().join("password"));
    fs::write(&password, "one\n").unwrap();
    let pool = Pool::with_difficulty(1e-5);
    let settings = format!("{}password-file = {password:?}\n", sources(&[&pool]));
    let mut run = run(&file, &settings, &[]);
    assert_eq!(reload(&mut run, &file, &settings)["changed"], json!([]));
    fs::write(&password, "another\n").unwrap();
    assert_eq!(reload(&mut run, &file, &settings)["changed"], json!(["password-file"]));
    until_share_of(&mut run, 1);
    rest(run);
}
