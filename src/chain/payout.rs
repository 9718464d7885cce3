//! Whom a coinbase pays: chains, addresses, and the rule that a coinbase must keep.

use std::fmt;
use std::str::FromStr;

use bitcoin::address::{Address, NetworkUnchecked};
use bitcoin::script::PushBytes;
use bitcoin::script::witness_program::WitnessProgram;
use bitcoin::script::witness_version::WitnessVersion;
use bitcoin::{Amount, Network, Script, ScriptBuf, Transaction, bech32};

use super::coinbase::{decode_height, height_script, is_witness_commitment};
use crate::limits::FOREIGN_TEXT;

/// Longest text of an address, in characters. Source: BIP 173.
const LONGEST_ADDRESS: usize = 90;

/// Shortest piece of a coinbase script that reads as text rather than as chance.
const SHORTEST_TAG: usize = 4;

/// Outputs that an error names.
const NAMED_OUTPUTS: usize = 4;

/// A percentage is kept in millionths.
const PERCENT: u64 = 1_000_000;

/// A chain of blocks, by the name that Bitcoin Core's `getblockchaininfo` gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Chain {
    /// The one whose coins have a price.
    Main,
    /// The third test chain, `test` in Core.
    Testnet3,
    /// The fourth test chain. Source: BIP 94.
    Testnet4,
    /// A test chain whose blocks are signed, or one of the same kind. Source: BIP 325.
    Signet,
    /// A chain of one's own, where a block takes two hashes.
    Regtest,
}

/// No chain has that name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no chain that adit knows; it knows main, testnet3, testnet4, signet and regtest")]
pub struct UnknownChain(pub String);

impl Chain {
    /// How addresses of the chain start, for a message.
    #[must_use]
    pub const fn addresses(self) -> &'static str {
        match self {
            Self::Main => "bc1…, 1… or 3…",
            Self::Testnet3 | Self::Testnet4 | Self::Signet => "tb1…, m…, n… or 2…",
            Self::Regtest => "bcrt1…, m…, n… or 2…",
        }
    }

    /// Blocks between two halvings of the subsidy. Source: Bitcoin Core, `chainparams.cpp`.
    #[must_use]
    pub const fn halving_interval(self) -> u32 {
        match self {
            Self::Regtest => 150,
            _ => 210_000,
        }
    }

    /// Whether the target depends on the block's time: 20 minutes after a block an easy one is allowed.
    ///
    /// Source: Bitcoin Core, `fPowAllowMinDifficultyBlocks`.
    #[must_use]
    pub const fn time_changes_target(self) -> bool {
        matches!(self, Self::Testnet3 | Self::Testnet4 | Self::Regtest)
    }

    const fn network(self) -> Network {
        match self {
            Self::Main => Network::Bitcoin,
            Self::Testnet3 => Network::Testnet,
            Self::Testnet4 => Network::Testnet4,
            Self::Signet => Network::Signet,
            Self::Regtest => Network::Regtest,
        }
    }
}

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Main => "main",
            Self::Testnet3 => "testnet3",
            Self::Testnet4 => "testnet4",
            Self::Signet => "signet",
            Self::Regtest => "regtest",
        })
    }
}

impl FromStr for Chain {
    type Err = UnknownChain;

    fn from_str(name: &str) -> Result<Self, UnknownChain> {
        match name {
            "main" => Ok(Self::Main),
            "test" | "testnet3" => Ok(Self::Testnet3),
            "testnet4" => Ok(Self::Testnet4),
            "signet" => Ok(Self::Signet),
            "regtest" => Ok(Self::Regtest),
            _ => Err(UnknownChain(shortened(name))),
        }
    }
}

/// What a coinbase says and whom it pays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coinbase {
    /// The block's height as the script has it.
    pub height: Option<u32>,
    /// The readable pieces of the script after the height: printable ASCII, [`FOREIGN_TEXT`] at most.
    pub tag: String,
    /// What it pays, in order.
    pub outputs: Vec<Output>,
}

