//! `adit completions` and `adit man`: what shells and readers of manuals want to know of the command line.

use std::fs;
use std::path::PathBuf;

use clap::CommandFactory as _;
use clap_complete::Shell;

use super::{Cli, Failure, output};

#[derive(Debug, clap::Args)]
pub(super) struct Completions {
    /// The shell whose completions are printed
    #[arg(value_enum)]
    shell: Shell,
}

#[derive(Debug, clap::Args)]
pub(super) struct Manual {
    /// Where the pages go, one for each command; the folder is made if need be
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

pub(super) fn completions(args: &Completions) -> Result<(), Failure> {
    // Written at once, so that a closed pipe is no panic.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "adit", &mut script);
    output::line(String::from_utf8_lossy(&script).trim_end())
}

pub(super) fn manual(args: &Manual) -> Result<(), Failure> {
    let folder = &args.folder;
    fs::create_dir_all(folder)
        .and_then(|()| clap_mangen::generate_to(Cli::command(), folder))
        .map_err(|error| {
            Failure::usage(format!(
                "cannot write the pages to {}: {error}; give another folder",
                folder.display()
            ))
        })
}
