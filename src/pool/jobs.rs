//! Where the practice pool's jobs come from: the built-in real blocks, or a node's templates, each with a
//! coinbase of the pool's own.
//!
//! Everything here is made with the `bitcoin` crate, not with adit's own arithmetic: the pool is what
//! checks that.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bitcoin::absolute::LockTime;
use bitcoin::block::{Header, Version};
use bitcoin::consensus::encode::VarInt;
use bitcoin::consensus::{deserialize, serialize};
use bitcoin::hashes::{Hash as _, HashEngine as _, sha256, sha256d};
use bitcoin::hex::DisplayHex as _;
use bitcoin::opcodes::all::OP_RETURN;
use bitcoin::script::{Builder, PushBytes, PushBytesBuf};
use bitcoin::{
    Amount, BlockHash, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxMerkleNode, TxOut,
    Witness, transaction,
};
use serde::Serialize;
use serde_json::json;

use super::Options;
use crate::chain::{HeaderError, KNOWN_BLOCKS, KnownBlock};
use crate::limits::POOL_JOBS_AT_ONCE;

/// What the coinbase of a built-in block says.
const NO_MONEY: &str = "adit practice pool, no money";

/// What its only output says, in place of an address.
const WORTHLESS: &[u8; 34] = b"practice work, it is worth nothing";

/// The witness of a coinbase, which the commitment takes in. Source: BIP 141, with zeros by custom.
const RESERVED: [u8; 32] = [0; 32];

/// What a block is made of but for its coinbase's script, its time and its nonce.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// The chain that the block belongs to, such as `main`.
    pub network: String,
    /// Blocks before it.
    pub height: u32,
    /// Version, previous hash, bits, and the first time; merkle root and nonce mean nothing.
    pub header: Header,
    /// From the coinbase to the merkle root.
    pub branch: Vec<TxMerkleNode>,
    /// What the coinbase says after the height, 40 bytes at most.
    pub tag: String,
    /// Whom the coinbase pays, with the commitment to the witnesses if there is one.
    pub outputs: Vec<TxOut>,
    /// What else is in the block. Without it the work is worth nothing.
    pub body: Option<Body>,
}

/// What a block has beside its header and its coinbase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body {
    /// The other transactions, one after the other as the block has them.
    pub transactions: Vec<u8>,
    /// How many they are.
    pub count: usize,
    /// Whether an output commits to the witnesses, so that the coinbase needs one.
    pub commits: bool,
}

/// A block that a share solved, for the node to judge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Solved {
    /// Its height.
    pub height: u32,
    /// Its hash.
    #[serde(serialize_with = "super::as_text")]
    pub hash: BlockHash,
    /// The whole block, as the network has it.
    #[serde(skip)]
    pub bytes: Vec<u8>,
}

/// A job as miners get it. Each has a coinbase of its own, so no two have a hash in common.
#[derive(Clone)]
pub struct Job {
    /// Counts the pool's jobs, from 1.
    pub serial: u64,
    /// Its name in messages: the serial in hex.
    pub name: String,
    /// Counts the pool's blocks. With a new one the jobs of those before are stale.
    pub generation: u64,
    /// The block that it may become.
    pub template: Arc<Template>,
    /// The first time that its header may have.
    pub time: u32,
    coinb1: Vec<u8>,
    coinb2: Vec<u8>,
    /// SHA-256 over `coinb1`, which all shares begin with.
    start: sha256::HashEngine,
}

impl Job {
    /// A job whose coinbase has room for extranonces of `gap` bytes together.
    #[must_use]
    pub fn new(
        serial: u64,
        generation: u64,
        template: Arc<Template>,
        time: u32,
        gap: usize,
    ) -> Self {
        let script = coinbase_script(&template, serial, gap);
        // Version 4, input count 1, null outpoint 36, script length 1: the script is shorter than 253.
        let gap_end = 42 + script.len();
        let coinbase = Transaction {
            version: transaction::Version::TWO,
            lock_time: LockTime::ZERO,
            input: vec![TxIn {
                previous_output: OutPoint::null(),
                script_sig: script,
                sequence: Sequence::MAX,
                witness: Witness::new(),
            }],
            output: template.outputs.clone(),
        };
        let bytes = serialize(&coinbase);
        let (before, coinb2) = bytes.split_at(gap_end);
        let (coinb1, _) = before.split_at(gap_end - gap);
        Self::of_parts(serial, generation, template, time, [coinb1, coinb2])
    }

