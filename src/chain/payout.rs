//! Whom a coinbase pays.
// merge: theirs

use bitcoin::{Amount, ScriptBuf, Transaction};

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
    /// The script that has to be paid.
    pub script: ScriptBuf,
}

/// Why a coinbase breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("it pays {paid} instead")]
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
        let paid: Vec<String> =
            coinbase.outputs.iter().map(|output| output.script.to_hex_string()).collect();
        Err(PayoutError { paid: paid.join(", ") })
    }
}
