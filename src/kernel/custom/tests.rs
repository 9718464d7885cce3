//! What may run as a kernel, and what is refused with its reason.

use super::*;
use crate::kernel::abi::Params;
use crate::kernel::{Forms, JobWords, Layout, Test};

fn refused(text: &str) -> String {
    Kernel::custom("mine.wgsl", text).unwrap_err().to_string()
}

/// The smallest kernel with everything that is asked for, and `more` outside its functions.
fn with(more: &str) -> String {
    format!(
        "@group(0) @binding(0) var<uniform> params: vec4<u32>;\n\
         @group(0) @binding(1) var<storage, read_write> report: u32;\n\
         {more}\n\
         @compute @workgroup_size(64) fn scan() {{ report = params.x; }}\n"
    )
}

fn in_function(more: &str) -> String {
    with(&format!("fn f() {{ var one = 1u; {more} }}"))
}

fn assert_refused(text: &str, parts: &[&str]) {
    let error = refused(text);
    for part in parts {
        assert!(error.contains(part), "{part:?} is not in {error:?}");
    }
}

fn printed() -> Vec<Variant> {
    let longest = Layout::Boost { headers: 32, looped: false };
    let more = [
        Variant::derived(longest, Forms::default(), Workgroup::W64).with_test(Test::Mask),
        Variant { nonces: Nonces::new(7).unwrap(), ..Variant::DEFAULT },
    ];
    Variant::list().into_iter().map(|(variant, _)| variant).chain(more).collect()
}

/// Saved results name a kernel by it, so it must tell one from another.
#[test]
fn the_checksum_is_that_of_the_text() {
    let mut kernel = Kernel::new(Variant::DEFAULT);
    kernel.wgsl = "abc".to_owned();
    // FIPS 180-2, appendix B.1.
    let of_abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(kernel.wgsl_sha256(), of_abc);
}

#[test]
fn the_text_that_runs_is_the_users_without_a_byte_order_mark() {
    for mark in ["", "\u{feff}"] {
        let kernel = Kernel::custom("mine.wgsl", &(mark.to_owned() + &with(""))).unwrap();
        assert_eq!(kernel.wgsl, with(""));
    }
}

#[test]
fn what_adit_prints_is_taken_as_it_is() {
    let job = JobWords { midstate: [1, 2, 3, 4, 5, 6, 7, 8], tail: [9, 10, 11] };
    for variant in printed() {
        let own = Kernel::new(variant);
        let custom = Kernel::custom("mine.wgsl", &own.wgsl).unwrap();
        assert_eq!(custom.variant, variant);
        assert_eq!(custom.custom.as_deref(), Some("mine.wgsl"));
        assert_eq!(own.custom, None);
        assert_eq!(custom.wgsl, own.wgsl);
        for (custom, own) in [(custom.job, own.job), (custom.lane, own.lane)] {
            assert_eq!(custom.formulas(), own.formulas());
            assert_eq!(custom.fill(&job), own.fill(&job));
        }
        assert_eq!(custom.rows.map(|rows| rows.wgsl), own.rows.map(|rows| rows.wgsl));
        assert!(custom.cost.is_none());
    }
}

#[test]
fn without_the_first_line_it_follows_the_reference() {
    let text = Kernel::new(Variant::REFERENCE).wgsl;
    let rest = text.split_once('\n').unwrap().1;
    for text in [rest.to_owned(), format!("\u{feff}{text}"), text.replace('\n', "\r\n")] {
        let kernel = Kernel::custom("mine.wgsl", &text).unwrap();
        assert_eq!(kernel.variant, Variant::REFERENCE);
        assert_eq!(kernel.job.slots(), 11);
    }
    assert!(Kernel::custom("mine.wgsl", &with("")).is_ok());
}

