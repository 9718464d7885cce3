//! Compiles the shaders of a kernel for an adapter.

use std::num::NonZeroU64;

use wgpu::{
    BindGroup, BindGroupLayout, BindingResource, BindingType, BufferBindingType, ComputePipeline,
    Device, ErrorFilter, ShaderRuntimeChecks,
};

use crate::kernel::abi::{Params, Report};

/// A compiled shader with the buffers that it takes.
pub(super) struct Pipeline {
    pub(super) compute: ComputePipeline,
    bindings: &'static [Binding],
    layout: BindGroupLayout,
}

/// The buffers of the ABI, `shaders/abi.wgsl` and its neighbours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Binding {
    Params,
    Report,
    /// The words of each version.
    Lanes,
    /// The table of what the headers of a nonce share, to be read...
    Rows,
    /// ...through a window that each dispatch has in another place...
    RowsInWindow,
    /// ...and to be filled.
    RowsToFill,
}

/// WGSL text and what it needs.
pub(super) struct Shader<'t> {
    pub(super) label: &'t str,
    pub(super) wgsl: &'t str,
    pub(super) entry_point: &'static str,
    pub(super) bindings: &'static [Binding],
    /// Whether it is adit's own, which needs no checks at run time.
    pub(super) is_trusted: bool,
}

impl Binding {
    const fn number(self) -> u32 {
        match self {
            Self::Params => 0,
            Self::Report => 1,
            Self::Lanes => 2,
            Self::Rows | Self::RowsInWindow | Self::RowsToFill => 3,
        }
    }

    fn layout_entry(self) -> wgpu::BindGroupLayoutEntry {
        let storage = |read_only| BufferBindingType::Storage { read_only };
        let (ty, size) = match self {
            Self::Params => (BufferBindingType::Uniform, size_of::<Params>()),
            Self::Report => (storage(false), size_of::<Report>()),
            Self::Lanes | Self::Rows => (storage(true), size_of::<[u32; 4]>()),
            // As long as the shader says: wgpu compares it at each dispatch.
            Self::RowsInWindow => (BufferBindingType::Uniform, 0),
            Self::RowsToFill => (storage(false), size_of::<[u32; 4]>()),
        };
        wgpu::BindGroupLayoutEntry {
            binding: self.number(),
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: BindingType::Buffer {
                ty,
                has_dynamic_offset: self == Self::RowsInWindow,
                min_binding_size: NonZeroU64::new(size as u64),
            },
            count: None,
        }
    }
}

impl Pipeline {
    /// Compiles a shader, or says what the compiler says.
    pub(super) fn new(device: &Device, shader: &Shader<'_>) -> Result<Self, String> {
        let scopes = [ErrorFilter::Validation, ErrorFilter::Internal, ErrorFilter::OutOfMemory]
            .map(|filter| device.push_error_scope(filter));
        let entries: Vec<_> =
            shader.bindings.iter().map(|binding| binding.layout_entry()).collect();
        let layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label: None,
            entries: &entries,
        });
        let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: None,
            bind_group_layouts: &[Some(&layout)],
            immediate_size: 0,
        });
        let compute = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(shader.label),
            layout: Some(&pipeline_layout),
            module: &module(device, shader),
            entry_point: Some(shader.entry_point),
            compilation_options: wgpu::PipelineCompilationOptions {
                // adit's own has no such memory; in a user's it is zero, as WGSL has it.
                zero_initialize_workgroup_memory: !shader.is_trusted,
                ..wgpu::PipelineCompilationOptions::default()
            },
            cache: None,
        });
        // Innermost first, as scopes nest.
        let errors = scopes.into_iter().rev().filter_map(|scope| pollster::block_on(scope.pop()));
        let errors: Vec<String> = errors.map(|error| error.to_string()).collect();
        if errors.is_empty() {
            Ok(Self { compute, bindings: shader.bindings, layout })
        } else {
            Err(errors.join("; "))
        }
    }

    /// The buffers for a dispatch.
    pub(super) fn bind<'b>(
        &self,
        device: &Device,
        resource: impl Fn(Binding) -> BindingResource<'b>,
    ) -> BindGroup {
        let entries: Vec<_> = self
            .bindings
            .iter()
            .map(|binding| wgpu::BindGroupEntry {
                binding: binding.number(),
                resource: resource(*binding),
            })
            .collect();
        device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: None,
            layout: &self.layout,
            entries: &entries,
        })
    }
}

#[expect(
    unsafe_code,
    reason = "a module without run-time checks is the one thing that wgpu marks unsafe here"
)]
fn module(device: &Device, shader: &Shader<'_>) -> wgpu::ShaderModule {
    let descriptor = wgpu::ShaderModuleDescriptor {
        label: Some("adit"),
        source: wgpu::ShaderSource::Wgsl(shader.wgsl.into()),
    };
    if !shader.is_trusted {
        return device.create_shader_module(descriptor);
    }
    // SAFETY: the text is adit's own. It indexes `report.hits` below its length (`hit < MAX_HITS`), the
    // tables below the sizes that `stage` gives them (headers below `params.headers`, rows below
    // `params.count`), other arrays by constants or by counters of loops with constant bounds. All loops
    // end: over constants, headers, or rows.
    unsafe { device.create_shader_module_trusted(descriptor, ShaderRuntimeChecks::unchecked()) }
}
