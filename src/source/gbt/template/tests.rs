use bitcoin::Block;
use bitcoin::consensus::encode::serialize_hex;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::chain::CoinbaseParts;
use crate::chain::pool_jobs::unhex;
use crate::source::gbt::sample::empty_template;

/// The block that Core accepted for it, made by another program.
const BLOCK: &str = "000000208299a5af8384792a40ea174a0d92598ca1f1a7033246152771d3c436a9fa3c0150987947df44d124\
    37f508aeac8b98f6b32c5df8a33f26734f2117c5831894fcd443006bffff7f2003000000\
    01020000000001010000000000000000000000000000000000000000000000000000000000000000ffffffff0c023d02\
    080556a1fc34c2e918ffffffff0240be402500000000160014111111111111111111111111111111111111111100000000\
    00000000266a24aa21a9ede2f61c3f71d1defd3fa999dfa36953755c690689799962b48bebd836974e8cf9012000000000\
    0000000000000000000000000000000000000000000000000000000000000000";

/// The first transaction of a template of the same node, with a witness.
const SEGWIT: (&str, &str, &str) = (
    "02000000000101b7b1b61a710afdc70d18677d9b7abd9937701499651e8d50c8d47c82f5b30a250000000000ffffffff01\
    dca44025000000002200204ae81572f06e1b88fd5ced7a1a000945432e83e1551e6f721ee9c00b8cc33260010151000000\
    00",
    "edd3f90bf9303e6c8943c7cee0a87b11bbec15bf4eed6efc899d167cad21cb1b",
    "1f8b96b200a33e4960cedc43956201693d53480d30b5adaa943bab42ed553dfc",
);

/// Transactions of 60 bytes that nobody could spend, without witness, each with an id of its own.
fn small_transactions(count: usize) -> Vec<Value> {
    (0..count)
        .map(|number| {
            let mut id = [1; 32];
            id[..8].copy_from_slice(&(number as u64).to_le_bytes());
            let transaction = Transaction {
                version: TransactionVersion::TWO,
                lock_time: LockTime::ZERO,
                input: vec![TxIn {
                    previous_output: OutPoint { txid: Txid::from_byte_array(id), vout: 0 },
                    ..TxIn::default()
                }],
                output: vec![TxOut { value: Amount::ZERO, script_pubkey: ScriptBuf::new() }],
            };
            let txid = transaction.compute_txid().to_string();
            json!({ "data": serialize_hex(&transaction), "txid": txid, "hash": txid, "fee": 0 })
        })
        .collect()
}

fn segwit_transaction() -> Value {
    let (data, txid, hash) = SEGWIT;
    json!({ "data": data, "txid": txid, "hash": hash, "fee": 6500 })
}

/// The template with these transactions and the commitment that they need.
fn with_transactions(transactions: Vec<Value>) -> Value {
    let hash = |transaction: &Value| transaction["hash"].as_str().unwrap().parse().unwrap();
    let wtxids: Vec<Wtxid> = transactions.iter().map(hash).collect();
    let mut template = empty_template();
    template["default_witness_commitment"] =
        witness_commitment(witness_root(&wtxids), &RESERVED).to_hex_string().into();
    template["transactions"] = transactions.into();
    template
}

fn parse(template: &Value) -> Result<Template, TemplateError> {
    Template::parse(template.to_string().as_bytes())
}

fn payout() -> ScriptBuf {
    ScriptBuf::from(unhex(&format!("0014{}", "11".repeat(20))))
}

/// A block of our own, judged by the `bitcoin` crate alone.
fn built(template: &Template, tag: &str, extranonce: &[u8]) -> Block {
    let (coinbase, at) = template.coinbase(&payout(), &tag.parse().unwrap(), extranonce);
    let script = coinbase.input[0].script_sig.as_bytes();
    assert_eq!(&script[at..], extranonce);
    assert!((2..=100).contains(&script.len()), "{} bytes", script.len());
    let header = template.header(coinbase.compute_txid());
    let block: Block = deserialize(&template.block(&header, &coinbase)).unwrap();
    assert_eq!(block.header, header);
    assert!(block.check_merkle_root());
    assert!(block.check_witness_commitment());
    assert_eq!(block.txdata[0].output[0].value, template.value);
    assert!(block.txdata[0].is_coinbase());
    assert!(block.txdata[0].is_absolute_timelock_satisfied(
        bitcoin::absolute::Height::from_consensus(template.height).unwrap(),
        bitcoin::absolute::Time::MIN
    ));
    block
}

#[test]
fn a_template_of_core_and_its_nonce_make_the_block_that_core_accepted() {
    let template = parse(&empty_template()).unwrap();
    let block: Block = deserialize(&unhex(BLOCK)).unwrap();
    rebuild(&template, &block, BLOCK);
    assert_eq!(template.due(Chain::Regtest), Some(template.value));
    assert_eq!(template.due(Chain::Main), Some(Amount::from_int_btc(50)));
}

