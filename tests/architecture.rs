//! Dependencies between the modules of `src/` point one way: down this table.

mod rust_source;

use std::fs;
use std::path::Path;

use rust_source::{File, Token, files_below, heads, starts_with, tokens};

/// The top-level modules, lowest first. A module may use those of the rows above its own, and no
/// other of its own row. `main.rs` and `lib.rs` may use all.
const LAYERS: &[&[&str]] = &[
    &["limits", "files"],
    &["chain"],
    &["kernel", "work"],
    &["source", "device"],
    &["engine", "link"],
    &["runtime"],
    &["api", "bench", "pool"],
    &["ui"],
    &["cli"],
];

#[test]
fn modules_use_only_the_layers_below_them() {
    let mut files = files_below("src");
    files.retain(File::is_rust);
    assert!(!files.is_empty(), "no Rust source in src/");
    let wrong: Vec<String> =
        files.iter().flat_map(|file| violations(&file.path, &file.text)).collect();
    assert!(wrong.is_empty(), "against the table in {}:\n{}", file!(), wrong.join("\n"));
}

#[test]
fn every_module_has_a_layer() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for entry in fs::read_dir(source).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let module = name.strip_suffix(".rs").unwrap_or(&name);
        let known = matches!(module, "lib" | "main") || layer(module).is_some();
        assert!(known, "src/{name} is in no layer: add `{module}` to the table in {}", file!());
    }
}

/// Every use of a module that the table forbids, one message each.
fn violations(path: &str, text: &str) -> Vec<String> {
    let names = module_path(path);
    let Some(&module) = names.first() else { return Vec::new() };
    let tokens = tokens(text);
    let mut violations = Vec::new();
    for used in root_names(&tokens, names.len()) {
        if used.text == module {
            continue;
        }
        let rule = match (layer(module), layer(used.text)) {
            (Some(own), Some(other)) if other < own => continue,
            (Some(own), Some(other)) if other == own => "is its peer",
            (Some(_), Some(_)) => "is above it",
            (None, _) => "may not be used by a module without a layer",
            (_, None) => "is in no layer",
        };
        let line = used.line;
        violations.push(format!("{path}:{line}: {module} uses crate::{}, which {rule}", used.text));
    }
    violations
}

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

/// `["work", "batch"]` for `src/work/batch.rs`; nothing for the roots of the two crates.
fn module_path(path: &str) -> Vec<&str> {
    let path = path.trim_start_matches("src/").trim_end_matches(".rs");
    if matches!(path, "lib" | "main") {
        return Vec::new();
    }
    path.trim_end_matches("/mod").split('/').collect()
}

/// What is named right below the crate root, through `crate::` or through enough `super::`, in the
/// file of a module that lies `depth` levels below the root.
fn root_names<'a>(tokens: &[Token<'a>], depth: usize) -> Vec<Token<'a>> {
    let mut names = Vec::new();
    // Where each inline `mod name { … }` that is open ends.
    let mut inline: Vec<usize> = Vec::new();
    let mut index = 0;
    while index < tokens.len() {
        let rest = &tokens[index..];
        inline.retain(|end| *end > index);
        if rest[0].text == "mod" && rest.get(2).is_some_and(|token| token.text == "{") {
            inline.push(rust_source::closing(tokens, index + 2));
        }
        if starts_with(rest, &["crate", "::"]) {
            names.extend(heads(&rest[2..]));
        } else if starts_with(rest, &["super", "::"]) {
            let supers = rest.chunks(2).take_while(|pair| starts_with(pair, &["super", "::"]));
            let supers = supers.count();
            if supers >= depth + inline.len() {
                names.extend(heads(&rest[2 * supers..]));
            }
            index += 2 * supers - 1;
        }
        index += 1;
    }
    names
}

#[test]
fn the_scanner_finds_every_way_to_name_a_module() {
    let source = r##"
        //! A doc comment names crate::cli and `crate::ui`.
        use crate::{chain, work::{self, Job}, engine::{a::{b, c}, d}, ui as screen};
        pub(in crate::device) fn f<'a>(x: &'a str) -> crate::limits::Bound {
            // crate::api
            /* crate::api /* nested */ crate::api */
            let _ = ("crate::api \" crate::api", r#"crate::api " "#, b"crate::api", '"', '\'');
            bench!($crate::kernel::K, crate :: source::S, <crate::runtime::R>::new());
        }
    "##;
    let found = tokens(source);
    let names: Vec<&str> = root_names(&found, 1).iter().map(|token| token.text).collect();
    let expected = "chain work engine ui device limits kernel source runtime";
    assert_eq!(names, expected.split(' ').collect::<Vec<_>>());
    assert_eq!(root_names(&found, 1)[0].line, 3);
}

#[test]
fn the_scanner_follows_super_out_of_a_module() {
    let source = "
        use super::{device, work::{self, Job}};
        mod tests { use super::own; use super::super::{engine::E, ui}; }
        use super::api;
    ";
    let names = |depth| -> Vec<&str> {
        root_names(&tokens(source), depth).iter().map(|token| token.text).collect()
    };
    assert_eq!(names(1), ["device", "work", "engine", "ui", "api"]);
    assert!(names(2).is_empty());
}

#[test]
fn a_forbidden_use_is_reported() {
    let of = |path: &str, text: &str| violations(path, text).len();
    assert_eq!(
        violations("src/work/batch.rs", "\nuse crate::{limits::X, device::Device};"),
        ["src/work/batch.rs:2: work uses crate::device, which is above it"]
    );
    assert_eq!(of("src/kernel/mod.rs", "use crate::work::Job;"), 1, "a peer");
    assert_eq!(of("src/work/mod.rs", "use crate::kernel;"), 1, "a peer");
    assert_eq!(of("src/source/mod.rs", "fn f() { super::device::open() }"), 1, "a peer");
    assert_eq!(of("src/ui/plain.rs", "use crate::cli::Args;"), 1, "above");
    assert_eq!(of("src/limits.rs", "use crate::chain;"), 1, "a leaf");
    assert_eq!(of("src/engine/mod.rs", "use crate::novel::X;"), 1, "an unknown module");
    assert_eq!(of("src/novel.rs", "use crate::work::X;"), 1, "an unknown module");
    assert_eq!(of("src/cli/mod.rs", "use crate::{bench, ui}; use crate::cli::mine;"), 0);
    assert_eq!(of("src/lib.rs", "pub use crate::cli::Args;"), 0, "a root");
    assert_eq!(of("src/main.rs", "use crate::anything;"), 0, "a root");
}
