//! Jobs: what is handed out, when, and on which terms.

use bitcoin::{Address, Network, ScriptBuf};

use super::*;
use crate::chain::decode_bits;
use crate::limits::{JOBS_REMEMBERED, TIME_AHEAD};

#[test]
fn jobs_of_real_pools_lead_to_the_headers_that_they_accepted() {
    for job in &POOL_JOBS {
        let header = parse_header(job.header).unwrap();
        // A mask of few bits leaves room for the extranonce that the third was solved with.
        let mask = match job.height {
            Some(901_936) => VERSION_ROLLING_MASK,
            Some(349) => 0x2000,
            _ => 0,
        };
        let rolls = mask != 0;
        let mut session = Session::new(Settings { version_mask: mask, ..settings() });
        session.shake_hands(job.extranonce1, job.extranonce2.len() as u64 / 2);
        session.set_difficulty(1e-4);
        session.forget();
        let work = session.work(&announcement(job, "a", true));
        assert_eq!((work.height, work.name.as_str(), work.clean), (job.height, "a", true));
        assert_eq!(work.block_target, decode_bits(header.bits).unwrap());
        assert_eq!(work.coinbase.as_ref().unwrap().outputs.len(), if rolls { 2 } else { 1 });
        assert_eq!(work.job.id.source, SourceId(3));
        let share = real_share(&work, header, job.extranonce2);
        assert_eq!((share.header, share.hash.to_string().as_str()), (header, job.hash));

        let request = session.request_of(&share);
        let mut expected = vec![
            "a.worker".to_owned(),
            "a".to_owned(),
            job.extranonce2.to_owned(),
            format!("{:08x}", header.time),
            format!("{:08x}", header.nonce),
        ];
        if rolls {
            expected.push(format!("{:08x}", header.version.to_consensus().cast_unsigned() & mask));
        }
        assert_eq!(request["params"], json!(expected));
    }
}

