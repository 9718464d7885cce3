mod faults;
mod world;

use std::time::Duration;

use serde_json::{Value, json};

use self::world::{Meddled, START, World, answer, block, error, mine, settings};
use super::*;
use crate::chain::payout::parse_address;
use crate::chain::{self, VERSION_ROLLING_MASK};
use crate::source::Remedy;
use crate::work::{Hit, Verdict};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn the_chain_is_asked_for_first_then_a_template_then_a_long_poll() {
    let world = World::mining();
    let asked: Vec<&str> = world.asked.iter().map(|(method, _)| method.as_str()).collect();
    assert_eq!(asked, ["getblockchaininfo", "getblocktemplate", "getblocktemplate"]);
    let work = &world.works[0];
    assert_eq!((world.readies, work.clean, work.height), (1, true, Some(573)));
    assert_eq!(work.job.id.source, SourceId(3));
    assert_eq!(work.block_target, work.job.target);
    let coinbase = work.coinbase.as_ref().unwrap();
    assert_eq!((coinbase.height, coinbase.total().to_sat()), (Some(573), 625_000_000));
    assert!(coinbase.tag.contains("/adit/"));
    assert_eq!(coinbase.outputs[0].address(Chain::Regtest), Some(settings().payout.address));
    let first = work.job.rolls.header(0);
    assert_eq!(u64::from(first.time), START);
    assert_eq!(first.prev_blockhash, world.node.tip);
}

#[test]
fn a_signet_is_asked_by_its_rule() {
    let rules = |chain: &'static str| {
        let payout = "tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx";
        let payout = parse_address(payout, None).unwrap();
        let mut world = World::new(Settings { payout, ..settings() });
        world.node.chain = chain;
        let (sender, seen) = std::sync::mpsc::channel();
        world.meddle = Some(Box::new(move |call, _| {
            sender.send(call["params"][0]["rules"].clone()).unwrap();
            None
        }));
        world.connect();
        seen.iter().nth(1).unwrap()
    };
    assert_eq!(rules("signet"), json!(["segwit", "signet"]));
    assert_eq!(rules("test"), json!(["segwit"]));
    assert_eq!(rules("testnet4"), json!(["segwit"]));
}

#[test]
fn a_share_is_stored_before_it_is_given_to_the_node_and_then_the_next_tip_is_mined() {
    let mut world = World::mining();
    world.stores = false;
    let ticket = world.find();
    assert_eq!((world.disk.len(), world.count("submitblock")), (1, 0));
    world.run(30 * SECOND);
    assert_eq!((world.verdict(ticket), world.count("submitblock")), (None, 0));
    assert_eq!(world.no_work.len(), 1);

    let stored = world.disk[0].clone();
    assert_eq!((stored.height, stored.chain, stored.ticket), (573, Chain::Regtest, Some(ticket)));
    world.client.stored(stored.hash, world.now);
    world.settle();
    assert_eq!(world.verdict(ticket), Some(Verdict::Accepted));
    assert_eq!(world.node.tip, stored.hash);
    assert_eq!(world.answers[&stored.hash], "accepted: accepted by the node");
    assert!(world.heard(&format!("block 573 {} is in the chain", stored.hash)));
    let next = world.works.last().unwrap();
    assert_eq!((next.height, next.clean), (Some(574), true));
    assert_eq!(next.job.rolls.header(0).prev_blockhash, stored.hash);
}

