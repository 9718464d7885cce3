//! A run on the CPU for the practice pool, shown at an address of this machine.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

pub(crate) struct Run {
    child: Child,
    /// Host and port.
    pub(crate) address: String,
}

impl Run {
    pub(crate) fn start() -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_adit"));
        command.args(["mine", "--device", "cpu", "--http", "127.0.0.1:0", "--for", "5m"]);
        // In place of the user's.
        let settings =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join("no settings of a watched run.toml");
        std::fs::write(&settings, "").unwrap();
        command.env("ADIT_CONFIG", settings).env_remove("ADIT_HTTP_TOKEN").env_remove("RUST_LOG");
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut told = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = told.find_map(|line| {
            let line = line.unwrap();
            line.strip_prefix("the run is shown at http://")?.strip_suffix('/').map(str::to_owned)
        });
        // What it says further must not fill the pipe.
        std::thread::spawn(move || told.for_each(drop));
        Self { child, address: address.unwrap() }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
