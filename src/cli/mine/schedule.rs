//! When mining is allowed, by the clock on the wall.

use std::str::FromStr;

use jiff::civil::{DateTime, Time, Weekday};
use jiff::{Span, ToSpan as _};

/// Times of the week.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Schedule(Vec<Window>);

/// On these days from one time to another; over midnight where the second is not later.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Window {
    /// Monday first: the days on which it begins.
    days: [bool; 7],
    from: Time,
    /// Midnight is the end of the day.
    to: Time,
}

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

impl Schedule {
    /// Whether the clock is inside. Clocks that are put forward or back count as they show it.
    pub(super) fn is_open(&self, at: DateTime) -> bool {
        self.0.iter().any(|window| window.is_open(at))
    }

    /// When that changes next; `None` where it never does.
    pub(super) fn next_change(&self, at: DateTime) -> Option<DateTime> {
        let is_open = self.is_open(at);
        let day = |days: i64| -> Option<DateTime> {
            let date = at.date().checked_add(Span::new().try_days(days).ok()?).ok()?;
            let edges = self.0.iter().flat_map(|window| [window.from, window.to]);
            let moments = edges.chain([Time::midnight()]).map(|time| date.to_datetime(time));
            moments.filter(|moment| *moment > at && self.is_open(*moment) != is_open).min()
        };
        (0..=8).find_map(day)
    }
}

impl Window {
    fn is_open(&self, at: DateTime) -> bool {
        let begins = |date: jiff::civil::Date| self.days[place(date.weekday())];
        let (today, time) = (at.date(), at.time());
        let is_over_midnight = self.to <= self.from;
        if !is_over_midnight {
            return begins(today) && (self.from..self.to).contains(&time);
        }
        let yesterday = today.checked_sub(1.day()).is_ok_and(begins);
        (begins(today) && time >= self.from) || (yesterday && time < self.to)
    }
}

fn place(day: Weekday) -> usize {
    usize::try_from(day.to_monday_zero_offset()).unwrap_or_default()
}

impl FromStr for Schedule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let windows = text.split(',').map(|window| window.trim().parse());
        windows.collect::<Result<Vec<_>, _>>().map(Self)
    }
}

impl FromStr for Window {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |what: &str| {
            format!(
                "{what}; write times such as 22:00-07:00 or mon-fri 22:00-07:00, separated by commas"
            )
        };
        let (days, times) = match text.rsplit_once(char::is_whitespace) {
            Some((days, times)) => (parse_days(days.trim()).map_err(|why| wrong(&why))?, times),
            None => ([true; 7], text),
        };
        let (from, to) = times
            .split_once('-')
            .ok_or_else(|| wrong(&format!("{times:?} are no two times with a hyphen between")))?;
        let time = |text: &str| {
            // The end of a day.
            let text = if text == "24:00" { "00:00" } else { text };
            let parsed = text.parse::<Time>().ok().filter(|_| text.len() == "00:00".len());
            parsed.ok_or_else(|| wrong(&format!("{text:?} is no time of the day")))
        };
        Ok(Self { days, from: time(from.trim())?, to: time(to.trim())? })
    }
}

fn parse_days(text: &str) -> Result<[bool; 7], String> {
    let day = |name: &str| {
        let name = name.trim().to_lowercase();
        let known = DAYS.iter().position(|day| *day == name);
        known.ok_or_else(|| format!("{name:?} is none of {}", DAYS.join(", ")))
    };
    let (first, last) = match text.split_once('-') {
        Some((first, last)) => (day(first)?, day(last)?),
        None => (day(text)?, day(text)?),
    };
    // From Saturday to Monday is three days.
    let length = (last + DAYS.len() - first) % DAYS.len();
    let mut days = [false; 7];
    (0..=length).for_each(|days_on| days[(first + days_on) % DAYS.len()] = true);
    Ok(days)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-23 is a Monday.
    fn at(day: i8, time: &str) -> DateTime {
        format!("2026-11-{day}T{time}").parse().unwrap()
    }

    #[test]
    fn nights_are_those_that_begin_on_their_days() {
        let schedule: Schedule = "mon-fri 22:00-07:00, sat 00:00-24:00".parse().unwrap();
        for (day, time, is_open) in [
            (23, "06:59", false), // of Sunday's night
            (23, "21:59", false),
            (23, "22:00", true),
            (24, "06:59", true),
            (24, "07:00", false),
            (28, "06:59", true), // Saturday, of Friday's night
            (28, "12:00", true),
            (28, "23:59", true),
            (29, "00:00", false),
            (29, "22:30", false),
        ] {
            assert_eq!(schedule.is_open(at(day, time)), is_open, "{day} {time}");
        }
        assert_eq!(schedule.next_change(at(23, "12:00")), Some(at(23, "22:00")));
        assert_eq!(schedule.next_change(at(23, "22:00")), Some(at(24, "07:00")));
        assert_eq!(schedule.next_change(at(27, "23:00")), Some(at(29, "00:00")), "two in a row");
        assert_eq!(schedule.next_change(at(29, "10:00")), Some(at(30, "22:00")));
    }

    #[test]
    fn a_day_may_lie_before_the_week_ends() {
        let weekend: Schedule = "sat-mon 10:00-12:00".parse().unwrap();
        for (day, is_open) in [(23, true), (24, false), (27, false), (28, true), (29, true)] {
            assert_eq!(weekend.is_open(at(day, "11:00")), is_open, "{day}");
        }
        let always: Schedule = "00:00-24:00".parse().unwrap();
        assert!(always.is_open(at(23, "00:00")) && always.is_open(at(23, "23:59")));
        assert_eq!(always.next_change(at(23, "12:00")), None);
    }

    #[test]
    fn nonsense_is_refused_with_a_way_out() {
        for (text, why) in [
            ("", "no two times"),
            ("22:00", "no two times"),
            ("22-7", "no time of the day"),
            ("25:00-26:00", "no time of the day"),
            ("monday 22:00-07:00", "none of mon, tue"),
            ("mon-foo 22:00-07:00", "none of mon"),
            ("22:00-07:00,", "no two times"),
        ] {
            let error = text.parse::<Schedule>().unwrap_err();
            assert!(error.contains(why) && error.contains("22:00-07:00"), "{text:?}: {error}");
        }
    }
}
