//! `adit kernel cost`: what a driver's compiler makes of the kernels.

use comfy_table::{Table, presets};
use serde::Serialize;
use serde_json::{Map, Value};

use super::compiler::{self, Compiler};
use super::{Failure, output};
use crate::device::gpu::{Compiled, Counts, Executable};
use crate::kernel::assembly::{LoopCost, loops};
use crate::kernel::model::{Family, GPUS, Gpu, Maker, Pipes};
use crate::kernel::{Body, Layout, Test, Variant};
use crate::runtime::Stop;
use crate::ui::text::clean;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A variant; may be given many times [default: every listed one with the zero test]
    #[arg(long = "variant", value_name = "NAME")]
    variants: Vec<Variant>,
    /// The Vulkan driver: the path of its manifest, or a name such as radv, anv, nvk, lvp
    #[arg(long, value_name = "NAME")]
    driver: Option<String>,
    /// Let RADV compile for this AMD chip, which need not be there: navi21, navi31, gfx1201, …
    #[arg(long, value_name = "NAME")]
    chip: Option<String>,
    /// Print a JSON list
    #[arg(long)]
    json: bool,
    /// Print the assembly of each variant instead, where the driver shows it
    #[arg(long, conflicts_with = "json")]
    assembly: bool,
    /// Compile in this process and print the outcome for the one that asked
    #[arg(long = compiler::HERE, hide = true)]
    here: bool,
}

/// One variant as a driver compiled it. What is not known is null.
#[derive(Serialize)]
struct Row {
    variant: String,
    device: Option<String>,
    driver: Option<String>,
    compile_seconds: Option<f64>,
    #[serde(flatten)]
    counts: Counts,
    /// Vector instructions per hash, with what is done once for several hashes shared among them.
    valu_per_hash: Option<f64>,
    /// The same of one pass through the loop over hashes; null without such a loop.
    loop_valu_per_hash: Option<f64>,
    /// Every loop of the program.
    loops: Vec<LoopCost>,
    limits: Vec<Limit>,
    /// Everything that the driver tells, under its own names.
    statistics: Map<String, Value>,
    /// Why the driver did not compile it.
    error: Option<String>,
}

#[derive(Serialize)]
struct Limit {
    gpu: &'static str,
    hashes_per_second: Option<f64>,
    source: Source,
}

/// What a limit is calculated from.
#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Source {
    /// The vector instructions that the compiler wrote.
    Compiler,
    /// The kernel's operations.
    Operations,
}

/// Vector instructions per hash of a variant as the machine's first Vulkan device compiles it, with that
/// device's name. `None` where the driver does not tell.
///
/// # Errors
///
/// When it is stopped meanwhile.
pub(super) fn valu_per_hash(
    variant: Variant,
    stop: &Stop,
) -> Result<Option<(String, f64)>, Failure> {
    let outcome = Compiler::new(None, None)?.compile(variant, stop)?;
    let row = Row::new(variant, outcome);
    Ok(row.device.zip(row.valu_per_hash))
}

/// How often what is in a kernel's text is done.
struct Passes {
    /// Hashes that one pass through the text tests, or one pass through its loop over hashes.
    hashes: u32,
    /// Passes of that loop; 1 without such a loop.
    passes: u32,
}

/// `None` for the reference kernel, whose loops are not over hashes.
fn passes(variant: Variant) -> Option<Passes> {
    let Body::Derived(layout, _) = variant.body else { return None };
    let nonces = variant.nonces.count();
    Some(match layout {
        Layout::Std | Layout::Verlane(_) => Passes { hashes: 1, passes: nonces },
        // A loop over nonces runs through the tests of all headers.
        Layout::Boost { headers, looped: false } => {
            Passes { hashes: headers.into(), passes: nonces }
        }
        // What a thread does once counts as if it were done for each nonce: some ten instructions.
        Layout::Boost { headers, looped: true } => Passes { hashes: 1, passes: headers.into() },
    })
}

/// In how many loops the one over hashes lies: that over headers can lie in one over nonces.
fn depth(variant: Variant) -> usize {
    let is_looped = matches!(variant.layout(), Layout::Boost { looped: true, .. });
    usize::from(is_looped && variant.nonces.count() > 1)
}

