//! Solved blocks on disk: each is there, and synced, before it is submitted, and until its node gave a final answer.
//!
//! A block is a file `HASH.json`, replaced as a whole when it is answered.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::files;
use crate::limits::NODE_ANSWER;

/// How files begin that are being written.
const UNFINISHED: &str = ".tmp";

/// A folder of solved blocks.
#[derive(Debug, Clone)]
pub struct Vault {
    folder: PathBuf,
}

/// A solved block as it lies on disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// As explorers show it.
    pub hash: String,
    /// Blocks before this one.
    pub height: u32,
    /// The node's name for its chain.
    pub chain: String,
    /// The serialised block, in hex.
    pub block: String,
    /// The node's final answer; none yet where it is missing.
    pub answer: Option<String>,
}

impl Vault {
    /// The blocks below a folder, which is made with the first.
    #[must_use]
    pub fn at(folder: &Path) -> Self {
        Self { folder: folder.join("blocks") }
    }

    /// Makes the folder and keeps other processes out of it, as long as the result lives. What an earlier process did
    /// not write to its end goes.
    ///
    /// # Errors
    ///
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) when another process has it; any other when it cannot be written.
    pub fn lock(&self) -> io::Result<File> {
        fs::create_dir_all(&self.folder)?;
        let lock = files::lock(&self.folder.join("lock"))?;
        for entry in fs::read_dir(&self.folder)?.flatten() {
            if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
                let _ = fs::remove_file(entry.path());
            }
        }
        Ok(lock)
    }

    /// Where the blocks are.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Writes a block and waits until the disk has it.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn keep(&self, kept: &Kept) -> io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        files::replace(&self.path(&kept.hash), |file| Ok(serde_json::to_writer(file, kept)?))?;
        // The name is on disk when its folder is; not every system can sync one.
        if let Ok(folder) = File::open(&self.folder) {
            let _ = folder.sync_all();
        }
        Ok(())
    }

    /// Notes the final answer to a block.
    ///
    /// # Errors
    ///
    /// When the block cannot be read or written.
    pub fn answered(&self, hash: &str, answer: String) -> io::Result<()> {
        let kept = read(&self.path(hash))?;
        self.keep(&Kept { answer: Some(answer), ..kept })
    }

    /// The blocks without an answer, and the files that are none.
    #[must_use]
    pub fn unanswered(&self) -> (Vec<Kept>, Vec<(PathBuf, io::Error)>) {
        let (mut blocks, mut broken) = (Vec::new(), Vec::new());
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.extension().is_none_or(|extension| extension != "json") {
                continue; // a write that was cut off
            }
            match read(&path) {
                Ok(kept) if kept.answer.is_none() => blocks.push(kept),
                Ok(_) => {}
                Err(error) => broken.push((path, error)),
            }
        }
        blocks.sort_by_key(|kept| kept.height);
        (blocks, broken)
    }

    fn path(&self, hash: &str) -> PathBuf {
        self.folder.join(format!("{hash}.json"))
    }
}

fn read(path: &Path) -> io::Result<Kept> {
    if fs::metadata(path)?.len() > NODE_ANSWER as u64 {
        return Err(io::Error::other("it is too large to be a block"));
    }
    Ok(serde_json::from_slice(&fs::read(path)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(height: u32) -> Kept {
        let hash = format!("{height:064x}");
        Kept { hash, height, chain: "regtest".to_owned(), block: "00".repeat(100), answer: None }
    }

    #[test]
    fn a_block_stays_until_it_is_answered() {
        let folder = tempfile::tempdir().unwrap();
        let vault = Vault::at(folder.path());
        assert_eq!(vault.unanswered().0, []);
        for height in [7, 3, 5] {
            vault.keep(&kept(height)).unwrap();
        }
        vault.answered(&kept(5).hash, "accepted".to_owned()).unwrap();
        let again = Vault::at(folder.path());
        assert_eq!(again.unanswered().0, [kept(3), kept(7)]);
        assert!(again.answered("unknown", String::new()).is_err());
    }

    #[test]
    fn a_broken_file_is_told_and_hides_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let vault = Vault::at(folder.path());
        vault.keep(&kept(1)).unwrap();
        fs::write(folder.path().join("blocks/2.json"), "{\"hash\":").unwrap();
        fs::write(folder.path().join("blocks/.tmp123"), "{").unwrap();
        let (blocks, broken) = vault.unanswered();
        assert_eq!((blocks, broken.len()), (vec![kept(1)], 1));
    }

    #[test]
    fn a_folder_is_of_one_process_which_clears_what_another_left_half_written() {
        let folder = tempfile::tempdir().unwrap();
        let vault = Vault::at(folder.path());
        vault.keep(&kept(1)).unwrap();
        let half = files::beside(&vault.path("x")).unwrap().into_temp_path().keep().unwrap();
        let held = vault.lock().unwrap();
        assert!(!half.exists() && vault.unanswered().0 == [kept(1)]);
        assert_eq!(vault.lock().unwrap_err().kind(), io::ErrorKind::WouldBlock);
        drop(held);
        vault.lock().unwrap();
    }
}
