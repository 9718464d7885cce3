//! Kernel text in the languages of the graphics interfaces, as wgpu's compiler naga writes them.

use naga::back::{hlsl, msl, spv};
use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};

/// A shader language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// WGSL, as derived.
    Wgsl,
    /// SPIR-V 1.3 in its binary form, for Vulkan.
    Spirv,
    /// Metal Shading Language 2.4.
    Msl,
    /// HLSL for shader model 6.0, for DX12.
    Hlsl,
}

/// A translated kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Translated {
    /// Source text.
    Text(String),
    /// SPIR-V words in little-endian order.
    Binary(Vec<u8>),
}

/// A buffer that a kernel binds in group 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Binding {
    /// Its number in the group.
    pub number: u32,
    /// How the kernel reaches it.
    pub buffer: Buffer,
}

/// How a kernel reaches a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Buffer {
    /// As uniform values.
    Uniform,
    /// As storage.
    Storage,
}

/// Why a text is no kernel.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TranslateError {
    /// It is not WGSL.
    #[error("the kernel does not parse as WGSL:\n{0}")]
    Parse(String),
    /// It is WGSL but breaks a rule of it.
    #[error("the kernel is not valid WGSL: {0}")]
    Validate(String),
    /// It cannot be expressed in the language.
    #[error("the kernel cannot be written as {language}: {why}")]
    Write {
        /// The language asked for.
        language: &'static str,
        /// What naga says.
        why: String,
    },
}

/// Translates a complete WGSL module. Nothing is checked at run time: no bounds, no loop counters, as in
/// the modules that devices run.
///
/// # Errors
///
/// When the text does not parse, does not validate, or cannot be expressed in the language.
pub fn translate(wgsl: &str, target: Target) -> Result<Translated, TranslateError> {
    let module = parse(wgsl)?;
    let info = Validator::new(ValidationFlags::all(), Capabilities::empty())
        .validate(&module)
        .map_err(|error| TranslateError::Validate(error.into_inner().to_string()))?;
    match target {
        Target::Wgsl => Ok(Translated::Text(wgsl.to_owned())),
        Target::Spirv => {
            spirv(&module, &info).map_err(|why| TranslateError::Write { language: "SPIR-V", why })
        }
        Target::Msl => {
            metal(&module, &info).map_err(|why| TranslateError::Write { language: "MSL", why })
        }
        Target::Hlsl => {
            direct(&module, &info).map_err(|why| TranslateError::Write { language: "HLSL", why })
        }
    }
}

/// The buffers that a complete WGSL module binds in group 0, the only group of a kernel.
///
/// # Errors
///
/// When the text does not parse.
pub fn bindings(wgsl: &str) -> Result<Vec<Binding>, TranslateError> {
    let bound = parse(wgsl)?
        .global_variables
        .iter()
        .filter_map(|(_, variable)| {
            let number = variable.binding.filter(|binding| binding.group == 0)?.binding;
            let buffer = match variable.space {
                naga::AddressSpace::Uniform => Buffer::Uniform,
                naga::AddressSpace::Storage { .. } => Buffer::Storage,
                _ => return None,
            };
            Some(Binding { number, buffer })
        })
        .collect();
    Ok(bound)
}

fn parse(wgsl: &str) -> Result<naga::Module, TranslateError> {
    naga::front::wgsl::parse_str(wgsl)
        .map_err(|error| TranslateError::Parse(error.emit_to_string(wgsl)))
}

/// The name of the only entry point; empty where there is none, which naga then says.
fn entry_point(module: &naga::Module) -> &str {
    module.entry_points.first().map_or("", |entry| &entry.name)
}

