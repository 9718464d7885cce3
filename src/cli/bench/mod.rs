//! `adit bench`

mod entrants;
mod show;
mod stress;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use etcetera::BaseStrategy as _;

use self::entrants::Refusals;
use self::show::{Form, Live};
use self::stress::Drill;
use super::options::{DeviceOptions, Profile, duration, kernel_file};
use super::{Failure, output};
use crate::bench::record::{self, Record, SCHEMA, Settings, Subject};
use crate::bench::run::{Amount, Entrant, Event, Plan};
use crate::bench::store::{self, Name};
use crate::bench::workload::{FEWEST_HASHES, MOST_HASHES, Workload};
use crate::bench::{compare, machine};
use crate::files;
use crate::kernel::{Kernel, Variant};
use crate::limits::{BENCHMARK_TIME, OPENINGS, STRESS_TIME};
use crate::runtime::Stop;
use crate::ui::text::{self, counted};

/// Names the folder that baselines lie in, instead of the platform's.
const FOLDER_VARIABLE: &str = "ADIT_BENCH_DIR";

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Option<Command>,

    #[command(flatten)]
    devices: DeviceOptions,

    /// Measure this kernel on the GPUs; can be given many times. Default: what `adit tune` found
    #[arg(long = "variant", value_name = "NAME")]
    variants: Vec<Variant>,

    /// Measure a kernel of your own: a WGSL file under the ABI of docs/KERNELS.md; can be given many times
    #[arg(long = "wgsl", value_name = "FILE", value_parser = kernel_file)]
    own: Vec<Kernel>,

    /// Measure the kernels with workgroups of 64, 128 and 256 and batches of 2, 12 and 50 ms
    #[arg(long, conflicts_with_all = ["own", "profile"])]
    matrix: bool,

    /// How long each kernel is measured on each device
    #[arg(long, value_name = "TIME", value_parser = time, default_value = "10s")]
    time: Duration,

    /// Measure this many hashes instead, the same for all: 2000000000, 2G
    #[arg(long, value_name = "N", value_parser = hashes, conflicts_with = "time")]
    hashes: Option<u64>,

    /// How long the warm-up may take for each; it ends when the rate is steady. Default: as --time
    #[arg(long, value_name = "TIME", value_parser = warm_up)]
    warm_up: Option<Duration>,

    /// How often each is opened anew: openings of the same kernel differ. Comparisons take three
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(OPENINGS)), default_value = "10")]
    openings: u32,

    /// What the headers are made from: with the same seed all devices print the same checksum
    #[arg(long, value_name = "N", default_value = "0")]
    seed: u64,

    /// How long a batch takes on a GPU
    #[arg(long, value_enum, default_value_t = Profile::Dedicated)]
    profile: Profile,

    /// Load all devices at once for this time instead, and check everything that they report; exit with 1 when
    /// anything was wrong
    #[arg(
        long,
        value_name = "TIME",
        value_parser = stress_time,
        conflicts_with_all = ["matrix", "time", "hashes", "warm_up", "openings", "compare"]
    )]
    stress: Option<Duration>,

    /// With --stress, tamper with the devices' reports, to see that it is found
    #[arg(long, value_enum, value_name = "FLAW", requires = "stress")]
    drill: Option<Drill>,

    /// Keep the result under this name, for --compare
    #[arg(long, value_name = "NAME")]
    save: Option<Name>,

    /// Compare with a saved result: a name, or a file that --json made; can be given many times
    #[arg(long, value_name = "FILE|NAME")]
    compare: Vec<String>,

    /// Exit with 1 when anything is slower than what it is compared with by more than this
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    fail_on: Option<f64>,

    #[command(flatten)]
    form: Form,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Show saved results, of many machines if need be, in one table
    Report {
        /// Files that --json made, or names that --save gave
        #[arg(required = true, value_name = "FILE|NAME")]
        files: Vec<String>,

        #[command(flatten)]
        form: Form,
    },
}

fn time(text: &str) -> Result<Duration, String> {
    duration(text, Duration::from_millis(100)..=BENCHMARK_TIME, "a kernel is measured for")
}

fn stress_time(text: &str) -> Result<Duration, String> {
    duration(text, Duration::from_secs(1)..=STRESS_TIME, "a stress test takes")
}

