//! What varies between kernels, as data with a short stable name.

use std::fmt;
use std::str::FromStr;

/// One kernel: how its body is written, what it tests, how many threads form a workgroup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Variant {
    /// How the hash is written.
    pub body: Body,
    /// What a candidate is.
    pub test: Test,
    /// Threads in a workgroup.
    pub workgroup: Workgroup,
}

/// How the hash is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Body {
    /// Derived from the specification, straight-line, in these forms.
    Derived(Forms),
    /// `shaders/reference.wgsl`: loops and arrays.
    Reference,
}

/// How the derived operations are written. Compilers differ in which form they turn into one
/// instruction; docs/KERNELS.md has the measurements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Forms {
    /// Rotations.
    pub rotate: Rotate,
    /// Ch.
    pub ch: Bitwise,
    /// Maj.
    pub maj: Bitwise,
    /// Additions.
    pub add: Add,
}

/// How a rotation is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Rotate {
    /// `(x >> 7u) | (x << 25u)`.
    #[default]
    Literal,
    /// `rotr(x, 7u)` with `32u - amount` inside.
    Function,
    /// `rotr` with an amount loaded from the parameters.
    Uniform,
}

/// How Ch and Maj are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Bitwise {
    /// `g ^ (e & (f ^ g))` and `a ^ ((a ^ b) & (c ^ a))`.
    #[default]
    Xor,
    /// `(e & f) | (~e & g)` and `((a ^ b) & c) | (~(a ^ b) & a)`.
    Or,
}

/// How additions are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Add {
    /// This many of a hundred are `x * one + y` with a `one` that is loaded, which moves them to the
    /// multiply-add pipe of a GPU that has one. 0 to 100.
    multiply_add_percent: u8,
}

impl Add {
    /// `percent` of the additions as multiply-adds; more than 100 is 100.
    #[must_use]
    pub const fn multiply_add(percent: u8) -> Self {
        Self { multiply_add_percent: if percent > 100 { 100 } else { percent } }
    }

    /// How many of a hundred additions are multiply-adds.
    #[must_use]
    pub const fn multiply_add_percent(self) -> u8 {
        self.multiply_add_percent
    }
}

/// What a candidate is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Test {
    /// Digest word 7 is zero: every target of difficulty 1 or more.
    #[default]
    Word7,
    /// The bits of digest word 7 under the dispatch's mask are zero: any target.
    Mask,
}

/// Threads in a workgroup: a power of two up to 256, the most that every adapter takes, and the most
/// whose nonces differ in one byte only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Workgroup(u16);

impl Workgroup {
    /// 64 threads.
    pub const W64: Self = Self(64);
    /// 128 threads.
    pub const W128: Self = Self(128);
    /// 256 threads.
    pub const W256: Self = Self(256);

    /// `threads` in a workgroup, if it is a power of two from 1 to 256.
    #[must_use]
    pub const fn new(threads: u16) -> Option<Self> {
        if threads.is_power_of_two() && threads <= 256 { Some(Self(threads)) } else { None }
    }

    /// How many threads.
    #[must_use]
    pub const fn threads(self) -> u32 {
        self.0 as u32
    }
}

impl Variant {
    /// The variant that devices use until something better is known of them.
    pub const DEFAULT: Self = Self::derived(
        Forms {
            rotate: Rotate::Literal,
            ch: Bitwise::Xor,
            maj: Bitwise::Xor,
            add: Add::multiply_add(0),
        },
        Workgroup::W64,
    );

    /// A derived variant with the zero test.
    #[must_use]
    pub const fn derived(forms: Forms, workgroup: Workgroup) -> Self {
        Self { body: Body::Derived(forms), test: Test::Word7, workgroup }
    }

    /// The same variant with another test. The reference kernel has the mask test only, which serves
    /// every target.
    #[must_use]
    pub const fn with_test(self, test: Test) -> Self {
        match self.body {
            Body::Derived(_) => Self { test, ..self },
            Body::Reference => self,
        }
    }

