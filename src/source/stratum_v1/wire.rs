//! Lines in and out: the bounds on what a peer sends, JSON, and the kinds of messages.

use std::borrow::Cow;
use std::fmt;

use bitcoin::hex::FromHex;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use crate::chain::{CoinbaseError, TargetError};
use crate::limits::{JSON_DEPTH, JSON_ITEMS, REQUEST_ID, STRATUM_LINE};

/// Why a message makes no sense. It changed nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum Nonsense {
    #[error("a line that is no JSON: {0}")]
    Json(#[from] serde_json::Error),
    #[error("a message that is neither a call nor an answer")]
    Kind,
    #[error("{what} that is not {wanted}")]
    Field { what: &'static str, wanted: &'static str },
    #[error("a job that cannot be mined: {0}")]
    Coinbase(#[from] CoinbaseError),
    #[error("a job that cannot be mined: {0}")]
    Bits(TargetError),
    #[error("mining.set_difficulty: {0}")]
    Difficulty(TargetError),
}

/// A line passes [`STRATUM_LINE`].
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a line of more than {STRATUM_LINE} bytes")]
pub(super) struct LineTooLong;

/// Cuts a stream into lines.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// The beginning of a line whose end has not come.
    begun: Vec<u8>,
}

impl Lines {
    /// Hands the lines that `bytes` complete to `take`, without their ends, until it says `false`.
    pub(super) fn feed(
        &mut self,
        mut bytes: &[u8],
        mut take: impl FnMut(&[u8]) -> bool,
    ) -> Result<(), LineTooLong> {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            let (line, rest) = bytes.split_at(end);
            bytes = rest.get(1..).unwrap_or_default();
            self.check(line)?;
            let goes_on = if self.begun.is_empty() {
                take(line)
            } else {
                self.begun.extend_from_slice(line);
                take(&std::mem::take(&mut self.begun))
            };
            if !goes_on {
                return Ok(());
            }
        }
        self.check(bytes)?;
        self.begun.extend_from_slice(bytes);
        Ok(())
    }

    /// Before more than that is kept.
    fn check(&self, more: &[u8]) -> Result<(), LineTooLong> {
        if self.begun.len() + more.len() > STRATUM_LINE { Err(LineTooLong) } else { Ok(()) }
    }
}

/// JSON within bounds, which borrows what it can from its line.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Json<'a> {
    Null,
    Bool(bool),
    Integer(i64),
    /// Every other number.
    Float(f64),
    Text(Cow<'a, str>),
    Array(Vec<Json<'a>>),
    Object(Vec<(Cow<'a, str>, Json<'a>)>),
}

impl<'a> Json<'a> {
    pub(super) fn parse(line: &'a [u8]) -> Result<Self, serde_json::Error> {
        let mut reader = serde_json::Deserializer::from_slice(line);
        let json = Levels(JSON_DEPTH).deserialize(&mut reader)?;
        reader.end()?;
        Ok(json)
    }

    /// The member of an object: the last of that name, null without one.
    pub(super) fn get(&self, name: &str) -> &Json<'a> {
        let Json::Object(members) = self else { return &Json::Null };
        let member = members.iter().rev().find(|(key, _)| key == name);
        member.map_or(&Json::Null, |(_, value)| value)
    }

    /// The items of an array, else nothing.
    pub(super) fn items(&self) -> &[Json<'a>] {
        if let Json::Array(items) = self { items } else { &[] }
    }

    pub(super) fn text(&self) -> Option<&str> {
        if let Json::Text(text) = self { Some(text) } else { None }
    }

    /// A number, also one that is written as text.
    pub(super) fn number(&self) -> Option<f64> {
        match self {
            #[expect(clippy::cast_precision_loss, reason = "2^53 is enough for what is a float")]
            Json::Integer(number) => Some(*number as f64),
            Json::Float(number) => Some(*number),
            Json::Text(text) => text.trim().parse().ok(),
            _ => None,
        }
    }

    /// Exactly `N` bytes in hex digits.
    pub(super) fn bytes<const N: usize>(&self) -> Option<[u8; N]> {
        <[u8; N]>::from_hex(self.text()?).ok()
    }

    /// Up to `most` bytes in hex digits.
    pub(super) fn data(&self, most: usize) -> Option<Vec<u8>> {
        let text = self.text().filter(|text| text.len() / 2 <= most)?;
        Vec::from_hex(text).ok()
    }

    /// Whether it says that there is nothing: servers have several words for "no error".
    pub(super) fn is_nothing(&self) -> bool {
        match self {
            Json::Null | Json::Bool(false) => true,
            Json::Text(text) => text.is_empty(),
            Json::Array(items) => items.is_empty(),
            Json::Object(members) => members.is_empty(),
            _ => false,
        }
    }
}

