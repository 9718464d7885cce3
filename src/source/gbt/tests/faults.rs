//! Nodes that refuse, restart, change, stall and lie.

use std::sync::mpsc::channel;

use fastrand::Rng;

use super::world::Meddle;
use super::*;
use crate::limits::{BLOCK_PATIENCE, SOLVED_BLOCKS};

fn plain(status: u16, body: &str) -> Answer {
    Answer { status, body: body.as_bytes().to_vec() }
}

/// Says this in place of the node, to the first `times` calls of `method`.
fn say(
    method: &'static str,
    times: usize,
    what: impl Fn(&Value) -> Result<Answer, String> + 'static,
) -> Meddle {
    let mut left = times;
    Box::new(move |call, lane| {
        if call["method"] != method || lane == Lane::Longpoll || left == 0 {
            return None;
        }
        left -= 1;
        Some(Meddled::Say(what(&call["id"])))
    })
}

#[test]
fn a_node_that_gives_no_work_says_why_and_what_to_do() {
    type Said = Box<dyn Fn(&Value) -> Result<Answer, String>>;
    let fails =
        |code, message: &'static str| -> Said { Box::new(move |id| Ok(error(id, code, message))) };
    let http = |status, body: &'static str| -> Said { Box::new(move |_| Ok(plain(status, body))) };
    let cases: [(Said, Remedy, &str); 21] = [
        (Box::new(|_| Err("connection refused".to_owned())), Remedy::Retry, "connection refused"),
        (http(401, ""), Remedy::User, "cookie"),
        (http(401, "{\"error\":{\"type\":\"Error\",\"code\":\"x\"}}"), Remedy::User, "cookie"),
        (http(403, ""), Remedy::User, "rpcallowip"),
        (http(404, ""), Remedy::User, "without one"),
        (http(503, "Work queue depth exceeded"), Remedy::Retry, "rpcworkqueue"),
        (http(200, ""), Remedy::Retry, "no JSON-RPC"),
        (http(200, "<html>hello</html>"), Remedy::Retry, "<html>hello</html>"),
        (http(200, "{}"), Remedy::Retry, "neither result nor error"),
        (http(200, "{\"result\":null,\"id\":null}"), Remedy::Retry, "another request"),
        (http(200, "[1]"), Remedy::Retry, "makes no sense"),
        (http(200, "{\"result\":7,\"error\":null,\"id\":1}"), Remedy::Retry, "makes no sense"),
        (http(500, "{\"result\":null,\"error\":7}"), Remedy::Retry, "makes no sense"),
        (http(302, "moved"), Remedy::Retry, "HTTP 302"),
        (
            fails(-8, "getblocktemplate must be called with the quantum rule set"),
            Remedy::User,
            "quantum",
        ),
        (fails(-9, "Bitcoin Core is not connected!"), Remedy::Retry, "no peers"),
        (
            fails(-10, "Bitcoin Core is in initial sync and waiting for blocks..."),
            Remedy::Retry,
            "still downloading blocks: Bitcoin Core is in initial sync and waiting for blocks... (error -10); \
            mining begins when it is up to date (block 572 of 572)",
        ),
        (fails(-28, "Loading block index…"), Remedy::Retry, "starting"),
        (fails(-32601, "Method not found"), Remedy::User, "does not know the call"),
        (fails(-18, "Requested wallet does not exist"), Remedy::User, "wallet"),
        (fails(-1, "CreateNewBlock: boom"), Remedy::Retry, "CreateNewBlock: boom (error -1)"),
    ];
    for (said, remedy, words) in cases {
        let mut world = World::new(settings());
        world.meddle = Some(say("getblocktemplate", 1, said));
        world.connect();
        assert_eq!((world.downs.len(), world.works.len(), world.readies), (1, 0, 0), "{words}");
        let down = &world.downs[0];
        assert!(down.why.contains(words), "{down}");
        assert_eq!(down.remedy, remedy, "{down}");
        assert!(!down.why.contains('\u{1b}') && down.why.chars().count() < 500);
        let asked = world.asked.len();
        world.run(100 * SECOND);
        assert_eq!(world.asked.len(), asked, "it waits for the next connection");
        world.connect();
        assert_eq!((world.works.len(), world.readies), (1, 1));
    }
}

