//! The journal: a line for each share before it is sent, and one for its verdict.
//!
//! Lines of JSON in a file that only grows, up to a bound; then it is renamed, and the one renamed before is gone.
//! What was written survives the process, whatever ends it.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use bitcoin::hex::DisplayHex as _;
use serde::Serialize;

use crate::chain::header_bytes;
use crate::limits::JOURNAL_FILE;
use crate::work::{Share, Ticket, Verdict};

/// An open journal.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    length: u64,
}

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Line<'l> {
    Found {
        /// Unix time in seconds.
        time: f64,
        share: Ticket,
        source: &'l str,
        /// The source's own name for the job.
        job: &'l str,
        /// The header's 80 bytes, in hex.
        header: String,
        hash: String,
        /// What it counts for.
        difficulty: f64,
    },
    Verdict {
        time: f64,
        share: Ticket,
        source: &'l str,
        verdict: Verdict,
        why: Option<&'l str>,
    },
}

impl Journal {
    /// Opens the file, or makes it with its folder.
    ///
    /// # Errors
    ///
    /// When it cannot be made or written.
    pub fn open(path: &Path) -> io::Result<Self> {
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder)?;
        }
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        let length = file.metadata()?.len();
        Ok(Self { path: path.to_owned(), file, length })
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
        difficulty: f64,
    ) -> io::Result<()> {
        let header = header_bytes(&share.header);
        self.write(&Line::Found {
            time: unix_time(),
            share: ticket,
            source,
            job,
            header: header.to_lower_hex_string(),
            hash: share.hash.to_string(),
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
        self.write(&Line::Verdict { time: unix_time(), share: ticket, source, verdict, why })
    }

    /// One write for each line: a line is there, or it is not.
    fn write(&mut self, line: &Line<'_>) -> io::Result<()> {
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        if self.length >= JOURNAL_FILE {
            let mut old = self.path.clone().into_os_string();
            old.push(".1");
            std::fs::rename(&self.path, old)?;
            *self = Self::open(&self.path)?;
        }
        self.file.write_all(&text)?;
        self.length += text.len() as u64;
        Ok(())
    }
}

fn unix_time() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::chain::{self, KNOWN_BLOCKS, parse_header};
    use crate::work::JobId;

    #[test]
    fn a_share_can_be_hashed_again_from_its_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/journal.jsonl");
        let header = KNOWN_BLOCKS[3].header().unwrap();
        let hash = chain::block_hash(&header);
        let share = Share { job: JobId::only(4), number: 0, header, hash };
        for run in 0..2 {
            let mut journal = Journal::open(&path).unwrap();
            journal.found(&share, Ticket(run), "stratum+tcp://pool:3333", "4f", 0.5).unwrap();
            let why = Some("job not found");
            journal.closed(Ticket(run), "stratum+tcp://pool:3333", Verdict::Stale, why).unwrap();
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 4, "the second run adds to what the first wrote");
        let header = parse_header(lines[2]["header"].as_str().unwrap()).unwrap();
        assert_eq!(chain::block_hash(&header).to_string(), KNOWN_BLOCKS[3].hash);
        assert_eq!((&lines[0]["event"], &lines[0]["job"]), (&"found".into(), &"4f".into()));
        assert_eq!((&lines[3]["share"], &lines[3]["verdict"]), (&1.into(), &"stale".into()));
    }

    #[test]
    fn a_full_journal_is_put_aside() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.jsonl");
        let mut journal = Journal::open(&path).unwrap();
        journal.closed(Ticket(1), "a", Verdict::Accepted, None).unwrap();
        journal.length = JOURNAL_FILE;
        journal.closed(Ticket(2), "a", Verdict::Accepted, None).unwrap();
        journal.closed(Ticket(3), "a", Verdict::Accepted, None).unwrap();
        let lines = |path: &Path| std::fs::read_to_string(path).unwrap().lines().count();
        assert_eq!((lines(&folder.path().join("journal.jsonl.1")), lines(&path)), (1, 2));
    }
}
