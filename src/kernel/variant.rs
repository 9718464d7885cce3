//! What varies between kernels, as data with a short stable name.

use std::fmt;
use std::str::FromStr;

use crate::limits::{VERLANE_FEWEST_HEADERS, VERLANE_MOST_HEADERS};

/// One kernel: how its body is written, what it tests, how many threads form a workgroup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Variant {
    /// How the hash is written.
    pub body: Body,
    /// What a candidate is.
    pub test: Test,
    /// Nonces that a thread tests, one after the other. In [`Layout::Verlane`] these are rows of the
    /// table; its lane words are loaded once for all of them.
    pub nonces: Nonces,
    /// Threads in a workgroup.
    pub workgroup: Workgroup,
}

/// How the hash is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Body {
    /// Derived from the specification, straight-line, in these forms.
    Derived(Layout, Forms),
    /// `shaders/reference.wgsl`: loops and arrays, one nonce per thread.
    Reference,
}

/// Which hashes share work, and how they lie in threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Layout {
    /// A thread tests nonces of one header.
    #[default]
    Std,
    /// A thread tests nonces of several headers that differ in their version. The message schedule of
    /// the first hash depends on the nonce alone: it is computed once for all of them.
    Boost {
        /// How many headers: 2 to [`Layout::BOOST_MOST`].
        headers: u8,
        /// In a loop, so that the code stays in an instruction cache, or one after the other.
        looped: bool,
    },
    /// A thread has one of many headers that differ in their version. All threads test the same nonces
    /// together, so the schedules of the first hash come from a table, made once per nonce.
    Verlane(Table),
}

/// Where the table of [`Layout::Verlane`] lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Table {
    /// In storage memory, all of it: one dispatch per batch.
    Storage,
    /// In uniform memory, which some machines broadcast faster, through a window of
    /// [`VERLANE_WINDOW`](crate::limits::VERLANE_WINDOW) rows: a dispatch for each.
    Uniform,
}

impl Layout {
    /// Most headers of a boost layout.
    pub const BOOST_MOST: u8 = 32;

    /// How many headers, differing in their version only, a dispatch takes: at least and at most.
    #[must_use]
    pub const fn headers(self) -> (u32, u32) {
        match self {
            Self::Std => (1, 1),
            Self::Boost { headers, looped: false } => (headers as u32, headers as u32),
            Self::Boost { headers, looped: true } => (2, headers as u32),
            Self::Verlane(_) => (VERLANE_FEWEST_HEADERS, VERLANE_MOST_HEADERS),
        }
    }

    const fn default_nonces(self) -> Nonces {
        match self {
            Self::Std | Self::Boost { .. } => Nonces(1),
            Self::Verlane(_) => Nonces(32),
        }
    }
}

/// How many nonces a thread tests: 1 to 255.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Nonces(u8);

impl Nonces {
    /// So many nonces, if there is one.
    #[must_use]
    pub const fn new(nonces: u8) -> Option<Self> {
        if nonces == 0 { None } else { Some(Self(nonces)) }
    }

    /// How many.
    #[must_use]
    pub const fn count(self) -> u32 {
        self.0 as u32
    }
}

/// How the derived operations are written. Compilers differ in which form they turn into one
/// instruction; docs/KERNELS.md has the measurements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Forms {
    /// Rotations.
    pub rotate: Rotate,
    /// Ch.
    pub ch: Ch,
    /// Maj.
    pub maj: Maj,
    /// Which additions the sums of a round share.
    pub round: Round,
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
    /// `rotr` with an amount loaded from the parameters. RADV and NVK fold a known amount into two shifts
    /// before they look for a rotation: 2806 instructions per hash on RADV instead of 4050.
    Uniform,
}

/// How Ch is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Ch {
    /// `g ^ (e & (f ^ g))`.
    #[default]
    Xor,
    /// `(e & f) | (~e & g)`: two instructions on RADV, `v_bfi` for `~e & g` and `v_and_or`; the other form
    /// is three.
    Or,
}