/// Only the coinbase without its witness, time and nonce are taken from the recorded block.
fn rebuild(template: &Template, recorded: &Block, hex: &str) {
    let mut coinbase = recorded.txdata[0].clone();
    coinbase.input[0].witness.clear();
    let header = Header {
        nonce: recorded.header.nonce,
        time: recorded.header.time,
        ..template.header(coinbase.compute_txid())
    };
    assert_eq!(header, recorded.header);
    assert!(chain::meets(&chain::block_hash(&header), &template.target));
    assert!(template.times.contains(&header.time));
    assert_eq!(serialize_bytes(&template.block(&header, &coinbase)), hex);
    assert_eq!(
        template.commitment.as_ref(),
        recorded.txdata[0].output.get(1).map(|o| &o.script_pubkey)
    );
    let block = built(template, "/adit/", &[7; 12]);
    assert_eq!(block.txdata[1..], recorded.txdata[1..]);
}

fn serialize_bytes(bytes: &[u8]) -> String {
    bitcoin::hex::DisplayHex::to_lower_hex_string(bytes)
}

#[test]
fn heights_are_pushed_as_bip_34_has_them() {
    let heights = (1..=17).chain([127_u32, 128, 255, 256, 32_767, 32_768, 8_388_607, 8_388_608]);
    for height in heights {
        let mut template = empty_template();
        template["height"] = height.into();
        let template = parse(&template).unwrap();
        for (tag, extranonce) in
            [("", &[0; 4][..]), ("/adit/", &[0xff; 12]), (&"x".repeat(64), &[1; 16])]
        {
            let block = built(&template, tag, extranonce);
            let script = &block.txdata[0].input[0].script_sig;
            // Core compares the script's start with `CScript() << nHeight`.
            let expected =
                bitcoin::script::Builder::new().push_int(i64::from(height)).into_script();
            assert!(script.as_bytes().starts_with(expected.as_bytes()), "{height}");
            // The crate knows no OP_1 to OP_16.
            if height > 16 {
                assert_eq!(block.bip34_block_height().unwrap(), u64::from(height));
            }
        }
    }
}

#[test]
fn blocks_of_any_number_of_transactions_are_whole() {
    for count in [0, 1, 2, 3, 252, 253] {
        let template = parse(&with_transactions(small_transactions(count))).unwrap();
        assert_eq!(
            (built(&template, "", &[0; 12]).txdata.len(), template.transactions()),
            (count + 1, count)
        );
    }
    let template = with_transactions([vec![segwit_transaction()], small_transactions(4)].concat());
    let template = parse(&template).unwrap();
    assert_eq!(template.fees, Some(Amount::from_sat(6500)));
    assert_eq!(built(&template, "", &[0; 12]).txdata.len(), 6);
}

#[test]
fn a_template_holds_as_many_transactions_as_a_block_and_not_one_more() {
    let mut transactions = small_transactions(65_535);
    let template = parse(&with_transactions(transactions.clone())).unwrap();
    assert_eq!(built(&template, "", &[0; 12]).txdata.len(), 65_536);
    transactions.push(segwit_transaction());
    let error = parse(&with_transactions(transactions)).unwrap_err().to_string();
    assert!(error.contains("at most 65535 items"), "{error}");
}

#[test]
fn more_bytes_than_a_block_has_are_refused() {
    let mut long = Transaction {
        version: TransactionVersion::TWO,
        lock_time: LockTime::ZERO,
        input: vec![TxIn::default()],
        output: vec![TxOut { value: Amount::ZERO, script_pubkey: vec![0x6a; 2_100_000].into() }],
    };
    let transactions = [1, 2].map(|vout| {
        long.input[0].previous_output = OutPoint { txid: Txid::from_byte_array([9; 32]), vout };
        let txid = long.compute_txid().to_string();
        json!({ "data": serialize_hex(&long), "txid": txid, "hash": txid })
    });
    let error = parse(&with_transactions(transactions.to_vec())).unwrap_err().to_string();
    assert!(error.contains("transaction 2") && error.contains("4000000 bytes"), "{error}");
}

