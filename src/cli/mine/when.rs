//! Under which conditions mining is allowed, by what is seen of the machine.

use std::str::FromStr;
use std::time::Duration;

use crate::engine::governor::Asker;
use crate::runtime::presence::Seen;

/// Nobody uses a machine that got no input for so long.
const IDLE_AFTER: Duration = Duration::from_secs(60);

/// What must hold for mining.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct When {
    idle: bool,
    plugged_in: bool,
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
    pub(super) const ALWAYS: Self = Self { idle: false, plugged_in: false };

    /// How the conditions stand.
    pub(super) fn conditions(self, seen: &Seen) -> [Condition; 2] {
        let is_idle = seen.without_input.clone().map(|time| time >= IDLE_AFTER);
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
                "always" if words.len() == 1 => {}
                _ => return Err("write idle, plugged-in, idle,plugged-in or always".to_owned()),
            }
        }
        Ok(when)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(when: &str, idle: Result<u64, &str>, on_battery: Result<bool, &str>) -> [bool; 2] {
        let seen = Seen {
            without_input: idle.map(Duration::from_secs).map_err(str::to_owned),
            on_battery: on_battery.map_err(str::to_owned),
        };
        let when: When = when.parse().unwrap();
        when.conditions(&seen).map(|condition| condition.holds != Ok(false))
    }

    #[test]
    fn a_condition_that_was_asked_for_holds_or_speaks_against_mining() {
        assert_eq!(holds("always", Ok(0), Ok(true)), [true, true]);
        assert_eq!(holds("idle", Ok(59), Ok(true)), [false, true]);
        assert_eq!(holds("idle", Ok(60), Ok(true)), [true, true]);
        assert_eq!(holds("plugged-in", Ok(0), Ok(true)), [true, false]);
        assert_eq!(holds("plugged-in, idle", Ok(0), Ok(true)), [false, false]);
        assert_eq!(holds("idle,plugged-in", Ok(90), Ok(false)), [true, true]);
    }

    #[test]
    fn what_cannot_be_told_speaks_for_nothing_and_says_why() {
        assert_eq!(holds("idle,plugged-in", Err("no display"), Err("no folder")), [true, true]);
        let seen = Seen { without_input: Err("no display".to_owned()), on_battery: Ok(true) };
        let [idle, _] = "idle".parse::<When>().unwrap().conditions(&seen);
        assert_eq!(idle.holds, Err("no display".to_owned()));
        // Nobody asked.
        let [idle, _] = When::ALWAYS.conditions(&seen);
        assert_eq!(idle.holds, Ok(true));
    }

    #[test]
    fn nonsense_is_refused_with_a_way_out() {
        for text in ["", "never", "idle,always", "idle,", "Idle"] {
            assert!(text.parse::<When>().is_err_and(|why| why.contains("plugged-in")), "{text:?}");
        }
    }
}
