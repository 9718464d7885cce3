//! JSON-RPC as nodes speak it: requests, answers, and what is wrong where there is none.

use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use super::TemplateError;
use crate::limits::{FOREIGN_TEXT, NODE_ANSWER};
use crate::source::Remedy;

/// What came back over HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status. Nodes answer errors with 500 and JSON in the body.
    pub status: u16,
    /// The body, [`NODE_ANSWER`] bytes at most.
    pub body: Vec<u8>,
}

/// Why a node's answer is of no use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// Nothing came back.
    #[error("the node does not answer: {0}; is it running, and are host and port right?")]
    Unreachable(String),
    /// HTTP 401.
    #[error(
        "the node refuses the login (HTTP 401); check the cookie file of its data folder, or user and \
        password. Each start of a node makes a new cookie"
    )]
    Unauthorized,
    /// HTTP 403.
    #[error(
        "the node forbids the call (HTTP 403); let its rpcallowip= allow this machine, and its rpcwhitelist= \
        the calls getblockchaininfo, getblocktemplate, getblockheader and submitblock"
    )]
    Forbidden,
    /// HTTP 404, and no JSON-RPC.
    #[error(
        "there is no JSON-RPC at this path (HTTP 404); give the node's address without one, as in \
        gbt+http://127.0.0.1:8332"
    )]
    NotFound,
    /// HTTP 503.
    #[error("the node is busy (HTTP 503: {0}); if that happens often, raise its rpcworkqueue=")]
    Busy(String),
    /// The node's own error.
    #[error("{}", explain(*code, message))]
    Rpc {
        /// Its number. Source: Bitcoin Core, `rpc/protocol.h`.
        code: i64,
        /// Its words.
        message: String,
    },
    /// It is no JSON-RPC.
    #[error(
        "the answer is no JSON-RPC (HTTP {status}, {words:?}); is there a node at this host and port?"
    )]
    Nonsense {
        /// The HTTP status.
        status: u16,
        /// What is wrong, or how the body starts.
        words: String,
    },
    /// It is JSON-RPC, but not what was asked for.
    #[error("the node's answer makes no sense: {0}")]
    Misfit(String),
    /// There is a template, but not one to work on.
    #[error(transparent)]
    Template(#[from] TemplateError),
}

impl Fault {
    /// Whether waiting can help.
    #[must_use]
    pub const fn remedy(&self) -> Remedy {
        match self {
            Self::Unauthorized | Self::Forbidden | Self::NotFound => Remedy::User,
            Self::Rpc { code: INVALID_PARAMETER | METHOD_NOT_FOUND | -19..=-18, .. } => {
                Remedy::User
            }
            Self::Template(error) => error.remedy(),
            _ => Remedy::Retry,
        }
    }

    /// Whether the node, or the way to it, may have hiccuped: what it said before still counts.
    pub(super) const fn is_passing(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::Busy(_))
    }
}

pub(super) const NOT_FOUND: i64 = -5;
pub(super) const INVALID_PARAMETER: i64 = -8;
const NOT_CONNECTED: i64 = -9;
pub(super) const DOWNLOADING: i64 = -10;
pub(super) const DECODE_FAILED: i64 = -22;
const WARMING_UP: i64 = -28;
pub(super) const METHOD_NOT_FOUND: i64 = -32601;

fn explain(code: i64, message: &str) -> String {
    let (what, way_out) = match code {
        INVALID_PARAMETER => {
            ("the node refuses the request", "it may demand a rule that this adit does not know")
        }
        NOT_CONNECTED => {
            ("the node has no peers", "it is starting or stopping, or its network is down")
        }
        DOWNLOADING => {
            ("the node is still downloading blocks", "mining begins when it is up to date")
        }
        WARMING_UP => ("the node is starting", "mining begins when it is ready"),
        METHOD_NOT_FOUND => ("the node does not know the call", "is it built and run for mining?"),
        -19..=-18 => ("the address names a wallet", "give it without a path"),
        _ => return format!("the node says: {message} (error {code})"),
    };
    format!("{what}: {message} (error {code}); {way_out}")
}

/// The body of a request. `params` is an array.
#[must_use]
pub fn call(id: u64, method: &str, params: &Value) -> Vec<u8> {
    // Core answers 1.0, 1.1 and 2.0; other nodes know the oldest.
    let call = json!({ "jsonrpc": "1.0", "id": id, "method": method, "params": params });
    call.to_string().into_bytes()
}

/// The result of request `id`; `None` where it is null.
///
/// # Errors
///
/// [`Fault`], but not [`Fault::Template`].
pub fn result<'a, T: Deserialize<'a>>(
    id: u64,
    answer: &'a Result<Answer, String>,
) -> Result<Option<T>, Fault> {
    let answer = answer.as_ref().map_err(|why| Fault::Unreachable(shortened(why)))?;
    let nonsense = |words: &str| Fault::Nonsense { status: answer.status, words: shortened(words) };
    // These come with a body that is empty, a text, or JSON of the HTTP server itself.
    match answer.status {
        401 => return Err(Fault::Unauthorized),
        403 => return Err(Fault::Forbidden),
        503 => return Err(Fault::Busy(starts(&answer.body))),
        _ if answer.body.len() > NODE_ANSWER => return Err(nonsense("too long")),
        _ => {}
    }
    let reply: Reply<'_, T> = match serde_json::from_slice(&answer.body) {
        Ok(reply) => reply,
        Err(_) if answer.status == 404 => return Err(Fault::NotFound),
        Err(error) if error.is_data() => return Err(Fault::Misfit(shortened(&error.to_string()))),
        Err(_) => return Err(nonsense(&starts(&answer.body))),
    };
    if let Some(Failure { code, message }) = reply.error {
        return Err(Fault::Rpc { code, message: shortened(&message) });
    }
    match reply.result {
        Some(Present(result)) if reply.id == Some(id) => Ok(result),
        Some(_) => Err(nonsense("it answers another request")),
        None => Err(nonsense("neither result nor error")),
    }
}

#[derive(Deserialize)]
#[serde(bound = "T: Deserialize<'de>")]
struct Reply<'a, T> {
    id: Option<u64>,
    #[serde(default = "absent", deserialize_with = "present")]
    result: Option<Present<T>>,
    #[serde(borrow)]
    error: Option<Failure<'a>>,
}

#[derive(Deserialize)]
struct Failure<'a> {
    #[serde(default)]
    code: i64,
    #[serde(default, borrow)]
    message: std::borrow::Cow<'a, str>,
}

/// A result that is there, though it may be null: that means success, and nothing at all does not.
struct Present<T>(Option<T>);

const fn absent<T>() -> Option<Present<T>> {
    None
}

fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Present<T>>, D::Error> {
    Option::deserialize(deserializer).map(|result| Some(Present(result)))
}

/// How a body starts.
fn starts(body: &[u8]) -> String {
    let start = body.get(..4 * FOREIGN_TEXT).unwrap_or(body);
    shortened(String::from_utf8_lossy(start).trim())
}

/// Foreign text, bounded.
pub(super) fn shortened(text: &str) -> String {
    text.chars().take(FOREIGN_TEXT).collect()
}
