//! What the package promises: its Rust version, and documents whose commands and links work.

use std::env;
use std::fs;
use std::iter::Peekable;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use toml::de::DeTable;

#[test]
fn no_dependency_needs_a_newer_rust() {
    let promised = rust_version(env!("CARGO_PKG_RUST_VERSION"));
    let metadata = match metadata() {
        Ok(metadata) => metadata,
        Err(why) => return println!("skipped: cargo cannot describe the dependencies: {why}"),
    };
    let dependencies = resolved(&metadata);
    assert!(dependencies.len() > 1, "cargo resolved no dependency");
    let newer: Vec<String> = dependencies
        .iter()
        .filter_map(|package| {
            let needs = package["rust_version"].as_str()?;
            let (name, version) = (package["name"].as_str()?, package["version"].as_str()?);
            (rust_version(needs) > promised).then(|| format!("{name} {version} needs Rust {needs}"))
        })
        .collect();
    assert!(newer.is_empty(), "newer than our `rust-version`:\n{}", newer.join("\n"));
}

#[test]
fn every_dependency_has_a_licence_that_deny_toml_allows() {
    let rules = fs::read_to_string(root().join("deny.toml")).unwrap();
    let rules = DeTable::parse(&rules).unwrap();
    let allowed = rules.get_ref()["licenses"].get_ref().get("allow").unwrap();
    let allowed = allowed.get_ref().as_array().unwrap();
    let allowed: Vec<&str> = allowed.iter().map(|name| name.get_ref().as_str().unwrap()).collect();
    assert!(allowed.contains(&"MIT") && !allowed.contains(&"GPL-3.0"), "{allowed:?}");
    let metadata = match metadata() {
        Ok(metadata) => metadata,
        Err(why) => return println!("skipped: cargo cannot describe the dependencies: {why}"),
    };
    let dependencies = resolved(&metadata);
    assert!(dependencies.len() > 1, "cargo resolved no dependency");
    let refused: Vec<String> = dependencies
        .iter()
        .filter_map(|package| {
            let licence = package["license"].as_str().unwrap_or("without a licence");
            let (name, version) = (package["name"].as_str()?, package["version"].as_str()?);
            (!may_be_used(licence, &allowed)).then(|| format!("{name} {version}: {licence}"))
        })
        .collect();
    assert!(refused.is_empty(), "not in deny.toml:\n{}", refused.join("\n"));
}

/// Whether an SPDX expression allows it: `OR` is a choice, `AND` asks for both and binds closer, and before SPDX a
/// choice was a slash. An exception only adds rights.
fn may_be_used(expression: &str, allowed: &[&str]) -> bool {
    let text = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let mut words = text.split_whitespace().peekable();
    let may = any(&mut words, allowed);
    may == Some(true) && words.next().is_none()
}

fn any<'a>(words: &mut Peekable<impl Iterator<Item = &'a str>>, allowed: &[&str]) -> Option<bool> {
    let mut may = all(words, allowed)?;
    while words.next_if_eq(&"OR").is_some() {
        may |= all(words, allowed)?;
    }
    Some(may)
}

fn all<'a>(words: &mut Peekable<impl Iterator<Item = &'a str>>, allowed: &[&str]) -> Option<bool> {
    let mut may = one(words, allowed)?;
    while words.next_if_eq(&"AND").is_some() {
        may &= one(words, allowed)?;
    }
    Some(may)
}

/// `None` where the expression is none.
fn one<'a>(words: &mut Peekable<impl Iterator<Item = &'a str>>, allowed: &[&str]) -> Option<bool> {
    let name = words.next()?;
    if name == "(" {
        let may = any(words, allowed)?;
        words.next_if_eq(&")")?;
        return Some(may);
    }
    if words.next_if_eq(&"WITH").is_some() {
        words.next()?;
    }
    Some(allowed.contains(&name))
}

#[test]
fn licences_are_read_as_spdx_has_them() {
    let may = |expression| may_be_used(expression, &["MIT", "Zlib"]);
    for yes in ["MIT", "MIT OR GPL-3.0", "GPL-3.0/MIT", "MIT AND Zlib", "GPL-3.0 OR MIT AND Zlib"] {
        assert!(may(yes), "{yes}");
    }
    assert!(may("(GPL-3.0 OR MIT) AND Zlib") && may("MIT WITH some-exception OR GPL-3.0"));
    for no in ["GPL-3.0", "MIT AND GPL-3.0", "(MIT OR Zlib) AND GPL-3.0", "", "MIT Zlib", "(MIT"] {
        assert!(!may(no), "{no}");
    }
    assert!(!may("without a licence") && !may("MIT OR"));
}

#[test]
fn rust_versions_compare_by_number() {
    assert_eq!(rust_version("1.88"), [1, 88, 0]);
    assert!(rust_version("1.88.1") > rust_version("1.88"));
    assert!(rust_version("1.100") > rust_version("1.88.9"));
}

fn rust_version(text: &str) -> [u32; 3] {
    let mut version = [0; 3];
    for (place, part) in version.iter_mut().zip(text.split('.')) {
        *place = part.parse().unwrap_or_else(|_| panic!("not a Rust version: {text}"));
    }
    version
}

/// The dependencies as Cargo.lock pins them: for every platform, or else for this one, because a
/// build downloads nothing for the others.
fn metadata() -> Result<Value, String> {
    let about = cargo(&["-vV"])?;
    let host = about.lines().find_map(|line| line.strip_prefix("host: "));
    let host = host.ok_or("cargo names no host")?;
    let ask = ["metadata", "--format-version", "1", "--locked", "--offline"];
    let answer =
        cargo(&ask).or_else(|_| cargo(&[&ask[..], &["--filter-platform", host]].concat()))?;
    serde_json::from_str(&answer).map_err(|error| error.to_string())
}

