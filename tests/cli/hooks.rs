//! Programs and web addresses that are told what happens.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::{adit, json, refused};

/// A web server that answers each request in this way, and hands out the bodies.
fn server(answer: Option<&'static str>) -> (SocketAddr, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, bodies) = channel();
    thread::spawn(move || {
        let mut kept = Vec::new();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = Vec::new();
            let mut part = [0; 4096];
            let body = loop {
                let read = stream.read(&mut part).unwrap_or_default();
                request.extend_from_slice(&part[..read]);
                let text = String::from_utf8_lossy(&request).into_owned();
                // The JSON is the end of the request.
                match text.split_once("\r\n\r\n") {
                    Some((_, body)) if body.ends_with('}') => break body.to_owned(),
                    _ if read == 0 => break String::new(),
                    _ => {}
                }
            };
            // The test may have heard enough.
            let _ = sender.send(body);
            match answer {
                Some(answer) => drop(stream.write_all(answer.as_bytes())),
                None => kept.push(stream), // it never answers
            }
        }
    });
    (address, bodies)
}

fn mine(arguments: &[&str]) -> (String, String) {
    let run = ["mine", "--device", "cpu", "--plain"];
    let shares = if arguments.contains(&"--shares") { &[][..] } else { &["--shares", "1"] };
    let output = adit(&[&run[..], arguments, shares].concat()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let said =
        [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned());
    let [out, errors] = said;
    (out, errors)
}

fn assert_is_share(facts: &Value) {
    assert_eq!(
        (&facts["event"], &facts["verdict"]),
        (&"share".into(), &"accepted".into()),
        "{facts}"
    );
    assert!(facts["unix_seconds"].as_f64() > Some(1e9) && facts["difficulty"].as_f64() > Some(0.0));
    assert!(facts["source"].as_str().unwrap().starts_with("stratum+tcp://"), "{facts}");
    assert_eq!(facts["skipped"], 0);
}

#[cfg(unix)]
#[test]
fn a_program_gets_the_facts_on_its_standard_input() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("told here.json");
    // No shell is between: the quotation marks keep the path together.
    let program = format!("tee '{}'", file.display());
    mine(&["--on-share", &program]);
    assert_is_share(&json(std::fs::read_to_string(&file).unwrap().lines().next().unwrap()));
}

#[test]
fn a_web_address_gets_the_facts_and_its_failures_are_said_without_its_path() {
    let (address, bodies) = server(Some("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"));
    let (_, errors) = mine(&["--on-share", &format!("http://{address}/hook")]);
    assert_is_share(&json(&bodies.recv_timeout(Duration::from_secs(10)).unwrap()));
    assert!(!errors.contains("hook"), "{errors}");

    let (address, bodies) = server(Some("HTTP/1.1 500 Oh\r\ncontent-length: 0\r\n\r\n"));
    let (_, errors) = mine(&["--on-share", &format!("http://{address}/s3cret")]);
    assert!(bodies.recv_timeout(Duration::from_secs(10)).is_ok());
    let why = "the hook for share, http://127.0.0.1";
    assert!(
        errors.contains(why) && errors.contains("500") && !errors.contains("s3cret"),
        "{errors}"
    );
}

#[test]
fn mining_does_not_wait_for_who_never_answers() {
    let (address, bodies) = server(None);
    let (out, _) = mine(&["--on-share", &format!("http://{address}/")]);
    assert!(out.contains("share of difficulty") && out.contains("accepted"), "{out}");
    assert!(bodies.recv_timeout(Duration::from_secs(10)).is_ok(), "it was asked");
}

#[test]
fn a_program_that_is_not_there_is_said_once() {
    let (_, errors) = mine(&["--on-share", "/nowhere/at-all", "--shares", "3"]);
    assert_eq!(errors.matches("/nowhere/at-all, failed: it cannot be run").count(), 1, "{errors}");
}

#[test]
fn what_is_no_hook_is_refused() {
    assert!(refused(&["mine", "--on-block", "say 'hi"], 2).contains("quotation mark"));
    let said = refused(&["mine", "--source", "replay:", "--on-block", "say"], 2);
    assert!(said.contains("leave out --on-share"), "{said}");
}
