//! Shares over a connection: each is judged by the rules of ckpool.

use std::time::Duration;

use adit::pool::judge::Refusal;
use adit::pool::{Event, Options};
use serde_json::json;

use crate::client::{Client, Job, Roll, Wanted};
use crate::{Pool, easy};

const ASKED: f64 = 1e-8;

#[test]
fn shares_are_accepted_refused_and_counted() {
    let pool = Pool::start(easy());
    let (mut client, session) = Client::log_in(pool.address);
    assert_eq!(client.hear("mining.set_difficulty"), json!([ASKED]));
    let job = Job::new(&client.hear("mining.notify"));
    assert!(job.is_clean);
    let enough = Wanted::AtLeast(ASKED);

    let (mut sum, mut best) = (0.0, 0.0_f64);
    for number in 0..20 {
        let roll = Roll { extranonce2: number, ..Roll::default() };
        let rolled = Roll { version_bits: 0x1fff_e000, seconds: 7000, ..roll };
        for share in [job.mine(&session, roll, enough), job.mine(&session, rolled, enough)] {
            assert_eq!(client.submit(&share), "accepted");
            assert_eq!(client.submit(&share), "22 Duplicate share");
            (sum, best) = (sum + ASKED, best.max(share.difficulty));
            let hash = share.hash;
            pool.wait_for(|event| matches!(event, Event::Share(share) if share.hash == Some(hash)));
        }
    }
    let roll = Roll { extranonce2: 99, ..Roll::default() };
    let low = job.mine(&session, roll, Wanted::Below(ASKED));
    assert_eq!(client.submit(&low), "23 Low difficulty share");
    let right = job.mine(&session, roll, enough);
    let mut wrong = right.clone();
    wrong.job = "ffff".to_owned();
    assert_eq!(client.submit(&wrong), "21 Job not found");
    for bits in [1, 0x2000_0000, u32::MAX] {
        let wrong = job.mine(&session, Roll { version_bits: bits, ..roll }, enough);
        assert_eq!(client.submit(&wrong), "20 Invalid version mask");
    }
    for size in [0, 3, 5, 16] {
        let mut wrong = right.clone();
        wrong.extranonce2.resize(size, 0);
        assert_eq!(client.submit(&wrong), "20 Invalid nonce2 length");
    }
    for seconds in [u32::MAX, 7001] {
        let wrong = job.mine(&session, Roll { seconds, ..roll }, enough);
        assert_eq!(client.submit(&wrong), "20 Ntime out of range");
    }
    let unknown = right.params("rig.2");
    assert_eq!(client.submit_params(&unknown), "24 Unauthorized worker");
    assert_eq!(client.submit_params(&json!(["rig.1"])), "20 Malformed parameters");
    assert_eq!(client.submit(&right), "accepted", "it is right all the same");

    // The pool ends, so that all is counted.
    let observer = pool.observer.clone();
    drop(pool);
    let counters = observer.counters();
    assert_eq!(counters.total.accepted, 41);
    assert!((counters.total.difficulty - sum - ASKED).abs() < 1e-12);
    assert!(counters.total.best >= best && counters.total.blocks == 0);
    let expected = [
        (Refusal::UnknownJob, 1),
        (Refusal::Duplicate, 40),
        (Refusal::LowDifficulty, 1),
        (Refusal::Time, 2),
        (Refusal::Version, 3),
        (Refusal::Extranonce2, 4),
        (Refusal::Malformed, 1),
        (Refusal::Unauthorized, 1),
    ];
    assert_eq!(counters.total.rejected, expected.into());
    let of_others = &counters.workers["rig.2"];
    assert_eq!((of_others.accepted, of_others.refused()), (0, 1));
    assert_eq!(counters.workers["rig.1"].accepted, 41);
}

#[test]
fn shares_before_a_session_or_a_login_are_refused() {
    let pool = Pool::start(easy());
    let mut client = Client::connect(pool.address);
    let share = json!(["rig.1", "1", "00000000", "00000000", "00000000"]);
    assert_eq!(client.submit_params(&share), "25 Not subscribed");
    client.subscribe(&json!([]));
    assert_eq!(client.submit_params(&share), "24 Unauthorized worker");
    client.ask("mining.authorize", &json!(["rig.1"]));
    // Job 1 was for everybody, and nobody was here.
    assert_eq!(client.submit_params(&share), "21 Job not found");
}

#[test]
fn a_new_block_makes_shares_stale_and_another_job_does_not() {
    let every = Duration::from_millis(200);
    let pool = Pool::start(Options { job_every: every, jobs_per_block: 2, ..easy() });
    let (mut client, session) = Client::log_in(pool.address);
    let first = Job::new(&client.hear("mining.notify"));
    let mut jobs = vec![first];
    // The second job of a block, and the first of the next.
    while jobs.len() < 4 || !jobs[jobs.len() - 1].is_clean {
        jobs.push(Job::new(&client.hear("mining.notify")));
    }
    let [.., last, new] = jobs.as_slice() else { panic!("too few jobs") };
    assert!(!last.is_clean && new.header.prev_blockhash != last.header.prev_blockhash);
    let share = |job: &Job| job.mine(&session, Roll::default(), Wanted::AtLeast(ASKED));
    for old in jobs.iter().take(jobs.len() - 1) {
        assert_eq!(client.submit(&share(old)), "21 Stale");
    }
    // By now there may be another block.
    let verdict = client.submit(&share(new));
    assert!(verdict == "accepted" || verdict == "21 Stale");
}

#[test]
fn a_resumed_session_goes_on_where_it_was() {
    let pool = Pool::start(easy());
    let (mut client, session) = Client::log_in(pool.address);
    let job = Job::new(&client.hear("mining.notify"));
    let share = job.mine(&session, Roll::default(), Wanted::AtLeast(ASKED));
    assert_eq!(client.submit(&share), "accepted");
    let other = Client::log_in(pool.address).1;
    assert_ne!(other.extranonce1, session.extranonce1);
    // It has a connection still, so nobody else can have it.
    let thief = Client::connect(pool.address).subscribe(&json!(["test/1", session.id]));
    assert!(thief.extranonce1 != session.extranonce1 && thief.id != session.id);

    drop(client);
    pool.wait_for(|event| matches!(event, Event::Closed { connection, .. } if connection.0 == 1));
    let mut client = Client::connect(pool.address);
    client.ask("mining.configure", &json!([["version-rolling"], {}]));
    let resumed = client.subscribe(&json!(["test/1", session.id]));
    assert_eq!((&resumed.id, &resumed.extranonce1), (&session.id, &session.extranonce1));
    client.ask("mining.authorize", &json!(["rig.1", "x"]));
    assert!(!Job::new(&client.hear("mining.notify")).is_clean, "earlier jobs go on");
    assert_eq!(client.submit(&share), "22 Duplicate share");
    let next = Roll { nonce: share.header.nonce + 1, ..Roll::default() };
    assert_eq!(client.submit(&job.mine(&session, next, Wanted::AtLeast(ASKED))), "accepted");
}
