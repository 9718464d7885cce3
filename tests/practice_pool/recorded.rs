//! Whole sessions with real pools, as they were recorded, where they are: `c` client, `s` server, and the
//! headers that the client found.

#[path = "../common/recorded.rs"]
mod files;

use std::sync::Arc;

use adit::pool::jobs::{self, Template};
use adit::pool::judge::{Book, Submission};
use bitcoin::TxMerkleNode;
use bitcoin::consensus::encode::serialize_hex;
use bitcoin::hex::FromHex as _;
use serde_json::Value;

use crate::client::{Client, Job};
use crate::{Pool, easy};

/// The pools, with the shares that they accepted.
const SESSIONS: [(&str, usize); 2] = [("foundation.jsonl", 2), ("translator.jsonl", 3)];

#[expect(clippy::print_stdout, reason = "a skipped test says so")]
fn recorded(name: &str) -> Option<Vec<Value>> {
    let folder = files::folder();
    let Ok(text) = std::fs::read_to_string(folder.join(name)) else {
        println!("skipped {name}: it is not in {}", folder.display());
        return None;
    };
    Some(text.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

#[test]
fn every_share_is_judged_as_its_pool_did() {
    for (name, shares) in SESSIONS {
        let Some(lines) = recorded(name) else { continue };
        let (mut book, mut extranonce, mut asked) = (Book::default(), (Vec::new(), 0), 0.0);
        let (mut header, mut accepted) = (String::new(), 0);
        for line in lines {
            if let Some(found) = line["header"].as_str() {
                found.clone_into(&mut header);
                continue;
            }
            let said = line["c"].as_str().or(line["s"].as_str()).unwrap();
            let message: Value = serde_json::from_str(said).unwrap();
            let params = &message["params"];
            if let Some(result) = message["result"].as_array() {
                let size = usize::try_from(result[2].as_u64().unwrap()).unwrap();
                extranonce = (Vec::from_hex(result[1].as_str().unwrap()).unwrap(), size);
            }
            match message["method"].as_str() {
                Some("mining.set_difficulty") => asked = params[0].as_f64().unwrap(),
                Some("mining.notify") => {
                    book.give(job(&Job::new(params)), &extranonce.0, extranonce.1, asked);
                }
                Some("mining.submit") => {
                    let judged = book.judge(&submission(params), 0x1fff_e000);
                    assert_eq!(judged.refusal, None, "{name}: {said}");
                    assert_eq!(serialize_hex(&judged.hashed.unwrap().header), header);
                    accepted += 1;
                }
                _ => {}
            }
        }
        assert_eq!(accepted, shares, "{name}");
    }
}

/// A job as the judge knows it.
fn job(heard: &Job) -> Arc<jobs::Job> {
    let template = Template {
        network: String::new(),
        height: 0,
        header: heard.header,
        branch: heard.branch.iter().map(|node| TxMerkleNode::from_raw_hash(*node)).collect(),
        tag: String::new(),
        outputs: Vec::new(),
        body: None,
    };
    let serial = u64::from_str_radix(&heard.name, 16).unwrap();
    let [before, after] = &heard.coinbase;
    let (template, time) = (Arc::new(template), heard.header.time);
    Arc::new(jobs::Job::of_parts(serial, 1, template, time, [before, after]))
}

fn submission(params: &Value) -> Submission {
    let text = |at: usize| params[at].as_str().unwrap();
    let word = |at| u32::from_str_radix(text(at), 16).unwrap();
    Submission {
        job: text(1).to_owned(),
        extranonce2: Vec::from_hex(text(2)).unwrap(),
        time: word(3),
        nonce: word(4),
        version_bits: Some(word(5)),
    }
}

#[test]
fn what_a_client_said_to_a_real_pool_is_answered_here() {
    for (name, submits) in SESSIONS {
        let Some(lines) = recorded(name) else { continue };
        let pool = Pool::start(easy());
        let mut client = Client::connect(pool.address);
        let said: Vec<&str> = lines.iter().filter_map(|line| line["c"].as_str()).collect();
        client.send((said.join("\n") + "\n").as_bytes());
        let mut answers = Vec::new();
        while answers.len() < said.len() {
            let message = client.next().unwrap();
            if message.get("method").is_none() {
                answers.push(message);
            }
        }
        let [configured, subscribed, authorized, shares @ ..] = answers.as_slice() else {
            panic!()
        };
        assert_eq!(configured["result"]["version-rolling.mask"], "1fffe000");
        assert_eq!(subscribed["result"][1].as_str().map(str::len), Some(8));
        assert_eq!(authorized["result"], true);
        assert_eq!(shares.len(), submits);
        // They were found for other jobs.
        assert!(shares.iter().all(|share| share["result"].is_null() && share["error"][0].is_u64()));
    }
}
