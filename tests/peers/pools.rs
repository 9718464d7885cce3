//! Shares for pools.

use bitcoin::Network;

use crate::block;
use crate::foundation::{Foundation, REFUSED};
use crate::installed::{adapter, peers};
use crate::miner::{Miner, Run};
use crate::node::{Chain, Node};
use crate::solo::witness_address;
use crate::sv2::{self, Sv2};

const SHARES: u64 = 200;

#[test]
fn the_translator_and_the_pool_behind_it_accept_shares_and_find_blocks() {
    let test = "the_translator_and_the_pool_behind_it_accept_shares_and_find_blocks";
    let Some([core, pool, translator]) = peers(test, ["core", "pool", "translator"]) else {
        return;
    };
    let node = Node::start(&core, Chain::Signet, &[sv2::OPTION]);
    let payout = witness_address(Network::Signet);
    let chain = Sv2::start(&pool, &translator, &node, &payout);
    let source = format!("stratum+tcp://peer.1@127.0.0.1:{}", chain.port);
    let paid = payout.to_string();
    let device = adapter().unwrap_or("cpu");
    let run = mine(&source, &["--device", device, "--require-payout", &paid]).done();
    assert!(run.count("accepted") >= SHARES, "{run:?}");
    assert_eq!(run.count("rejected"), 0, "{run:?}");

    // A tenth of 200 shares on average: fewer than 3 come once in two million runs.
    let height = node.rpc.height();
    assert!(height >= 3, "{height}");
    let blocks = (1..=height).map(|height| node.rpc.block(height));
    let mut rolled = 0;
    for (height, block) in (1..).zip(blocks) {
        block::check(&block, height, &payout.script_pubkey());
        assert!(block::has_tag(&block, sv2::TAG));
        rolled |= block::rolled_bits(&block);
    }
    assert_ne!(rolled, 0);
}

#[test]
fn foundation_stratum_accepts_shares_plain_and_encrypted() {
    let test = "foundation_stratum_accepts_shares_plain_and_encrypted";
    let Some([core, foundation]) = peers(test, ["core", "foundation"]) else { return };
    let node = Node::start(&core, Chain::Regtest, &[]);
    let payout = witness_address(Network::Regtest);
    // It says "Network difficulty … is lower" since it is a block's on regtest.
    let pool = Foundation::start(&foundation, &node, &payout, 0.0001);
    let plain = format!("stratum+tcp://peer.1@127.0.0.1:{}", pool.plain);
    let tls = format!("stratum+tls://peer.1@127.0.0.1:{}", pool.tls);
    for (source, more) in [(&plain, &[][..]), (&tls, &["--tls-fingerprint", &pool.fingerprint])] {
        let begin = node.rpc.height();
        let run = mine(source, &[&["--device", "cpu"], more].concat()).done();
        assert!(run.count("accepted") >= SHARES, "{run:?}");
        // Each share is a block, and the job that follows makes those stale that come with it.
        let height = node.rpc.height();
        assert!(height > begin);
        for height in begin + 1..=height {
            block::check(&node.rpc.block(height), height, &payout.script_pubkey());
        }
    }
}

#[test]
fn a_pool_is_not_used_that_refuses_the_worker_or_cannot_prove_who_it_is() {
    let test = "a_pool_is_not_used_that_refuses_the_worker_or_cannot_prove_who_it_is";
    let Some([core, foundation]) = peers(test, ["core", "foundation"]) else { return };
    let node = Node::start(&core, Chain::Regtest, &[]);
    let pool = Foundation::start(&foundation, &node, &witness_address(Network::Regtest), 0.0001);
    let plain = format!("stratum+tcp://{REFUSED}@127.0.0.1:{}", pool.plain);
    mine(&plain, &["--device", "cpu", "--once"]).refused(&[REFUSED]);

    let tls = format!("stratum+tls://peer.1@127.0.0.1:{}", pool.tls);
    let others = "00".repeat(32);
    mine(&tls, &["--device", "cpu", "--once"]).refused(&["certificate", "--tls-fingerprint"]);
    let pin = ["--device", "cpu", "--once", "--tls-fingerprint", &others];
    mine(&tls, &pin).refused(&["fingerprint", &pool.fingerprint]);
    assert_eq!(node.rpc.height(), 0);
}

fn mine(source: &str, more: &[&str]) -> Run {
    let shares = SHARES.to_string();
    let arguments = ["--source", source, "--shares", &shares];
    Miner::start(&[&arguments, more].concat(), None).end()
}