/// An amount, and the script that it is paid to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// The amount, as the transaction has it: nothing says that it exists.
    pub value: Amount,
    /// What may spend it.
    pub script: ScriptBuf,
}

impl Coinbase {
    /// Reads a coinbase transaction. Any other gives what its first input and its outputs look like.
    #[must_use]
    pub fn of(transaction: &Transaction) -> Self {
        let script = transaction.input.first().map_or(Script::new(), |input| &input.script_sig);
        let height = decode_height(script);
        let skipped = height.map_or(0, |height| height_script(height).len());
        let outputs = transaction
            .output
            .iter()
            .map(|output| Output { value: output.value, script: output.script_pubkey.clone() });
        Self {
            height,
            tag: readable(script.as_bytes().get(skipped..).unwrap_or_default()),
            outputs: outputs.collect(),
        }
    }

    /// The sum of all outputs, or the most that an amount holds.
    #[must_use]
    pub fn total(&self) -> Amount {
        sum(self.outputs.iter())
    }

    /// The sum of what is paid to `script`.
    fn paid_to(&self, script: &Script) -> Amount {
        sum(self.outputs.iter().filter(|output| *output.script == *script))
    }

    /// Who gets money, in a few words.
    fn payees(&self, chain: Chain) -> String {
        let mut paid = self.outputs.iter().filter(|output| output.value > Amount::ZERO);
        let named: Vec<String> = paid
            .by_ref()
            .take(NAMED_OUTPUTS)
            .map(|output| format!("{} to {}", output.value, output.describe(chain)))
            .collect();
        match (named.is_empty(), paid.count()) {
            (true, _) => "nobody".to_owned(),
            (false, 0) => named.join(", "),
            (false, more) => format!("{} and {more} more", named.join(", ")),
        }
    }
}

impl Output {
    /// The address that is paid, if the script is that of one.
    #[must_use]
    pub fn address(&self, chain: Chain) -> Option<String> {
        let address = Address::from_script(&self.script, chain.network()).ok()?;
        Some(address.to_string())
    }

    /// The address, or what the script is instead.
    #[must_use]
    pub fn describe(&self, chain: Chain) -> String {
        if let Some(address) = self.address(chain) {
            return address;
        }
        if is_witness_commitment(&self.script) {
            return "witness commitment".to_owned();
        }
        if self.script.is_op_return() {
            let pushes = self.script.instructions().map_while(Result::ok);
            let data: usize = pushes.filter_map(|push| push.push_bytes().map(PushBytes::len)).sum();
            return format!("OP_RETURN, {data} bytes");
        }
        format!("script of {} bytes", self.script.len())
    }
}

/// An address of a known chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payout {
    /// The address as it was given.
    pub address: String,
    /// The script of an output that pays it.
    pub script: ScriptBuf,
    /// Where it may be used.
    chains: Chains,
}

/// What an address says about its chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Chains {
    Main,
    /// Testnet 3 and 4, and signet, have the same segwit addresses.
    Testnets,
    Regtest,
    /// All of those have the same old addresses.
    Tests,
}

impl Chains {
    const fn contain(self, chain: Chain) -> bool {
        match chain {
            Chain::Main => matches!(self, Self::Main),
            Chain::Testnet3 | Chain::Testnet4 | Chain::Signet => {
                matches!(self, Self::Testnets | Self::Tests)
            }
            Chain::Regtest => matches!(self, Self::Regtest | Self::Tests),
        }
    }
}

impl fmt::Display for Chains {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Main => "the main chain",
            Self::Testnets => "testnet or signet",
            Self::Regtest => "regtest",
            Self::Tests => "testnet, signet or regtest",
        })
    }
}

