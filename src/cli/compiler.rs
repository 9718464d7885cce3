//! Compiles kernels with a Vulkan driver in a process of their own: drivers' compilers crash and hang.

use std::ffi::OsString;
use std::io::{self, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::{Failure, output};
use crate::device::gpu::{CompileError, Compiled, compile, driver_files};
use crate::kernel::{Kernel, Target, Translated, Variant, bindings, translate};
use crate::limits::COMPILE_DEADLINE;
use crate::runtime::Stop;
use crate::ui::text::clean;

/// The option that makes `adit kernel cost` the other process.
pub(super) const HERE: &str = "compile-here";

/// A choice of driver and chip.
pub(super) struct Compiler {
    environment: Vec<(&'static str, OsString)>,
}

impl Compiler {
    /// A chip is one that RADV knows, so it chooses RADV unless a driver is named.
    pub(super) fn new(driver: Option<&str>, chip: Option<&str>) -> Result<Self, Failure> {
        // A pipeline from a cache would take no time, and some caches keep no statistics.
        let mut environment: Vec<(&str, OsString)> = vec![
            ("MESA_SHADER_CACHE_DISABLE", "true".into()),
            ("__GL_SHADER_DISK_CACHE", "0".into()),
        ];
        if let Some(name) = driver.or_else(|| chip.map(|_| "radv")) {
            let files = driver_files(name).map_err(Failure::usage)?;
            // The second is what loaders older than 1.3.207 read.
            environment.push(("VK_DRIVER_FILES", files.clone()));
            environment.push(("VK_ICD_FILENAMES", files));
        }
        environment.extend(chip.map(|chip| ("RADV_FORCE_FAMILY", chip.into())));
        Ok(Self { environment })
    }

    /// Compiles one variant. The inner error is this variant's alone.
    pub(super) fn compile(
        &self,
        variant: Variant,
        stop: &Stop,
    ) -> Result<Result<Compiled, String>, Failure> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["kernel", "cost", "--variant", &variant.to_string(), &format!("--{HERE}")])
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        // Both are read from the start: a full pipe would stop the child.
        let (said, complained) = (collect(child.stdout.take()), collect(child.stderr.take()));
        let Some(status) = wait(&mut child, COMPILE_DEADLINE, stop)? else {
            let limit = COMPILE_DEADLINE.as_secs();
            return Ok(Err(format!("the driver did not compile it within {limit} s")));
        };
        let (said, complained) = (joined(said), joined(complained));
        match serde_json::from_str::<Result<Compiled, CompileError>>(&said) {
            Ok(Err(error @ (CompileError::NoLoader(_) | CompileError::NoDevice(_)))) => {
                Err(Failure::no_device(error))
            }
            Ok(outcome) => Ok(outcome.map_err(|error| error.to_string())),
            Err(_) => Ok(Err(crash(status, &complained))),
        }
    }
}

/// The part of the other process.
pub(super) fn compile_here(variant: Variant) -> Result<(), Failure> {
    let wgsl = Kernel::new(variant).wgsl;
    let bindings = bindings(&wgsl).map_err(Failure::usage)?;
    let Translated::Binary(bytes) = translate(&wgsl, Target::Spirv).map_err(Failure::usage)? else {
        return Err(Failure::usage("SPIR-V is not binary"));
    };
    let words = bytes.as_chunks().0.iter().map(|word| u32::from_le_bytes(*word));
    output::json(&compile(&words.collect::<Vec<u32>>(), &bindings))
}

/// `None` when the time is over.
fn wait(child: &mut Child, limit: Duration, stop: &Stop) -> Result<Option<ExitStatus>, Failure> {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if stop.is_requested() || start.elapsed() > limit {
            child.kill()?;
            child.wait()?;
            return if stop.is_requested() { Err(Failure::interrupted()) } else { Ok(None) };
        }
        thread::sleep(Stop::TICK / 10);
    }
}

fn collect(stream: Option<impl Read + Send + 'static>) -> JoinHandle<io::Result<Vec<u8>>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        stream.map_or(Ok(0), |mut stream| stream.read_to_end(&mut bytes))?;
        Ok(bytes)
    })
}

fn joined(collected: JoinHandle<io::Result<Vec<u8>>>) -> String {
    let bytes = collected.join().ok().and_then(Result::ok).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// How a child without an answer ended, with the last thing that it or the driver said.
fn crash(status: ExitStatus, complained: &str) -> String {
    let last = complained.lines().rfind(|line| !line.trim().is_empty());
    let last = last.map_or_else(String::new, |line| format!(": {}", clean(line)));
    format!("the driver's compiler crashed ({status}){last}")
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use crate::cli::Exit;

    fn child(program: &str, argument: &str) -> io::Result<Child> {
        let mut command = Command::new(program);
        command.arg(argument).stdout(Stdio::null()).stderr(Stdio::null()).spawn()
    }

    #[test]
    fn a_compiler_that_hangs_is_ended_in_time_and_at_once_when_somebody_stops_it() {
        let mut hangs = child("sleep", "600").unwrap();
        let stop = Stop::default();
        assert_eq!(wait(&mut hangs, Duration::from_millis(50), &stop), Ok(None));
        assert!(hangs.try_wait().unwrap().is_some(), "it still runs");
        stop.request();
        let stopped =
            wait(&mut child("sleep", "600").unwrap(), COMPILE_DEADLINE, &stop).unwrap_err();
        assert_eq!(stopped.exit, Exit::Interrupted);
    }

    #[test]
    fn a_crash_is_told_with_the_last_words() {
        let mut ended = child("ls", "/nowhere/at/all").unwrap();
        let status = wait(&mut ended, COMPILE_DEADLINE, &Stop::default()).unwrap().unwrap();
        let told = crash(status, "starting\nunknown chip \u{1b}[2J\n\n");
        assert!(
            told.contains("exit status") && told.ends_with("unknown chip \u{fffd}[2J"),
            "{told}"
        );
    }
}
