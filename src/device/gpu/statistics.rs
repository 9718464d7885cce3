//! The figures of a compiled kernel under one name each, whatever the driver calls them.

use serde::Serialize;

use super::executable::Executable;

/// What a driver tells of a program. What it does not tell is `None`, never a guess.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Counts {
    /// Instructions of all kinds.
    pub instructions: Option<u64>,
    /// Instructions of the vector unit.
    pub valu: Option<u64>,
    /// Vector registers of a thread.
    pub vector_registers: Option<u64>,
    /// Scalar registers of a subgroup.
    pub scalar_registers: Option<u64>,
    /// Registers or accesses moved to memory for want of registers; drivers count differently.
    pub spills: Option<u64>,
    /// Bytes of the program.
    pub code_bytes: Option<u64>,
}

/// The drivers' names, in lower case, for the fields of [`Counts`] in their order. A figure is the sum of those that a
/// driver tells.
const NAMES: [&[&str]; 6] = [
    // RADV, NVK and NVIDIA; ANV.
    &["instructions", "instruction count"],
    &["valu"],
    // RADV and AMDVLK; NVIDIA; NVK.
    &["vgprs", "numusedvgprs", "register count", "number of gprs"],
    &["sgprs", "numusedsgprs"],
    // RADV; ANV; NVK.
    &[
        "spilled vgprs",
        "spilled sgprs",
        "spill count",
        "fill count",
        "spills to memory",
        "fills from memory",
    ],
    &["code size", "binary size"],
];

impl Executable {
    /// The figures that its driver tells.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let [instructions, valu, vector_registers, scalar_registers, spills, code_bytes] = NAMES
            .map(|names| {
                let told = self
                    .statistics
                    .iter()
                    .filter(|(name, _)| names.contains(&name.to_lowercase().as_str()));
                told.filter_map(|(_, value)| value.as_u64()).reduce(|sum, value| sum + value)
            });
        Counts { instructions, valu, vector_registers, scalar_registers, spills, code_bytes }
    }
}
