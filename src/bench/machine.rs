//! What measures, and where.

use std::thread;

use sysinfo::System;

use super::record::{Machine, Tool};
use crate::device::cpu::Cpu;

/// The versions that a build from the lock file has; a test compares them with it.
const WGPU: &str = "30.0.1";
const NAGA: &str = "30.0.1";

/// The versions of what measures.
#[must_use]
pub fn tool() -> Tool {
    Tool {
        adit: env!("CARGO_PKG_VERSION").to_owned(),
        wgpu: WGPU.to_owned(),
        naga: NAGA.to_owned(),
    }
}

/// This machine.
#[must_use]
pub fn machine() -> Machine {
    Machine {
        os: System::long_os_version().unwrap_or_else(|| std::env::consts::OS.to_owned()),
        kernel: System::kernel_version(),
        cpu: Some(Cpu::facts().name),
        threads: thread::available_parallelism().map_or(1, usize::from),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_versions_are_those_of_the_lock_file() {
        let lock = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.lock");
        let lock = std::fs::read_to_string(lock).unwrap();
        for (name, version) in [("wgpu", WGPU), ("naga", NAGA)] {
            let entry = format!("name = \"{name}\"\nversion = \"{version}\"\n");
            assert!(lock.contains(&entry), "{name} is not of version {version} any more");
        }
    }

    #[test]
    fn this_machine_has_a_name_and_threads() {
        let machine = machine();
        assert!(!machine.os.is_empty() && machine.threads > 0);
    }
}
