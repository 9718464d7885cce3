//! The gate for a user's own kernel: what follows the ABI of a variant may run in its place.
//!
//! Whether such a kernel computes rightly is for the self-test to say. What is checked here is that it
//! can be compiled, that it reaches nothing but what adit binds, and that it says how it counts.

use std::collections::HashMap;

use naga::valid::{Capabilities, GlobalUse, ModuleInfo, ValidationFlags, Validator};
use naga::{
    AddressSpace, ArraySize, Block, Expression, Function, Handle, Literal, Module, Scalar,
    ShaderStage, Statement, StorageAccess, Type, TypeInner, VectorSize,
};

use super::{ENTRY_POINT, FIRST_LINE, Kernel, Nonces, Variant, VariantError, Workgroup};
use crate::limits::{
    KERNEL_DECLARATIONS, KERNEL_ELSE_IFS, KERNEL_EXPANDED, KERNEL_NESTING, KERNEL_OPERATORS,
    KERNEL_TEXT, THREAD_MEMORY, WORKGROUP_MEMORY,
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
    /// Its functions grow too large where they are called.
    #[error(
        "`{0}` of the kernel and all that it calls, each as often as it is called, passes \
         {KERNEL_EXPANDED} operations: call less, or in a loop"
    )]
    Growth(String),
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
    /// Its threads need more memory than they can count on: a driver may take it for each that there is.
    #[error(
        "the kernel has a value, or the variables of a thread, of {0} bytes, and WGSL promises a thread \
         {THREAD_MEMORY} only: declare less as `var`"
    )]
    ThreadMemory(u64),
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
        check_memory(&module)?;
        check_growth(&module)?;
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

/// What a thread needs for its variables, and for values that are in none.
fn check_memory(module: &Module) -> Result<(), CustomError> {
    let size = |ty| u64::from(size(module, ty));
    let private = module.global_variables.iter().map(|(_, variable)| variable);
    let private = private.filter(|variable| variable.space == AddressSpace::Private);
    let private = private.map(|variable| size(variable.ty)).sum();
    let functions = module.functions.iter().map(|(_, function)| function);
    let functions = functions.chain(module.entry_points.iter().map(|entry| &entry.function));
    let variables = functions.map(|function| {
        function.local_variables.iter().map(|(_, variable)| size(variable.ty)).sum()
    });
    let needed: u64 = variables.fold(private, u64::max);
    if needed > u64::from(THREAD_MEMORY) {
        return Err(CustomError::ThreadMemory(needed));
    }
    // Workgroups share types that are larger.
    let largest = module.types.iter().map(|(ty, _)| size(ty)).max().unwrap_or_default();
    if largest > u64::from(THREAD_MEMORY.max(WORKGROUP_MEMORY)) {
        return Err(CustomError::ThreadMemory(largest));
    }
    Ok(())
}

/// Compilers put functions in place of their calls, and run out of memory where calls double.
fn check_growth(module: &Module) -> Result<(), CustomError> {
    // A function stands behind those that it calls.
    let mut sizes: HashMap<Handle<Function>, usize> = HashMap::new();
    let all = module.functions.iter().map(|(handle, function)| (Some(handle), function));
    let entry_points = module.entry_points.iter().map(|entry| (None, &entry.function));
    for (handle, function) in all.chain(entry_points) {
        let called: usize = calls(&function.body)
            .iter()
            .map(|callee| sizes.get(callee).copied().unwrap_or_default())
            .fold(0, usize::saturating_add);
        let size = function.expressions.len().saturating_add(called);
        if size > KERNEL_EXPANDED {
            return Err(CustomError::Growth(function.name.clone().unwrap_or_default()));
        }
        sizes.extend(handle.map(|handle| (handle, size)));
    }
    Ok(())
}

/// The functions that a block calls, each as often as it stands there.
fn calls(block: &Block) -> Vec<Handle<Function>> {
    let mut called = Vec::new();
    for statement in block {
        match statement {
            Statement::Call { function, .. } => called.push(*function),
            Statement::Block(inner) => called.extend(calls(inner)),
            Statement::If { accept, reject, .. } => {
                called.extend([accept, reject].into_iter().flat_map(calls));
            }
            Statement::Switch { cases, .. } => {
                called.extend(cases.iter().flat_map(|case| calls(&case.body)));
            }
            Statement::Loop { body, continuing, .. } => {
                called.extend([body, continuing].into_iter().flat_map(calls));
            }
            _ => {}
        }
    }
    called
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
mod tests;
