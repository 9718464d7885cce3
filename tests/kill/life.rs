//! The program from its start to its end, and what it leaves on disk.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use bitcoin::BlockHash;
use bitcoin::block::Header;
use bitcoin::consensus::encode::deserialize_hex;
use serde_json::Value;
use tempfile::TempDir;

use crate::LIMIT;
use crate::signal::signal;

const ADIT: &str = env!("CARGO_BIN_EXE_adit");

/// Whom blocks pay.
const PAYOUT: &str = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080";

/// A folder of its own for each run, and for those after it.
pub(crate) struct Place {
    pub(crate) folder: TempDir,
}

/// A run under way. Dropped, it is killed.
pub(crate) struct Life {
    pub(crate) child: Child,
    said: PathBuf,
}

/// What a disk has of blocks.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    /// Whether each has its answer.
    pub(crate) blocks: BTreeMap<BlockHash, bool>,
    /// What they follow.
    pub(crate) solved: BTreeSet<BlockHash>,
    /// Files that were not written to their end.
    pub(crate) unfinished: usize,
}

/// What a share log says.
#[derive(Debug, Default)]
pub(crate) struct Logged {
    /// With what each follows.
    pub(crate) found: BTreeMap<BlockHash, BlockHash>,
    pub(crate) closed: BTreeSet<BlockHash>,
    pub(crate) verdicts: BTreeMap<String, u64>,
    pub(crate) runs: usize,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.state().join("shares.jsonl")
    }

    pub(crate) fn blocks(&self) -> PathBuf {
        self.state().join("blocks")
    }

    /// The command for a run that goes on until it is ended, without the settings of whoever tests.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let settings = self.folder.path().join("adit.toml");
        fs::write(&settings, "").unwrap();
        let mut command = Command::new(ADIT);
        command.args(["mine", "--device", "cpu", "--json"]).args(arguments);
        command.env("ADIT_STATE_DIR", self.state()).env("ADIT_CONFIG", settings);
        command.env_remove("RUST_LOG").env_remove("ADIT_PASSWORD").stdin(Stdio::null());
        command
    }

    /// Mines for a node.
    pub(crate) fn solo(&self, node: std::net::SocketAddr) -> Command {
        self.command(&["--source", &format!("gbt+http://{node}"), "--payout-address", PAYOUT])
    }

    pub(crate) fn start(&self, command: &mut Command) -> Life {
        let said = self.folder.path().join("said");
        let file = File::create(&said).unwrap();
        let child = command.stdout(file.try_clone().unwrap()).stderr(file).spawn().unwrap();
        Life { child, said }
    }

    pub(crate) fn disk(&self) -> Disk {
        let mut disk = Disk::default();
        for entry in fs::read_dir(self.blocks()).into_iter().flatten().flatten() {
            let name = entry.file_name().into_string().unwrap();
            match name.strip_suffix(".json") {
                Some(hash) => {
                    let kept: Value =
                        serde_json::from_slice(&fs::read(entry.path()).unwrap()).unwrap();
                    assert_eq!(kept["hash"], hash);
                    disk.solved.insert(previous(&kept["block"]));
                    disk.blocks.insert(hash.parse().unwrap(), !kept["answer"].is_null());
                }
                None if name == "lock" => {}
                None => disk.unfinished += 1,
            }
        }
        disk
    }

    pub(crate) fn logged(&self) -> Logged {
        logged(&self.log())
    }

    /// What `adit verify` says of the share log.
    pub(crate) fn verify(&self) -> Output {
        verify(&self.log())
    }
}

/// What `adit verify` says of a share log.
pub(crate) fn verify(log: &Path) -> Output {
    Command::new(ADIT).args(["verify", "--share-log"]).arg(log).output().unwrap()
}

