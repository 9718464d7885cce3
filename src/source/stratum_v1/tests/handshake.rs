//! Pools that answer the handshake in every way that real ones do.

use super::*;
use crate::source::Remedy;

#[test]
fn the_handshake_is_one_write_in_the_order_of_the_protocol() {
    let mut session = Session::new(Settings { minimum_difficulty: Some(16.0), ..settings() });
    let bytes = session.client.transmit().unwrap();
    assert_eq!(
        String::from_utf8(bytes).unwrap(),
        concat!(
            r#"{"id":1,"method":"mining.configure","params":[["version-rolling","minimum-difficulty","#,
            r#""subscribe-extranonce"],{"minimum-difficulty.value":16,"version-rolling.mask":"1fffe000","#,
            r#""version-rolling.min-bit-count":2}]}"#,
            "\n",
            r#"{"id":2,"method":"mining.subscribe","params":["adit/0.1.0"]}"#,
            "\n",
            r#"{"id":3,"method":"mining.authorize","params":["a.worker","s3cret"]}"#,
            "\n",
        )
    );
    assert_eq!(session.client.transmit(), None);

    let plain = Settings { version_mask: 0, minimum_difficulty: Some(0.5), ..settings() };
    let mut session = Session::new(plain);
    assert_eq!(session.written()[0]["params"], json!([["subscribe-extranonce"], {}]));
    assert!(session.warnings()[0].contains("pools take whole numbers"), "fractions end servers");
}

/// The mask with which a job is handed out after an answer to `mining.configure`.
fn mask_after(answer: &str, asked: u32) -> u32 {
    let mut session = Session::new(Settings { version_mask: asked, ..settings() });
    session.say_text(answer);
    session.say(&json!({ "id": 2, "result": [[], "08000002", 4], "error": null }));
    session.say(&json!({ "id": 3, "result": true, "error": null }));
    session.work(&job("1", 1, true)).job.rolls.version_mask()
}