#[test]
fn a_hundred_blocks_follow_each_other_each_judged_by_the_bitcoin_crate() {
    let mut world = World::mining();
    let tickets: Vec<_> = (0..100).map(|_| world.find()).collect();
    assert!(tickets.iter().all(|ticket| world.verdict(*ticket) == Some(Verdict::Accepted)));
    assert_eq!((world.node.height(), world.disk.len(), world.answers.len()), (672, 100, 100));
    for stored in &world.disk {
        let block = block(stored);
        assert!(block.check_merkle_root() && block.check_witness_commitment());
        assert_eq!(block.bip34_block_height().unwrap(), u64::from(stored.height));
        let coinbase = &block.txdata[0];
        assert_eq!(coinbase.output[0].script_pubkey, settings().payout.script);
        assert_eq!(coinbase.output[0].value, chain::subsidy(stored.height, 150));
        assert_eq!(coinbase.lock_time.to_consensus_u32(), stored.height - 1);
    }
}

#[test]
fn one_block_of_a_tip_is_enough() {
    let mut world = World::mining();
    world.stores = false;
    let shares: Vec<_> = (0..3).map(|skipped| mine(world.job(), skipped)).collect();
    let first = world.submit(&shares[0]);
    let others = [0, 1, 2].map(|index| world.submit(&shares[index]));
    world.settle();
    let verdicts = others.map(|ticket| world.verdict(ticket).unwrap());
    assert_eq!(verdicts, [Verdict::Duplicate, Verdict::Stale, Verdict::Stale]);
    assert_eq!((world.verdict(first), world.disk.len()), (None, 1));
    world.client.stored(shares[0].hash, world.now);
    world.settle();
    let late = world.submit(&shares[1]);
    world.settle();
    assert_eq!(world.verdict(first), Some(Verdict::Accepted));
    assert_eq!(world.verdict(late), Some(Verdict::Stale));
    assert_eq!(world.count("submitblock"), 1);
}

#[test]
fn shares_that_do_not_fit_their_job_go_nowhere() {
    let mut world = World::mining();
    let good = mine(world.job(), 0);
    let mut wrong = vec![good; 6];
    wrong[0].header.time += 1;
    wrong[1].header.merkle_root = world.job().rolls.header(u32::MAX >> 8).merkle_root;
    wrong[2].number += 1;
    wrong[3].number = u32::MAX;
    wrong[4].hash = world.node.tip;
    wrong[5].header = (0..1000)
        .map(|nonce| world.job().header(Hit { header: good.number, nonce }))
        .find(|header| !chain::meets(&chain::block_hash(header), &world.job().target))
        .unwrap();
    wrong[5].hash = chain::block_hash(&wrong[5].header);
    for share in wrong {
        let ticket = world.submit(&share);
        world.settle();
        assert_eq!(world.verdict(ticket), Some(Verdict::Invalid), "{share:?}");
    }
    let mut unknown = good;
    unknown.job.serial += 1;
    let ticket = world.submit(&unknown);
    world.settle();
    assert_eq!(world.verdict(ticket), Some(Verdict::Stale));
    assert!(world.disk.is_empty());
    let ticket = world.submit(&good);
    world.settle();
    assert_eq!(world.verdict(ticket), Some(Verdict::Accepted));
}

#[test]
fn a_new_tip_is_mined_at_once_and_what_was_found_before_it_may_still_win() {
    let mut world = World::mining();
    let share = mine(world.job(), 0);
    world.run(7 * SECOND);
    world.node.foreign_block();
    world.settle();
    let work = world.works.last().unwrap();
    assert_eq!((work.height, work.clean), (Some(574), true));
    assert_eq!(work.job.rolls.header(0).prev_blockhash, world.node.tip);

    // The same height as the new tip: the node keeps the first it saw.
    let ticket = world.submit(&share);
    world.settle();
    assert!(world.heard("not in its chain (inconclusive)"));
    assert!(world.no_work.is_empty(), "the new tip is worked on meanwhile");
    world.run(300 * SECOND);
    assert_eq!(world.verdict(ticket), None);
    world.node.tip = share.hash;
    world.run(10 * SECOND);
    assert_eq!(world.verdict(ticket), Some(Verdict::Accepted));
    assert_eq!(world.count("submitblock"), 1);
}

