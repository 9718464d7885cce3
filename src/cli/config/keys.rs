//! The keys of adit.toml, read off the options of `adit mine`: there is no second list.

use std::any::TypeId;
use std::ffi::OsString;

use clap::error::ErrorKind;
use clap::{ArgAction, Command, CommandFactory as _};

use crate::cli::Cli;
use crate::source::location::Location;

/// Options that are no settings.
const NO_KEYS: [&str; 3] = ["help", "version", "config"];

/// How alike two words must be for one to be meant by the other, between 0 and 1.
const ALIKE: f64 = 0.8;

/// All keys, and the command that reads their values.
pub(super) struct Keys {
    mine: Command,
    keys: Vec<Key>,
}

/// An option of `adit mine` that can also be a key and a variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    /// As it is typed after two dashes, and in the file.
    pub(super) name: String,
    /// As the environment has it.
    pub(super) variable: String,
    /// clap's name for it.
    pub(super) id: String,
    /// How many values it takes.
    pub(super) takes: Takes,
    /// What a value is called in the help, or the first that there is.
    pub(super) placeholder: String,
    /// What counts where nobody says anything.
    pub(super) default: Vec<OsString>,
    /// What it is for, from the help.
    pub(super) about: String,
    /// Whether its values are sources of work, which may be written as tables.
    pub(super) is_source: bool,
}

/// How many values a key takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Takes {
    /// None: it is true or false.
    Switch,
    /// One.
    One,
    /// Any number.
    Many,
}

impl Keys {
    /// Those of this program.
    pub(super) fn new() -> Self {
        let mut cli = Cli::command();
        // Options of the program as a whole become options of each command.
        cli.build();
        let mine = cli.find_subcommand("mine").cloned().unwrap_or_default();
        let keys = mine.get_arguments().filter_map(Key::of).collect();
        Self { mine: mine.no_binary_name(true), keys }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Key> {
        self.keys.iter()
    }

    pub(super) fn find(&self, name: &str) -> Option<&Key> {
        self.keys.iter().find(|key| key.name == name)
    }

    /// The name that was probably meant.
    pub(super) fn meant_by(&self, given: &str) -> Option<&str> {
        closest(given, self.keys.iter().map(|key| key.name.as_str()))
    }

    /// Whether two keys exclude each other.
    pub(super) fn conflict(&self, a: &Key, b: &Key) -> bool {
        let excludes = |a: &Key, b: &Key| {
            let arg = self.mine.get_arguments().find(|arg| arg.get_id() == a.id.as_str());
            arg.is_some_and(|arg| {
                let others = self.mine.get_arg_conflicts_with(arg);
                others.iter().any(|other| other.get_id() == b.id.as_str())
            })
        };
        excludes(a, b) || excludes(b, a)
    }

    /// Reads values as the command line does, and says what is wrong with them.
    pub(super) fn check(&self, key: &Key, values: &[OsString]) -> Result<(), String> {
        match self.mine.clone().try_get_matches_from(key.typed(values)) {
            Ok(_) => Ok(()),
            // What other options this one needs shows when all are known.
            Err(error) if error.kind() == ErrorKind::MissingRequiredArgument => Ok(()),
            Err(error) => Err(without_usage(&error)),
        }
    }

    /// The command that reads the options of `adit mine`, without a name before them.
    pub(super) fn command(&self) -> Command {
        self.mine.clone()
    }
}

impl Key {
    fn of(arg: &clap::Arg) -> Option<Self> {
        let name = arg.get_long().filter(|name| !NO_KEYS.contains(name))?;
        let takes = match arg.get_action() {
            ArgAction::SetTrue => Takes::Switch,
            ArgAction::Append => Takes::Many,
            _ => Takes::One,
        };
        let placeholder = match &arg.get_possible_values()[..] {
            [first, ..] if takes != Takes::Switch => Some(first.get_name().to_owned()),
            _ => arg.get_value_names().and_then(<[_]>::first).map(ToString::to_string),
        };
        let help = arg.get_long_help().or_else(|| arg.get_help());
        Some(Self {
            name: name.to_owned(),
            variable: format!("ADIT_{}", name.to_uppercase().replace('-', "_")),
            id: arg.get_id().to_string(),
            takes,
            placeholder: placeholder.unwrap_or_default(),
            default: match takes {
                Takes::Switch => vec!["false".into()],
                _ => {
                    arg.get_default_values().iter().map(|value| OsString::from(&**value)).collect()
                }
            },
            about: help.map(ToString::to_string).unwrap_or_default(),
            is_source: arg.get_value_parser().type_id() == TypeId::of::<Location>(),
        })
    }

