//! What a Vulkan driver's compiler makes of a kernel, without running it.
//!
//! wgpu does not pass on `VK_KHR_pipeline_executable_properties`, so this speaks to the loader itself. It
//! asks for little else: a driver that is made to compile for a chip that is not there can crash on a
//! question about memory.

#![expect(unsafe_code, reason = "ash is Vulkan as it is in C: every call of it is unsafe")]

use std::ffi::{CStr, c_char};
use std::time::Instant;

use ash::ext::robustness2;
use ash::khr::pipeline_executable_properties as properties;
use ash::{Entry, vk};
use serde::{Deserialize, Serialize};
use serde_json::Number;

use crate::kernel::{Binding, Buffer, ENTRY_POINT};

/// A kernel as a driver compiled it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Compiled {
    /// The device that it was compiled for, as the driver names it.
    pub device: String,
    /// Driver name and version, as the driver tells it.
    pub driver: Option<String>,
    /// How long the driver took to make the pipeline.
    pub seconds: f64,
    /// What the pipeline consists of; `None` when the driver does not tell.
    pub executables: Option<Vec<Executable>>,
}

/// One program of a pipeline. A compute pipeline has one, or one for each subgroup size.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Executable {
    /// What the driver calls it.
    pub name: String,
    /// Figures under the driver's own names, in its order.
    pub statistics: Vec<(String, Number)>,
    /// The program in the driver's languages, assembly among them, by name.
    pub texts: Vec<(String, String)>,
}

/// Why a driver compiled nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[non_exhaustive]
pub enum CompileError {
    /// There is no Vulkan on this machine.
    #[error("no Vulkan loader was found ({0}): install one, such as Debian's libvulkan1")]
    NoLoader(String),
    /// The loader found no driver that finds a device.
    #[error("no Vulkan driver finds a device: {0}")]
    NoDevice(String),
    /// The driver refused a call.
    #[error("the driver refused to {0}: {1}")]
    Refused(String, String),
}

impl Compiled {
    /// The first program, if the driver tells of any.
    #[must_use]
    pub fn executable(&self) -> Option<&Executable> {
        self.executables.iter().flatten().next()
    }
}

impl Executable {
    /// The program in the lowest language that the driver shows, which it lists last.
    #[must_use]
    pub fn assembly(&self) -> Option<&str> {
        self.texts.last().map(|(_, text)| text.as_str())
    }
}

/// Compiles SPIR-V for the first device that the loader knows, real GPUs first. A driver that crashes
/// takes the process with it.
///
/// # Errors
///
/// When there is no loader or no device, or when the driver refuses.
pub fn compile(spirv: &[u32], bindings: &[Binding]) -> Result<Compiled, CompileError> {
    // SAFETY: the loader is a library that is made to be loaded, and outlives all that is made from it.
    let entry = unsafe { Entry::load() }.map_err(|why| CompileError::NoLoader(why.to_string()))?;
    let instance = Instance::new(&entry)?;
    let (physical, facts) = instance.best_device()?;
    let device = Device::new(&instance.0, physical)?;
    let start = Instant::now();
    let pipeline = Pipeline::new(&device, spirv, bindings)?;
    let seconds = start.elapsed().as_secs_f64();
    let executables = device.tells.as_ref().map(|tells| executables(tells, pipeline.compiled));
    Ok(Compiled {
        device: text(&facts.device_name),
        driver: instance.driver(physical, &facts),
        seconds,
        executables: executables.transpose()?,
    })
}

struct Instance(ash::Instance);

impl Instance {
    fn new(entry: &Entry) -> Result<Self, CompileError> {
        let application = vk::ApplicationInfo::default().api_version(vk::API_VERSION_1_3);
        let wanted = vk::InstanceCreateInfo::default().application_info(&application);
        // SAFETY: `wanted` asks for no layer and no extension, and lives through the call.
        let made = unsafe { entry.create_instance(&wanted, None) };
        // A loader that finds no driver is as good as a driver that finds no device.
        made.map(Self).map_err(|why| CompileError::NoDevice(why.to_string()))
    }

