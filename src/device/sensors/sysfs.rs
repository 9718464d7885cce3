//! Reading sysfs (and procfs): one value in each file, and hwmon, which names them alike for all drivers.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::limits::{SYSFS_ENTRIES, SYSFS_FILE};

/// # Errors
///
/// When this system has no sysfs.
pub(super) fn exists(sysfs: &Path) -> Result<(), String> {
    if sysfs.join("bus").is_dir() || sysfs.join("devices").is_dir() {
        return Ok(());
    }
    Err("without Linux's sysfs, only the sensors of NVIDIA's GPUs can be read".to_owned())
}

/// The content of a file. `None` if it cannot be read or is longer than sysfs makes files.
pub(super) fn bytes(file: &Path) -> Option<Vec<u8>> {
    bytes_upto(file, SYSFS_FILE)
}

fn bytes_upto(file: &Path, limit: u64) -> Option<Vec<u8>> {
    let mut content = Vec::new();
    let read = File::open(file).ok()?.take(limit + 1).read_to_end(&mut content).ok()?;
    (read as u64 <= limit).then_some(content)
}

/// The content of a file as text, without the end of its line.
pub(in crate::device) fn text(file: &Path) -> Option<String> {
    text_upto(file, SYSFS_FILE)
}

/// The same of files that may have up to so many bytes.
pub(super) fn text_upto(file: &Path, limit: u64) -> Option<String> {
    Some(String::from_utf8(bytes_upto(file, limit)?).ok()?.trim().to_owned())
}

/// The number in a file.
pub(super) fn number(file: &Path) -> Option<f64> {
    text(file)?.parse().ok().filter(|number: &f64| number.is_finite())
}

/// What lies in `folder` under a name that begins with `prefix`, with the rest of that name.
pub(in crate::device) fn entries(folder: &Path, prefix: &str) -> Vec<(String, PathBuf)> {
    let Ok(all) = fs::read_dir(folder) else { return Vec::new() };
    let named = |entry: fs::DirEntry| {
        let name = entry.file_name().into_string().ok()?;
        Some((name.strip_prefix(prefix)?.to_owned(), entry.path()))
    };
    all.take(SYSFS_ENTRIES).filter_map(|entry| named(entry.ok()?)).collect()
}

/// What lies in `folder` as `prefix` with a number, in the order of the numbers.
pub(in crate::device) fn numbered(folder: &Path, prefix: &str) -> Vec<PathBuf> {
    let all = entries(folder, prefix).into_iter();
    let mut numbered: Vec<(u32, PathBuf)> =
        all.filter_map(|(rest, path)| Some((rest.parse().ok()?, path))).collect();
    numbered.sort();
    numbered.into_iter().map(|(_, path)| path).collect()
}

/// The sensors of one driver in hwmon's names and units: hertz, microwatt, microjoule, thousandths of a degree.
#[derive(Debug)]
pub(super) struct Hwmon(PathBuf);

impl Hwmon {
    /// All below `folder`.
    pub(super) fn all(folder: &Path) -> Vec<Self> {
        numbered(folder, "hwmon").into_iter().map(Self).collect()
    }

    /// The driver's name.
    pub(super) fn name(&self) -> Option<String> {
        text(&self.0.join("name"))
    }

    /// The number in the first of `files` that there is, in units of which `per` make the file's.
    pub(super) fn read(&self, files: &[&str], per: f64) -> Option<f64> {
        files.iter().find_map(|file| number(&self.0.join(file))).map(|value| value / per)
    }

    /// Where the temperature with one of `labels` is read, the first label first: `temp2_input`.
    pub(super) fn temperature(&self, labels: &[&str]) -> Option<String> {
        let labelled = |wanted: &&str| {
            let has = |n: &u32| {
                text(&self.0.join(format!("temp{n}_label"))).is_some_and(|label| label == *wanted)
            };
            (1..=8).find(has)
        };
        labels.iter().find_map(labelled).map(|n| format!("temp{n}_input"))
    }

    /// The first temperature, if it is the only one and needs no label.
    pub(super) fn only_temperature(&self) -> Option<String> {
        let there = |file: &str| self.0.join(file).exists();
        (there("temp1_input") && !there("temp1_label")).then(|| "temp1_input".to_owned())
    }
}

/// Writes files below a folder, for tests.
#[cfg(test)]
pub(in crate::device) fn write(root: &Path, files: &[(&str, &str)]) {
    for (file, content) in files {
        let file = root.join(file);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, content).unwrap();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_no_number_is_unknown() {
        let root = tempfile::tempdir().unwrap();
        let long = "1".repeat(5000);
        let files = [("good", "-2500\n"), ("empty", ""), ("word", "N/A\n"), ("long", &long)];
        write(root.path(), &files);
        write(root.path(), &[("inf", "inf"), ("folder/x", "1")]);
        fs::write(root.path().join("binary"), [0xff, 0xfe]).unwrap();
        assert_eq!(number(&root.path().join("good")), Some(-2500.0));
        for file in ["empty", "word", "long", "inf", "folder", "binary", "absent"] {
            assert_eq!(number(&root.path().join(file)), None, "{file}");
        }
    }

    #[test]
    fn folders_are_found_by_number_and_in_its_order() {
        let root = tempfile::tempdir().unwrap();
        let names = ["card10", "card2", "card2-HDMI-A-1", "renderD128", "card"];
        for name in names {
            fs::create_dir(root.path().join(name)).unwrap();
        }
        let found = numbered(root.path(), "card");
        assert_eq!(found, ["card2", "card10"].map(|name| root.path().join(name)));
    }
}
