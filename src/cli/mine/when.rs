//! Under which conditions mining is allowed, by what is seen of the machine.

use std::str::FromStr;
use std::time::{Duration, Instant};

use crate::engine::governor::Asker;
use crate::runtime::presence::Seen;

/// From this part of its time on, in percent, a GPU is loaded. What draws a desktop takes less.
const LOADED: f64 = 20.0;

/// Below this part of its time it is free.
const FREE: f64 = 10.0;

/// A load that is over sooner is none.
const LOADED_FOR: Duration = Duration::from_secs(5);

/// A program that rests between two scenes comes back sooner.
const FREE_FOR: Duration = Duration::from_secs(15);

/// What must hold for mining.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct When {
    idle: bool,
    plugged_in: bool,
    gpu_free: bool,
}

/// What happens while it does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Busy {
    /// Devices are paused.
    Pause,
    /// Devices work with the profile `background`.
    Background,
}

/// A condition and how it stands.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Condition {
    pub(super) name: &'static str,
    pub(super) asker: Asker,
    /// Or why that cannot be told. One that nobody asked for holds.
    pub(super) holds: Result<bool, String>,
}

impl When {
    pub(super) const ALWAYS: Self = Self { idle: false, plugged_in: false, gpu_free: false };

    /// Whether it matters who uses the machine, or where its power comes from.
    pub(super) const fn needs_presence(self) -> bool {
        self.idle || self.plugged_in
    }

    /// Whether it matters which programs load the GPUs.
    pub(super) const fn needs_free_gpus(self) -> bool {
        self.gpu_free
    }

    /// How the conditions stand on a machine that counts as idle after this time.
    pub(super) fn conditions(self, seen: &Seen, idle_after: Duration) -> [Condition; 2] {
        let is_idle = seen.without_input.clone().map(|time| time >= idle_after);
        let is_plugged_in = seen.on_battery.clone().map(|on_battery| !on_battery);
        let asked = |is_asked: bool, holds| if is_asked { holds } else { Ok(true) };
        [
            Condition { name: "idle", asker: Asker::InUse, holds: asked(self.idle, is_idle) },
            Condition {
                name: "plugged-in",
                asker: Asker::OnBattery,
                holds: asked(self.plugged_in, is_plugged_in),
            },
        ]
    }
}

impl FromStr for When {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut when = Self::ALWAYS;
        let words: Vec<&str> = text.split(',').map(str::trim).collect();
        for word in &words {
            match *word {
                "idle" => when.idle = true,
                "plugged-in" => when.plugged_in = true,
                "gpu-free" => when.gpu_free = true,
                "always" if words.len() == 1 => {}
                _ => {
                    let said =
                        "write idle, plugged-in or gpu-free, several as idle,plugged-in, or always";
                    return Err(said.to_owned());
                }
            }
        }
        Ok(when)
    }
}

/// Whether other programs load a GPU, for longer than a moment.
#[derive(Debug, Default)]
pub(super) struct Load {
    is_loaded: bool,
    /// Since when the load speaks against what is said of it.
    against_since: Option<Instant>,
}

