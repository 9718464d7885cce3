//! The lines of Stratum V1 as a server sees them. What a miner sends becomes a [`Request`] here, or nothing.

use bitcoin::hex::FromHex as _;
use serde_json::{Map, Value, json};

use super::Errors;
use super::judge::{Refusal, Submission};
use crate::limits::{FOREIGN_TEXT, POOL_JOB_ID, POOL_LINE};

/// Extensions that a miner may ask for in one `mining.configure`.
const EXTENSIONS: usize = 16;

/// A request that can be answered.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Request {
    /// As it came; null when there was none, or nothing that could be one.
    pub(super) id: Value,
    pub(super) call: Result<Call, Refusal>,
}

/// What a miner asks for.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Call {
    Configure {
        extensions: Vec<String>,
        /// The version bits that it can roll.
        mask: u32,
        /// The least difficulty that it takes.
        minimum: Option<f64>,
    },
    Subscribe {
        agent: String,
        /// A session that it wants back.
        session: Option<String>,
    },
    Authorize {
        worker: String,
    },
    SubscribeExtranonce,
    SuggestDifficulty(f64),
    Submit {
        /// Empty when it is no name.
        worker: String,
        submission: Result<Submission, Refusal>,
    },
}

impl Request {
    /// Reads a line.
    pub(super) fn parse(line: &[u8]) -> Self {
        let nonsense = |id| Self { id, call: Err(Refusal::Nonsense) };
        let Ok(Value::Object(mut message)) = serde_json::from_slice(line) else {
            return nonsense(Value::Null);
        };
        let id = match message.remove("id") {
            None => Value::Null,
            Some(id @ (Value::Null | Value::Number(_))) => id,
            Some(Value::String(id)) if id.len() <= FOREIGN_TEXT => Value::String(id),
            Some(_) => return nonsense(Value::Null),
        };
        let params = match message.remove("params") {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(params)) => params,
            Some(_) => return Self { id, call: Err(Refusal::Malformed) },
        };
        match message.get("method") {
            Some(Value::String(method)) => Self { id, call: call(method, &params) },
            _ => nonsense(id),
        }
    }
}

fn call(method: &str, params: &[Value]) -> Result<Call, Refusal> {
    match method {
        "mining.configure" => configure(params),
        "mining.subscribe" => Ok(Call::Subscribe {
            agent: params.first().map_or(Some(String::new()), text).unwrap_or_default(),
            session: params.get(1).and_then(text),
        }),
        "mining.authorize" => match params.first().and_then(text) {
            Some(worker) => Ok(Call::Authorize { worker }),
            None => Err(Refusal::Malformed),
        },
        "mining.extranonce.subscribe" => Ok(Call::SubscribeExtranonce),
        "mining.suggest_difficulty" => {
            let difficulty = params.first().and_then(Value::as_f64);
            difficulty.map(Call::SuggestDifficulty).ok_or(Refusal::Malformed)
        }
        "mining.submit" => Ok(Call::Submit {
            worker: params.first().and_then(text).unwrap_or_default(),
            submission: submission(params).ok_or(Refusal::Malformed),
        }),
        _ => Err(Refusal::UnknownMethod),
    }
}

/// Source: BIP 310.
fn configure(params: &[Value]) -> Result<Call, Refusal> {
    let extensions = params.first().and_then(Value::as_array).ok_or(Refusal::Malformed)?;
    if extensions.len() > EXTENSIONS {
        return Err(Refusal::Malformed);
    }
    let extensions =
        extensions.iter().map(text).collect::<Option<_>>().ok_or(Refusal::Malformed)?;
    let option = |name| params.get(1).and_then(|options| options.get(name));
    let mask = match option("version-rolling.mask") {
        None => u32::MAX,
        Some(mask) => {
            let mask = mask.as_str().filter(|mask| (1..=8).contains(&mask.len()));
            mask.and_then(word).ok_or(Refusal::Malformed)?
        }
    };
    let minimum = match option("minimum-difficulty.value") {
        None => None,
        Some(value) => Some(value.as_f64().ok_or(Refusal::Malformed)?),
    };
    Ok(Call::Configure { extensions, mask, minimum })
}