#[test]
fn fields_that_are_missing_or_absurd_are_refused_or_have_a_default() {
    // Those without which there is no block, with what would be absurd.
    let needed: [(&str, &[Value]); 10] = [
        ("version", &[json!(1_u64 << 32), json!(-(1_i64 << 31) - 1), json!(1.5)]),
        (
            "previousblockhash",
            &[json!(""), json!("00"), json!("x".repeat(64)), json!("0".repeat(66))],
        ),
        ("transactions", &[json!([[]]), json!([{}]), json!([null])]),
        (
            "coinbasevalue",
            &[json!(-1), json!(2_100_000_000_000_001_u64), json!(u64::MAX), json!(1e300)],
        ),
        ("curtime", &[json!(0), json!(1_795_179_475), json!(1_u64 << 32), json!(-1)]),
        (
            "bits",
            &[
                json!("00000000"),
                json!("ff7fffff"),
                json!("207fffffff"),
                json!("2080ffff"),
                json!("+07fffff"),
            ],
        ),
        ("height", &[json!(0), json!(-1), json!(1_u64 << 31), json!(u64::MAX)]),
        ("default_witness_commitment", &[json!(""), json!("6a24aa21a9ed"), json!("zz")]),
        ("rules", &[json!(["!segwit", "!quantum"]), json!([1]), json!(vec!["x"; 1025])]),
        ("target", &[json!("7fffff"), json!("0".repeat(64)), json!("7fffff01".repeat(8))]),
    ];
    for (field, absurd) in needed {
        for value in absurd.iter().cloned().chain([json!({}), json!(true)]) {
            let mut template = empty_template();
            template[field] = value;
            assert!(parse(&template).is_err(), "{field}: {}", template[field]);
        }
    }
    let optional: [(&str, &[Value]); 7] = [
        ("vbrequired", &[json!(-1), json!(1_u64 << 32)]),
        (
            "coinbaseaux",
            &[json!({"flags": "0"}), json!({"flags": "zz"}), json!({"flags": 1}), json!([])],
        ),
        ("longpollid", &[json!("x".repeat(257)), json!(1)]),
        ("mintime", &[json!(-1), json!(1_795_179_477), json!("1")]),
        ("maxtime", &[json!(-1), json!(1_795_179_475), json!(0)]),
        ("mutable", &[json!("time"), json!([1]), json!({})]),
        ("signet_challenge", &[json!("zz"), json!(1), json!("512103ad")]),
    ];
    for (field, absurd) in optional {
        for value in absurd {
            let mut template = empty_template();
            template[field] = value.clone();
            assert!(parse(&template).is_err(), "{field}: {value}");
        }
    }
    for (field, is_needed) in needed
        .map(|(field, _)| (field, true))
        .iter()
        .chain(&optional.map(|(field, _)| (field, false)))
    {
        let mut missing = empty_template();
        missing.as_object_mut().unwrap().remove(*field);
        let mut null = empty_template();
        null[*field] = Value::Null;
        // A block without witnesses needs no commitment; bits alone are a target.
        let is_needed =
            *is_needed && !["default_witness_commitment", "rules", "target"].contains(field);
        for template in [missing, null] {
            assert_eq!(parse(&template).is_err(), is_needed, "{field}");
        }
    }
}

#[test]
fn transactions_that_are_not_what_they_are_called_are_refused() {
    let error = |change: &dyn Fn(&mut Value)| {
        let mut template =
            with_transactions([small_transactions(2), vec![segwit_transaction()]].concat());
        change(&mut template["transactions"][2]);
        parse(&template).unwrap_err().to_string()
    };
    let (data, txid, hash) = SEGWIT;
    for field in ["data", "txid", "hash"] {
        for value in [Value::Null, json!(1), json!([]), json!(""), json!("zz"), json!(data[1..])] {
            error(&|transaction| transaction[field] = value.clone());
        }
        error(&|transaction| {
            transaction.as_object_mut().unwrap().remove(field);
        });
    }
    assert!(error(&|t| t["txid"] = json!(hash)).contains(&format!("its txid is {txid}, not")));
    assert!(error(&|t| t["hash"] = json!(txid)).contains(&format!("its hash is {hash}, not")));
    assert!(error(&|t| t["data"] = json!(format!("{data}00"))).starts_with("transaction 3 of"));
    let first = small_transactions(1).remove(0);
    assert!(error(&|t| *t = first.clone()).contains("is there twice"));

    let coinbase: Block = deserialize(&unhex(BLOCK)).unwrap();
    let coinbase = &coinbase.txdata[0];
    let coinbase = json!({
        "data": serialize_hex(coinbase),
        "txid": coinbase.compute_txid().to_string(),
        "hash": coinbase.compute_wtxid().to_string()
    });
    assert!(error(&|t| *t = coinbase.clone()).contains("it is a coinbase"));
}

#[test]
fn witnesses_need_the_commitment_that_they_give() {
    let mut template = with_transactions(vec![segwit_transaction()]);
    let right = template["default_witness_commitment"].as_str().unwrap().to_owned();
    template["default_witness_commitment"] = empty_template()["default_witness_commitment"].clone();
    let error = parse(&template).unwrap_err();
    assert!(matches!(&error, TemplateError::Commitment { computed, .. } if *computed == right));
    template.as_object_mut().unwrap().remove("default_witness_commitment");
    assert_eq!(parse(&template), Err(TemplateError::NoCommitment));
}