#[test]
fn a_body_of_any_size_gives_a_short_message() {
    for body in
        ["x".repeat(1 << 20), "[".repeat(1 << 20), format!("{{\"result\":{}}}", "[".repeat(1000))]
    {
        let mut world = World::new(settings());
        world.meddle = Some(say("getblocktemplate", 1, move |_| Ok(plain(200, &body))));
        world.connect();
        assert!(world.downs[0].why.len() < 500, "{}", world.downs[0]);
    }
    let mut world = World::new(settings());
    let long = Answer { status: 200, body: vec![b' '; crate::limits::NODE_ANSWER + 1] };
    world.meddle = Some(say("getblocktemplate", 1, move |_| Ok(long.clone())));
    world.connect();
    assert!(world.downs[0].why.contains("too long"));
}

#[test]
fn a_node_without_a_name_for_its_chain_is_believed_to_be_on_the_addresss() {
    for said in [plain(403, ""), error(&json!(0), -32601, "Method not found")] {
        let mut world = World::new(settings());
        let (sender, rules) = channel();
        world.meddle = Some(Box::new(move |call, _| {
            sender.send(call["params"][0]["rules"].clone()).unwrap();
            (call["method"] == "getblockchaininfo").then(|| Meddled::Say(Ok(said.clone())))
        }));
        world.connect();
        let ticket = world.find();
        assert_eq!(world.verdict(ticket), Some(Verdict::Accepted));
        assert_eq!(world.disk[0].chain, Chain::Regtest);
        assert_eq!(rules.iter().nth(1).unwrap(), json!(["segwit", "signet"]));
    }
}

#[test]
fn a_chain_that_was_guessed_gives_way_to_the_one_that_the_node_names() {
    let payout = parse_address("mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJRfn", None).unwrap();
    let mut world = World::new(Settings { payout, ..settings() });
    world.meddle = Some(say("getblockchaininfo", 1, |_| Ok(plain(403, ""))));
    world.connect();
    world.connect();
    assert_eq!((world.downs.len(), world.works.len()), (0, 2));
    world.find();
    assert_eq!(world.disk[0].chain, Chain::Regtest);
}

#[test]
fn an_address_of_another_chain_and_an_unknown_chain_are_refused() {
    let down = |chain| {
        let mut world = World::new(settings());
        world.node.chain = chain;
        world.connect();
        assert!(world.works.is_empty());
        assert_eq!(world.downs[0].remedy, Remedy::User);
        world.downs[0].why.clone()
    };
    let why = down("main");
    assert!(why.contains("is an address of regtest, but the chain is main"), "{why}");
    assert!(why.ends_with("give one that starts with bc1…, 1… or 3…"), "{why}");
    assert!(down("signet").contains("tb1…"));
    assert!(down("simnet").contains("\"simnet\" is no chain that adit knows"));
}

#[test]
fn a_node_that_restarts_on_another_chain_gets_nothing() {
    let payout = parse_address("mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJRfn", None).unwrap();
    let mut world = World::new(Settings { payout, ..settings() });
    world.connect();
    world.meddle = Some(say("submitblock", usize::MAX, |_| Err("connection refused".to_owned())));
    let ticket = world.find();
    world.meddle = None;
    world.client.disconnected();
    world.node.chain = "signet";
    world.connect();
    assert_eq!(world.downs[0].remedy, Remedy::User);
    assert!(world.downs[0].why.contains("is on signet now, but this run began on regtest"));
    assert_eq!(world.works.len(), 1);
    world.node.chain = "regtest";
    world.connect();
    world.run(2 * SECOND);
    assert_eq!(world.verdict(ticket), Some(Verdict::Accepted));
}

#[test]
fn a_node_that_restarts_with_other_data_is_noticed() {
    let mut world = World::mining();
    for _ in 0..3 {
        world.find();
    }
    world.client.disconnected();
    world.node = world::Node::new();
    world.connect();
    assert!(world.heard("the node went back from height 576 to 573"));
    let work = world.works.last().unwrap();
    assert_eq!((work.height, work.clean), (Some(573), true));
    // We had a block on that tip once; the node wants one again.
    let ticket = world.find();
    assert_eq!(world.verdict(ticket), Some(Verdict::Accepted));
}

