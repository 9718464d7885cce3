//! Rules of this code base that no lint knows. Each takes a file and returns what breaks it.

mod rust_source;

use rust_source::{File, Token, closing, files_below, heads, starts_with, tokens};

const MOST_LINES: usize = 700;

/// Deciding code: events and the time come in, decisions go out, so a test can replay a day.
const WITHOUT_CLOCK: [&str; 7] = [
    "src/chain/",
    "src/device/tune/halving",
    "src/device/tune/stats.rs",
    "src/engine/",
    "src/kernel/",
    "src/source/",
    "src/work/",
];

/// Calls into graphics drivers, and what Windows and macOS say in C only. Nothing else has a reason for `unsafe`.
const UNSAFE: [&str; 3] =
    ["src/device/gpu/", "src/runtime/presence/macos.rs", "src/runtime/presence/windows.rs"];

/// Everything else returns data, so that one place cleans and formats what a terminal shows.
const PRINTING: [&str; 3] = ["src/main.rs", "src/cli/", "src/ui/"];

#[test]
fn files_are_short() {
    check(&["src", "tests", "shaders", "benches"], too_long);
}

#[test]
fn lints_are_silenced_with_a_reason() {
    check(&["src", "tests", "benches"], silenced_without_reason);
}

#[test]
fn deciding_code_has_no_thread_socket_or_clock() {
    check(&["src"], thread_socket_or_clock);
}

#[test]
fn unsafe_code_is_in_one_place() {
    check(&["src"], misplaced_unsafe);
}

#[test]
fn printing_is_in_one_place() {
    check(&["src"], misplaced_print);
}

fn check(folders: &[&str], rule: fn(&File) -> Vec<String>) {
    let files: Vec<File> = folders.iter().flat_map(|folder| files_below(folder)).collect();
    assert!(files.iter().any(File::is_rust), "no Rust source in {folders:?}");
    let broken: Vec<String> = files.iter().flat_map(rule).collect();
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

fn too_long(file: &File) -> Vec<String> {
    let lines = file.text.lines().count();
    // Nobody reads these from top to bottom.
    let is_data =
        ["/fixtures/", "/corpus/", "/Cargo.lock"].iter().any(|part| file.path.contains(part));
    if lines <= MOST_LINES || is_data {
        return Vec::new();
    }
    vec![format!("{}: {lines} lines, {MOST_LINES} at most: split it", file.path)]
}

fn silenced_without_reason(file: &File) -> Vec<String> {
    let tokens = code(file);
    let mut broken = Vec::new();
    for index in 0..tokens.len() {
        let rest = &tokens[index..];
        let open = match rest {
            _ if starts_with(rest, &["#", "["]) => 1,
            _ if starts_with(rest, &["#", "!", "["]) => 2,
            _ => continue,
        };
        let attribute = &rest[open..closing(rest, open)];
        for (at, token) in attribute.iter().enumerate() {
            let silences = matches!(token.text, "allow" | "expect")
                && attribute.get(at + 1).is_some_and(|next| next.text == "(");
            if !silences {
                continue;
            }
            let lints = &attribute[at..closing(attribute, at + 1)];
            if !lints.windows(2).any(|pair| starts_with(pair, &["reason", "="])) {
                broken.push(format!(
                    "{}:{}: `{}` without `reason`",
                    file.path, token.line, token.text
                ));
            }
        }
    }
    broken
}

fn thread_socket_or_clock(file: &File) -> Vec<String> {
    // A test has to take its first `Instant` from somewhere.
    let is_test = file.path.ends_with("/tests.rs") || file.path.contains("/tests/");
    if !is_in(file, &WITHOUT_CLOCK) || is_test {
        return Vec::new();
    }
    let tokens = without_tests(&code(file));
    let mut broken = Vec::new();
    for index in 0..tokens.len() {
        let rest = &tokens[index..];
        let clock = ["Instant", "SystemTime"].iter().any(|c| starts_with(rest, &[*c, "::", "now"]));
        let module = starts_with(rest, &["std", "::"])
            && heads(&rest[2..]).iter().any(|head| matches!(head.text, "thread" | "net"));
        if clock || module {
            let (path, line) = (&file.path, rest[0].line);
            broken.push(format!("{path}:{line}: deciding code uses a thread, a socket or a clock"));
        }
    }
    broken
}

fn misplaced_unsafe(file: &File) -> Vec<String> {
    if is_in(file, &UNSAFE) {
        return Vec::new();
    }
    let tokens = code(file);
    let found = tokens.iter().filter(|token| token.text == "unsafe");
    found.map(|token| format!("{}:{}: unsafe outside {UNSAFE:?}", file.path, token.line)).collect()
}

fn misplaced_print(file: &File) -> Vec<String> {
    if is_in(file, &PRINTING) {
        return Vec::new();
    }
    let prints = |pair: &[Token<'_>]| {
        let names = ["print", "println", "eprint", "eprintln"];
        names.iter().any(|name| starts_with(pair, &[*name, "!"]))
    };
    let tokens = code(file);
    let found = tokens.windows(2).filter(|pair| prints(pair));
    found
        .map(|pair| format!("{}:{}: prints outside {PRINTING:?}", file.path, pair[0].line))
        .collect()
}

fn is_in(file: &File, places: &[&str]) -> bool {
    places.iter().any(|place| file.path.starts_with(place))
}

/// The tokens of a Rust file; none of any other.
fn code(file: &File) -> Vec<Token<'_>> {
    if file.is_rust() { tokens(&file.text) } else { Vec::new() }
}

