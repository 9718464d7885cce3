//! Reads adit.toml: settings with their places, and every mistake with its place and the way out.

use std::ffi::OsString;
use std::ops::Range;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::keys::{Key, Keys, Takes, closest};

/// What a source that is written as a table can have; the rest are options of its URL.
const SOURCE_OPTIONS: [&str; 6] =
    ["url", "user", "password-file", "cookie-file", "tls-fingerprint", "proxy"];

/// Where something stands in a text, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) line: usize,
    /// In characters.
    pub(super) column: usize,
}

/// A setting of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Setting {
    pub(super) key: Key,
    pub(super) values: Vec<OsString>,
    pub(super) place: Place,
}

/// Something that has to be changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mistake {
    pub(super) place: Place,
    pub(super) what: String,
}

/// What is in a file, right or wrong.
pub(super) fn read(keys: &Keys, text: &str) -> (Vec<Setting>, Vec<Mistake>) {
    let mut reader = Reader { keys, text, settings: Vec::new(), mistakes: Vec::new() };
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let at = error.span().unwrap_or(text.len()..text.len()).start;
        // What follows on the same line follows from the first.
        let line = place(text, at).line;
        if reader.mistakes.iter().all(|mistake| mistake.place.line != line) {
            reader.wrong(at..at, syntax(error.message(), text.get(at..).unwrap_or_default()));
        }
    }
    // After a mistake in the grammar values may be cut short.
    if errors.is_empty() {
        for (name, value) in table.get_ref() {
            reader.key(name, value);
        }
        reader.conflicts();
    }
    reader.mistakes.sort_by_key(|mistake| mistake.place);
    (reader.settings, reader.mistakes)
}

struct Reader<'r> {
    keys: &'r Keys,
    text: &'r str,
    settings: Vec<Setting>,
    mistakes: Vec<Mistake>,
}

type Name<'t> = Spanned<std::borrow::Cow<'t, str>>;

impl Reader<'_> {
    fn wrong(&mut self, at: Range<usize>, what: String) {
        let place = place(self.text, at.start);
        self.mistakes.push(Mistake { place, what });
    }

    fn key(&mut self, name: &Name<'_>, value: &Spanned<DeValue<'_>>) {
        let Some(key) = self.keys.find(name.get_ref()).cloned() else {
            let what = self.unknown(name.get_ref(), value.get_ref());
            return self.wrong(name.span(), what);
        };
        let Some(values) = self.values(&key, value) else { return };
        let words: Vec<OsString> = values.iter().map(|(value, _)| value.into()).collect();
        for (value, at) in &values {
            if let Err(why) = self.keys.check(&key, &[value.into()]) {
                self.wrong(at.clone(), format!("`{}`: {why}", key.name));
            }
        }
        let place = place(self.text, name.span().start);
        self.settings.push(Setting { key, values: words, place });
    }

    fn unknown(&self, name: &str, value: &DeValue<'_>) -> String {
        let told = format!("there is no key {name:?}");
        match name {
            "password" => format!(
                "{told}: this file holds no password; write `password-file = \"FILE\"`, or set ADIT_PASSWORD"
            ),
            _ if value.is_table() => {
                let mut sources = self.keys.iter().filter(|key| key.is_source);
                match sources.find(|key| closest(name, [&*key.name].into_iter()).is_some()) {
                    Some(key) => format!("{told}; did you mean [[{}]], in two brackets?", key.name),
                    None => format!(
                        "{told}: keys stand at the top of the file; leave out the line [{name}]"
                    ),
                }
            }
            _ => match self.keys.meant_by(name) {
                Some(meant) => format!("{told}; did you mean `{meant}`?"),
                None => format!(
                    "{told}: keys are the options of `adit mine` without their dashes, which \
                                 `adit mine --help` lists; leave it out"
                ),
            },
        }
    }

    /// The values of a key as they would be typed, each with its place.
    fn values(
        &mut self,
        key: &Key,
        value: &Spanned<DeValue<'_>>,
    ) -> Option<Vec<(String, Range<usize>)>> {
        match (key.takes, value.get_ref()) {
            (Takes::Many, DeValue::Array(items)) => {
                // Each that is wrong is told.
                let read: Vec<_> = items.iter().map(|item| self.value(key, item)).collect();
                read.into_iter().collect()
            }
            _ => self.value(key, value).map(|value| vec![value]),
        }
    }

    fn value(&mut self, key: &Key, value: &Spanned<DeValue<'_>>) -> Option<(String, Range<usize>)> {
        let at = value.span();
        let text = match (key.takes, value.get_ref()) {
            (Takes::Switch, DeValue::Boolean(is_set)) => is_set.to_string(),
            (Takes::One | Takes::Many, DeValue::String(text)) => text.clone().into_owned(),
            // As it was written: a mask in hex stays one.
            (Takes::One | Takes::Many, DeValue::Integer(_) | DeValue::Float(_)) => {
                self.text.get(at.clone()).unwrap_or_default().replace('_', "")
            }
            (Takes::Many, DeValue::Table(table)) if key.is_source => {
                return self.source(key, table, &at);
            }
            (_, other) => {
                let given = with_article(other.type_str());
                self.wrong(at, format!("`{}` is {given} here; write {}", key.name, form(key)));
                return None;
            }
        };
        Some((text, at))
    }

    /// A source that is written as a table becomes the URL that would be typed.
    fn source(
        &mut self,
        key: &Key,
        table: &DeTable<'_>,
        at: &Range<usize>,
    ) -> Option<(String, Range<usize>)> {
        let before = self.mistakes.len();
        let (mut url, mut user, mut options) = (None, None, Vec::new());
        for (name, value) in table {
            let word = name.get_ref().as_ref();
            if !SOURCE_OPTIONS.contains(&word) {
                let what = self.unknown_option(word);
                self.wrong(name.span(), what);
                continue;
            }
            let Some(text) = value.get_ref().as_str() else {
                let given = with_article(value.get_ref().type_str());
                let what = format!("`{word}` of a source is {given} here; write {word} = \"…\"");
                self.wrong(value.span(), what);
                continue;
            };
            match word {
                "url" => url = Some((text, value.span())),
                "user" => user = Some(text),
                _ => {
                    let text = utf8_percent_encode(text, NON_ALPHANUMERIC);
                    options.push((format!("{word}={text}"), name.span()));
                }
            }
        }
        let Some((url, at_url)) = url else {
            self.wrong(at.clone(), format!("this source has no `url`; write {}", form(key)));
            return None;
        };
        let whole = self.whole_url(url, user, &at_url, &options)?;
        (self.mistakes.len() == before).then_some((whole, at_url))
    }

    fn whole_url(
        &mut self,
        url: &str,
        user: Option<&str>,
        at: &Range<usize>,
        options: &[(String, Range<usize>)],
    ) -> Option<String> {
        let mut whole = url.to_owned();
        if let Some(user) = user {
            let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
            if rest.contains('@') {
                self.wrong(
                    at.clone(),
                    "`url` has a user, and `user` is one too; leave one out".to_owned(),
                );
                return None;
            }
            let user = utf8_percent_encode(user, NON_ALPHANUMERIC);
            whole = format!("{scheme}://{user}@{rest}");
        }
        for (option, _) in options {
            whole.push(if whole.contains('?') { '&' } else { '?' });
            whole.push_str(option);
        }
        Some(whole)
    }

    fn unknown_option(&self, name: &str) -> String {
        if self.keys.find(name).is_some() {
            return format!("`{name}` is a key for all sources: put it above the first [[source]]");
        }
        let told = format!("a source has no {name:?}");
        if name == "password" {
            return format!(
                "{told}: this file holds no password; write `password-file = \"FILE\"`"
            );
        }
        match closest(name, SOURCE_OPTIONS.into_iter()) {
            Some(meant) => format!("{told}; did you mean `{meant}`?"),
            None => format!("{told}; there are {}", SOURCE_OPTIONS.join(", ")),
        }
    }

    /// Keys of which only one can be.
    fn conflicts(&mut self) {
        let is_set = |setting: &&Setting| setting.values.iter().all(|value| value != "false");
        let mut set: Vec<&Setting> = self.settings.iter().filter(is_set).collect();
        set.sort_by_key(|setting| setting.place);
        let mut mistakes = Vec::new();
        for (index, later) in set.iter().enumerate() {
            for earlier in &set[..index] {
                if self.keys.conflict(&earlier.key, &later.key) {
                    let what = format!(
                        "`{}` cannot be used with `{}` of line {}; leave one out",
                        later.key.name, earlier.key.name, earlier.place.line
                    );
                    mistakes.push(Mistake { place: later.place, what });
                }
            }
        }
        self.mistakes.extend(mistakes);
    }
}

