//! A block to be solved, as a node proposes it: checked, and made a block again.

use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::RangeInclusive;
use std::str::FromStr;

use bitcoin::absolute::LockTime;
use bitcoin::block::{Header, Version};
use bitcoin::consensus::{deserialize, encode::VarInt, serialize};
use bitcoin::hashes::Hash;
use bitcoin::hex::FromHex;
use bitcoin::script::PushBytes;
use bitcoin::transaction::Version as TransactionVersion;
use bitcoin::{
    Amount, BlockHash, CompactTarget, OutPoint, Script, ScriptBuf, Sequence, Target, Transaction,
    TxIn, TxMerkleNode, TxOut, Txid, Witness, Wtxid,
};
use serde::Deserialize;

use super::json::{List, Values};
use super::rpc::{self, Answer, Fault};
use crate::chain::coinbase::MAX_SCRIPT_LEN;
use crate::chain::payout::Chain;
use crate::chain::{self, witness_commitment, witness_root};
use crate::limits::{COINBASE_TAG, JSON_ITEMS, LONGPOLL_ID, TEMPLATE_BYTES, TEMPLATE_TRANSACTIONS};
use crate::source::Remedy;

/// The coinbase's own witness, which the commitment takes in. Source: BIP 141, with zeros by custom.
const RESERVED: [u8; 32] = [0; 32];

/// How far a block's time may be ahead of the node's, in seconds.
///
/// Source: Bitcoin Core, `MAX_FUTURE_BLOCK_TIME`.
const MOST_AHEAD: u32 = 7200;

/// Rules that change how a block is made, and that are kept here. Source: BIP 9, "getblocktemplate changes".
const KNOWN_RULES: [&str; 2] = ["segwit", "signet"];

/// A block without its coinbase, nonce and final time. Every transaction id in it was computed here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// The version as the node wants it.
    pub version: Version,
    /// Version bits that the node demands.
    pub version_required: u32,
    /// The block that it follows.
    pub previous: BlockHash,
    /// Its height, from 1.
    pub height: u32,
    /// The target, as the header has it.
    pub bits: CompactTarget,
    /// The target.
    pub target: Target,
    /// The node's time, in seconds since 1970.
    pub time: u32,
    /// The times that the block may have.
    pub times: RangeInclusive<u32>,
    /// Whether the node lets its time be changed.
    pub time_rolls: bool,
    /// What the coinbase may pay.
    pub value: Amount,
    /// The fees in it, if the node told them all.
    pub fees: Option<Amount>,
    /// The output that commits to all witnesses; none before segwit.
    pub commitment: Option<ScriptBuf>,
    /// From the coinbase to the merkle root.
    pub branch: Vec<TxMerkleNode>,
    /// Names the template for a long poll.
    pub longpoll: Option<String>,
    /// What the node wants in the coinbase's script.
    aux: Vec<Vec<u8>>,
    /// All transactions but the coinbase, one after the other as the block has them.
    transactions: Vec<u8>,
    count: usize,
}

/// Why a template cannot be worked on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TemplateError {
    /// It is no template.
    #[error("the template makes no sense: {0}")]
    Json(String),
    /// One of its fields makes no sense.
    #[error("the template's {field} makes no sense: {why}")]
    Field {
        /// The field, as BIP 22 names it.
        field: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// It has a rule that must be understood.
    #[error(
        "the node's blocks must keep the rule {0:?}, which this adit does not know; use a newer one"
    )]
    Rule(String),
    /// Its blocks must be signed.
    #[error(
        "blocks of this signet must be signed (challenge {0}), which adit cannot; \
        mine a signet of your own with signetchallenge=51, or testnet4"
    )]
    Signed(String),
    /// It has a coinbase of its own.
    #[error(
        "the node does not say what a coinbase may pay (coinbasevalue), so adit cannot make one"
    )]
    NoValue,
    /// A transaction makes no sense.
    #[error("transaction {number} of the template makes no sense: {why}")]
    Transaction {
        /// Its number, from 1: the coinbase is 0.
        number: usize,
        /// What is wrong with it.
        why: String,
    },
    /// The commitment is another one than the transactions give.
    #[error(
        "the template commits to the witnesses as {given}, but its transactions give {computed}"
    )]
    Commitment {
        /// The script in the template.
        given: String,
        /// The script that we computed.
        computed: String,
    },
    /// There are witnesses, but no commitment to them.
    #[error("the template has witnesses but no commitment to them, so its blocks would be refused")]
    NoCommitment,
}