/// `[worker, job, extranonce2, ntime, nonce]`, and the version bits under BIP 310.
fn submission(params: &[Value]) -> Option<Submission> {
    let (fields, version_bits) = match params {
        [fields @ .., version_bits] if fields.len() == 5 => (fields, Some(version_bits)),
        fields => (fields, None),
    };
    let [worker, job, extranonce2, time, nonce] = fields else { return None };
    text(worker)?;
    let word = |value: &Value| value.as_str().filter(|digits| digits.len() == 8).and_then(word);
    Some(Submission {
        job: job.as_str().filter(|name| name.len() <= POOL_JOB_ID)?.to_owned(),
        extranonce2: Vec::from_hex(extranonce2.as_str()?).ok()?,
        time: word(time)?,
        nonce: word(nonce)?,
        version_bits: match version_bits {
            None => None,
            Some(bits) => Some(word(bits)?),
        },
    })
}

/// Text that is short enough to be kept.
fn text(value: &Value) -> Option<String> {
    value.as_str().filter(|text| text.chars().count() <= FOREIGN_TEXT).map(str::to_owned)
}

/// A number of 32 bits in hex; no sign, as `from_str_radix` would allow.
fn word(digits: &str) -> Option<u32> {
    let is_hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    u32::from_str_radix(digits, 16).ok().filter(|_| is_hex)
}

/// The answer to a request, a line without its end.
pub(super) fn answer(id: &Value, outcome: Result<Value, Refusal>, errors: Errors) -> String {
    let (result, error) = match outcome {
        Ok(result) => (result, Value::Null),
        Err(refusal) => {
            let (code, text) = (refusal.code(), refusal.to_string());
            match errors {
                Errors::Triple => (Value::Null, json!([code, text, null])),
                Errors::Pair => (Value::Null, json!([code, text])),
                Errors::Text => (Value::Null, json!(text)),
                Errors::False => (Value::Bool(false), json!([code, text, null])),
            }
        }
    };
    json!({"id": id, "result": result, "error": error}).to_string()
}

/// A message that nobody asked for, a line without its end.
pub(super) fn notification(method: &str, params: &Value) -> String {
    json!({"id": null, "method": method, "params": params}).to_string()
}

/// The result of `mining.configure`. `mask` is zero where no bit can be rolled, `minimum` whether the least
/// difficulty is heeded.
pub(super) fn configured(extensions: &[String], mask: u32, minimum: bool) -> Value {
    let mut result = Map::new();
    for name in extensions {
        let is_granted = match name.as_str() {
            "version-rolling" => mask != 0,
            "minimum-difficulty" => minimum,
            "subscribe-extranonce" => true,
            _ => false,
        };
        result.insert(name.clone(), Value::Bool(is_granted));
    }
    if result.get("version-rolling") == Some(&Value::Bool(true)) {
        result.insert("version-rolling.mask".to_owned(), json!(format!("{mask:08x}")));
    }
    Value::Object(result)
}

/// Cuts input into lines of bounded length.
#[derive(Default)]
pub(super) struct Lines(Vec<u8>);

impl Lines {
    /// Calls `handle` with each line that `bytes` ends, without its end, until it returns `false`.
    ///
    /// # Errors
    ///
    /// When a line is too long. What follows is of no use then.
    pub(super) fn feed(
        &mut self,
        bytes: &[u8],
        mut handle: impl FnMut(&[u8]) -> bool,
    ) -> Result<(), TooLong> {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            if self.0.len() + piece.len() > POOL_LINE {
                self.0 = Vec::new();
                return Err(TooLong);
            }
            self.0.extend_from_slice(piece);
            if let Some(line) = self.0.strip_suffix(b"\n") {
                let goes_on = handle(line);
                self.0.clear();
                if !goes_on {
                    break;
                }
            }
        }
        Ok(())
    }
}

/// A line is too long.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLong;