#[test]
fn threads_and_nonces_are_the_ones_of_the_text() {
    let printed = Kernel::new(Variant::DEFAULT).wgsl;
    let text = printed.replace("WORKGROUP: u32 = 64u", "WORKGROUP: u32 = 32u * 4u");
    let text = text.replace("NONCES: u32 = 1u", "NONCES: u32 = 255u");
    let variant = Kernel::custom("mine.wgsl", &text).unwrap().variant;
    let nonces = Nonces::new(255).unwrap();
    let workgroup = Workgroup::W128;
    assert_eq!(variant, Variant { nonces, workgroup, ..Variant::DEFAULT });

    for value in [": u32 = 0u", ": u32 = 256u", " = 4", ": i32 = 4", ": u32 = u32()"] {
        let parts = ["const NONCES: u32 = 1u", "1 to 255", "have 1 as std-reference-w64 has"];
        assert_refused(&with(&format!("const NONCES{value};")), &parts);
    }
    assert!(Kernel::custom("mine.wgsl", &with("const NONCES_MOST = 4;")).is_ok());
    for (size, found) in [("48", "48, 1, 1"), ("512", "512, 1, 1"), ("8, 8", "8, 8, 1")] {
        let text = with("").replace("(64)", &format!("({size})"));
        assert_refused(&text, &[found, "power of two from 1 to 256"]);
    }
}

#[test]
fn a_wrong_first_line_is_refused() {
    let text = format!("// adit kernel std-barrel-w64\n{}", with(""));
    assert_refused(&text, &["first line", "std-barrel-w64", "barrel", "adit kernel list"]);
}

#[test]
fn what_is_no_wgsl_is_refused_with_the_place() {
    assert_refused(&with("fn f( {"), &["does not parse", "mine.wgsl:3:7"]);
    assert_refused(&in_function("return 1u;"), &["not valid", "mine.wgsl:3:"]);
    assert_refused("", &["one entry point", "it has none"]);
    assert_refused(&with("").replace("scan", "go"), &["fn scan", "Compute go"]);
    let two = with("@compute @workgroup_size(1) fn other() {}");
    assert_refused(&two, &["Compute other, Compute scan"]);
    assert_refused(&with("@fragment fn other() {}"), &["Fragment other, Compute scan"]);
    assert_refused(&with("override x = 1u;"), &["`override x`", "`const`"]);
    assert_refused(&with("override x: u32;"), &["`override x`", "`const`"]);
}

#[test]
fn extensions_are_refused() {
    assert_refused(&in_function("let x = 1lu;"), &["no f16", "64"]);
    assert_refused(&with("var<private> x: f64;"), &["no f16", "64"]);
    assert_refused(&with("var<immediate> x: u32;"), &["mine.wgsl:3"]);
    assert_refused(&with("enable f16; var<private> x: f16;"), &["mine.wgsl:3"]);
    assert_refused(&in_function("let x = subgroupAdd(1u);"), &["mine.wgsl:3"]);
    for kind in ["texture_2d<f32>", "sampler"] {
        let text = with(&format!("@group(0) @binding(2) var image: {kind};"));
        assert_refused(&text, &["`image`", "buffers only"]);
    }
}

#[test]
fn only_what_adit_binds_can_be_bound() {
    let verlane = "// adit kernel verlane-literal-w64\n";
    let table = |number: u32, access: &str, of: &str| {
        with(&format!("@group(0) @binding({number}) var<storage, {access}> table: {of};"))
    };
    let lanes = table(2, "read", "array<vec4<u32>>");
    assert_refused(&lanes, &["binds 2 of group 0", "std-reference-w64 has, in group 0, 0, 1"]);
    assert!(Kernel::custom("mine.wgsl", &format!("{verlane}{lanes}")).is_ok());
    let fourth = verlane.to_owned() + &table(4, "read", "u32");
    assert_refused(&fourth, &["binds 4 of group 0", "0, 1, 2, 3"]);
    let group = with("").replace("@group(0) @binding(1)", "@group(1) @binding(1)");
    assert_refused(&group, &["binds 1 of group 1"]);

    for number in [2, 3] {
        let written = verlane.to_owned() + &table(number, "read_write", "array<vec4<u32>>");
        assert_refused(&written, &["var<storage, read_write>", "gives it as var<storage, read>"]);
        for of in ["array<u32>", "array<vec4<u32>, 9>", "array<vec4<i32>>", "u32"] {
            let text = verlane.to_owned() + &table(number, "read", of);
            assert_refused(&text, &["is a table", "array<vec4<u32>>"]);
        }
    }
    let storage = with("").replace("var<uniform>", "var<storage, read>");
    assert_refused(&storage, &["binding 0", "var<storage, read>", "var<uniform>"]);
}