/// Why an address cannot be paid, or was not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PayoutError {
    /// The text is no address.
    #[error("{text:?} is no address: {why}; check it for missing or changed characters")]
    NoAddress {
        /// The text, shortened.
        text: String,
        /// What is wrong with it.
        why: String,
    },
    /// The address is of a coin or chain that adit does not know.
    #[error(
        "{text:?} is an address of another chain than adit knows (prefix {prefix:?}); \
        give one of the chain that is mined"
    )]
    UnknownPrefix {
        /// The text.
        text: String,
        /// The human-readable part of the address.
        prefix: String,
    },
    /// The address is of another chain than the wanted one.
    #[error(
        "{address} is an address of {of}, but the chain is {wanted}; give one that starts with {}",
        .wanted.addresses()
    )]
    OtherChain {
        /// The address.
        address: String,
        /// The chains that it is of.
        of: String,
        /// The chain that is mined.
        wanted: Chain,
    },
    /// The percentage of a rule makes no sense.
    #[error(
        "{text:?} is no percentage; give ADDRESS or ADDRESS=PERCENT with a number above 0 and up to 100"
    )]
    NoPercentage {
        /// The text, shortened.
        text: String,
    },
    /// A coinbase pays too little to the address of the rule.
    #[error("the coinbase pays {paid} of {total} to {address}, but {wanted}; it pays {payees}")]
    Unpaid {
        /// The address of the rule.
        address: String,
        /// What it gets.
        paid: Amount,
        /// The sum of all outputs.
        total: Amount,
        /// What it should get.
        wanted: String,
        /// Who gets it instead.
        payees: String,
    },
}

impl Payout {
    /// The first chain that the address can be of: the third testnet for all test chains but regtest.
    #[must_use]
    pub const fn chain(&self) -> Chain {
        match self.chains {
            Chains::Main => Chain::Main,
            Chains::Testnets | Chains::Tests => Chain::Testnet3,
            Chains::Regtest => Chain::Regtest,
        }
    }

    /// Checks that the address can be used on `chain`.
    ///
    /// # Errors
    ///
    /// [`PayoutError::OtherChain`].
    pub fn check(&self, chain: Chain) -> Result<(), PayoutError> {
        if self.chains.contain(chain) {
            return Ok(());
        }
        Err(PayoutError::OtherChain {
            address: self.address.clone(),
            of: self.chains.to_string(),
            wanted: chain,
        })
    }
}

/// Reads an address of any type (P2PKH, P2SH, segwit of any version) of `chain`, or of any chain.
///
/// Regtest addresses of bcoin 1 (`rb1…`) count as what Core writes as `bcrt1…`. White space around the
/// text is ignored.
///
/// # Errors
///
/// When the text is no address, or is one of another chain.
pub fn parse_address(text: &str, chain: Option<Chain>) -> Result<Payout, PayoutError> {
    let text = text.trim();
    let no_address =
        |why: String| PayoutError::NoAddress { text: shortened(text), why: shortened(&why) };
    if text.len() > LONGEST_ADDRESS {
        return Err(no_address(format!("it has {} characters", text.chars().count())));
    }
    let (chains, script) = match bech32::segwit::decode(text) {
        Ok((prefix, version, program)) => {
            let prefix = prefix.to_lowercase();
            let Some(chains) = segwit_chains(&prefix) else {
                return Err(PayoutError::UnknownPrefix { text: text.to_owned(), prefix });
            };
            let version =
                WitnessVersion::try_from(version).map_err(|why| no_address(why.to_string()))?;
            let program = WitnessProgram::new(version, &program)
                .map_err(|why| no_address(why.to_string()))?;
            (chains, ScriptBuf::new_witness_program(&program))
        }
        Err(why) if looks_like_segwit(text) => return Err(no_address(causes(&why))),
        Err(_) => {
            let address: Address<NetworkUnchecked> =
                text.parse().map_err(|why| no_address(causes(&why)))?;
            let main = address.is_valid_for_network(Network::Bitcoin);
            let chains = if main { Chains::Main } else { Chains::Tests };
            (chains, address.assume_checked_ref().script_pubkey())
        }
    };
    let payout = Payout { address: text.to_owned(), script, chains };
    chain.map_or(Ok(()), |chain| payout.check(chain))?;
    Ok(payout)
}

/// What the human-readable part of a segwit address stands for.
///
/// Source: BIP 173; bcoin 1.0, `networks.js`, for `rb`.
fn segwit_chains(prefix: &str) -> Option<Chains> {
    match prefix {
        "bc" => Some(Chains::Main),
        "tb" => Some(Chains::Testnets),
        "bcrt" | "rb" => Some(Chains::Regtest),
        _ => None,
    }
}