pub(super) fn run(args: &Args, stop: &Stop) -> Result<(), Failure> {
    if args.here {
        return args.variants.iter().try_for_each(|variant| compiler::compile_here(*variant));
    }
    let variants = if args.variants.is_empty() { listed() } else { args.variants.clone() };
    let compiler = Compiler::new(args.driver.as_deref(), args.chip.as_deref())?;
    let mut rows = Vec::new();
    for variant in variants {
        let outcome = compiler.compile(variant, stop)?;
        if let (true, Ok(compiled)) = (args.assembly, &outcome) {
            match compiled.executable().and_then(Executable::assembly) {
                Some(assembly) => {
                    output::line(format!("; {variant}"))?;
                    assembly.lines().try_for_each(instruction)?;
                }
                None => output::note(format!("{variant}: this driver does not show its assembly.")),
            }
        }
        rows.push(Row::new(variant, outcome));
    }
    if args.json {
        output::json(&rows)?;
    } else if !args.assembly {
        tables(&rows)?;
    }
    let failed: Vec<String> = rows
        .iter()
        .filter_map(|row| Some(format!("{}: {}", row.variant, row.error.as_ref()?)))
        .collect();
    if failed.is_empty() { Ok(()) } else { Err(Failure::no_device(failed.join("\n"))) }
}

fn listed() -> Vec<Variant> {
    let variants = Variant::list().into_iter().map(|(variant, _)| variant);
    variants.filter(|variant| variant.test == Test::Word7).collect()
}

impl Row {
    fn new(variant: Variant, outcome: Result<Compiled, String>) -> Self {
        let (compiled, error) = match outcome {
            Ok(compiled) => (Some(compiled), None),
            Err(why) => (None, Some(why)),
        };
        let executable = compiled.as_ref().and_then(Compiled::executable);
        let counts = executable.map(Executable::counts).unwrap_or_default();
        let loops = executable.and_then(Executable::assembly).map(loops).unwrap_or_default();
        let per_hash = |passes| per_hash(passes, depth(variant), counts.valu, &loops);
        let (valu_per_hash, loop_valu_per_hash) = passes(variant).map(per_hash).unwrap_or_default();
        let device = compiled.as_ref().map(|compiled| compiled.device.clone());
        Self {
            variant: variant.to_string(),
            limits: device
                .as_deref()
                .map(|device| limits(variant, device, valu_per_hash))
                .unwrap_or_default(),
            statistics: executable.map(told).unwrap_or_default(),
            driver: compiled.as_ref().and_then(|compiled| compiled.driver.clone()),
            compile_seconds: compiled.as_ref().map(|compiled| compiled.seconds),
            device,
            counts,
            valu_per_hash,
            loop_valu_per_hash,
            loops,
            error,
        }
    }
}

/// Drivers indent by tabs, which are not for terminals that a driver's text might confuse.
fn instruction(line: &str) -> Result<(), Failure> {
    output::line(clean(&line.replace('\t', "    ")))
}

fn told(executable: &Executable) -> Map<String, Value> {
    let statistics = executable.statistics.iter();
    statistics.map(|(name, value)| (name.clone(), Value::Number(value.clone()))).collect()
}

/// Vector instructions per hash, of all and of the loop over hashes: the largest that lies in `depth` others.
fn per_hash(
    Passes { hashes, passes }: Passes,
    depth: usize,
    valu: Option<u64>,
    loops: &[LoopCost],
) -> (Option<f64>, Option<f64>) {
    let here = loops.iter().filter(|body| body.depth >= depth);
    let body = here.map(|body| body.valu as u64).max();
    if passes > 1 && body.is_none() {
        return (None, None); // the assembly does not show it
    }
    let figure = |count: u64| u32::try_from(count).map(f64::from).ok();
    let share = |count: u64, among: u32| Some(figure(count)? / f64::from(among));
    let outside = valu.map(|valu| valu.saturating_sub(body.unwrap_or_default()));
    let in_loop = body.and_then(|body| share(body, hashes));
    let once = outside.and_then(|outside| share(outside, hashes * passes));
    (once.map(|once| once + in_loop.unwrap_or_default()), in_loop)
}

