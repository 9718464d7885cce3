//! Results of tunes, one file for each device, used until anything that they depend on changes.
//!
//! A file holds every measurement, so that it can be judged later. It is replaced as a whole, so that
//! neither a crash nor a second adit leaves half of one. A file that cannot be used is told of and
//! ignored: a new tune costs seconds.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use bitcoin::hex::DisplayHex as _;
use etcetera::BaseStrategy as _;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::halving::{Ending, Skip};
use super::run::{Order, Tuned};
use super::stats::Interval;
use crate::device::Facts;
use crate::files;
use crate::kernel::{Kernel, Variant};
use crate::limits::TUNING_FILE;

/// The form of the file. A file with another number is ignored.
const SCHEMA: u32 = 1;

/// Names the folder that the files lie in, instead of the platform's.
pub const FOLDER_VARIABLE: &str = "ADIT_CACHE_DIR";

/// What a result depends on. A result counts as long as all of it is the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// The device's name.
    pub name: String,
    /// PCI vendor number, or the interface's own.
    pub vendor_id: Option<u32>,
    /// PCI device number, or the interface's own.
    pub device_id: Option<u32>,
    /// PCI address.
    pub pci: Option<String>,
    /// The interface that reaches it.
    pub backend: String,
    /// Driver name and version.
    pub driver: Option<String>,
    /// The version of adit.
    pub adit: String,
    /// SHA-256 over the names and texts of all candidates, with the texts that fill their tables.
    pub kernels: String,
}

/// A saved result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Saved {
    schema: u32,
    /// What it depends on.
    pub key: Key,
    /// How long a batch was, in seconds. One result serves all profiles: the length changes all
    /// candidates alike.
    pub batch_seconds: f64,
    /// How long the tune was allowed to take, in seconds.
    pub budget_seconds: f64,
    /// How long it took.
    pub seconds: f64,
    /// Why it ended.
    pub ending: Ending,
    /// The name of the fastest kernel.
    pub winner: String,
    /// Every candidate, in the order in which they were tried.
    pub candidates: Vec<Row>,
}

/// A candidate of a saved result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The kernel's name.
    pub kernel: String,
    /// SHA-256 of its WGSL.
    pub wgsl: String,
    /// How often it was measured.
    pub rounds: usize,
    /// Hashes per second, the median; `None` when it was not measured.
    pub rate: Option<f64>,
    /// The 95 % interval of the rate; `None` when there are too few rounds for one.
    pub interval: Option<Interval>,
    /// Why it was left out, if it was.
    #[serde(flatten)]
    pub skipped: Option<Skip>,
}

/// What the folder has for a device.
#[derive(Debug, Clone, PartialEq)]
pub enum Lookup {
    /// A result that counts.
    Fresh(Box<Saved>),
    /// One that does not count any more, and what changed.
    Stale(Box<Saved>, String),
    /// No file.
    None,
    /// A file that cannot be used, and why.
    Unusable(PathBuf, String),
}

/// A folder of results.
#[derive(Debug, Clone)]
pub struct Cache {
    folder: PathBuf,
}

impl Key {
    /// The key of a device whose candidates are these.
    #[must_use]
    pub fn new(facts: &Facts, candidates: &[Variant]) -> Self {
        let mut kernels = Sha256::new();
        for variant in candidates {
            kernels.update(fingerprint(&Kernel::new(*variant)));
        }
        Self {
            name: facts.name.clone(),
            vendor_id: facts.vendor_id,
            device_id: facts.device_id,
            pci: facts.pci.clone(),
            backend: facts.backend.clone(),
            driver: facts.driver.clone(),
            adit: env!("CARGO_PKG_VERSION").to_owned(),
            kernels: kernels.finalize().to_lower_hex_string(),
        }
    }

    /// The name of the device's file: readable, and one for each of several equal cards.
    fn file_name(&self) -> String {
        let device =
            format!("{}\n{:?}\n{:?}\n{:?}", self.name, self.vendor_id, self.device_id, self.pci);
        let readable: String = self
            .name
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' })
            .take(40)
            .collect();
        format!("{readable}-{}.json", &Sha256::digest(device).to_lower_hex_string()[..16])
    }

    fn is_of_same_device(&self, other: &Self) -> bool {
        let device = |key: &Self| (key.name.clone(), key.vendor_id, key.device_id, key.pci.clone());
        device(self) == device(other)
    }

    /// What is different now; `None` when nothing is.
    fn change(&self, now: &Self) -> Option<String> {
        let unknown = || "unknown".to_owned();
        let changed = |what: &str, then: &str, now: &str| format!("{what} was {then} and is {now}");
        if self.driver != now.driver {
            let [then, now] = [self, now].map(|key| key.driver.clone().unwrap_or_else(unknown));
            Some(changed("its driver", &then, &now))
        } else if self.backend != now.backend {
            Some(changed("the interface to it", &self.backend, &now.backend))
        } else if self.adit != now.adit {
            Some(changed("adit", &self.adit, &now.adit))
        } else if self.kernels != now.kernels {
            Some("the kernels have changed".to_owned())
        } else {
            None
        }
    }
}

