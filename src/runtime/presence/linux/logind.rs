//! systemd's logind, which hears from desktops when nobody uses them, and looks at terminals by itself.
//!
//! Its own program `loginctl` is asked: that costs a small process for each look, where a client of D-Bus would bring
//! some thirty crates for two properties. The whole machine is asked about, not one session: a service has none.

use std::io::Read as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use wait_timeout::ChildExt as _;

use crate::limits::{LOGIND_ANSWER, LOGIND_PATIENCE};

/// How often it is asked at most. Hints come minutes late anyway, and each look has its price.
const EVERY: Duration = Duration::from_secs(3);

/// What was said last, and when.
#[derive(Default)]
pub(super) struct Input(Option<(Instant, Result<Duration, String>)>);

impl Input {
    /// For how long nobody used this machine, or why that cannot be told.
    pub(super) fn last(&mut self) -> Result<Duration, String> {
        match &self.0 {
            Some((at, said)) if at.elapsed() < EVERY => said.clone(),
            _ => self.0.insert((Instant::now(), last())).1.clone(),
        }
    }
}

fn last() -> Result<Duration, String> {
    let arguments = ["show-session", "--property=IdleHint", "--property=IdleSinceHint"];
    let said = ask(Command::new("loginctl").args(arguments), LOGIND_PATIENCE)
        .map_err(|why| format!("logind cannot be asked: {why}"))?;
    let since_epoch = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    idle(&said, since_epoch).ok_or_else(|| "logind does not tell".to_owned())
}

/// What it prints.
fn ask(command: &mut Command, patience: Duration) -> Result<String, String> {
    let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(|error| format!("loginctl: {error}"))?;
    // So short an answer fits into the pipe.
    let status = child.wait_timeout(patience).map_err(|error| format!("loginctl: {error}"))?;
    let Some(status) = status else {
        // It may end by itself at this moment.
        let _ = child.kill();
        let _ = child.wait();
        return Err("loginctl does not answer".to_owned());
    };
    if !status.success() {
        return Err("there is none that loginctl reaches".to_owned());
    }
    let mut said = String::new();
    let read = child.stdout.map(|out| out.take(LOGIND_ANSWER).read_to_string(&mut said));
    read.transpose().map_err(|error| format!("loginctl: {error}"))?;
    Ok(said)
}

/// For how long the machine is idle, by both properties and the time since the epoch.
fn idle(said: &str, now: Duration) -> Option<Duration> {
    let property = |name: &str| {
        said.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('=')).map(str::trim)
    };
    match property("IdleHint")? {
        "no" => Some(Duration::ZERO),
        "yes" => {
            let since = property("IdleSinceHint")?.parse().ok().map(Duration::from_micros)?;
            Some(now.saturating_sub(since))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_is_idle_since_logind_says_so() {
        let now = Duration::from_secs(1_764_000_100);
        let said = |hint, since| format!("IdleHint={hint}\nIdleSinceHint={since}\n");
        let since = "1764000000000000";
        assert_eq!(idle(&said("yes", since), now), Some(Duration::from_secs(100)));
        assert_eq!(idle(&said("no", since), now), Some(Duration::ZERO));
        assert_eq!(idle("IdleSinceHint=0\nIdleHint=yes", now), Some(now), "for ever");
        // The clock was set back.
        assert_eq!(idle(&said("yes", since), Duration::ZERO), Some(Duration::ZERO));
        for nonsense in ["", "IdleHint=yes", "IdleHint=maybe\n", &said("yes", "Mon"), "IdleHint"] {
            assert_eq!(idle(nonsense, now), None, "{nonsense}");
        }
    }

    #[test]
    fn a_program_that_is_not_there_fails_or_hangs_tells_nothing() {
        let shell = |script| ask(Command::new("sh").args(["-c", script]), Duration::from_secs(60));
        assert_eq!(shell("echo IdleHint=no").unwrap(), "IdleHint=no\n");
        assert!(shell("exit 1").is_err_and(|why| why.contains("reaches")));
        let missing = ask(&mut Command::new("no-such-loginctl"), LOGIND_PATIENCE);
        assert!(missing.is_err_and(|why| why.starts_with("loginctl: ")));
        let begun = Instant::now();
        let stuck = ask(Command::new("sleep").arg("3600"), Duration::from_millis(50));
        assert!(stuck.is_err_and(|why| why.contains("does not answer")));
        assert!(begun.elapsed() < Duration::from_secs(3000));
    }
}