/// Of the GPUs that run this very program, as the compiler counts; where that is not known, of those for
/// which the kernel's operations say it.
fn limits(variant: Variant, device: &str, valu: Option<f64>) -> Vec<Limit> {
    let family = Family::of(device).map(Maker::Amd);
    let source = if family.is_some() { Source::Compiler } else { Source::Operations };
    let maker = family.unwrap_or(Maker::Nvidia);
    let pipes = Pipes::of_variant(variant);
    let limit = |gpu: &Gpu| match source {
        Source::Compiler => valu.and_then(|valu| gpu.limit_of_compiled(valu)),
        Source::Operations => pipes.and_then(|pipes| gpu.limit_of_pipes(pipes)),
    };
    let gpus = GPUS.iter().filter(|gpu| gpu.maker == maker);
    gpus.map(|gpu| Limit { gpu: gpu.name, hashes_per_second: limit(gpu), source }).collect()
}

fn tables(rows: &[Row]) -> Result<(), Failure> {
    let Some(first) = rows.iter().find(|row| row.error.is_none()) else { return Ok(()) };
    let about =
        [first.device.as_deref(), first.driver.as_deref()].map(|name| clean(name.unwrap_or("–")));
    output::line(format!("{} with {}", about[0], about[1]))?;
    if first.statistics.is_empty() {
        output::note(
            "This driver does not tell what it compiled: only the time that it took is known.",
        );
    }
    let compiled = || rows.iter().filter(|row| row.error.is_none());
    let mut counts = Table::new();
    counts.load_style(presets::NOTHING);
    counts.set_header([
        "variant",
        "instructions",
        "VALU",
        "per hash",
        "in loop",
        "VGPRs",
        "SGPRs",
        "spills",
        "bytes",
        "compiled in",
    ]);
    for row in compiled() {
        let whole = |count: Option<u64>| count.map(|count| count.to_string());
        let share = |count: Option<f64>| count.map(|count| format!("{count:.0}"));
        let c = &row.counts;
        counts.add_row(
            [
                Some(row.variant.clone()),
                whole(c.instructions),
                whole(c.valu),
                share(row.valu_per_hash),
                share(row.loop_valu_per_hash),
                whole(c.vector_registers),
                whole(c.scalar_registers),
                whole(c.spills),
                whole(c.code_bytes),
                row.compile_seconds.map(|seconds| format!("{seconds:.2} s")),
            ]
            .map(or_dash),
        );
    }
    output::line(counts)?;
    let Some(Limit { source, .. }) = first.limits.first() else { return Ok(()) };
    output::line(format!(
        "\nAt most, in GH/s, by {}:",
        match source {
            Source::Compiler => "the vector instructions above",
            Source::Operations => "the kernel's operations",
        }
    ))?;
    let mut limits = Table::new();
    limits.load_style(presets::NOTHING);
    limits.set_header(std::iter::once("variant").chain(first.limits.iter().map(|limit| limit.gpu)));
    for row in compiled() {
        let figures = row
            .limits
            .iter()
            .map(|limit| or_dash(limit.hashes_per_second.map(|rate| format!("{:.2}", rate / 1e9))));
        limits.add_row(std::iter::once(row.variant.clone()).chain(figures));
    }
    output::line(limits)
}

fn or_dash(figure: Option<String>) -> String {
    figure.unwrap_or_else(|| "–".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_done_once_is_shared_among_the_hashes() {
        let of = |label: &str, depth, valu| LoopCost {
            label: label.to_owned(),
            depth,
            instructions: 2 * valu,
            valu,
            valu_operations: valu,
            salu: 0,
            memory: 0,
        };
        let per_hash = |hashes, passes, valu, loops: &[LoopCost]| {
            per_hash(Passes { hashes, passes }, 0, valu, loops)
        };
        assert_eq!(per_hash(1, 1, Some(2805), &[]), (Some(2805.0), None));
        assert_eq!(per_hash(4, 1, Some(8000), &[]), (Some(2000.0), None));
        let loops = [of("BB1", 0, 2400), of("BB2", 0, 100)];
        assert_eq!(per_hash(1, 16, Some(3000), &loops), (Some(2437.5), Some(2400.0)));
        assert_eq!(per_hash(1, 1, None, &[]), (None, None));
        assert_eq!(per_hash(1, 16, Some(3000), &[]), (None, None), "no loop is to be seen");
        // Headers inside nonces.
        let loops = [of("BB1", 0, 2900), of("BB2", 1, 2400)];
        let passes = Passes { hashes: 1, passes: 16 };
        assert_eq!(super::per_hash(passes, 1, Some(3000), &loops), (Some(2437.5), Some(2400.0)));
    }
}