#[test]
fn a_difficulty_counts_for_the_jobs_that_follow() {
    let mut session = Session::new(settings());
    session.shake_hands("08000002", 4);
    session.forget();
    assert_eq!(session.work(&job("1", 1, true)).job.target, target(1.0), "where none was set");
    session.set_difficulty(512.0);
    session.set_difficulty(8192.0);
    assert!(session.events().is_empty());
    assert_eq!(session.work(&job("2", 2, true)).job.target, target(8192.0));
    session.say(&json!({ "method": "mining.set_difficulty", "params": ["0.001", 7] }));
    assert_eq!(session.work(&job("3", 3, true)).job.target, target(0.001));
    for (text, difficulty) in [
        ("2.328e-05", 2.328e-5),
        ("1e-9", 1e-9),
        ("0.00002328294192111002", 0.000_023_282_941_921_110_02),
        ("16384", 16384.0),
        ("4294967296", 2_f64.powi(32)),
        ("18446744073709551616", 2_f64.powi(64)),
    ] {
        session.say_text(&format!(r#"{{"method":"mining.set_difficulty","params":[{text}]}}"#));
        let work = session.work(&job(text, 4, true));
        assert_eq!(work.job.target, target(difficulty), "{text}");
    }
}

#[test]
fn each_share_is_judged_by_the_target_of_its_own_job() {
    let mut session = Session::ready();
    let mut random = fastrand::Rng::with_seed(4);
    let mut earlier: Vec<(Work, f64)> = Vec::new();
    let mut judged = [0, 0];
    for round in 0..6000_u32 {
        // A change every 100 ms for 10 minutes, up and down by up to 2^32.
        let difficulty = EASY * 2_f64.powi(random.i32(0..=64));
        session.set_difficulty(difficulty);
        let work = session.work(&job(&round.to_string(), (round % 251) as u8, false));
        earlier.push((work, difficulty));
        session.set_difficulty(EASY * 2_f64.powi(random.i32(0..=64)));
        let (work, difficulty) =
            &earlier[earlier.len() - 1 - random.usize(0..earlier.len().min(9))];
        let share = share(work, 0, round);
        if crate::chain::meets(&share.hash, &target(*difficulty)) {
            session.request_of(&share);
            judged[0] += 1;
        } else {
            let verdict = session.verdict_of(&share);
            assert_eq!(verdict, (Verdict::Invalid, "its hash is above its job's target".into()));
            judged[1] += 1;
        }
        session.wait(Duration::from_millis(100));
    }
    assert!(judged[0] > 200 && judged[1] > 200, "{judged:?}");
}

#[test]
fn a_version_mask_counts_at_once() {
    let mut session = Session::ready();
    let first = session.work(&job("1", 1, true));
    let narrow = json!({ "id": null, "method": "mining.set_version_mask", "params": ["00003000"] });
    session.say(&narrow);
    let second = only_work(&session.events());
    assert_eq!((second.name.as_str(), second.clean), ("1", false));
    assert_eq!(second.job.rolls.version_mask(), 0x2000, "of what was asked for");
    assert_eq!(second.job.rolls.all().len(), (1 << 32) - 2, "more room for extranonces");
    session.say(&narrow);
    assert!(session.events().is_empty(), "nothing new");

    // The pool takes the bits of its new mask from the share and all others from its job.
    let request = session.request_of(&share(&first, 0, 7));
    assert_eq!(request["params"][5], "00002000", "a job begins with a rolled version");
    let verdict = session.verdict_of(&share(&first, 2, 7));
    assert_eq!(verdict, (Verdict::Stale, "the pool no longer allows its version bits".into()));

    session.say(&json!({ "method": "mining.set_version_mask", "params": ["ffffffff"] }));
    let third = only_work(&session.events());
    assert_eq!(third.job.rolls.version_mask(), VERSION_ROLLING_MASK);
    for wrong in [json!([]), json!(["1fffe0000"]), json!([536_862_720]), json!([null])] {
        session.say(&json!({ "method": "mining.set_version_mask", "params": wrong }));
    }
    assert_eq!((session.counts().nonsense, works(&session.events()).len()), (4, 0));

    // Where no version rolling was agreed on, there is no mask to set.
    let mut session = Session::new(settings());
    session.say(&json!({ "id": 2, "result": [[], "08000002", 4] }));
    session.work(&job("1", 1, true));
    session.say(&narrow);
    assert!(works(&session.events()).is_empty());
}

/// foundation-stratum grants its whole mask whatever is asked for, and its jobs set one of the bits.
#[test]
fn a_pool_that_grants_more_than_was_asked_for_is_told_all_its_bits() {
    let mut session = Session::ready_with(Settings { version_mask: 0x2000, ..settings() });
    let mut params = job("1", 1, true);
    params[5] = "30000000".into();
    let work = session.work(&params);
    let share = share(&work, 0, 7);
    assert_eq!(share.header.version.to_consensus(), 0x3000_2000);
    assert_eq!(session.request_of(&share)["params"][5], "10002000");
}

#[test]
fn a_late_answer_to_configure_hands_the_job_out_again() {
    let mut session = Session::new(settings());
    session.answer(&json!(2), json!([[], "08000002", 4]));
    assert_eq!(session.work(&job("1", 1, true)).job.rolls.version_mask(), 0);
    let mask = json!({ "version-rolling": true, "version-rolling.mask": "1fffe000" });
    session.answer(&json!(1), mask);
    let again = only_work(&session.events());
    assert_eq!(again.job.rolls.version_mask(), VERSION_ROLLING_MASK);
}

#[test]
fn an_extranonce_counts_from_the_next_job_on_and_makes_earlier_ones_stale() {
    let mut session = Session::ready();
    let first = session.work(&job("1", 1, true));
    let set = json!({ "method": "mining.set_extranonce", "params": ["09000003", 4] });
    session.say(&set);
    session.request_of(&share(&first, 0, 1));
    // The same job by its name, as NiceHash has it: still another job.
    let second = session.work(&job("1", 1, false));
    assert!(second.clean);
    let roots = [&first, &second].map(|work| work.job.rolls.header(0).merkle_root);
    assert_ne!(roots[0], roots[1]);
    assert_eq!(session.verdict_of(&share(&first, 0, 2)).0, Verdict::Stale);
    session.request_of(&share(&second, 0, 1));
    session.say(&set);
    session.notify(&job("1", 1, false));
    assert!(session.events().is_empty(), "nothing new");

    for wrong in [json!(["09000003", 17]), json!(["0900000", 4]), json!([9, 4]), json!([])] {
        let mut session = Session::ready();
        session.say(&json!({ "method": "mining.set_extranonce", "params": wrong }));
        assert!(session.down().unwrap().why.contains("an extranonce that cannot be used"));
    }
}

#[test]
fn a_job_that_hashes_the_same_does_not_restart_the_search() {
    let mut session = Session::ready();
    let work = session.work(&job("1", 1, true));
    session.notify(&job("2", 1, false));
    session.notify(&job("3", 1, true));
    assert!(session.events().is_empty());
    let request = session.request_of(&share(&work, 0, 1));
    assert_eq!(request["params"][1], "3", "the pool's newest name for it");

    let other = session.work(&job("4", 2, false));
    session.notify(&job("5", 2, true));
    assert!(session.events().is_empty());
    assert_eq!(session.verdict_of(&share(&work, 0, 2)).0, Verdict::Stale, "the other was clean");
    session.request_of(&share(&other, 0, 2));

    // Every field that is hashed makes another job.
    let mut params = job("6", 2, false);
    for (field, value) in [
        (1, json!("03".repeat(32))),
        (2, json!(POOL_JOBS[0].coinb1.replace("5075626c", "5075626d"))),
        (3, json!(POOL_JOBS[0].coinb2.replace("e5b5c612", "e6b5c612"))),
        (4, json!([])),
        (5, json!("20000001")),
        (6, json!("17023a05")),
        (7, json!("685468d8")),
    ] {
        params[field] = value;
        assert_eq!(session.work(&params).job.id.serial, work.job.id.serial + 1 + field as u64);
    }
}

/// Public Pool repeats a job under another name when it changes the difficulty.
#[test]
fn the_same_job_with_another_target_goes_on_with_other_headers() {
    let mut session = Session::ready();
    let mut times = Vec::new();
    let mut give = |session: &mut Session, name: &str, difficulty: f64| {
        session.set_difficulty(difficulty);
        let work = session.work(&job(name, 1, false));
        times.push(work.job.rolls.header(0).time - 0x6854_68d7);
        work
    };
    give(&mut session, "1", EASY);
    session.seconds(2);
    give(&mut session, "2", 1e-6);
    let third = give(&mut session, "3", EASY);
    give(&mut session, "4", 1e-6);
    let fifth = give(&mut session, "5", EASY);
    assert_eq!(times, [0, 1, 2, 2, 2], "as far as time allows");
    session.request_of(&share(&third, 0, 9));
    let found_again = session.verdict_of(&share(&fifth, 0, 9));
    assert_eq!(found_again, (Verdict::Duplicate, "it was found before".into()));
}

#[test]
fn an_exhausted_job_goes_on_with_its_next_second_when_that_has_come() {
    let mut session = Session::ready();
    let work = session.work(&job("1", 1, true));
    let time = |work: &Work| work.job.rolls.header(0).time - 0x6854_68d7;
    session.client.exhausted(work.job.id, session.now);
    assert!(session.events().is_empty());
    let deadline = session.client.deadline().unwrap();
    assert_eq!(deadline - session.now, Duration::from_secs(1));
    session.wait(Duration::from_millis(999));
    assert!(session.events().is_empty());
    session.wait(Duration::from_millis(1));
    let next = only_work(&session.events());
    assert_eq!((time(&next), next.clean, next.name.as_str()), (1, false, "1"));
    session.client.exhausted(work.job.id, session.now);
    session.seconds(3);
    assert!(session.events().is_empty(), "that one is no longer at work");
    // Seconds that went by unused are there at once.
    let mut at_work = next;
    for expected in [2, 3, 4] {
        session.client.exhausted(at_work.job.id, session.now);
        at_work = only_work(&session.events());
        assert_eq!(time(&at_work), expected);
    }
    session.client.exhausted(at_work.job.id, session.now);
    assert!(session.events().is_empty());
    session.request_of(&share(&work, 0, 1));
    session.request_of(&share(&at_work, 0, 1));
    // A repetition of the pool's own job changes nothing about it.
    session.notify(&job("2", 1, false));
    assert!(session.events().is_empty());
    session.seconds(1);
    assert_eq!(time(&only_work(&session.events())), 5);
}

#[test]
fn time_is_never_ahead_of_what_consensus_allows() {
    let mut session = Session::ready();
    let mut work = session.work(&job("1", 1, true));
    let start = session.now;
    let mut times = vec![work.job.rolls.header(0).time];
    for second in 0..=u64::from(TIME_AHEAD) + 100 {
        session.now = start + Duration::from_secs(second);
        session.say_text("");
        session.client.exhausted(work.job.id, session.now);
        let events = session.events();
        if let Some(next) = works(&events).first() {
            work = (*next).clone();
            times.push(work.job.rolls.header(0).time);
            assert!(u64::from(times[times.len() - 1] - times[0]) <= second);
        }
    }
    let all: Vec<u32> = (times[0]..=times[0] + TIME_AHEAD).collect();
    assert_eq!(times, all, "each once");

    // The last second that a header can hold.
    let mut params = job("2", 2, true);
    params[7] = "fffffffe".into();
    let work = session.work(&params);
    session.seconds(10);
    session.client.exhausted(work.job.id, session.now);
    let last = only_work(&session.events());
    assert_eq!(last.job.rolls.header(0).time, u32::MAX);
    session.client.exhausted(last.job.id, session.now);
    assert!(session.events().is_empty());
}

#[test]
fn without_extranonce_and_version_bits_time_alone_rolls() {
    let mut session = Session::new(Settings { version_mask: 0, ..settings() });
    session.shake_hands("08000002", 0);
    session.set_difficulty(EASY);
    session.forget();
    let mut work = session.work(&job_with_extranonces(4));
    for _ in 0..5 {
        assert_eq!(work.job.rolls.all().len(), 1);
        let request = session.request_of(&share(&work, 0, 1));
        assert_eq!(request["params"][2], "");
        session.client.exhausted(work.job.id, session.now);
        session.seconds(1);
        work = only_work(&session.events());
    }
}

#[test]
fn a_clean_job_makes_shares_of_earlier_ones_stale() {
    let mut session = Session::ready();
    let first = session.work(&job("1", 1, true));
    let second = session.work(&job("2", 2, false));
    assert!(first.clean && !second.clean);
    session.request_of(&share(&first, 0, 1));
    session.request_of(&share(&second, 0, 1));
    let third = session.work(&job("3", 3, true));
    assert!(third.clean);
    for work in [&first, &second] {
        assert_eq!(
            session.verdict_of(&share(work, 0, 2)),
            (Verdict::Stale, "its job is over".into())
        );
    }
    session.request_of(&share(&third, 0, 1));
    assert_eq!(session.verdicts(), [], "what was sent waits for its answer");
}

#[test]
fn a_storm_of_clean_jobs_sends_nothing_stale() {
    let mut session = Session::ready();
    let mut before = session.work(&job("first", 1, true));
    for round in 0..10_000_u32 {
        session.wait(Duration::from_millis(50));
        let work = session.work(&job(&round.to_string(), (round % 251) as u8, true));
        assert_eq!(session.verdict_of(&share(&before, 0, round)).0, Verdict::Stale);
        before = work;
    }
    assert!(session.written().is_empty());
}

#[test]
fn as_many_jobs_are_remembered_as_the_limit_says() {
    let mut session = Session::ready();
    let jobs: Vec<Work> = (0..=JOBS_REMEMBERED)
        .map(|n| session.work(&job(&n.to_string(), u8::try_from(n).unwrap(), false)))
        .collect();
    assert_eq!(session.verdict_of(&share(&jobs[0], 0, 1)).0, Verdict::Stale);
    for (n, work) in jobs.iter().enumerate().skip(1) {
        assert_eq!(session.request_of(&share(work, 0, 1))["params"][1], n.to_string());
    }
}

#[test]
fn of_several_jobs_at_once_the_last_is_handed_out() {
    let mut session = Session::ready();
    let before = session.work(&job("before", 9, true));
    let notify = |params: Value| json!({ "method": "mining.notify", "params": params }).to_string();
    let difficulty = json!({ "method": "mining.set_difficulty", "params": [512.0] }).to_string();
    let lines = [
        notify(job("1", 1, true)),
        notify(job("2", 2, false)),
        difficulty,
        notify(json!(["broken"])),
    ];
    session.client.receive((lines.join("\n") + "\n").as_bytes(), session.now);
    let work = only_work(&session.events());
    assert_eq!((work.name.as_str(), work.job.target), ("2", target(EASY)));
    assert!(work.clean, "as one of those left out was");
    assert_eq!(session.verdict_of(&share(&before, 0, 1)).0, Verdict::Stale);
    assert_eq!(session.counts().nonsense, 1);
}

#[test]
fn a_job_that_pays_somebody_else_is_refused_and_a_good_one_taken() {
    let address = |coinb2: &str| {
        // The script of the first output follows its length.
        let script = ScriptBuf::from_hex(&coinb2[28..][..68]).unwrap();
        Address::from_script(&script, Network::Bitcoin).unwrap().to_string()
    };
    let other = POOL_JOBS[0].coinb2.replace("984a77c2", "984a77c3");
    let rule = address(POOL_JOBS[0].coinb2).parse().unwrap();
    let mut session = Session::ready_with(Settings { payout: Some(rule), ..settings() });
    let good = session.work(&job("1", 1, true));
    let mut bad = job("2", 2, false);
    bad[3] = other.as_str().into();
    for _ in 0..2 {
        session.notify(&bad);
        let events = session.events();
        let [Event::NoWork(why), Event::Warning(warning)] = events.as_slice() else {
            panic!("{events:?}")
        };
        assert!(why.contains("does not pay as required"), "{why}");
        assert!(warning.contains(&address(&other)), "{warning}");
    }
    session.request_of(&share(&good, 0, 1));
    session.client.exhausted(good.job.id, session.now);
    session.seconds(5);
    assert!(session.events().is_empty(), "there is no work");
    let better = session.work(&job("3", 3, true));
    session.request_of(&share(&better, 0, 1));
}