    /// A job with the coinbase around the extranonces as it stands.
    #[must_use]
    pub fn of_parts(
        serial: u64,
        generation: u64,
        template: Arc<Template>,
        time: u32,
        [coinb1, coinb2]: [&[u8]; 2],
    ) -> Self {
        let mut start = sha256d::Hash::engine();
        start.input(coinb1);
        let (name, coinb1, coinb2) = (format!("{serial:x}"), coinb1.to_vec(), coinb2.to_vec());
        Self { serial, name, generation, template, time, coinb1, coinb2, start }
    }

    /// The difficulty at which a share is a block.
    #[must_use]
    pub fn block_difficulty(&self) -> f64 {
        self.template.header.target().difficulty_float()
    }

    /// The serialised coinbase, without witness.
    #[must_use]
    pub fn coinbase(&self, [extranonce1, extranonce2]: [&[u8]; 2]) -> Vec<u8> {
        [&self.coinb1, extranonce1, extranonce2, &self.coinb2].concat()
    }

    /// The block of a header with these extranonces; `None` where the work is worth nothing.
    #[must_use]
    pub fn block(&self, header: &Header, extranonces: [&[u8]; 2]) -> Option<Solved> {
        let Body { transactions, count, commits } = self.template.body.as_ref()?;
        // Made here, so it is a transaction.
        let mut coinbase: Transaction = deserialize(&self.coinbase(extranonces)).ok()?;
        if *commits {
            let witness = Witness::from_slice(&[RESERVED]);
            coinbase.input.iter_mut().for_each(|input| input.witness = witness.clone());
        }
        let count = VarInt::from(count.saturating_add(1));
        let head = [serialize(header), serialize(&count), serialize(&coinbase)].concat();
        let bytes = [head, transactions.clone()].concat();
        Some(Solved { height: self.template.height, hash: header.block_hash(), bytes })
    }

    /// The header's merkle root.
    #[must_use]
    pub fn merkle_root(&self, [extranonce1, extranonce2]: [&[u8]; 2]) -> TxMerkleNode {
        let mut engine = self.start.clone();
        for part in [extranonce1, extranonce2, &self.coinb2] {
            engine.input(part);
        }
        let coinbase = sha256d::Hash::from_engine(engine);
        let root = self.template.branch.iter().fold(coinbase, |left, right| {
            let mut engine = sha256d::Hash::engine();
            engine.input(left.as_byte_array());
            engine.input(right.as_byte_array());
            sha256d::Hash::from_engine(engine)
        });
        TxMerkleNode::from_raw_hash(root)
    }

    /// The `mining.notify` message, a line without its end.
    #[must_use]
    pub fn notify(&self, clean: bool) -> String {
        let header = &self.template.header;
        // Stratum turns each four bytes of this hash around.
        let mut previous = header.prev_blockhash.to_byte_array();
        previous.chunks_exact_mut(4).for_each(<[u8]>::reverse);
        let branch = self.template.branch.iter();
        let branch: Vec<String> = branch.map(|node| hex(node.as_byte_array())).collect();
        let params = json!([
            self.name,
            hex(&previous),
            hex(&self.coinb1),
            hex(&self.coinb2),
            branch,
            format!("{:08x}", header.version.to_consensus()),
            format!("{:08x}", header.bits.to_consensus()),
            format!("{:08x}", self.time),
            clean,
        ]);
        json!({"id": null, "method": "mining.notify", "params": params}).to_string()
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.to_lower_hex_string()
}

/// Height (BIP 34), tag, the job's number, and a push of `gap` bytes for the extranonces.
fn coinbase_script(template: &Template, serial: u64, gap: usize) -> ScriptBuf {
    // All are far below the 4 GiB at which a push ends.
    let pushed = |bytes: Vec<u8>| PushBytesBuf::try_from(bytes).unwrap_or_default();
    Builder::new()
        .push_int(template.height.into())
        .push_slice(pushed(template.tag.clone().into_bytes()))
        .push_slice(pushed(serial.to_le_bytes().to_vec()))
        .push_slice(pushed(vec![0; gap]))
        .into_script()
}

/// Makes jobs: another one now and then, and now and then of another block.
pub struct Jobs {
    /// The blocks whose turn it is by and by; none where a node says what there is to do.
    built_in: Vec<Arc<Template>>,
    /// What is mined now.
    template: Option<Arc<Template>>,
    /// Bytes of both extranonces.
    gap: usize,
    /// How long a job lasts, and how many jobs a built-in block.
    every: Duration,
    per_block: u32,
    serial: u64,
    generation: u64,
    /// Of the present built-in block.
    given: u32,
    since: Instant,
    due: Instant,
}

impl Jobs {
    /// Jobs of the built-in blocks, the newest first, from `now` on.
    ///
    /// # Errors
    ///
    /// When the built-in table is damaged, which a test excludes.
    pub fn built_in(options: &Options, now: Instant) -> Result<Self, HeaderError> {
        let built_in = KNOWN_BLOCKS.iter().rev().map(replayed).collect::<Result<_, _>>()?;
        Ok(Self { built_in, ..Self::of_node(options, now) })
    }