    fn best_device(
        &self,
    ) -> Result<(vk::PhysicalDevice, vk::PhysicalDeviceProperties), CompileError> {
        // SAFETY: the instance is alive.
        let listed = unsafe { self.0.enumerate_physical_devices() };
        let listed = listed.map_err(|why| CompileError::NoDevice(why.to_string()))?;
        let devices = listed.into_iter().map(|device| {
            // SAFETY: the device is one of this instance.
            (device, unsafe { self.0.get_physical_device_properties(device) })
        });
        let rank = |kind| match kind {
            vk::PhysicalDeviceType::DISCRETE_GPU => 0,
            vk::PhysicalDeviceType::INTEGRATED_GPU => 1,
            vk::PhysicalDeviceType::CPU => 3,
            _ => 2,
        };
        devices
            .min_by_key(|(_, facts)| rank(facts.device_type))
            .ok_or_else(|| CompileError::NoDevice("the loader lists none".to_owned()))
    }

    /// Name and version of the driver, which Vulkan 1.2 asks every driver to tell.
    fn driver(
        &self,
        physical: vk::PhysicalDevice,
        facts: &vk::PhysicalDeviceProperties,
    ) -> Option<String> {
        if facts.api_version < vk::API_VERSION_1_2 {
            return None;
        }
        let mut driver = vk::PhysicalDeviceDriverProperties::default();
        let mut all = vk::PhysicalDeviceProperties2::default().push_next(&mut driver);
        // SAFETY: the device is one of this instance and knows the chained structure since 1.2.
        unsafe { self.0.get_physical_device_properties2(physical, &mut all) };
        let told = format!("{} {}", text(&driver.driver_name), text(&driver.driver_info));
        Some(told.trim().to_owned()).filter(|told| !told.is_empty())
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        // SAFETY: all that was made from it borrows it, and is gone.
        unsafe { self.0.destroy_instance(None) };
    }
}

struct Device {
    device: ash::Device,
    /// How it tells about its pipelines, if it does.
    tells: Option<properties::Device>,
}

impl Device {
    fn new(instance: &ash::Instance, physical: vk::PhysicalDevice) -> Result<Self, CompileError> {
        // SAFETY: `physical` is a device of `instance`, as it is for the calls below.
        let families = unsafe { instance.get_physical_device_queue_family_properties(physical) };
        let computes = |family: &vk::QueueFamilyProperties| {
            family.queue_flags.contains(vk::QueueFlags::COMPUTE)
        };
        let family = families.iter().position(computes).and_then(|index| u32::try_from(index).ok());
        let family = family.ok_or_else(|| CompileError::NoDevice("none computes".to_owned()))?;
        // SAFETY: as above.
        let extensions = unsafe { instance.enumerate_device_extension_properties(physical) };
        let extensions = extensions.map_err(refused("list its extensions"))?;
        let offers = |name| extensions.iter().any(|e| e.extension_name_as_c_str() == Ok(name));
        let (tells, robust) = (offers(properties::NAME), offers(robustness2::NAME));
        let mut tell = vk::PhysicalDevicePipelineExecutablePropertiesFeaturesKHR::default()
            .pipeline_executable_info(tells);
        let mut offered = vk::PhysicalDeviceRobustness2FeaturesEXT::default();
        if robust {
            let mut all = vk::PhysicalDeviceFeatures2::default().push_next(&mut offered);
            // SAFETY: as above, and the device has the extension of the chained structure.
            unsafe { instance.get_physical_device_features2(physical, &mut all) };
        }
        // wgpu asks for checked accesses wherever it can, and a compiler may write other code for them.
        let checked = vk::PhysicalDeviceFeatures::default().robust_buffer_access(true);
        let mut also_checked = vk::PhysicalDeviceRobustness2FeaturesEXT::default()
            .robust_buffer_access2(offered.robust_buffer_access2 == vk::TRUE);
        let queues = [vk::DeviceQueueCreateInfo::default()
            .queue_family_index(family)
            .queue_priorities(&[1.0])];
        let mut names = Vec::new();
        let mut wanted =
            vk::DeviceCreateInfo::default().queue_create_infos(&queues).enabled_features(&checked);
        if tells {
            names.push(properties::NAME.as_ptr());
            wanted = wanted.push_next(&mut tell);
        }
        if robust {
            names.push(robustness2::NAME.as_ptr());
            wanted = wanted.push_next(&mut also_checked);
        }
        let wanted = wanted.enabled_extension_names(&names);
        // SAFETY: family and extensions are among those listed. Every driver has the first check, every
        // driver with the first extension its only feature, and the second check was offered. `wanted`
        // and what it points to live through the call.
        let device = unsafe { instance.create_device(physical, &wanted, None) };
        let device = device.map_err(refused("open the device"))?;
        let tells = tells.then(|| properties::Device::new(instance, &device));
        Ok(Self { device, tells })
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        // SAFETY: what was made from it borrows it, and is gone; nothing was ever submitted.
        unsafe { self.device.destroy_device(None) };
    }
}

