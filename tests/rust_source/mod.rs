//! Just enough of Rust's lexical grammar to ask which names a source file uses.

use std::fs;
use std::path::Path;

/// A file of this package.
pub(crate) struct File {
    /// Path from the package root, with `/` between its parts.
    pub(crate) path: String,
    pub(crate) text: String,
}

impl File {
    pub(crate) fn is_rust(&self) -> bool {
        Path::new(&self.path).extension().is_some_and(|extension| extension == "rs")
    }
}

/// The text files in and below a folder of the package, sorted. A missing folder has none.
pub(crate) fn files_below(folder: &str) -> Vec<File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let Ok(entries) = fs::read_dir(root.join(folder)) else { return Vec::new() };
    let mut files = Vec::new();
    for entry in entries.flatten() {
        let path = format!("{folder}/{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            files.extend(files_below(&path));
        } else if let Ok(text) = fs::read_to_string(entry.path()) {
            files.push(File { path, text });
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

/// A name, a number, `::`, or one character of punctuation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Token<'a> {
    pub(crate) text: &'a str,
    /// Counts from 1.
    pub(crate) line: usize,
}

/// The tokens of a source text, without comments, literals in quotes, and the tick of lifetimes.
pub(crate) fn tokens(source: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut rest = source;
    let mut line = 1;
    while let Some(first) = rest.chars().next() {
        let skipped = comment(rest).or_else(|| literal(rest));
        let length = skipped.unwrap_or_else(|| match first {
            ':' if rest.starts_with("::") => 2,
            _ if is_name(first) => name(rest).len(),
            _ => first.len_utf8(),
        });
        let (text, after) = rest.split_at(length);
        if skipped.is_none() && !first.is_whitespace() && first != '\'' {
            tokens.push(Token { text, line });
        }
        line += text.matches('\n').count();
        rest = after;
    }
    tokens
}

/// Whether the tokens begin with these.
pub(crate) fn starts_with(tokens: &[Token<'_>], pattern: &[&str]) -> bool {
    tokens.len() >= pattern.len()
        && tokens.iter().zip(pattern).all(|(token, text)| token.text == *text)
}

/// Index of the bracket that closes the one at `open`, or the end of a text that never closes it.
pub(crate) fn closing(tokens: &[Token<'_>], open: usize) -> usize {
    let mut depth = 0;
    for (index, token) in tokens.iter().enumerate().skip(open) {
        match token.text {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return index;
        }
    }
    tokens.len()
}

/// What a path or a `use` group names next: `a` of `a::b`, and `a`, `c` of `{a::{b}, c}`.
pub(crate) fn heads<'a>(path: &[Token<'a>]) -> Vec<Token<'a>> {
    let Some(first) = path.first() else { return Vec::new() };
    if first.text != "{" {
        return vec![*first];
    }
    let end = closing(path, 0);
    let mut heads = Vec::new();
    let mut index = 1;
    while index < end {
        heads.extend(self::heads(&path[index..end]));
        while index < end && path[index].text != "," {
            index = if path[index].text == "{" { closing(path, index) } else { index } + 1;
        }
        index += 1;
    }
    heads
}

/// Length of the comment that the text begins with.
fn comment(text: &str) -> Option<usize> {
    if text.starts_with("//") {
        return Some(text.find('\n').unwrap_or(text.len()));
    }
    if !text.starts_with("/*") {
        return None;
    }
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        match text.as_bytes().get(at..at + 2) {
            Some(b"/*") => (depth, at) = (depth + 1, at + 2),
            Some(b"*/") => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    Some(at)
}

/// Length of the string or character literal that the text begins with, prefix included.
fn literal(text: &str) -> Option<usize> {
    let prefix = name(text);
    let body = &text[prefix.len()..];
    let length = match prefix {
        "r" | "br" | "cr" => raw_string(body),
        "" | "b" | "c" if body.starts_with('"') => escaped(body, '"'),
        "" | "b" if body.starts_with('\'') => character(body),
        _ => None,
    };
    length.map(|length| prefix.len() + length)
}

fn raw_string(body: &str) -> Option<usize> {
    let hashes = body.chars().take_while(|c| *c == '#').count();
    let inside = body[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    inside.find(&end).map(|at| hashes + 1 + at + end.len())
}

/// `'x'` and `'\n'`, but not the tick of a lifetime.
fn character(body: &str) -> Option<usize> {
    let mut inside = body.chars().skip(1);
    let first = inside.next()?;
    (first == '\\' || inside.next() == Some('\'')).then(|| escaped(body, '\''))?
}

fn escaped(body: &str, quote: char) -> Option<usize> {
    let mut escape = false;
    for (at, c) in body.char_indices().skip(1) {
        if c == quote && !escape {
            return Some(at + 1);
        }
        escape = c == '\\' && !escape;
    }
    None
}

fn is_name(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

fn name(text: &str) -> &str {
    let end = text.find(|c| !is_name(c)).unwrap_or(text.len());
    &text[..end]
}
