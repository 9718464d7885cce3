//! The program is asked to end while a pool owes it answers.

use std::time::{Duration, Instant};

use crate::life::{Life, Place};
use crate::pool::Pool;

/// Shares without an answer.
const UNANSWERED: usize = 100;

/// A run that has sent so many shares, of which none has its answer.
fn owed(place: &Place, pool: &Pool) -> Life {
    let source = format!("stratum+tcp://w@{}", pool.address);
    let mut life = place.start(&mut place.command(&["--source", &source]));
    let ended = life.wait_until("shares", || pool.submitted().len() >= UNANSWERED);
    assert_eq!(ended, None, "{}", life.said());
    life
}

#[test]
fn every_share_was_sent_when_a_service_ends_well() {
    let (place, pool) = (Place::new(), Pool::start());
    let mut life = owed(&place, &pool);
    let begun = Instant::now();
    life.signal("TERM");
    let status = life.end();
    let took = begun.elapsed();
    assert_eq!(status.code(), Some(0), "{}", life.said());

    let summary = life.events("summary").pop().unwrap();
    let logged = place.logged();
    let found = logged.found.len();
    assert!(found >= UNANSWERED);
    let mut sent: Vec<String> = pool.submitted().iter().map(ToString::to_string).collect();
    sent.sort();
    sent.dedup();
    assert_eq!(sent.len(), found, "each share that was found came to the pool, once");
    assert_eq!(logged.verdicts, [("expired".to_owned(), found as u64)].into());
    assert_eq!((&summary["expired"], &summary["pending"]), (&found.into(), &0.into()), "{summary}");
    // Two seconds for verdicts; the pool would be waited for 120 s otherwise.
    assert!(took < Duration::from_secs(20), "{took:?}");
    println!("{found} shares sent, none answered, and the end came after {took:?}");
}

#[test]
fn ctrl_c_twice_ends_at_once() {
    let (place, pool) = (Place::new(), Pool::start());
    let mut life = owed(&place, &pool);
    let mut pressed = 0;
    // Two that come at once are one: it is pressed until it counts.
    let status = loop {
        let status = life.child.try_wait().unwrap();
        if let Some(status) = status {
            break status;
        }
        life.signal("INT");
        pressed += 1;
        std::thread::sleep(Duration::from_millis(20));
    };
    assert_eq!(status.code(), Some(130), "{}", life.said());
    assert!(pressed >= 2);
    // It did not wait for verdicts: there is no account.
    assert!(life.events("summary").is_empty(), "{}", life.said());
    let output = place.verify();
    assert!(output.status.success(), "{output:?}");
}
