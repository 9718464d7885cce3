//! What a pool's answer to a share means. Servers differ in form, codes and words; words count more.

use super::cut;
use super::wire::{Answer, Json};
use crate::source::Remedy;
use crate::work::Verdict;

/// What an answer says about its share.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Judgement {
    pub(super) verdict: Verdict,
    /// Why, where it is not accepted.
    pub(super) words: Option<String>,
    /// No share of this connection has a chance, and what may help.
    pub(super) hopeless: Option<Remedy>,
}

/// Reads the answer to `mining.submit`.
pub(super) fn judge(answer: &Answer<'_>) -> Judgement {
    if !answer.error.is_nothing() {
        return by_error(&answer.error);
    }
    let (verdict, words) = match &answer.result {
        Json::Bool(true) => (Verdict::Accepted, None),
        Json::Bool(false) | Json::Null => (Verdict::Rejected, Some("no reason given")),
        _ => (Verdict::Rejected, Some("the pool's answer is neither true nor false")),
    };
    Judgement { verdict, words: words.map(str::to_owned), hopeless: None }
}

/// An error's own words; its code where it has none.
pub(super) fn words(error: &Json<'_>) -> String {
    match code_and_words(error) {
        (_, Some(words)) => cut(words),
        (Some(code), None) => format!("error {code}"),
        (None, None) => "no reason given".to_owned(),
    }
}

fn by_error(error: &Json<'_>) -> Judgement {
    let (code, text) = code_and_words(error);
    let lower = text.unwrap_or_default().to_lowercase();
    let says = |any: &[&str]| any.iter().any(|words| lower.contains(words));
    let (verdict, hopeless) = if says(&["duplicate"]) {
        (Verdict::Duplicate, None)
    } else if says(&["stale", "job not found", "unknown job", "no such job", "invalid job"]) {
        (Verdict::Stale, None)
    } else if says(&["low diff", "difficulty too low", "above target", "high-hash", "high hash"]) {
        (Verdict::LowDifficulty, None)
    } else if says(&["not subscribed"]) {
        (Verdict::Rejected, Some(Remedy::Retry))
    } else if says(&["unauthori"]) {
        (Verdict::Rejected, Some(Remedy::User))
    } else if says(&["ntime", "timestamp", "time too"]) {
        // Servers give an old time the code of a low difficulty.
        (Verdict::Rejected, None)
    } else {
        match code {
            Some(21) => (Verdict::Stale, None),
            Some(22) => (Verdict::Duplicate, None),
            Some(23) => (Verdict::LowDifficulty, None),
            Some(24) => (Verdict::Rejected, Some(Remedy::User)),
            Some(25) => (Verdict::Rejected, Some(Remedy::Retry)),
            _ => (Verdict::Rejected, None),
        }
    };
    Judgement { verdict, words: Some(words(error)), hopeless }
}

/// Of `[code, words, …]`, `{code, message}`, or either alone.
fn code_and_words<'a>(error: &'a Json<'_>) -> (Option<i64>, Option<&'a str>) {
    let code = |json: &Json<'_>| if let Json::Integer(code) = json { Some(*code) } else { None };
    match error {
        Json::Array(items) => {
            (items.iter().find_map(code), items.iter().find_map(|item| item.text()))
        }
        Json::Object(_) => (code(error.get("code")), error.get("message").text()),
        _ => (code(error), error.text()),
    }
}