/// bcoin gives a commitment before segwit is active, where a block with one would be refused.
#[test]
fn before_segwit_is_active_there_is_no_commitment() {
    let mut template = empty_template();
    template["rules"] = json!(["csv"]);
    let parsed = parse(&template).unwrap();
    let block = built(&parsed, "", &[0; 12]);
    assert_eq!((block.txdata[0].output.len(), parsed.commitment), (1, None));
    assert!(block.txdata[0].input[0].witness.is_empty());
    let mut template = with_transactions(vec![segwit_transaction()]);
    template["rules"] = json!([]);
    assert_eq!(parse(&template), Err(TemplateError::NoCommitment));
    // Nodes from before BIP 9 list no rules; then the commitment itself says that it is wanted.
    template.as_object_mut().unwrap().remove("rules");
    assert!(parse(&template).unwrap().commitment.is_some());
}

#[test]
fn what_only_the_user_can_change_is_told_with_a_way_out() {
    let refused = |field: &str, value: Value| {
        let mut template = empty_template();
        template[field] = value;
        let error = parse(&template).unwrap_err();
        assert_eq!(error.remedy(), Remedy::User, "{error}");
        error.to_string()
    };
    assert!(refused("rules", json!(["!quantum"])).contains("\"quantum\""));
    assert!(refused("coinbasevalue", Value::Null).contains("coinbasevalue"));
    let signed =
        refused("signet_challenge", json!("512103ad5e0edad18cb1f0fc0d28a3d4f1f3e445640337"));
    assert!(signed.contains("512103ad") && signed.contains("signetchallenge=51"), "{signed}");
    let mut open = empty_template();
    open["signet_challenge"] = json!("51");
    open["rules"] = json!(["csv", "!segwit", "taproot", "!signet"]);
    assert!(parse(&open).is_ok());
}

#[test]
fn what_the_node_wants_in_the_coinbase_is_there_if_it_fits() {
    let script = |flags: &str, tag: &str| {
        let mut template = empty_template();
        template["coinbaseaux"] = json!({ "flags": flags, "more": "" });
        let block = built(&parse(&template).unwrap(), tag, &[0xee; 12]);
        block.txdata[0].input[0].script_sig.to_hex_string()
    };
    let flags = "6d696e65642062792062636f696e";
    let extranonce = format!("0c{}", "ee".repeat(12));
    assert_eq!(script(flags, ""), format!("023d020e{flags}{extranonce}"));
    assert_eq!(script(flags, "/a/"), format!("023d020e{flags}032f612f{extranonce}"));
    // 3 bytes of height, 65 of tag, 13 of extranonce: 19 are left.
    let tag = "t".repeat(64);
    let without = format!("023d0240{}{extranonce}", "74".repeat(64));
    assert_eq!(script(&"ab".repeat(18), &tag).len(), 200);
    assert_eq!(script(&"ab".repeat(19), &tag), without);
    assert_eq!(script(&"ab".repeat(1 << 20), &tag), without);

    let error = "t".repeat(65).parse::<Tag>().unwrap_err().to_string();
    assert_eq!(error, "the coinbase text has 65 bytes; 64 fit beside height and extranonce");
    let template = parse(&empty_template()).unwrap();
    let (long, at) = template.coinbase(&payout(), &tag.parse().unwrap(), &[0; 40]);
    assert!(CoinbaseParts::split(&long, at, 40).is_err());
}

#[test]
fn times_are_bounded_by_the_node_and_by_two_hours() {
    let times = |change: &dyn Fn(&mut Value)| {
        let mut template = empty_template();
        change(&mut template);
        parse(&template).unwrap().times
    };
    let now = 1_795_179_476;
    assert_eq!(times(&|_| {}), now..=now + 7200);
    assert_eq!(times(&|t| t["mintime"] = json!(5)), 5..=now + 7200);
    assert_eq!(times(&|t| t["mintime"] = Value::Null), now..=now + 7200);
    assert_eq!(times(&|t| t["maxtime"] = json!(now + 9)), now..=now + 9);
    assert_eq!(times(&|t| t["maxtime"] = json!(u32::MAX)), now..=now + 7200);
    assert_eq!(times(&|t| t["curtime"] = json!(u32::MAX - 1)), now..=u32::MAX);
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(Template::parse(&bytes).is_err());
    }

    #[test]
    fn no_damaged_template_panics(at in 0..1100_usize, byte: u8) {
        let text = with_transactions(vec![segwit_transaction()]).to_string();
        let mut bytes = text.into_bytes();
        let at = at % bytes.len();
        bytes[at] = byte;
        let _ = Template::parse(&bytes);
    }
}
