//! Command line over environment over file over default: who says what, and which of it counts.

use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use clap::parser::ValueSource;
use clap::{ArgMatches, FromArgMatches as _};
use etcetera::BaseStrategy as _;
use toml::de::DeValue;

use super::file::{self, Place, Setting};
use super::keys::{Key, Keys, Takes, without_usage};
use crate::cli::{Exit, Failure, mine};
use crate::limits::{CONFIG_FILE, CONFIG_MISTAKES};
use crate::ui::text;

/// Names the file, instead of the platform's.
pub(super) const FILE_VARIABLE: &str = "ADIT_CONFIG";

/// The file where nobody names one.
const FILE_NAME: &str = "adit.toml";

/// Who said it, the mightiest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Origin {
    CommandLine,
    Variable(String),
    File(PathBuf, Place),
}

/// A setting that somebody made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Given {
    pub(super) key: Key,
    pub(super) values: Vec<OsString>,
    pub(super) origin: Origin,
}

/// The settings that count.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::cli) struct Settings {
    given: Vec<Given>,
}

/// The environment, so that a test can have its own.
pub(super) type Environment<'e> = &'e dyn Fn(&str) -> Option<OsString>;

/// The environment of this process, in which an empty variable says nothing.
pub(super) fn environment(variable: &str) -> Option<OsString> {
    std::env::var_os(variable).filter(|value| !value.is_empty())
}

impl Settings {
    /// What counts of the command line, the environment and the file that one of them names.
    pub(super) fn gather(
        typed: &ArgMatches,
        environment: Environment<'_>,
    ) -> Result<Self, Failure> {
        let keys = Keys::new();
        let named = named(typed, environment);
        let mut layers = vec![of_command_line(&keys, typed)];
        let mut mistakes = Vec::new();
        layers.push(of_environment(&keys, environment, &mut mistakes));
        if let Some((path, text)) = read(named)? {
            layers.push(of_file(&keys, &path, &text, &mut mistakes));
        }
        if !mistakes.is_empty() {
            return Err(told(&mistakes));
        }
        Ok(Self::merged(&keys, layers))
    }

    /// What counts where nobody says anything but a file of this text.
    pub(super) fn of_text(text: &str) -> Result<Self, Failure> {
        let (keys, mut mistakes) = (Keys::new(), Vec::new());
        let layer = of_file(&keys, Path::new(FILE_NAME), text, &mut mistakes);
        if mistakes.is_empty() {
            Ok(Self::merged(&keys, vec![layer]))
        } else {
            Err(told(&mistakes))
        }
    }

    /// The mightier layer wins, also over what cannot be used together with what it says.
    fn merged(keys: &Keys, layers: Vec<Vec<Given>>) -> Self {
        let mut given: Vec<Given> = Vec::new();
        for layer in layers {
            let counts = |lower: &Given| {
                given.iter().all(|upper| {
                    upper.key != lower.key
                        && !(upper.is_set() && keys.conflict(&upper.key, &lower.key))
                })
            };
            let layer: Vec<Given> = layer.into_iter().filter(counts).collect();
            given.extend(layer);
        }
        Self { given }
    }

    /// The options of `adit mine`, read as if all were typed.
    pub(super) fn args(&self) -> Result<mine::Args, Failure> {
        let words = self.given.iter().flat_map(|given| given.key.typed(&given.values));
        let matches = Keys::new().command().try_get_matches_from(words);
        let args = matches.and_then(|matches| mine::Args::from_arg_matches(&matches));
        args.map_err(|error| self.explained(Failure::usage(without_usage(&error))))
    }

    /// Puts before a complaint where the option comes from that it names.
    pub(in crate::cli) fn explained(&self, failure: Failure) -> Failure {
        if failure.exit != Exit::Usage {
            return failure;
        }
        let is_blamed = |given: &&Given| given.is_named_in(&failure.message);
        match self.given.iter().find(is_blamed).map(|given| &given.origin) {
            Some(origin @ (Origin::Variable(_) | Origin::File(..))) => {
                Failure { message: format!("{origin}: {}", failure.message), ..failure }
            }
            _ => failure,
        }
    }

    /// The keys whose values differ from those of `other`, whoever said them.
    pub(in crate::cli) fn differing(&self, other: &Self) -> Vec<String> {
        let values =
            |settings: &Self, key: &Key| settings.of(key).map(|given| given.values.clone());
        let differs = |key: &&Key| values(self, key) != values(other, key);
        Keys::new().iter().filter(differs).map(|key| key.name.clone()).collect()
    }

    pub(super) fn of(&self, key: &Key) -> Option<&Given> {
        self.given.iter().find(|given| given.key == *key)
    }
}

impl Given {
    /// Whether a message is about this option or one of its sources.
    fn is_named_in(&self, message: &str) -> bool {
        let flag = format!("--{}", self.key.name);
        let ends = |rest: &str| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '-');
        let has_flag =
            message.match_indices(&flag).any(|(at, _)| ends(&message[at + flag.len()..]));
        let has_value = |value: &OsString| {
            let text = value.to_string_lossy();
            message.starts_with(text.split('?').next().unwrap_or_default())
        };
        has_flag || self.key.is_source && self.values.iter().any(has_value)
    }

    fn is_set(&self) -> bool {
        self.key.takes != Takes::Switch || self.values.iter().any(|value| value == "true")
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CommandLine => f.write_str("the command line"),
            Self::Variable(name) => f.write_str(name),
            Self::File(path, Place { line, column }) => {
                write!(f, "{}:{line}:{column}", shown(path))
            }
        }
    }
}