#[test]
fn buffers_are_no_larger_than_the_host_s() {
    let params =
        |words: usize| with("").replace("vec4<u32>", &format!("array<vec4<u32>, {words}>"));
    let params = |words| params(words).replace("params.x", "params[0].x");
    assert!(Kernel::custom("mine.wgsl", &params(size_of::<Params>() / 16)).is_ok());
    assert_refused(
        &params(size_of::<Params>() / 16 + 1),
        &["binding 0", "has 224 bytes", "adit's has 208"],
    );
    let report = with("").replace("report: u32", "report: array<u32, 509>");
    let report = report.replace("report =", "report[0] =");
    assert_refused(&report, &["binding 1", "has 2036 bytes", "adit's has 2032"]);
}

#[test]
fn a_kernel_reads_its_parameters_and_writes_its_report() {
    let text = with("").replace("report = params.x", "let x = params.x + report");
    assert_refused(&text, &["never writes its report", "prove"]);
    assert_refused(&with("").replace("params.x", "1u"), &["never reads its parameters"]);
    assert_refused(&with("").replace("report = params.x;", ""), &["never"]);
}

#[test]
fn workgroups_share_what_every_adapter_has() {
    let share = |words: u32| {
        with(&format!("var<workgroup> a: array<u32, {words}>; var<workgroup> b: u32;"))
    };
    assert!(Kernel::custom("mine.wgsl", &share(WORKGROUP_MEMORY / 4 - 1)).is_ok());
    assert_refused(&share(WORKGROUP_MEMORY / 4), &["16356 bytes", "16352 only"]);
}

#[test]
fn threads_have_what_every_thread_has() {
    let array = |words: u32| format!("array<u32, {words}>");
    let most = THREAD_MEMORY / 4;
    let private = |words| with(&format!("var<private> a: {}; var<private> b: u32;", array(words)));
    let local = |words| in_function(&format!("var a: {};", array(words)));
    for text in [private(most - 1), local(most - 1)] {
        assert!(Kernel::custom("mine.wgsl", &text).is_ok());
    }
    for text in [private(most), local(most)] {
        assert_refused(&text, &["of 8196 bytes", "8192 only", "`var`"]);
    }
    let value = in_function(&format!("let x = {}()[one];", array(100_000_000)));
    assert_refused(&value, &["of 400000000 bytes"]);
}

#[test]
fn depth_is_bounded_before_anything_recurses() {
    let repeat = |text: &str| text.repeat(100_000);
    let chain =
        |link: fn(usize) -> String| with(&(0..80_000).map(link).collect::<Vec<_>>().concat());
    let wrong = [
        in_function(&repeat("(")),
        in_function(&repeat("{")),
        in_function(&repeat("[")),
        in_function(&format!("let x = {}one{};", repeat("("), repeat(")"))),
        in_function(&format!("let x = one{};", repeat("+1u"))),
        in_function(&format!("let x = {}one;", repeat("~"))),
        in_function(&format!("let x = one{};", repeat(".x"))),
        in_function(&format!("let x = one{};", repeat("[0]"))),
        in_function(&format!("let x = {}", repeat("array<"))),
        in_function(&format!("if true {{}} {}", repeat("else if true {}"))),
        in_function(&format!("if true {{}} {}", repeat("else/**/if a{b;}"))),
        chain(|i| format!("const c{i}=c{};", i + 1)),
        chain(|i| format!("fn f{i}(){{f{}();}}", i + 1)),
        with(&format!("//\u{2028}fn f() {{ let x = {}1;", repeat("~"))),
        with(&format!("/*/**/*/fn f() {{ let x = {}1;", repeat("~"))),
    ];
    for text in wrong {
        assert!(text.len() <= KERNEL_TEXT);
        assert_refused(&text, &["of the kernel goes beyond"]);
    }
    assert_refused(&in_function(&format!("\n\nlet x = {}", repeat("("))), &["line 5", "`let`"]);
    let branches = format!("\n\nif true {{}} {}", repeat("else if true {}"));
    assert_refused(&in_function(&branches), &["line 5", "`switch`"]);
    assert_refused(&format!("/*\n*/\n{}", in_function(&repeat("("))), &["line 5"]);

    let comments = format!("//{}\n/*{}{}*/", repeat("("), repeat("/*"), repeat("*/"));
    assert!(Kernel::custom("mine.wgsl", &with(&comments)).is_ok());
    let full = with("") + &" ".repeat(KERNEL_TEXT - with("").len());
    assert!(Kernel::custom("mine.wgsl", &full).is_ok());
    assert_refused(&(full + "\n"), &["2097153 bytes", "2097152"]);
}

