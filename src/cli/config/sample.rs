//! The file that `adit config init` writes.

use std::fmt::Write as _;

use super::keys::{Key, Keys, Takes};

/// Characters of a line of explanation.
const WIDTH: usize = 100;

const HEAD: &str = "\
# Settings of `adit mine`. Every line is commented out: take away the # and the space before a key to set it.
#
# A key is an option of `adit mine` without its dashes. Each also has a variable: max-temp is ADIT_MAX_TEMP.
# What is typed wins over the environment, the environment over this file. Paths are best written in full.
# Passwords have files of their own, or ADIT_PASSWORD. `adit config check` looks for mistakes, `adit config show`
# tells what counts.
";

const SOURCES: &str = "\
# A source can also be a table, which must come after all other keys:
#
# [[source]]
# url = \"stratum+tls://pool.example.org:443\"
# user = \"NAME\"
# password-file = \"FILE\"
";

/// Every key with its help.
pub(super) fn text(keys: &Keys) -> String {
    let mut text = HEAD.to_owned();
    for key in keys.iter() {
        text.push('\n');
        for line in key.about.lines() {
            explain(&mut text, line);
        }
        // Writing to a string cannot fail.
        let _ = writeln!(text, "# {} = {}", key.name, example(key));
    }
    text.push('\n');
    text.push_str(SOURCES);
    text
}

fn explain(text: &mut String, line: &str) {
    let mut width = usize::MAX;
    for word in line.split_whitespace() {
        if width.saturating_add(word.len()) > WIDTH {
            if width != usize::MAX {
                text.push('\n');
            }
            text.push('#');
            width = 1;
        }
        text.push(' ');
        text.push_str(word);
        width += 1 + word.len();
    }
    if width == usize::MAX {
        text.push('#');
    }
    text.push('\n');
}

/// The default, or what stands for a value.
fn example(key: &Key) -> String {
    let value = match key.default.first() {
        Some(default) => default.to_string_lossy().into_owned(),
        None => key.placeholder.clone(),
    };
    match key.takes {
        Takes::Switch => value,
        Takes::One => format!("\"{value}\""),
        Takes::Many => format!("[\"{value}\"]"),
    }
}
