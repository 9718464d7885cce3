use std::collections::BTreeMap;
use std::fs;

use super::*;
use crate::source::location::Location;

/// The settings of these words, variables and this file.
fn gathered(words: &[&str], variables: &[(&str, &str)], file: &str) -> Result<Settings, Failure> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("adit.toml");
    fs::write(&path, file).unwrap();
    let mut words: Vec<OsString> = words.iter().map(OsString::from).collect();
    words.push("--config".into());
    words.push(path.into());
    let typed = Keys::new().command().try_get_matches_from(words).unwrap();
    let variables: BTreeMap<&str, &str> = variables.iter().copied().collect();
    Settings::gather(&typed, &|name| variables.get(name).map(OsString::from))
}

/// The value of a key, and whose it is.
fn value(settings: &Settings, name: &str) -> Option<(String, &'static str)> {
    let given = settings.of(Keys::new().find(name).unwrap())?;
    let values: Vec<_> = given.values.iter().map(|value| value.to_string_lossy()).collect();
    let origin = match given.origin {
        Origin::CommandLine => "typed",
        Origin::Variable(_) => "variable",
        Origin::File(..) => "file",
    };
    Some((values.join(" "), origin))
}

#[test]
fn every_key_is_taken_from_the_mightiest_who_says_it() {
    let keys = Keys::new();
    for key in keys.iter() {
        // Real values, as the types of all keys are not known here: those of the defaults will do.
        let Some(default) = key.default.first().map(|value| value.to_str().unwrap()) else {
            continue;
        };
        let variables = [(key.variable.as_str(), default)];
        let file = match key.takes {
            Takes::Switch => format!("{} = {default}", key.name),
            _ => format!("{} = \"{default}\"", key.name),
        };
        let origin = |words: &[&str], variables: &[(&str, &str)], file: &str| {
            let settings = gathered(words, variables, file).unwrap();
            value(&settings, &key.name).map(|(_, origin)| origin)
        };
        let word = match key.takes {
            Takes::Switch => format!("--{}", key.name),
            _ => format!("--{}={default}", key.name),
        };
        assert_eq!(origin(&[&word], &variables, &file), Some("typed"), "{word}");
        assert_eq!(origin(&[], &variables, &file), Some("variable"), "{word}");
        assert_eq!(origin(&[], &[], &file), Some("file"), "{word}");
        assert_eq!(origin(&[], &[], ""), None, "{word}");
    }
}

#[test]
fn a_list_of_one_layer_takes_the_place_of_that_below() {
    let file = "device = [\"cpu\", 0]";
    assert_eq!(value(&gathered(&[], &[], file).unwrap(), "device").unwrap().0, "cpu 0");
    let typed = gathered(&["-d", "1", "--device", "2"], &[("ADIT_DEVICE", "cpu")], file).unwrap();
    assert_eq!(value(&typed, "device").unwrap(), ("1 2".to_owned(), "typed"));
    let two = gathered(&[], &[("ADIT_DEVICE", "[\"cpu\", \"lavapipe\"]")], file).unwrap();
    assert_eq!(value(&two, "device").unwrap(), ("cpu lavapipe".to_owned(), "variable"));
}

#[test]
fn what_excludes_something_mightier_does_not_count() {
    let settings =
        gathered(&["--variant", "std-uniform-w64"], &[], "retune = true\nonce = true").unwrap();
    assert_eq!((value(&settings, "retune"), value(&settings, "once").is_some()), (None, true));
    settings.args().unwrap();
    // A switch that is off excludes nothing.
    let settings =
        gathered(&[], &[("ADIT_RETUNE", "false")], "variant = \"std-uniform-w64\"").unwrap();
    assert!(value(&settings, "variant").is_some());
    let both = gathered(&[], &[], "variant = \"std-uniform-w64\"\nretune = true").unwrap_err();
    assert!(
        both.message.contains(":2:1: `retune` cannot be used with `variant` of line 1"),
        "{both:?}"
    );
}

#[test]
fn numbers_are_read_as_they_are_written() {
    let settings = gathered(&[], &[], "version-mask = 0x1fff_e000\nshares = 1_000").unwrap();
    assert_eq!(value(&settings, "version-mask").unwrap().0, "0x1fffe000");
    assert_eq!(value(&settings, "shares").unwrap().0, "1000");
}

#[test]
fn a_source_that_is_a_table_is_the_source_that_would_be_typed() {
    let file = "[[source]]\nurl = \"stratum+tls://pool.example.org:443\"\nuser = \"bc1q.rig/1 @home\"\n\
                password-file = \"/etc/a&b=c\"\n[[source]]\nurl = \"gbt+http://127.0.0.1:8332\"\n";
    let settings = gathered(&[], &[], file).unwrap();
    let given = settings.of(Keys::new().find("source").unwrap()).unwrap();
    let sources: Vec<Location> =
        given.values.iter().map(|value| value.to_str().unwrap().parse().unwrap()).collect();
    let [Location::Stratum(pool), Location::Node(_)] = &sources[..] else { panic!("{sources:?}") };
    assert_eq!(pool.user.as_deref(), Some("bc1q.rig/1 @home"));
    assert_eq!(pool.password_file, Some(PathBuf::from("/etc/a&b=c")));
}

#[test]
fn a_complaint_says_where_the_option_comes_from() {
    let settings = gathered(&["--once"], &[("ADIT_PROPOSE", "true")], "quota = \"1=1\"").unwrap();
    let told = |message: &str| settings.explained(Failure::usage(message)).message;
    assert!(told("--quota 1=1: no").ends_with("adit.toml:1:1: --quota 1=1: no"));
    assert_eq!(told("--propose needs a node"), "ADIT_PROPOSE: --propose needs a node");
    for message in ["--once is wrong", "--quotas is another", "nothing is named"] {
        assert_eq!(told(message), message);
    }
}
