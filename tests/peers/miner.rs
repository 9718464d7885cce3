//! `adit mine` against a peer.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::process::{Process, folder};

/// Far more than a run takes on two slow cores that others use too.
const LIMIT: Duration = Duration::from_secs(240);

/// A run that has begun.
pub(crate) struct Miner {
    process: Process,
    folder: TempDir,
}

/// A run that has ended.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) summary: Value,
    /// All that it printed: events, one a line, and remarks.
    pub(crate) said: String,
}

impl Miner {
    /// Starts mining with `arguments` and this password. It has a state of its own.
    pub(crate) fn start(arguments: &[&str], password: Option<&str>) -> Self {
        Self::start_with(arguments, password, |_| {})
    }

    /// The same after `prepare` has put something into the folder of its state.
    pub(crate) fn start_with(
        arguments: &[&str],
        password: Option<&str>,
        prepare: impl FnOnce(&Path),
    ) -> Self {
        let folder = folder();
        let path = |name: &str| folder.path().join(name);
        prepare(&path("state"));
        let mut command = Command::new(env!("CARGO_BIN_EXE_adit"));
        command
            .args(["mine", "--no-tune", "--json", "--summary-json"])
            .arg(path("summary.json"))
            .args(arguments)
            .env("ADIT_STATE_DIR", path("state"))
            .env("ADIT_CACHE_DIR", path("cache"))
            .env_remove("ADIT_PASSWORD")
            .env_remove("RUST_LOG");
        if let Some(password) = password {
            command.env("ADIT_PASSWORD", password);
        }
        Self { process: Process::start(&mut command, &path("log")), folder }
    }

    pub(crate) fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Waits for the end.
    pub(crate) fn end(mut self) -> Run {
        let code = self.process.wait(LIMIT).code();
        let said = self.process.said();
        assert!(!said.contains("panicked"), "{said}");
        let summary =
            fs::read_to_string(self.folder.path().join("summary.json")).unwrap_or_default();
        Run { code, summary: serde_json::from_str(&summary).unwrap_or_default(), said }
    }
}

impl Run {
    /// Of a run that must end well, with every share accounted for.
    pub(crate) fn done(self) -> Self {
        assert_eq!(self.code, Some(0), "{}", self.said);
        let sources = self.summary["sources"].as_array().unwrap();
        for counts in sources.iter().chain([&self.summary]) {
            let ended: u64 = ENDS.iter().map(|end| counts[end].as_u64().unwrap()).sum();
            assert_eq!(counts["found"], ended, "{counts}");
        }
        assert_eq!(self.count("invalid"), 0, "{}", self.summary);
        self
    }

    /// Of a run that must end since none of its sources can be used. It must say `why`.
    pub(crate) fn refused(self, why: &[&str]) {
        assert_eq!(self.code, Some(5), "{}", self.said);
        for word in why {
            assert!(self.said.contains(word), "{word} is not in: {}", self.said);
        }
    }

    /// A number of the summary.
    pub(crate) fn count(&self, name: &str) -> u64 {
        self.summary[name].as_u64().unwrap_or_else(|| panic!("no {name} in {}", self.summary))
    }
}

/// What may become of a share that was found.
const ENDS: [&str; 8] =
    ["accepted", "rejected", "stale", "duplicate", "expired", "invalid", "withheld", "pending"];