/// Reads a share log, torn lines apart.
pub(crate) fn logged(path: &Path) -> Logged {
    let text = fs::read(path).unwrap_or_default();
    let mut logged = Logged::default();
    let mut shares = BTreeMap::new();
    for line in text.split(|byte| *byte == b'\n') {
        let Ok(line) = serde_json::from_slice::<Value>(line) else { continue };
        match line["event"].as_str().unwrap() {
            "run" => {
                shares.clear();
                logged.runs += 1;
            }
            "found" => {
                let hash: BlockHash = line["hash"].as_str().unwrap().parse().unwrap();
                let earlier = logged.found.insert(hash, previous(&line["header"]));
                assert_eq!(earlier, None, "{hash} twice");
                shares.insert(line["share"].as_u64().unwrap(), hash);
            }
            "verdict" => {
                // That of a share in an earlier file has none here.
                logged.closed.extend(shares.get(&line["share"].as_u64().unwrap()));
                let verdict = line["verdict"].as_str().unwrap().to_owned();
                *logged.verdicts.entry(verdict).or_default() += 1;
            }
            other => panic!("{other}"),
        }
    }
    logged
}

/// What the header at the beginning of this hex follows.
fn previous(hex: &Value) -> BlockHash {
    let header: Header = deserialize_hex(&hex.as_str().unwrap()[..160]).unwrap();
    header.prev_blockhash
}

impl Life {
    /// SIGKILL. It must have been alive.
    pub(crate) fn kill(mut self) {
        if let Some(status) = self.child.try_wait().unwrap() {
            panic!("it ended by itself with {status}: {}", self.said());
        }
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn signal(&self, name: &str) {
        signal(&self.child, name);
    }

    pub(crate) fn end(&mut self) -> ExitStatus {
        self.wait_until("its end", || false)
            .unwrap_or_else(|| panic!("it goes on: {}", self.said()))
    }

    /// Waits until something is so, or the run ended.
    pub(crate) fn wait_until(
        &mut self,
        what: &str,
        mut is_so: impl FnMut() -> bool,
    ) -> Option<ExitStatus> {
        let begun = Instant::now();
        loop {
            if is_so() {
                return None;
            }
            if let Some(status) = self.child.try_wait().unwrap() {
                return Some(status);
            }
            assert!(begun.elapsed() < LIMIT, "{what}: {}", self.said());
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Waits for an event of this kind.
    pub(crate) fn wait_for(&mut self, kind: &str) {
        self.wait_till(kind, |said| !events(said, kind).is_empty());
    }

    /// Waits until it said something.
    pub(crate) fn wait_till(&mut self, what: &str, has_said: impl Fn(&str) -> bool) {
        let path = self.said.clone();
        let ended = self.wait_until(what, || has_said(&text(&path)));
        assert_eq!(ended, None, "{}", self.said());
    }

    /// All that it said, on both outputs.
    pub(crate) fn said(&self) -> String {
        text(&self.said)
    }

    /// What it said as JSON, of one kind.
    pub(crate) fn events(&self, kind: &str) -> Vec<Value> {
        events(&self.said(), kind)
    }
}

fn text(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned()
}

/// The events of a kind among lines.
pub(crate) fn events(said: &str, kind: &str) -> Vec<Value> {
    let events = said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    events.filter(|event| event["event"] == kind).collect()
}

impl Drop for Life {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What is appended to a file from now on.
pub(crate) struct Tail {
    path: PathBuf,
    from: u64,
}

impl Tail {
    pub(crate) fn of(path: &Path) -> Self {
        let from = path.metadata().map_or(0, |about| about.len());
        Self { path: path.to_owned(), from }
    }

    pub(crate) fn has(&self, word: &str) -> bool {
        let Ok(about) = self.path.metadata() else { return false };
        if about.len() <= self.from {
            return false;
        }
        let mut file = File::open(&self.path).unwrap();
        file.seek(SeekFrom::Start(self.from)).unwrap();
        let mut text = Vec::new();
        file.read_to_end(&mut text).unwrap();
        String::from_utf8_lossy(&text).contains(word)
    }
}
