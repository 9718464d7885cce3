//! The gate for a user's own kernel: what follows the ABI of a variant may run in its place.
//!
//! Whether such a kernel computes rightly is for the self-test to say. What is checked here is that it
//! can be compiled, that it reaches nothing but what adit binds, and that it says how it counts.

use naga::valid::{Capabilities, GlobalUse, ModuleInfo, ValidationFlags, Validator};
use naga::{
    AddressSpace, ArraySize, Expression, Handle, Literal, Module, Scalar, ShaderStage,
    StorageAccess, Type, TypeInner, VectorSize,
};

use super::{ENTRY_POINT, FIRST_LINE, Kernel, Nonces, Variant, VariantError, Workgroup};
use crate::limits::{
    KERNEL_DECLARATIONS, KERNEL_ELSE_IFS, KERNEL_NESTING, KERNEL_OPERATORS, KERNEL_TEXT,
    WORKGROUP_MEMORY,
};

/// Bindings of `shaders/abi.wgsl`, which every kernel has. Those above are tables.
const PARAMS: u32 = 0;
const REPORT: u32 = 1;

/// The module constant that says how many nonces a thread has.
const NONCES: &str = "NONCES";

/// Why a user's text cannot run as a kernel.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CustomError {
    /// It is longer than any kernel needs to be.
    #[error("the kernel has {0} bytes, more than the {KERNEL_TEXT} that one may have")]
    Long(usize),
    /// Its first line names no variant.
    #[error("the kernel's first line says whose layout it follows, but {0}")]
    Variant(#[from] VariantError),
    /// Compiling it could need more stack than there is.
    #[error("line {line} of the kernel goes beyond {most} {what}")]
    Deep {
        /// The line where the bound is passed, from 1.
        line: usize,
        /// The bound.
        most: usize,
        /// Of what, and the way out.
        what: &'static str,
    },
    /// It is not WGSL.
    #[error("the kernel does not parse as WGSL:\n{0}")]
    Parse(String),
    /// It breaks a rule of WGSL or needs an extension.
    #[error(
        "the kernel is not valid WGSL, or needs an extension, and it may use none (no f16, subgroups, 64-bit or \
         immediate values):\n{0}"
    )]
    Validate(String),
    /// It has an `override`.
    #[error(
        "the kernel declares `override {0}`, and adit overrides nothing: declare it as `const`"
    )]
    Override(String),
    /// It does not have the one entry point.
    #[error(
        "the kernel must have one entry point, `@compute fn {ENTRY_POINT}`; it has {}",
        among(.0, "none")
    )]
    EntryPoint(Vec<String>),
    /// Its workgroup has a shape that adit cannot count.
    #[error(
        "the kernel's @workgroup_size is ({}, {}, {}), and must be (n, 1, 1) with n a power of two from 1 to 256",
        .0[0], .0[1], .0[2]
    )]
    Workgroup([u32; 3]),
    /// Its number of nonces per thread cannot be read.
    #[error(
        "the kernel's nonces per thread cannot be read: write `const {NONCES}: u32 = 1u;` outside functions, with a \
         number from 1 to 255, or leave {NONCES} out and have {0} as {1} has"
    )]
    Nonces(u32, Variant),
    /// It binds what is no buffer.
    #[error("the kernel's `{0}` is a texture or a sampler, and adit binds buffers only")]
    Resource(String),
    /// It binds what is not there.
    #[error(
        "the kernel binds {number} of group {group}; the layout of {variant} has, in group 0, {}",
        among(given, "nothing")
    )]
    Binding {
        /// The group asked for.
        group: u32,
        /// The number asked for.
        number: u32,
        /// Whose layout it follows.
        variant: Variant,
        /// What there is.
        given: Vec<String>,
    },
    /// It wants to reach a buffer in another way.
    #[error(
        "the kernel declares binding {number} as {found}, and adit gives it as {given}: declare it so"
    )]
    Access {
        /// The binding's number.
        number: u32,
        /// What the kernel declares.
        found: String,
        /// What adit gives.
        given: String,
    },
    /// It wants more bytes than a buffer has.
    #[error(
        "binding {number} of the kernel has {found} bytes, and adit's has {given}: `adit kernel print` shows the struct"
    )]
    Size {
        /// The binding's number.
        number: u32,
        /// What the kernel declares.
        found: u32,
        /// What adit gives.
        given: u32,
    },
    /// It takes a table for something else.
    #[error("binding {0} of the kernel is a table, and must be an `array<vec4<u32>>`")]
    Table(u32),
    /// It reads no parameters or writes no report, so it can never prove its work.
    #[error(
        "the kernel never {}: without it no dispatch can prove that it was done (`adit kernel print` shows how)",
        if *.0 == REPORT { "writes its report, binding 1" } else { "reads its parameters, binding 0" }
    )]
    Unused(u32),
    /// Its workgroups share more memory than adapters must have.
    #[error(
        "the kernel's workgroups share {0} bytes, and every adapter has {WORKGROUP_MEMORY} only: declare less as \
         `var<workgroup>`"
    )]
    WorkgroupMemory(u64),
}