fn spirv(module: &naga::Module, info: &ModuleInfo) -> Result<Translated, String> {
    let options = spv::Options {
        lang_version: (1, 3),
        flags: spv::WriterFlags::LABEL_VARYINGS,
        force_loop_bounding: false,
        bounds_check_policies: unchecked(),
        zero_initialize_workgroup_memory: spv::ZeroInitializeWorkgroupMemoryMode::None,
        emit_int_div_checks: false,
        ..spv::Options::default()
    };
    let pipeline = spv::PipelineOptions {
        shader_stage: naga::ShaderStage::Compute,
        entry_point: entry_point(module).to_owned(),
    };
    let words = spv::write_vec(module, info, &options, Some(&pipeline))
        .map_err(|error| error.to_string())?;
    Ok(Translated::Binary(words.into_iter().flat_map(u32::to_le_bytes).collect()))
}

/// The buffer slot for the lengths of tables in MSL, after those of the ABI.
const MSL_SIZES: u8 = 4;

fn metal(module: &naga::Module, info: &ModuleInfo) -> Result<Translated, String> {
    let bound = module.global_variables.iter().filter_map(|(_, variable)| {
        let slot = u8::try_from(variable.binding?.binding).ok()?;
        let target = msl::BindTarget { buffer: Some(slot), ..msl::BindTarget::default() };
        Some((variable.binding?, target))
    });
    let resources = msl::EntryPointResources {
        resources: bound.collect(),
        // Where naga asks for the lengths of tables, as wgpu would bind them.
        sizes_buffer: Some(MSL_SIZES),
        ..msl::EntryPointResources::default()
    };
    let options = msl::Options {
        lang_version: (2, 4),
        per_entry_point_map: [(entry_point(module).to_owned(), resources)].into(),
        bounds_check_policies: unchecked(),
        force_loop_bounding: false,
        zero_initialize_workgroup_memory: false,
        fake_missing_bindings: false,
        ..msl::Options::default()
    };
    let (text, written) =
        msl::write_string(module, info, &options, &msl::PipelineOptions::default())
            .map_err(|error| error.to_string())?;
    // An entry point that cannot be written is left out of the text.
    for entry_point in written.entry_point_names {
        entry_point.map_err(|error| error.to_string())?;
    }
    Ok(Translated::Text(text))
}

fn direct(module: &naga::Module, info: &ModuleInfo) -> Result<Translated, String> {
    let options = hlsl::Options {
        shader_model: hlsl::ShaderModel::V6_0,
        restrict_indexing: false,
        force_loop_bounding: false,
        zero_initialize_workgroup_memory: false,
        ..hlsl::Options::default()
    };
    let pipeline = hlsl::PipelineOptions::default();
    let mut text = String::new();
    hlsl::Writer::new(&mut text, &options, &pipeline)
        .write(module, info, None)
        .map_err(|error| error.to_string())?;
    Ok(Translated::Text(text))
}