impl TemplateError {
    /// Whether the next template may be better.
    #[must_use]
    pub const fn remedy(&self) -> Remedy {
        match self {
            Self::Rule(_) | Self::Signed(_) | Self::NoValue => Remedy::User,
            _ => Remedy::Retry,
        }
    }

    fn field(field: &'static str, why: impl Into<String>) -> Self {
        Self::Field { field, why: why.into() }
    }
}

/// The miner's text in his coinbase: [`COINBASE_TAG`] bytes at most.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tag(String);

/// A text does not fit a coinbase.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the coinbase text has {0} bytes; {COINBASE_TAG} fit beside height and extranonce")]
pub struct TagError(usize);

impl FromStr for Tag {
    type Err = TagError;

    fn from_str(text: &str) -> Result<Self, TagError> {
        if text.len() > COINBASE_TAG {
            return Err(TagError(text.len()));
        }
        Ok(Self(text.to_owned()))
    }
}

impl Template {
    /// Reads a template: the result of `getblocktemplate`, without what JSON-RPC puts around it.
    ///
    /// # Errors
    ///
    /// [`TemplateError`].
    pub fn parse(json: &[u8]) -> Result<Self, TemplateError> {
        let raw: Raw<'_> = serde_json::from_slice(json)
            .map_err(|error| TemplateError::Json(rpc::shortened(&error.to_string())))?;
        Self::check(raw)
    }

    /// Reads the answer to request `id`, a call of `getblocktemplate`.
    ///
    /// # Errors
    ///
    /// [`Fault`].
    pub fn answered(id: u64, answer: &Result<Answer, String>) -> Result<Self, Fault> {
        match rpc::result(id, answer)? {
            Some(raw) => Ok(Self::check(raw)?),
            None => Err(Fault::Misfit("a template that is null".to_owned())),
        }
    }

    /// The one way from foreign text to a template.
    fn check(raw: Raw<'_>) -> Result<Self, TemplateError> {
        let segwit = check_rules(raw.rules.as_ref().map(|list| list.0.as_slice()))?;
        check_challenge(raw.signet_challenge.as_deref())?;
        let (bits, target) = check_target(&raw.bits, raw.target.as_deref())?;
        let times = check_times(raw.curtime, raw.mintime, raw.maxtime)?;
        let version = i32::try_from(raw.version)
            .or_else(|_| u32::try_from(raw.version).map(u32::cast_signed))
            .map_err(|_| TemplateError::field("version", "it passes 32 bits"))?;
        // Core counts blocks with a signed number.
        if raw.height == 0 || i32::try_from(raw.height).is_err() {
            return Err(TemplateError::field("height", format!("{} is none", raw.height)));
        }
        let Some(value) = raw.coinbasevalue else { return Err(TemplateError::NoValue) };
        let value = Amount::from_sat(value);
        if value > Amount::MAX_MONEY {
            return Err(TemplateError::field("coinbasevalue", format!("{value} do not exist")));
        }
        let previous = raw.previousblockhash.parse().map_err(|_| {
            TemplateError::field("previousblockhash", shown(&raw.previousblockhash))
        })?;
        if raw.longpollid.as_ref().is_some_and(|id| id.len() > LONGPOLL_ID) {
            return Err(TemplateError::field("longpollid", "it is too long"));
        }
        let aux = raw.coinbaseaux.map(|values| values.0).unwrap_or_default();
        let aux: Result<_, _> = aux
            .iter()
            .map(|hex| unhex(hex).ok_or_else(|| TemplateError::field("coinbaseaux", shown(hex))))
            .collect();
        let body = Body::check(&raw.transactions.0)?;
        let given = raw.default_witness_commitment.as_deref();
        Ok(Self {
            version: Version::from_consensus(version),
            version_required: raw.vbrequired.unwrap_or(0),
            previous,
            height: raw.height,
            bits,
            target,
            time: raw.curtime,
            times,
            time_rolls: raw.mutable.is_some_and(|list| list.0.iter().any(|what| what == "time")),
            value,
            fees: body.fees,
            commitment: check_commitment(segwit.unwrap_or(given.is_some()), given, &body)?,
            branch: chain::branch_of_coinbase(&body.txids),
            longpoll: raw.longpollid.map(Cow::into_owned),
            aux: aux?,
            transactions: body.bytes,
            count: body.txids.len(),
        })
    }

