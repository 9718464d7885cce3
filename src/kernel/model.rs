//! How fast named GPUs could run a kernel if nothing but their arithmetic units held it up.
//!
//! AMD issues one vector instruction to 64 lanes of a compute unit in each clock, whatever it is, so the
//! compiler's count decides. NVIDIA from Turing to Hopper issues to 128 lanes of a multiprocessor, of
//! which 64 have the pipe for logic, shifts and additions and 64 the one for multiply-adds; whichever is
//! full first decides. Its compiler moves additions from one to the other as it likes, also where a kernel
//! does not ask for it, so the limit comes from the kernel's operations with the best of all divisions.

use super::{Body, Cost, Forms, Kernel, Rotate, Variant};

/// A GPU as its maker describes it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Gpu {
    /// What it is sold as.
    pub name: &'static str,
    /// Whose it is.
    pub maker: Maker,
    /// Compute units of AMD, multiprocessors of NVIDIA.
    units: u32,
    /// Boost clock in MHz.
    clock: u32,
}

/// Whose a GPU is, and what decides its speed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Maker {
    /// AMD, with the chips for which the compiler writes the same program.
    Amd(Family),
    /// NVIDIA from Turing to Hopper.
    Nvidia,
}

/// AMD's chips with one instruction set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// GCN 4.
    Polaris,
    /// GCN 5.
    Vega,
    /// RDNA 1.
    Rdna1,
    /// RDNA 2.
    Rdna2,
    /// RDNA 3.
    Rdna3,
    /// RDNA 4.
    Rdna4,
}

const fn amd(name: &'static str, family: Family, units: u32, clock: u32) -> Gpu {
    Gpu { name, maker: Maker::Amd(family), units, clock }
}

const fn nvidia(name: &'static str, units: u32, clock: u32) -> Gpu {
    Gpu { name, maker: Maker::Nvidia, units, clock }
}

/// The GPUs whose limits are worth knowing.
pub const GPUS: [Gpu; 16] = [
    amd("RX 580", Family::Polaris, 36, 1340),
    amd("RX Vega 64", Family::Vega, 64, 1546),
    amd("Radeon VII", Family::Vega, 60, 1750),
    amd("RX 5700 XT", Family::Rdna1, 40, 1905),
    amd("RX 6700 XT", Family::Rdna2, 40, 2581),
    amd("RX 6800 XT", Family::Rdna2, 72, 2250),
    amd("RX 6900 XT", Family::Rdna2, 80, 2250),
    amd("RX 7600", Family::Rdna3, 32, 2655),
    amd("RX 7800 XT", Family::Rdna3, 60, 2430),
    amd("RX 7900 XTX", Family::Rdna3, 96, 2500),
    amd("RX 9070 XT", Family::Rdna4, 64, 2970),
    nvidia("H200", 132, 1980),
    nvidia("A100", 108, 1410),
    nvidia("RTX 4090", 128, 2520),
    nvidia("RTX 3090", 82, 1695),
    nvidia("RTX 3060", 28, 1777),
];

/// RADV's names of chips, in lower case, by family.
const CHIPS: [(Family, &[&str]); 6] = [
    (Family::Polaris, &["polaris10", "polaris11", "polaris12", "vegam"]),
    (Family::Vega, &["vega10", "vega12", "vega20", "raven", "raven2", "renoir"]),
    (Family::Rdna1, &["navi10", "navi12", "navi14"]),
    (
        Family::Rdna2,
        &["navi21", "navi22", "navi23", "navi24", "vangogh", "rembrandt", "raphael_mendocino"],
    ),
    (Family::Rdna3, &["navi31", "navi32", "navi33", "phoenix", "phoenix2", "gfx1150", "gfx1151"]),
    (Family::Rdna4, &["gfx1200", "gfx1201"]),
];

impl Family {
    /// The family of a device by its name: `AMD Radeon RX 6700 XT (RADV NAVI22)`, or one of [`GPUS`].
    #[must_use]
    pub fn of(device: &str) -> Option<Self> {
        let chip = device.split_once("(RADV ").and_then(|(_, rest)| rest.split(')').next());
        let chip = chip.unwrap_or_default().to_lowercase();
        let known = CHIPS.iter().find(|(_, chips)| chips.contains(&chip.as_str()));
        let sold = GPUS.iter().find_map(|gpu| match gpu.maker {
            Maker::Amd(family) if device.ends_with(gpu.name) => Some(family),
            _ => None,
        });
        known.map(|(family, _)| *family).or(sold)
    }
}