/// Leaves out the items behind `#[cfg(test)]`.
fn without_tests<'a>(tokens: &[Token<'a>]) -> Vec<Token<'a>> {
    let test = ["#", "[", "cfg", "(", "test", ")", "]"];
    let mut kept = Vec::new();
    let mut index = 0;
    while index < tokens.len() {
        if starts_with(&tokens[index..], &test) {
            index += test.len();
            while index < tokens.len() && !matches!(tokens[index].text, ";" | "{") {
                index += 1;
            }
            if index < tokens.len() {
                index = closing(tokens, index);
            }
        } else {
            kept.push(tokens[index]);
        }
        index += 1;
    }
    kept
}

#[test]
fn each_rule_can_fail() {
    let found = |rule: fn(&File) -> Vec<String>, path: &str, text: &str| {
        rule(&File { path: path.to_owned(), text: text.to_owned() }).len()
    };

    assert_eq!(found(too_long, "shaders/a.wgsl", &"\n".repeat(701)), 1);
    assert_eq!(found(too_long, "src/a.rs", &"\n".repeat(700)), 0);

    let silent = |text| found(silenced_without_reason, "src/a.rs", text);
    assert_eq!(silent("#[allow(dead_code)] fn f() {}"), 1);
    assert_eq!(silent("#![allow(dead_code, unused)]"), 1);
    assert_eq!(silent("#[cfg_attr(test, expect(dead_code), allow(unused))]"), 2);
    assert_eq!(silent("#[allow(\n dead_code,\n reason = \"why\")] fn f() {}"), 0);
    assert_eq!(silent("// #[allow(dead_code)]\nfn f() { x[0].expect(\"#[allow(x)]\"); }"), 0);

    let sans = |path, text| found(thread_socket_or_clock, path, text);
    assert_eq!(sans("src/engine/mod.rs", "fn f() { let t = Instant::now(); }"), 1);
    assert_eq!(sans("src/work/a.rs", "fn f() { std::time::SystemTime::now(); }"), 1);
    assert_eq!(sans("src/chain/a.rs", "use std::thread;"), 1);
    assert_eq!(sans("src/source/a.rs", "use std::{fmt, net::{self, TcpStream}};"), 1);
    assert_eq!(sans("src/kernel/a.rs", "#[cfg(test)] mod tests; fn f() { std::net::x() }"), 1);
    assert_eq!(sans("src/engine/a.rs", "#[cfg(test)] mod tests { fn f() { Instant::now(); } }"), 0);
    assert_eq!(sans("src/engine/a.rs", "use std::time::Instant; // std::thread"), 0);
    assert_eq!(sans("src/runtime.rs", "use std::thread;"), 0);

    assert_eq!(found(misplaced_unsafe, "src/work/a.rs", "unsafe { f() }"), 1);
    assert_eq!(found(misplaced_unsafe, "src/work/a.rs", "\n// unsafe\n#![deny(unsafe_code)]"), 0);
    assert_eq!(found(misplaced_unsafe, "src/device/gpu/a.rs", "unsafe { f() }"), 0);

    assert_eq!(found(misplaced_print, "src/engine/a.rs", "eprintln!(\"x\");"), 1);
    assert_eq!(found(misplaced_print, "src/lib.rs", "//! println!()\nfn print() {}"), 0);
    assert_eq!(found(misplaced_print, "src/ui/a.rs", "println!(\"x\");"), 0);
}
