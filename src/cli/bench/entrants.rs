//! Which kernels are measured on which devices.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::Args;
use crate::bench::record::{KernelFacts, Limit};
use crate::bench::run::{Entrant, Open, Turn};
use crate::cli::cost::valu_per_hash;
use crate::cli::options::Profile;
use crate::cli::tuning::Place;
use crate::cli::{Failure, team};
use crate::device::cpu;
use crate::device::inventory::{Choice, Entry, NotUsable};
use crate::device::tune::candidates;
use crate::device::{Kind, Opening};
use crate::kernel::model::{Gpu, Pipes};
use crate::kernel::{Kernel, Variant, Workgroup};
use crate::limits::SUBJECTS;
use crate::runtime::Stop;

/// Kernels of a matrix for which none are named: the likely fastest of each layout.
const MATRIX_KERNELS: usize = 3;

/// Whether the self-test refused a kernel.
#[derive(Clone, Default)]
pub(super) struct Refusals(Arc<AtomicBool>);

impl Refusals {
    pub(super) fn any(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// All that is measured, in the order asked for: device by device.
pub(super) fn entrants(
    args: &Args,
    refusals: &Refusals,
    stop: &Stop,
) -> Result<Vec<Entrant<'static>>, Failure> {
    let mut entrants = Vec::new();
    for entry in entries(args)? {
        if entry.facts.kind == Kind::Cpu {
            let batch_time = args.profile.batch_time();
            let limit = None;
            let open = open(&entry, Variant::DEFAULT.into(), refusals);
            let (device, kernel) = (entry.facts, kernel_of_cpu());
            entrants.push(Entrant { device, kernel, batch_time, limit, open, is_simulated: false });
            continue;
        }
        for (kernel, batch_time) in kernels(args, &entry) {
            let limit = match kernel.custom {
                Some(_) => None,
                None => limit(&entry, kernel.variant, stop)?,
            };
            entrants.push(Entrant {
                device: entry.facts.clone(),
                kernel: kernel_facts(&kernel),
                batch_time,
                limit,
                open: open(&entry, kernel, refusals),
                is_simulated: false,
            });
        }
    }
    if entrants.len() > SUBJECTS {
        return Err(Failure::usage(format!(
            "{} kernels on devices are more than the {SUBJECTS} that are measured side by side; name fewer",
            entrants.len()
        )));
    }
    Ok(entrants)
}

fn entries(args: &Args) -> Result<Vec<Entry>, Failure> {
    let mut entries = match team::select(&args.devices)? {
        Choice::Use(entries) => entries,
        // No real GPU: the software adapter, if there is one, is what runs the kernels.
        Choice::Fastest(entries) => entries.into_iter().take(1).collect(),
    };
    let asks_for_kernels = !args.variants.is_empty() || !args.own.is_empty() || args.matrix;
    if asks_for_kernels {
        let is_adapter = |entry: &Entry| entry.facts.kind != Kind::Cpu;
        // The CPU is measured beside them, with its own code, only if it was named.
        if args.devices.devices.is_empty() || !entries.iter().any(is_adapter) {
            entries.retain(is_adapter);
        }
        if entries.is_empty() {
            return Err(Failure::no_device(
                "kernels need a graphics adapter, and none is chosen; the CPU has its own code",
            ));
        }
    }
    Ok(entries)
}

/// The kernels of a device with the lengths of their batches.
fn kernels(args: &Args, entry: &Entry) -> Vec<(Kernel, Duration)> {
    if args.matrix {
        return matrix(args, entry);
    }
    let own = args.own.iter().cloned();
    let mut kernels: Vec<Kernel> =
        args.variants.iter().map(|variant| Kernel::new(*variant)).chain(own).collect();
    if kernels.is_empty() {
        let known = Place::of(entry).known_variant();
        kernels.push(Kernel::new(known.unwrap_or(Variant::DEFAULT)));
    }
    let batch_time = args.profile.batch_time();
    kernels.into_iter().map(|kernel| (kernel, batch_time)).collect()
}

fn matrix(args: &Args, entry: &Entry) -> Vec<(Kernel, Duration)> {
    let at_64 = |variant: Variant| Variant { workgroup: Workgroup::W64, ..variant };
    let named =
        if args.variants.is_empty() { candidates(&entry.facts) } else { args.variants.clone() };
    let mut variants: Vec<Variant> = Vec::new();
    for variant in named.into_iter().map(at_64) {
        if !variants.contains(&variant) {
            variants.push(variant);
        }
    }
    if args.variants.is_empty() {
        variants.truncate(MATRIX_KERNELS);
    }
    let mut all = Vec::new();
    for variant in variants {
        for workgroup in [Workgroup::W64, Workgroup::W128, Workgroup::W256] {
            let kernel = Kernel::new(Variant { workgroup, ..variant });
            let profiles = [Profile::Background, Profile::Desktop, Profile::Dedicated];
            all.extend(profiles.map(|profile| (kernel.clone(), profile.batch_time())));
        }
    }
    all
}

/// Opens the device with the clock of its own, tested the first time.
fn open(entry: &Entry, kernel: Kernel, refusals: &Refusals) -> Open<'static> {
    let (entry, refusals) = (entry.clone(), refusals.clone());
    Box::new(move |turn| {
        let opening = Opening { kernel: kernel.clone(), timestamps: true };
        match turn {
            Turn::Later => entry.open(opening),
            Turn::First => entry.open_tested(opening).map_err(|why| {
                refusals.0.fetch_or(matches!(why, NotUsable::Refused(_)), Ordering::Relaxed);
                why.to_string()
            }),
        }
    })
}

fn kernel_facts(kernel: &Kernel) -> KernelFacts {
    let (least, most) = kernel.variant.layout().headers();
    KernelFacts {
        name: kernel.to_string(),
        wgsl_sha256: Some(kernel.wgsl_sha256()),
        workgroup: Some(kernel.variant.workgroup.threads()),
        nonces_per_thread: Some(kernel.variant.nonces.count()),
        headers: [least, most],
    }
}

fn kernel_of_cpu() -> KernelFacts {
    KernelFacts {
        name: cpu::kernel().to_owned(),
        wgsl_sha256: None,
        workgroup: None,
        nonces_per_thread: None,
        headers: [1, 1],
    }
}

/// The limit of a GPU that is known: of NVIDIA's by the kernel's operations, of AMD's by what its compiler
/// writes, where that is the compiler of this machine.
fn limit(entry: &Entry, variant: Variant, stop: &Stop) -> Result<Option<Limit>, Failure> {
    let Some(gpu) = Gpu::named(&entry.facts.name) else { return Ok(None) };
    let limit = |hashes_per_second, cycles| {
        let formula = format!("{}: {}", gpu.name, gpu.formula(cycles));
        Limit { hashes_per_second, reached: None, formula }
    };
    if let Some(pipes) = Pipes::of_variant(variant)
        && let Some(rate) = gpu.limit_of_pipes(pipes)
    {
        return Ok(Some(limit(rate, pipes.cycles())));
    }
    if entry.facts.backend != "vulkan" || gpu.limit_of_compiled(1.0).is_none() {
        return Ok(None);
    }
    let compiled = valu_per_hash(variant, stop)?;
    let of_this = compiled.filter(|(device, _)| *device == entry.facts.name);
    Ok(of_this.and_then(|(_, valu)| Some(limit(gpu.limit_of_compiled(valu)?, valu))))
}