impl Saved {
    /// The result of a tune, if it has a winner.
    #[must_use]
    pub fn new(key: Key, order: &Order, tuned: &Tuned) -> Option<Self> {
        let winner = order.candidates.get(tuned.verdict.winner?)?.to_string();
        let rows = order.candidates.iter().zip(&tuned.verdict.results);
        Some(Self {
            schema: SCHEMA,
            key,
            batch_seconds: order.batch_time.as_secs_f64(),
            budget_seconds: order.budget.as_secs_f64(),
            seconds: tuned.elapsed.as_secs_f64(),
            ending: tuned.verdict.ending,
            winner,
            candidates: rows
                .map(|(variant, result)| Row {
                    kernel: variant.to_string(),
                    wgsl: Kernel::new(*variant).wgsl_sha256(),
                    rounds: result.rounds,
                    rate: result.rate,
                    interval: result.interval,
                    skipped: result.skipped.clone(),
                })
                .collect(),
        })
    }

    /// The fastest kernel.
    ///
    /// # Errors
    ///
    /// When the file names none.
    pub fn variant(&self) -> Result<Variant, String> {
        if self.candidates.iter().all(|row| row.kernel != self.winner) {
            return Err(format!("its winner {:?} is no candidate", self.winner));
        }
        self.winner.parse().map_err(|error: crate::kernel::VariantError| error.to_string())
    }
}

impl Cache {
    /// The folder that `ADIT_CACHE_DIR` names, else `adit` in the platform's folder for caches. `None`
    /// where the user has no home.
    #[must_use]
    pub fn of_user() -> Option<Self> {
        let folder = match files::folder_named_in(FOLDER_VARIABLE) {
            Some(folder) => folder,
            None => {
                etcetera::base_strategy::choose_native_strategy().ok()?.cache_dir().join("adit")
            }
        };
        Some(Self::at(&folder))
    }

    /// The results below a folder, which is made when the first is saved.
    #[must_use]
    pub fn at(folder: &Path) -> Self {
        Self { folder: folder.join("tune") }
    }

    /// What there is for a key.
    #[must_use]
    pub fn look_up(&self, key: &Key) -> Lookup {
        let path = self.path(key);
        let text = match read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Lookup::None,
            Err(error) => return Lookup::Unusable(path, error.to_string()),
        };
        match parse(&text, key) {
            Err(why) => Lookup::Unusable(path, why),
            Ok(saved) => match saved.key.change(key) {
                Some(change) => Lookup::Stale(Box::new(saved), change),
                None => Lookup::Fresh(Box::new(saved)),
            },
        }
    }

    /// Saves a result in place of an earlier one, and returns the file.
    ///
    /// # Errors
    ///
    /// The file, and why it cannot be written.
    pub fn save(&self, saved: &Saved) -> Result<PathBuf, String> {
        let path = self.path(&saved.key);
        let written = || -> io::Result<()> {
            fs::create_dir_all(&self.folder)?;
            files::replace(&path, |file| {
                serde_json::to_writer_pretty(&mut *file, saved)?;
                file.write_all(b"\n")
            })
        };
        match written() {
            Ok(()) => Ok(path),
            Err(error) => Err(format!("{}: {error}", path.display())),
        }
    }

    /// Drops the result of a device. One that cannot be dropped is met again, and refused again.
    pub fn forget(&self, key: &Key) {
        if let Err(error) = fs::remove_file(self.path(key)) {
            tracing::debug!("{}: {error}", self.path(key).display());
        }
    }

    fn path(&self, key: &Key) -> PathBuf {
        self.folder.join(key.file_name())
    }
}

fn read(path: &Path) -> io::Result<String> {
    // A pipe would block, a folder makes no good message.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    let mut text = String::new();
    File::open(path)?.take(TUNING_FILE + 1).read_to_string(&mut text)?;
    if text.len() as u64 > TUNING_FILE {
        return Err(io::Error::other(format!("it is longer than {TUNING_FILE} bytes")));
    }
    Ok(text)
}

/// A result that is well-formed and of the key's device.
fn parse(text: &str, key: &Key) -> Result<Saved, String> {
    #[derive(Deserialize)]
    struct Head {
        schema: u32,
    }
    let head: Head = serde_json::from_str(text).map_err(|error| error.to_string())?;
    if head.schema != SCHEMA {
        return Err(format!("it has form {}, and this version reads {SCHEMA}", head.schema));
    }
    let saved: Saved = serde_json::from_str(text).map_err(|error| error.to_string())?;
    if !saved.key.is_of_same_device(key) {
        return Err("it is of another device".to_owned());
    }
    // A kernel that is gone is no mistake of a file that an older version wrote.
    if saved.key.change(key).is_none() {
        saved.variant()?;
    }
    Ok(saved)
}

/// The name of a kernel, and a hash of each text that a device runs for it.
fn fingerprint(kernel: &Kernel) -> String {
    let table = kernel.rows.as_ref().map(|rows| Sha256::digest(&rows.wgsl).to_lower_hex_string());
    format!("{kernel} {} {}\n", kernel.wgsl_sha256(), table.unwrap_or_default())
}

#[cfg(test)]
mod tests;
