//! Tells programs and web addresses of the user what happens: a share, a block, a sick device, a source that is down.
//!
//! Mining never waits for them: they run on a thread of their own, one at a time, each with a time limit. What happens
//! more often than it can be told is counted and told with the next one.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::str::FromStr;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::{Map, Value};
use url::Url;
use wait_timeout::ChildExt as _;

use crate::limits::{HOOK_PATIENCE, HOOKS_WAITING, STOP_DEADLINE};
use crate::link::Webhook;

/// What is told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Occasion {
    /// A share has its verdict.
    Share,
    /// A block was found, or has its verdict.
    Block,
    /// A device made a mistake, broke, or works again.
    Device,
    /// A source cannot be used.
    Source,
}

impl fmt::Display for Occasion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Share => "share",
            Self::Block => "block",
            Self::Device => "device_sick",
            Self::Source => "source_down",
        })
    }
}

/// Who is told: a program with its arguments, or a web address.
#[derive(Clone, PartialEq, Eq)]
pub enum Hook {
    /// It gets a line of JSON on its standard input; no shell is between.
    Program(Vec<String>),
    /// It gets the JSON as the body of a POST.
    Address(Url),
}

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Hook {
    /// Without the arguments and the path, which may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Program(words) => f.write_str(words.first().map_or("", String::as_str)),
            Self::Address(url) => f.write_str(&url.origin().ascii_serialization()),
        }
    }
}

impl FromStr for Hook {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.starts_with("http://") || text.starts_with("https://") {
            // The text is not repeated: it may be secret.
            return text
                .parse()
                .map(Self::Address)
                .map_err(|error| format!("no web address: {error}"));
        }
        let words = shlex::split(text).ok_or("a quotation mark is missing")?;
        if words.is_empty() {
            return Err(
                "write a program with its arguments, or an http:// or https:// address".to_owned()
            );
        }
        Ok(Self::Program(words))
    }
}

/// So many may come at once...
const BURST: f64 = 5.0;

/// ...and so many in a second in the long run.
const PER_SECOND: f64 = 0.5;

/// How often one occasion is told.
#[derive(Debug)]
struct Rate {
    left: f64,
    at: Instant,
    skipped: u64,
}

impl Rate {
    const fn new(now: Instant) -> Self {
        Self { left: BURST, at: now, skipped: 0 }
    }

    /// How many were not told since the last that was, if this one may be.
    fn take(&mut self, now: Instant) -> Option<u64> {
        let elapsed = now.saturating_duration_since(self.at).as_secs_f64();
        self.left = (self.left + elapsed * PER_SECOND).min(BURST);
        self.at = now;
        if self.left < 1.0 {
            self.skipped += 1;
            return None;
        }
        self.left -= 1.0;
        Some(std::mem::take(&mut self.skipped))
    }
}

/// The hooks of a run.
#[derive(Debug)]
pub struct Hooks {
    seats: BTreeMap<Occasion, (Hook, Rate)>,
    /// Taken when the run ends.
    jobs: Option<SyncSender<Job>>,
    thread: JoinHandle<()>,
}

struct Job {
    occasion: Occasion,
    hook: Hook,
    body: String,
}

impl Hooks {
    /// Tells these from now on.
    ///
    /// # Errors
    ///
    /// When the system has no thread left.
    pub fn start(hooks: BTreeMap<Occasion, Hook>) -> std::io::Result<Self> {
        let (jobs, waiting) = sync_channel(HOOKS_WAITING);
        let now = Instant::now();
        let seats = hooks.into_iter().map(|(occasion, hook)| (occasion, (hook, Rate::new(now))));
        let thread = thread::Builder::new().name("hooks".to_owned());
        let thread = thread.spawn(move || work(&waiting))?;
        Ok(Self { seats: seats.collect(), jobs: Some(jobs), thread })
    }

    /// Whether somebody wants to hear of this.
    #[must_use]
    pub fn wants(&self, occasion: Occasion) -> bool {
        self.seats.contains_key(&occasion)
    }

