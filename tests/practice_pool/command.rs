//! `adit pool`

use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::client::{Client, Job, Roll, Wanted};

fn adit(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_adit"));
    command.args(arguments).env_remove("RUST_LOG").stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// What a command that must fail says.
fn refused(arguments: &[&str]) -> String {
    let output = adit(arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("error: ") && !said.contains("panicked"), "{said}");
    said
}

/// Ends its process also when the test fails.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn shares_are_shown_and_end_it() {
    let arguments = "pool --listen 127.0.0.1:0 --difficulty 1e-8 --shares 3 --for 5m --json";
    let mut pool = Running(adit(&arguments.split(' ').collect::<Vec<_>>()).spawn().unwrap());
    let mut lines = BufReader::new(pool.0.stdout.take().unwrap())
        .lines()
        .map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap());
    let listening = lines.next().unwrap();
    assert_eq!(listening["event"], "listening");
    let address: SocketAddr = listening["address"].as_str().unwrap().parse().unwrap();

    let (mut client, session) = Client::log_in(address);
    let job = Job::new(&client.hear("mining.notify"));
    let mut hashes = Vec::new();
    for number in 0..3 {
        let roll = Roll { extranonce2: number, ..Roll::default() };
        let low = job.mine(&session, roll, Wanted::Below(1e-8));
        assert_eq!(client.submit(&low), "23 Low difficulty share");
        let share = job.mine(&session, roll, Wanted::AtLeast(1e-8));
        assert_eq!(client.submit(&share), "accepted", "also the last is answered");
        hashes.push(share.hash.to_string());
    }
    let events: Vec<Value> = lines.collect();
    assert!(pool.0.wait().unwrap().success());
    let accepted: Vec<&str> = events
        .iter()
        .filter(|event| event["event"] == "share" && event["refusal"].is_null())
        .map(|event| event["hash"].as_str().unwrap())
        .collect();
    assert_eq!(accepted, hashes);
    let summary = events.last().unwrap();
    assert_eq!((&summary["event"], &summary["interrupted"]), (&"summary".into(), &false.into()));
    let total = &summary["total"];
    assert_eq!((&total["accepted"], &total["rejected"]["low_difficulty"]), (&3.into(), &3.into()));
    assert_eq!(summary["workers"]["rig.1"], *total);
    for kind in ["connected", "login", "difficulty", "closed"] {
        assert!(events.iter().any(|event| event["event"] == kind), "{kind}: {events:?}");
    }
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_it_with_a_summary() {
    let mut pool = Running(adit(&["pool", "--listen", "127.0.0.1:0", "--json"]).spawn().unwrap());
    let mut lines = BufReader::new(pool.0.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.next().unwrap().contains("listening"));
    assert!(lines.next().unwrap().contains(r#""event":"job""#), "there is something to do");
    let pressed = Command::new("kill").args(["-INT", &pool.0.id().to_string()]).status().unwrap();
    assert!(pressed.success());
    let summary: Value = serde_json::from_str(&lines.last().unwrap()).unwrap();
    assert_eq!((&summary["event"], &summary["interrupted"]), (&"summary".into(), &true.into()));
    assert_eq!(pool.0.wait().unwrap().code(), Some(130));
}

#[test]
fn it_ends_in_time_and_says_that_the_work_is_worth_nothing() {
    let output = adit(&["pool", "--listen", "127.0.0.1:0", "--for", "1s"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("stratum+tcp://127.0.0.1:") && said.contains("No money is involved"));
    assert!(said.contains("accepted 0 shares worth difficulty 0") && said.contains("refused none"));
    let help = adit(&["pool", "--help"]).output().unwrap();
    assert!(String::from_utf8(help.stdout).unwrap().contains("Real farms use ckpool"));
}

#[test]
fn bad_settings_are_refused_with_the_way_out() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    assert!(refused(&["pool", "--listen", &address]).contains("listen on another port"));
    for (arguments, words) in [
        ("--listen 3333", "invalid"),
        ("--listen 192.0.2.1:3333 --for 1s", "an address of this machine"),
        ("--difficulty 0", "such as 0.001"),
        ("--difficulty -1", "such as 0.001"),
        ("--difficulty nan", "such as 0.001"),
        ("--difficulty 1 --vardiff", "cannot be used with"),
        ("--difficulty 1 --share-seconds 5", "cannot be used with"),
        ("--share-seconds 0", "such as 3"),
        ("--shares 0", "at least 1"),
    ] {
        let all: Vec<&str> = ["pool"].into_iter().chain(arguments.split(' ')).collect();
        let said = refused(&all);
        assert!(said.contains(words), "{arguments}: {said}");
    }
}
