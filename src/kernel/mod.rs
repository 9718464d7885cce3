//! Derives WGSL kernels, and the host's part of each, from the specification of SHA-256d.
//!
//! [`sha256d`] is the algorithm, written once over a [`word::Word`]. Run with `u32` it computes; run with
//! a symbolic word it records its operations, each with the time at which its value is known. What is
//! known per job becomes a slot that the [`Plan`] fills on the host; what is left is printed as
//! straight-line WGSL in the forms that a [`Variant`] asks for.

pub mod abi;
pub mod assembly;
mod custom;
pub mod model;
mod plan;
mod print;
mod program;
mod recorder;
pub mod sha256d;
mod translate;
mod variant;
pub mod word;

use std::fmt;

use bitcoin::block::Header;
use bitcoin::hex::DisplayHex as _;
use sha2::{Digest as _, Sha256};

use crate::chain;

pub use custom::CustomError;
pub use plan::{JobWords, Plan};
pub use program::{Cost, Operations};
pub use translate::{Binding, Buffer, Target, TranslateError, Translated, bindings, translate};
pub use variant::{
    Add, Body, Ch, Forms, Layout, Maj, Nonces, Rotate, Round, Table, Test, Variant, VariantError,
    Workgroup,
};

use program::Program;
use recorder::Bindings;

/// Entry point of every kernel.
pub const ENTRY_POINT: &str = "scan";

/// Entry point of the module that makes the table of [`Layout::Verlane`].
pub const ROWS_ENTRY_POINT: &str = "fill";

/// What the first line of a kernel starts with; the variant's name follows.
const FIRST_LINE: &str = "// adit kernel ";

const ABI: &str = include_str!("../../shaders/abi.wgsl");
const SCAN: &str = include_str!("../../shaders/scan.wgsl");
const SCAN_ONE: &str = include_str!("../../shaders/scan_one.wgsl");
const SCAN_MANY: &str = include_str!("../../shaders/scan_many.wgsl");
const VERLANE: &str = include_str!("../../shaders/verlane.wgsl");
const VERLANE_STORAGE: &str = include_str!("../../shaders/verlane_storage.wgsl");
const VERLANE_UNIFORM: &str = include_str!("../../shaders/verlane_uniform.wgsl");
const LANES: &str = include_str!("../../shaders/lanes.wgsl");
const ROWS: &str = include_str!("../../shaders/rows.wgsl");
const SHA256: &str = include_str!("../../shaders/sha256.wgsl");
const REFERENCE: &str = include_str!("../../shaders/reference.wgsl");

/// A kernel: its text, the host's part, and what a hash costs.
#[derive(Debug, Clone)]
pub struct Kernel {
    /// What it was made from; of a user's kernel, the variant whose ABI it follows.
    pub variant: Variant,
    /// What a user's kernel is called; `None` for adit's own.
    pub custom: Option<String>,
    /// The complete WGSL module; its entry point is [`ENTRY_POINT`].
    pub wgsl: String,
    /// Fills the job's words.
    pub job: Plan,
    /// Fills a version's words, where headers share work.
    pub lane: Plan,
    /// What makes the table that the headers of a nonce share, where the layout has one.
    pub rows: Option<Rows>,
    /// Operations per hash; unknown for what is not derived: the reference kernel and a user's.
    pub cost: Option<Cost>,
}

/// The table of [`Layout::Verlane`]: one row per nonce.
#[derive(Debug, Clone)]
pub struct Rows {
    /// The complete WGSL module that fills it; its entry point is [`ROWS_ENTRY_POINT`].
    pub wgsl: String,
    /// Bytes of a row.
    pub bytes: u64,
}