fn warm_up(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(time) if time <= BENCHMARK_TIME => Ok(time),
        Ok(_) => {
            Err(format!("a warm-up takes {} at most", humantime::format_duration(BENCHMARK_TIME)))
        }
        Err(error) => Err(error.to_string()),
    }
}

fn hashes(text: &str) -> Result<u64, String> {
    let units = [('k', 1_000), ('M', 1_000_000), ('G', 1_000_000_000), ('T', 1_000_000_000_000)];
    let unit = units.iter().find_map(|(unit, times)| Some((text.strip_suffix(*unit)?, *times)));
    let (digits, times) = unit.unwrap_or((text, 1));
    let number = digits.replace('_', "").parse::<u64>().ok().and_then(|n| n.checked_mul(times));
    number.filter(|number| (FEWEST_HASHES..=MOST_HASHES).contains(number)).ok_or_else(|| {
        format!("give a number from {FEWEST_HASHES} to {MOST_HASHES}, such as 500M, 20G or 1T")
    })
}

fn percent(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').unwrap_or(text).trim().parse::<f64>();
    let number = number.ok().filter(|number| (0.0..100.0).contains(number));
    number.map(|number| number / 100.0).ok_or_else(|| "give percent, such as 2%".to_owned())
}

pub(super) fn run(args: &Args, stop: &Stop) -> Result<(), Failure> {
    if let Some(Command::Report { files, form }) = &args.command {
        let records =
            files.iter().map(|file| load(file)).collect::<Result<Vec<Record>, Failure>>()?;
        return form.show(&records);
    }
    // Read first: a missing baseline must not cost a measurement.
    let bases =
        args.compare.iter().map(|base| load(base)).collect::<Result<Vec<Record>, Failure>>()?;
    args.form.check()?;
    let (mut record, refusals) = measure(args, stop)?;
    let mut alone = Vec::new();
    record.comparisons = if bases.is_empty() {
        compare::within(&record)
    } else {
        let both: Vec<_> = bases.iter().map(|base| compare::between(base, &record)).collect();
        alone = both.iter().flat_map(|(_, alone)| alone.clone()).collect();
        both.into_iter().flat_map(|(comparisons, _)| comparisons).collect()
    };
    if let Some(name) = &args.save {
        save(name, &record)?;
    }
    args.form.show(std::slice::from_ref(&record))?;
    for name in alone {
        output::note(format_args!("{name}: the baseline has nothing to compare it with"));
    }
    outcome(args, &record, &refusals)
}

fn measure(args: &Args, stop: &Stop) -> Result<(Record, Refusals), Failure> {
    let workload = Workload::new(args.seed).map_err(Failure::usage)?;
    let refusals = Refusals::default();
    let entrants = entrants::entrants(args, &refusals, stop)?;
    let (date, start) = (SystemTime::now(), Instant::now());
    let (subjects, interrupted) = match args.stress {
        Some(time) => stress::run(args, workload, time, entrants, stop)?,
        None => in_turns(args, workload, entrants, stop),
    };
    let time = if args.hashes.is_some() { None } else { Some(args.stress.unwrap_or(args.time)) };
    let record = Record {
        schema: SCHEMA,
        tool: machine::tool(),
        machine: machine::machine(),
        begun: humantime::format_rfc3339_seconds(date).to_string(),
        seconds: start.elapsed().as_secs_f64(),
        settings: Settings {
            seed: args.seed,
            seconds: time.map(|time| time.as_secs_f64()),
            hashes: args.hashes,
            openings: if args.stress.is_some() { 1 } else { args.openings },
            stress: args.stress.is_some(),
        },
        interrupted,
        subjects,
        comparisons: Vec::new(),
    };
    Ok((record, refusals))
}

fn in_turns(
    args: &Args,
    workload: Workload,
    entrants: Vec<Entrant<'_>>,
    stop: &Stop,
) -> (Vec<Subject>, bool) {
    let fixed = args.hashes.and_then(|hashes| workload.range(hashes));
    let amount = fixed.map_or(Amount::Time(args.time), Amount::Fixed);
    let plan = Plan {
        amount,
        openings: args.openings,
        warm_up: args.warm_up.unwrap_or(args.time),
        workload,
    };
    let live = Live::new(&entrants, args.form.is_quiet());
    let mut opening = 0;
    crate::bench::run::run(&plan, entrants, &|| stop.is_requested(), &mut |event| {
        if let Event::Opening(number) = event {
            opening = number + 1;
        }
        live.tell(&format!("opening {opening} of {}", args.openings), event);
    })
}