/// A pipeline and what it is made from. What is not made yet is null, which may be destroyed.
struct Pipeline<'d> {
    device: &'d ash::Device,
    module: vk::ShaderModule,
    set: vk::DescriptorSetLayout,
    layout: vk::PipelineLayout,
    compiled: vk::Pipeline,
}

impl<'d> Pipeline<'d> {
    fn new(
        Device { device, tells }: &'d Device,
        spirv: &[u32],
        bindings: &[Binding],
    ) -> Result<Self, CompileError> {
        let mut made = Self {
            device,
            module: vk::ShaderModule::null(),
            set: vk::DescriptorSetLayout::null(),
            layout: vk::PipelineLayout::null(),
            compiled: vk::Pipeline::null(),
        };
        let code = vk::ShaderModuleCreateInfo::default().code(spirv);
        let bindings: Vec<_> = bindings.iter().copied().map(descriptor).collect();
        let set = vk::DescriptorSetLayoutCreateInfo::default().bindings(&bindings);
        // SAFETY: naga made the SPIR-V from a validated module; the infos live through the calls.
        made.module = unsafe { device.create_shader_module(&code, None) }
            .map_err(refused("take the kernel's SPIR-V"))?;
        // SAFETY: as above.
        made.set = unsafe { device.create_descriptor_set_layout(&set, None) }
            .map_err(refused("lay out the kernel's buffers"))?;
        let sets = [made.set];
        let layout = vk::PipelineLayoutCreateInfo::default().set_layouts(&sets);
        // SAFETY: the set layout was just made.
        made.layout = unsafe { device.create_pipeline_layout(&layout, None) }
            .map_err(refused("lay out the pipeline"))?;
        let entry_point = format!("{ENTRY_POINT}\0");
        let entry_point = CStr::from_bytes_with_nul(entry_point.as_bytes()).map_err(|why| {
            CompileError::Refused("name the entry point".to_owned(), why.to_string())
        })?;
        let stage = vk::PipelineShaderStageCreateInfo::default()
            .stage(vk::ShaderStageFlags::COMPUTE)
            .module(made.module)
            .name(entry_point);
        let capture = vk::PipelineCreateFlags::CAPTURE_STATISTICS_KHR
            | vk::PipelineCreateFlags::CAPTURE_INTERNAL_REPRESENTATIONS_KHR;
        let flags = if tells.is_some() { capture } else { vk::PipelineCreateFlags::empty() };
        let wanted = [vk::ComputePipelineCreateInfo::default()
            .flags(flags)
            .stage(stage)
            .layout(made.layout)];
        // SAFETY: module and layout were just made; the layout has every binding of the module; the
        // flags are set only where their extension is enabled.
        let pipelines =
            unsafe { device.create_compute_pipelines(vk::PipelineCache::null(), &wanted, None) };
        let pipelines = pipelines.map_err(|(_, why)| refused("compile the kernel")(why))?;
        made.compiled = pipelines.into_iter().next().unwrap_or_default();
        Ok(made)
    }
}

impl Drop for Pipeline<'_> {
    fn drop(&mut self) {
        // SAFETY: the device is alive, nothing of these is in use, and null may be destroyed.
        unsafe {
            self.device.destroy_pipeline(self.compiled, None);
            self.device.destroy_pipeline_layout(self.layout, None);
            self.device.destroy_descriptor_set_layout(self.set, None);
            self.device.destroy_shader_module(self.module, None);
        }
    }
}