    /// Jobs of the templates that are [offered](Self::offer).
    #[must_use]
    pub fn of_node(options: &Options, now: Instant) -> Self {
        Self {
            built_in: Vec::new(),
            template: None,
            gap: options.extranonce_sizes.iter().sum(),
            every: options.job_every,
            per_block: options.jobs_per_block.max(1),
            serial: 0,
            generation: 0,
            given: 0,
            since: now,
            due: now,
        }
    }

    /// When the next job is due.
    #[must_use]
    pub const fn due(&self) -> Instant {
        self.due
    }

    /// The block that is mined now; with a new one the jobs of those before are stale.
    #[must_use]
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// A node wants this block from now on: a job for everybody.
    pub fn offer(&mut self, template: Template, now: Instant) -> Option<Arc<Job>> {
        let tip = |template: &Template| template.header.prev_blockhash;
        if self.template.as_deref().map(tip) != Some(tip(&template)) {
            self.generation += 1;
        }
        (self.template, self.since, self.due) = (Some(Arc::new(template)), now, now + self.every);
        self.another(now)
    }

    /// The jobs that are due, for everybody. Each that is of another generation than the one before is
    /// of a new block.
    pub fn next(&mut self, now: Instant) -> Vec<Arc<Job>> {
        let mut jobs = Vec::new();
        while self.due <= now && jobs.len() < POOL_JOBS_AT_ONCE {
            if self.given.is_multiple_of(self.per_block) && !self.built_in.is_empty() {
                self.built_in.rotate_left(usize::from(self.generation > 0));
                self.template = self.built_in.first().cloned();
                self.generation += 1;
                self.since = self.due;
            }
            self.given = self.given.wrapping_add(1);
            jobs.extend(self.another(self.due));
            self.due += self.every;
        }
        if self.due <= now {
            // The rest of what nobody could work on is left out.
            self.due = now + self.every;
        }
        jobs
    }

    /// Another job of the present block; `None` before there is one.
    pub fn another(&mut self, now: Instant) -> Option<Arc<Job>> {
        let template = self.template.clone()?;
        let age = now.saturating_duration_since(self.since).as_secs();
        let time = template.header.time.saturating_add(u32::try_from(age).unwrap_or(u32::MAX));
        self.serial += 1;
        Some(Arc::new(Job::new(self.serial, self.generation, template, time, self.gap)))
    }
}

/// A real block, to be mined again with another coinbase.
fn replayed(block: &KnownBlock) -> Result<Arc<Template>, HeaderError> {
    let mut header = block.header()?;
    // As pools hand versions out: the bits that its miner rolled (BIP 320) are not set.
    let version = header.version.to_consensus();
    if version & 0x2000_0000 != 0 {
        header.version = Version::from_consensus(version & !0x1fff_e000);
    }
    let worthless: &PushBytes = WORTHLESS.into();
    let says = Builder::new().push_opcode(OP_RETURN).push_slice(worthless).into_script();
    Ok(Arc::new(Template {
        network: block.network.to_owned(),
        height: block.height,
        header,
        branch: Vec::new(),
        tag: NO_MONEY.to_owned(),
        outputs: vec![TxOut { value: Amount::ZERO, script_pubkey: says }],
        body: None,
    }))
}

#[cfg(test)]
mod tests {
    use bitcoin::script::Instruction;

    use super::*;

    fn jobs(options: &Options, now: Instant) -> Jobs {
        Jobs::built_in(options, now).unwrap()
    }

