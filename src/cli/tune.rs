//! `adit tune`

use std::time::Duration;

use comfy_table::{Table, presets};
use serde::Serialize;

use super::options::{DeviceOptions, Profile, duration};
use super::tuning::{Place, in_words};
use super::{Failure, output, team};
use crate::device::Kind;
use crate::device::inventory::{Choice, Entry};
use crate::device::tune::cache::{Lookup, Row, Saved};
use crate::limits::TUNING_BUDGET;
use crate::runtime::Stop;
use crate::ui::text;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    devices: DeviceOptions,

    /// How long the tune of a device may take, such as 30s or 2m; it ends as soon as it is clear
    #[arg(long, value_name = "TIME", value_parser = budget, default_value = "30s")]
    budget: Duration,

    /// How long a batch takes. One result serves all profiles
    #[arg(long, value_enum, default_value_t = Profile::Desktop)]
    profile: Profile,

    /// Print the saved results instead of tuning
    #[arg(long, conflicts_with_all = ["budget", "profile"])]
    show: bool,

    /// Print one JSON object per device
    #[arg(long)]
    json: bool,
}

fn budget(text: &str) -> Result<Duration, String> {
    duration(text, Duration::from_secs(1)..=TUNING_BUDGET, "a tune takes")
}

pub(super) fn run(args: &Args, stop: &Stop) -> Result<(), Failure> {
    let entries = match team::select(&args.devices)? {
        Choice::Use(entries) | Choice::Fastest(entries) => entries,
    };
    let mut untuned = Vec::new();
    for entry in entries {
        let place = Place::of(&entry);
        if entry.facts.kind == Kind::Cpu {
            let why = "the CPU has its own code and no kernel to choose";
            tell(args, &entry, &place, "no_kernels", Some(why), None)?;
        } else if args.show {
            show(args, &entry, &place)?;
        } else {
            if !args.json {
                let budget = humantime::format_duration(args.budget);
                output::note(format_args!("Tuning {} for {budget} at most", place.name));
            }
            let tuned = place.tune(&entry, args.budget, args.profile.batch_time(), stop)?;
            match tuned {
                (Some(saved), _) => tell(args, &entry, &place, "fresh", None, Some(&saved))?,
                (None, _) => untuned.push(place.name),
            }
        }
    }
    if untuned.is_empty() {
        return Ok(());
    }
    Err(Failure::no_device(format!("no kernel works on {}", untuned.join(", "))))
}

/// What is saved for a device, and whether it still counts.
fn show(args: &Args, entry: &Entry, place: &Place) -> Result<(), Failure> {
    let anew = "`adit tune` makes one, and the next run a short one";
    match place.look_up() {
        Lookup::Fresh(saved) => tell(args, entry, place, "fresh", None, Some(&saved)),
        Lookup::Stale(saved, change) => {
            let why = format!("this result does not count any more: {}", text::clean(&change));
            tell(args, entry, place, "stale", Some(&why), Some(&saved))
        }
        Lookup::None => {
            let why = format!("there is no result; {anew}");
            tell(args, entry, place, "none", Some(&why), None)
        }
        Lookup::Unusable(path, why) => {
            let why = format!("{} is ignored: {}; {anew}", path.display(), text::clean(&why));
            tell(args, entry, place, "unusable", Some(&why), None)
        }
    }
}

/// The JSON of a device.
#[derive(Serialize)]
struct Told<'t> {
    index: usize,
    name: &'t str,
    /// `fresh`, `stale`, `none`, `unusable`, or `no_kernels` for the CPU.
    status: &'t str,
    why: Option<&'t str>,
    result: Option<&'t Saved>,
}

fn tell(
    args: &Args,
    entry: &Entry,
    place: &Place,
    status: &str,
    why: Option<&str>,
    result: Option<&Saved>,
) -> Result<(), Failure> {
    if args.json {
        let name = &entry.facts.name;
        return output::json(&Told { index: entry.index, name, status, why, result });
    }
    if let Some(why) = why {
        output::line(format_args!("{}: {why}", place.name))?;
    }
    let Some(saved) = result else { return Ok(()) };
    output::line(format_args!("{}: {}", place.name, in_words(saved)))?;
    output::line(table(saved))
}

fn table(saved: &Saved) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["kernel", "rate", "95 % interval", "rounds", "status"]);
    for row in &saved.candidates {
        let interval = row.interval.map(|interval| {
            [interval.low, interval.high].map(|rate| text::rate(Some(rate))).join(" to ")
        });
        let rate = row.rate.map(|rate| text::rate(Some(rate)));
        table.add_row([
            text::clean(&row.kernel),
            rate.unwrap_or_default(),
            interval.unwrap_or_default(),
            row.rounds.to_string(),
            status(saved, row),
        ]);
    }
    table
}

fn status(saved: &Saved, row: &Row) -> String {
    match &row.skipped {
        Some(why) => text::clean(&why.to_string()),
        None if row.kernel == saved.winner => "chosen".to_owned(),
        None => "measured".to_owned(),
    }
}
