//! Processes that end with the test that started them, whatever becomes of it.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// For a process to start or to end. A machine with other work is slow.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// A running process. Dropped, it is killed; if the test panics then, the end of its log is printed.
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts it, with both outputs in the file `log`.
    pub(crate) fn start(command: &mut Command, log: &Path) -> Self {
        let output = File::options().append(true).create(true).open(log).unwrap();
        command.stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output);
        let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Self { child, log: log.to_owned() }
    }

    /// Waits until `is_ready` says so.
    pub(crate) fn wait_until(&mut self, what: &str, mut is_ready: impl FnMut() -> bool) {
        let begun = Instant::now();
        while !is_ready() {
            if let Some(status) = self.status() {
                panic!("it ended with {status} while waiting for {what}");
            }
            assert!(begun.elapsed() < LIMIT, "{what} did not come");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until it ends by itself.
    pub(crate) fn wait(&mut self, limit: Duration) -> ExitStatus {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.status() {
                return status;
            }
            assert!(begun.elapsed() < limit, "still running after {limit:?}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// What it said until now.
    pub(crate) fn said(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    fn status(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }
}

impl Drop for Process {
    #[expect(clippy::print_stdout, reason = "a failed test says what the other side said")]
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            let said = self.said();
            let lines: Vec<&str> = said.lines().collect();
            let end = &lines[lines.len().saturating_sub(40)..];
            println!("--- the end of {}\n{}\n---", self.log.display(), end.join("\n"));
        }
    }
}

/// A folder with a path so short that sockets may lie below: their paths have 107 bytes at most.
pub(crate) fn folder() -> TempDir {
    tempfile::Builder::new().prefix("adit-").tempdir().unwrap()
}

/// A port of the loopback interface that nobody listens on.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}
