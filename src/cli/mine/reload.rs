//! Settings of a run that goes on: read again when SIGHUP comes, or when the file changes.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::Sender;
use std::thread;
use std::time::Duration;

use super::desktop::{DesktopOptions, Steering};
use super::{Args, check};
use crate::cli::Failure;
use crate::cli::config::{Settings, Typed};
use crate::device::Facts;
use crate::limits::CONFIG_FILE;
use crate::runtime::Control;
use crate::runtime::mining::{Reloaded, Word};
use crate::runtime::service;
use crate::runtime::signals::Reload;

/// Keys that can change while a run goes on; [`Reloader::look`] has each taken over.
const LIVE: [&str; 8] =
    ["price", "profile", "gpu-share", "max-temp", "max-power", "schedule", "when", "when-busy"];

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
        Ok(Self { typed, first, latest, desktop: args.desktop.clone(), asked })
    }

    /// Reads the settings again where somebody asked for it, and puts what changed under way.
    pub(super) fn look(
        &mut self,
        words: &Sender<Word>,
        control: &Control,
        steering: &mut Steering,
        devices: &[Facts],
    ) {
        if !self.asked.take() {
            return;
        }
        service::tell(service::State::Reloading);
        let reloaded = match self.read() {
            Ok((args, settings)) => {
                let changed = settings.differing(&self.latest);
                let is_live = |key: &String| LIVE.contains(&key.as_str());
                let reloaded = Reloaded {
                    changed: changed.into_iter().filter(is_live).collect(),
                    at_next_start: settings
                        .differing(&self.first)
                        .into_iter()
                        .filter(|key| !is_live(key))
                        .collect(),
                    error: None,
                };
                self.latest = settings;
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
    }

    /// All of them, as good as a run could begin with them.
    fn read(&self) -> Result<(Args, Settings), Failure> {
        let (args, settings) = self.typed.settle()?;
        check(&args).map_err(|failure| settings.explained(failure))?;
        Ok((args, settings))
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
