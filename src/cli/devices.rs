//! `adit devices`

use comfy_table::{Table, presets};

use super::{Failure, output};
use crate::device::inventory::{Entry, Selector, inventory};
use crate::ui::text;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Print a JSON list
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let entries = inventory(&[]).or_else(|error| {
        output::note(format_args!("No graphics adapter can be listed: {error}"));
        inventory(&[Selector::cpu()]).map_err(Failure::no_device)
    })?;
    if args.json {
        return output::json(&entries);
    }
    output::line(table(&entries))?;
    if entries.iter().all(|entry| entry.facts.kind.is_processor()) {
        output::line(
            "\nNo real GPU was found. If there is one, install its Vulkan driver (on Debian and \
             Ubuntu libvulkan1 and mesa-vulkan-drivers, or NVIDIA's own); drivers that do not \
             conform to Vulkan are hidden.",
        )?;
    }
    Ok(())
}

fn table(entries: &[Entry]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["", "name", "kind", "backend", "driver", "pci", "subgroups", "used"]);
    let unknown = || "unknown".to_owned();
    for entry in entries {
        let facts = &entry.facts;
        table.add_row([
            entry.index.to_string(),
            text::clean(&facts.name),
            facts.kind.to_string(),
            facts.backend.clone(),
            facts.driver.as_deref().map_or_else(unknown, text::clean),
            facts.pci.clone().unwrap_or_else(unknown),
            facts.subgroup_sizes.map_or_else(unknown, |[min, max]| {
                if min == max { min.to_string() } else { format!("{min} to {max}") }
            }),
            match (entry.used, &entry.unused_because) {
                (Some(true), _) => "yes".to_owned(),
                (Some(false), Some(why)) => format!("no: {why}"),
                (None, Some(why)) => format!("perhaps: {why}"),
                _ => unknown(),
            },
        ]);
        for route in &facts.also_through {
            table.add_row(["", &format!("also through {}", text::clean(route))]);
        }
    }
    table
}
