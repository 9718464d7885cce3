//! `adit kernel cost`: what a driver's compiler makes of the kernels.

use comfy_table::{Table, presets};

use super::compiler::{self, Compiler};
use super::{Failure, output};

use crate::kernel::{Test, Variant};
use crate::runtime::Stop;

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
    /// Print the assembly too, where the driver shows it
    #[arg(long, conflicts_with = "json")]
    assembly: bool,
    /// Compile in this process and print the outcome for the one that asked
    #[arg(long = compiler::HERE, hide = true)]
    here: bool,
}

pub(super) fn run(args: &Args, stop: &Stop) -> Result<(), Failure> {
    if args.here {
        return args.variants.iter().try_for_each(|variant| compiler::compile_here(*variant));
    }
    let variants = if args.variants.is_empty() { listed() } else { args.variants.clone() };
    let compiler = Compiler::new(args.driver.as_deref(), args.chip.as_deref())?;
    let mut rows = Vec::new();
    for variant in variants {
        let compiled = compiler.compile(variant, stop)?;
        if let (true, Ok(compiled)) = (args.assembly, &compiled) {
            output::line(compiled.assembly().unwrap_or_default())?;
        }
        rows.push((variant, compiled));
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header([
        "variant",
        "device",
        "instructions",
        "VALU",
        "VGPRs",
        "SGPRs",
        "spills",
        "bytes",
        "seconds",
    ]);
    let figure = |count: Option<u64>| count.map_or("–".to_owned(), |count| count.to_string());
    for (variant, compiled) in rows {
        match compiled {
            Ok(compiled) => {
                let counts = compiled
                    .executables
                    .iter()
                    .flatten()
                    .map(|e| e.counts())
                    .next()
                    .unwrap_or_default();
                table.add_row([
                    variant.to_string(),
                    compiled.device,
                    figure(counts.instructions),
                    figure(counts.valu),
                    figure(counts.vector_registers),
                    figure(counts.scalar_registers),
                    figure(counts.spills),
                    figure(counts.code_bytes),
                    format!("{:.2}", compiled.seconds),
                ]);
            }
            Err(why) => output::note(format!("{variant}: {why}")),
        }
    }
    output::line(table)
}

fn listed() -> Vec<Variant> {
    let variants = Variant::list().into_iter().map(|(variant, _)| variant);
    variants.filter(|variant| variant.test == Test::Word7).collect()
}