#[test]
fn the_deepest_text_fits_the_smallest_stack() {
    let text = |inner: String| {
        let blocks = KERNEL_NESTING / 2 - 2;
        let (open, close) = ("{".repeat(blocks), "}".repeat(blocks));
        in_function(&format!("{open} {inner} {close}"))
    };
    let level = KERNEL_NESTING / 2;
    let (open, close) = ("u32(".repeat(level), ")".repeat(level));
    let chain = "+one".repeat(KERNEL_OPERATORS - 1);
    let types = |levels| format!("{}u32{}", "array<".repeat(levels), ",1>".repeat(levels));
    let deep = [
        text(format!("let x={open}one{chain}{close};")),
        text(format!("let x={}one{};", "u32(~".repeat(level), close)),
        text(format!("var x:{};", types(KERNEL_OPERATORS / 2 - 1))),
        text(format!("if true {{}} {}", "else if true {}".repeat(KERNEL_ELSE_IFS))),
        text(format!("let x=true{};", "&&(one==1u)".repeat(KERNEL_OPERATORS / 4 - 1))),
    ];
    let on_thread = std::thread::Builder::new().stack_size(1 << 20).spawn(move || {
        for text in deep {
            let result = Kernel::custom("mine.wgsl", &text);
            assert!(result.is_ok(), "{result:?}");
        }
    });
    on_thread.unwrap().join().unwrap();
}

#[test]
fn calls_that_double_are_refused() {
    let doubling = (1..40).map(|n| format!("fn f{n}() {{ f{0}(); f{0}(); }}\n", n - 1));
    let text = with(&format!("fn f0() {{ report = 1u; }}\n{}", doubling.collect::<String>()));
    assert_refused(&text, &["`f", "passes 2097152 operations", "in a loop"]);
    assert!(Kernel::custom("mine.wgsl", &with("fn f() {} fn g() { f(); f(); }")).is_ok());
    // Wherever the calls stand.
    for body in [
        "if params.x == 1u { F(); } else { F(); }",
        "{ F(); F(); }",
        "switch params.x { case 1u: { F(); } default: { F(); } }",
        "loop { F(); if params.x == 1u { break; } continuing { F(); } }",
    ] {
        let doubling = (1..40)
            .map(|n| format!("fn f{n}() {{ {body} }}\n").replace('F', &format!("f{}", n - 1)));
        let text = with(&format!("fn f0() {{ report = 1u; }}\n{}", doubling.collect::<String>()));
        assert_refused(&text, &["`f", "passes 2097152 operations"]);
    }
}

#[test]
fn comments_nest_and_keep_their_lines() {
    for (text, code) in [
        ("a // b\nc / d", "a  \nc / d"),
        ("a /* b /* c */ d */ e", "a   e"),
        ("a /* /* b */\n*/ c */ d", "a  \n c */ d"),
        ("a /*/ b */ c", "a   c"),
        ("a /* b", "a  "),
    ] {
        assert_eq!(without_comments(text), code, "{text:?}");
    }
}