#[test]
fn a_block_that_lost_is_stale_after_ten_minutes() {
    let mut world = World::mining();
    world.node.sides_with_others = true;
    let ticket = world.find();
    world.node.foreign_block();
    world.run(599 * SECOND);
    assert_eq!(world.verdict(ticket), None);
    world.run(2 * SECOND);
    assert_eq!(world.verdict(ticket), Some(Verdict::Stale));
    assert_eq!(world.answers.len(), 1);
    let looked = world.count("getblockheader");
    assert!((50..100).contains(&looked), "{looked}");
    world.run(600 * SECOND);
    assert_eq!(world.count("getblockheader"), looked, "that was final");
}

#[test]
fn the_same_tip_gives_a_new_job_only_when_the_old_one_is_old() {
    let mut world = World::mining();
    // New transactions each second, as long polls tell.
    for _ in 0..29 {
        world.run(SECOND);
        world.node.mempool += 1;
        world.settle();
    }
    assert_eq!(world.works.len(), 1);
    world.run(SECOND);
    assert_eq!(world.works.len(), 2);
    assert!(!world.works[1].clean);
    assert_eq!(u64::from(world.job().rolls.header(0).time), START + 30);
    world.run(300 * SECOND);
    assert_eq!(world.works.len(), 12, "one in 30 s");
    assert_eq!(world.readies, 1);
    // A share of the job before counts all the same: it has the same tip.
    let before = world.works[10].job.clone();
    let ticket = world.submit(&mine(&before, 0));
    world.settle();
    assert_eq!(world.verdict(ticket), Some(Verdict::Accepted));
}

#[test]
fn an_easier_target_on_the_same_tip_is_taken_at_once() {
    let mut world = World::mining();
    world.node.template =
        vec![("bits", json!("207ffffe")), ("target", json!(format!("7ffffe{}", "00".repeat(29))))];
    world.node.mempool += 1;
    world.settle();
    world.run(SECOND);
    assert_eq!(world.works.len(), 2);
    assert!(!world.works[1].clean);
}

#[test]
fn a_node_that_answers_long_polls_at_once_is_asked_four_times_a_second() {
    let mut world = World::mining();
    world.meddle = Some(Box::new(|call, lane| {
        // As if it knew no long polls: an id that is never current.
        let mut template = sample::empty_template();
        template["longpollid"] = json!("x");
        (lane == Lane::Longpoll).then(|| Meddled::Say(Ok(answer(&call["id"], &template))))
    }));
    world.node.mempool += 1;
    world.run(10 * SECOND);
    let asked = world.count("getblocktemplate");
    assert!((38..=43).contains(&asked), "{asked}");
    assert_eq!(world.works.len(), 1);
}

#[test]
fn without_long_polls_a_new_tip_is_noticed_by_asking() {
    let mut world = World::new(settings());
    world.meddle = Some(Box::new(|call, lane| {
        let refused = error(&call["id"], -1, "longpoll is off");
        (lane == Lane::Longpoll).then_some(Meddled::Say(Ok(refused)))
    }));
    world.connect();
    world.run(100 * SECOND);
    assert!(world.heard("does not long-poll") && world.heard("every 30 s"));
    assert!(world.downs.is_empty());
    world.node.foreign_block();
    world.run(30 * SECOND);
    assert_eq!(world.works.last().unwrap().height, Some(574));
    let longpolls = world.asked.len() - world.count("getblockchaininfo");
    assert!(longpolls < 20, "{longpolls}");

    world.node.template = vec![("longpollid", Value::Null)];
    world.run(60 * SECOND);
    let asked = world.asked.len();
    world.run(300 * SECOND);
    assert_eq!(world.asked.len(), asked + 10, "a template that names no long poll asks for none");
}

