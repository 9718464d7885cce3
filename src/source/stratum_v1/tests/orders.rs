//! What a pool may order, and what it may not.

use super::*;

fn order(session: &mut Session, params: &str) -> Option<(Option<u16>, Duration)> {
    session.say_text(&format!(r#"{{"id":null,"method":"client.reconnect","params":{params}}}"#));
    let events = session.events();
    let order = events.iter().find_map(|event| match event {
        Event::Reconnect { port, wait } => Some((*port, *wait)),
        _ => None,
    });
    let warned = events.iter().any(|event| matches!(event, Event::Warning(_)));
    assert_ne!(order.is_some(), warned, "{params}: {events:?}");
    order
}

#[test]
fn only_the_users_own_host_may_be_moved_to() {
    let wait = Duration::from_secs;
    for (params, expected) in [
        (r#"["pool.example",3333,5]"#, Some((Some(3333), wait(5)))),
        (r#"["POOL.Example","3333","5"]"#, Some((Some(3333), wait(5)))),
        (r#"["pool.example"]"#, Some((None, wait(0)))),
        ("[]", Some((None, wait(0)))),
        ("null", Some((None, wait(0)))),
        (r#"["",0.5e1]"#, None),
        (r#"["",null,1]"#, Some((None, wait(1)))),
        (r#"[null,"",0]"#, Some((None, wait(0)))),
        (r#"["pool.example",3333,1e300]"#, Some((Some(3333), wait(60)))),
        (r#"["pool.example",3333,0.25]"#, Some((Some(3333), Duration::from_millis(250)))),
        (r#"["pool.example",3334,5]"#, None),
        (r#"["pool.example",70000,5]"#, None),
        (r#"["pool.example",-1,5]"#, None),
        (r#"["pool.example",3333.5,5]"#, None),
        (r#"["pool.example",3333,-5]"#, None),
        (r#"["pool.example",3333,[5]]"#, None),
        (r#"["pool.example",{},5]"#, Some((None, wait(5)))),
        (r#"["eu.pool.example",3333,5]"#, None),
        (r#"["example",3333,5]"#, None),
        (r#"["pool.example.",3333,5]"#, None),
        (r#"["pool.example:3333",3333,5]"#, None),
        (r#"["evil.example",3333,5]"#, None),
        (r#"["192.0.2.1",3333,5]"#, None),
        (r#"["stratum+tcp://pool.example",3333,5]"#, None),
        (r#"[["pool.example"],3333,5]"#, None),
        ("[7,3333,5]", None),
    ] {
        assert_eq!(order(&mut Session::ready(), params), expected, "{params}");
    }
    let long = format!(r#"["{}",3333,5]"#, "x".repeat(1_000_000));
    assert_eq!(order(&mut Session::ready(), &long), None);
    let mut session = Session::ready_with(Settings { reconnect_port: true, ..settings() });
    let to_port = order(&mut session, r#"["pool.example",3334]"#);
    assert_eq!(to_port, Some((Some(3334), wait(0))));
}

#[test]
fn a_pool_moves_a_miner_once_a_minute_and_no_more() {
    let mut session = Session::ready();
    let mut followed = Vec::new();
    for tenth in 0..1300_u64 {
        if order(&mut session, "[]").is_some() {
            followed.push(tenth);
            session.client.connected(session.now);
            session.shake_hands("08000002", 4);
            session.forget();
        }
        session.wait(Duration::from_millis(100));
    }
    assert_eq!(followed, [0, 600, 1200]);
}

#[test]
fn the_connection_is_over_after_an_order_and_its_shares_are_kept() {
    let mut session = Session::ready();
    let work = session.work(&job("1", 1, true));
    session.request_of(&share(&work, 0, 1));
    assert!(order(&mut session, "[]").is_some());
    session.notify(&job("2", 1, true));
    assert!(session.events().is_empty() && session.client.transmit().is_none());
    session.client.connected(session.now);
    session.shake_hands("08000002", 4);
    let again = session.written();
    assert!(again.iter().any(|request| request["method"] == "mining.submit"), "{again:?}");
}

#[test]
fn questions_are_answered() {
    let mut session = Session::ready();
    for (request, expected) in [
        (
            r#"{"id":7,"method":"client.get_version"}"#,
            json!({ "id": 7, "result": "adit/0.1.0", "error": null }),
        ),
        (
            r#"{"id":"p1","method":"mining.ping","params":[]}"#,
            json!({ "id": "p1", "result": "pong", "error": null }),
        ),
        (
            r#"{"id":8,"method":"mining.get_transactions","params":["1"]}"#,
            json!({ "id": 8, "result": null, "error": [20, "unknown method", null] }),
        ),
    ] {
        session.say_text(request);
        assert_eq!(session.written(), [expected]);
    }
    session.say_text(r#"{"id":null,"method":"mining.get_transactions","params":["1"]}"#);
    session.say_text(r#"{"method":"client.get_version"}"#);
    assert!(session.written().is_empty() && session.events().is_empty());
    assert_eq!(session.counts(), Counts::default());
}

#[test]
fn messages_are_passed_on_and_cut() {
    let mut session = Session::ready();
    for (params, expected) in [
        (json!(["maintenance at 12:00"]), Some("maintenance at 12:00".to_owned())),
        (json!("no brackets"), Some("no brackets".to_owned())),
        (json!(["é".repeat(1_000_000 / 2)]), Some("é".repeat(200))),
        (json!([7]), None),
        (json!([]), None),
    ] {
        session.say(&json!({ "id": null, "method": "client.show_message", "params": params }));
        let shown = session.events().into_iter().find_map(|event| match event {
            Event::Message(text) => Some(text),
            _ => None,
        });
        assert_eq!(shown, expected);
    }
}

#[test]
fn a_flood_of_calls_leads_to_few_lines() {
    let mut session = Session::ready();
    let flood = [
        r#"{"id":1,"method":"mining.unheard_of","params":[]}"#,
        r#"{"id":null,"method":"client.show_message","params":["x"]}"#,
        r#"{"id":null,"method":"client.reconnect","params":["evil.example"]}"#,
        r#"{"id":null,"method":"mining.unheard_of","params":["y"]}"#,
    ]
    .join("\n")
        + "\n";
    let (mut shown, mut written) = (0, 0);
    for _ in 0..1000 {
        // Four calls in a hundredth of a second.
        session.client.receive(flood.as_bytes(), session.now);
        session.wait(Duration::from_millis(10));
        shown += session.events().len();
        written += session.written().len();
    }
    assert_eq!((shown, written), (100, 100), "10 a second each");
}