/// Each field of the template and of a transaction, damaged in each way, comes in the middle of mining.
#[test]
fn a_template_that_makes_no_sense_changes_nothing() {
    let damaged = [Value::Null, json!(-1), json!("zz"), json!([7]), json!({"a": []}), json!(1e300)];
    let fields = [
        "version",
        "previousblockhash",
        "transactions",
        "coinbasevalue",
        "curtime",
        "bits",
        "height",
        "target",
        "rules",
        "default_witness_commitment",
    ];
    for field in fields {
        for value in &damaged {
            let mut template = sample::empty_template();
            template[field] = value.clone();
            if Template::parse(template.to_string().as_bytes()).is_ok() {
                continue;
            }
            let mut world = World::mining();
            let share = mine(world.job(), 0);
            world.meddle = Some(say("getblocktemplate", 1, move |id| Ok(answer(id, &template))));
            world.run(30 * SECOND);
            assert_eq!((world.downs.len(), world.works.len()), (1, 1), "{field}: {value}");
            let why = &world.downs[0].why;
            assert!(
                ["sense", "template", "coinbasevalue"].iter().any(|word| why.contains(word)),
                "{why}"
            );
            // The job before is as good as ever.
            let ticket = world.submit(&share);
            world.settle();
            assert_eq!(world.verdict(ticket), Some(Verdict::Accepted), "{field}: {value}");
            world.connect();
            assert_eq!(world.works.last().unwrap().height, Some(574));
        }
    }
}

#[test]
fn a_hiccup_does_not_stop_the_work_and_three_do() {
    for said in [Err("timed out".to_owned()), Ok(plain(503, "Work queue depth exceeded"))] {
        for (times, downs) in [(2, 0), (3, 1)] {
            let mut world = World::mining();
            let said = said.clone();
            world.meddle = Some(say("getblocktemplate", times, move |_| said.clone()));
            world.run(35 * SECOND);
            assert_eq!((world.downs.len(), world.said.len()), (downs, 2));
            assert_eq!(world.works.len(), 2 - downs);
        }
    }
}

#[test]
fn a_long_poll_that_is_cut_shows_at_once_that_the_node_is_gone() {
    let mut world = World::mining();
    world.run(5 * SECOND);
    world.meddle = Some(Box::new(|_, _| Some(Meddled::Say(Err("connection refused".to_owned())))));
    let longpoll = u64::try_from(world.asked.len() - 1).unwrap();
    world.client.respond(longpoll, &Err("connection reset".to_owned()), world.now);
    world.run(3 * SECOND);
    assert_eq!(world.downs.len(), 1);
    assert_eq!(world.downs[0].remedy, Remedy::Retry);
}

#[test]
fn every_final_answer_to_a_block_is_a_verdict() {
    use Verdict::{Accepted, Rejected, Stale};
    for (words, verdict) in [
        (Value::Null, Accepted),
        (json!("duplicate"), Accepted),
        (json!("rejected: duplicate"), Accepted),
        (json!("high-hash"), Rejected),
        (json!("rejected: high-hash"), Rejected),
        (json!("bad-cb-height"), Rejected),
        (json!("bad-txnmrklroot"), Rejected),
        (json!("duplicate-invalid"), Rejected),
        (json!("time-too-old"), Rejected),
        (json!("rejected"), Rejected),
        (json!(""), Rejected),
        (json!("x".repeat(1000)), Rejected),
        (json!("bad-prevblk"), Stale),
        (json!("rejected: bad-prevblk"), Stale),
        (json!("stale-prevblk"), Stale),
        (json!("inconclusive-not-best-prevblk"), Stale),
    ] {
        let mut world = World::mining();
        let said = words.clone();
        world.meddle = Some(say("submitblock", usize::MAX, move |id| Ok(answer(id, &said))));
        let ticket = world.find();
        assert_eq!(world.verdict(ticket), Some(verdict), "{words}");
        let shown = &world.verdicts[&ticket][0].1;
        if verdict != Accepted {
            assert_eq!(*shown, words.as_str().unwrap().chars().take(200).collect::<String>());
        }
        assert_eq!((world.answers.len(), world.count("submitblock")), (1, 1), "{words}");
        world.run(20 * SECOND);
        assert_eq!(world.count("submitblock"), 1);
        assert!(world.downs.is_empty());
        assert_eq!(world.works.len(), 2, "work goes on, since the node still wants a block there");
    }
    let mut world = World::mining();
    world.meddle = Some(say("submitblock", 1, |id| Ok(error(id, -22, "Block decode failed"))));
    let ticket = world.find();
    assert_eq!(world.verdict(ticket), Some(Rejected));
}