impl Kernel {
    /// Derives and prints a variant. The same variant always gives the same text.
    #[must_use]
    pub fn new(variant: Variant) -> Self {
        let Body::Derived(layout, forms) = variant.body else { return Self::reference(variant) };
        let program = Program::new(layout.bindings(), forms.round);
        let body = print::test(&program, layout, forms, variant.test);
        let scan = if variant.nonces.count() == 1 { SCAN_ONE } else { SCAN_MANY };
        let entry = match layout {
            Layout::Std => [SCAN, scan].join("\n"),
            Layout::Boost { .. } => [LANES, SCAN, scan].join("\n"),
            Layout::Verlane(Table::Storage) => [LANES, VERLANE_STORAGE, VERLANE].join("\n"),
            Layout::Verlane(Table::Uniform) => [LANES, VERLANE_UNIFORM, VERLANE].join("\n"),
        };
        let rows = matches!(layout, Layout::Verlane(_)).then(|| Rows {
            wgsl: module(variant, ROWS, &print::fill_row(&program, forms)),
            bytes: print::row_vectors(&program) as u64 * 16,
        });
        let cost = program.cost(variant.test == Test::Mask, layout.headers().1);
        let wgsl = module(variant, &entry, &body);
        Self {
            variant,
            custom: None,
            wgsl,
            job: program.job,
            lane: program.lane,
            rows,
            cost: Some(cost),
        }
    }

    /// SHA-256 of its WGSL, in hex.
    #[must_use]
    pub fn wgsl_sha256(&self) -> String {
        Sha256::digest(&self.wgsl).to_lower_hex_string()
    }

    fn reference(variant: Variant) -> Self {
        let wgsl = module(variant, &[SCAN, SCAN_ONE].join("\n"), REFERENCE);
        Self {
            variant,
            custom: None,
            wgsl,
            job: Plan::raw(),
            lane: Plan::none(),
            rows: None,
            cost: None,
        }
    }
}

impl From<Variant> for Kernel {
    fn from(variant: Variant) -> Self {
        Self::new(variant)
    }
}

/// The name of the variant, or of the user's file.
impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.custom {
            Some(name) => f.write_str(name),
            None => fmt::Display::fmt(&self.variant, f),
        }
    }
}

/// A complete module: the ABI, the entry point, the body, and the functions that these call.
fn module(variant: Variant, entry: &str, body: &str) -> String {
    let mut text = format!(
        "{FIRST_LINE}{variant}\n\nconst WORKGROUP: u32 = {}u;\nconst NONCES: u32 = {}u;\n\n{ABI}\n{entry}\n{body}",
        variant.workgroup.threads(),
        variant.nonces.count(),
    );
    // Last first: a function stands above those that call it.
    let mut called: Vec<&str> = Vec::new();
    for block in SHA256.split("\n\n").map(str::trim).collect::<Vec<_>>().into_iter().rev() {
        let calls = |text: &str, name: &str| text.contains(&format!("{name}("));
        let Some(name) = function_name(block) else { continue };
        if calls(&text, name) || called.iter().any(|text| calls(text, name)) {
            called.push(block);
        }
    }
    for block in called.into_iter().rev() {
        text.push('\n');
        text.push_str(block);
        text.push('\n');
    }
    text
}

fn function_name(block: &str) -> Option<&str> {
    block.lines().find_map(|line| line.strip_prefix("fn ")?.split('(').next())
}

impl Layout {
    /// When it knows the midstate and the nonce.
    const fn bindings(self) -> Bindings {
        use recorder::Binding;
        match self {
            Self::Std => Bindings { midstate: Binding::Job, nonce: Binding::Hash },
            Self::Boost { .. } | Self::Verlane(_) => {
                Bindings { midstate: Binding::Lane, nonce: Binding::Row }
            }
        }
    }
}

