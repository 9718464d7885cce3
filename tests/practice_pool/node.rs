//! A pool on a node: templates come in, blocks go out.

use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use adit::chain::payout::parse_address;
use adit::limits::LONGPOLL;
use adit::pool::jobs::{Body, Template};
use adit::pool::node::follow;
use adit::pool::{Event, NodeEnd, Server, Word};
use adit::source::gbt::Answer;
use bitcoin::absolute::LockTime;
use bitcoin::block::{Header, Version};
use bitcoin::consensus::encode::{deserialize_hex, serialize_hex};
use bitcoin::consensus::{deserialize, serialize};
use bitcoin::hashes::{Hash as _, sha256d};
use bitcoin::merkle_tree::calculate_root;
use bitcoin::{
    Amount, Block, BlockHash, CompactTarget, OutPoint, ScriptBuf, Sequence, Transaction, TxIn,
    TxMerkleNode, TxOut, Txid, Witness, WitnessMerkleNode, Wtxid, transaction,
};

use serde_json::{Value, json};

use crate::client::{Client, Job, Roll, Session, Wanted};
use crate::{Pool, easy};

/// Half of all hashes are a block on regtest.
const REGTEST: f64 = 4.66e-10;

fn spend(number: u8, witness: &[&[u8]]) -> Transaction {
    let txid = Txid::from_raw_hash(sha256d::Hash::hash(&[number]));
    Transaction {
        version: transaction::Version::TWO,
        lock_time: LockTime::ZERO,
        input: vec![TxIn {
            previous_output: OutPoint { txid, vout: 0 },
            script_sig: ScriptBuf::new(),
            sequence: Sequence::MAX,
            witness: Witness::from_slice(witness),
        }],
        output: vec![TxOut { value: Amount::from_sat(1), script_pubkey: ScriptBuf::new() }],
    }
}

fn pay(value: Amount, script: &[u8]) -> TxOut {
    TxOut { value, script_pubkey: ScriptBuf::from_bytes(script.to_vec()) }
}

/// A block on top of `previous`, with two transactions of which one has a witness.
fn template(previous: &[u8], height: u32) -> Template {
    let [plain, segwit] = [spend(1, &[]), spend(2, &[b"witness"])];
    assert_ne!(segwit.compute_txid().to_byte_array(), segwit.compute_wtxid().to_byte_array());
    let node = |bytes: [u8; 32]| TxMerkleNode::from_byte_array(bytes);
    let last = node(segwit.compute_txid().to_byte_array());
    let branch = vec![
        node(plain.compute_txid().to_byte_array()),
        calculate_root([last, last].into_iter()).unwrap(),
    ];

    let wtxids = [plain.compute_wtxid(), segwit.compute_wtxid()].map(Wtxid::to_byte_array);
    let leaves = [[0; 32], wtxids[0], wtxids[1]].map(WitnessMerkleNode::from_byte_array);
    let root = calculate_root(leaves.into_iter()).unwrap();
    let commitment = Block::compute_witness_commitment(&root, &[0; 32]).to_byte_array();
    let commits = [&[0x6a, 0x24, 0xaa, 0x21, 0xa9, 0xed], &commitment[..]].concat();
    Template {
        network: "regtest".to_owned(),
        height,
        header: Header {
            version: Version::from_consensus(0x2000_0000),
            prev_blockhash: BlockHash::hash(previous),
            merkle_root: TxMerkleNode::all_zeros(),
            time: 1_700_000_000,
            bits: CompactTarget::from_consensus(0x207f_ffff),
            nonce: 0,
        },
        branch,
        tag: "a tag".to_owned(),
        outputs: vec![pay(Amount::from_int_btc(50), &[0x51]), pay(Amount::ZERO, &commits)],
        body: Some(Body {
            transactions: [serialize(&plain), serialize(&segwit)].concat(),
            count: 2,
            commits: true,
        }),
    }
}

/// A miner with a job of the node's.
struct Rig {
    pool: Pool,
    node: NodeEnd,
    client: Client,
    session: Session,
}

impl Rig {
    fn start() -> Self {
        let address = "127.0.0.1:0".parse().unwrap();
        let (server, node) = Server::bind_on_node(easy(), address).unwrap();
        let pool = Pool::serve(server);
        // It logs in before there is anything to do.
        let (client, session) = Client::log_in(pool.address);
        Self { pool, node, client, session }
    }

    fn offer(&mut self, template: Template) -> Job {
        self.node.words.blocking_send(Word::Template(Box::new(template))).unwrap();
        Job::new(&self.client.hear("mining.notify"))
    }