#[test]
fn after_a_refused_block_five_seconds_pass_before_the_next_template() {
    let mut world = World::mining();
    world.meddle =
        Some(say("submitblock", usize::MAX, |id| Ok(answer(id, &json!("bad-cb-amount")))));
    let ticket = world.find();
    assert_eq!(world.verdict(ticket), Some(Verdict::Rejected));
    world.run(4 * SECOND);
    assert_eq!(world.works.len(), 1);
    world.run(SECOND);
    assert_eq!(world.works.len(), 2);
}

#[test]
fn an_answer_that_is_not_final_keeps_the_block_going_until_one_is() {
    type Said = fn(&Value) -> Result<Answer, String>;
    let cases: [Said; 13] = [
        |_| Err("connection refused".to_owned()),
        |_| Err("timed out".to_owned()),
        |_| Ok(plain(401, "")),
        |_| Ok(plain(403, "")),
        |_| Ok(plain(404, "nothing here")),
        |_| Ok(plain(503, "Work queue depth exceeded")),
        |_| Ok(plain(500, "")),
        |_| Ok(plain(200, "{}")),
        |_| Ok(plain(200, "<html>")),
        |id| Ok(error(id, -28, "Verifying blocks…")),
        |id| Ok(error(id, -25, "disk full")),
        |id| Ok(answer(id, &json!("prev-blk-not-found"))),
        |id| Ok(answer(id, &json!("time-too-new"))),
    ];
    for (index, said) in cases.into_iter().enumerate() {
        let mut world = World::mining();
        world.meddle = Some(say("submitblock", 20, said));
        let ticket = world.find();
        world.run(100 * SECOND);
        assert_eq!((world.verdict(ticket), world.answers.len()), (None, 0), "case {index}");
        assert!(world.heard("is not with the node yet"), "case {index}");
        assert_eq!(world.works.len(), 1, "nothing else is mined on the same tip");
        world.run(100 * SECOND);
        assert_eq!(world.verdict(ticket), Some(Verdict::Accepted), "case {index}");
        assert_eq!(world.count("submitblock"), 21);
        assert_eq!(world.works.last().unwrap().height, Some(574));
    }
}

#[test]
fn a_block_is_tried_fifty_times_in_ten_minutes_and_then_on() {
    let mut world = World::mining();
    world.meddle = Some(Box::new(|_, _| Some(Meddled::Say(Err("connection refused".to_owned())))));
    let ticket = world.find();
    world.run(599 * SECOND);
    assert_eq!(world.verdict(ticket), None);
    world.run(SECOND);
    assert_eq!(world.verdict(ticket), Some(Verdict::Expired));
    let tries = world.count("submitblock");
    assert!((50..80).contains(&tries), "{tries}");
    assert!(world.heard("it is on disk and is given to the node again"));
    world.run(3600 * SECOND);
    let more = world.count("submitblock") - tries;
    assert!((59..=61).contains(&more), "{more} in an hour");
    assert!(world.answers.is_empty());

    world.meddle = None;
    world.run(60 * SECOND);
    assert_eq!(world.answers.len(), 1);
    assert!(world.heard("is in the chain"));
    assert_eq!(world.verdict(ticket), Some(Verdict::Expired), "the first verdict counts");
}

#[test]
fn a_node_that_hangs_gets_its_fifty_tries_however_long_they_take() {
    let mut world = World::mining();
    world.meddle =
        Some(Box::new(|call, _| (call["method"] == "submitblock").then_some(Meddled::Vanish)));
    let ticket = world.find();
    world.run(1800 * SECOND);
    assert_eq!(world.verdict(ticket), None);
    world.run(4000 * SECOND);
    assert_eq!(world.verdict(ticket), Some(Verdict::Expired));
    let asked: Vec<_> = world.asked.iter().filter(|(method, _)| method == "submitblock").collect();
    assert!(asked[BLOCK_PATIENCE.1 as usize - 1].1 > asked[0].1 + BLOCK_PATIENCE.0);
}

