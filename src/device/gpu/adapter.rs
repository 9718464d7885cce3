//! Which graphics adapters there are: one entry per physical GPU.

use wgpu::{Backend, Backends, DeviceType};

use super::guarded;
use crate::device::{Facts, Kind, within};
use crate::limits::DRIVER_DEADLINE;

/// An adapter that can be opened.
#[derive(Debug, Clone)]
pub struct Adapter {
    /// What is known of it.
    pub facts: Facts,
    pub(super) handle: wgpu::Adapter,
}

/// Lists the adapters, real GPUs first. An adapter that several interfaces reach is listed once.
///
/// # Errors
///
/// When a driver hangs or panics while it is asked.
pub fn adapters() -> Result<Vec<Adapter>, String> {
    within(DRIVER_DEADLINE, || guarded(enumerate))
        .ok_or_else(|| {
            format!(
                "the graphics drivers did not list their adapters within {} s",
                DRIVER_DEADLINE.as_secs()
            )
        })?
        .map(one_per_gpu)
}

fn enumerate() -> Vec<Adapter> {
    let backends = Backends::VULKAN | Backends::METAL | Backends::DX12;
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    descriptor.backends = backends;
    // Set, not defaulted: a debug build would otherwise compile DX12 shaders without optimisation.
    descriptor.flags = wgpu::InstanceFlags::empty();
    let instance = wgpu::Instance::new(descriptor);
    pollster::block_on(instance.enumerate_adapters(backends))
        .into_iter()
        .map(|handle| Adapter { facts: facts(&handle.get_info()), handle })
        .collect()
}

/// Keeps the best way to each GPU and notes the others in it.
///
/// Two entries are the same GPU when their PCI addresses say so; where an interface does not know the
/// address (Metal) or knows it wrongly (DX12 gives twins the same), when vendor and device number agree
/// and the interfaces differ, matched in order.
fn one_per_gpu(mut all: Vec<Adapter>) -> Vec<Adapter> {
    // Vulkan first on Windows too: it knows the PCI address and sees the loss of a device.
    all.sort_by_key(|adapter| {
        (rank(adapter.facts.kind), preference(adapter.handle.get_info().backend))
    });
    let mut kept: Vec<Adapter> = Vec::new();
    for adapter in all {
        let same = kept.iter_mut().find(|other| is_same_gpu(&other.facts, &adapter.facts));
        match same {
            Some(other) => other.facts.also_through.push(route(&adapter.facts)),
            None => kept.push(adapter),
        }
    }
    kept
}

fn is_same_gpu(kept: &Facts, other: &Facts) -> bool {
    let ids_agree = kept.vendor_id == other.vendor_id && kept.device_id == other.device_id;
    if kept.backend == other.backend {
        // Two drivers of one interface for one card, such as RADV and AMDVLK.
        return kept.pci.is_some() && kept.pci == other.pci;
    }
    let already_matched = kept.also_through.iter().any(|route| route.starts_with(&other.backend));
    ids_agree && !already_matched
}

fn route(facts: &Facts) -> String {
    match &facts.driver {
        Some(driver) => format!("{} ({driver})", facts.backend),
        None => facts.backend.clone(),
    }
}

const fn rank(kind: Kind) -> u8 {
    match kind {
        Kind::Discrete => 0,
        Kind::Integrated => 1,
        Kind::Virtual => 2,
        Kind::Software => 3,
        Kind::Cpu => 4,
    }
}

const fn preference(backend: Backend) -> u8 {
    match backend {
        Backend::Vulkan | Backend::Metal => 0,
        _ => 1,
    }
}

fn facts(info: &wgpu::AdapterInfo) -> Facts {
    let known = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let driver = [info.driver.as_str(), info.driver_info.as_str()].join(" ");
    Facts {
        name: info.name.clone(),
        kind: kind(info),
        backend: match info.backend {
            Backend::Vulkan => "vulkan",
            Backend::Metal => "metal",
            Backend::Dx12 => "dx12",
            _ => "other",
        }
        .to_owned(),
        driver: known(driver.trim()),
        pci: known(&info.device_pci_bus_id),
        vendor_id: Some(info.vendor),
        device_id: Some(info.device),
        subgroup_sizes: Some([info.subgroup_min_size, info.subgroup_max_size]),
        also_through: Vec::new(),
    }
}

/// Software adapters by what they say of themselves, and by name where they say something else.
fn kind(info: &wgpu::AdapterInfo) -> Kind {
    let name = info.name.to_lowercase();
    let known_software = ["llvmpipe", "lavapipe", "swiftshader", "basic render"];
    match info.device_type {
        _ if known_software.iter().any(|software| name.contains(software)) => Kind::Software,
        DeviceType::Cpu => Kind::Software,
        DeviceType::DiscreteGpu => Kind::Discrete,
        DeviceType::VirtualGpu => Kind::Virtual,
        // `Other` is a GPU that does not say; as a real GPU it ranks behind those that do.
        DeviceType::IntegratedGpu | DeviceType::Other => Kind::Integrated,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card(backend: &str, pci: Option<&str>) -> Facts {
        Facts {
            name: "card".into(),
            kind: Kind::Discrete,
            backend: backend.into(),
            driver: None,
            pci: pci.map(Into::into),
            vendor_id: Some(0x10de),
            device_id: Some(0x2684),
            subgroup_sizes: None,
            also_through: Vec::new(),
        }
    }

    #[test]
    fn twins_stay_two_and_routes_to_one_card_join() {
        let first = card("vulkan", Some("0000:01:00.0"));
        let second = card("vulkan", Some("0000:02:00.0"));
        assert!(!is_same_gpu(&first, &second));
        assert!(is_same_gpu(&first, &card("vulkan", Some("0000:01:00.0"))));
        // DX12 gives both twins the first one's address: the first route takes the first card, the next
        // route the second.
        let mut first = first;
        let dx12 = card("dx12", Some("0000:01:00.0"));
        assert!(is_same_gpu(&first, &dx12));
        first.also_through.push(route(&dx12));
        assert!(!is_same_gpu(&first, &dx12));
        assert!(is_same_gpu(&second, &dx12));
    }

    #[test]
    fn software_is_known_by_type_and_by_name() {
        let mut info = wgpu::AdapterInfo::new(DeviceType::Cpu, Backend::Vulkan);
        assert_eq!(kind(&info), Kind::Software);
        info.device_type = DeviceType::Other;
        assert_eq!(kind(&info), Kind::Integrated);
        info.name = "llvmpipe (LLVM 15.0.6, 256 bits)".to_owned();
        assert_eq!(kind(&info), Kind::Software);
    }
}
