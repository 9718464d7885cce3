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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(line: &str) -> Request {
        Request::parse(line.as_bytes())
    }

    #[test]
    fn what_real_miners_send_is_understood() {
        let configure = parsed(
            r#"{"id": 1, "method": "mining.configure", "params": [["version-rolling", "minimum-difficulty", "subscribe-extranonce"], {"version-rolling.mask": "1fffe000", "version-rolling.min-bit-count": 2, "minimum-difficulty.value": 512}]}"#,
        );
        let extensions = ["version-rolling", "minimum-difficulty", "subscribe-extranonce"];
        let extensions = extensions.map(str::to_owned).to_vec();
        let expected = Call::Configure { extensions, mask: 0x1fff_e000, minimum: Some(512.0) };
        assert_eq!(configure, Request { id: json!(1), call: Ok(expected) });

        let subscribe = parsed(
            r#"{"id": "a", "method": "mining.subscribe", "params": ["cgminer/4.10", "1f", null]}"#,
        );
        let (agent, session) = ("cgminer/4.10".to_owned(), Some("1f".to_owned()));
        assert_eq!(
            subscribe,
            Request { id: json!("a"), call: Ok(Call::Subscribe { agent, session }) }
        );
        let bare = Call::Subscribe { agent: String::new(), session: None };
        for params in
            ["", r#", "params": []"#, r#", "params": null"#, r#", "params": [null, null]"#]
        {
            let line = format!(r#"{{"method": "mining.subscribe"{params}}}"#);
            assert_eq!(parsed(&line), Request { id: Value::Null, call: Ok(bare.clone()) });
        }

        let submit = r#"{"id": 4, "method": "mining.submit", "params": ["w.1", "1", "00000002", "6B003fc7", "0001074c", "00002000"]}"#;
        let expected = Submission {
            job: "1".to_owned(),
            extranonce2: vec![0, 0, 0, 2],
            time: 0x6b00_3fc7,
            nonce: 0x0001_074c,
            version_bits: Some(0x2000),
        };
        let call = |submission| Ok(Call::Submit { worker: "w.1".to_owned(), submission });
        assert_eq!(parsed(submit).call, call(Ok(expected.clone())));
        let without = submit.replace(r#", "00002000""#, "");
        assert_eq!(
            parsed(&without).call,
            call(Ok(Submission { version_bits: None, ..expected.clone() }))
        );
        let empty = submit.replace("00000002", "");
        assert_eq!(
            parsed(&empty).call,
            call(Ok(Submission { extranonce2: Vec::new(), ..expected }))
        );
    }

    #[test]
    fn submissions_with_one_wrong_field_are_malformed() {
        let right = json!(["w.1", "1", "00000002", "6b003fc7", "0001074c", "00002000"]);
        let long = "1".repeat(POOL_JOB_ID + 1);
        let wrong = [
            json!(null),
            json!(7),
            json!(1.5),
            json!(true),
            json!({}),
            json!([]),
            json!("+1074c00"),
            json!("0x01074c"),
            json!("-0000001"),
            json!("0001074"),
            json!("0001074c0"),
            json!("zzzzzzzz"),
            json!("é01074c"),
        ];
        for field in 0..6 {
            for value in &wrong {
                // A job may have any short name, a worker as well; any even digits are an extranonce2.
                let is_fine = field < 2 && value.is_string();
                let mut params = right.clone();
                params[field] = value.clone();
                let line =
                    json!({"id": 1, "method": "mining.submit", "params": params}).to_string();
                let Ok(Call::Submit { submission, .. }) = parsed(&line).call else {
                    panic!("{line}")
                };
                assert_eq!(submission.is_ok(), is_fine, "{line}");
            }
        }
        for params in [json!([]), json!(["w.1"]), json!(["w", long, "00", "00000000", "00000000"])]
        {
            let line = json!({"id": 1, "method": "mining.submit", "params": params}).to_string();
            let call = parsed(&line).call;
            assert!(
                matches!(call, Ok(Call::Submit { submission: Err(Refusal::Malformed), .. })),
                "{line}"
            );
        }
        let seven = r#"{"id":1,"method":"mining.submit","params":["w","1","00","00000000","00000000","0","0"]}"#;
        assert!(matches!(parsed(seven).call, Ok(Call::Submit { submission: Err(_), .. })));
    }

    #[test]
    fn what_is_no_request_says_so() {
        for (line, refusal) in [
            ("", Refusal::Nonsense),
            ("nonsense", Refusal::Nonsense),
            ("[]", Refusal::Nonsense),
            ("{}", Refusal::Nonsense),
            (r#"{"id": 1, "result": true, "error": null}"#, Refusal::Nonsense),
            (r#"{"id": {}, "method": "mining.subscribe"}"#, Refusal::Nonsense),
            (r#"{"id": 1, "method": 5}"#, Refusal::Nonsense),
            (r#"{"id": 1, "method": "mining.subscribe", "params": {}}"#, Refusal::Malformed),
            (r#"{"id": 1, "method": "mining.authorize", "params": []}"#, Refusal::Malformed),
            (r#"{"id": 1, "method": "mining.configure", "params": []}"#, Refusal::Malformed),
            (r#"{"id": 1, "method": "mining.configure", "params": [[1]]}"#, Refusal::Malformed),
            (
                r#"{"id": 1, "method": "mining.configure", "params": [[], {"version-rolling.mask": "1ffffe000"}]}"#,
                Refusal::Malformed,
            ),
            (
                r#"{"id": 1, "method": "mining.suggest_difficulty", "params": ["1"]}"#,
                Refusal::Malformed,
            ),
            (r#"{"id": 1, "method": "client.get_version", "params": []}"#, Refusal::UnknownMethod),
        ] {
            assert_eq!(parsed(line).call, Err(refusal), "{line}");
        }
        let many = json!({"method": "mining.configure", "params": [vec!["x"; 17]]}).to_string();
        assert_eq!(parsed(&many).call, Err(Refusal::Malformed));
        let deep = "[".repeat(POOL_LINE);
        assert_eq!(parsed(&deep).call, Err(Refusal::Nonsense));
        let long = json!({"method": "mining.authorize", "params": ["x".repeat(FOREIGN_TEXT + 1)]});
        assert_eq!(parsed(&long.to_string()).call, Err(Refusal::Malformed));
    }

    #[test]
    fn errors_have_the_shapes_of_real_pools() {
        let said = |errors| answer(&json!(7), Err(Refusal::Stale), errors);
        for (errors, expected) in [
            (Errors::Triple, r#"{"error":[21,"Stale",null],"id":7,"result":null}"#),
            (Errors::Pair, r#"{"error":[21,"Stale"],"id":7,"result":null}"#),
            (Errors::Text, r#"{"error":"Stale","id":7,"result":null}"#),
            (Errors::False, r#"{"error":[21,"Stale",null],"id":7,"result":false}"#),
        ] {
            assert_eq!(said(errors), expected);
        }
    }

    fn cut(input: &[u8], pieces: usize) -> (Vec<Vec<u8>>, bool) {
        let (mut lines, mut found) = (Lines::default(), Vec::new());
        let is_fine = input.chunks(pieces.max(1)).all(|piece| {
            let fed = lines.feed(piece, |line| {
                found.push(line.to_vec());
                true
            });
            fed.is_ok()
        });
        (found, is_fine)
    }

    #[test]
    fn lines_have_an_upper_bound() {
        let longest = [vec![b'x'; POOL_LINE - 1], b"\n".to_vec()].concat();
        let longer = [b"x".to_vec(), longest.clone()].concat();
        for pieces in [1, 1000, usize::MAX >> 1] {
            assert!(cut(&[longest.clone(), longest.clone()].concat(), pieces).1);
            assert!(!cut(&longer, pieces).1);
            let endless = vec![b'x'; 1 << 20];
            let (found, is_fine) = cut(&endless, pieces);
            assert!(found.is_empty() && !is_fine);
        }
        let mut lines = Lines::default();
        assert_eq!(lines.feed(&vec![0; 64 << 20], |_| true), Err(TooLong));
        assert_eq!(lines.0.capacity(), 0);
    }

    proptest! {
        #[test]
        fn lines_do_not_depend_on_how_they_arrive(
            input in prop::collection::vec(prop_oneof![Just(b'\n'), any::<u8>()], 0..200),
            pieces in 1_usize..50,
        ) {
            let mut expected: Vec<Vec<u8>> = input.split(|b| *b == b'\n').map(<[u8]>::to_vec).collect();
            expected.pop();
            prop_assert_eq!(cut(&input, pieces), (expected, true));
        }

        #[test]
        fn no_line_panics(line in prop::collection::vec(any::<u8>(), 0..200), text in "\\PC*") {
            let _ = Request::parse(&line);
            let _ = parsed(&text);
            let _ = parsed(&json!({"id": 1, "method": "mining.submit", "params": [text]}).to_string());
        }
    }
}