    /// All transactions but the coinbase, one after the other as the block has them.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.transactions
    }

    /// How many transactions there are beside the coinbase.
    #[must_use]
    pub const fn transactions(&self) -> usize {
        self.count
    }

    /// What the coinbase should be allowed to pay on `chain`; `None` if not all fees are known.
    #[must_use]
    pub fn due(&self, chain: Chain) -> Option<Amount> {
        self.fees?.checked_add(chain::subsidy(self.height, chain.halving_interval()))
    }

    /// A coinbase without witness that pays everything to `payout`, and where its `extranonce` starts in the
    /// script.
    ///
    /// The script is the height (BIP 34), what the node wants in it as far as there is room, the tag, and the
    /// extranonce. An extranonce that makes it too long gives a transaction that
    /// [`CoinbaseParts::split`](chain::CoinbaseParts::split) refuses; 16 bytes always fit.
    #[must_use]
    pub fn coinbase(&self, payout: &Script, tag: &Tag, extranonce: &[u8]) -> (Transaction, usize) {
        let mut script = chain::height_script(self.height);
        let pushed = |data: &[u8]| if data.is_empty() { 0 } else { data.len() + 1 };
        let taken = script.len() + pushed(tag.0.as_bytes()) + pushed(extranonce);
        let mut room = MAX_SCRIPT_LEN.saturating_sub(taken);
        for data in &self.aux {
            // BIP 22 wants it in the script if that is possible.
            if pushed(data) <= room {
                room -= pushed(data);
                push(&mut script, data);
            }
        }
        push(&mut script, tag.0.as_bytes());
        push(&mut script, extranonce);
        let at = script.len() - extranonce.len();

        let paid = TxOut { value: self.value, script_pubkey: payout.to_owned() };
        let commitment = self
            .commitment
            .iter()
            .map(|script| TxOut { value: Amount::ZERO, script_pubkey: script.clone() });
        let transaction = Transaction {
            version: TransactionVersion::TWO,
            // As Bitcoin Core does it since version 30: no other block's coinbase can have the same id
            // (BIP 54). A lock time below the height is final everywhere.
            lock_time: LockTime::from_consensus(self.height.saturating_sub(1)),
            input: vec![TxIn {
                previous_output: OutPoint::null(),
                script_sig: script,
                sequence: Sequence::ENABLE_LOCKTIME_NO_RBF,
                witness: Witness::new(),
            }],
            output: std::iter::once(paid).chain(commitment).collect(),
        };
        (transaction, at)
    }

    /// The header for a coinbase of this id, with the node's version and time, and without a nonce.
    #[must_use]
    pub fn header(&self, coinbase: Txid) -> Header {
        Header {
            version: self.version,
            prev_blockhash: self.previous,
            merkle_root: chain::fold_branch(coinbase, &self.branch),
            time: self.time,
            bits: self.bits,
            nonce: 0,
        }
    }

    /// The whole block, as `submitblock` takes it. `coinbase` is without witness; it gets the one that the
    /// commitment needs.
    #[must_use]
    pub fn block(&self, header: &Header, coinbase: &Transaction) -> Vec<u8> {
        let mut coinbase = coinbase.clone();
        if self.commitment.is_some() {
            coinbase
                .input
                .iter_mut()
                .for_each(|input| input.witness = Witness::from_slice(&[RESERVED]));
        }
        let count = VarInt::from(self.count.saturating_add(1));
        let head = chain::header_bytes(header);
        [&head[..], &serialize(&count), &serialize(&coinbase), &self.transactions].concat()
    }
}