impl JobWords {
    /// The words of a header that a job fixes.
    #[must_use]
    pub fn of(header: &Header) -> Self {
        Self { midstate: chain::midstate(header), tail: chain::tail(header) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAYOUTS: [Layout; 5] = [
        Layout::Std,
        Layout::Boost { headers: 3, looped: false },
        Layout::Boost { headers: 16, looped: true },
        Layout::Verlane(Table::Storage),
        Layout::Verlane(Table::Uniform),
    ];

    /// Every form in some combination, each layout with one and with several nonces, and everything that is
    /// listed.
    fn variants() -> Vec<Variant> {
        let mut variants: Vec<Variant> =
            Variant::list().into_iter().map(|(variant, _)| variant).collect();
        let rotates = [Rotate::Literal, Rotate::Function, Rotate::Uniform];
        let bits = [(Ch::Xor, Maj::Xor), (Ch::Or, Maj::Or), (Ch::Or, Maj::Share)];
        let adds = [(0, Round::Whole), (1, Round::Split), (50, Round::Whole), (100, Round::Split)];
        for (index, (rotate, (ch, maj))) in
            rotates.into_iter().flat_map(|r| bits.map(|b| (r, b))).enumerate()
        {
            for (add, round) in adds {
                let forms = Forms { rotate, ch, maj, round, add: Add::multiply_add(add) };
                let layout = LAYOUTS[index % LAYOUTS.len()];
                let variant = Variant::derived(layout, forms, Workgroup::W128);
                let nonces = Nonces::new(3).unwrap();
                variants.extend([variant, Variant { nonces, ..variant.with_test(Test::Mask) }]);
            }
        }
        variants
    }

    #[test]
    fn every_variant_translates_to_every_language() {
        for variant in variants() {
            let kernel = Kernel::new(variant);
            for target in [Target::Wgsl, Target::Spirv, Target::Msl, Target::Hlsl] {
                for wgsl in [Some(&kernel.wgsl), kernel.rows.as_ref().map(|rows| &rows.wgsl)] {
                    let translated = wgsl.map(|wgsl| translate(wgsl, target)).transpose();
                    let translated = translated.unwrap_or_else(|error| {
                        panic!("{variant} to {target:?}: {error}");
                    });
                    if let Some(Translated::Text(text)) = translated {
                        let has_entry = text.contains("scan") || text.contains("fill");
                        assert!(has_entry, "{variant} in {target:?} has no entry point");
                    }
                }
            }
        }
    }

    #[test]
    fn the_text_has_the_shape_of_the_algorithm() {
        let text = Kernel::new(Variant::DEFAULT).wgsl;
        let count = |needle: &str| text.matches(needle).count();
        // Rounds 0 to 2 are the job's.
        assert_eq!(count(" of the first hash.\n"), 61);
        // Round 60 is the test, rounds 61 to 63 are dead.
        assert_eq!(count(" of the second hash.\n"), 60);
        assert_eq!(count(" = params.job["), 26);
        assert_eq!(count("bsig0_literal(") + count("bsig1_literal(") - 2, 236);
        assert_eq!(count("ssig0_literal(") + count("ssig1_literal(") - 2, 156);
        assert_eq!(count("ch_xor(") + count("maj_xor(") - 2, 236);
        assert!(text.contains("let e18 = "), "words carry the names of the specification");
        assert!(!text.contains("let x"), "a word without a name: {text}");
        assert!(text.lines().all(|line| line.chars().count() <= 120), "a line too long to read");
        assert_eq!(text, Kernel::new(Variant::DEFAULT).wgsl);
        assert!(text.contains("let T8 = "));
        let split = Kernel::new("std-literal-split-w64".parse().unwrap()).wgsl;
        assert!(split.contains("let T8_without_ch = ") && !split.contains("let T8 = "));
    }

    #[test]
    fn the_share_of_multiply_adds_is_the_one_asked_for() {
        for (percent, expected) in [(25, 260), (50, 520), (100, 1041)] {
            let forms = Forms { add: Add::multiply_add(percent), ..Forms::default() };
            let text = Kernel::new(Variant::derived(Layout::Std, forms, Workgroup::W64)).wgsl;
            assert_eq!(text.matches("* one").count(), expected, "{percent} %");
        }
    }

    #[test]
    fn a_kernel_carries_only_the_functions_that_it_calls() {
        for (variant, _) in Variant::list() {
            let text = Kernel::new(variant).wgsl;
            let defined =
                text.lines().filter_map(|line| line.strip_prefix("fn ")?.split('(').next());
            for name in defined.filter(|name| *name != ENTRY_POINT) {
                let calls = text.matches(&format!("{name}(")).count() - 1;
                assert!(calls > 0, "{variant} carries {name} and never calls it");
            }
        }
    }

    /// Rates and instruction counts that were published are those of a text. Whoever changes one measures anew.
    #[test]
    fn the_texts_are_those_that_were_measured() {
        let line = |variant: Variant| {
            let kernel = Kernel::new(variant);
            let rows = kernel.rows.map_or(String::new(), |rows| rows.wgsl);
            let digest = Sha256::digest([kernel.wgsl, rows].concat());
            format!("{} {variant}\n", digest[..6].as_hex())
        };
        insta::assert_snapshot!(variants().into_iter().map(line).collect::<String>());
    }
}
