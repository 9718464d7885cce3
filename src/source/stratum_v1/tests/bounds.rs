//! Bad input: it changes nothing, is counted, and ends the session where it is too much.

use super::*;
use crate::limits::{COINBASE_PART, MERKLE_BRANCH, NONSENSE_PER_MINUTE, POOL_JOB_ID, STRATUM_LINE};
use crate::source::Remedy;

/// All that a message could have changed, as far as it shows: the job at work, its terms, and whether
/// shares of it are taken.
fn state(session: &Session) -> String {
    let Client { session: terms, jobs, outbox, .. } = &session.client;
    let connection = session.client.connection.as_ref().map(|c| (c.stage, c.version_mask));
    format!("{terms:?} {jobs:?} {outbox:?} {connection:?}")
}

#[test]
fn mutated_jobs_change_nothing_and_are_counted() {
    let mut session = Session::ready();
    session.work(&job("at work", 1, true));
    let before = state(&session);
    let mut random = fastrand::Rng::with_seed(1);
    let mut fields = [0_u32; 9];
    for round in 0..10_000_u64 {
        let mut params = job("other", 2, true);
        let field = random.usize(0..9);
        match mutate(&params[field], field, &mut random) {
            Some(value) => params[field] = value,
            None => drop(params.as_array_mut().unwrap().remove(field)),
        }
        fields[field] += 1;
        session.notify(&params);
        assert_eq!(state(&session), before, "{params}");
        assert_eq!(session.counts().nonsense, round + 1, "{params}");
        // As many as a session bears.
        session.seconds(7);
        for event in session.events() {
            assert!(matches!(event, Event::Warning(_)), "{event:?}");
        }
    }
    assert!(fields.iter().all(|times| *times > 900), "{fields:?}");
    session.work(&job("other", 2, true));
}

/// Something else than `good`; nothing where the field is to be missing.
fn mutate(good: &Value, field: usize, random: &mut fastrand::Rng) -> Option<Value> {
    let text = good.as_str().unwrap_or("00");
    let any_but = |wrong: Value, fallback: Value| if wrong == *good { fallback } else { wrong };
    // Names may be any text, the clean flag any truth, and a merkle branch any list of hashes.
    let value = match random.u8(0..16) {
        0 if field != 8 => return None,
        0 | 1 => Value::Null,
        2 if field != 8 => json!(random.bool()),
        2 | 3 => json!(random.i32(..)),
        4 => json!(random.f64()),
        5 => json!([[[text]]]),
        6 => json!({ "hex": text }),
        7 => json!(""),
        8 if field != 0 => json!(&text[1..]),
        9 if field != 0 => json!(format!("{}zz", text.get(2..).unwrap_or_default())),
        10 if field != 0 => {
            json!(text.get(2..).filter(|t| t.len() < 8 || field == 1).unwrap_or("0"))
        }
        11 if field != 0 => json!(format!("{text}0")),
        12 if field != 0 => json!(format!("0x{}", text.get(2..).unwrap_or_default())),
        13 if field != 0 => json!("\u{1d7d8}".repeat(text.len() / 4)),
        14 => match field {
            0 => json!("x".repeat(POOL_JOB_ID + 1)),
            2 | 3 => json!("00".repeat(COINBASE_PART + 1)),
            4 => json!(vec!["00".repeat(32); MERKLE_BRANCH + 1]),
            _ => json!(text.repeat(100)),
        },
        15 => match field {
            4 => json!(["00".repeat(31)]),
            6 => json!(["00000000", "1d80ffff", "ff00ffff", "03000000"][random.usize(0..4)]),
            _ => json!([text, text]),
        },
        _ => json!(7),
    };
    Some(any_but(value, Value::Null))
}

#[test]
fn jobs_at_the_bounds_are_taken() {
    let mut session = Session::ready();
    let mut params = job(&"x".repeat(POOL_JOB_ID), 1, true);
    params[4] = json!(vec!["00".repeat(32); MERKLE_BRANCH]);
    for field in [1, 2, 3, 5, 6, 7] {
        params[field] = params[field].as_str().unwrap().to_uppercase().into();
    }
    params.as_array_mut().unwrap().push("what a pool adds".into());
    session.work(&params);

    // 2940 outputs of 34 bytes; what pools with many miners have.
    let output = "e5b5c61200000000".to_owned() + "19" + &"51".repeat(25);
    let many = "ffffffff".to_owned() + "fd7c0b" + &output.repeat(2940) + "00000000";
    assert!(many.len() / 2 <= COINBASE_PART && many.len() / 2 > COINBASE_PART - 100);
    let mut params = job("long", 2, true);
    params[3] = many.into();
    let work = session.work(&params);
    assert_eq!(work.coinbase.unwrap().outputs.len(), 2940, "nothing is cut off");
}

#[test]
fn one_bad_message_in_a_hundred_does_no_harm() {
    let mut session = Session::ready();
    for n in 0..1000_u32 {
        let block = (n % 251) as u8;
        if n % 100 == 50 {
            session.notify(&json!([n]));
            assert!(works(&session.events()).is_empty());
        } else {
            let work = session.work(&job(&n.to_string(), block, n % 7 == 0));
            assert_eq!(work.name, n.to_string());
        }
        session.seconds(1);
    }
    assert_eq!(session.counts().nonsense, 10);
    assert!(session.down().is_none());
}

