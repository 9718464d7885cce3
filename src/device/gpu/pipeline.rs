//! Compiles a kernel for an adapter.

use wgpu::{BindGroupLayout, ComputePipeline, Device, ErrorFilter, ShaderRuntimeChecks};

use crate::kernel::{ENTRY_POINT, Kernel};

/// Compiles a kernel, or says what the compiler says.
pub(super) fn compile(
    device: &Device,
    layout: &BindGroupLayout,
    kernel: &Kernel,
) -> Result<ComputePipeline, String> {
    let scopes = [ErrorFilter::Validation, ErrorFilter::Internal, ErrorFilter::OutOfMemory]
        .map(|filter| device.push_error_scope(filter));
    let module = module(device, kernel);
    let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
        label: None,
        bind_group_layouts: &[Some(layout)],
        immediate_size: 0,
    });
    let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: Some(&kernel.variant.to_string()),
        layout: Some(&pipeline_layout),
        module: &module,
        entry_point: Some(ENTRY_POINT),
        compilation_options: wgpu::PipelineCompilationOptions {
            zero_initialize_workgroup_memory: false,
            ..wgpu::PipelineCompilationOptions::default()
        },
        cache: None,
    });
    // Innermost first, as scopes nest.
    let errors = scopes.into_iter().rev().filter_map(|scope| pollster::block_on(scope.pop()));
    let errors: Vec<String> = errors.map(|error| error.to_string()).collect();
    if errors.is_empty() { Ok(pipeline) } else { Err(errors.join("; ")) }
}

#[expect(
    unsafe_code,
    reason = "a module without run-time checks is the one thing that wgpu marks unsafe here"
)]
fn module(device: &Device, kernel: &Kernel) -> wgpu::ShaderModule {
    let descriptor = wgpu::ShaderModuleDescriptor {
        label: Some("adit"),
        source: wgpu::ShaderSource::Wgsl(kernel.wgsl.as_str().into()),
    };
    // SAFETY: the text is adit's own. It indexes `report.hits` below its length (`hit < MAX_HITS`), the
    // other arrays by constants or by counters of loops with constant bounds, which also end.
    unsafe { device.create_shader_module_trusted(descriptor, ShaderRuntimeChecks::unchecked()) }
}