    /// The variants worth knowing, each with what it is for. Any other can be named too.
    #[must_use]
    pub fn list() -> Vec<(Self, &'static str)> {
        let derived = |rotate, bitwise, percent, workgroup| {
            let add = Add::multiply_add(percent);
            Self::derived(Forms { rotate, ch: bitwise, maj: bitwise, add }, workgroup)
        };
        let (xor, or) = (Bitwise::Xor, Bitwise::Or);
        let zero_tests = [
            (
                derived(Rotate::Literal, xor, 0, Workgroup::W64),
                "compilers that know a rotation: NVIDIA, Metal, DXC, LLVM",
            ),
            (derived(Rotate::Literal, xor, 0, Workgroup::W128), "the same in larger workgroups"),
            (
                derived(Rotate::Literal, xor, 0, Workgroup::W256),
                "the same in the largest workgroups",
            ),
            (
                derived(Rotate::Literal, xor, 50, Workgroup::W128),
                "NVIDIA: half of the adds on the multiply-add pipe",
            ),
            (derived(Rotate::Function, xor, 0, Workgroup::W64), "Intel on Mesa (ANV)"),
            (derived(Rotate::Uniform, xor, 0, Workgroup::W64), "NVIDIA on Mesa (NVK)"),
            (derived(Rotate::Uniform, or, 0, Workgroup::W64), "AMD on Mesa (RADV)"),
        ];
        let reference = Self { body: Body::Reference, test: Test::Mask, workgroup: Workgroup::W64 };
        zero_tests
            .into_iter()
            .chain(zero_tests.map(|(variant, _)| {
                (variant.with_test(Test::Mask), "its twin for targets easier than difficulty 1")
            }))
            .chain([(reference, "the readable loop, for drivers that fail on all others")])
            .collect()
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("std")?;
        match self.body {
            Body::Reference => f.write_str("-reference")?,
            Body::Derived(forms) => {
                f.write_str(match forms.rotate {
                    Rotate::Literal => "-literal",
                    Rotate::Function => "-function",
                    Rotate::Uniform => "-uniform",
                })?;
                if forms.ch == Bitwise::Or {
                    f.write_str("-chor")?;
                }
                if forms.maj == Bitwise::Or {
                    f.write_str("-major")?;
                }
                if forms.add.multiply_add_percent > 0 {
                    write!(f, "-imad{}", forms.add.multiply_add_percent)?;
                }
                if self.test == Test::Mask {
                    f.write_str("-mask")?;
                }
            }
        }
        write!(f, "-w{}", self.workgroup.threads())
    }
}

/// Why a text names no variant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no kernel variant is called {name:?}: {why}; `adit kernel list` shows the names")]
pub struct VariantError {
    name: String,
    why: String,
}

impl FromStr for Variant {
    type Err = VariantError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let refused = |why| VariantError { name: name.to_owned(), why };
        let variant = parse(name).map_err(refused)?;
        // A name is a key: one variant, one name. Only the usual workgroup may be left out.
        let proper = variant.to_string();
        if proper == name || proper.strip_suffix("-w64") == Some(name) {
            Ok(variant)
        } else {
            Err(refused(format!("written properly it is {proper}")))
        }
    }
}

fn parse(name: &str) -> Result<Variant, String> {
    let mut parts = name.split('-');
    if parts.next() != Some("std") {
        return Err("it does not start with its layout, `std`".to_owned());
    }
    let mut forms = Forms::default();
    let mut variant = match parts.next() {
        Some("reference") => {
            Variant { body: Body::Reference, test: Test::Mask, workgroup: Workgroup::W64 }
        }
        Some(rotate) => {
            forms.rotate = match rotate {
                "literal" => Rotate::Literal,
                "function" => Rotate::Function,
                "uniform" => Rotate::Uniform,
                _ => {
                    return Err(format!(
                        "{rotate:?} is none of literal, function, uniform, reference"
                    ));
                }
            };
            Variant::derived(forms, Workgroup::W64)
        }
        None => return Err("after the layout the form of the rotation is missing".to_owned()),
    };
    for part in parts {
        match (part, &variant.body) {
            ("chor", Body::Derived(_)) => forms.ch = Bitwise::Or,
            ("major", Body::Derived(_)) => forms.maj = Bitwise::Or,
            ("mask", Body::Derived(_)) => variant.test = Test::Mask,
            _ => match (part.strip_prefix("imad"), part.strip_prefix('w'), &variant.body) {
                (Some(percent), _, Body::Derived(_)) => {
                    forms.add = match percent.parse() {
                        Ok(percent @ 1..=100) => Add::multiply_add(percent),
                        _ => return Err(format!("{part:?} needs a share of 1 to 100")),
                    }
                }
                (None, Some(threads), _) => {
                    variant.workgroup =
                        threads.parse().ok().and_then(Workgroup::new).ok_or_else(|| {
                            format!("{part:?} needs a power of two from 1 to 256 threads")
                        })?;
                }
                _ => return Err(format!("{part:?} is no part of a name")),
            },
        }
    }
    if let Body::Derived(_) = variant.body {
        variant.body = Body::Derived(forms);
    }
    Ok(variant)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_listed_variant_has_its_own_name_and_is_read_back() {
        let mut names = std::collections::HashSet::new();
        for (variant, _) in Variant::list() {
            let name = variant.to_string();
            assert!(name.starts_with("std-"));
            assert_eq!(name.parse(), Ok(variant), "{name}");
            assert!(names.insert(name));
        }
        assert!(names.contains("std-literal-imad50-w128"));
        assert!(names.contains("std-uniform-chor-major-mask-w64"));
    }

    #[test]
    fn a_wrong_name_is_refused_with_its_reason() {
        for (name, reason) in [
            ("", "layout"),
            ("verlane-uniform-w64", "layout"),
            ("std", "missing"),
            ("std-barrel-w64", "barrel"),
            ("std-literal-w48", "power of two"),
            ("std-literal-w512", "power of two"),
            ("std-literal-imad0-w64", "1 to 100"),
            ("std-literal-imad101", "1 to 100"),
            ("std-reference-mask-w64", "no part"),
            ("std-literal-fast", "no part"),
            ("std-literal-w64-w128", "std-literal-w128"),
            ("std-literal-w64-imad3", "std-literal-imad3-w64"),
        ] {
            let error = name.parse::<Variant>().unwrap_err().to_string();
            assert!(error.contains(reason), "{name}: {error}");
        }
    }
}
