//! `adit verify`

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use super::{Failure, output};
use crate::chain;
use crate::limits::TROUBLES_TOLD;
use crate::runtime::share_log::{Checked, check};
use crate::ui::text;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The header: 160 hex digits
    #[arg(required_unless_present = "share_log")]
    header: Option<String>,

    /// Hash every share of this log of `adit mine` again, and name every line that is torn, corrupt or wrong
    #[arg(long, value_name = "FILE", conflicts_with = "header")]
    share_log: Option<PathBuf>,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    match (&args.share_log, &args.header) {
        (Some(path), _) => share_log(path),
        (None, header) => self::header(header.as_deref().unwrap_or_default()),
    }
}

fn share_log(path: &Path) -> Result<(), Failure> {
    let cannot = |error: std::io::Error| {
        Failure::usage(format!(
            "cannot read {}: {error}; give the share log of a run",
            text::clean(&path.to_string_lossy())
        ))
    };
    let mut log = BufReader::new(File::open(path).map_err(cannot)?);
    let (mut told, mut failure) = (0, Ok(()));
    let checked = check(&mut log, |line, trouble| {
        told += 1;
        if told <= TROUBLES_TOLD && failure.is_ok() {
            let trouble = text::clean_whole(&trouble.to_string());
            failure = output::line(format_args!("line {line}: {trouble}"));
        }
    })
    .map_err(cannot)?;
    failure?;
    if told > TROUBLES_TOLD {
        output::line(format_args!("… and {} more lines", text::count(told - TROUBLES_TOLD)))?;
    }
    tell(&checked)?;
    match checked.wrong + checked.corrupt {
        0 => Ok(()),
        1 => Err(Failure::wrong("1 line is not what was written, or its share is wrong")),
        bad => Err(Failure::wrong(format!(
            "{} lines are not what was written, or their shares are wrong",
            text::count(bad)
        ))),
    }
}

fn tell(checked: &Checked) -> Result<(), Failure> {
    output::line(format_args!(
        "{} shares hashed again: {} right, {} wrong; {} lines of {} runs, {} torn, {} corrupt",
        text::count(checked.right + checked.wrong),
        text::count(checked.right),
        text::count(checked.wrong),
        text::count(checked.lines),
        text::count(checked.runs),
        text::count(checked.torn),
        text::count(checked.corrupt),
    ))?;
    let mut ends: Vec<String> = checked
        .verdicts
        .iter()
        .map(|(verdict, number)| format!("{} {verdict}", text::count(*number)))
        .collect();
    ends.push(format!("{} without a verdict", text::count(checked.open)));
    if checked.of_earlier > 0 {
        let number = text::count(checked.of_earlier);
        ends.push(format!("and {number} verdicts of shares that an earlier log has"));
    }
    output::line(ends.join(", "))
}

fn header(text: &str) -> Result<(), Failure> {
    let header = chain::parse_header(text).map_err(Failure::usage)?;
    let hash = chain::block_hash(&header);
    output::line(format_args!("hash        {hash}"))?;
    output::line(format_args!("version     {:#010x}", header.version.to_consensus()))?;
    output::line(format_args!("previous    {}", header.prev_blockhash))?;
    output::line(format_args!("merkle root {}", header.merkle_root))?;
    output::line(format_args!("time        {}", header.time))?;
    output::line(format_args!("bits        {:#010x}", header.bits.to_consensus()))?;
    output::line(format_args!("nonce       {} ({:#010x})", header.nonce, header.nonce))?;
    match chain::decode_bits(header.bits) {
        Ok(target) => {
            let met = if chain::meets(&hash, &target) { "met" } else { "not met" };
            output::line(format_args!("target      {target:064x}"))?;
            output::line(format_args!("difficulty  {}", chain::difficulty(&target)))?;
            output::line(format_args!("The target is {met}."))
        }
        Err(error) => output::line(format_args!("The bits hold no target: {error}.")),
    }
}
