//! A run whose pool is behind somebody who spoils what he passes on.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use adit::pool::judge::Refusal;
use serde_json::{Value, json};

use crate::mine::Run;
use crate::pools::Pool;
use crate::proxy::{Act, Proxy, Way};
use crate::signal::signal;

/// What is done to the nth line of a kind; all others pass. The handshake is left alone.
fn script() -> Vec<((Way, &'static str, u32), Act)> {
    let second = Duration::from_secs(1);
    vec![
        ((Way::Back, "answer", 2), Act::Delay(second)),
        ((Way::Back, "answer", 4), Act::Swap),
        ((Way::Back, "answer", 7), Act::Repeat),
        ((Way::Back, "answer", 9), Act::Rewrite("{\"id\": [1], \"result\"\n".to_owned())),
        ((Way::There, "mining.submit", 11), Act::Repeat),
        ((Way::There, "mining.submit", 13), Act::Swap),
        ((Way::Back, "answer", 15), Act::Drop),
        // On its way back, so that the pool has the share and the miner no answer.
        ((Way::Back, "answer", 18), Act::Cut),
        ((Way::There, "mining.submit", 22), Act::Cut),
        ((Way::Back, "mining.notify", 1), Act::Repeat),
        ((Way::There, "mining.submit", 26), Act::Delay(second)),
        ((Way::There, "mining.submit", 30), Act::Freeze),
    ]
}

#[test]
fn nothing_is_lost_behind_a_proxy_that_spoils_repeats_swaps_and_cuts() {
    let pool = Pool::with_difficulty(5e-4);
    let done = Arc::<Mutex<Vec<Act>>>::default();
    let (note, script, mut seen) = (Arc::clone(&done), script(), HashMap::new());
    let rule = move |way: Way, line: &str| {
        let message: Value = serde_json::from_str(line).unwrap();
        let kind = match message["method"].as_str() {
            Some(method) => method.to_owned(),
            // Answers to shares: those of the handshake come first, with ids from 1 to 3.
            None if message["id"].as_u64().is_some_and(|id| id > 3) => "answer".to_owned(),
            None => return Act::Pass,
        };
        let count = seen.entry((way, kind.clone())).or_insert(0);
        *count += 1;
        let is_it = |((its_way, its_kind, nth), _): &&((Way, &str, u32), Act)| {
            *its_way == way && *its_kind == kind && *nth == *count
        };
        let act = script.iter().find(is_it).map_or(Act::Pass, |(_, act)| act.clone());
        if act != Act::Pass {
            note.lock().unwrap().push(act.clone());
        }
        act
    };
    let proxy = Proxy::start(pool.address, rule);
    let source = format!("stratum+tcp://w@{}", proxy.address);
    let mut run =
        Run::of(&["mine", "--device", "cpu", "--json", "--source", &source, "--for", "60s"]);
    while !done.lock().unwrap().contains(&Act::Freeze) {
        run.until("share");
    }
    signal(&run.child, "INT");
    let summary = run.until("summary");
    let happened = done.lock().unwrap().len();
    assert_eq!(happened, self::script().len(), "{:?}", done.lock().unwrap());

    // Each share has one verdict, and those of the frozen connection expired.
    let count = |key: &str| usize::try_from(summary[key].as_u64().unwrap()).unwrap();
    for none in ["pending", "invalid", "rejected"] {
        assert_eq!(summary[none], 0, "{none}: {summary}");
    }
    let ends = ["accepted", "stale", "duplicate", "expired", "withheld"].map(count);
    assert_eq!(ends.iter().sum::<usize>(), count("found"), "{summary}");
    let judged = pool.shares.lock().unwrap().clone();
    let accepted = judged.iter().filter(|share| share.refusal.is_none()).count();
    // What the pool took and could not say counts as expired, or as a duplicate when it was sent again.
    assert!(count("accepted") <= accepted, "{summary}, but the pool took {accepted}");
    assert!(count("accepted") + count("duplicate") + count("expired") >= accepted, "{summary}");
    for share in &judged {
        let is_fair = matches!(share.refusal, None | Some(Refusal::Duplicate | Refusal::Stale));
        assert!(is_fair, "{share:?}");
    }
    let repeated = judged.iter().filter(|share| share.refusal == Some(Refusal::Duplicate)).count();
    assert!(repeated >= 1, "the proxy repeated a share");

    // Nothing is sent twice in a connection, and after a cut the session is resumed.
    let record = proxy.record();
    assert!(record.len() >= 3, "{} connections", record.len());
    for lines in &record {
        let mut sent = HashSet::new();
        for (_, line) in lines.iter().filter(|(way, _)| *way == Way::There) {
            let message: Value = serde_json::from_str(line).unwrap();
            if message["method"] == "mining.submit" {
                assert!(sent.insert(message["params"].to_string()), "sent twice: {line}");
            }
        }
    }
    let subscribed = record[1].iter().find(|(_, line)| line.contains("mining.subscribe")).unwrap();
    let subscribed: Value = serde_json::from_str(&subscribed.1).unwrap();
    assert_ne!(subscribed["params"].get(1), None, "no session to resume in {subscribed}");
    assert_ne!(subscribed["params"], json!([]));
}

#[test]
fn a_run_that_slept_connects_anew_and_its_devices_prove_themselves() {
    let pool = Pool::with_difficulty(5e-4);
    let proxy = Proxy::start(pool.address, |_, _| Act::Pass);
    let source = format!("stratum+tcp://w@{}", proxy.address);
    let mut run = Run::of(&["mine", "--device", "cpu", "--json", "--source", &source]);
    run.until("share");
    // A process that is stopped sees what one sees whose machine sleeps: much time passes at once.
    signal(&run.child, "STOP");
    std::thread::sleep(Duration::from_secs(11));
    signal(&run.child, "CONT");
    let slept = run.until("slept");
    assert!(slept["seconds"].as_f64() >= Some(10.0), "{slept}");
    // Another connection, whose session is the one before.
    while proxy.record().len() < 2
        || !proxy.record()[1].iter().any(|(_, line)| line.contains("mining.submit"))
    {
        run.until("share");
    }
    signal(&run.child, "INT");
    let summary = run.until("summary");
    for none in ["pending", "invalid", "rejected", "expired", "wrong"] {
        assert_eq!(summary[none], 0, "{none}: {summary}");
    }
    let judged = pool.judged();
    let count = |key: &str| usize::try_from(summary[key].as_u64().unwrap()).unwrap();
    // A share of a job that ended with its connection is stale, whether the pool had judged it or not.
    assert!(count("accepted") <= judged, "{summary}, but the pool judged {judged}");
    assert!(count("accepted") + count("stale") + count("duplicate") >= judged, "{summary}");
}