/// What the exit code says of a run that was shown.
fn outcome(args: &Args, record: &Record, refusals: &Refusals) -> Result<(), Failure> {
    let wrong: Vec<String> = record
        .subjects
        .iter()
        .filter(|subject| subject.wrong() > 0)
        .map(|subject| {
            let wrong = counted(subject.wrong(), "wrong hit");
            format!("{} reported {wrong}", text::clean(&subject.kernel.name))
        })
        .collect();
    if !wrong.is_empty() {
        return Err(Failure::wrong(format!("{}; its figures mean nothing", wrong.join("; "))));
    }
    let failed: Vec<String> = record.subjects.iter().filter_map(stress::failed).collect();
    if !failed.is_empty() {
        return Err(Failure::wrong(failed.join("; ")));
    }
    let works =
        record::checksums(record.subjects.iter().map(|subject| (&record.settings, subject)));
    if works.values().any(|sums| sums.len() > 1) {
        return Err(Failure::wrong("the checksums differ: a device misses hits"));
    }
    if record.interrupted {
        output::note(
            "Stopped early: what was measured until then is shown, and saved where asked for.",
        );
        return Err(Failure::interrupted());
    }
    if record.subjects.iter().all(|subject| subject.estimate.is_none()) {
        let why = record.subjects.iter().filter_map(|subject| subject.error.clone());
        let why = why.collect::<Vec<String>>().join("; ");
        let failure = if refusals.any() { Failure::selftest } else { Failure::no_device };
        return Err(failure(format!("nothing could be measured: {why}")));
    }
    let Some(share) = args.fail_on else { return Ok(()) };
    let slower = record.comparisons.iter().filter(|comparison| comparison.is_slower_by(share));
    let slower: Vec<String> = slower.map(ToString::to_string).collect();
    if slower.is_empty() { Ok(()) } else { Err(Failure::wrong(slower.join("; "))) }
}

/// A record by the path of its file, else by its name.
fn load(file: &str) -> Result<Record, Failure> {
    let path = Path::new(file);
    if path.exists() {
        return store::read(path).map_err(Failure::usage);
    }
    let named = file.parse::<Name>().ok().zip(folder().ok());
    let missing = || {
        let place = named.as_ref().map(|(name, folder)| name.path(folder));
        let place = place.map(|place| format!(", nor {}", place.display())).unwrap_or_default();
        Failure::usage(format!(
            "there is no file {file}{place}; `adit bench --save NAME` and `adit bench --json > FILE` make one"
        ))
    };
    let (name, folder) = named.as_ref().ok_or_else(missing)?;
    let path = name.path(folder);
    if path.exists() { store::read(&path).map_err(Failure::usage) } else { Err(missing()) }
}

fn save(name: &Name, record: &Record) -> Result<(), Failure> {
    let folder = folder()?;
    // Without a file the result itself is still shown.
    output::note(match store::save(&folder, name, record) {
        Ok(path) => format!("Saved as {}", path.display()),
        Err(error) => format!(
            "It cannot be saved in {}: {error}; name another folder in {FOLDER_VARIABLE}",
            folder.display()
        ),
    });
    Ok(())
}

fn folder() -> Result<PathBuf, Failure> {
    if let Some(folder) = files::folder_named_in(FOLDER_VARIABLE) {
        return Ok(folder);
    }
    let strategy = etcetera::base_strategy::choose_native_strategy().map_err(|error| {
        Failure::usage(format!("there is no home folder ({error}); name one in {FOLDER_VARIABLE}"))
    })?;
    Ok(strategy.data_dir().join("adit").join("bench"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_with_units_and_refused_with_an_example() {
        assert_eq!(hashes("2G"), Ok(2_000_000_000));
        assert_eq!(hashes("1_100_000"), Ok(1_100_000));
        for text in ["", "1k", "G", "-1M", "1.5G", "999999999T"] {
            assert!(hashes(text).is_err_and(|why| why.contains("such as 500M")), "{text}");
        }
        assert!(percent("2%").is_ok_and(|share| (share - 0.02).abs() < 1e-12));
        assert!(percent("NaN").is_err() && percent("100").is_err() && percent("-1").is_err());
        assert!(time("1ms").is_err() && time("1 year").is_err() && time("2m").is_ok());
    }
}