/// How Maj is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Maj {
    /// `a ^ ((a ^ b) & (c ^ a))`.
    #[default]
    Xor,
    /// `((a ^ b) & c) | (~(a ^ b) & a)`.
    Or,
    /// `b ^ ((a ^ b) & (b ^ c))`: the next round needs `a ^ b` too, as its `b ^ c`, so on RADV it is two or
    /// three instructions, not three; the last xor can join an addition (RDNA's `v_xad_u32`).
    Share,
}

/// Which additions the two sums of a round share, that of e and that of a.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Round {
    /// All of T1, as in the specification: fewest additions of two words.
    #[default]
    Whole,
    /// All but Ch, where T1 would have four terms: with additions of three words e is then two of them,
    /// and a leaves its last addition to the xor of [`Maj::Share`].
    Split,
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
        Layout::Std,
        Forms {
            rotate: Rotate::Literal,
            ch: Ch::Xor,
            maj: Maj::Xor,
            round: Round::Whole,
            add: Add::multiply_add(0),
        },
        Workgroup::W64,
    );

    /// A derived variant with the zero test and the layout's usual number of nonces.
    #[must_use]
    pub const fn derived(layout: Layout, forms: Forms, workgroup: Workgroup) -> Self {
        let nonces = layout.default_nonces();
        Self { body: Body::Derived(layout, forms), test: Test::Word7, nonces, workgroup }
    }

    /// The looped kernel that is not derived.
    pub const REFERENCE: Self = Self {
        body: Body::Reference,
        test: Test::Mask,
        nonces: Nonces(1),
        workgroup: Workgroup::W64,
    };

    /// The same variant with another test. The reference kernel has the mask test only, which serves
    /// every target.
    #[must_use]
    pub const fn with_test(self, test: Test) -> Self {
        match self.body {
            Body::Derived(..) => Self { test, ..self },
            Body::Reference => self,
        }
    }

    /// The variant in the same forms that tests one header, which every layout needs beside it: jobs
    /// may have no version bits to roll.
    #[must_use]
    pub const fn std(self) -> Self {
        match self.body {
            Body::Derived(Layout::Std, _) | Body::Reference => self,
            Body::Derived(_, forms) => {
                Self::derived(Layout::Std, forms, self.workgroup).with_test(self.test)
            }
        }
    }

    /// The layout.
    #[must_use]
    pub const fn layout(self) -> Layout {
        match self.body {
            Body::Derived(layout, _) => layout,
            Body::Reference => Layout::Std,
        }
    }

    /// The variants worth knowing, each with what it is for. Any other can be named too.
    #[must_use]
    pub fn list() -> Vec<(Self, &'static str)> {
        let of = |rotate| Forms { rotate, ..Forms::default() };
        let (literal, function) = (of(Rotate::Literal), of(Rotate::Function));
        let nvk = of(Rotate::Uniform);
        let gcn = Forms { ch: Ch::Or, maj: Maj::Share, ..nvk };
        let radv = Forms { round: Round::Split, ..gcn };
        let imad = |percent| Forms { add: Add::multiply_add(percent), ..literal };
        let boost = |headers, looped| Layout::Boost { headers, looped };
        let (std, verlane) = (Layout::Std, Layout::Verlane(Table::Storage));
        let window = Layout::Verlane(Table::Uniform);
        let (w64, w128, w256) = (Workgroup::W64, Workgroup::W128, Workgroup::W256);
        let zero_tests = [
            (std, literal, w64, "compilers that know a rotation: NVIDIA, Metal, DXC, LLVM"),
            (std, literal, w128, "the same in larger workgroups"),
            (std, literal, w256, "the same in the largest workgroups"),
            (std, imad(50), w128, "NVIDIA: half of the adds on the multiply-add pipe"),
            (std, imad(100), w128, "NVIDIA: all of the adds there"),
            (std, function, w64, "Intel on Mesa (ANV)"),
            (std, nvk, w64, "NVIDIA on Mesa (NVK)"),
            (std, radv, w64, "AMD since RDNA on Mesa (RADV)"),
            (std, gcn, w64, "AMD up to Vega on Mesa (RADV)"),
            (boost(4, false), literal, w64, "few version bits: four headers share a schedule"),
            (boost(8, false), literal, w64, "the same with eight: software adapters"),
            (boost(16, true), literal, w64, "few version bits, small code: Apple, Intel"),
            (boost(16, true), radv, w64, "few version bits on RADV"),
            (verlane, literal, w64, "16 version bits: the schedule comes from a table"),
            (verlane, literal, w256, "the same in the largest workgroups"),
            (window, literal, w64, "the same with the table in uniform memory"),
            (verlane, imad(50), w256, "NVIDIA: half of the adds on the multiply-add pipe"),
            (verlane, imad(100), w128, "NVIDIA, with all adds there"),
            (verlane, imad(75), w128, "NVIDIA, with three quarters of the adds there"),
            (verlane, imad(50), w128, "NVIDIA, with half of them in smaller workgroups"),
            (verlane, function, w64, "Intel on Mesa (ANV)"),
            (verlane, nvk, w64, "NVIDIA on Mesa (NVK)"),
            (verlane, radv, w64, "AMD since RDNA on Mesa (RADV)"),
            (verlane, gcn, w64, "AMD up to Vega on Mesa (RADV)"),
        ]
        .map(|(layout, forms, workgroup, good_for)| {
            (Self::derived(layout, forms, workgroup), good_for)
        });
        let std = zero_tests.iter().filter(|(variant, _)| variant.layout() == Layout::Std);
        let masks = std.map(|(variant, _)| {
            (variant.with_test(Test::Mask), "its twin for targets easier than difficulty 1")
        });
        let masks: Vec<_> = masks.collect();
        zero_tests
            .into_iter()
            .chain(masks)
            .chain([(Self::REFERENCE, "the readable loop, for drivers that fail on all others")])
            .collect()
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Std => f.write_str("std"),
            Self::Boost { headers, looped: false } => write!(f, "boost{headers}"),
            Self::Boost { headers, looped: true } => write!(f, "boost{headers}loop"),
            Self::Verlane(Table::Storage) => f.write_str("verlane"),
            Self::Verlane(Table::Uniform) => f.write_str("verlanewin"),
        }
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.layout())?;
        match self.body {
            Body::Reference => f.write_str("-reference")?,
            Body::Derived(layout, forms) => {
                f.write_str(match forms.rotate {
                    Rotate::Literal => "-literal",
                    Rotate::Function => "-function",
                    Rotate::Uniform => "-uniform",
                })?;
                f.write_str(match forms.ch {
                    Ch::Xor => "",
                    Ch::Or => "-chor",
                })?;
                f.write_str(match forms.maj {
                    Maj::Xor => "",
                    Maj::Or => "-major",
                    Maj::Share => "-majshare",
                })?;
                if forms.round == Round::Split {
                    f.write_str("-split")?;
                }
                if forms.add.multiply_add_percent > 0 {
                    write!(f, "-imad{}", forms.add.multiply_add_percent)?;
                }
                if self.nonces != layout.default_nonces() {
                    write!(f, "-n{}", self.nonces.count())?;
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
    let layout = parse_layout(parts.next().unwrap_or_default())?;
    let rotate = match (parts.next(), layout) {
        (Some("literal"), _) => Rotate::Literal,
        (Some("function"), _) => Rotate::Function,
        (Some("uniform"), _) => Rotate::Uniform,
        (Some("reference"), Layout::Std) => return parse_parts(Variant::REFERENCE, parts),
        (Some(other), _) => {
            let reference = if layout == Layout::Std { ", reference" } else { "" };
            return Err(format!("{other:?} is none of literal, function, uniform{reference}"));
        }
        (None, _) => return Err("after the layout the form of the rotation is missing".to_owned()),
    };
    let forms = Forms { rotate, ..Forms::default() };
    parse_parts(Variant::derived(layout, forms, Workgroup::W64), parts)
}

fn parse_layout(text: &str) -> Result<Layout, String> {
    let (number, looped) = match (text, text.strip_prefix("boost")) {
        ("std", _) => return Ok(Layout::Std),
        ("verlane", _) => return Ok(Layout::Verlane(Table::Storage)),
        ("verlanewin", _) => return Ok(Layout::Verlane(Table::Uniform)),
        (_, Some(rest)) => match rest.strip_suffix("loop") {
            Some(number) => (number, true),
            None => (rest, false),
        },
        _ => {
            return Err("it does not start with its layout: std, boost4 (or another number), \
                        boost16loop, verlane or verlanewin"
                .to_owned());
        }
    };
    let most = Layout::BOOST_MOST;
    match number.parse() {
        Ok(headers) if (2..=most).contains(&headers) => Ok(Layout::Boost { headers, looped }),
        _ => Err(format!("{text:?} needs 2 to {most} headers, such as boost4 or boost16loop")),
    }
}

/// What follows the form of the rotation.
fn parse_parts<'n>(
    mut variant: Variant,
    parts: impl Iterator<Item = &'n str>,
) -> Result<Variant, String> {
    for part in parts {
        if let Some(threads) = part.strip_prefix('w') {
            variant.workgroup =
                threads.parse().ok().and_then(Workgroup::new).ok_or_else(|| {
                    format!("{part:?} needs a power of two from 1 to 256 threads")
                })?;
            continue;
        }
        let unknown = || {
            format!(
                "{part:?} is no part of a name; after the rotation may stand chor, major or majshare, split, imad1 to \
                 imad100, n1 to n255, mask, and w1 to w256"
            )
        };
        let Body::Derived(_, forms) = &mut variant.body else { return Err(unknown()) };
        match part {
            "chor" => forms.ch = Ch::Or,
            "major" => forms.maj = Maj::Or,
            "majshare" => forms.maj = Maj::Share,
            "split" => forms.round = Round::Split,
            "mask" => variant.test = Test::Mask,
            _ => match (part.strip_prefix("imad"), part.strip_prefix('n')) {
                (Some(percent), _) => match percent.parse() {
                    Ok(percent @ 1..=100) => forms.add = Add::multiply_add(percent),
                    _ => return Err(format!("{part:?} needs a share of 1 to 100")),
                },
                (None, Some(nonces)) => {
                    variant.nonces = nonces
                        .parse()
                        .ok()
                        .and_then(Nonces::new)
                        .ok_or_else(|| format!("{part:?} needs 1 to 255 nonces per thread"))?;
                }
                (None, None) => return Err(unknown()),
            },
        }
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
            assert_eq!(name.parse(), Ok(variant), "{name}");
            assert!(names.insert(name));
        }
        // Of some forms none is listed.
        for name in ["std-function-major-w64", "boost3-uniform-chor-major-split-imad1-n3-mask-w1"] {
            assert_eq!(name.parse::<Variant>().unwrap().to_string(), name);
        }
        assert!(names.contains("std-literal-imad50-w128"));
        assert!(names.contains("verlane-uniform-chor-majshare-split-w64"));
        assert!(names.contains("boost16loop-literal-w64"));
        assert!(names.contains("std-uniform-chor-majshare-split-mask-w64"));
    }

    #[test]
    fn a_wrong_name_is_refused_with_its_reason() {
        for (name, reason) in [
            ("", "layout"),
            ("lane-uniform-w64", "verlane or verlanewin"),
            ("verlanewin-reference", "none of"),
            ("boost-literal-w64", "2 to 32"),
            ("boost1-literal-w64", "2 to 32"),
            ("boost33loop-literal-w64", "2 to 32"),
            ("boost04-literal-w64", "boost4-literal-w64"),
            ("verlane-reference", "none of"),
            ("verlane-literal-n0", "1 to 255"),
            ("verlane-literal-n32", "verlane-literal-w64"),
            ("std-literal-n256", "1 to 255"),
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

    #[test]
    fn a_layout_takes_as_many_headers_as_its_name_says() {
        let boost = |looped| Layout::Boost { headers: 7, looped }.headers();
        assert_eq!((Layout::Std.headers(), boost(false), boost(true)), ((1, 1), (7, 7), (2, 7)));
        let verlane = (VERLANE_FEWEST_HEADERS, VERLANE_MOST_HEADERS);
        assert!(verlane.0 > 1 && verlane.1 == 1 << 16);
        for table in [Table::Storage, Table::Uniform] {
            assert_eq!(Layout::Verlane(table).headers(), verlane);
        }
    }

    #[test]
    fn no_more_than_all_additions_are_multiply_adds() {
        let percents = [0, 1, 99, 100, 101, u8::MAX];
        let taken = percents.map(|percent| Add::multiply_add(percent).multiply_add_percent());
        assert_eq!(taken, [0, 1, 99, 100, 100, 100]);
    }
}