/// A path as a terminal may see it.
pub(super) fn shown(path: &Path) -> String {
    text::clean(&path.to_string_lossy())
}

fn of_command_line(keys: &Keys, typed: &ArgMatches) -> Vec<Given> {
    let is_typed = |key: &&Key| typed.value_source(&key.id) == Some(ValueSource::CommandLine);
    let values = |key: &Key| match key.takes {
        Takes::Switch => vec!["true".into()],
        _ => typed.get_raw(&key.id).into_iter().flatten().map(ToOwned::to_owned).collect(),
    };
    let given =
        |key: &Key| Given { key: key.clone(), values: values(key), origin: Origin::CommandLine };
    keys.iter().filter(is_typed).map(given).collect()
}

fn of_environment(
    keys: &Keys,
    environment: Environment<'_>,
    mistakes: &mut Vec<String>,
) -> Vec<Given> {
    let mut given = Vec::new();
    for key in keys.iter() {
        let Some(value) = environment(&key.variable) else { continue };
        let variable = &key.variable;
        let values = match list(key, value) {
            Ok(values) => values,
            Err(why) => {
                mistakes.push(format!("{variable}: {why}"));
                continue;
            }
        };
        for value in &values {
            if let Err(why) = keys.check(key, std::slice::from_ref(value)) {
                mistakes.push(format!("{variable}: {why}"));
            }
        }
        given.push(Given { key: key.clone(), values, origin: Origin::Variable(variable.clone()) });
    }
    given
}

/// A variable has one value; or several, written as in the file.
fn list(key: &Key, value: OsString) -> Result<Vec<OsString>, String> {
    let text = value.to_str().unwrap_or_default();
    match key.takes {
        Takes::Switch if !matches!(text, "true" | "false") => Err("it is true or false".to_owned()),
        Takes::Many if text.starts_with('[') => {
            let form = || {
                let place = &key.placeholder;
                format!("several values are written as a list: [\"{place}\", \"{place}\"]")
            };
            let array = DeValue::parse(text).map_err(|_| form())?;
            let items = array.get_ref().as_array().map(|items| items.iter()).ok_or_else(form)?;
            let text =
                |item: &toml::Spanned<DeValue<'_>>| item.get_ref().as_str().map(OsString::from);
            items.map(text).collect::<Option<_>>().ok_or_else(form)
        }
        _ => Ok(vec![value]),
    }
}

fn of_file(keys: &Keys, path: &Path, text: &str, mistakes: &mut Vec<String>) -> Vec<Given> {
    let (settings, wrong) = file::read(keys, text);
    mistakes.extend(wrong.into_iter().map(|mistake| {
        let Place { line, column } = mistake.place;
        format!("{}:{line}:{column}: {}", shown(path), text::clean_whole(&mistake.what))
    }));
    let given = |Setting { key, values, place }| Given {
        key,
        values,
        origin: Origin::File(path.to_owned(), place),
    };
    settings.into_iter().map(given).collect()
}

/// The first mistakes; a file that is something else has thousands.
fn told(mistakes: &[String]) -> Failure {
    let mut lines = mistakes.iter().take(CONFIG_MISTAKES).cloned().collect::<Vec<_>>();
    if mistakes.len() > CONFIG_MISTAKES {
        lines.push(format!("… and {} more", mistakes.len() - CONFIG_MISTAKES));
    }
    Failure::usage(lines.join("\n"))
}

/// The file that the command line or the environment names.
pub(super) fn named(typed: &ArgMatches, environment: Environment<'_>) -> Option<PathBuf> {
    let named = typed.get_one::<PathBuf>("config").cloned();
    named.or_else(|| environment(FILE_VARIABLE).map(PathBuf::from))
}

/// The file in the platform's folder for settings; `None` where there is no such folder.
pub(super) fn default_file() -> Option<PathBuf> {
    let strategy = etcetera::base_strategy::choose_native_strategy().ok()?;
    Some(strategy.config_dir().join("adit").join(FILE_NAME))
}

/// The file that was named, which must be there, else the default one, which need not.
fn read(named: Option<PathBuf>) -> Result<Option<(PathBuf, String)>, Failure> {
    let must_be = named.is_some();
    let Some(path) = named.or_else(default_file) else { return Ok(None) };
    match contents(&path) {
        Ok(bytes) => match String::from_utf8(bytes) {
            Ok(text) => Ok(Some((path, text))),
            Err(error) => {
                let (good, _) = error.as_bytes().split_at(error.utf8_error().valid_up_to());
                let good = String::from_utf8_lossy(good);
                let Place { line, column } = file::place(&good, good.len());
                Err(Failure::usage(format!(
                    "{}:{line}:{column}: this is no text in UTF-8; save the file as UTF-8",
                    shown(&path)
                )))
            }
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound && !must_be => Ok(None),
        Err(error) => Err(Failure::usage(format!(
            "{}: it cannot be read: {error}; `adit config init` writes a file, and --config FILE or \
             {FILE_VARIABLE} names one",
            shown(&path)
        ))),
    }
}

fn contents(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // One byte more than a file may have shows that it has too many.
    File::open(path)?.take(CONFIG_FILE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > CONFIG_FILE {
        return Err(io::Error::other(format!(
            "it has more than {CONFIG_FILE} bytes, so it is something else"
        )));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests;
