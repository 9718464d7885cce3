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
    // RADV and AMDVLK; NVIDIA; NVK; ANV.
    &["vgprs", "numusedvgprs", "register count", "number of gprs", "grf registers"],
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

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(statistics: &[(&str, u64)]) -> Counts {
        let statistics =
            statistics.iter().map(|(name, value)| ((*name).to_owned(), (*value).into()));
        Executable { name: String::new(), statistics: statistics.collect(), texts: Vec::new() }
            .counts()
    }

    #[test]
    fn the_names_of_each_driver_mean_the_same() {
        let radv = [
            ("SGPRs", 128),
            ("VGPRs", 32),
            ("Spilled SGPRs", 1),
            ("Spilled VGPRs", 2),
            ("Code size", 24464),
            ("Instructions", 4099),
            ("Pre-Sched VGPRs", 28),
            ("VALU", 4049),
        ];
        let expected = Counts {
            instructions: Some(4099),
            valu: Some(4049),
            vector_registers: Some(32),
            scalar_registers: Some(128),
            spills: Some(3),
            code_bytes: Some(24464),
        };
        assert_eq!(counts(&radv), expected);
        let nvk = [
            ("Instruction count", 4099),
            ("Code Size", 24464),
            ("Number of GPRs", 32),
            ("Spills to memory", 1),
            ("Fills from memory", 2),
        ];
        let without = Counts { valu: None, scalar_registers: None, ..expected };
        assert_eq!(counts(&nvk), without);
        let anv = [("Instruction Count", 4099), ("Spill count", 1), ("Fill count", 2)];
        let without = Counts { vector_registers: None, code_bytes: None, ..without };
        assert_eq!(counts(&anv), without);
        assert_eq!(counts(&[("Loops", 2)]), Counts::default());
    }
}