    fn submit(&mut self, job: &Job, wanted: Wanted, nonce: u32) -> String {
        let roll = Roll { extranonce2: 5, version_bits: 0x2000, nonce, ..Roll::default() };
        self.client.submit(&job.mine(&self.session, roll, wanted))
    }
}

#[test]
fn a_solved_block_is_whole_and_the_answer_is_told() {
    // Heights up to 16 are pushed by an opcode of their own.
    for height in [1, 16, 17, 900_000] {
        let mut rig = Rig::start();
        let job = rig.offer(template(b"tip", height));
        assert!(job.is_clean);
        assert_eq!(rig.submit(&job, Wanted::AtLeast(REGTEST), 0), "accepted");
        let solved = rig.node.solved.blocking_recv().unwrap();
        assert_eq!(solved.height, height);
        let block: Block = deserialize(&solved.bytes).unwrap();
        assert_eq!(block.block_hash(), solved.hash);
        assert!(block.header.validate_pow(block.header.target()).is_ok());
        assert!(block.check_merkle_root() && block.check_witness_commitment());
        assert_eq!(block.txdata.len(), 3);
        assert_eq!(block.header.version.to_consensus(), 0x2000_2000);
        let coinbase = &block.txdata[0];
        assert!(coinbase.is_coinbase() && coinbase.output[0].value == Amount::from_int_btc(50));
        let height_script = bitcoin::script::Builder::new().push_int(height.into()).into_script();
        assert!(coinbase.input[0].script_sig.as_bytes().starts_with(height_script.as_bytes()));

        for refusal in [None, Some("high-hash".to_owned())] {
            let answer = Word::Answer(solved.clone(), refusal.clone());
            rig.node.words.blocking_send(answer).unwrap();
            rig.pool.wait_for(|event| {
                matches!(event, Event::Answered { hash, refusal: said, .. }
                    if *hash == solved.hash && *said == refusal)
            });
        }
    }
}

#[test]
fn no_share_is_harder_than_a_block_and_a_duplicate_is_no_block() {
    let mut rig = Rig::start();
    let job = rig.offer(template(b"tip", 7));
    // The pool was told 1e-8, some twenty times as hard.
    assert_eq!(rig.submit(&job, Wanted::Below(4.65e-10), 0), "23 Low difficulty share");
    assert_eq!(rig.submit(&job, Wanted::AtLeast(REGTEST), 0), "accepted");
    assert_eq!(rig.submit(&job, Wanted::AtLeast(REGTEST), 0), "22 Duplicate share");
    rig.node.solved.blocking_recv().unwrap();
    assert!(rig.node.solved.try_recv().is_err(), "one block");
}

#[test]
fn another_template_of_the_same_tip_makes_nothing_stale() {
    let mut rig = Rig::start();
    let first = rig.offer(template(b"tip", 7));
    let mut more = template(b"tip", 7);
    more.header.time += 30;
    let second = rig.offer(more);
    assert!(!second.is_clean && second.header.time == first.header.time + 30);
    assert_eq!(rig.submit(&first, Wanted::AtLeast(REGTEST), 0), "accepted");
    let third = rig.offer(template(b"another tip", 8));
    assert!(third.is_clean);
    assert_eq!(rig.submit(&first, Wanted::AtLeast(REGTEST), 99), "21 Stale");
    assert_eq!(rig.submit(&second, Wanted::AtLeast(REGTEST), 0), "21 Stale");
    assert_eq!(rig.submit(&third, Wanted::AtLeast(REGTEST), 0), "accepted");
    let warning = "the node is asleep".to_owned();
    rig.node.words.blocking_send(Word::Warning(warning.clone())).unwrap();
    rig.pool.wait_for(|event| matches!(event, Event::Warning { message } if *message == warning));
}

/// A node of regtest, as far as a pool needs one: what it answers to JSON-RPC.
struct Node {
    height: u32,
    tip: BlockHash,
    /// Whether it is about to fail, once.
    fails: bool,
    seen: Vec<Block>,
}

impl Node {
    fn answer(&mut self, request: &Value) -> Value {
        let (method, params) = (request["method"].as_str().unwrap(), &request["params"]);
        let result = match method {
            "getblockchaininfo" => json!({"chain": "regtest"}),
            "getblocktemplate" => {
                assert_eq!(params[0]["rules"], json!(["segwit"]));
                if std::mem::take(&mut self.fails) {
                    let error = json!({"code": -10, "message": "downloading"});
                    return json!({"id": request["id"], "result": null, "error": error});
                }
                self.template()
            }
            "submitblock" => self.take(params[0].as_str().unwrap()),
            other => panic!("{other}"),
        };
        json!({"id": request["id"], "result": result, "error": null})
    }

