//! Shares: checked, sent, answered, kept across connections.

use super::*;
use crate::limits::{OUTBOX, UNANSWERED};
use crate::source::Remedy;
use crate::work::JobId;

/// Ready, with a job.
fn at_work() -> (Session, Work) {
    let mut session = Session::ready();
    let work = session.work(&job("1", 1, true));
    (session, work)
}

fn ends(session: &mut Session, id: &Value, answer: &str) -> Vec<(Ticket, Verdict, String)> {
    session.say_text(&answer.replace('$', &id.to_string()));
    session.verdicts()
}

/// Answers to a share, with `$` for its id, and the verdict and the words that they lead to.
const ANSWERS: &[(&str, Verdict, &str)] = &[
    (r#"{"id":$,"result":true,"error":null}"#, Verdict::Accepted, ""),
    (r#"{"id":"$","result":true,"error":null}"#, Verdict::Accepted, ""),
    (r#"{"id":$,"result":true}"#, Verdict::Accepted, ""),
    (r#"{"id":$,"result":true,"error":false}"#, Verdict::Accepted, ""),
    (r#"{"id":$,"result":true,"error":[]}"#, Verdict::Accepted, ""),
    (r#"{"error":null,"jsonrpc":"2.0","result":true,"id":$}"#, Verdict::Accepted, ""),
    // translator_sv2
    (
        r#"{"id":$,"result":null,"error":[23,"Low difficulty share",null]}"#,
        Verdict::LowDifficulty,
        "Low difficulty share",
    ),
    (
        r#"{"id":$,"result":null,"error":[21,"Job not found",null]}"#,
        Verdict::Stale,
        "Job not found",
    ),
    (
        r#"{"id":$,"result":null,"error":[22,"Duplicate share",null]}"#,
        Verdict::Duplicate,
        "Duplicate share",
    ),
    (
        r#"{"id":$,"result":null,"error":[23,"Invalid ntime",null]}"#,
        Verdict::Rejected,
        "Invalid ntime",
    ),
    // foundation-stratum and stratum-pool-sha256: two items
    (
        r#"{"id":$,"result":null,"error":[23,"low difficulty share of 0.02"]}"#,
        Verdict::LowDifficulty,
        "low difficulty share of 0.02",
    ),
    (r#"{"id":$,"result":null,"error":[21,"job not found"]}"#, Verdict::Stale, "job not found"),
    (
        r#"{"id":$,"result":null,"error":[22,"duplicate share"]}"#,
        Verdict::Duplicate,
        "duplicate share",
    ),
    (
        r#"{"id":$,"result":null,"error":[20,"ntime out of range"]}"#,
        Verdict::Rejected,
        "ntime out of range",
    ),
    (
        r#"{"id":$,"result":null,"error":[20,"incorrect size of extranonce2"]}"#,
        Verdict::Rejected,
        "incorrect size of extranonce2",
    ),
    // ckpool: result false
    (
        r#"{"id":$,"result":false,"error":[23,"Above target",null]}"#,
        Verdict::LowDifficulty,
        "Above target",
    ),
    (r#"{"id":$,"result":false,"error":[21,"Stale",null]}"#, Verdict::Stale, "Stale"),
    (
        r#"{"id":$,"result":false,"error":[21,"Invalid JobID",null]}"#,
        Verdict::Stale,
        "Invalid JobID",
    ),
    (r#"{"id":$,"result":false,"error":[22,"Duplicate",null]}"#, Verdict::Duplicate, "Duplicate"),
    (
        r#"{"id":$,"result":false,"error":[23,"Ntime out of range",null]}"#,
        Verdict::Rejected,
        "Ntime out of range",
    ),
    (
        r#"{"id":$,"result":false,"error":"Invalid version mask"}"#,
        Verdict::Rejected,
        "Invalid version mask",
    ),
    // objects, texts, numbers
    (r#"{"id":$,"result":null,"error":{"code":21,"message":"x"}}"#, Verdict::Stale, "x"),
    (
        r#"{"id":$,"error":{"code":-32601,"message":"Duplicate share"}}"#,
        Verdict::Duplicate,
        "Duplicate share",
    ),
    (r#"{"id":$,"result":null,"error":"stale share"}"#, Verdict::Stale, "stale share"),
    (r#"{"id":$,"result":null,"error":[22]}"#, Verdict::Duplicate, "error 22"),
    (r#"{"id":$,"result":null,"error":23}"#, Verdict::LowDifficulty, "error 23"),
    (r#"{"id":$,"result":null,"error":[null,null,null]}"#, Verdict::Rejected, "no reason given"),
    (r#"{"id":$,"result":true,"error":[20,"no"]}"#, Verdict::Rejected, "no"),
    (r#"{"id":$,"result":false,"error":null}"#, Verdict::Rejected, "no reason given"),
    (r#"{"id":$,"result":null,"error":null}"#, Verdict::Rejected, "no reason given"),
    // the wrong type
    (
        r#"{"id":$,"result":"true","error":null}"#,
        Verdict::Rejected,
        "the pool's answer is neither true nor false",
    ),
    (r#"{"id":$,"result":1}"#, Verdict::Rejected, "the pool's answer is neither true nor false"),
    (
        r#"{"id":$,"result":[true]}"#,
        Verdict::Rejected,
        "the pool's answer is neither true nor false",
    ),
    (
        r#"{"id":$,"result":{"status":"OK"}}"#,
        Verdict::Rejected,
        "the pool's answer is neither true nor false",
    ),
];

#[test]
fn answers_of_every_kind_end_their_share() {
    for (answer, verdict, why) in ANSWERS {
        let (mut session, work) = at_work();
        let id = session.request_of(&share(&work, 0, 1))["id"].clone();
        let expected = [(Ticket(1), *verdict, (*why).to_owned())];
        assert_eq!(ends(&mut session, &id, answer), expected, "{answer}");
        assert_eq!(ends(&mut session, &id, answer), [], "once");
        assert_eq!(session.counts(), Counts::default());
    }
    let (mut session, work) = at_work();
    let id = session.request_of(&share(&work, 0, 1))["id"].clone();
    let long = format!(r#"{{"id":$,"error":[20,"{}"]}}"#, "é".repeat(100_000));
    assert_eq!(ends(&mut session, &id, &long)[0].2, "é".repeat(200));
}

#[test]
fn a_miner_whom_the_pool_does_not_know_stops() {
    for (error, remedy) in [
        (r#"[24,"unauthorized worker",null]"#, Remedy::User),
        (r#"[24,"unauthorized worker"]"#, Remedy::User),
        ("[24]", Remedy::User),
        (r#""Unauthorised""#, Remedy::User),
        (r#"[25,"not subscribed",null]"#, Remedy::Retry),
        (r#"[24,"not subscribed"]"#, Remedy::Retry),
        ("[25]", Remedy::Retry),
    ] {
        let (mut session, work) = at_work();
        let id = session.request_of(&share(&work, 0, 1))["id"].clone();
        session.submit(&share(&work, 0, 2));
        session.say_text(&format!(r#"{{"id":{id},"result":null,"error":{error}}}"#));
        let events = session.events();
        let [Event::Verdict(Ticket(1), Verdict::Rejected, Some(_)), Event::Down(down)] =
            events.as_slice()
        else {
            panic!("{events:?}")
        };
        assert_eq!(down.remedy, remedy, "{error}");
        assert!(down.why.contains("a.worker") && !down.why.contains("s3cret"), "{down}");
        session.submit(&share(&work, 0, 3));
        assert!(session.written().is_empty(), "no share is sent");
    }
}

#[test]
fn a_share_that_does_not_fit_its_job_is_not_sent() {
    let (mut session, work) = at_work();
    let good = share(&work, 5, 7);
    let remade = |change: fn(&mut Share)| {
        let mut share = good;
        change(&mut share);
        share.hash = block_hash(&share.header);
        share
    };
    let invalid = [
        (remade(|s| s.number = u32::MAX), "its job has no header of this number"),
        (remade(|s| s.number = 6), "its header is not the one of its number"),
        (remade(|s| s.number = 5 + (1 << 16)), "its header is not the one of its number"),
        (
            remade(|s| s.header.version = bitcoin::block::Version::from_consensus(0x2000_0001)),
            "its version differs from its job's in bits that do not roll",
        ),
        (remade(|s| s.header.time += 1), "its time is not its job's"),
        (remade(|s| s.header.time -= 1), "its time is not its job's"),
        (
            remade(|s| s.header.bits = bitcoin::CompactTarget::from_consensus(1)),
            "its header is not the one of its number",
        ),
        (remade(|s| s.header.prev_blockhash = s.hash), "its header is not the one of its number"),
        (Share { hash: share(&work, 5, 8).hash, ..good }, "its hash is not its header's"),
        (remade(|s| s.job.serial += 1), "its job was never handed out"),
        (remade(|s| s.job.serial = 0), "its job was never handed out"),
        (
            Share { job: JobId { source: SourceId(4), ..good.job }, ..good },
            "its job was never handed out",
        ),
    ];
    for (share, why) in invalid {
        assert_eq!(session.verdict_of(&share), (Verdict::Invalid, why.to_owned()));
    }
    session.set_difficulty(1.0);
    let harder = session.work(&job("2", 2, false));
    let verdict = session.verdict_of(&share(&harder, 0, 1));
    assert_eq!(verdict, (Verdict::Invalid, "its hash is above its job's target".to_owned()));
    assert!(session.written().is_empty());
    session.request_of(&good);
}

#[test]
fn a_header_is_sent_once() {
    let (mut session, work) = at_work();
    let id = session.request_of(&share(&work, 0, 1))["id"].clone();
    let again = (Verdict::Duplicate, "it was found before".to_owned());
    assert_eq!(session.verdict_of(&share(&work, 0, 1)), again);
    session.answer(&id, true);
    session.forget();
    assert_eq!(session.verdict_of(&share(&work, 0, 1)), again);
    // A pool that goes back and forth between jobs.
    session.work(&job("2", 2, false));
    let back = session.work(&job("3", 1, false));
    assert_ne!(back.job.id, work.job.id);
    assert_eq!(session.verdict_of(&share(&back, 0, 1)), again);
    assert!(session.written().is_empty());
}

#[test]
fn answers_come_late_twice_in_any_order_or_never() {
    let (mut session, work) = at_work();
    let ids: Vec<Value> =
        (0..6).map(|nonce| session.request_of(&share(&work, 0, nonce))["id"].clone()).collect();
    session.answer(&ids[2], true);
    session.answer(&ids[0], true);
    session.answer(&ids[2], false);
    session.answer(&json!(999), true);
    session.answer(&json!(null), true);
    session.answer(&json!(-1), true);
    let accepted = |ticket| (Ticket(ticket), Verdict::Accepted, String::new());
    assert_eq!(session.verdicts(), [accepted(3), accepted(1)]);

    session.seconds(60);
    session.say_text("");
    let later = session.request_of(&share(&work, 0, 9))["id"].clone();
    session.seconds(59);
    assert!(session.verdicts().is_empty());
    assert_eq!(session.client.deadline().unwrap() - session.now, Duration::from_secs(1));
    session.answer(&ids[1], true);
    assert_eq!(session.verdicts(), [accepted(2)]);
    session.seconds(1);
    let expired = |ticket| {
        (Ticket(ticket), Verdict::Expired, "the pool did not answer within 120 s".to_owned())
    };
    assert_eq!(session.verdicts(), [expired(4), expired(5), expired(6)]);
    assert_eq!(session.counts().late, 0);
    for _ in 0..2 {
        session.answer(&ids[3], true);
        session.answer(&ids[5], json!({ "what": 1 }));
    }
    assert!(session.verdicts().is_empty());
    assert_eq!(session.counts(), Counts { late: 2, nonsense: 0 }, "each once");
    session.answer(&later, true);
    assert_eq!(session.verdicts(), [accepted(7)]);
}

#[test]
fn shares_wait_while_too_many_answers_are_missing() {
    let (mut session, work) = at_work();
    let nonces = 0..u32::try_from(OUTBOX).unwrap();
    for nonce in nonces {
        session.submit(&share(&work, 0, nonce));
    }
    assert!(session.verdicts().is_empty());
    let withheld = session.verdict_of(&share(&work, 1, 0));
    assert_eq!(withheld.0, Verdict::Withheld);
    let sent = session.written();
    assert_eq!(sent.len(), UNANSWERED);
    for request in &sent[..10] {
        session.answer(&request["id"], true);
    }
    assert_eq!(session.verdicts().len(), 10);
    let more = session.written();
    assert_eq!(more.len(), 10, "as many as were answered");
    assert_eq!(more[0]["params"][4], format!("{UNANSWERED:08x}"), "in their order");
    session.say_text("");
    session.seconds(80);
    session.say_text("");
    session.seconds(40);
    let ended = session.verdicts();
    assert_eq!(ended.len(), OUTBOX - 10);
    assert!(ended.iter().all(|(_, verdict, _)| *verdict == Verdict::Expired));
}

/// A connection that breaks while shares are on their way: one was sent, one was found afterwards.
fn broken() -> (Session, Work) {
    let (mut session, work) = at_work();
    session.request_of(&share(&work, 0, 1));
    session.client.disconnected(session.now);
    session.submit(&share(&work, 0, 2));
    assert!(session.events().is_empty());
    session.seconds(3);
    session.client.connected(session.now);
    (session, work)
}

fn submits(session: &mut Session) -> Vec<Value> {
    let mut written = session.written();
    written.retain(|request| request["method"] == "mining.submit");
    written
}

#[test]
fn a_resumed_session_is_sent_what_has_no_answer() {
    let (mut session, work) = broken();
    session.shake_hands("08000002", 4);
    let again = submits(&mut session);
    let nonces: Vec<&Value> = again.iter().map(|request| &request["params"][4]).collect();
    assert_eq!(nonces, ["00000001", "00000002"]);
    session.say(&json!({ "id": again[0]["id"], "result": null, "error": [22, "duplicate", null] }));
    session.answer(&again[1]["id"], true);
    let ended: Vec<(Ticket, Verdict)> =
        session.verdicts().into_iter().map(|(ticket, verdict, _)| (ticket, verdict)).collect();
    assert_eq!(ended, [(Ticket(1), Verdict::Duplicate), (Ticket(2), Verdict::Accepted)]);
    // The job is still at work, at its difficulty, and the session remembers what it was sent.
    assert_eq!(session.verdict_of(&share(&work, 0, 2)).0, Verdict::Duplicate);
    session.notify(&job("1", 1, true));
    assert!(works(&session.events()).is_empty());
    session.request_of(&share(&work, 0, 3));
    assert_eq!(session.work(&job("2", 2, true)).job.target, target(EASY));
}

#[test]
fn the_first_job_after_a_break_is_clean_only_by_custom() {
    for (block, verdicts) in
        [(1, [None, None]), (2, [Some(Verdict::Expired), Some(Verdict::Stale)])]
    {
        let (mut session, _) = broken();
        // The job comes before the login is accepted, as with most pools.
        let written = session.written();
        let granted = json!({ "version-rolling": true, "version-rolling.mask": "1fffe000" });
        session.answer(&written[0]["id"], granted);
        session.answer(&written[1]["id"], json!([[], "08000002", 4]));
        session.notify(&job("new", block, true));
        let ended = session.verdicts();
        let of = |ticket| ended.iter().find(|end| end.0 == Ticket(ticket)).map(|end| end.1);
        assert_eq!([of(1), of(2)], verdicts, "{block}");
        session.answer(&written[2]["id"], true);
        assert_eq!(submits(&mut session).len(), if block == 1 { 2 } else { 0 });
    }
}

#[test]
fn a_session_that_is_not_resumed_takes_nothing_of_the_old_one() {
    for (extranonce1, size) in [("08000003", 4), ("08000002", 5), ("", 4)] {
        let (mut session, work) = broken();
        session.shake_hands(extranonce1, size);
        let [first, second] = session.verdicts().try_into().unwrap();
        let why = "the connection broke before the pool answered, and its job is over".to_owned();
        assert_eq!(first, (Ticket(1), Verdict::Expired, why));
        assert_eq!(second, (Ticket(2), Verdict::Stale, "its job is over".to_owned()));
        assert_eq!(session.verdict_of(&share(&work, 0, 3)).0, Verdict::Stale);
        assert!(submits(&mut session).is_empty());
        session.set_difficulty(EASY);
    }
}

#[test]
fn a_new_session_has_seen_no_share() {
    let (mut session, work) = at_work();
    session.request_of(&share(&work, 0, 1));
    for extranonce1 in ["09000003", "08000002"] {
        session.reconnect();
        session.shake_hands(extranonce1, 4);
    }
    session.set_difficulty(EASY);
    session.forget();
    let again = session.work(&job("1", 1, true));
    assert_eq!(again.job.rolls.header(0), work.job.rolls.header(0));
    session.request_of(&share(&again, 0, 1));
}

#[test]
fn a_difficulty_does_not_outlive_its_session() {
    let (mut session, _) = broken();
    session.shake_hands("08000003", 4);
    session.forget();
    assert_eq!(session.work(&job("2", 2, true)).job.target, target(1.0));
}

#[test]
fn partitions_of_every_length_end_as_they_should() {
    for seconds in [1, 30, 89, 91, 600] {
        let (mut session, work) = at_work();
        let ticket = session.submit(&share(&work, 0, 1));
        session.written();
        // Nothing comes, and what is written is lost. The link reconnects as soon as it is told to.
        let mut downs = 0;
        for _ in 0..seconds {
            session.seconds(1);
            let events = session.events();
            if events.iter().any(|event| matches!(event, Event::Down(_))) {
                downs += 1;
                session.client.connected(session.now);
            }
            for (of, verdict, _) in verdicts(&events) {
                assert_eq!((of, verdict, seconds), (ticket, Verdict::Expired, 600));
            }
        }
        // Dead after 90 s, then every 30 s without an answer to the handshake.
        assert_eq!(downs, if seconds < 90 { 0 } else { 1 + (seconds - 90) / 30 }, "{seconds}");
        session.say_text("");
        if downs > 0 {
            session.shake_hands("08000002", 4);
            assert_eq!(submits(&mut session).len(), usize::from(seconds == 91));
        }
    }
}

#[test]
fn a_thousand_broken_connections_lose_nothing() {
    let mut random = fastrand::Rng::with_seed(5);
    let mut session = Session::ready();
    let (mut nonce, mut ended, mut seen) = (0, 0, std::collections::HashSet::new());
    let mut work = session.work(&job("1", 1, true));
    let mut resumed = 0;
    for cycle in 0..1000_u32 {
        for _ in 0..random.u32(0..5) {
            nonce += 1;
            session.submit(&share(&work, 0, nonce));
        }
        let mut in_connection = std::collections::HashSet::new();
        for request in submits(&mut session) {
            assert!(in_connection.insert(request["params"].to_string()), "sent twice");
            if random.bool() {
                session.answer(&request["id"], true);
            }
        }
        session.wait(Duration::from_millis(random.u64(100..5000)));
        session.reconnect();
        session.wait(Duration::from_millis(random.u64(100..5000)));
        if random.bool() {
            resumed += 1;
            session.shake_hands("08000002", 4);
        } else {
            session.shake_hands(&format!("{cycle:08x}"), 4);
        }
        session.set_difficulty(EASY);
        session.notify(&job(&cycle.to_string(), (cycle % 200) as u8, false));
        for event in session.events() {
            match event {
                Event::Work(next) => work = *next,
                Event::Verdict(ticket, ..) => {
                    ended += 1;
                    assert!(seen.insert(ticket));
                }
                _ => {}
            }
        }
    }
    session.wait(Duration::from_secs(120));
    ended += session.verdicts().len();
    assert_eq!(ended as u64, session.tickets);
    assert!(session.tickets > 1500 && resumed > 400);
}