/// Whether a text that is no segwit address was meant as one.
fn looks_like_segwit(text: &str) -> bool {
    text.split_once('1')
        .is_some_and(|(prefix, _)| segwit_chains(&prefix.to_ascii_lowercase()).is_some())
}

/// A rule that a coinbase must keep: it pays an address, a percentage of all at least.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PayoutRule {
    payout: Payout,
    /// In millionths of a percent.
    least: Option<u64>,
}

impl FromStr for PayoutRule {
    type Err = PayoutError;

    /// Reads `ADDRESS` or `ADDRESS=PERCENT`.
    fn from_str(text: &str) -> Result<Self, PayoutError> {
        let (address, percent) = match text.split_once('=') {
            Some((address, percent)) => (address, Some(percent)),
            None => (text, None),
        };
        let payout = parse_address(address, None)?;
        Ok(Self { payout, least: percent.map(parse_percent).transpose()? })
    }
}

impl PayoutRule {
    /// The address that must be paid.
    #[must_use]
    pub const fn payout(&self) -> &Payout {
        &self.payout
    }

    /// Checks a coinbase.
    ///
    /// # Errors
    ///
    /// [`PayoutError::Unpaid`], with what it pays instead.
    pub fn check(&self, coinbase: &Coinbase) -> Result<(), PayoutError> {
        let (paid, total) = (coinbase.paid_to(&self.payout.script), coinbase.total());
        let part_of = |amount: Amount, part: u64| u128::from(amount.to_sat()) * u128::from(part);
        let least = part_of(total, self.least.unwrap_or_default());
        if paid > Amount::ZERO && part_of(paid, 100 * PERCENT) >= least {
            return Ok(());
        }
        Err(PayoutError::Unpaid {
            address: self.payout.address.clone(),
            paid,
            total,
            wanted: match self.least {
                None => "more than nothing is asked for".to_owned(),
                Some(least) => format!("{} % are asked for", in_percent(least)),
            },
            payees: coinbase.payees(self.payout.chain()),
        })
    }
}

impl fmt::Display for PayoutRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.payout.address)?;
        self.least.map_or(Ok(()), |least| write!(f, "={}", in_percent(least)))
    }
}

#[expect(clippy::cast_precision_loss, reason = "at most 10^8")]
fn in_percent(millionths: u64) -> f64 {
    millionths as f64 / PERCENT as f64
}

fn parse_percent(text: &str) -> Result<u64, PayoutError> {
    let digits = text.trim().trim_end_matches('%').trim_end();
    let percent = digits.parse().ok().filter(|percent: &f64| *percent > 0.0 && *percent <= 100.0);
    let Some(percent) = percent else {
        return Err(PayoutError::NoPercentage { text: shortened(text) });
    };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "above zero and at most 10^8"
    )]
    let millionths = (percent * PERCENT as f64).round().max(1.0) as u64;
    Ok(millionths)
}

fn sum<'a>(outputs: impl Iterator<Item = &'a Output>) -> Amount {
    Amount::from_sat(outputs.fold(0, |sum: u64, output| sum.saturating_add(output.value.to_sat())))
}

/// The printable pieces of a script, long enough to be meant.
fn readable(script: &[u8]) -> String {
    let pieces = script.split(|byte| !matches!(byte, b' '..=b'~'));
    let texts = pieces.map(|piece| String::from_utf8_lossy(piece).trim().to_owned());
    let texts: Vec<String> = texts.filter(|text| text.len() >= SHORTEST_TAG).collect();
    texts.join(" ").chars().take(FOREIGN_TEXT).collect()
}

/// A text that somebody typed, short enough for a message.
fn shortened(text: &str) -> String {
    text.chars().take(FOREIGN_TEXT).collect()
}

/// An error with its causes, which the `bitcoin` crate's own messages leave out.
fn causes(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |error| error.source())
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}

#[cfg(test)]
mod tests;