    fn template(&self) -> Value {
        let template = template(b"", self.height + 1);
        let [plain, segwit] = [spend(1, &[]), spend(2, &[b"witness"])];
        let transactions = [plain, segwit].map(|transaction| {
            json!({
                "data": serialize_hex(&transaction), "fee": 7,
                "txid": transaction.compute_txid().to_string(),
                "hash": transaction.compute_wtxid().to_string(),
            })
        });
        json!({
            "version": 0x2000_0000, "rules": ["csv", "!segwit", "taproot"], "height": self.height + 1,
            "previousblockhash": self.tip.to_string(), "transactions": transactions,
            "coinbasevalue": 5_000_000_014_u64, "bits": "207fffff", "curtime": 1_700_000_000,
            "longpollid": format!("{}1", self.tip), "mutable": ["time"],
            "default_witness_commitment": template.outputs[1].script_pubkey.to_hex_string(),
        })
    }

    fn take(&mut self, hex: &str) -> Value {
        let block: Block = deserialize_hex(hex).unwrap();
        assert!(block.check_merkle_root() && block.check_witness_commitment());
        assert!(block.header.validate_pow(block.header.target()).is_ok());
        if block.header.prev_blockhash != self.tip {
            return json!("inconclusive");
        }
        assert_eq!(block.bip34_block_height(), Ok(u64::from(self.height) + 1));
        (self.tip, self.height) = (block.block_hash(), self.height + 1);
        self.seen.push(block);
        Value::Null
    }
}

#[test]
fn a_chain_of_blocks_grows_through_the_pool() {
    let (server, end) = Server::bind_on_node(easy(), "127.0.0.1:0".parse().unwrap()).unwrap();
    let pool = Pool::serve(server);
    let address = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080";
    let payout = parse_address(address, None).unwrap();
    let tip = BlockHash::all_zeros();
    // The first height that is pushed as bytes.
    let node = Arc::new(Mutex::new(Node { height: 16, tip, fails: true, seen: Vec::new() }));
    let talk = thread::spawn({
        let (node, payout) = (node.clone(), payout.clone());
        move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
            runtime.unwrap().block_on(follow(end, &payout, "tag", async |body, limit| {
                let request: Value = serde_json::from_slice(&body).unwrap();
                // A long poll waits for another tip.
                let old = request["params"][0]["longpollid"].as_str();
                while old.is_some_and(|old| old.starts_with(&node.lock().unwrap().tip.to_string()))
                {
                    assert_eq!(limit, LONGPOLL);
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                let body = node.lock().unwrap().answer(&request).to_string().into_bytes();
                Ok(Answer { status: 200, body })
            }))
        }
    });
    let (mut client, session) = Client::log_in(pool.address);
    pool.wait_for(|event| {
        matches!(event, Event::Warning { message } if message.contains("still downloading"))
    });
    for height in 17..22 {
        let mut job = Job::new(&client.hear("mining.notify"));
        while !job.is_clean {
            job = Job::new(&client.hear("mining.notify"));
        }
        let share = job.mine(&session, Roll::default(), Wanted::AtLeast(REGTEST));
        assert_eq!(client.submit(&share), "accepted");
        let answered = pool
            .wait_for(|event| matches!(event, Event::Answered { hash, .. } if *hash == share.hash));
        assert_eq!(answered, Event::Answered { height, hash: share.hash, refusal: None });
    }
    let seen = std::mem::take(&mut node.lock().unwrap().seen);
    assert_eq!(seen.len(), 5);
    for block in seen {
        let paid = &block.txdata[0].output[0];
        assert_eq!((paid.value.to_sat(), &paid.script_pubkey), (5_000_000_014, &payout.script));
    }
    drop(pool);
    assert_eq!(talk.join().unwrap(), Ok(()));
}

#[test]
fn a_node_of_another_chain_is_of_no_use() {
    let (_server, end) = Server::bind_on_node(easy(), "127.0.0.1:0".parse().unwrap()).unwrap();
    let payout = parse_address("tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx", None).unwrap();
    let tip = BlockHash::all_zeros();
    let node = Mutex::new(Node { height: 1, tip, fails: false, seen: Vec::new() });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let why = runtime.block_on(follow(end, &payout, "", async |body, _| {
        let request = serde_json::from_slice(&body).unwrap();
        let body = node.lock().unwrap().answer(&request).to_string().into_bytes();
        Ok(Answer { status: 200, body })
    }));
    assert!(why.is_err_and(|why| why.contains("regtest")));
}
