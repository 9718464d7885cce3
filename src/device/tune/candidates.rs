//! Which variants are worth measuring on a device, the likely winners first.

use std::collections::BTreeMap;

use crate::device::{Facts, Kind};
use crate::kernel::{Body, Ch, Forms, Layout, Rotate, Table, Test, Variant};

/// A compiler whose taste is known, from the instructions that it makes: docs/KERNELS.md.
struct Taste {
    is: fn(&Facts) -> bool,
    /// 0 for the forms that should win, higher for those that may; `None` for those that cannot.
    rank: fn(Forms) -> Option<u8>,
}

/// The first that fits counts; the last fits all. Each keeps the plain literal form as a control: a
/// later driver may learn it.
const TASTES: [Taste; 5] = [
    // NVK turns only a loaded amount into one rotation.
    Taste {
        is: |facts| driver_has(facts, "nvk"),
        rank: |forms| match forms.rotate {
            Rotate::Uniform => Some(0),
            _ => is_plain_literal(forms).then_some(1),
        },
    },
    // NVIDIA's own knows the literal rotation, and needs three instructions for a loaded amount. What
    // share of the additions the multiply-add pipe should get differs between its chips: on an H200 half
    // is as good as all, and 1.17 times the control, which has none.
    Taste {
        is: |facts| facts.vendor_id == Some(NVIDIA),
        rank: |forms| match (forms.rotate, forms.add.multiply_add_percent()) {
            (Rotate::Literal, 0) => Some(1),
            (Rotate::Literal, _) => Some(0),
            _ => None,
        },
    },
    // RADV needs a loaded amount too, and prefers Ch in the textbook form. A multiplication is slow on
    // AMD, here and everywhere.
    Taste {
        is: |facts| driver_has(facts, "radv"),
        rank: |forms| match (forms.rotate, forms.ch) {
            (Rotate::Uniform, Ch::Or) => Some(0),
            (Rotate::Uniform, _) => Some(1),
            _ => is_plain_literal(forms).then_some(2),
        },
    },
    // ANV matches a rotation inside a function.
    Taste {
        is: |facts| driver_has(facts, "intel open-source"),
        rank: |forms| match forms.rotate {
            Rotate::Function => Some(0),
            _ => is_plain_literal(forms).then_some(1),
        },
    },
    // Unknown, or one of those that are expected to know the literal form: LLVM (lavapipe too), Metal,
    // DXC. Only an NVIDIA chip gains by multiplying.
    Taste {
        is: |_| true,
        rank: |forms| match forms.add.multiply_add_percent() {
            0 => Some(u8::from(!is_plain_literal(forms))),
            _ => None,
        },
    },
];

/// PCI vendor number.
const NVIDIA: u32 = 0x10de;

/// The variants to measure on a device, one of each layout in turn: a short tune that opens two or three
/// must not have compared a layout with itself alone. Zero tests only: the mask twin of the fastest is the
/// fastest for easier targets too.
#[must_use]
pub fn candidates(facts: &Facts) -> Vec<Variant> {
    let Some(taste) = TASTES.iter().find(|taste| (taste.is)(facts)) else { return Vec::new() };
    let rank = |variant: Variant| match variant.body {
        Body::Derived(layout, forms) if variant.test == Test::Word7 => {
            Some(((taste.rank)(forms)?, layout_rank(layout, facts.kind)?))
        }
        _ => None,
    };
    let mut turns: BTreeMap<(u8, u8), u8> = BTreeMap::new();
    let mut ranked = Vec::new();
    for (variant, _) in Variant::list() {
        let Some((forms, layout)) = rank(variant) else { continue };
        let turn = turns.entry((forms, layout)).or_default();
        ranked.push(((forms, *turn, layout), variant));
        *turn += 1;
    }
    ranked.sort_by_key(|(rank, _)| *rank);
    ranked.into_iter().map(|(_, variant)| variant).collect()
}