impl Load {
    /// Takes the part of the time that they have now, in percent; nothing where it is not known. Returns whether they
    /// load it.
    pub(super) fn look(&mut self, percent: Option<f64>, now: Instant) -> bool {
        let is_against = match (percent, self.is_loaded) {
            (Some(percent), false) => percent >= LOADED,
            (Some(percent), true) => percent < FREE,
            // A driver that says nothing any more would leave the GPU loaded for ever.
            (None, is_loaded) => is_loaded,
        };
        let wait = if self.is_loaded { FREE_FOR } else { LOADED_FOR };
        let since = is_against.then(|| *self.against_since.get_or_insert(now));
        self.against_since = since;
        if since.is_some_and(|since| now.saturating_duration_since(since) >= wait) {
            self.is_loaded = !self.is_loaded;
            self.against_since = None;
        }
        self.is_loaded
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn holds(when: &str, idle: Result<u64, &str>, on_battery: Result<bool, &str>) -> [bool; 2] {
        let seen = Seen {
            without_input: idle.map(Duration::from_secs).map_err(str::to_owned),
            on_battery: on_battery.map_err(str::to_owned),
        };
        let when: When = when.parse().unwrap();
        when.conditions(&seen, MINUTE).map(|condition| condition.holds != Ok(false))
    }

    #[test]
    fn a_condition_that_was_asked_for_holds_or_speaks_against_mining() {
        assert_eq!(holds("always", Ok(0), Ok(true)), [true, true]);
        assert_eq!(holds("idle", Ok(59), Ok(true)), [false, true]);
        assert_eq!(holds("idle", Ok(60), Ok(true)), [true, true]);
        assert_eq!(holds("plugged-in", Ok(0), Ok(true)), [true, false]);
        assert_eq!(holds("plugged-in, idle", Ok(0), Ok(true)), [false, false]);
        assert_eq!(holds("idle,plugged-in", Ok(90), Ok(false)), [true, true]);
        assert_eq!(holds("gpu-free", Ok(0), Ok(true)), [true, true]);
        let free: When = "idle, gpu-free".parse().unwrap();
        assert!(free.needs_free_gpus() && free.needs_presence());
    }

    #[test]
    fn what_cannot_be_told_speaks_for_nothing_and_says_why() {
        assert_eq!(holds("idle,plugged-in", Err("no display"), Err("no folder")), [true, true]);
        let seen = Seen { without_input: Err("no display".to_owned()), on_battery: Ok(true) };
        let [idle, _] = "idle".parse::<When>().unwrap().conditions(&seen, MINUTE);
        assert_eq!(idle.holds, Err("no display".to_owned()));
        // Nobody asked.
        let [idle, _] = When::ALWAYS.conditions(&seen, MINUTE);
        assert_eq!(idle.holds, Ok(true));
    }

    #[test]
    fn nonsense_is_refused_with_a_way_out() {
        for text in ["", "never", "idle,always", "idle,", "Idle"] {
            assert!(text.parse::<When>().is_err_and(|why| why.contains("plugged-in")), "{text:?}");
        }
    }

    /// After how many seconds of each load what is said of it changes, one after the other.
    fn changes(loads: &[(u64, Option<f64>)]) -> Vec<u64> {
        let (begin, mut load) = (Instant::now(), Load::default());
        let each = loads.iter().flat_map(|(seconds, percent)| (0..*seconds).map(|_| *percent));
        let said: Vec<bool> = (0..)
            .zip(each)
            .map(|(second, percent)| load.look(percent, begin + Duration::from_secs(second)))
            .collect();
        let before = [false].into_iter().chain(said.iter().copied());
        (0..).zip(before.zip(&said)).filter(|(_, (a, b))| a != *b).map(|(at, _)| at).collect()
    }

    const NEVER: [u64; 0] = [];

    #[test]
    fn a_gpu_is_loaded_after_some_seconds_of_load_and_free_after_some_more_without() {
        let (none, some, full) = (Some(0.0), Some(15.0), Some(90.0));
        assert_eq!(changes(&[(10, none), (60, full)]), [15]);
        assert_eq!(changes(&[(10, none), (60, full), (60, none)]), [15, 85]);
        assert_eq!(changes(&[(60, some)]), NEVER, "a desktop");
        assert_eq!(changes(&[(60, full), (600, some)]), [5], "it is not over");
        assert_eq!(
            changes(&[(4, full), (1, some), (4, full), (1, none), (4, full)]),
            NEVER,
            "moments"
        );
        let rests = [(6, full), (14, none), (6, full), (14, none), (1, full), (14, none)];
        assert_eq!(changes(&rests), [5], "a program that rests goes on");
        assert_eq!(changes(&[(60, None)]), NEVER, "what is not known speaks for nothing");
        assert_eq!(changes(&[(10, full), (60, None)]), [5, 25], "nor does what was known once");
    }
}