fn among(names: &[String], none: &str) -> String {
    if names.is_empty() { none.to_owned() } else { names.join(", ") }
}

impl Kernel {
    /// A user's kernel, called `name`. It follows the ABI (layout, job words, test and tables) of the
    /// variant that its first line names as adit prints it, and without that line the ABI of
    /// [`Variant::REFERENCE`]. How many threads and nonces it has is what the text says.
    ///
    /// # Errors
    ///
    /// When the text is no kernel of this ABI; each error names the cause and the way out.
    pub fn custom(name: &str, text: &str) -> Result<Self, CustomError> {
        if text.len() > KERNEL_TEXT {
            return Err(CustomError::Long(text.len()));
        }
        // Some editors start a file with a byte order mark, which is no WGSL.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let base = Self::new(variant(text)?);
        let code = without_comments(text);
        check_depth(&code)?;
        let module = parse(name, text)?;
        let info = Validator::new(ValidationFlags::all(), Capabilities::empty())
            .validate(&module)
            .map_err(|error| CustomError::Validate(error.emit_to_string_with_path(text, name)))?;
        if let Some((_, constant)) = module.overrides.iter().next() {
            return Err(CustomError::Override(constant.name.clone().unwrap_or_default()));
        }
        let workgroup = workgroup(&module)?;
        let nonces = nonces(&module, &code, base.variant)?;
        check_variables(&module, &base)?;
        check_use(&module, &info)?;
        let variant = Variant { nonces, workgroup, ..base.variant };
        Ok(Self {
            variant,
            custom: Some(name.to_owned()),
            wgsl: text.to_owned(),
            cost: None,
            ..base
        })
    }
}

/// The variant whose ABI a text follows.
fn variant(text: &str) -> Result<Variant, VariantError> {
    let first = text.lines().next().unwrap_or_default();
    first.strip_prefix(FIRST_LINE).map_or(Ok(Variant::REFERENCE), |name| name.trim().parse())
}

fn parse(name: &str, text: &str) -> Result<Module, CustomError> {
    naga::front::wgsl::parse_str(text)
        .map_err(|error| CustomError::Parse(error.emit_to_string_with_path(text, name)))
}

/// A text with a space for each comment, which ends where naga ends it; lines keep their number.
fn without_comments(text: &str) -> String {
    let ends_line = |c| matches!(c, '\n'..='\r' | '\u{85}' | '\u{2028}' | '\u{2029}');
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('/') {
        let (before, comment) = rest.split_at(at);
        let (length, replacement) = match comment.as_bytes().get(1) {
            Some(b'/') => (comment.find(ends_line).unwrap_or(comment.len()), " "),
            Some(b'*') => (block_comment(comment), " "),
            _ => (1, "/"),
        };
        code.push_str(before);
        code.push_str(replacement);
        code.extend(comment[..length].chars().filter(|c| *c == '\n'));
        rest = &comment[length..];
    }
    code.push_str(rest);
    code
}

/// Bytes of the comment that a text starts with; such comments nest.
fn block_comment(text: &str) -> usize {
    let mut depth = 0;
    let mut previous = ' ';
    for (at, c) in text.char_indices() {
        (depth, previous) = match (previous, c) {
            ('/', '*') => (depth + 1, ' '),
            ('*', '/') if depth == 1 => return at + 1,
            ('*', '/') => (depth - 1, ' '),
            _ => (depth, c),
        };
    }
    text.len()
}