/// What `getblocktemplate` gives, as far as it is used.
#[derive(Deserialize)]
struct Raw<'a> {
    /// Signed in Core, unsigned in bcoin.
    version: i64,
    rules: Option<List<String, JSON_ITEMS>>,
    vbrequired: Option<u32>,
    #[serde(borrow)]
    previousblockhash: Cow<'a, str>,
    #[serde(borrow)]
    transactions: List<RawTransaction<'a>, TEMPLATE_TRANSACTIONS>,
    coinbaseaux: Option<Values<String, JSON_ITEMS>>,
    coinbasevalue: Option<u64>,
    #[serde(borrow)]
    longpollid: Option<Cow<'a, str>>,
    #[serde(borrow)]
    target: Option<Cow<'a, str>>,
    mintime: Option<u32>,
    maxtime: Option<u32>,
    mutable: Option<List<String, JSON_ITEMS>>,
    curtime: u32,
    #[serde(borrow)]
    bits: Cow<'a, str>,
    height: u32,
    #[serde(borrow)]
    signet_challenge: Option<Cow<'a, str>>,
    #[serde(borrow)]
    default_witness_commitment: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct RawTransaction<'a> {
    #[serde(borrow)]
    data: Cow<'a, str>,
    #[serde(borrow)]
    txid: Cow<'a, str>,
    /// The id with witness.
    #[serde(borrow)]
    hash: Cow<'a, str>,
    fee: Option<u64>,
}

/// The transactions of a template.
struct Body {
    bytes: Vec<u8>,
    txids: Vec<Txid>,
    wtxids: Vec<Wtxid>,
    has_witness: bool,
    fees: Option<Amount>,
}

impl Body {
    fn check(raw: &[RawTransaction<'_>]) -> Result<Self, TemplateError> {
        let mut body = Self {
            bytes: Vec::new(),
            txids: Vec::with_capacity(raw.len()),
            wtxids: Vec::with_capacity(raw.len()),
            has_witness: false,
            fees: Some(Amount::ZERO),
        };
        let mut seen = HashSet::with_capacity(raw.len());
        for (number, raw) in (1..).zip(raw) {
            let wrong = |why: String| TemplateError::Transaction { number, why };
            let (bytes, txid, wtxid) = raw.check().map_err(wrong)?;
            if !seen.insert(txid) {
                return Err(wrong(format!("{txid} is there twice")));
            }
            if body.bytes.len() + bytes.len() > TEMPLATE_BYTES {
                return Err(wrong(format!("it passes the {TEMPLATE_BYTES} bytes of a block")));
            }
            body.has_witness |= txid.to_byte_array() != wtxid.to_byte_array();
            body.bytes.extend(bytes);
            body.txids.push(txid);
            body.wtxids.push(wtxid);
            let fee = raw.fee.map(Amount::from_sat);
            body.fees = body.fees.zip(fee).and_then(|(sum, fee)| sum.checked_add(fee));
        }
        Ok(body)
    }
}

impl RawTransaction<'_> {
    /// Its bytes, its id, and its id with witness, all computed from the data.
    fn check(&self) -> Result<(Vec<u8>, Txid, Wtxid), String> {
        let bytes = unhex(&self.data).ok_or_else(|| shown(&self.data))?;
        let transaction: Transaction = deserialize(&bytes).map_err(|why| why.to_string())?;
        if transaction.is_coinbase() {
            return Err("it is a coinbase".to_owned());
        }
        let (txid, wtxid) =
            (transaction.compute_txid(), Wtxid::from_byte_array(chain::sha256d(&bytes)));
        // An id that is no hex at all is as wrong as another one.
        if self.txid.parse() != Ok(txid) {
            return Err(format!("its txid is {txid}, not {}", shown(&self.txid)));
        }
        if self.hash.parse() != Ok(wtxid) {
            return Err(format!("its hash is {wtxid}, not {}", shown(&self.hash)));
        }
        Ok((bytes, txid, wtxid))
    }
}