#[test]
fn ten_bad_messages_in_a_minute_end_the_session() {
    for (pause, ends) in [(0, true), (6, true), (7, false)] {
        let mut session = Session::ready();
        let mut down = None;
        for n in 0..NONSENSE_PER_MINUTE {
            assert!(down.is_none(), "{n} are borne");
            session.say_text("HTTP/1.1 400 Bad Request");
            down = session.down();
            session.seconds(pause);
        }
        assert_eq!(down.is_some(), ends, "{pause}");
        if let Some(down) = down {
            assert!(down.why.starts_with("the pool sent 10 messages in a minute"), "{down}");
            assert!(down.why.contains("a line that is no JSON") && down.remedy == Remedy::Retry);
        }
    }
}

#[test]
fn a_pool_that_only_sends_broken_jobs_ends_each_session() {
    let mut session = Session::new(settings());
    for connections in 1..=1000_u64 {
        session.shake_hands("08000002", 4);
        session.forget();
        let mut sent = 0;
        while session.down().is_none() {
            session.notify(&json!(["1", 7, null]));
            sent += 1;
        }
        assert_eq!((sent, session.counts().nonsense), (10, 10 * connections));
        session.seconds(1);
        session.reconnect();
    }
}

#[test]
fn lines_have_a_bound_and_odd_lines_do_no_harm() {
    let mut session = Session::ready();
    // A job in a line as long as is allowed, byte by byte and at once.
    for cut in [1, 1000, STRATUM_LINE] {
        let params = job(&format!("cut {cut}"), 1, true);
        let message = json!({ "method": "mining.notify", "params": params }).to_string();
        let line = message + &" ".repeat(STRATUM_LINE);
        let line = [&line.as_bytes()[..STRATUM_LINE], b"\n"].concat();
        for piece in line.chunks(cut) {
            session.client.receive(piece, session.now);
        }
        assert_eq!(
            session.client.jobs.get(session.last_job()).unwrap().name(),
            format!("cut {cut}")
        );
    }
    session.forget();
    let before = state(&session);
    for odd in [&b"\r\n"[..], b" \t\r\n", b"\0\n", b"\xef\xbb\xbf{}\n", b"\xff\xfe\n", b"{}\r\n"] {
        session.client.receive(odd, session.now);
        assert_eq!(state(&session), before);
    }
    assert_eq!(session.counts().nonsense, 4, "blank lines are none");
    assert!(session.down().is_none());

    for end in [&b"x"[..], b"\n"] {
        let mut session = Session::ready();
        session.client.receive(&vec![b'x'; STRATUM_LINE], session.now);
        assert!(session.down().is_none());
        session.client.receive(b"x", session.now);
        let down = session.down().unwrap();
        assert_eq!(down.why, "the pool sent a line of more than 1048576 bytes");
        session.client.receive(end, session.now);
        assert!(session.events().is_empty());
    }
}

#[test]
fn lines_may_end_as_on_windows() {
    let mut session = Session::ready();
    let params = job("1", 1, true);
    let message = json!({ "method": "mining.notify", "params": params });
    session.client.receive(format!("{message}\r\n").as_bytes(), session.now);
    only_work(&session.events());
}

#[test]
fn absurd_difficulties_are_refused_and_the_former_stays() {
    let mut session = Session::ready();
    session.set_difficulty(512.0);
    let mut refused = 0;
    for absurd in [
        "0", "-0.0", "-1", "1e300", "1e68", "null", "\"\"", "\"nan\"", "\"inf\"", "\"1x\"", "true",
        "[1]", "{}", "1e999", "NaN",
    ] {
        session.say_text(&format!(r#"{{"method":"mining.set_difficulty","params":[{absurd}]}}"#));
        refused += 1;
        assert_eq!(session.counts().nonsense, refused, "{absurd}");
        session.seconds(7);
    }
    session.say(&json!({ "method": "mining.set_difficulty", "params": [] }));
    session.forget();
    assert_eq!(session.work(&job("1", 1, true)).job.target, target(512.0));
    // However easy, there is a target.
    session.say_text(r#"{"method":"mining.set_difficulty","params":[1e-300]}"#);
    assert_eq!(session.work(&job("2", 2, true)).job.target, Target::from_be_bytes([0xff; 32]));
}

#[test]
fn json_beyond_its_bounds_is_nonsense() {
    let mut session = Session::ready();
    let before = state(&session);
    let notify = |params: &str| format!(r#"{{"method":"mining.notify","params":{params}}}"#);
    for line in [
        notify(&"[".repeat(1_000_000)),
        notify(&format!("{}{}", "[".repeat(17), "]".repeat(17))),
        notify(&format!("[{}1]", "1,".repeat(500_000))),
        format!("{{{}\"method\":\"mining.ping\"}}", "\"id\":1,".repeat(100_000)),
        notify(&format!("[{}]", "9".repeat(1_000_000))),
        notify(&format!("[\"{}\"]", "\\u0041".repeat(170_000))),
    ] {
        assert!(line.len() <= STRATUM_LINE);
        session.say_text(&line);
        assert_eq!(state(&session), before);
    }
    assert_eq!(session.counts().nonsense, 6);
    for event in session.events() {
        let Event::Warning(why) = event else { panic!("{event:?}") };
        assert!(why.len() < 300, "{} bytes", why.len());
    }
}
