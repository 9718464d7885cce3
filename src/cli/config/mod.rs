//! `adit config`, and the settings of `adit mine`: what is typed, the environment and adit.toml together.

mod file;
mod keys;
mod layers;
mod sample;

use std::ffi::OsStr;
use std::path::PathBuf;

use clap::{ArgMatches, FromArgMatches, Subcommand};

use self::keys::{Key, Keys, Takes};
use self::layers::{FILE_VARIABLE, default_file, environment, shown};
use super::{Failure, mine, output};
use crate::files;
use crate::source::location;
use crate::ui::text;

pub(super) use layers::Settings;

/// The options of `adit mine` as they were typed, before environment and file have their say.
#[derive(Debug, Clone)]
pub(super) struct Typed(ArgMatches);

impl Typed {
    /// The file that is read, whether it is there or not; `None` where this system has no place for it.
    pub(super) fn file(&self) -> Option<PathBuf> {
        layers::named(&self.0, &environment).or_else(default_file)
    }

    /// All options, and who said what. Reads environment and file anew each time.
    ///
    /// # Errors
    ///
    /// Every mistake in them, with its place.
    pub(super) fn settle(&self) -> Result<(mine::Args, Settings), Failure> {
        let settings = Settings::gather(&self.0, &environment)?;
        Ok((settings.args()?, settings))
    }
}

impl FromArgMatches for Typed {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Ok(Self(matches.clone()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.0 = matches.clone();
        Ok(())
    }
}

impl clap::Args for Typed {
    fn augment_args(command: clap::Command) -> clap::Command {
        mine::Args::augment_args(command)
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        mine::Args::augment_args_for_update(command)
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Write a file with every key, its meaning and its default, all commented out
    Init(Init),
    /// Say what is wrong with the file and the environment, or that nothing is
    Check(Which),
    /// Show what counts, and where it comes from; passwords are hidden
    Show(Which),
}

#[derive(Debug, clap::Args)]
pub(super) struct Init {
    #[command(flatten)]
    which: Which,

    /// Write over a file that is there
    #[arg(long)]
    force: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct Which {
    /// This file, instead of the one that `ADIT_CONFIG` names or the one in the platform's folder
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Reads a text as adit.toml, with nothing typed and nothing in the environment. No file is opened, so one that it
/// names need not be there.
///
/// # Errors
///
/// Every mistake in it, with its place.
pub fn check_settings(text: &str) -> Result<(), Failure> {
    Settings::of_text(text)?.args().map(drop)
}

pub(super) fn run(command: &Command) -> Result<(), Failure> {
    match command {
        Command::Init(init) => self::init(init),
        Command::Check(which) => check(which),
        Command::Show(which) => show(which),
    }
}

impl Which {
    fn path(&self) -> Result<PathBuf, Failure> {
        let named = || environment(FILE_VARIABLE).map(PathBuf::from);
        self.config.clone().or_else(named).or_else(default_file).ok_or_else(|| {
            Failure::usage(format!(
                "this system names no folder for settings; give --config FILE, or set {FILE_VARIABLE}"
            ))
        })
    }

    /// What would count for `adit mine` without an option.
    fn typed(&self) -> Result<Typed, Failure> {
        let mut words = Vec::new();
        if let Some(path) = &self.config {
            let mut word = std::ffi::OsString::from("--config=");
            word.push(path);
            words.push(word);
        }
        let matches = Keys::new().command().try_get_matches_from(words);
        matches.map(Typed).map_err(|error| Failure::usage(keys::without_usage(&error)))
    }
}

fn init(init: &Init) -> Result<(), Failure> {
    use std::io::Write as _;

    let path = init.which.path()?;
    let cannot = |error: std::io::Error| {
        Failure::usage(format!(
            "cannot write {}: {error}; give --config another file",
            shown(&path)
        ))
    };
    if path.exists() && !init.force {
        return Err(Failure::usage(format!(
            "{} is there already and was left as it is; --force writes over it, --config FILE writes another",
            shown(&path)
        )));
    }
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(cannot)?;
    }
    let text = sample::text(&Keys::new());
    files::replace(&path, |file| file.write_all(text.as_bytes())).map_err(cannot)?;
    output::line(format_args!("{} has every key, commented out", shown(&path)))
}

fn check(which: &Which) -> Result<(), Failure> {
    let (args, settings) = which.typed()?.settle()?;
    mine::check(&args).map_err(|failure| settings.explained(failure))?;
    let path = which.path()?;
    if path.exists() {
        output::line(format_args!("{}: OK", shown(&path)))
    } else {
        output::line(format_args!(
            "OK: there is no file {}; `adit config init` writes one",
            shown(&path)
        ))
    }
}

fn show(which: &Which) -> Result<(), Failure> {
    let (_, settings) = which.typed()?.settle()?;
    let mut rows = Vec::new();
    for key in Keys::new().iter() {
        match settings.of(key) {
            Some(given) => rows.push((written(key, &given.values), given.origin.to_string())),
            None if !key.default.is_empty() => {
                rows.push((written(key, &key.default), "default".to_owned()));
            }
            None => {}
        }
    }
    let width = rows.iter().map(|(setting, _)| setting.chars().count()).max().unwrap_or(0).min(60);
    rows.iter().try_for_each(|(setting, origin)| {
        output::line(format_args!("{setting:width$}  # {origin}"))
    })
}

/// A setting as the file has it, without what is secret in it.
fn written(key: &Key, values: &[impl AsRef<OsStr>]) -> String {
    let texts =
        values.iter().map(|value| text::clean(&discreet(&value.as_ref().to_string_lossy())));
    let name = &key.name;
    match key.takes {
        Takes::Switch => format!("{name} = {}", texts.collect::<String>()),
        Takes::One => format!("{name} = {}", texts.map(|text| quoted(&text)).collect::<String>()),
        Takes::Many => {
            format!("{name} = [{}]", texts.map(|text| quoted(&text)).collect::<Vec<_>>().join(", "))
        }
    }
}

/// Text in TOML. Numbers may stand in quotes there: they are read as typed.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// URLs may have a password before the host and behind a question mark, and tokens in the path.
fn discreet(text: &str) -> String {
    // A web address that is told what happens; its path is often the key to it.
    if let Some((scheme @ ("http" | "https"), rest)) = text.split_once("://")
        && let Some((host, path)) = rest.split_once('/')
        && !path.is_empty()
    {
        return location::without_secrets(&format!("{scheme}://{host}/…"));
    }
    if text.contains("://") { location::without_secrets(text) } else { text.to_owned() }
}

#[cfg(test)]
mod tests;