/// Refuses rules that must be understood and are not; says whether segwit is among the rules, if there are
/// any.
fn check_rules(rules: Option<&[String]>) -> Result<Option<bool>, TemplateError> {
    let Some(rules) = rules else { return Ok(None) };
    for demanded in rules.iter().filter_map(|rule| rule.strip_prefix('!')) {
        if !KNOWN_RULES.contains(&demanded) {
            return Err(TemplateError::Rule(rpc::shortened(demanded)));
        }
    }
    Ok(Some(rules.iter().any(|rule| rule.trim_start_matches('!') == "segwit")))
}

/// Refuses a signet whose blocks need more than nothing for a signature.
///
/// Source: BIP 325. One opcode from `OP_1` to `OP_16` is true without any.
fn check_challenge(challenge: Option<&str>) -> Result<(), TemplateError> {
    let Some(hex) = challenge else { return Ok(()) };
    match unhex(hex).as_deref() {
        Some([0x51..=0x60]) => Ok(()),
        Some(_) => Err(TemplateError::Signed(rpc::shortened(hex))),
        None => Err(TemplateError::field("signet_challenge", shown(hex))),
    }
}

fn check_target(
    bits: &str,
    target: Option<&str>,
) -> Result<(CompactTarget, Target), TemplateError> {
    let compact = <[u8; 4]>::from_hex(bits)
        .map(|bytes| CompactTarget::from_consensus(u32::from_be_bytes(bytes)))
        .map_err(|_| TemplateError::field("bits", shown(bits)))?;
    let decoded =
        chain::decode_bits(compact).map_err(|why| TemplateError::field("bits", why.to_string()))?;
    let agrees = |hex: &str| <[u8; 32]>::from_hex(hex).is_ok_and(|t| t == decoded.to_be_bytes());
    match target {
        Some(hex) if !agrees(hex) => {
            let why = format!("{} is not what the bits {bits} stand for", shown(hex));
            Err(TemplateError::field("target", why))
        }
        _ => Ok((compact, decoded)),
    }
}

/// The times that a block may have. Without limits in the template its own time is the least, and two hours
/// later, by the node's clock, the most.
fn check_times(
    now: u32,
    least: Option<u32>,
    most: Option<u32>,
) -> Result<RangeInclusive<u32>, TemplateError> {
    let ahead = now.saturating_add(MOST_AHEAD);
    let times = least.unwrap_or(now)..=most.map_or(ahead, |most| most.min(ahead));
    if times.contains(&now) {
        return Ok(times);
    }
    let why = format!("{now} is outside mintime and maxtime, {} to {}", times.start(), times.end());
    Err(TemplateError::field("curtime", why))
}

/// The commitment of the transactions, compared with the one in the template.
///
/// Before segwit is active a block may have neither; bcoin gives a commitment even then.
fn check_commitment(
    segwit: bool,
    given: Option<&str>,
    body: &Body,
) -> Result<Option<ScriptBuf>, TemplateError> {
    let Some(given) = given.filter(|_| segwit) else {
        return if body.has_witness { Err(TemplateError::NoCommitment) } else { Ok(None) };
    };
    let computed = witness_commitment(witness_root(&body.wtxids), &RESERVED);
    if unhex(given).as_deref() == Some(computed.as_bytes()) {
        return Ok(Some(computed));
    }
    let computed = computed.to_hex_string();
    Err(TemplateError::Commitment { given: rpc::shortened(given), computed })
}

/// Appends `data` to a script, unless there is none.
fn push(script: &mut ScriptBuf, data: &[u8]) {
    if let (false, Ok(data)) = (data.is_empty(), <&PushBytes>::try_from(data)) {
        script.push_slice(data);
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    Vec::from_hex(text).ok()
}

/// A text that is wrong, for a message.
fn shown(text: &str) -> String {
    format!("{:?}", rpc::shortened(text))
}

#[cfg(test)]
mod tests;
