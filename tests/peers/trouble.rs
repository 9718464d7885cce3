//! Sources that cannot be used, and one that comes back.

use std::thread;
use std::time::Duration;

use bitcoin::Network;
use serde_json::json;

use crate::block;
use crate::installed::peers;
use crate::miner::{Miner, Run};
use crate::node::{Chain, Node, PASSWORD, USER};
use crate::process::free_port;
use crate::solo::witness_address;

#[test]
fn a_node_may_restart_while_adit_mines_for_it() {
    let Some([core]) = peers("a_node_may_restart_while_adit_mines_for_it", ["core"]) else {
        return;
    };
    let mut node = Node::start(&core, Chain::Regtest, &[]);
    let payout = witness_address(Network::Regtest);
    let (url, cookie, address) = (node.url(), node.cookie(), payout.to_string());
    let arguments = ["--source", &url, "--cookie-file", cookie.to_str().unwrap()];
    let pay = ["--payout-address", &address, "--coinbase-tag", TAG];
    let more = ["--device", "cpu", "--blocks", "120"];
    let mut miner = Miner::start(&[&arguments[..], &pay, &more].concat(), None);

    miner.process().wait_until("the tenth block", || node.rpc.height() >= 10);
    let before = node.rpc.height();
    node.stop();
    // Long enough for adit to notice, and to find what it cannot submit.
    thread::sleep(Duration::from_secs(3));
    // With a new cookie.
    node.resume();
    miner.process().wait_until("a block after that", || node.rpc.height() > before);

    let run = miner.end().done();
    assert_eq!(run.count("pending"), 0, "{run:?}");
    assert_eq!(run.count("expired"), 0, "{run:?}");
    let height = node.rpc.height();
    assert_eq!(height, run.count("blocks"), "{run:?}");
    for height in 1..=height {
        block::check(&node.rpc.block(height), height, &payout.script_pubkey());
        assert!(block::has_tag(&node.rpc.block(height), TAG));
    }
}

#[test]
fn a_node_without_peers_or_behind_the_chain_gives_no_work() {
    let Some([core]) = peers("a_node_without_peers_or_behind_the_chain_gives_no_work", ["core"])
    else {
        return;
    };
    let bind = format!("-bind=127.0.0.1:{}", free_port());
    let node = Node::start_syncing(&core, Chain::Main, &[&bind, "-connect=0"]);
    mine(&node, Network::Bitcoin, USER, PASSWORD).refused(&["not connected"]);

    let connect = bind.replace("-bind", "-connect");
    let other = format!("-bind=127.0.0.1:{}", free_port());
    let mut peer = Node::start_syncing(&core, Chain::Main, &[&other, &connect]);
    peer.process().wait_until("a connection", || {
        node.rpc.call("getconnectioncount", json!([])).as_u64() > Some(0)
    });
    mine(&node, Network::Bitcoin, USER, PASSWORD).refused(&["sync"]);
}

#[test]
fn an_address_of_another_chain_is_not_paid() {
    let Some([core]) = peers("an_address_of_another_chain_is_not_paid", ["core"]) else { return };
    let node = Node::start(&core, Chain::Regtest, &[]);
    let why = ["the chain is regtest", "bcrt1"];
    mine(&node, Network::Bitcoin, USER, PASSWORD).refused(&why);
    mine(&node, Network::Signet, USER, PASSWORD).refused(&why);
    assert_eq!(node.rpc.height(), 0);
}

#[test]
fn a_node_refuses_a_wrong_password() {
    let Some([core]) = peers("a_node_refuses_a_wrong_password", ["core"]) else { return };
    let node = Node::start(&core, Chain::Regtest, &[]);
    mine(&node, Network::Regtest, USER, "guessed").refused(&["password"]);
    assert_eq!(node.rpc.height(), 0);
}

#[test]
fn a_closed_port_and_a_host_that_is_not_there_are_named() {
    let test = "a_closed_port_and_a_host_that_is_not_there_are_named";
    let Some([]) = peers(test, []) else { return };
    let closed = format!("127.0.0.1:{}", free_port());
    for host in [closed.as_str(), "nowhere.invalid:3333"] {
        let source = format!("stratum+tcp://peer.1@{host}");
        let arguments = ["--source", &source, "--device", "cpu", "--once"];
        Miner::start(&arguments, None).end().refused(&[host]);
    }
}

const TAG: &str = "/restarted/";

/// Tries once.
fn mine(node: &Node, network: Network, user: &str, password: &str) -> Run {
    let (url, payout) = (node.url(), witness_address(network).to_string());
    let arguments = ["--source", &url, "--payout-address", &payout, "--user", user];
    let more = ["--device", "cpu", "--blocks", "1", "--once"];
    Miner::start(&[&arguments[..], &more].concat(), Some(password)).end()
}
