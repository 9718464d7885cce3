//! Transactions for a node without a wallet: whoever likes spends the coins here, with a witness.

use std::collections::BTreeMap;

use bitcoin::absolute::LockTime;
use bitcoin::consensus::encode::serialize_hex;
use bitcoin::transaction::Version;
use bitcoin::{
    Address, Amount, Network, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Txid,
    Witness,
};
use serde_json::json;

use crate::node::Node;

/// `OP_TRUE`, which needs nothing to be spent.
const ANYBODY: [u8; 1] = [0x51];

const COINBASE_MATURITY: u64 = 100;

/// Weight units of each transaction of [`fill`].
pub(crate) const WEIGHT: u64 = 381;

/// Puts `count` transactions into the mempool of a regtest node without blocks, which have fees that
/// all differ. Returns those.
pub(crate) fn fill(node: &Node, count: u32) -> BTreeMap<Txid, Amount> {
    let address = Address::p2wsh(&script(), Network::Regtest);
    node.generate(COINBASE_MATURITY + 1, &address);
    let coinbase = node.rpc.block(1).txdata.remove(0);
    let part = coinbase.output[0].value / u64::from(count);
    let source = OutPoint::new(coinbase.compute_txid(), 0);
    let parts = spend(source, &vec![part; count as usize]);
    // By itself the node would leave it out where blocks have little room.
    let block = json!([address.to_string(), [serialize_hex(&parts)]]);
    node.rpc.call("generateblock", block);
    let parts = parts.compute_txid();
    let transactions = (0..count).map(|index| {
        let fee = Amount::from_sat(1000 + u64::from(index));
        let transaction = spend(OutPoint::new(parts, index), &[part - fee]);
        assert_eq!(transaction.weight().to_wu(), WEIGHT);
        (send(node, &transaction), fee)
    });
    transactions.collect()
}

fn send(node: &Node, transaction: &Transaction) -> Txid {
    let id = node.rpc.call("sendrawtransaction", json!([serialize_hex(transaction), 0]));
    let id = id.as_str().unwrap().parse().unwrap();
    assert_eq!(transaction.compute_txid(), id);
    id
}

fn spend(source: OutPoint, values: &[Amount]) -> Transaction {
    let output = |&value| TxOut { value, script_pubkey: script().to_p2wsh() };
    let input = TxIn {
        previous_output: source,
        script_sig: ScriptBuf::new(),
        sequence: Sequence::MAX,
        witness: Witness::from_slice(&[ANYBODY]),
    };
    Transaction {
        version: Version::TWO,
        lock_time: LockTime::ZERO,
        input: vec![input],
        output: values.iter().map(output).collect(),
    }
}

fn script() -> ScriptBuf {
    ScriptBuf::from_bytes(ANYBODY.to_vec())
}
