//! `adit mine --http`: a real run seen from elsewhere.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::watched::Run;
use crate::{json, refused};

const GUARD: Duration = Duration::from_secs(120);

fn get(run: &Run, path: &str) -> String {
    let mut stream = TcpStream::connect(&run.address).unwrap();
    stream.set_read_timeout(Some(GUARD)).unwrap();
    let host = &run.address;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 "), "{answer}");
    body.to_owned()
}

/// Asks until the answer is as expected.
fn until(run: &Run, path: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let begun = Instant::now();
    loop {
        let answer = json(&get(run, path));
        if is_so(&answer) {
            return answer;
        }
        assert!(begun.elapsed() < GUARD, "{path} stays {answer}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_run_is_seen_from_elsewhere() {
    let run = Run::start();
    let status =
        until(&run, "/v1/status", |status| status["shares"]["accepted"].as_u64() >= Some(2));
    assert_eq!(status["run"]["state"], "mining");
    assert!(status["run"]["hashes_per_second"]["now"].as_f64() > Some(0.0), "{status}");
    assert!(status["best_share_difficulty"].as_f64() > Some(0.0), "{status}");
    let devices = json(&get(&run, "/v1/devices"));
    assert_eq!((&devices[0]["kind"], &devices[0]["health"]), (&"cpu".into(), &"well".into()));
    assert!(devices[0]["busy_ratio"].as_f64() > Some(0.1), "{devices}");
    let sources = json(&get(&run, "/v1/sources"));
    assert_eq!(sources[0]["state"], "mining", "{sources}");
    let shares = json(&get(&run, "/v1/shares"));
    assert_eq!(shares[0]["verdict"], "accepted", "{shares}");
    let scanned = |run: &Run| {
        let text = get(run, "/metrics");
        let line =
            text.lines().find(|line| line.starts_with("adit_hashes_scanned_total ")).unwrap();
        line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap()
    };
    let (before, begun) = (scanned(&run), Instant::now());
    while scanned(&run) <= before {
        assert!(begun.elapsed() < GUARD, "it does not grow");
    }
    until(&run, "/v1/history", |history| history["unix_seconds"].as_array().unwrap().len() >= 2);
    assert_eq!(get(&run, "/healthz"), "ok\n");
}

#[test]
fn what_cannot_be_shown_is_refused_before_mining() {
    let folder = tempfile::tempdir().unwrap();
    let file_of = |text: &str| {
        let path = folder.path().join(format!("{}", text.len()));
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let (short, missing) = (file_of("secret"), "/nowhere/token".to_owned());
    for (arguments, says) in [
        (&["--http", "0.0.0.0:0"][..], "it takes a token"),
        (&["--http", &taken], "choose another port"),
        (&["--http", "127.0.0.1:0", "--http-token-file", &short], "can be guessed"),
        (&["--http", "127.0.0.1:0", "--http-token-file", &missing], "cannot read"),
        (&["--http", "127.0.0.1:0", "--source", "replay:"], "no status"),
        (&["--api-4028", "0.0.0.0:0"], "knows no password"),
        (&["--api-4028", &taken], "choose another port"),
    ] {
        let said = refused(&[&["mine", "--device", "cpu"], arguments].concat(), 2);
        assert!(said.contains(says) && !said.contains("secret"), "{arguments:?}: {said}");
    }
    refused(&["mine", "--http-token-file", &short], 2);
    refused(&["mine", "--http", "somewhere"], 2);
}
