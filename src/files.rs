//! Files that are there whole or not at all, files of one process, and folders that a user names in the environment.

use std::env;
use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

/// Writes a file in place of an earlier one and waits until the disk has it: neither a crash nor a second
/// adit leaves half of one.
///
/// # Errors
///
/// What `write` or the system says; the earlier file is then as it was.
pub fn replace(
    path: &Path,
    write: impl FnOnce(&mut NamedTempFile) -> io::Result<()>,
) -> io::Result<()> {
    let mut file = beside(path)?;
    write(&mut file)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

/// An unnamed file beside another, because only within a file system a rename is one step.
///
/// # Errors
///
/// When the folder is not there or takes no file.
pub fn beside(path: &Path) -> io::Result<NamedTempFile> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    NamedTempFile::new_in(folder.unwrap_or(Path::new(".")))
}

/// Makes a file, unless it is there, and takes its lock, which is held as long as the result lives. The system lets go
/// of it when the process ends, however it does.
///
/// Its own file, because Windows lets nobody else read what is locked.
///
/// # Errors
///
/// [`WouldBlock`](io::ErrorKind::WouldBlock) when another process has it; any other when there are no locks here.
pub fn lock(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
    file.try_lock()?;
    Ok(file)
}

/// The folder that a variable of the environment names; an empty one names none.
#[must_use]
pub fn folder_named_in(variable: &str) -> Option<PathBuf> {
    env::var_os(variable).filter(|folder| !folder.is_empty()).map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_file_is_replaced_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        replace(&path, |file| file.write_all(b"first")).unwrap();
        let broken = replace(&path, |file| {
            file.write_all(b"half of ")?;
            Err(io::Error::other("no more"))
        });
        assert_eq!(broken.unwrap_err().to_string(), "no more");
        assert_eq!(fs::read(&path).unwrap(), b"first");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left behind");
        assert!(replace(&folder.path().join("none/file"), |_| Ok(())).is_err());
    }

    #[test]
    fn a_lock_is_of_one_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let held = lock(&path).unwrap();
        assert_eq!(lock(&path).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        drop(held);
        lock(&path).unwrap();
        assert_eq!(
            lock(&folder.path().join("none/lock")).unwrap_err().kind(),
            io::ErrorKind::NotFound
        );
    }
}