    /// The words that would be typed for these values.
    pub(super) fn typed(&self, values: &[OsString]) -> Vec<OsString> {
        let flag = format!("--{}", self.name);
        if self.takes == Takes::Switch {
            let is_set = values.iter().any(|value| value == "true");
            return if is_set { vec![flag.into()] } else { Vec::new() };
        }
        let word = |value: &OsString| {
            let mut word = OsString::from(format!("{flag}="));
            word.push(value);
            word
        };
        values.iter().map(word).collect()
    }
}

/// The word among `known` that was probably meant.
pub(super) fn closest<'k>(given: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    let given = given.to_lowercase().replace('_', "-");
    let likeness = known.map(|word| (strsim::jaro(&given, word), word));
    let best = likeness.max_by(|a, b| a.0.total_cmp(&b.0))?;
    (best.0 > ALIKE).then_some(best.1)
}

/// What clap says about a value, without what it adds for people who typed it.
pub(super) fn without_usage(error: &clap::Error) -> String {
    let text = error.to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    let text = text.split("\n\nUsage:").next().unwrap_or_default();
    let text = text.split("\n\nFor more information").next().unwrap_or_default();
    // The place names the key already.
    let text =
        match text.split_once(" for '--").map(|(before, rest)| (before, rest.split_once('\''))) {
            Some((before, Some((_, after)))) => format!("{before}{after}"),
            _ => text.to_owned(),
        };
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_option_of_mine_has_a_key_and_a_variable_of_its_own() {
        let keys = Keys::new();
        let options: Vec<&clap::Arg> = keys.mine.get_arguments().collect();
        assert!(options.len() > 20, "{options:?}");
        for option in options {
            let name = option.get_long();
            let name = name.unwrap_or_else(|| panic!("{option} has no long name to be a key"));
            if NO_KEYS.contains(&name) {
                continue;
            }
            let key = keys.find(name).unwrap_or_else(|| panic!("{name} has no key"));
            assert_eq!(key.variable, format!("ADIT_{}", name.replace('-', "_").to_uppercase()));
            let known = matches!(
                option.get_action(),
                ArgAction::SetTrue | ArgAction::Set | ArgAction::Append
            );
            assert!(known, "--{name}: teach `Takes` the action {:?}", option.get_action());
            assert!(!key.about.is_empty(), "--{name} has no help for the file");
            let taken = [
                "ADIT_PASSWORD",
                "ADIT_HTTP_TOKEN",
                "ADIT_CONFIG",
                "ADIT_STATE_DIR",
                "ADIT_CACHE_DIR",
            ];
            assert!(
                !taken.contains(&key.variable.as_str()),
                "{} means something else",
                key.variable
            );
        }
        let variables: BTreeSet<&str> = keys.iter().map(|key| key.variable.as_str()).collect();
        assert_eq!(variables.len(), keys.iter().count());
    }

    #[test]
    fn what_was_meant_is_found_among_the_keys() {
        let keys = Keys::new();
        for (given, meant) in [
            ("sorce", Some("source")),
            ("sources", Some("source")),
            ("payout_address", Some("payout-address")),
            ("Quota", Some("quota")),
            ("mindifficulty", Some("min-difficulty")),
            ("zzz", None),
        ] {
            assert_eq!(keys.meant_by(given), meant, "{given}");
        }
    }

    #[test]
    fn values_are_read_by_the_parsers_of_the_flags() {
        let keys = Keys::new();
        let check = |name: &str, value: &str| {
            keys.check(keys.find(name).unwrap(), &[OsString::from(value)])
        };
        assert_eq!(check("template-every", "45s"), Ok(()));
        assert_eq!(check("once", "true"), Ok(()));
        assert_eq!(
            check("version-mask", "-1").unwrap_err(),
            "invalid value '-1': \"-1\" is no \
                   version mask: write 1 to 8 hex digits, such as 1fffe000 (BIP 320)"
        );
        let secret = check("source", "stratum+tcp://me:hunter2@pool:3333").unwrap_err();
        assert!(!secret.contains("hunter2"), "{secret}");
    }

    #[test]
    fn options_that_exclude_each_other_are_known() {
        let keys = Keys::new();
        let conflict = |a, b| keys.conflict(keys.find(a).unwrap(), keys.find(b).unwrap());
        assert!(conflict("wgsl", "variant") && conflict("variant", "wgsl"));
        assert!(!conflict("wgsl", "source"));
    }
}
