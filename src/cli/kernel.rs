//! `adit kernel`

use std::io::{IsTerminal as _, Write as _};

use comfy_table::{Table, presets};
use serde::Serialize;

use super::{Failure, cost, output};
use crate::kernel::{Cost, Kernel, Operations, Target, Translated, Variant, translate};
use crate::runtime::Stop;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// List the useful variants with their operations per hash
    List {
        /// Print a JSON list
        #[arg(long)]
        json: bool,
    },
    /// Print a variant, complete and compilable on its own
    Print {
        /// The variant; any combination of the parts in the listed names
        #[arg(long, value_name = "NAME", default_value_t = Variant::DEFAULT)]
        variant: Variant,
        /// The language
        #[arg(long = "as", value_name = "LANGUAGE", value_enum, default_value_t = Language::Wgsl)]
        language: Language,
        /// Print what fills the table of rows of a verlane kernel instead
        #[arg(long)]
        rows: bool,
    },
    /// Let a Vulkan driver compile variants, and count what it makes of them
    #[command(after_help = super::OUTCOME)]
    Cost(cost::Args),
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(super) enum Language {
    /// As derived
    Wgsl,
    /// SPIR-V 1.3 in its binary form, for Vulkan
    Spirv,
    /// Metal Shading Language 2.4
    Msl,
    /// HLSL for shader model 6.0, for DX12
    Hlsl,
}

impl From<Language> for Target {
    fn from(language: Language) -> Self {
        match language {
            Language::Wgsl => Self::Wgsl,
            Language::Spirv => Self::Spirv,
            Language::Msl => Self::Msl,
            Language::Hlsl => Self::Hlsl,
        }
    }
}

#[derive(Serialize)]
struct Listed {
    name: String,
    /// Operations per hash; null for the reference kernel, which is not derived.
    operations: Option<Cost>,
    workgroup: u32,
    good_for: &'static str,
}

pub(super) fn run(command: &Command, stop: &Stop) -> Result<(), Failure> {
    match command {
        Command::List { json } => list(*json),
        Command::Print { variant, language, rows } => print(*variant, (*language).into(), *rows),
        Command::Cost(args) => cost::run(args, stop),
    }
}

fn list(json: bool) -> Result<(), Failure> {
    let listed: Vec<Listed> = Variant::list()
        .into_iter()
        .map(|(variant, good_for)| Listed {
            name: variant.to_string(),
            operations: Kernel::new(variant).cost,
            workgroup: variant.workgroup.threads(),
            good_for,
        })
        .collect();
    if json {
        return output::json(&listed);
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["name", "Σ", "σ", "Ch+Maj", "adds", "job words", "good for"]);
    for listed in listed {
        let operations = |of: fn(&Operations) -> usize| match &listed.operations {
            None => "–".to_owned(),
            Some(cost) => {
                let per_hash = cost.per_hash(of);
                format!("{per_hash:.*}", usize::from(per_hash.fract() > 0.005))
            }
        };
        let words = |of: fn(&Cost) -> usize| {
            listed.operations.as_ref().map_or("–".to_owned(), |cost| of(cost).to_string())
        };
        table.add_row([
            listed.name.clone(),
            operations(|cost| cost.big_sigma),
            operations(|cost| cost.small_sigma),
            operations(|cost| cost.ch_maj),
            operations(|cost| cost.adds),
            words(|cost| cost.job_words),
            listed.good_for.to_owned(),
        ]);
    }
    output::line(table)
}

fn print(variant: Variant, target: Target, rows: bool) -> Result<(), Failure> {
    let kernel = Kernel::new(variant);
    let wgsl = match kernel.rows {
        _ if !rows => kernel.wgsl,
        Some(rows) => rows.wgsl,
        None => {
            return Err(Failure::usage(format!("{variant} has no table; verlane kernels have")));
        }
    };
    match translate(&wgsl, target).map_err(Failure::usage)? {
        Translated::Text(text) => output::line(text.trim_end()),
        Translated::Binary(_) if std::io::stdout().is_terminal() => Err(Failure::usage(
            "SPIR-V is binary: send it to a file or a program, as in `adit kernel print --as spirv > kernel.spv`",
        )),
        Translated::Binary(bytes) => {
            let mut out = std::io::stdout().lock();
            out.write_all(&bytes)?;
            Ok(out.flush()?)
        }
    }
}
