//! Blocks for one's own node.

use bitcoin::hashes::Hash as _;
use bitcoin::{Address, Amount, Block, Network, PubkeyHash, ScriptBuf, ScriptHash, WPubkeyHash};
use serde_json::json;

use crate::bcoin::{self, Bcoin};
use crate::block;
use crate::installed::{adapter, peers, skip};
use crate::mempool;
use crate::miner::{Miner, Run};
use crate::node::{Chain, Node};

const TAG: &str = "/adit and its peers/";

#[test]
fn core_accepts_heights_1_to_20_of_a_fresh_chain() {
    let Some([core]) = peers("core_accepts_heights_1_to_20_of_a_fresh_chain", ["core"]) else {
        return;
    };
    let node = Node::start(&core, Chain::Regtest, &[]);
    let payout = witness_address(Network::Regtest);
    let run = mine(&node, &payout, &["--device", "cpu", "--blocks", "20"]).done();
    assert!(run.count("blocks") >= 20, "{run:?}");
    for block in accepted(&node, 0, &payout) {
        assert_eq!(block.txdata.len(), 1);
    }
    assert!(node.rpc.height() >= 20);
}

/// As after a crash between disk and answer: the node that the block is for does not have it.
#[test]
fn a_block_of_an_earlier_run_is_submitted_before_anything_is_mined() {
    let test = "a_block_of_an_earlier_run_is_submitted_before_anything_is_mined";
    let Some([core]) = peers(test, ["core"]) else { return };
    let payout = witness_address(Network::Regtest);
    let first = Node::start(&core, Chain::Regtest, &[]);
    mine(&first, &payout, &["--device", "cpu", "--blocks", "1"]).done();
    let hash = first.rpc.call("getblockhash", json!([1]));
    let block = first.rpc.call("getblock", json!([hash, 0]));

    let node = Node::start(&core, Chain::Regtest, &[]);
    let (url, cookie, address) = (node.url(), node.cookie(), payout.to_string());
    let arguments = ["--source", &url, "--cookie-file", cookie.to_str().unwrap()];
    let more = ["--payout-address", &address, "--device", "cpu", "--blocks", "1"];
    let kept = json!({
        "hash": hash, "height": 1, "chain": "regtest", "block": block, "answer": null
    });
    let miner = Miner::start_with(&[&arguments[..], &more].concat(), None, |state| {
        let folder = state.join("blocks");
        std::fs::create_dir_all(&folder).unwrap();
        let name = format!("{}.json", hash.as_str().unwrap());
        std::fs::write(folder.join(name), kept.to_string()).unwrap();
    });
    miner.end().done();
    assert_eq!(node.rpc.call("getblockhash", json!([1])), hash);
    assert!(node.rpc.height() >= 2, "mining goes on from there");
}

/// Blocks have room for five transactions each here, so that there are some for all.
#[test]
fn transactions_of_the_mempool_are_mined_and_their_fees_collected() {
    let test = "transactions_of_the_mempool_are_mined_and_their_fees_collected";
    let Some([core]) = peers(test, ["core"]) else { return };
    let room = format!("-blockmaxweight={}", RESERVED_WEIGHT + 5 * mempool::WEIGHT + 1);
    let node = Node::start(&core, Chain::Regtest, &[&room]);
    let fees = mempool::fill(&node, 100);
    let begin = node.rpc.height();
    let payout = script_address();
    let more = ["--device", "cpu", "--blocks", "20", "--propose"];
    let run = mine(&node, &payout, &more).done();
    assert_eq!(run.count("rejected"), 0, "{run:?}");

    let blocks = accepted(&node, begin, &payout);
    assert!(blocks.len() >= 20);
    for block in &blocks[..20] {
        assert_eq!(block.txdata.len(), 1 + 5);
        let collected: Amount = block.txdata[1..].iter().map(|tx| fees[&tx.compute_txid()]).sum();
        // Regtest halves the subsidy at height 150.
        assert_eq!(block::paid(block), Amount::from_int_btc(50) + collected);
    }
    assert_eq!(node.rpc.call("getrawmempool", json!([])), json!([]));
}