/// naga bounds what it parses but not how deep the result is, and then recurses. What could be deep is
/// counted beforehand, without comments.
fn check_depth(code: &str) -> Result<(), CustomError> {
    let (mut line, mut nested, mut operators, mut declarations) = (1, 0_usize, 0, 0);
    for c in code.chars() {
        match c {
            '\n' => line += 1,
            '(' | '[' | '{' => nested += 1,
            ')' | ']' | '}' => nested = nested.saturating_sub(1),
            _ => {}
        }
        match c {
            '{' | '}' | ';' => operators = 0,
            '(' | ')' | ']' | ',' | '_' => {}
            // `a[0][0]` is as deep as `a + 0 + 0`.
            _ => operators += usize::from(c.is_ascii_punctuation()),
        }
        declarations += usize::from(nested == 0 && matches!(c, '}' | ';'));
        let bounds = [
            (nested, KERNEL_NESTING, "nested brackets: name parts with `let`, or make functions"),
            (operators, KERNEL_OPERATORS, "operators in a statement: name parts with `let`"),
            (declarations, KERNEL_DECLARATIONS, "declarations: collect constants in arrays"),
        ];
        for (count, most, what) in bounds {
            if count > most {
                return Err(CustomError::Deep { line, most, what });
            }
        }
    }
    if let Some(at) = pairs(code, "else", "if").nth(KERNEL_ELSE_IFS) {
        let line = code[..at].matches('\n').count() + 1;
        let what = "times `else if`: write `switch`";
        return Err(CustomError::Deep { line, most: KERNEL_ELSE_IFS, what });
    }
    Ok(())
}

/// Where one word stands directly before another.
fn pairs<'c>(code: &'c str, first: &'c str, second: &'c str) -> impl Iterator<Item = usize> + 'c {
    let in_word = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(first).filter_map(move |(at, _)| {
        // Whatever is between words and opens no block: naga's blanks are not Rust's.
        let rest = code[at + first.len()..].trim_start_matches(|c| !in_word(c) && c != '{');
        rest.strip_prefix(second).is_some_and(|rest| !rest.starts_with(in_word)).then_some(at)
    })
}

fn workgroup(module: &Module) -> Result<Workgroup, CustomError> {
    let entry = match &module.entry_points[..] {
        [entry] if entry.name == ENTRY_POINT && entry.stage == ShaderStage::Compute => entry,
        entries => {
            let names = entries.iter().map(|entry| format!("{:?} {}", entry.stage, entry.name));
            return Err(CustomError::EntryPoint(names.collect()));
        }
    };
    match entry.workgroup_size {
        [threads, 1, 1] => u16::try_from(threads).ok().and_then(Workgroup::new),
        _ => None,
    }
    .ok_or(CustomError::Workgroup(entry.workgroup_size))
}

/// Nonces per thread: what the module's constant says, else what the variant has.
fn nonces(module: &Module, code: &str, base: Variant) -> Result<Nonces, CustomError> {
    let mut constants = module.constants.iter().map(|(_, constant)| constant);
    match constants.find(|constant| constant.name.as_deref() == Some(NONCES)) {
        Some(constant) => match module.global_expressions[constant.init] {
            Expression::Literal(Literal::U32(count)) => u8::try_from(count).ok(),
            _ => None,
        },
        // naga forgets constants without a concrete type, such as `const NONCES = 4`.
        None if pairs(code, "const", NONCES).next().is_some() => None,
        None => return Ok(base.nonces),
    }
    .and_then(Nonces::new)
    .ok_or(CustomError::Nonces(base.nonces.count(), base))
}

/// What the host gives a kernel: a buffer, by its number in group 0.
struct Given {
    number: u32,
    space: AddressSpace,
    /// Bytes; `None` for a table of any length.
    size: Option<u32>,
}