#[test]
fn versions_roll_where_a_pool_grants_bits() {
    let all = VERSION_ROLLING_MASK;
    let result = |result: &str| format!(r#"{{"id":1,"result":{result},"error":null}}"#);
    let granted = |mask: &str| {
        result(&format!(r#"{{"version-rolling":true,"version-rolling.mask":{mask}}}"#))
    };
    // translator_sv2, whose other fields are of odd types, and foundation-stratum.
    let translator =
        r#"{"id":1,"error":null,"result":{"minimum-difficulty":false,"version-rolling":true,
        "version-rolling.mask":"1fffe000","version-rolling.min-bit-count":"00000002"}}"#
            .replace('\n', " ");
    assert_eq!(mask_after(&translator, all), all);
    assert_eq!(mask_after(&granted("\"1fffe000\""), all), all);
    assert_eq!(mask_after(&granted("\"1FFFE000\""), 0x6000), 0x6000, "only what was asked for");
    assert_eq!(mask_after(&granted("\"ffffffff\""), all), all);
    assert_eq!(mask_after(&granted("\"ffffffff\""), u32::MAX), all, "32 bits are too many");
    assert_eq!(mask_after(&granted("\"0x2000\""), all), 0x2000);
    assert_eq!(mask_after(&granted("\"00000000\""), all), 0);
    for nothing in ["{}", "null", "false", "true", "[]", "\"no\"", r#"{"version-rolling":false}"#] {
        assert_eq!(mask_after(&result(nothing), all), 0, "{nothing}");
    }
    for mask in ["null", "\"\"", "\"1fffe0000\"", "\"1fffg000\"", "\"+1fffe00\"", "536862720", "[]"]
    {
        assert_eq!(mask_after(&granted(mask), all), 0, "{mask}");
    }
    let text = r#"{"version-rolling":"bad mask","version-rolling.mask":"1fffe000"}"#;
    assert_eq!(mask_after(&result(text), all), 0, "an error in place of true");
    for error in
        ["\"no\"", "[20,\"Not supported\"]", "[20,\"Not supported\",null]", "{\"code\":20}"]
    {
        let answer = format!(r#"{{"id":1,"result":null,"error":{error}}}"#);
        assert_eq!(mask_after(&answer, all), 0, "{error}");
    }
    assert_eq!(mask_after("", all), 0, "no answer at all");
    assert_eq!(mask_after(&granted("\"1fffe000\""), 0), 0, "not asked for");
}

#[test]
fn a_pool_without_version_rolling_is_named_as_such() {
    let mut session = Session::new(settings());
    for (id, result) in [(1, json!({})), (2, json!([[], "", 4])), (3, json!(true))] {
        session.answer(&json!(id), result);
    }
    assert!(session.warnings()[0].contains("no version rolling"));
}

#[test]
fn an_answer_to_subscribe_comes_in_many_forms() {
    for (subscriptions, id) in [
        (json!([["mining.set_difficulty", "1"], ["mining.notify", "ae68"]]), Some("ae68")),
        (json!([["mining.notify", "ae68"]]), Some("ae68")),
        (json!(["mining.notify", "ae68"]), Some("ae68")),
        (json!([["mining.notify", "x".repeat(256)]]), Some(&*"x".repeat(256))),
        (json!([["mining.notify", "x".repeat(257)]]), None),
        (json!([["mining.notify", ""]]), None),
        (json!([["mining.notify", 7]]), None),
        (json!([]), None),
        (json!(null), None),
        (json!("ae68"), None),
    ] {
        let mut session = Session::new(settings());
        session.answer(&json!(2), json!([subscriptions, "08000002", 4]));
        session.work(&job("1", 1, true));
        session.reconnect();
        let params = session.written()[1]["params"].clone();
        let expected = id.map_or(json!(["adit/0.1.0"]), |id| json!(["adit/0.1.0", id]));
        assert_eq!(params, expected, "{subscriptions}");
    }
    for result in ["true", "7", "\"08000002\"", "[[],\"08000002\"]", "{\"id\":1}"] {
        let mut session = Session::new(settings());
        session.say_text(&format!(r#"{{"id":2,"result":{result},"error":null}}"#));
        let down = session.down().unwrap();
        assert!(down.why.contains("answer to mining.subscribe"), "{result}: {down}");
    }
    for error in
        ["[25,\"full\",null]", "[25,\"full\"]", "\"full\"", "{\"code\":25,\"message\":\"full\"}"]
    {
        let mut session = Session::new(settings());
        session.say_text(&format!(r#"{{"id":2,"result":null,"error":{error}}}"#));
        let expected =
            Down { why: "the pool refused a session: full".to_owned(), remedy: Remedy::Retry };
        assert_eq!(session.down(), Some(expected), "{error}");
    }
}

#[test]
fn extranonces_of_every_size_that_fits_are_rolled() {
    for size in 0..=16_u32 {
        let mut session = Session::new(settings());
        session.shake_hands("08000002", size.into());
        session.set_difficulty(EASY);
        session.forget();
        let work = session.work(&job_with_extranonces(4 + size as usize));
        let extranonces = 256_u64.checked_pow(size).unwrap_or(u64::MAX).min(0xffff);
        assert_eq!(work.job.rolls.all().len(), extranonces << 16, "{size}");
        let last = u32::try_from(work.job.rolls.all().len() - 1).unwrap();
        let request = session.request_of(&share(&work, last, 7));
        assert_eq!(request["params"][2].as_str().unwrap().len(), 2 * size as usize);
    }
    for bytes in 0..=32 {
        let mut session = Session::new(settings());
        session.shake_hands(&"ab".repeat(bytes), 4);
        session.forget();
        session.notify(&job_with_extranonces(bytes + 4));
        assert_eq!(works(&session.events()).len(), 1, "{bytes}");
    }
}

#[test]
fn extranonces_that_do_not_fit_end_the_session_with_their_reason() {
    for (extranonce1, size, why) in [
        ("\"08000002\"", "17", "the size of its extranonce2 is 17; 0 to 16 bytes can be rolled"),
        ("\"08000002\"", "32", "is 32;"),
        ("\"08000002\"", "-1", "is -1;"),
        ("\"08000002\"", "2147483648", "is 2147483648;"),
        ("\"08000002\"", "1e300", "not a whole number"),
        ("\"08000002\"", "4.5", "not a whole number"),
        ("\"08000002\"", "4.0", "not a whole number"),
        ("\"08000002\"", "\"4\"", "not a whole number"),
        ("\"08000002\"", "null", "not a whole number"),
        ("\"08000002\"", "18446744073709551615", "not a whole number"),
        ("null", "4", "its extranonce1 is not hex digits of 0 to 32 bytes"),
        ("8", "4", "its extranonce1"),
        ("\"0800000\"", "4", "its extranonce1"),
        ("\"0800000g\"", "4", "its extranonce1"),
        (&format!("\"{}\"", "ab".repeat(33)), "4", "its extranonce1"),
        (&format!("\"{}\"", "ab".repeat(100_000)), "4", "its extranonce1"),
    ] {
        let mut session = Session::new(settings());
        session.say_text(&format!(r#"{{"id":2,"result":[[],{extranonce1},{size}],"error":null}}"#));
        let down = session.down().unwrap();
        assert!(down.why.contains(why) && down.remedy == Remedy::User, "{size}: {down}");
        session.notify(&job("1", 1, true));
        assert!(session.events().is_empty(), "nothing more is heard");
    }
}

#[test]
fn work_counts_before_the_login_and_shares_wait_for_it() {
    let mut session = Session::new(settings());
    session.written();
    session.answer(&json!(2), json!([[], "08000002", 4]));
    session.set_difficulty(EASY);
    let work = session.work(&job("1", 1, true));
    session.submit(&share(&work, 0, 1));
    session.submit(&share(&work, 0, 2));
    assert!(session.written().is_empty() && session.events().is_empty());
    session.answer(&json!(3), true);
    assert!(matches!(session.events()[0], Event::Ready));
    let written = session.written();
    let methods: Vec<&str> = written.iter().map(|w| w["method"].as_str().unwrap()).collect();
    assert_eq!(methods, ["mining.extranonce.subscribe", "mining.submit", "mining.submit"]);
}

#[test]
fn a_job_and_a_difficulty_that_come_before_the_session_count_in_it() {
    let mut session = Session::new(settings());
    session.set_difficulty(512.0);
    session.notify(&job("old", 1, true));
    session.notify(&job("1", 2, true));
    assert!(works(&session.events()).is_empty());
    session.answer(&json!(2), json!([[], "08000002", 4]));
    let work = only_work(&session.events());
    assert_eq!((work.name.as_str(), work.job.target), ("1", target(512.0)));
}

#[test]
fn without_an_answer_to_the_login_no_share_is_sent() {
    let mut session = Session::new(settings());
    session.answer(&json!(2), json!([[], "08000002", 4]));
    session.set_difficulty(EASY);
    let work = session.work(&job("1", 1, true));
    let ticket = session.submit(&share(&work, 0, 1));
    session.written();
    session.seconds(29);
    assert!(session.down().is_none());
    session.seconds(1);
    let down = session.down().unwrap();
    assert_eq!(down.why, "the pool answered no mining.authorize within 30 s");
    session.seconds(89);
    assert!(session.verdicts().is_empty());
    session.seconds(1);
    let why = "the pool could not be asked within 120 s".to_owned();
    assert_eq!(session.verdicts(), [(ticket, Verdict::Expired, why)]);
    assert!(session.written().is_empty());
}

#[test]
fn a_refused_login_names_the_user_and_the_way_out_but_not_the_password() {
    for answer in [
        r#"{"id":3,"result":false,"error":null}"#,
        r#"{"id":3,"result":null,"error":null}"#,
        r#"{"id":3,"result":false,"error":"bad address"}"#,
        r#"{"id":3,"result":null,"error":[24,"bad address"]}"#,
        r#"{"id":3,"result":null,"error":[24,"bad address",null]}"#,
        r#"{"id":3,"result":null,"error":{"code":24,"message":"bad address"}}"#,
        r#"{"id":3,"result":true,"error":[24,"bad address",null]}"#,
        r#"{"id":3,"result":"yes"}"#,
    ] {
        let mut session = Session::new(settings());
        session.answer(&json!(2), json!([[], "08000002", 4]));
        session.set_difficulty(EASY);
        let work = session.work(&job("1", 1, true));
        session.submit(&share(&work, 0, 1));
        session.written();
        session.say_text(answer);
        let down = session.down().unwrap();
        assert!(down.why.starts_with("the pool refused the login of \"a.worker\": "), "{down}");
        assert!(down.why.contains("give --user") && !down.why.contains("s3cret"), "{down}");
        assert!(!answer.contains("bad address") || down.why.contains("bad address"), "{down}");
        assert_eq!(down.remedy, Remedy::User);
        assert!(session.written().is_empty(), "no share is sent");
    }
    let shown = format!("{:?}", Session::ready().client);
    assert!(shown.contains("a.worker") && !shown.contains("s3cret"));
}

#[test]
fn a_pool_that_answers_nothing_is_dead_after_its_time() {
    let mut session = Session::new(settings());
    session.seconds(29);
    assert!(session.down().is_none());
    let deadline = session.client.deadline().unwrap();
    assert_eq!(deadline - session.now, Duration::from_secs(1));
    session.seconds(1);
    let down = session.down().unwrap();
    assert_eq!(down.why, "the pool answered no mining.subscribe within 30 s");
    assert_eq!(session.client.deadline(), None);

    let mut session = Session::ready();
    session.seconds(89);
    session.say_text("");
    session.seconds(89);
    assert!(session.down().is_none(), "an empty line is a sign of life");
    session.seconds(1);
    let why = "the pool said nothing for 90 s".to_owned();
    assert_eq!(session.down(), Some(Down { why, remedy: Remedy::Retry }));
}

#[test]
fn a_session_that_the_pool_has_forgotten_is_opened_anew() {
    for refusal in [
        json!({ "id": 2, "result": null, "error": [20, "unknown session", null] }),
        json!({ "id": 2, "result": false, "error": null }),
    ] {
        let mut session = Session::ready();
        session.work(&job("1", 1, true));
        session.reconnect();
        session.written();
        session.say(&refusal);
        let written = session.written();
        assert_eq!(
            written,
            [json!({ "id": 4, "method": "mining.subscribe", "params": ["adit/0.1.0"] })]
        );
        session.answer(&json!(4), json!([[], "08000003", 4]));
        let no_work = |event: &Event| matches!(event, Event::NoWork(_));
        assert!(session.events().iter().any(no_work), "the old job is of no use");
    }
    // A server that hangs up on such a request is not asked again.
    let mut session = Session::ready();
    session.work(&job("1", 1, true));
    session.reconnect();
    assert_eq!(session.written()[1]["params"], json!(["adit/0.1.0", "ae68"]));
    session.reconnect();
    assert_eq!(session.written()[1]["params"], json!(["adit/0.1.0"]));
}

#[test]
fn extranonces_are_subscribed_to_where_configure_leaves_it_open() {
    for (answer, asks) in [
        (json!({ "subscribe-extranonce": true }), false),
        (json!({ "subscribe-extranonce": false }), false),
        (json!({ "subscribe-extranonce": "what?" }), true),
        (json!({}), true),
        (json!(false), true),
    ] {
        let mut session = Session::new(settings());
        session.written();
        for (id, result) in [(1, answer.clone()), (2, json!([[], "", 4])), (3, json!(true))] {
            session.answer(&json!(id), result);
        }
        let asked = session.written().iter().any(|w| w["method"] == "mining.extranonce.subscribe");
        assert_eq!(asked, asks, "{answer}");
    }
}

#[test]
fn a_difficulty_is_suggested_once_and_when_the_rate_is_another() {
    let mut session = Session::new(settings());
    session.client.set_rate(2_f64.powi(32), session.now);
    let suggestions = |session: &mut Session| -> Vec<Value> {
        let written = session.written();
        let suggests = |w: &&Value| w["method"] == "mining.suggest_difficulty";
        written.iter().filter(suggests).map(|w| w["params"].clone()).collect()
    };
    session.answer(&json!(2), json!([[], "", 4]));
    assert!(suggestions(&mut session).is_empty(), "not before the login");
    session.answer(&json!(3), true);
    assert_eq!(suggestions(&mut session), [json!([3])], "a share every three seconds");
    for (rate, expected) in [
        (1.9, vec![]),
        (0.6, vec![]),
        (2.1, vec![json!([6])]),
        (1.1, vec![]),
        (1.0, vec![json!([3])]),
        (0.1, vec![json!([0.300_000_000_000_000_04])]),
        (0.0, vec![]),
        (f64::NAN, vec![]),
        (f64::INFINITY, vec![]),
    ] {
        session.client.set_rate(rate * 2_f64.powi(32), session.now);
        assert_eq!(suggestions(&mut session), expected, "{rate}");
    }
    session.client.set_rate(2_f64.powi(33), session.now);
    session.written();
    session.reconnect();
    session.shake_hands("", 4);
    assert_eq!(suggestions(&mut session), [json!([6])], "a new connection does not know it");
}