fn unchecked() -> naga::proc::BoundsCheckPolicies {
    let policy = naga::proc::BoundsCheckPolicy::Unchecked;
    naga::proc::BoundsCheckPolicies {
        index: policy,
        buffer: policy,
        image_load: policy,
        binding_array: policy,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{Kernel, Variant};

    #[test]
    fn the_languages_look_like_themselves() {
        let wgsl = Kernel::new(Variant::DEFAULT).wgsl;
        let text = |target| match translate(&wgsl, target) {
            Ok(Translated::Text(text)) => text,
            other => panic!("{other:?}"),
        };
        assert!(text(Target::Msl).starts_with("// language: metal2.4\n"));
        assert!(text(Target::Msl).contains("kernel void scan"));
        assert!(text(Target::Msl).contains("[[buffer(1)]]"));
        assert!(text(Target::Hlsl).contains("[numthreads(64, 1, 1)]"));
        assert!(text(Target::Wgsl).contains("@compute"));
        for language in [Target::Msl, Target::Hlsl] {
            assert!(!text(language).contains("loop_bound"), "loops are not counted");
        }
        match translate(&wgsl, Target::Spirv) {
            Ok(Translated::Binary(bytes)) => {
                let magic_and_version = [0x0723_0203_u32, 0x0001_0300];
                assert_eq!(bytes[..8], magic_and_version.map(u32::to_le_bytes).concat());
            }
            other => panic!("{other:?}"),
        }
    }

    /// As wgpu is asked to compile what was proved: nothing is added to a kernel that nothing needs.
    #[test]
    fn memory_is_not_cleared_and_neither_divisors_nor_loops_are_checked() {
        let wgsl = "struct Words { len: u32, list: array<u32> }\n\
             @group(0) @binding(0) var<storage, read_write> words: Words;\n\
             var<workgroup> mine: u32;\n\
             @compute @workgroup_size(64) fn scan() {\n\
                 mine = words.len;\n\
                 var four: array<u32, 4>;\n\
                 four[words.len] = mine;\n\
                 mine = four[words.list[1]];\n\
                 for (var at = 0u; at < words.len; at++) { mine ^= words.list[at]; }\n\
                 words.list[mine] = words.list[mine / words.list[7]];\n\
             }";
        for target in [Target::Msl, Target::Hlsl] {
            let Ok(Translated::Text(text)) = translate(wgsl, target) else { panic!("{target:?}") };
            let waits = text.to_lowercase().contains("barrier");
            assert!(!waits, "clears memory and waits for it: {text}");
            assert!(!text.contains("min("), "checks bounds: {text}");
            assert!(!text.contains("loop_bound"), "counts loops: {text}");
        }
        let Ok(Translated::Binary(bytes)) = translate(wgsl, Target::Spirv) else { panic!() };
        let words: Vec<u32> =
            bytes.chunks(4).map(|word| u32::from_le_bytes(word.try_into().unwrap())).collect();
        let (mut opcodes, mut at) = (Vec::new(), 5);
        while at < words.len() {
            opcodes.push(words[at] & 0xffff);
            at += words[at] as usize >> 16;
        }
        let count = |opcode| opcodes.iter().filter(|found| **found == opcode).count();
        // OpFunction, OpUDiv, OpLoopMerge; OpControlBarrier, OpArrayLength, OpAll, OpName.
        assert_eq!([54, 134, 246].map(count), [1, 1, 1]);
        assert_eq!([224, 68, 155, 5].map(count), [0, 0, 0, 0]);
    }

    #[test]
    fn the_buffers_of_group_0_are_those_of_a_kernel() {
        let wgsl = "@group(0) @binding(3) var<uniform> job: vec4u;\n\
             @group(0) @binding(1) var<storage, read_write> hits: array<u32>;\n\
             @group(1) @binding(0) var<storage, read> elsewhere: array<u32>;\n\
             @group(0) @binding(2) var picture: texture_2d<f32>;\n\
             var<workgroup> unbound: u32;\n\
             @compute @workgroup_size(1) fn scan() { hits[0] = job.x; }";
        let buffers = [(3, Buffer::Uniform), (1, Buffer::Storage)];
        let expected = buffers.map(|(number, buffer)| Binding { number, buffer });
        assert_eq!(bindings(wgsl).unwrap(), expected);
    }

    #[test]
    fn what_no_buffer_is_bound_for_is_not_written() {
        let wgsl = "@group(0) @binding(0) var<storage, read_write> hits: array<u32>;\n\
             @group(0) @binding(1) var picture: texture_2d<f32>;\n\
             @compute @workgroup_size(1) fn scan() { hits[0] = textureDimensions(picture).x; }";
        let error = translate(wgsl, Target::Msl).unwrap_err();
        assert!(matches!(error, TranslateError::Write { language: "MSL", .. }), "{error:?}");
    }

    #[test]
    fn a_text_that_is_no_kernel_is_refused_with_the_place() {
        let parse = translate("fn scan( {", Target::Spirv).unwrap_err().to_string();
        assert!(parse.contains("wgsl:1"), "{parse}");
        let short_stride = "@group(0) @binding(0) var<uniform> words: array<u32, 8>;\n\
             @compute @workgroup_size(1) fn scan() { let first = words[0]; }";
        let validate = translate(short_stride, Target::Msl).unwrap_err();
        assert!(matches!(validate, TranslateError::Validate(_)), "{validate:?}");
    }
}