fn descriptor(binding: Binding) -> vk::DescriptorSetLayoutBinding<'static> {
    vk::DescriptorSetLayoutBinding::default()
        .binding(binding.number)
        .descriptor_type(match binding.buffer {
            Buffer::Uniform => vk::DescriptorType::UNIFORM_BUFFER,
            Buffer::Storage => vk::DescriptorType::STORAGE_BUFFER,
        })
        .descriptor_count(1)
        .stage_flags(vk::ShaderStageFlags::COMPUTE)
}

fn executables(
    tells: &properties::Device,
    pipeline: vk::Pipeline,
) -> Result<Vec<Executable>, CompileError> {
    let info = vk::PipelineInfoKHR::default().pipeline(pipeline);
    // SAFETY: the pipeline is alive and was made with both capture flags, here and below.
    let listed = unsafe { tells.get_pipeline_executable_properties(&info) };
    let listed = listed.map_err(refused("list the pipeline's executables"))?;
    (0..)
        .zip(listed)
        .map(|(index, executable)| {
            let info =
                vk::PipelineExecutableInfoKHR::default().pipeline(pipeline).executable_index(index);
            // SAFETY: as above, and the index is one of those listed.
            let statistics = unsafe { tells.get_pipeline_executable_statistics(&info) };
            let statistics = statistics.map_err(refused("tell its statistics"))?;
            Ok(Executable {
                name: text(&executable.name),
                statistics: statistics
                    .iter()
                    .filter_map(|one| Some((text(&one.name), figure(one)?)))
                    .collect(),
                texts: texts(tells, &info).map_err(refused("show its assembly"))?,
            })
        })
        .collect()
}

/// `None` for what JSON has no number for.
fn figure(statistic: &vk::PipelineExecutableStatisticKHR<'_>) -> Option<Number> {
    let value = statistic.value;
    // SAFETY: `format` says which member of the union the driver wrote; all are plain data.
    unsafe {
        match statistic.format {
            vk::PipelineExecutableStatisticFormatKHR::BOOL32 => Some(value.b32.into()),
            vk::PipelineExecutableStatisticFormatKHR::INT64 => Some(value.i64.into()),
            vk::PipelineExecutableStatisticFormatKHR::UINT64 => Some(value.u64.into()),
            _ => Number::from_f64(value.f64),
        }
    }
}

/// The texts by name. ash asks for their sizes only, so they are fetched by a second call.
fn texts(
    tells: &properties::Device,
    info: &vk::PipelineExecutableInfoKHR<'_>,
) -> Result<Vec<(String, String)>, vk::Result> {
    // SAFETY: as in `executables`.
    let mut sized = unsafe { tells.get_pipeline_executable_internal_representations(info) }?;
    let mut buffers: Vec<Vec<u8>> = sized.iter().map(|one| vec![0; one.data_size]).collect();
    for (one, buffer) in sized.iter_mut().zip(&mut buffers) {
        one.p_data = buffer.as_mut_ptr().cast();
    }
    let mut count = u32::try_from(sized.len()).unwrap_or(u32::MAX);
    let fetch = tells.fp().get_pipeline_executable_internal_representations_khr;
    // SAFETY: `sized` has `count` elements, each with a pointer to as many bytes as it says.
    unsafe { fetch(tells.device(), info, &raw mut count, sized.as_mut_ptr()) }.result()?;
    let fetched = sized.iter().zip(&buffers).filter(|(one, _)| one.is_text == vk::TRUE);
    Ok(fetched
        .map(|(one, buffer)| {
            let end = buffer.iter().position(|byte| *byte == 0).unwrap_or(buffer.len());
            (text(&one.name), String::from_utf8_lossy(&buffer[..end]).into_owned())
        })
        .collect())
}

fn refused(what: &'static str) -> impl Fn(vk::Result) -> CompileError {
    move |why| CompileError::Refused(what.to_owned(), why.to_string())
}

/// A fixed field of a driver's answer, up to its zero or its end.
fn text(field: &[c_char]) -> String {
    // `c_char` is signed on some machines and not on others.
    let bytes = field.iter().flat_map(|byte| byte.to_ne_bytes());
    let bytes: Vec<u8> = bytes.take_while(|byte| *byte != 0).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}