#[test]
fn a_block_whose_answer_is_lost_is_accepted_as_a_duplicate() {
    let mut world = World::mining();
    let mut cut = false;
    world.meddle = Some(Box::new(move |call, _| {
        let cuts = call["method"] == "submitblock" && !cut;
        cut |= cuts;
        cuts.then_some(Meddled::Cut)
    }));
    let ticket = world.find();
    assert_eq!(world.verdict(ticket), None);
    assert_eq!(world.works.last().unwrap().height, Some(574), "the node has it");
    world.run(SECOND);
    assert_eq!(world.verdict(ticket), Some(Verdict::Accepted));
    assert!(world.verdicts[&ticket][0].1.starts_with("duplicate"));
}

#[test]
fn a_node_that_restarts_in_the_middle_gets_the_block_when_it_is_back() {
    let mut world = World::mining();
    world.meddle = Some(Box::new(|_, _| Some(Meddled::Say(Err("connection refused".to_owned())))));
    let ticket = world.find();
    world.run(40 * SECOND);
    // Nothing is worked on, so the first failure is enough.
    assert_eq!((world.downs.len(), world.downs[0].remedy), (1, Remedy::Retry));
    world.client.disconnected();
    world.meddle =
        Some(say("getblockchaininfo", 1, |id| Ok(error(id, -28, "Loading block index…"))));
    world.connect();
    assert_eq!(world.downs.len(), 2);
    world.run(10 * SECOND);
    assert_eq!(world.verdict(ticket), Some(Verdict::Accepted), "also without a connection");
    world.connect();
    let work = world.works.last().unwrap();
    assert_eq!((work.height, work.clean, world.readies), (Some(574), true, 2));
}

#[test]
fn shares_without_an_answer_expire_at_the_end_of_the_run() {
    let mut world = World::mining();
    world.meddle = Some(say("submitblock", usize::MAX, |_| Err("connection refused".to_owned())));
    let ticket = world.find();
    world.client.end();
    world.settle();
    assert_eq!(world.verdict(ticket), Some(Verdict::Expired));
    assert!(world.answers.is_empty(), "the next run tries again");
    world.client.end();
    world.settle();
    assert_eq!(world.verdict(ticket), Some(Verdict::Expired));
}

#[test]
fn a_block_of_an_earlier_run_is_given_to_the_node_before_its_tip_is_mined() {
    let mut earlier = World::mining();
    earlier.stores = false;
    earlier.find();
    let stored = earlier.disk.remove(0);

    let mut world = World::new(settings());
    world.client.recover(stored.clone(), world.now);
    world.client.recover(stored.clone(), world.now);
    world.settle();
    assert!(world.asked.is_empty(), "the chain is not known yet");
    world.connect();
    let asked: Vec<&str> = world.asked.iter().map(|(method, _)| method.as_str()).collect();
    assert_eq!(asked[..2], ["getblockchaininfo", "submitblock"]);
    assert_eq!(world.node.tip, stored.hash);
    assert!(world.answers[&stored.hash].starts_with("accepted"));
    assert_eq!((world.works.len(), world.works[0].height), (1, Some(574)));
    assert!(world.verdicts.is_empty() && world.disk.is_empty());

    // What is not that block, or not of that chain, stays where it is.
    let mut world = World::mining();
    let asked = world.asked.len();
    let cut = SolvedBlock { bytes: stored.bytes[1..].to_vec(), ..stored.clone() };
    let empty = SolvedBlock { bytes: Vec::new(), ..stored.clone() };
    let other = SolvedBlock { chain: Chain::Main, ..stored };
    for block in [cut, empty, other] {
        world.client.recover(block, world.now);
    }
    world.settle();
    assert_eq!((world.asked.len(), world.answers.len(), world.said.len()), (asked, 0, 3));
    assert!(world.heard("is one of main, but this node's chain is regtest"));
}