#[test]
fn what_devices_exhaust_goes_on_with_other_headers_at_a_later_time() {
    let address = "tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx";
    let payout = parse_address(address, None).unwrap();
    let refresh = 10_000 * SECOND;
    for (chain, elapsed, expected) in [
        ("signet", 20, 20),
        ("signet", 9000, 7200),
        // There 20 minutes without a block make another target.
        ("testnet4", 20, 0),
    ] {
        let mut world = World::new(Settings { payout: payout.clone(), refresh, ..settings() });
        world.node.chain = chain;
        world.connect();
        world.run(elapsed * SECOND);
        let (job, first) = (world.job().id, world.job().rolls.header(0));
        world.client.exhausted(job, world.now);
        world.client.exhausted(job, world.now);
        world.settle();
        assert_eq!(world.works.len(), 2, "the second call named an old job");
        assert!(!world.works[1].clean);
        let second = world.job().rolls.header(0);
        assert_eq!(second.time - first.time, expected, "{chain}");
        assert_ne!(second.merkle_root, first.merkle_root);
        let ticket = world.find();
        assert_eq!(world.verdict(ticket), Some(Verdict::Accepted));
    }
}

#[test]
fn a_node_may_keep_its_time_to_itself() {
    let address = "tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx";
    let payout = parse_address(address, None).unwrap();
    let mut world = World::new(Settings { payout, ..settings() });
    world.node.chain = "signet";
    world.node.template = vec![("mutable", json!(["transactions"]))];
    world.connect();
    world.run(9 * SECOND);
    let first = world.job().rolls.header(0);
    world.client.exhausted(world.job().id, world.now);
    world.settle();
    assert_eq!(world.job().rolls.header(0).time, first.time);
    assert_eq!(world.works.len(), 2);
}

#[test]
fn miners_of_one_node_and_jobs_of_one_miner_have_no_header_in_common() {
    let roots = |seed| {
        let mut world = World::new(Settings { seed, ..settings() });
        world.connect();
        world.client.exhausted(world.job().id, world.now);
        world.settle();
        let per_roll = world.job().rolls.per_roll();
        let headers = world.works.iter().flat_map(move |work| {
            let rolls = work.job.rolls.clone();
            [0, 1, 65_534].map(move |extranonce| rolls.header(extranonce * per_roll))
        });
        headers.map(|header| header.merkle_root).collect::<Vec<_>>()
    };
    let all: std::collections::HashSet<_> =
        [roots(0), roots(1), roots(u32::MAX)].concat().into_iter().collect();
    assert_eq!(all.len(), 18);
}

#[test]
fn version_bits_roll_but_for_those_that_the_node_sets() {
    let mask = |version: u32, required: u32, wanted: u32| {
        let mut world = World::new(Settings { version_mask: wanted, ..settings() });
        world.node.template = vec![("version", json!(version)), ("vbrequired", json!(required))];
        world.connect();
        let rolls = &world.job().rolls;
        let own = bitcoin::block::Version::from_consensus(version.cast_signed());
        assert!(rolls.number_of(own).is_some(), "the node's own version is among them");
        assert!(rolls.all().len() > u64::from(u32::MAX >> 1), "the space is as large as can be");
        rolls.version_mask()
    };
    assert_eq!(mask(0x2000_0000, 0, u32::MAX), VERSION_ROLLING_MASK);
    assert_eq!(mask(0x2000_0000, 0, 0), 0);
    assert_eq!(mask(0x3000_0000, 1 << 13, u32::MAX), VERSION_ROLLING_MASK & !(1 << 28 | 1 << 13));
    // Unsigned, as bcoin writes it.
    assert_eq!(mask(0xffff_ffff, 0, u32::MAX), 0);
}