impl Gpu {
    /// The GPU of a device, by the name that its driver gives it; `None` where none is surely the same.
    #[must_use]
    pub fn named(device: &str) -> Option<&'static Self> {
        // Drivers put the maker before the name, and RADV the chip behind it.
        let sold_as = device.split(" (").next().unwrap_or_default();
        GPUS.iter().find(|gpu| {
            let before = sold_as.strip_suffix(gpu.name);
            before.is_some_and(|before| before.is_empty() || before.ends_with(' '))
        })
    }

    /// How its limit for so many clocks a hash is calculated, for people.
    #[must_use]
    pub fn formula(&self, cycles: f64) -> String {
        let (units, lanes, per_hash) = match self.maker {
            Maker::Amd(_) => {
                ("compute units", 64, "vector instructions a hash, as its compiler writes them")
            }
            Maker::Nvidia => (
                "multiprocessors",
                128,
                "clocks a hash, its additions divided among the pipes at best",
            ),
        };
        format!(
            "{} {units} × {lanes} lanes × {} MHz ÷ {cycles:.0} {per_hash}",
            self.units, self.clock
        )
    }

    /// Hashes per second if a hash takes one of a unit's 64 or 128 lanes for so many clocks.
    fn hashes_per_second(&self, cycles: f64) -> f64 {
        let lanes = match self.maker {
            Maker::Amd(_) => 64,
            Maker::Nvidia => 128,
        };
        f64::from(self.units * lanes) * f64::from(self.clock) * 1e6 / cycles
    }

    /// The limit of an AMD GPU for this many vector instructions per hash; `None` for others.
    #[must_use]
    pub fn limit_of_compiled(&self, valu: f64) -> Option<f64> {
        matches!(self.maker, Maker::Amd(_)).then(|| self.hashes_per_second(valu))
    }

    /// The limit of an NVIDIA GPU for these instructions per hash; `None` for others.
    #[must_use]
    pub fn limit_of_pipes(&self, pipes: Pipes) -> Option<f64> {
        matches!(self.maker, Maker::Nvidia).then(|| self.hashes_per_second(pipes.cycles()))
    }
}

/// Instructions per hash of an NVIDIA GPU.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pipes {
    /// What only the logic pipe can do.
    pub logic: f64,
    /// All additions, as instructions of that pipe.
    pub adds: f64,
    /// All additions, as multiply-adds.
    pub multiply_adds: f64,
}

impl Pipes {
    /// From a kernel's operations, if the compiler finds the instructions that there are: a rotation is one
    /// SHF, three words meet in one LOP3 or IADD3, and an IMAD adds two words.
    #[must_use]
    pub fn of(cost: &Cost) -> Self {
        Self {
            logic: cost.per_hash(|of| 4 * (of.big_sigma + of.small_sigma) + of.ch_maj),
            adds: cost.per_hash(|of| of.three_input_adds),
            multiply_adds: cost.per_hash(|of| of.adds),
        }
    }

    /// Of a variant, where the rotations are written so that NVIDIA's compiler makes one instruction of each.
    #[must_use]
    pub fn of_variant(variant: Variant) -> Option<Self> {
        let Body::Derived(_, Forms { rotate: Rotate::Literal, .. }) = variant.body else {
            return None;
        };
        Some(Self::of(&Kernel::new(variant).cost?))
    }

    /// Clocks in which 128 lanes could do it at best: each pipe has half of them, and additions move to the
    /// other pipe until both are full or none is left.
    #[must_use]
    pub fn cycles(self) -> f64 {
        let Self { logic, adds, multiply_adds } = self;
        // All are moved where nothing is added: the least of no number and 1 is 1.
        let moved = ((logic + adds) / (adds + multiply_adds)).min(1.0);
        2.0 * (logic + adds * (1.0 - moved))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{Kernel, Operations};

    fn gpu(name: &str) -> &'static Gpu {
        GPUS.iter().find(|gpu| gpu.name == name).unwrap()
    }

    /// To two digits after the point, as published figures are.
    fn gigahashes(limit: Option<f64>) -> String {
        format!("{:.2}", limit.unwrap() / 1e9)
    }

    /// What a hash costs, without its part of what headers share.
    fn cost(variant: &str) -> Cost {
        let cost = Kernel::new(variant.parse().unwrap()).cost.unwrap();
        Cost { row: Operations::default(), ..cost }
    }

    /// docs/KERNELS.md has the sum.
    #[test]
    fn the_operations_give_the_instructions_counted_by_hand() {
        let std = Pipes::of(&cost("std-literal-w64"));
        assert_eq!(std, Pipes { logic: 1804.0, adds: 635.0, multiply_adds: 1041.0 });
        assert_eq!(gigahashes(gpu("H200").limit_of_pipes(std)), "9.27");
        let verlane = Pipes::of(&cost("verlane-literal-w64"));
        assert_eq!(verlane, Pipes { logic: 1500.0, adds: 559.0, multiply_adds: 885.0 });
        assert_eq!(gigahashes(gpu("H200").limit_of_pipes(verlane)), "11.15");
        let asked = Pipes::of(&cost("verlane-literal-imad50-w64"));
        assert_eq!(asked, verlane, "what the kernel asks for is the compiler's to follow");
    }

