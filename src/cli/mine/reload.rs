//! Settings of a run that goes on: read again when SIGHUP comes, or when the file changes.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::Sender;
use std::thread;
use std::time::Duration;

use super::desktop::{DesktopOptions, Steering};
use super::lines::Recipe;
use super::roster::{Change, Roster};
use super::{Args, check};
use crate::cli::Failure;
use crate::cli::config::{Settings, Typed};
use crate::device::Facts;
use crate::limits::CONFIG_FILE;
use crate::runtime::Control;
use crate::runtime::mining::{Reloaded, Word};
use crate::runtime::service;
use crate::runtime::signals::Reload;
use crate::work::SourceId;

/// Keys that can change while a run goes on; [`Reloader::look`] has each taken over.
const LIVE: [&str; 9] = [
    "price",
    "profile",
    "gpu-share",
    "max-temp",
    "max-power",
    "schedule",
    "when",
    "idle-after",
    "when-busy",
];

/// Keys that make sources what they are.
const OF_SOURCES: [&str; 16] = [
    "source",
    "quota",
    "user",
    "password-file",
    "cookie-file",
    "payout-address",
    "coinbase-tag",
    "propose",
    "template-every",
    "require-payout",
    "tls-fingerprint",
    "insecure",
    "proxy",
    "reconnect-port",
    "min-difficulty",
    "version-mask",
];

/// How often a watched file is looked at. Looking at what it holds also sees a file that was replaced, or that lies
/// behind links and on network drives, of which the systems' own notices tell less.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What counts, and how it is read again.
pub(super) struct Reloader<'t> {
    typed: &'t Typed,
    /// Of the start.
    first: Settings,
    /// Of the last time that they were read and right.
    latest: Settings,
    pub(super) desktop: DesktopOptions,
    /// It began without a source, and so without a share log: sources come with the next start.
    is_practice: bool,
    asked: Reload,
}

impl<'t> Reloader<'t> {
    pub(super) fn new(
        typed: &'t Typed,
        settings: &Settings,
        args: &Args,
        asked: Reload,
    ) -> Result<Self, Failure> {
        if args.watch_config {
            let file = typed.file().ok_or_else(|| {
                Failure::usage(
                    "this system names no folder for settings, so --watch-config has no file to watch; give \
                     --config FILE",
                )
            })?;
            watch(file, asked.clone())?;
        }
        let (first, latest) = (settings.clone(), settings.clone());
        let (desktop, is_practice) = (args.desktop.clone(), args.sources.is_empty());
        Ok(Self { typed, first, latest, desktop, is_practice, asked })
    }

    /// Reads the settings again where somebody asked for it, and puts what changed under way. Returns the sources
    /// that the run did not know before.
    pub(super) fn look(
        &mut self,
        words: &Sender<Word>,
        control: &Control,
        steering: &mut Steering,
        devices: &[Facts],
        roster: &mut Roster,
    ) -> Vec<(SourceId, Recipe)> {
        if !self.asked.take() {
            return Vec::new();
        }
        service::tell(service::State::Reloading);
        let mut added = Vec::new();
        let reloaded = match self.read(roster) {
            Ok((args, settings, change)) => {
                let changed = settings.differing(&self.latest);
                let is_of_sources = |key: &String| OF_SOURCES.contains(&key.as_str());
                let is_live = |key: &String| {
                    LIVE.contains(&key.as_str()) || is_of_sources(key) && !self.is_practice
                };
                let mut changed: Vec<String> = changed.into_iter().filter(is_live).collect();
                if change.is_some() && !changed.iter().any(is_of_sources) {
                    // The settings are the same, so it is what a file holds that they name.
                    changed.push("password-file".to_owned());
                }
                let reloaded = Reloaded {
                    changed,
                    at_next_start: settings
                        .differing(&self.first)
                        .into_iter()
                        .filter(|key| !is_live(key))
                        .collect(),
                    error: None,
                };
                self.latest = settings;
                if let Some(mut change) = change {
                    roster.note(&mut change);
                    let _ = words.send(Word::Sources(change.sources));
                    added = change.added;
                }
                // Nobody hears it when the run is over.
                let _ = words.send(Word::Price(args.price));
                args.desktop.replace(&self.desktop, control, steering, devices);
                self.desktop = args.desktop;
                reloaded
            }
            Err(failure) => Reloaded { error: Some(failure.message), ..Reloaded::default() },
        };
        let _ = words.send(Word::Reloaded(reloaded));
        service::tell(service::State::Ready);
        added
    }

    /// All of them, as good as a run could begin with them.
    fn read(&self, roster: &Roster) -> Result<(Args, Settings, Option<Change>), Failure> {
        let (args, settings) = self.typed.settle()?;
        let change = check(&args)
            .and_then(|()| if self.is_practice { Ok(None) } else { roster.change(&args) });
        let change = change.map_err(|failure| settings.explained(failure))?;
        Ok((args, settings, change))
    }
}

/// Asks for a reload whenever the file holds something else, once it holds that for two looks: whoever writes it may
/// take a moment.
fn watch(file: PathBuf, asked: Reload) -> Result<(), Failure> {
    let (mut known, mut seen) = (contents(&file), None);
    let look = move || {
        loop {
            thread::sleep(LOOK_EVERY);
            let now = contents(&file);
            if now == known {
                seen = None;
            } else if seen.as_ref() == Some(&now) {
                seen = None;
                known = now;
                asked.request();
            } else {
                seen = Some(now);
            }
        }
    };
    thread::Builder::new().name("settings".to_owned()).spawn(look)?;
    Ok(())
}

/// As much as is needed to see that it changed; `None` where it is not there.
fn contents(file: &Path) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(file).ok()?.take(CONFIG_FILE + 1).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}
