//! Finds the driver that a short name means among those that the Vulkan loader knows.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Short names that people use, and what the drivers' manifests begin with.
const ALIASES: [(&str, &str); 8] = [
    ("amdvlk", "amd"),
    ("anv", "intel"),
    ("lavapipe", "lvp"),
    ("nvk", "nouveau"),
    ("panvk", "panfrost"),
    ("radv", "radeon"),
    ("turnip", "freedreno"),
    ("v3dv", "broadcom"),
];

/// No driver goes by this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no Vulkan driver is called {name:?}: give the path of its manifest, or {known}")]
pub struct UnknownDriver {
    name: String,
    known: String,
}

/// The value of `VK_DRIVER_FILES` that makes the loader see one driver only: `name` is the path of its
/// manifest, what the manifest's own name begins with, such as `nvidia`, or a usual name, such as `radv`.
///
/// # Errors
///
/// When there is no such file, and no such name among the loader's usual folders.
pub fn driver_files(name: &str) -> Result<OsString, UnknownDriver> {
    let path = Path::new(name);
    if path.extension().is_some_and(|extension| extension == "json") && path.is_file() {
        return Ok(name.into());
    }
    let manifests = manifests();
    let matching: Vec<&PathBuf> = manifests.iter().filter(|path| is_called(path, name)).collect();
    // One driver can have a manifest for each architecture: the loader skips those of others.
    if let (false, Ok(files)) = (matching.is_empty(), env::join_paths(&matching)) {
        return Ok(files);
    }
    let mut known: Vec<&str> = manifests.iter().filter_map(|path| short(path)).collect();
    known.sort_unstable();
    known.dedup();
    let known = match known.as_slice() {
        [] => "install one, such as Mesa's".to_owned(),
        known => format!("one of these: {}", known.join(", ")),
    };
    Err(UnknownDriver { name: name.to_owned(), known })
}

fn is_called(manifest: &Path, name: &str) -> bool {
    let alias = ALIASES.iter().find(|(alias, _)| *alias == name);
    short(manifest) == Some(alias.map_or(name, |(_, short)| short))
}

/// `radeon` of `radeon_icd.x86_64.json`, `amd` of `amd_icd64.json`.
fn short(manifest: &Path) -> Option<&str> {
    manifest.file_name()?.to_str()?.split_once("_icd").map(|(short, _)| short)
}

/// The manifests in the folders where the loader looks on Linux and its kin.
fn manifests() -> Vec<PathBuf> {
    let home = env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let set = |variable: &str, otherwise: &str| {
        let set = env::var_os(variable).filter(|value| !value.is_empty());
        set.map_or_else(|| home.join(otherwise), PathBuf::from)
    };
    let own = [set("XDG_CONFIG_HOME", ".config"), set("XDG_DATA_HOME", ".local/share")];
    let shared = ["/etc", "/usr/local/etc", "/usr/local/share", "/usr/share"].map(PathBuf::from);
    let folders = own.iter().chain(&shared).map(|folder| folder.join("vulkan/icd.d"));
    let files = folders.filter_map(|folder| folder.read_dir().ok()).flatten().flatten();
    let mut files: Vec<PathBuf> = files.map(|file| file.path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_goes_by_its_own_and_by_its_usual_name() {
        for (path, name) in [
            ("/usr/share/vulkan/icd.d/radeon_icd.json", "radv"),
            ("/usr/share/vulkan/icd.d/radeon_icd.x86_64.json", "radeon"),
            ("/etc/vulkan/icd.d/amd_icd64.json", "amdvlk"),
            ("/etc/vulkan/icd.d/nvidia_icd.json", "nvidia"),
            ("/usr/share/vulkan/icd.d/nouveau_icd.json", "nvk"),
            ("/usr/share/vulkan/icd.d/lvp_icd.json", "lavapipe"),
        ] {
            assert!(is_called(Path::new(path), name), "{path} is not {name}");
        }
        assert!(!is_called(Path::new("intel_hasvk_icd.json"), "anv"));
        assert!(!is_called(Path::new("intel_icd.json"), "int"));
    }

    #[test]
    fn a_driver_that_is_not_there_is_told_with_those_that_are() {
        for name in ["nonsense", "/nowhere/radeon_icd.json", ""] {
            let error = driver_files(name).unwrap_err().to_string();
            assert!(error.contains(&format!("{name:?}")), "{error}");
        }
    }
}