/// Within the same forms the layout that leaves the fewest operations comes first. Boost has no more than
/// verlane for a job that rolls enough bits, so it comes last. Not so on a processor: on lavapipe boost is
/// the fastest, and verlane with its table in storage memory a third of it.
const fn layout_rank(layout: Layout, kind: Kind) -> Option<u8> {
    match (layout, kind.is_processor()) {
        // As fast as with eight in one instance and a tenth slower in the next: no short tune can tell.
        (Layout::Boost { headers: 2..=4, looped: false }, true) => None,
        (Layout::Verlane(_), false) | (Layout::Boost { .. }, true) => Some(0),
        (Layout::Std, _) | (Layout::Verlane(Table::Uniform), true) => Some(1),
        (Layout::Boost { .. }, false) | (Layout::Verlane(Table::Storage), true) => Some(2),
    }
}

fn driver_has(facts: &Facts, word: &str) -> bool {
    facts.driver.as_ref().is_some_and(|driver| driver.to_lowercase().contains(word))
}

fn is_plain_literal(forms: Forms) -> bool {
    forms.rotate == Rotate::Literal && forms.add.multiply_add_percent() == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(vendor_id: u32, driver: &str) -> Vec<String> {
        let is_software = driver.starts_with("llvmpipe");
        let facts = Facts {
            name: "card".to_owned(),
            kind: if is_software { Kind::Software } else { Kind::Discrete },
            backend: "vulkan".to_owned(),
            driver: Some(driver.to_owned()),
            pci: None,
            vendor_id: Some(vendor_id),
            device_id: None,
            subgroup_sizes: None,
            also_through: Vec::new(),
        };
        candidates(&facts).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_likely_winner_comes_first_and_the_default_is_a_control() {
        for (vendor, driver, first) in [
            (NVIDIA, "NVIDIA 570.86.16", "verlane-literal-imad50-w256"),
            (NVIDIA, "NVK Mesa 25.0.7", "verlane-uniform-w64"),
            (0x1002, "radv Mesa 25.0.7", "verlane-uniform-chor-majshare-split-w64"),
            (0x8086, "Intel open-source Mesa driver Mesa 25.0.7", "verlane-function-w64"),
            (0x10005, "llvmpipe Mesa 22.3.6 (LLVM 15.0.6)", "boost8-literal-w64"),
            (0x106b, "", "verlane-literal-w64"),
        ] {
            let names = names(vendor, driver);
            assert_eq!(names[0], first, "{driver}");
            assert!(names.contains(&Variant::DEFAULT.to_string()), "{driver}: {names:?}");
            assert!(
                names.iter().all(|name| !name.contains("-mask") && !name.contains("reference"))
            );
            let multiplies = names.iter().any(|name| name.contains("-imad"));
            assert_eq!(multiplies, driver.starts_with("NVIDIA"), "{driver}: {names:?}");
        }
    }

    #[test]
    fn the_first_of_each_layout_come_before_the_second_of_any() {
        let gpu = ["verlane-literal-w64", "std-literal-w64", "boost4-literal-w64"];
        let processor = ["boost8-literal-w64", "std-literal-w64", "verlane-literal-w64"];
        for (driver, first, second) in [
            ("", gpu, "verlane-literal-w256"),
            ("llvmpipe Mesa 25.0.7", processor, "boost16loop-literal-w64"),
        ] {
            let names = names(0x106b, driver);
            assert_eq!((&names[..3], &names[3][..]), (&first.map(str::to_owned)[..], second));
        }
    }

    #[test]
    fn an_unknown_device_tries_all_but_what_only_nvidia_gains_by() {
        let zero_tests = Variant::list().into_iter().map(|(variant, _)| variant);
        let zero_tests = zero_tests.filter(|variant| variant.test == Test::Word7);
        let all = zero_tests.filter(|variant| !variant.to_string().contains("-imad")).count();
        assert_eq!(names(0x106b, "").len(), all);
    }
}