fn check_variables(module: &Module, base: &Kernel) -> Result<(), CustomError> {
    let own = parse("", &base.wgsl)?;
    let given: Vec<Given> = own
        .global_variables
        .iter()
        .filter_map(|(_, variable)| {
            let size = (!is_table(&own, variable.ty)).then(|| size(&own, variable.ty));
            variable.binding.map(|at| Given { number: at.binding, space: variable.space, size })
        })
        .collect();
    let mut shared = 0;
    for (_, variable) in module.global_variables.iter() {
        if variable.space == AddressSpace::Handle {
            return Err(CustomError::Resource(variable.name.clone().unwrap_or_default()));
        }
        if variable.space == AddressSpace::WorkGroup {
            shared += u64::from(size(module, variable.ty));
        }
        let Some(at) = variable.binding else { continue };
        let buffer = given.iter().find(|given| at.group == 0 && given.number == at.binding);
        let Some(buffer) = buffer else {
            return Err(CustomError::Binding {
                group: at.group,
                number: at.binding,
                variant: base.variant,
                given: given.iter().map(|given| given.number.to_string()).collect(),
            });
        };
        check_buffer(module, variable.space, variable.ty, buffer)?;
    }
    if shared > u64::from(WORKGROUP_MEMORY) {
        return Err(CustomError::WorkgroupMemory(shared));
    }
    Ok(())
}

fn check_buffer(
    module: &Module,
    space: AddressSpace,
    ty: Handle<Type>,
    given: &Given,
) -> Result<(), CustomError> {
    let number = given.number;
    let fits = match (space, given.space) {
        (AddressSpace::Storage { access }, AddressSpace::Storage { access: most }) => {
            most.contains(access)
        }
        (found, given) => found == given,
    };
    if !fits {
        let (found, given) = (declaration(space), declaration(given.space));
        return Err(CustomError::Access { number, found, given });
    }
    match (given.size, size(module, ty)) {
        (None, _) if is_table(module, ty) => Ok(()),
        (None, _) => Err(CustomError::Table(number)),
        (Some(given), found) if found > given => Err(CustomError::Size { number, found, given }),
        (Some(_), _) => Ok(()),
    }
}

fn declaration(space: AddressSpace) -> String {
    match space {
        AddressSpace::Storage { access } if access.contains(StorageAccess::STORE) => {
            "var<storage, read_write>".to_owned()
        }
        AddressSpace::Storage { .. } => "var<storage, read>".to_owned(),
        other => format!("var<{}>", format!("{other:?}").to_lowercase()),
    }
}

fn is_table(module: &Module, ty: Handle<Type>) -> bool {
    let TypeInner::Array { base, size: ArraySize::Dynamic, .. } = module.types[ty].inner else {
        return false;
    };
    module.types[base].inner == TypeInner::Vector { size: VectorSize::Quad, scalar: Scalar::U32 }
}

fn size(module: &Module, ty: Handle<Type>) -> u32 {
    module.types[ty].inner.try_size(module.to_ctx()).unwrap_or(u32::MAX)
}

/// A report without the dispatch's number, which is a parameter, is never believed.
fn check_use(module: &Module, info: &ModuleInfo) -> Result<(), CustomError> {
    let used = info.get_entry_point(0);
    for (number, needed) in [(PARAMS, GlobalUse::READ), (REPORT, GlobalUse::WRITE)] {
        let is_used = module.global_variables.iter().any(|(handle, variable)| {
            variable.binding.is_some_and(|at| at.binding == number) && used[handle].contains(needed)
        });
        if !is_used {
            return Err(CustomError::Unused(number));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
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
            assert_refused(
                &written,
                &["var<storage, read_write>", "gives it as var<storage, read>"],
            );
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
        let least = wgpu::Limits::downlevel_defaults().max_compute_workgroup_storage_size;
        assert_eq!(WORKGROUP_MEMORY, least);
        let share = |words: u32| {
            with(&format!("var<workgroup> a: array<u32, {words}>; var<workgroup> b: u32;"))
        };
        assert!(Kernel::custom("mine.wgsl", &share(WORKGROUP_MEMORY / 4 - 1)).is_ok());
        assert_refused(&share(WORKGROUP_MEMORY / 4), &["16356 bytes", "16352 only"]);
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
        assert_refused(&format!("/*\n*/\n{}", in_function(&repeat("("))), &["line 5"]);

        let comments = format!("//{}\n/*{}{}*/", repeat("("), repeat("/*"), repeat("*/"));
        assert!(Kernel::custom("mine.wgsl", &with(&comments)).is_ok());
        assert_refused(&repeat("no longer a kernel... "), &["2200000 bytes", "2097152"]);
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
}
