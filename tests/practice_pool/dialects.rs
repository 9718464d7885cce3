//! What real pools do in different ways, and what real miners do.

use std::time::Duration;

use adit::pool::{Dialect, Errors, Event, Options};
use serde_json::{Value, json};

use crate::client::{Client, Job, Roll, Wanted};
use crate::{Pool, easy};

/// The methods and answered ids of what the pool says, in order, until it said `last`.
fn order(client: &mut Client, last: &str) -> Vec<String> {
    let mut order = Vec::new();
    while order.last().is_none_or(|said: &String| said != last) {
        let message = client.next().unwrap();
        order.push(match message["method"].as_str() {
            Some(method) => method.trim_start_matches("mining.").to_owned(),
            None => message["id"].to_string(),
        });
    }
    order
}

const HANDSHAKE: &str = "{\"id\": 1, \"method\": \"mining.configure\", \"params\": [[\"version-rolling\"], {}]}\r\n\
    {\"id\": 2, \"method\": \"mining.subscribe\", \"params\": [\"probe/0.1\"]}\n\n\
    {\"id\": 3, \"method\": \"mining.authorize\", \"params\": [\"w.1\", \"x\"]}\n";

#[test]
fn the_first_job_comes_after_the_login_or_before() {
    for (early_job, expected) in [
        (false, ["1", "2", "3", "set_difficulty", "notify"]),
        (true, ["1", "2", "set_difficulty", "notify", "3"]),
    ] {
        let dialect = Dialect { early_job, ..Dialect::default() };
        let pool = Pool::start(Options { dialect, ..easy() });
        let mut at_once = Client::connect(pool.address);
        at_once.send(HANDSHAKE.as_bytes());
        assert_eq!(order(&mut at_once, expected[4]), expected);
        let mut by_byte = Client::connect(pool.address);
        HANDSHAKE.bytes().for_each(|byte| by_byte.send(&[byte]));
        assert_eq!(order(&mut by_byte, expected[4]), expected);
    }
}

#[test]
fn a_login_may_come_before_the_session() {
    let pool = Pool::start(easy());
    let mut client = Client::connect(pool.address);
    assert_eq!(client.ask("mining.authorize", &json!(["a"]))["result"], true);
    assert_eq!(client.ask("mining.authorize", &json!(["a"]))["result"], true, "again");
    let session = client.subscribe(&json!(["test/2"]));
    let job = Job::new(&client.hear("mining.notify"));
    let again = client.subscribe(&json!(["test/2"]));
    assert_eq!(again.extranonce1, session.extranonce1, "one connection, one session");
    let share = job.mine(&session, Roll::default(), Wanted::AtLeast(1e-8));
    assert_eq!(client.submit_params(&share.params("a")), "accepted");
    assert_eq!(client.ask("mining.authorize", &json!(["b"]))["result"], true);
    let next = Roll { nonce: share.header.nonce + 1, ..Roll::default() };
    let share = job.mine(&session, next, Wanted::AtLeast(1e-8));
    assert_eq!(
        client.submit_params(&share.params("b")),
        "accepted",
        "two workers on one connection"
    );
    pool.wait_for(|event| matches!(event, Event::Login { worker, .. } if worker == "b"));
}

#[test]
fn version_bits_are_those_that_both_can_roll() {
    let ask = |options: Options, params: &Value| {
        let pool = Pool::start(options);
        Client::connect(pool.address).ask("mining.configure", params)["result"].take()
    };
    let rolling = |mask: &str| json!([["version-rolling"], {"version-rolling.mask": mask}]);
    for (asked, granted) in
        [("ffffffff", "1fffe000"), ("1fffe000", "1fffe000"), ("00ffffff", "00ffe000")]
    {
        let expected = json!({"version-rolling": true, "version-rolling.mask": granted});
        assert_eq!(ask(easy(), &rolling(asked)), expected);
    }
    let none = json!({"version-rolling": false});
    assert_eq!(ask(easy(), &rolling("00000fff")), none);
    assert_eq!(ask(Options { version_mask: 0, ..easy() }, &rolling("1fffe000")), none);
    let others = json!([["minimum-difficulty", "subscribe-extranonce", "info"], {"minimum-difficulty.value": 0.5}]);
    let expected = |heeded: bool| json!({"minimum-difficulty": heeded, "subscribe-extranonce": true, "info": false});
    assert_eq!(ask(easy(), &others), expected(false), "the difficulty is fixed");
    assert_eq!(ask(Options::default(), &others), expected(true));
}

