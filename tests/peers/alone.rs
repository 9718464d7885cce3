//! The peers without adit: that they run, and are as the tests with adit take them to be.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;

use bitcoin::{Network, Txid};
use serde_json::{Value, json};

use crate::bcoin::{self, Bcoin};
use crate::foundation::Foundation;
use crate::installed::peers;
use crate::mempool;
use crate::node::{Chain, Node};
use crate::process::LIMIT;
use crate::solo::witness_address;
use crate::sv2::{self, Sv2};

#[test]
fn core_has_a_template_with_transactions() {
    let Some([core]) = peers("core_has_a_template_with_transactions", ["core"]) else { return };
    let mut node = Node::start(&core, Chain::Regtest, &[]);
    let fees = mempool::fill(&node, 12);
    let template = node.rpc.call("getblocktemplate", json!([{ "rules": ["segwit"] }]));
    assert_eq!(template["height"], 103);
    let transactions = template["transactions"].as_array().unwrap();
    assert_eq!(transactions.len(), fees.len());
    for transaction in transactions {
        assert_ne!(transaction["txid"], transaction["hash"], "no witness");
        let id: Txid = transaction["txid"].as_str().unwrap().parse().unwrap();
        assert_eq!(transaction["fee"], fees[&id].to_sat());
    }
    // It remembers its chain when it comes back.
    node.stop();
    node.resume();
    assert_eq!(node.rpc.height(), 102);
}

#[test]
fn bcoin_has_a_template_before_segwit_and_after() {
    let test = "bcoin_has_a_template_before_segwit_and_after";
    let Some([installed]) = peers(test, ["bcoin"]) else { return };
    let node = Bcoin::start(&installed);
    let ask = || node.rpc.call("getblocktemplate", json!([{ "rules": ["segwit"] }]));
    let is_active = |template: &Value| {
        template["rules"].as_array().unwrap().iter().any(|rule| rule == "!segwit")
    };
    let before = ask();
    assert!(!is_active(&before));
    // It names a commitment before there may be one in a block.
    assert!(before["default_witness_commitment"].is_string());
    node.generate_until(bcoin::SEGWIT - 2);
    assert!(!is_active(&ask()));
    node.generate_until(bcoin::SEGWIT - 1);
    assert!(is_active(&ask()));
}

#[test]
fn the_translator_hands_out_jobs_of_the_pool() {
    let test = "the_translator_hands_out_jobs_of_the_pool";
    let Some([core, pool, translator]) = peers(test, ["core", "pool", "translator"]) else {
        return;
    };
    let node = Node::start(&core, Chain::Signet, &[sv2::OPTION]);
    let chain = Sv2::start(&pool, &translator, &node, &witness_address(Network::Signet));
    let (extranonce, difficulty) = first_job(chain.port);
    assert_eq!(extranonce, (16, 4));
    let hashes = difficulty * f64::from(u32::MAX);
    assert!((hashes / f64::from(sv2::HASHES) - 1.0).abs() < 0.01, "{hashes}");
}

#[test]
fn foundation_stratum_hands_out_jobs() {
    let test = "foundation_stratum_hands_out_jobs";
    let Some([core, foundation]) = peers(test, ["core", "foundation"]) else { return };
    let node = Node::start(&core, Chain::Regtest, &[]);
    let pool = Foundation::start(&foundation, &node, &witness_address(Network::Regtest), 0.25);
    let (extranonce, difficulty) = first_job(pool.plain);
    assert_eq!(extranonce, (4, 4));
    assert_eq!(difficulty.to_bits(), 0.25_f64.to_bits());
    drop(TcpStream::connect(("127.0.0.1", pool.tls)).unwrap());
}

/// Logs in and waits for a job. Returns the lengths of the two extranonces and the difficulty.
fn first_job(port: u16) -> ((usize, u64), f64) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    for (id, method, params) in
        [(1, "mining.subscribe", json!(["peers"])), (2, "mining.authorize", json!(["peer.1", "x"]))]
    {
        writeln!(stream, "{}", json!({ "id": id, "method": method, "params": params })).unwrap();
    }
    let (mut extranonce, mut difficulty, mut job) = (None, None, None);
    let mut lines = BufReader::new(stream).lines();
    while extranonce.is_none() || difficulty.is_none() || job.is_none() {
        let line: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        if line["id"] == 1 {
            let digits = line["result"][1].as_str().unwrap().len();
            extranonce = Some((digits / 2, line["result"][2].as_u64().unwrap()));
        }
        match line["method"].as_str() {
            Some("mining.set_difficulty") => difficulty = line["params"][0].as_f64(),
            Some("mining.notify") => job = Some(line),
            _ => (),
        }
    }
    (extranonce.unwrap(), difficulty.unwrap())
}
