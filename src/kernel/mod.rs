//! Derives WGSL kernels, and the host's part of each, from the specification of SHA-256d.
//!
//! [`sha256d`] is the algorithm, written once over a [`word::Word`]. Run with `u32` it computes; run with
//! a symbolic word it records its operations, each with the time at which its value is known. What is
//! known per job becomes a slot that the [`Plan`] fills on the host; what is left is printed as
//! straight-line WGSL in the forms that a [`Variant`] asks for.

pub mod abi;
pub mod assembly;
pub mod model;
mod plan;
mod print;
mod program;
mod recorder;
pub mod sha256d;
mod translate;
mod variant;
pub mod word;

use bitcoin::block::Header;

use crate::chain;

pub use plan::{JobWords, Plan};
pub use program::Cost;
pub use translate::{Binding, Buffer, Target, TranslateError, Translated, bindings, translate};
pub use variant::{Add, Bitwise, Body, Forms, Rotate, Test, Variant, VariantError, Workgroup};

use program::Program;

/// Entry point of every kernel.
pub const ENTRY_POINT: &str = "scan";

const ABI: &str = include_str!("../../shaders/abi.wgsl");
const SCAN: &str = include_str!("../../shaders/scan.wgsl");
const SHA256: &str = include_str!("../../shaders/sha256.wgsl");
const REFERENCE: &str = include_str!("../../shaders/reference.wgsl");

/// A kernel: its text, the host's part, and what a hash costs.
#[derive(Debug, Clone)]
pub struct Kernel {
    /// What it was made from.
    pub variant: Variant,
    /// The complete WGSL module; its entry point is [`ENTRY_POINT`].
    pub wgsl: String,
    /// Fills the job words that the text reads.
    pub plan: Plan,
    /// Operations per hash; unknown for the reference kernel, which is not derived.
    pub cost: Option<Cost>,
}

impl Kernel {
    /// Derives and prints a variant. The same variant always gives the same text.
    #[must_use]
    pub fn new(variant: Variant) -> Self {
        let (body, functions, plan, cost) = match variant.body {
            Body::Derived(forms) => {
                let program = Program::std();
                let body = print::is_candidate(&program, forms, variant.test);
                let cost = program.cost(variant.test == Test::Mask);
                (body, print::functions(forms), program.plan, Some(cost))
            }
            Body::Reference => {
                let forms = Forms { rotate: Rotate::Function, ..Forms::default() };
                (REFERENCE.to_owned(), print::functions(forms), Plan::raw(), None)
            }
        };
        let functions: Vec<&str> = functions.iter().filter_map(|name| function(name)).collect();
        let wgsl = format!(
            "// adit kernel {variant}\n\nconst WORKGROUP: u32 = {}u;\n\n{ABI}\n{SCAN}\n{body}\n{}\n",
            variant.workgroup.threads(),
            functions.join("\n\n"),
        );
        Self { variant, wgsl, plan, cost }
    }
}

/// The text of one function of `shaders/sha256.wgsl`, with the comment above it.
fn function(name: &str) -> Option<&'static str> {
    let head = format!("fn {name}(");
    SHA256
        .split("\n\n")
        .find(|block| block.lines().any(|line| line.starts_with(&head)))
        .map(str::trim)
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

    /// Every combination of forms, and everything that is listed.
    fn variants() -> Vec<Variant> {
        let mut variants: Vec<Variant> =
            Variant::list().into_iter().map(|(variant, _)| variant).collect();
        for rotate in [Rotate::Literal, Rotate::Function, Rotate::Uniform] {
            for (ch, maj) in [Bitwise::Xor, Bitwise::Or]
                .into_iter()
                .flat_map(|c| [(c, Bitwise::Xor), (c, Bitwise::Or)])
            {
                for add in [0, 1, 50, 100].map(Add::multiply_add) {
                    let variant = Variant::derived(Forms { rotate, ch, maj, add }, Workgroup::W128);
                    variants.extend([variant, variant.with_test(Test::Mask)]);
                }
            }
        }
        variants
    }

    #[test]
    fn every_variant_translates_to_every_language() {
        for variant in variants() {
            let kernel = Kernel::new(variant);
            for target in [Target::Wgsl, Target::Spirv, Target::Msl, Target::Hlsl] {
                let translated = translate(&kernel.wgsl, target);
                assert!(translated.is_ok(), "{variant} to {target:?}: {translated:?}");
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
    }

    #[test]
    fn the_share_of_multiply_adds_is_the_one_asked_for() {
        for (percent, expected) in [(25, 260), (50, 520), (100, 1041)] {
            let forms = Forms { add: Add::multiply_add(percent), ..Forms::default() };
            let text = Kernel::new(Variant::derived(forms, Workgroup::W64)).wgsl;
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
}