    #[test]
    fn a_coinbase_is_a_transaction_that_says_what_it_is_worth() {
        let now = Instant::now();
        let options = Options { jobs_per_block: 1, ..Options::default() };
        let mut jobs = jobs(&options, now);
        for block in KNOWN_BLOCKS.iter().rev() {
            let job = jobs.next(jobs.due()).pop().unwrap();
            let extranonces: [&[u8]; 2] = [b"abcd", b"efgh"];
            let coinbase: Transaction = deserialize(&job.coinbase(extranonces)).unwrap();
            assert!(coinbase.is_coinbase());
            let root = TxMerkleNode::from_byte_array(coinbase.compute_txid().to_byte_array());
            assert_eq!(job.merkle_root(extranonces), root);

            let script = &coinbase.input[0].script_sig;
            assert!((2..=100).contains(&script.len()));
            assert_eq!(crate::chain::decode_height(script), Some(block.height));
            let text = String::from_utf8_lossy(script.as_bytes()).into_owned();
            assert!(text.contains("adit practice pool, no money") && text.ends_with("abcdefgh"));
            assert!(script.instructions().all(|instruction| instruction.is_ok()));
            let [output] = coinbase.output.as_slice() else { panic!("{coinbase:?}") };
            assert!(output.script_pubkey.is_op_return() && output.value == Amount::ZERO);
            let said = output.script_pubkey.instructions().last().unwrap().unwrap();
            assert!(matches!(said, Instruction::PushBytes(text) if text.as_bytes() == WORTHLESS));

            let real = block.header().unwrap();
            let header = job.template.header;
            assert_eq!((header.prev_blockhash, header.bits), (real.prev_blockhash, real.bits));
            assert_eq!((job.time, header.time), (real.time, real.time));
            let rolled =
                (header.version.to_consensus() ^ real.version.to_consensus()) & !0x1fff_e000;
            assert_eq!(rolled, 0);
        }
        let again = jobs.next(jobs.due()).pop().unwrap();
        assert_eq!(again.template.height, KNOWN_BLOCKS.last().unwrap().height, "they repeat");
    }

    #[test]
    fn jobs_come_in_time_and_blocks_after_some_of_them() {
        let begun = Instant::now();
        let mut jobs = jobs(&Options::default(), begun);
        let (mut serials, mut generations) = (Vec::new(), Vec::new());
        for second in 0..=240 {
            for job in jobs.next(begun + Duration::from_secs(second)) {
                serials.push(job.serial);
                generations.push(job.generation);
                let age = job.time - job.template.header.time;
                assert_eq!(u64::from(age), second % 120, "time goes on within a block");
            }
        }
        assert_eq!(serials, (1..=9).collect::<Vec<_>>(), "at 0, 30, 60 … 240 s");
        assert_eq!(generations, [1, 1, 1, 1, 2, 2, 2, 2, 3]);

        let other = jobs.another(begun + Duration::from_secs(241)).unwrap();
        assert_eq!((other.serial, other.generation), (10, 3));
        let roots = [[&b"abcd"[..], b"efgh"]; 2].map(|both| other.merkle_root(both));
        let next = jobs.another(begun + Duration::from_secs(241)).unwrap();
        assert_ne!(next.merkle_root([b"abcd", b"efgh"]), roots[0], "no two jobs share a hash");
    }

    #[test]
    fn a_pool_that_was_asleep_does_not_make_up_for_it() {
        let begun = Instant::now();
        let options = Options { job_every: Duration::from_micros(1), ..Options::default() };
        let mut jobs = jobs(&options, begun);
        let later = begun + Duration::from_secs(3600);
        assert_eq!(jobs.next(later).len(), POOL_JOBS_AT_ONCE);
        assert!(jobs.next(later).is_empty() && jobs.due() > later);
    }

    #[test]
    fn a_notify_is_what_a_real_pool_sent() {
        // foundation-stratum 0.0.42 on regtest.
        let real = r#"{"id":null,"method":"mining.notify","params":["1","1aac3e9e099eecd5caca5a30e9581205691ed8d67588a81be068e9c63243aa1b","00000000010000000000000000000000000000000000000000000000000000000000000000ffffffff11025d0104aa3f006b08","0000000002f8e5814a0000000016001411111111111111111111111111111111111111110000000000000000266a24aa21a9ed50abb84fc2fd8b4d9bcd15e1ae7b071ea7671ed00858fec2169b36d8194ef49900000000",["1ad5cc2c5bf0571cbe464ee74f0faf8e6d6b5e936fa4223efeb1b1d098b55df0","b695a16ebe06b6ec2d695471ed2a7672308be008f45e615cde3349b148cd4dcd","b9157cf7f98d4a53e5241aef5efbb66d4840293ddd31ef9074b22a94333538d5","fd0631bdc4e2e6f5da6f12196585a2f5a7b7c2871192759e04955ef42242223c"],"30000000","207fffff","6b003fc7",true]}"#;
        let real: serde_json::Value = serde_json::from_str(real).unwrap();
        let job = crate::pool::judge::tests::job_of(&real["params"]);
        let ours: serde_json::Value = serde_json::from_str(&job.notify(true)).unwrap();
        assert_eq!(ours, real);
    }
}