#[test]
fn a_proposal_comes_before_the_work() {
    let proposing = || World::new(Settings { propose: true, ..settings() });
    let say = |words: &'static str| {
        let mut world = proposing();
        world.meddle = Some(Box::new(move |call, _| {
            let is_proposal = call["params"][0]["mode"] == "proposal";
            is_proposal.then(|| Meddled::Say(Ok(answer(&call["id"], &json!(words)))))
        }));
        world.connect();
        world
    };
    let mut world = proposing();
    world.connect();
    assert_eq!((world.works.len(), world.count("getblocktemplate")), (1, 3));
    for height in 574..580 {
        let ticket = world.find();
        assert_eq!(world.verdict(ticket), Some(Verdict::Accepted));
        assert_eq!(world.works.last().unwrap().height, Some(height));
    }
    // bcoin says so, since the nonce is still to be found.
    assert_eq!(say("high-hash").works.len(), 1);

    let mut refused = say("bad-cb-amount");
    assert!(refused.works.is_empty() && refused.downs.is_empty());
    assert!(
        refused.heard("would refuse a block of its own template for height 573 (bad-cb-amount)")
    );
    refused.meddle = None;
    refused.run(5 * SECOND);
    assert_eq!(refused.works.len(), 1);

    // The tip moved between template and proposal.
    let mut world = proposing();
    let mut told = false;
    world.meddle = Some(Box::new(move |call, _| {
        let tells = call["params"][0]["mode"] == "proposal" && !told;
        told |= tells;
        let words = json!("inconclusive-not-best-prevblk");
        tells.then(|| Meddled::Say(Ok(answer(&call["id"], &words))))
    }));
    world.connect();
    assert_eq!((world.works.len(), world.said.len()), (1, 0));
}

#[test]
fn a_share_that_comes_while_its_tip_is_proposed_again_ends_the_work_on_it() {
    let mut world = World::new(Settings { propose: true, ..settings() });
    world.connect();
    world.stores = false;
    world.meddle = Some(Box::new(|call, _| {
        let is_proposal = call["params"][0]["mode"] == "proposal";
        is_proposal.then_some(Meddled::Late(5 * SECOND))
    }));
    world.run(31 * SECOND);
    let ticket = world.find();
    world.run(10 * SECOND);
    assert_eq!((world.works.len(), world.no_work.len(), world.verdict(ticket)), (1, 1, None));
}

#[test]
fn a_coinbase_that_breaks_the_users_rule_is_not_mined() {
    let rule = |text: &str| {
        let rule: PayoutRule = text.parse().unwrap();
        let mut world = World::new(Settings { require: Some(rule), ..settings() });
        world.connect();
        world
    };
    assert_eq!(rule(&format!("{}=100", settings().payout.address)).works.len(), 1);
    let other = rule("bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080");
    assert!(other.works.is_empty());
    assert_eq!(other.downs[0].remedy, Remedy::User);
    assert!(other.downs[0].why.starts_with("the coinbase pays 0 BTC of"), "{}", other.downs[0]);
}

#[test]
fn a_template_that_pays_otherwise_than_the_chain_does_is_told_once() {
    let mut world = World::new(settings());
    world.node.template = vec![("coinbasevalue", json!(1_000_000_000))];
    world.connect();
    world.run(100 * SECOND);
    assert!(world.heard("may pay 10 BTC, but subsidy and fees of height 573 make 6.25"));
    assert_eq!((world.said.len(), world.works.len()), (1, 4));
}

#[test]
fn a_late_answer_does_not_turn_the_chain_back() {
    let mut world = World::mining();
    let mut held = false;
    world.meddle = Some(Box::new(move |_, lane| {
        let is_first = lane == Lane::Poll && !held;
        held |= is_first;
        is_first.then_some(Meddled::Late(3 * SECOND))
    }));
    // The poll after 30 s takes the old tip with it, and the long poll brings the new one before.
    world.run(30 * SECOND);
    world.node.foreign_block();
    world.run(2 * SECOND);
    assert_eq!(world.works.last().unwrap().height, Some(574));
    let works = world.works.len();
    world.run(2 * SECOND);
    assert_eq!(world.works.len(), works);
    assert_eq!(world.works.last().unwrap().height, Some(574));
}
