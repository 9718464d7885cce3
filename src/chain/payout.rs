//! Whom a coinbase pays.
// merge: theirs

use std::str::FromStr;

use bitcoin::address::{Address, NetworkUnchecked};
use bitcoin::{Amount, Network, ScriptBuf, Transaction};

/// What a coinbase says and whom it pays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coinbase {
    /// Height of the block.
    pub height: Option<u32>,
    /// What its script says.
    pub tag: String,
    /// Whom it pays.
    pub outputs: Vec<Output>,
}

/// One payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// How much.
    pub value: Amount,
    /// To whom.
    pub script: ScriptBuf,
}

/// Whom a coinbase has to pay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PayoutRule {
    script: ScriptBuf,
}

/// Why a coinbase breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("it pays {paid}")]
pub struct PayoutError {
    /// Whom it pays.
    pub paid: String,
}

impl Coinbase {
    /// What a coinbase says.
    #[must_use]
    pub fn of(tx: &Transaction) -> Self {
        let output = |output: &bitcoin::TxOut| Output {
            value: output.value,
            script: output.script_pubkey.clone(),
        };
        Self { height: None, tag: String::new(), outputs: tx.output.iter().map(output).collect() }
    }
}

impl FromStr for PayoutRule {
    type Err = PayoutError;

    fn from_str(text: &str) -> Result<Self, PayoutError> {
        let address = text.parse::<Address<NetworkUnchecked>>();
        let address = address.map_err(|error| PayoutError { paid: error.to_string() })?;
        Ok(Self { script: address.assume_checked().script_pubkey() })
    }
}

impl PayoutRule {
    /// Whether a coinbase keeps the rule.
    ///
    /// # Errors
    ///
    /// When it does not.
    pub fn check(&self, coinbase: &Coinbase) -> Result<(), PayoutError> {
        if coinbase.outputs.iter().any(|output| output.script == self.script) {
            return Ok(());
        }
        let address = |output: &Output| Address::from_script(&output.script, Network::Bitcoin);
        let addresses = coinbase.outputs.iter().filter_map(|output| address(output).ok());
        let paid: Vec<String> = addresses.map(|address| address.to_string()).collect();
        Err(PayoutError { paid: paid.join(", ") })
    }
}