/// Reads JSON whose brackets may lie so many levels deep.
struct Levels(usize);

impl Levels {
    fn inner<E: serde::de::Error>(&self) -> Result<Self, E> {
        let left = self.0.checked_sub(1).ok_or_else(|| {
            E::custom(format_args!("more than {JSON_DEPTH} brackets inside one another"))
        })?;
        Ok(Self(left))
    }
}

impl<'de> DeserializeSeed<'de> for Levels {
    type Value = Json<'de>;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Json<'de>, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Levels {
    type Value = Json<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Json<'de>, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json<'de>, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json<'de>, E> {
        Ok(Json::Integer(value))
    }

    #[expect(clippy::cast_precision_loss, reason = "no number beyond 2^63 is an integer for us")]
    fn visit_u64<E>(self, value: u64) -> Result<Json<'de>, E> {
        Ok(i64::try_from(value).map_or(Json::Float(value as f64), Json::Integer))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json<'de>, E> {
        Ok(Json::Float(value))
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Json<'de>, E> {
        Ok(Json::Text(Cow::Borrowed(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Json<'de>, E> {
        Ok(Json::Text(Cow::Owned(value.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut reader: A) -> Result<Json<'de>, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = reader.next_element_seed(self.inner()?)? {
            if items.len() == JSON_ITEMS {
                return Err(too_many());
            }
            items.push(item);
        }
        Ok(Json::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut reader: A) -> Result<Json<'de>, A::Error> {
        let mut members = Vec::new();
        while let Some(name) = reader.next_key_seed(self.inner()?)? {
            let Json::Text(name) = name else { return Err(A::Error::custom("a nameless member")) };
            if members.len() == JSON_ITEMS {
                return Err(too_many());
            }
            members.push((name, reader.next_value_seed(self.inner()?)?));
        }
        Ok(Json::Object(members))
    }
}

fn too_many<E: serde::de::Error>() -> E {
    E::custom(format_args!("more than {JSON_ITEMS} items"))
}

/// What a server says.
#[derive(Debug)]
pub(super) enum Message<'a> {
    Call(Call<'a>),
    Answer(Answer<'a>),
}

/// A request or a notification.
#[derive(Debug)]
pub(super) struct Call<'a> {
    /// What an answer has to repeat, if one is wanted.
    pub(super) id: Option<Value>,
    pub(super) method: Cow<'a, str>,
    /// Parameters that came without brackets count as one.
    pub(super) params: Vec<Json<'a>>,
}

/// An answer to a request of ours.
#[derive(Debug)]
pub(super) struct Answer<'a> {
    pub(super) id: Option<u64>,
    pub(super) result: Json<'a>,
    pub(super) error: Json<'a>,
}

impl<'a> Message<'a> {
    pub(super) fn parse(line: &'a [u8]) -> Result<Self, Nonsense> {
        let Json::Object(members) = Json::parse(line)? else { return Err(Nonsense::Kind) };
        let [mut id, mut method, mut params, mut result, mut error] = [const { Json::Null }; 5];
        let mut is_answer = false;
        for (name, value) in members {
            match &*name {
                "id" => id = value,
                "method" => method = value,
                "params" => params = value,
                "result" => (result, is_answer) = (value, true),
                "error" => (error, is_answer) = (value, true),
                _ => {}
            }
        }
        match (method, params) {
            (Json::Text(method), Json::Array(params)) => {
                Ok(Self::Call(Call { id: echo(&id), method, params }))
            }
            (Json::Text(method), params) => {
                let params = if params == Json::Null { Vec::new() } else { vec![params] };
                Ok(Self::Call(Call { id: echo(&id), method, params }))
            }
            (Json::Null, _) if is_answer => {
                Ok(Self::Answer(Answer { id: our_id(&id), result, error }))
            }
            _ => Err(Nonsense::Kind),
        }
    }
}

/// The id of a request as an answer repeats it.
fn echo(id: &Json<'_>) -> Option<Value> {
    match id {
        Json::Integer(number) => Some(Value::from(*number)),
        Json::Text(text) if text.len() <= REQUEST_ID => Some(Value::from(text.as_ref())),
        _ => None,
    }
}

/// The id of one of our own requests, which are numbers; some servers return them as text.
fn our_id(id: &Json<'_>) -> Option<u64> {
    match id {
        Json::Integer(number) => u64::try_from(*number).ok(),
        Json::Text(text) => text.parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lines_of(pieces: &[&[u8]]) -> (Vec<Vec<u8>>, Result<(), LineTooLong>) {
        let (mut lines, mut found) = (Lines::default(), Vec::new());
        for piece in pieces {
            let fed = lines.feed(piece, |line| {
                found.push(line.to_vec());
                true
            });
            if fed.is_err() {
                return (found, fed);
            }
        }
        (found, Ok(()))
    }

    #[test]
    fn a_line_may_be_as_long_as_the_limit_and_no_longer() {
        for length in [0, 1, STRATUM_LINE - 1, STRATUM_LINE] {
            let line = vec![b'x'; length];
            let whole = [line.as_slice(), b"\n"].concat();
            assert_eq!(lines_of(&[&whole]).0, [line.as_slice()]);
            let cut = [&whole[..length / 2], &whole[length / 2..]];
            assert_eq!(lines_of(&cut), (vec![line], Ok(())), "{length}");
        }
        let line = vec![b'x'; STRATUM_LINE + 1];
        let ended = [line.as_slice(), b"\n"].concat();
        let joined: [&[u8]; 2] = [&line[1..], b"x\n"];
        for pieces in [vec![ended.as_slice()], vec![line.as_slice()], joined.to_vec()] {
            assert_eq!(lines_of(&pieces), (vec![], Err(LineTooLong)));
        }
    }

    #[test]
    fn a_line_that_never_ends_is_never_kept() {
        let (mut lines, piece) = (Lines::default(), vec![b'['; 1 << 16]);
        let pieces = (1..=1 << 14).find(|_| lines.feed(&piece, |_| true).is_err());
        assert_eq!(pieces, Some(STRATUM_LINE / piece.len() + 1), "of 1 GiB");
        assert!(lines.begun.capacity() <= 2 * STRATUM_LINE);
    }

    fn refusal(line: &[u8]) -> String {
        Json::parse(line).unwrap_err().to_string()
    }

    #[test]
    fn brackets_and_items_have_bounds() {
        let nested = |depth| [vec![b'['; depth], vec![b']'; depth]].concat();
        assert!(Json::parse(&nested(JSON_DEPTH)).is_ok());
        for depth in [JSON_DEPTH + 1, 128, 500_000] {
            assert!(refusal(&nested(depth)).starts_with("more than 16 brackets"), "{depth}");
        }
        assert!(refusal(&vec![b'['; 1_000_000]).starts_with("more than 16 brackets"));
        assert!(refusal(&br#"{"a":"#.repeat(200_000)).starts_with("more than 16 brackets"));

        let array = |items: usize| format!("[{}1]", "1,".repeat(items - 1));
        assert!(Json::parse(array(JSON_ITEMS).as_bytes()).is_ok());
        for items in [JSON_ITEMS + 1, 500_000] {
            assert!(refusal(array(items).as_bytes()).starts_with("more than 1024 items"));
        }
        let keys = format!("{{{}\"k\":2}}", "\"k\":1,".repeat(100_000));
        assert!(refusal(keys.as_bytes()).starts_with("more than 1024 items"));
        assert_eq!(*Json::parse(br#"{"k":1,"k":2}"#).unwrap().get("k"), Json::Integer(2));
    }

    #[test]
    fn numbers_and_texts_of_any_length_are_read_or_refused() {
        let digits = "9".repeat(1_000_000);
        assert!(refusal(digits.as_bytes()).starts_with("number out of range"));
        assert!(Json::parse(format!("0.{digits}").as_bytes()).unwrap().number().unwrap() <= 1.0);
        assert!(refusal(format!("1e{digits}").as_bytes()).starts_with("number out of range"));
        assert_eq!(Json::parse(b"18446744073709551615").unwrap().number(), Some(2_f64.powi(64)));
        let escaped = format!("\"{}\"", "\\u0000".repeat(170_000));
        assert_eq!(Json::parse(escaped.as_bytes()).unwrap().text().unwrap().len(), 170_000);
        for text in [&b"\"\xff\""[..], b"\"\\ud800\"", b"\xef\xbb\xbf{}", b"\0", b"{}{}", b""] {
            assert!(Json::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn calls_and_answers_are_told_apart() {
        let call = |line: &str| match Message::parse(line.as_bytes()).unwrap() {
            Message::Call(call) => (call.id, call.method.into_owned(), call.params.len()),
            Message::Answer(answer) => panic!("{answer:?}"),
        };
        let m = || "m".to_owned();
        assert_eq!(call(r#"{"method":"m","params":[1,2]}"#), (None, m(), 2));
        assert_eq!(call(r#"{"id":null,"method":"m","params":null}"#), (None, m(), 0));
        assert_eq!(call(r#"{"id":7,"method":"m"}"#), (Some(Value::from(7)), m(), 0));
        assert_eq!(call(r#"{"id":"x","method":"m","params":"p"}"#), (Some("x".into()), m(), 1));
        assert_eq!(call(r#"{"id":[7],"method":"m","params":[]}"#), (None, m(), 0));
        let long = format!(r#"{{"id":"{}","method":"m"}}"#, "x".repeat(REQUEST_ID + 1));
        assert_eq!(call(&long), (None, m(), 0));

        let answer = |line: &str| match Message::parse(line.as_bytes()).unwrap() {
            Message::Answer(answer) => (answer.id, answer.result == Json::Bool(true)),
            Message::Call(call) => panic!("{call:?}"),
        };
        assert_eq!(answer(r#"{"id":4,"result":true,"error":null}"#), (Some(4), true));
        assert_eq!(answer(r#"{"id":"4","result":true,"method":null}"#), (Some(4), true));
        assert_eq!(answer(r#"{"result":null,"error":"e"}"#), (None, false));
        assert_eq!(answer(r#"{"id":-4,"error":"e"}"#), (None, false));
        for line in ["[]", "{}", "7", r#"{"id":1}"#, r#"{"method":7,"result":true}"#] {
            assert!(matches!(Message::parse(line.as_bytes()), Err(Nonsense::Kind)), "{line}");
        }
    }

    #[test]
    fn hex_has_the_right_length_and_digits() {
        let json = |text: &str| Json::Text(Cow::Owned(text.to_owned()));
        assert_eq!(json("00ffAB").bytes(), Some([0, 0xff, 0xab]));
        assert_eq!(json("00ffAB").data(3), Some(vec![0, 0xff, 0xab]));
        assert_eq!(json("").data(0), Some(vec![]));
        for bad in ["00ff", "00ffabcd", "00ffa", "00ffag", "0x00ff", "éé"] {
            assert_eq!(json(bad).bytes::<3>(), None, "{bad}");
        }
        for bad in ["00ffabcd", "00ffa", "00ffag", "é"] {
            assert_eq!(json(bad).data(3), None, "{bad}");
        }
        assert_eq!(Json::Integer(0).data(3), None);
    }

    proptest! {
        #[test]
        fn reads_what_serde_json_reads(text in r#"[\[\]{}:,"a0-9.eE+\\ntrufls -]{0,40}"#) {
            let reference = serde_json::from_str::<Value>(&text);
            prop_assert_eq!(Json::parse(text.as_bytes()).is_ok(), reference.is_ok(), "{}", text);
        }

        #[test]
        fn lines_do_not_depend_on_the_cuts(
            text in prop::collection::vec(prop_oneof![Just(b'\n'), any::<u8>()], 0..200),
            cuts in prop::collection::vec(0_usize..200, 0..6),
        ) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
            cuts.sort_unstable();
            let mut pieces = Vec::new();
            let mut from = 0;
            for cut in cuts.into_iter().chain([text.len()]) {
                pieces.push(&text[from..cut]);
                from = cut;
            }
            let mut whole: Vec<Vec<u8>> = text.split(|b| *b == b'\n').map(<[u8]>::to_vec).collect();
            whole.pop();
            prop_assert_eq!(lines_of(&pieces).0, whole);
        }
    }
}