    /// Tells of it, unless too much was told of its kind just now.
    pub fn tell(&mut self, occasion: Occasion, mut facts: Map<String, Value>, now: Instant) {
        let Some((hook, rate)) = self.seats.get_mut(&occasion) else { return };
        let Some(skipped) = rate.take(now) else { return };
        facts.insert("event".to_owned(), occasion.to_string().into());
        facts.insert("skipped".to_owned(), skipped.into());
        let job = Job { occasion, hook: hook.clone(), body: Value::Object(facts).to_string() };
        if self.jobs.as_ref().is_none_or(|jobs| jobs.try_send(job).is_err()) {
            // The ones before take their time.
            rate.skipped += skipped + 1;
        }
    }
}

impl Drop for Hooks {
    /// What was told last may still be heard, for a moment.
    fn drop(&mut self) {
        self.jobs = None;
        let deadline = Instant::now() + STOP_DEADLINE;
        while !self.thread.is_finished() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(5));
        }
    }
}

fn work(waiting: &Receiver<Job>) {
    let mut webhook = None;
    // What failed last time is not told again until it worked.
    let mut failing: BTreeMap<Occasion, String> = BTreeMap::new();
    for Job { occasion, hook, body } in waiting {
        let done = match &hook {
            Hook::Program(words) => call(words, occasion, &body),
            Hook::Address(url) => match &webhook {
                Some(webhook) => post(webhook, url, body),
                None => Webhook::new()
                    .map_err(|error| error.to_string())
                    .and_then(|new| post(webhook.insert(new), url, body)),
            },
        };
        match done {
            Ok(()) => drop(failing.remove(&occasion)),
            Err(why) if failing.get(&occasion) == Some(&why) => {}
            Err(why) => {
                tracing::warn!("the hook for {occasion}, {hook}, failed: {why}");
                failing.insert(occasion, why);
            }
        }
    }
}

fn post(webhook: &Webhook, url: &Url, body: String) -> Result<(), String> {
    webhook.post(url, body, HOOK_PATIENCE).map_err(|error| error.to_string())
}

/// Runs a program with the facts on its standard input. What it prints is nobody's.
fn call(words: &[String], occasion: Occasion, body: &str) -> Result<(), String> {
    let Some((program, arguments)) = words.split_first() else { return Ok(()) };
    let mut child = Command::new(program)
        .args(arguments)
        .env("ADIT_EVENT", occasion.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("it cannot be run: {error}"))?;
    if let Some(mut input) = child.stdin.take() {
        // A program that does not read is none the worse for it; the facts fit a pipe.
        let _ = input.write_all(format!("{body}\n").as_bytes());
    }
    let status = child.wait_timeout(HOOK_PATIENCE).map_err(|error| error.to_string())?;
    match status {
        Some(status) if status.success() => Ok(()),
        Some(status) => Err(format!("it ended with {status}")),
        None => {
            let _ = child.kill();
            let _ = child.wait();
            Err(format!("it was stopped after {} s", HOOK_PATIENCE.as_secs()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_told_now_and_then_with_what_was_left_out() {
        let begun = Instant::now();
        let mut rate = Rate::new(begun);
        let told: Vec<Option<u64>> = (0..8).map(|_| rate.take(begun)).collect();
        assert_eq!(told, [Some(0), Some(0), Some(0), Some(0), Some(0), None, None, None]);
        assert_eq!(rate.take(begun + Duration::from_secs(1)), None);
        assert_eq!(rate.take(begun + Duration::from_secs(2)), Some(4));
        assert_eq!(rate.take(begun + Duration::from_secs(3600)), Some(0));
    }

    #[test]
    fn a_hook_is_a_program_or_an_address_and_shows_no_secret() {
        let hook = |text: &str| text.parse::<Hook>();
        let words = |words: &[&str]| Hook::Program(words.iter().map(ToString::to_string).collect());
        assert_eq!(
            hook("notify-send 'a block' -u critical"),
            Ok(words(&["notify-send", "a block", "-u", "critical"]))
        );
        assert_eq!(hook("curl https://x.example"), Ok(words(&["curl", "https://x.example"])));
        let address = hook("https://chat.example/hooks/s3cret?token=t0ken").unwrap();
        assert_eq!(address.to_string(), "https://chat.example");
        assert_eq!(format!("{address:?}"), "https://chat.example");
        for (text, why) in
            [("", "write a program"), ("say 'hi", "quotation mark"), ("http://", "no web address")]
        {
            assert!(hook(text).is_err_and(|error| error.contains(why)), "{text}");
        }
    }
}
