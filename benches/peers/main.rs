//! adit beside hashcat on the same device, in compressions of SHA-256 per second: the one unit in which a miner and
//! a searcher of passwords can be compared.
//!
//! `cargo bench --bench peers` takes the first device of `adit devices` that hashcat has too; `cargo bench --bench
//! peers -- NAME` another. Both use the fastest kernel that they know: adit the one that `adit tune` finds,
//! hashcat its optimised one.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a bench prints")]

mod hashcat;

use std::error::Error;
use std::process::{Command, ExitCode};

use hashcat::Mode;

/// Each program is measured this often, in turns.
const ROUNDS: usize = 3;

/// SHA-256d of a header whose first block is known is two compressions. Both programs leave out what does not change.
const COMPRESSIONS_OF_ADIT: u32 = 2;

struct Row {
    what: String,
    compressions: u32,
    /// Hashes per second, one of each round.
    rates: Vec<f64>,
}

fn main() -> ExitCode {
    // `cargo test --benches` runs the program too, and there it shall only build.
    let (marks, names): (Vec<_>, Vec<_>) =
        std::env::args().skip(1).partition(|argument| argument == "--bench");
    if marks.is_empty() {
        return ExitCode::SUCCESS;
    }
    match compare(names.first().map(String::as_str)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

fn compare(name: Option<&str>) -> Result<(), Box<dyn Error>> {
    let Some(version) = hashcat::version() else {
        println!(
            "skipped: hashcat is not installed (on Debian: apt-get install hashcat, and pocl-opencl-icd for a machine \
             without a GPU)"
        );
        return Ok(());
    };
    let peers = hashcat::devices(&output(Command::new("hashcat").arg("-I"))?);
    let devices = json(adit().args(["devices", "--json"]))?;
    let same = devices.as_array().into_iter().flatten().find_map(|device| {
        let text = |field: &str| device[field].as_str().unwrap_or_default();
        let is_wanted = name.is_none_or(|name| text("name").contains(name));
        let is_adapter = text("kind") != "cpu"; // there adit has no kernel of its own
        let peer = hashcat::same(&peers, text("name"), device["pci"].as_str(), text("kind"))?;
        (is_wanted && is_adapter).then_some((device, peer))
    });
    let Some((device, peer)) = same else {
        return Err(
            "no device that both programs have; `hashcat -I` and `adit devices` list them".into()
        );
    };
    println!("{}, in {version} {}", device["name"].as_str().unwrap_or_default(), peer.name);
    let index = device["index"].to_string();
    let cache = tempfile::tempdir()?;
    output(adit().args(["tune", "--device", &index]).env("ADIT_CACHE_DIR", cache.path()))?;

    let mut rows: Vec<Row> = Vec::new();
    for _ in 0..ROUNDS {
        for mode in Mode::ALL {
            let rate = mode.rate(&output(&mut mode.benchmark(peer))?)?;
            note(&mut rows, &format!("hashcat {mode}"), mode.compressions(), rate);
        }
        let measure = ["bench", "--json", "--openings", "2", "--time", "4s", "--device", &index];
        let record = json(adit().args(measure).env("ADIT_CACHE_DIR", cache.path()))?;
        let subject = &record["subjects"][0];
        let rate = subject["estimate"]["rate"]["median"].as_f64();
        let rate = rate.ok_or_else(|| format!("adit measured nothing: {}", subject["error"]))?;
        let kernel = subject["kernel"]["name"].as_str().unwrap_or_default();
        note(&mut rows, &format!("adit {kernel}"), COMPRESSIONS_OF_ADIT, rate);
    }
    show(&mut rows);
    Ok(())
}

fn note(rows: &mut Vec<Row>, what: &str, compressions: u32, rate: f64) {
    match rows.iter_mut().find(|row| row.what == what) {
        Some(row) => row.rates.push(rate),
        None => rows.push(Row { what: what.to_owned(), compressions, rates: vec![rate] }),
    }
}

fn show(rows: &mut [Row]) {
    println!(
        "{:<44} {:>12} {:>22}   of {ROUNDS} rounds: lowest, highest",
        "", "hashes/s", "compressions/s"
    );
    for Row { what, compressions, rates } in rows {
        rates.sort_by(f64::total_cmp);
        let median = rates[rates.len() / 2];
        let million = |rate: f64| format!("{:.1} M", rate / 1e6);
        println!(
            "{what:<44} {:>12} {:>22}   {}, {}",
            million(median),
            million(median * f64::from(*compressions)),
            million(rates[0] * f64::from(*compressions)),
            million(rates[rates.len() - 1] * f64::from(*compressions)),
        );
    }
}

fn adit() -> Command {
    Command::new(env!("CARGO_BIN_EXE_adit"))
}

fn json(command: &mut Command) -> Result<serde_json::Value, Box<dyn Error>> {
    Ok(serde_json::from_str(&output(command)?)?)
}

/// Standard output of a program that ended well.
fn output(command: &mut Command) -> Result<String, Box<dyn Error>> {
    let output = command.output()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(said);
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    Err(format!("{command:?} failed: {}\n{said}{errors}", output.status).into())
}
