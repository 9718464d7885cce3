//! The share log: a line for each share before it is sent, and one for its verdict, so that all can be hashed again.
//!
//! Lines of JSON, each with a checksum, in a file that only grows, up to a bound; then it is renamed, and the one
//! renamed before is gone. What was written survives the process, whatever ends it.

mod check;

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use bitcoin::Target;
use bitcoin::hex::DisplayHex as _;
use serde::{Deserialize, Serialize};

use crate::chain::{header_bytes, sha256d};
use crate::files;
use crate::limits::SHARE_LOG_FILE;
use crate::work::{Share, Ticket, Verdict};

pub use check::{Checked, Trouble, check};

/// What ends each line, around the 16 digits of its checksum.
const SUM: (&str, &str) = (",\"sum\":\"", "\"}");

/// An open share log.
#[derive(Debug)]
pub struct ShareLog {
    path: PathBuf,
    file: File,
    length: u64,
    /// Whether it says that this run began.
    has_begun: bool,
    /// A write failed, maybe in the middle of a line.
    is_torn: bool,
    /// Keeps other processes away.
    _lock: Option<File>,
}

/// A line, without its checksum.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Line {
    /// A run begins; its shares are numbered anew.
    Run {
        /// Unix time in seconds.
        time: f64,
        version: String,
    },
    Found {
        time: f64,
        share: Ticket,
        source: String,
        /// The source's own name for the job.
        job: String,
        /// The header's 80 bytes, in hex.
        header: String,
        hash: String,
        /// What the hash must not exceed; none where the job was forgotten.
        target: Option<String>,
        /// What it counts for.
        difficulty: f64,
    },
    Verdict {
        time: f64,
        share: Ticket,
        source: String,
        verdict: Verdict,
        why: Option<String>,
    },
}

impl ShareLog {
    /// Opens the file, or makes it with its folder.
    ///
    /// # Errors
    ///
    /// When it cannot be made, or another process writes to it.
    pub fn open(path: &Path) -> io::Result<Self> {
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder)?;
        }
        let (file, length) = append(path)?;
        let lock = lock(path)?;
        // A crash may have cut the last line off.
        let (has_begun, is_torn) = (false, true);
        Ok(Self { path: path.to_owned(), file, length, has_begun, is_torn, _lock: lock })
    }

    /// Notes that a run begins. Until that was possible, every other line is preceded by another try.
    ///
    /// # Errors
    ///
    /// When the line cannot be written.
    pub fn begin(&mut self) -> io::Result<()> {
        if !self.has_begun {
            let version = env!("CARGO_PKG_VERSION").to_owned();
            self.write(&Line::Run { time: unix_time(), version })?;
            self.has_begun = true;
        }
        Ok(())
    }

    /// A share was found and is about to be sent.
    ///
    /// # Errors
    ///
    /// When the line cannot be written.
    pub fn found(
        &mut self,
        share: &Share,
        ticket: Ticket,
        source: &str,
        job: &str,
        target: Option<&Target>,
        difficulty: f64,
    ) -> io::Result<()> {
        self.begin()?;
        self.write(&Line::Found {
            time: unix_time(),
            share: ticket,
            source: source.to_owned(),
            job: job.to_owned(),
            header: header_bytes(&share.header).to_lower_hex_string(),
            hash: share.hash.to_string(),
            target: target.map(|target| format!("{target:064x}")),
            difficulty,
        })
    }

    /// A share has its verdict.
    ///
    /// # Errors
    ///
    /// When the line cannot be written.
    pub fn closed(
        &mut self,
        ticket: Ticket,
        source: &str,
        verdict: Verdict,
        why: Option<&str>,
    ) -> io::Result<()> {
        self.begin()?;
        self.write(&Line::Verdict {
            time: unix_time(),
            share: ticket,
            source: source.to_owned(),
            verdict,
            why: why.map(ToOwned::to_owned),
        })
    }

    fn write(&mut self, line: &Line) -> io::Result<()> {
        if self.length >= SHARE_LOG_FILE {
            let mut old = self.path.clone().into_os_string();
            old.push(".1");
            std::fs::rename(&self.path, old)?;
            (self.file, self.length) = append(&self.path)?;
        }
        let mut text = sealed(line)?;
        if self.is_torn && !ends_with_its_line(&self.path)? {
            // What is left of a line shall not spoil the next one.
            text.insert(0, '\n');
        }
        // One write for each line: it is there, or it is not. A full disk takes a part of it.
        self.is_torn = true;
        self.file.write_all(text.as_bytes())?;
        self.is_torn = false;
        self.length += text.len() as u64;
        Ok(())
    }
}

fn append(path: &Path) -> io::Result<(File, u64)> {
    let file = OpenOptions::new().create(true).append(true).open(path)?;
    let length = file.metadata()?.len();
    Ok((file, length))
}

/// Takes the lock of a share log. What is no file (a pipe, a terminal) has none.
fn lock(path: &Path) -> io::Result<Option<File>> {
    // Whatever name it goes by.
    let path = path.canonicalize()?;
    if !path.metadata()?.is_file() {
        return Ok(None);
    }
    let mut name = path.into_os_string();
    name.push(".lock");
    match files::lock(Path::new(&name)) {
        Ok(lock) => Ok(Some(lock)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            Err(io::Error::new(error.kind(), "another adit that is running writes to it"))
        }
        Err(error) => {
            // Its folder takes no file, or has no locks.
            tracing::warn!("nothing keeps a second adit from {}: {error}", name.display());
            Ok(None)
        }
    }
}

/// A line with its checksum and its end.
fn sealed(line: &Line) -> io::Result<String> {
    let text = serde_json::to_string(line)?;
    let sum = sum(&text);
    let open = text.strip_suffix('}').unwrap_or(&text);
    Ok(format!("{open}{}{sum}{}\n", SUM.0, SUM.1))
}

/// The first half of the hash's first half: enough for accidents. Who forges a line can forge its sum.
fn sum(text: &str) -> String {
    sha256d(text.as_bytes())[..8].to_lower_hex_string()
}

fn ends_with_its_line(path: &Path) -> io::Result<bool> {
    let about = path.metadata()?;
    // A terminal or a pipe has no end to look at.
    if !about.is_file() || about.len() == 0 {
        return Ok(true);
    }
    let mut file = File::open(path)?;
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

fn unix_time() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}

#[cfg(test)]
mod tests;