/// How a key is written.
fn form(key: &Key) -> String {
    let Key { name, placeholder, .. } = key;
    match key.takes {
        Takes::Switch => format!("{name} = true or {name} = false"),
        Takes::One => match key.default.first() {
            Some(default) => format!("{name} = \"{}\"", default.display()),
            None => format!("{name} = \"{placeholder}\""),
        },
        Takes::Many if key.is_source => {
            format!(
                "{name} = [\"{placeholder}\"], or a table [[{name}]] with url = \"{placeholder}\""
            )
        }
        Takes::Many => format!("{name} = [\"{placeholder}\"]"),
    }
}

fn with_article(kind: &str) -> String {
    let kind = match kind {
        "boolean" => return "true or false".to_owned(),
        "array" => "list",
        "datetime" => "date or time",
        kind => kind,
    };
    let article = if kind.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
    format!("{article} {kind}")
}

/// What the grammar's reader says, with the way out; `rest` is the text from there on.
fn syntax(message: &str, rest: &str) -> String {
    let line = rest.lines().next().unwrap_or_default().trim();
    let word = line.to_lowercase();
    let has = |part: &str| message.contains(part);
    let way_out = if has("duplicate key") {
        "leave one out; a list is written KEY = [\"A\", \"B\"]"
    } else if has("escape") || has("unicode") {
        "write the text in single quotes, in which a backslash is only a backslash"
    } else if has("array") {
        "put a comma between the values of a list, and close it with ]"
    } else if has("must be quoted") && line.is_empty() {
        return "a value is missing: write KEY = VALUE".to_owned();
    } else if has("boolean") || ["yes", "no", "on", "off"].contains(&word.as_str()) {
        return "write true or false; text stands in double quotes".to_owned();
    } else if has("must be quoted") {
        // It may be a secret, so it is not repeated.
        return "text stands in double quotes".to_owned();
    } else if has("string") {
        "close the text with the mark that opened it"
    } else if has("unexpected key or value") {
        "begin a new line for it, or leave it out"
    } else {
        "write KEY = VALUE, one a line, with text in double quotes"
    };
    format!("{message}: {way_out}")
}

/// Where a byte of a text is.
pub(super) fn place(text: &str, byte: usize) -> Place {
    let before = text.get(..byte).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |end| end + 1);
    let line = before.matches('\n').count() + 1;
    Place { line, column: before[line_start..].chars().count() + 1 }
}
