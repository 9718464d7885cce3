//! What a connection begins with: `mining.configure`, `mining.subscribe`, `mining.authorize`.
//!
//! Sources: BIP 310 for the first, Braiins' (Slush Pool's) Stratum manual for the others.

use serde_json::{Map, Value, json};

use super::Settings;
use super::notify::{Extranonce, ExtranonceError};
use super::wire::{Answer, Json};
use crate::chain::VERSION_ROLLING_MASK;
use crate::limits::POOL_JOB_ID;

/// What a pool granted in answer to `mining.configure`; everything else counts as not granted.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Granted {
    /// The version bits that the pool takes from a share. Even without any bit, shares name theirs.
    pub(super) version_mask: Option<u32>,
    pub(super) minimum_difficulty: bool,
    /// Whether the pool said yes or no to `subscribe-extranonce`.
    pub(super) extranonce_is_settled: bool,
}

/// A session as a pool opened it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Subscription {
    /// How to ask for the same session again.
    pub(super) session: Option<String>,
    pub(super) extranonce: Extranonce,
}

/// Why an answer to `mining.subscribe` opens no session.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum SubscribeError {
    #[error("the pool's answer to mining.subscribe is no list of subscriptions and extranonce")]
    Form,
    #[error(
        "the pool's jobs cannot be mined, because {0}; use another pool, or another port of it"
    )]
    Extranonce(#[from] ExtranonceError),
}

/// The parameters of `mining.configure`.
pub(super) fn configure(settings: &Settings) -> Value {
    let mut extensions = Vec::new();
    let mut values = Map::new();
    if settings.version_mask != 0 {
        extensions.push("version-rolling");
        let mask = format!("{:08x}", settings.version_mask);
        values.insert("version-rolling.mask".to_owned(), mask.into());
        values.insert("version-rolling.min-bit-count".to_owned(), 2.into());
    }
    if let Some(difficulty) = settings.minimum_difficulty.and_then(whole) {
        extensions.push("minimum-difficulty");
        values.insert("minimum-difficulty.value".to_owned(), difficulty.into());
    }
    extensions.push("subscribe-extranonce");
    json!([extensions, values])
}

/// A difficulty as servers take it that read integers only.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a whole number of up to 53 bits"
)]
pub(super) fn whole(difficulty: f64) -> Option<u64> {
    let is_whole = difficulty.fract() == 0.0 && (0.0..=2_f64.powi(53)).contains(&difficulty);
    is_whole.then_some(difficulty as u64)
}

impl Granted {
    /// What an answer grants. Servers answer `{}`, `false`, an error, or nothing at all.
    pub(super) fn parse(answer: &Answer<'_>) -> Self {
        let says = |extension| answer.result.get(extension) == &Json::Bool(true);
        let mask = version_mask(answer.result.get("version-rolling.mask"));
        Self {
            version_mask: mask.filter(|_| says("version-rolling")),
            minimum_difficulty: says("minimum-difficulty"),
            extranonce_is_settled: matches!(
                answer.result.get("subscribe-extranonce"),
                Json::Bool(_)
            ),
        }
    }
}

/// A mask in up to 8 hex digits.
pub(super) fn version_mask(json: &Json<'_>) -> Option<u32> {
    let text = json.text()?;
    let digits = text.strip_prefix("0x").unwrap_or(text);
    let is_hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    u32::from_str_radix(digits, 16).ok().filter(|_| is_hex)
}

/// The bits to roll: those that were asked for and granted.
///
/// A server may have granted more than that, and takes all of those from the share.
pub(super) const fn rolled(granted: u32, asked: u32) -> u32 {
    match granted & asked {
        // More headers than can be numbered: every bit would roll.
        u32::MAX => VERSION_ROLLING_MASK,
        mask => mask,
    }
}

impl Subscription {
    pub(super) fn parse(result: &Json<'_>) -> Result<Self, SubscribeError> {
        let [subscriptions, first, size, ..] = result.items() else {
            return Err(SubscribeError::Form);
        };
        let extranonce = Extranonce::parse(first, size)?;
        Ok(Self { session: session(subscriptions), extranonce })
    }
}

/// The id beside `mining.notify`, in a list of pairs or in a single pair.
fn session(subscriptions: &Json<'_>) -> Option<String> {
    let pairs = std::iter::once(subscriptions).chain(subscriptions.items());
    let id = |pair: &Json<'_>| match pair.items() {
        [Json::Text(name), Json::Text(id), ..] if name == "mining.notify" => Some(id.to_string()),
        _ => None,
    };
    pairs.filter_map(id).find(|id| (1..=POOL_JOB_ID).contains(&id.len()))
}