#[test]
fn without_version_rolling_no_bit_may_be_rolled() {
    let pool = Pool::start(easy());
    let mut client = Client::connect(pool.address);
    let session = client.subscribe(&json!([]));
    client.ask("mining.authorize", &json!(["rig.1"]));
    let job = Job::new(&client.hear("mining.notify"));
    let enough = Wanted::AtLeast(1e-8);
    let rolled = Roll { version_bits: 0x2000, ..Roll::default() };
    let refused = client.submit(&job.mine(&session, rolled, enough));
    assert_eq!(refused, "20 Invalid version mask");
    let mut params = job.mine(&session, Roll::default(), enough).params("rig.1");
    params.as_array_mut().unwrap().pop();
    assert_eq!(client.submit_params(&params), "accepted", "five parameters");
}

#[test]
fn extranonces_have_many_sizes() {
    for (sizes, first) in [
        ([4, 8], "00000001"),
        ([16, 4], "00000000000000000000000000000001"),
        ([1, 0], "01"),
        ([0, 2], ""),
        ([32, 16], "0000000000000000000000000000000000000000000000000000000000000001"),
    ] {
        let pool = Pool::start(Options { extranonce_sizes: sizes, ..easy() });
        let mut client = Client::connect(pool.address);
        let answer = client.ask("mining.subscribe", &json!([]));
        assert_eq!((&answer["result"][1], &answer["result"][2]), (&json!(first), &json!(sizes[1])));
        let session = client.subscribe(&json!([]));
        client.ask("mining.authorize", &json!(["rig.1"]));
        let job = Job::new(&client.hear("mining.notify"));
        let roll = Roll { extranonce2: if sizes[1] == 0 { 0 } else { 7 }, ..Roll::default() };
        assert_eq!(client.submit(&job.mine(&session, roll, Wanted::AtLeast(1e-8))), "accepted");
    }
}

#[test]
fn errors_and_refused_logins_come_in_the_shape_that_was_asked_for() {
    for (errors, result, error) in [
        (Errors::Triple, Value::Null, json!([24, "Unauthorized worker", null])),
        (Errors::Pair, Value::Null, json!([24, "Unauthorized worker"])),
        (Errors::Text, Value::Null, json!("Unauthorized worker")),
        (Errors::False, json!(false), json!([24, "Unauthorized worker", null])),
    ] {
        let dialect = Dialect { errors, refuses_logins: true, ..Dialect::default() };
        let pool = Pool::start(Options { dialect, ..easy() });
        let mut client = Client::connect(pool.address);
        let answer = client.ask("mining.authorize", &json!(["rig.1", "x"]));
        assert_eq!((&answer["result"], &answer["error"]), (&result, &error));
    }
}

#[test]
fn what_a_miner_suggests_counts_from_another_job_on() {
    let pool = Pool::start(Options::default());
    let mut client = Client::connect(pool.address);
    assert_eq!(client.ask("mining.suggest_difficulty", &json!([2.5]))["result"], true);
    client.subscribe(&json!([]));
    client.ask("mining.authorize", &json!(["rig.1"]));
    assert_eq!(client.hear("mining.set_difficulty"), json!([2.5]));
    let first = Job::new(&client.hear("mining.notify"));
    client.ask("mining.suggest_difficulty", &json!([1e-6]));
    assert_eq!(client.hear("mining.set_difficulty"), json!([1e-6]));
    let second = Job::new(&client.hear("mining.notify"));
    assert!(second.name != first.name && !second.is_clean);

    let fixed = Pool::start(easy());
    let mut client = Client::connect(fixed.address);
    assert_eq!(client.ask("mining.suggest_difficulty", &json!([2.5]))["result"], false);
    let unknown = client.ask("mining.get_transactions", &json!([]));
    assert_eq!(unknown["error"], json!([20, "Unknown method", null]));
}

#[test]
fn a_block_may_bring_another_extranonce() {
    let dialect = Dialect { moving_extranonce: true, ..Dialect::default() };
    let pool = Pool::start(Options {
        dialect,
        job_every: Duration::from_millis(300),
        jobs_per_block: 1,
        ..easy()
    });
    let (mut plain, _) = Client::log_in(pool.address);
    let (mut client, mut session) = Client::log_in(pool.address);
    assert_eq!(client.ask("mining.extranonce.subscribe", &json!([]))["result"], true);
    let old = session.extranonce1.clone();
    let moved = client.hear("mining.set_extranonce");
    session.extranonce1 = bitcoin::hex::FromHex::from_hex(moved[0].as_str().unwrap()).unwrap();
    assert_ne!(session.extranonce1, old);
    let job = Job::new(&client.hear("mining.notify"));
    assert!(job.is_clean);
    let share = job.mine(&session, Roll::default(), Wanted::AtLeast(1e-8));
    let verdict = client.submit(&share);
    assert!(verdict == "accepted" || verdict == "21 Stale", "{verdict:?}");
    // Who did not ask for it keeps its extranonce.
    let heard: Vec<Value> = (0..6).map(|_| plain.next().unwrap()).collect();
    let is_job = |message: &&Value| message["method"] == "mining.notify";
    assert_eq!(heard.iter().filter(is_job).count(), 5, "and one difficulty: {heard:?}");
}