    #[test]
    fn additions_fill_both_pipes() {
        let pipes = |logic, adds, multiply_adds| Pipes { logic, adds, multiply_adds };
        assert_eq!(pipes(100.0, 30.0, 50.0).cycles().to_bits(), 200f64.to_bits());
        assert_eq!(pipes(100.0, 0.0, 0.0).cycles().to_bits(), 200f64.to_bits());
        // A third of the additions stays: 10 + 20 there, 30 here.
        let even = pipes(10.0, 60.0, 45.0).cycles();
        assert!((even - 2.0 * 30.0).abs() < 1e-9, "{even}");
    }

    /// Limits that others calculated, from what NVIDIA's compiler leaves on the logic pipe, having moved some
    /// additions by itself: 2238, 1832, 1838, 1522; and a floor with all of them moved: 1500.
    #[test]
    fn the_published_limits_come_out() {
        let compiled = [2238.0, 1832.0, 1838.0, 1522.0, 1500.0];
        for (name, limits) in [
            ("H200", ["7.47", "9.13", "9.10", "10.99", "11.15"]),
            ("RTX 4090", ["9.22", "11.27", "11.23", "13.56", "13.76"]),
            ("RTX 3060", ["1.42", "1.74", "1.73", "2.09", "2.12"]),
        ] {
            let found = compiled.map(|logic| {
                gigahashes(gpu(name).limit_of_pipes(Pipes { logic, adds: 0.0, multiply_adds: 0.0 }))
            });
            assert_eq!(found, limits, "{name}");
        }
        for (name, limits) in [
            // RADV's std, LLVM's one version per thread, and the operations counted by hand.
            ("RX 7900 XTX", ["5.48", "7.03", "7.08"]),
            ("RX 6700 XT", ["2.36", "3.02", "3.04"]),
        ] {
            let valu = [2801.0, 2186.0, 2171.0];
            let found = valu.map(|valu| gigahashes(gpu(name).limit_of_compiled(valu)));
            assert_eq!(found, limits, "{name}");
        }
    }

    #[test]
    fn a_gpu_is_known_by_its_name_and_nothing_like_it() {
        for (device, name) in [
            ("NVIDIA GeForce RTX 4090", Some("RTX 4090")),
            ("NVIDIA H200", Some("H200")),
            ("AMD Radeon RX 6700 XT (RADV NAVI22)", Some("RX 6700 XT")),
            ("NVIDIA GeForce RTX 3060 Ti", None),
            ("NVIDIA GeForce RTX 4090 Laptop GPU", None),
            ("NVIDIA GH200", None),
            ("AMD Radeon Graphics (RADV RENOIR)", None),
            ("llvmpipe (LLVM 15.0.6, 256 bits)", None),
            ("", None),
        ] {
            assert_eq!(Gpu::named(device).map(|gpu| gpu.name), name, "{device}");
        }
        let cycles = Pipes::of_variant("std-literal-w64".parse().unwrap()).unwrap().cycles();
        let formula = "132 multiprocessors × 128 lanes × 1980 MHz ÷ 3608 clocks a hash, its additions divided among the pipes at best";
        assert_eq!(gpu("H200").formula(cycles), formula);
        assert_eq!(Pipes::of_variant("std-uniform-w64".parse().unwrap()), None);
    }

    #[test]
    fn a_limit_needs_the_counts_of_its_maker() {
        assert_eq!(gpu("H200").limit_of_compiled(2801.0), None);
        assert_eq!(
            gpu("RX 580").limit_of_pipes(Pipes { logic: 1.0, adds: 1.0, multiply_adds: 1.0 }),
            None
        );
    }

    #[test]
    fn a_device_belongs_to_its_chips_family() {
        for (device, family) in [
            ("Null hardware (RADV NAVI21)", Some(Family::Rdna2)),
            ("AMD Radeon RX 6700 XT (RADV NAVI22)", Some(Family::Rdna2)),
            ("Null hardware (RADV GFX1201)", Some(Family::Rdna4)),
            ("AMD Radeon RX 7900 XTX", Some(Family::Rdna3)),
            ("AMD Radeon (RADV NAVI99)", None),
            ("NVIDIA H200", None),
            ("", None),
        ] {
            assert_eq!(Family::of(device), family, "{device}");
        }
    }
}