/// What Core keeps free for the coinbase.
const RESERVED_WEIGHT: u64 = 8000;

#[test]
fn a_graphics_adapter_finds_blocks_on_cores_signet() {
    let test = "a_graphics_adapter_finds_blocks_on_cores_signet";
    let Some(device) = adapter() else {
        return skip(test, "no graphics adapter was found");
    };
    let Some([core]) = peers(test, ["core"]) else { return };
    let node = Node::start(&core, Chain::Signet, &[]);
    let payout = legacy_address();
    let run = mine(&node, &payout, &["--device", device, "--blocks", "5"]).done();
    assert_eq!(run.count("rejected"), 0, "{run:?}");
    assert!(accepted(&node, 0, &payout).len() >= 5);
}

#[test]
fn bcoin_accepts_blocks_before_segwit_and_after() {
    let test = "bcoin_accepts_blocks_before_segwit_and_after";
    let Some([installed]) = peers(test, ["bcoin"]) else { return };
    let node = Bcoin::start(&installed);
    let payout = witness_address(Network::Regtest);
    for has_segwit in [false, true] {
        if has_segwit {
            node.generate_until(bcoin::SEGWIT - 1);
        }
        let begin = node.rpc.height();
        let (address, url) = (payout.to_string(), node.url());
        let mut arguments = vec!["--source", &url, "--payout-address", &address];
        arguments.extend(["--coinbase-tag", TAG, "--device", "cpu", "--blocks", "10"]);
        Miner::start(&arguments, Some(bcoin::PASSWORD)).end().done();
        let height = node.rpc.height();
        assert!(height >= begin + 10);
        for height in begin + 1..=height {
            let block = node.rpc.block(height);
            block::check(&block, height, &payout.script_pubkey());
            assert!(block::has_tag(&block, TAG));
            let coinbase = &block.txdata[0];
            assert_eq!(!coinbase.input[0].witness.is_empty(), has_segwit);
            assert_eq!(coinbase.output.len(), 1 + usize::from(has_segwit));
        }
    }
}

/// Mines for a node that lets in whoever has its cookie.
fn mine(node: &Node, payout: &Address, more: &[&str]) -> Run {
    let (url, cookie, payout) = (node.url(), node.cookie(), payout.to_string());
    let arguments = ["--source", &url, "--cookie-file", cookie.to_str().unwrap()];
    let pay = ["--payout-address", &payout, "--coinbase-tag", TAG];
    Miner::start(&[&arguments[..], &pay, more].concat(), None).end()
}

/// The blocks above a height, which must all be ours. The node's own reading must agree.
fn accepted(node: &Node, above: u64, payout: &Address) -> Vec<Block> {
    let blocks = (above + 1..=node.rpc.height()).map(|height| {
        let block = node.rpc.block(height);
        block::check(&block, height, &payout.script_pubkey());
        assert!(block::has_tag(&block, TAG));
        let told = node.rpc.call("getblock", json!([block.block_hash().to_string(), 2]));
        assert_eq!(told["height"], height);
        assert_eq!(told["tx"][0]["vout"][0]["scriptPubKey"]["address"], payout.to_string());
        block
    });
    blocks.collect()
}

/// Pay to a key's hash, in a witness.
pub(crate) fn witness_address(network: Network) -> Address {
    let script = ScriptBuf::new_p2wpkh(&WPubkeyHash::from_byte_array([0x11; 20]));
    Address::from_script(&script, network).unwrap()
}

/// Pay to a script's hash.
fn script_address() -> Address {
    Address::p2sh_from_hash(ScriptHash::from_byte_array([0x22; 20]), Network::Regtest)
}

/// Pay to a key's hash as in 2009. Signet and the testnets have the same prefixes.
fn legacy_address() -> Address {
    Address::p2pkh(PubkeyHash::from_byte_array([0x33; 20]), Network::Signet)
}