#[test]
fn more_solved_blocks_than_can_wait_stay_on_disk() {
    let mut earlier = World::mining();
    earlier.stores = false;
    let mut blocks = Vec::new();
    for _ in 0..SOLVED_BLOCKS + 3 {
        earlier.find();
        blocks.push(earlier.disk.remove(0));
        earlier.node.foreign_block();
        earlier.run(SECOND);
    }
    let mut world = World::new(settings());
    world.meddle = Some(say("submitblock", usize::MAX, |_| Err("connection refused".to_owned())));
    for block in blocks {
        world.client.recover(block, world.now);
    }
    world.connect();
    assert_eq!(world.count("submitblock"), SOLVED_BLOCKS);
    // A block of this run has a place all the same.
    let ticket = world.find();
    world.meddle = None;
    world.run(30 * SECOND);
    assert_eq!(world.verdict(ticket), Some(Verdict::Accepted));
}

/// Faults of all kinds, drawn at random: every share has one verdict, every block is submitted until its final
/// answer, and every block that was given to the node is whole.
#[test]
fn whatever_the_node_does_each_block_has_one_verdict_and_each_answer_is_final() {
    let mut totals = [0; 6];
    for seed in 0..150 {
        let (world, counts) = soaked(seed);
        for (total, count) in totals.iter_mut().zip(counts) {
            *total += count;
        }
        let verdicts: Vec<Verdict> =
            world.verdicts.keys().map(|ticket| world.verdict(*ticket).unwrap()).collect();
        assert_eq!(verdicts.len(), counts[5], "seed {seed}");
        for stored in &world.disk {
            assert!(world.answers.contains_key(&stored.hash), "seed {seed}: {}", stored.hash);
            let block = block(stored);
            assert!(block.check_merkle_root() && block.check_witness_commitment());
        }
        let on_disk: Vec<_> = world.disk.iter().filter_map(|stored| stored.ticket).collect();
        let accepted: Vec<_> = world
            .verdicts
            .keys()
            .filter(|ticket| world.verdict(**ticket) == Some(Verdict::Accepted))
            .collect();
        assert!(accepted.iter().all(|ticket| on_disk.contains(ticket)));
        totals[4] += accepted.len();
    }
    assert!(totals.iter().all(|total| *total > 100), "each fault happened: {totals:?}");
}

/// Half an hour with faults, then an hour without.
fn soaked(seed: u64) -> (World, [usize; 6]) {
    let mut world = World::new(Settings { propose: seed.is_multiple_of(3), ..settings() });
    let (sender, faults) = channel();
    let mut random = Rng::with_seed(seed);
    world.meddle = Some(Box::new(move |call, lane| {
        let fault = random.usize(0..12);
        let meddled = match fault {
            0 => Meddled::Cut,
            1 => Meddled::Late(random.u32(1..70) * SECOND),
            2 => Meddled::Say(Err("connection refused".to_owned())),
            3 if lane != Lane::Longpoll => {
                let answers =
                    [plain(401, ""), plain(503, "busy"), plain(500, ""), plain(200, "<html>")];
                let starting = error(&call["id"], -28, "Verifying blocks…");
                let last = random.usize(0..5);
                Meddled::Say(Ok(answers.get(last).cloned().unwrap_or(starting)))
            }
            4 if random.bool() => Meddled::Vanish,
            _ => return None,
        };
        sender.send(fault).unwrap();
        Some(meddled)
    }));
    let mut random = Rng::with_seed(!seed);
    let mut shares = 0;
    world.connect();
    for _ in 0..120 {
        world.run(random.u32(1..30) * SECOND);
        match random.u8(0..10) {
            0 => world.node.foreign_block(),
            1 => world.node.mempool += 1,
            2 => world.client.disconnected(),
            3 => world.node.sides_with_others = !world.node.sides_with_others,
            _ => {}
        }
        if random.bool() {
            world.connect();
        }
        if !world.works.is_empty() && random.u8(0..3) == 0 {
            let back = random.usize(0..world.works.len().min(3));
            let job = world.works[world.works.len() - 1 - back].job.clone();
            let share = mine(&job, random.usize(0..2));
            world.submit(&share);
            shares += 1;
        }
    }
    world.meddle = None;
    world.node.sides_with_others = false;
    world.connect();
    world.run(3600 * SECOND);
    let mut counts = [0; 6];
    for fault in faults.try_iter() {
        counts[fault] += 1;
    }
    counts[4] = 0;
    counts[5] = shares;
    (world, counts)
}