fn cargo(arguments: &[&str]) -> Result<String, String> {
    let program = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    run(Command::new(program).args(arguments).current_dir(root()))
}

/// Standard output of a command that ends well, or why it did not.
fn run(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr)))
}

/// The packages in the resolved graph of normal, build and dev dependencies.
fn resolved(metadata: &Value) -> Vec<&Value> {
    let list = |value: &'_ Value| value.as_array().cloned().unwrap_or_default();
    let nodes = list(&metadata["resolve"]["nodes"]);
    let packages = metadata["packages"].as_array().into_iter().flatten();
    packages.filter(|package| nodes.iter().any(|node| node["id"] == package["id"])).collect()
}

#[test]
fn the_commands_of_the_readme_exist() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let commands = commands(&readme);
    assert!(!commands.is_empty(), "README.md shows no `cargo run --release -- …`");
    let wrong: Vec<String> = commands.iter().filter_map(|words| unknown(words)).collect();
    assert!(wrong.is_empty(), "README.md:\n{}", wrong.join("\n"));
}

/// The arguments of each `cargo run … -- ARGUMENTS` in a fenced block, up to a comment or a pipe.
fn commands(markdown: &str) -> Vec<Vec<String>> {
    let mut commands = Vec::new();
    let mut fenced = false;
    for line in markdown.replace("\\\n", " ").lines() {
        let line = line.trim();
        if line.starts_with("```") {
            fenced = !fenced;
        }
        let line = line.strip_prefix("$ ").unwrap_or(line);
        if !fenced || !line.starts_with("cargo run ") {
            continue;
        }
        if let Some((_, arguments)) = line.split_once(" -- ") {
            let ends = |word: &str| matches!(word, "|" | "&&" | ";" | "#" | ">" | "<");
            let words = arguments.split_whitespace().take_while(|word| !ends(word));
            commands.push(words.map(str::to_owned).collect());
        }
    }
    commands
}

/// What a command line asks for that the program does not know: its subcommand, or a flag.
fn unknown(words: &[String]) -> Option<String> {
    let said = words.join(" ");
    let is_flag = |word: &str| word.starts_with('-') && word.len() > 1;
    // `kernel print` is a subcommand of two words; a header is none.
    let is_name = |word: &&String| word.chars().all(|c| c.is_ascii_lowercase());
    let subcommand: Vec<&str> = words.iter().take_while(is_name).map(String::as_str).collect();
    let mut command = Command::new(env!("CARGO_BIN_EXE_adit"));
    let help = match run(command.args(&subcommand).arg("--help")) {
        Ok(help) => help,
        Err(why) => return Some(format!("`{said}`: {why}")),
    };
    let usage = format!("adit {}", subcommand.join(" "));
    if !help.contains(usage.trim()) {
        return Some(format!("`{said}`: the help does not say `{usage}`"));
    }
    let known: Vec<&str> = help.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').collect();
    let flags = words.iter().filter(|word| is_flag(word)).map(|word| word.split('=').next());
    let flag = flags.flatten().find(|flag| !known.contains(flag))?;
    Some(format!("`{said}`: the help does not know {flag}"))
}

#[test]
fn commands_are_read_from_fenced_blocks() {
    let markdown = "cargo run --release -- prose\n```sh\n$ cargo run --release -- mine --blocks 1 # x\n\
                    cargo run --release -- \\\n  bench | tee log\ncargo test -- --nocapture\n```\n";
    assert_eq!(commands(markdown), [vec!["mine", "--blocks", "1"], vec!["bench"]]);
}

#[test]
fn links_between_documents_resolve() {
    let mut broken = Vec::new();
    for document in documents() {
        let text = fs::read_to_string(&document).unwrap();
        let folder = document.parent().unwrap();
        for link in links(&text) {
            if !folder.join(&link).exists() {
                broken.push(format!("{}: {link}", document.display()));
            }
        }
    }
    assert!(broken.is_empty(), "links to no file:\n{}", broken.join("\n"));
}

fn documents() -> Vec<PathBuf> {
    let names = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"];
    let mut documents: Vec<PathBuf> = names.iter().map(|name| root().join(name)).collect();
    let docs = fs::read_dir(root().join("docs")).into_iter().flatten().flatten();
    documents.extend(docs.map(|entry| entry.path()));
    let is_text = |path: &PathBuf| path.is_file() && path.extension().is_some_and(|e| e == "md");
    documents.retain(is_text);
    documents
}

/// The targets of `[text](target)` and `[name]: target` that are files, without their `#fragment`.
fn links(markdown: &str) -> Vec<String> {
    let mut targets = Vec::new();
    let mut fenced = false;
    for line in markdown.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        if fenced {
            continue;
        }
        // Every other piece is `code`.
        for prose in line.split('`').step_by(2) {
            let inline = prose.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next());
            targets.extend(inline);
        }
        if let Some((_, target)) = line.split_once("]: ").filter(|_| line.starts_with('[')) {
            targets.extend(target.split_whitespace().next());
        }
    }
    let files =
        targets.iter().filter(|target| !target.contains("://") && !target.starts_with("mailto:"));
    let files = files.filter_map(|target| target.split('#').next());
    files.filter(|file| !file.is_empty()).map(str::to_owned).collect()
}

#[test]
fn links_are_found() {
    let markdown = "See [a](docs/A.md#part \"t\"), [`b`](../b.rs) and [web](https://example.org/x).\n\
                    [![badge](c.svg)](#here) `[not](one)` [d][d]\n[d]: d.md\n```\n[x](y)\n```\n";
    assert_eq!(links(markdown), ["docs/A.md", "../b.rs", "c.svg", "d.md"]);
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
