//! Saved records.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::record::{Record, SCHEMA};
use crate::files;
use crate::limits::BENCHMARK_FILE;

/// Why a record cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// There is no such file, or it cannot be opened or read.
    #[error("{}: {error}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// It is larger than any record.
    #[error("{} has more than {BENCHMARK_FILE} bytes, so it is no record of a benchmark", .0.display())]
    TooLarge(PathBuf),
    /// It is not a record.
    #[error("{} is no record of a benchmark as `adit bench --json` writes it: {why}", .path.display())]
    NotARecord {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// It has a form that this version does not know.
    #[error(
        "{} has the form {found}, and this adit reads form {SCHEMA}: {way_out}", .path.display(),
        way_out = if *.found > u64::from(SCHEMA) { "a newer adit wrote it, which can read it" } else { "measure again" }
    )]
    OtherSchema {
        /// The file.
        path: PathBuf,
        /// Its form.
        found: u64,
    },
}

/// Reads a record.
///
/// # Errors
///
/// The file and what is wrong with it.
pub fn read(path: &Path) -> Result<Record, ReadError> {
    let path_buf = || path.to_owned();
    let file = |error| ReadError::File { path: path_buf(), error };
    let mut text = Vec::new();
    // One byte more than a record may have shows that it has too many.
    File::open(path)
        .and_then(|open| open.take(BENCHMARK_FILE + 1).read_to_end(&mut text))
        .map_err(file)?;
    if text.len() as u64 > BENCHMARK_FILE {
        return Err(ReadError::TooLarge(path_buf()));
    }
    let broken = |why: String| ReadError::NotARecord { path: path_buf(), why };
    let value: Value = serde_json::from_slice(&text).map_err(|error| broken(error.to_string()))?;
    let schema = value.get("schema").and_then(Value::as_u64);
    match schema.ok_or_else(|| broken("it has no number under \"schema\"".to_owned()))? {
        found if found == u64::from(SCHEMA) => {}
        found => return Err(ReadError::OtherSchema { path: path_buf(), found }),
    }
    serde_json::from_value(value).map_err(|error| broken(error.to_string()))
}

/// Saves a record under a name in a folder, which is made when it is not there. Returns the file.
///
/// # Errors
///
/// What the system says.
pub fn save(folder: &Path, name: &Name, record: &Record) -> io::Result<PathBuf> {
    fs::create_dir_all(folder)?;
    let path = name.path(folder);
    files::replace(&path, |file| file.write_all(&serde_json::to_vec(record)?))?;
    Ok(path)
}

/// The name of a baseline: letters, digits, `.`, `_` and `-`, so that it is a file name everywhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name(String);

impl std::str::FromStr for Name {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if (1..=100).contains(&text.len()) && text.chars().all(fits) && !text.starts_with('.') {
            return Ok(Self(text.to_owned()));
        }
        Err("a name has 1 to 100 letters, digits, '.', '_' or '-', and does not begin with '.'"
            .to_owned())
    }
}

impl Name {
    /// Where it lies.
    #[must_use]
    pub fn path(&self, folder: &Path) -> PathBuf {
        folder.join(format!("{}.json", self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_back_and_anything_else_refused_with_its_reason() {
        let folder = tempfile::tempdir().unwrap();
        let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/report/examples");
        for example in fs::read_dir(examples).unwrap() {
            let record = read(&example.unwrap().path()).unwrap();
            let saved =
                save(&folder.path().join("new"), &"base-1".parse().unwrap(), &record).unwrap();
            assert_eq!(read(&saved).unwrap(), record);
        }
        let path = folder.path().join("x.json");
        for (text, why) in [
            ("", "is no record"),
            ("[1]", "no number under \"schema\""),
            ("{\"schema\": 1}", "missing field"),
            ("{\"schema\": 2}", "a newer adit wrote it"),
            ("{\"schema\": 0}", "measure again"),
        ] {
            fs::write(&path, text).unwrap();
            let error = read(&path).unwrap_err().to_string();
            assert!(error.contains(why) && error.contains("x.json"), "{text}: {error}");
        }
        assert!(matches!(read(&folder.path().join("none")), Err(ReadError::File { .. })));
    }

    #[test]
    fn a_name_is_no_path() {
        for name in ["", "a/b", "..", ".hidden", "a b", "a\\b"] {
            assert!(name.parse::<Name>().is_err(), "{name}");
        }
        let name: Name = "rtx-4090_v1.2".parse().unwrap();
        assert!(name.path(Path::new("f")).ends_with("rtx-4090_v1.2.json"));
    }
}
