//! Figures and lines for people.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::device::DeviceInfo;
use crate::engine::Reason;
use crate::engine::outbox::Counts;
use crate::runtime::snapshot::{Cost, FoundWork, Outlook};

/// Units of rates, each a thousand of the one before.
pub(crate) const RATE_UNITS: [&str; 5] = ["H/s", "kH/s", "MH/s", "GH/s", "TH/s"];

/// A rate such as `12.3 MH/s`; `unknown` when nothing was measured.
#[must_use]
pub fn rate(hashes_per_second: Option<f64>) -> String {
    let Some(rate) = hashes_per_second else { return "unknown".to_owned() };
    let mut value = rate;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < RATE_UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    let decimals = if unit == 0 || value >= 99.95 {
        0
    } else if value >= 9.995 {
        1
    } else {
        2
    };
    format!("{value:.decimals$} {}", RATE_UNITS[unit])
}

/// A count with its thousands apart: `4,294,967,296`.
#[must_use]
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number of something, by its name in the singular: `1 wrong hit`, `3 wrong hits`, `1,000 hashes`.
#[must_use]
pub fn counted(number: u64, one: &str) -> String {
    let ending = match one {
        _ if number == 1 => "",
        _ if one.ends_with("sh") => "es",
        _ => "s",
    };
    format!("{} {one}{ending}", count(number))
}

/// Hashes given back, by reason: `4,096 (overflow), 12 (lost)`, or `none`.
#[must_use]
pub fn given_back(reasons: &BTreeMap<Reason, u64>) -> String {
    let list: Vec<String> =
        reasons.iter().map(|(reason, hashes)| format!("{} ({reason})", count(*hashes))).collect();
    if list.is_empty() { "none".to_owned() } else { list.join(", ") }
}

/// A difficulty with four digits: `16,384`, `0.01234`, `2.328e-5`.
#[must_use]
pub fn difficulty(difficulty: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "positive; above 2^64 the exponent is shown"
    )]
    match difficulty {
        0.0 => "0".to_owned(),
        ..0.001 => format!("{difficulty:.3e}"),
        0.001..1.0 => format!("{difficulty:.5}"),
        1.0..1000.0 => format!("{difficulty:.2}"),
        1000.0..1e15 => count(difficulty.round() as u64),
        _ => format!("{difficulty:.3e}"),
    }
}

/// Shares in a line: `12 shares accepted, 1 stale, 2 without an answer yet, 1 block`.
#[must_use]
pub fn shares(counts: &Counts) -> String {
    let mut parts = vec![format!("{} accepted", counted(counts.accepted, "share"))];
    for (number, what) in [
        (counts.rejected, "rejected"),
        (counts.stale, "stale"),
        (counts.duplicate, "duplicate"),
        (counts.expired, "expired"),
        (counts.invalid, "invalid"),
        (counts.withheld, "withheld"),
        (counts.pending, "without an answer yet"),
        (counts.blocks, if counts.blocks == 1 { "block" } else { "blocks" }),
    ] {
        if number > 0 {
            parts.push(format!("{} {what}", count(number)));
        }
    }
    parts.join(", ")
}

/// What it means that hits and reports speak for different rates.
#[must_use]
pub fn disagreement(found: &FoundWork) -> String {
    format!(
        "alarm: of the hashes that the devices report, {:.0} are hits on average, and {} were found: a device does \
         not test what it reports; `adit selftest` checks them",
        found.expected_candidates,
        count(found.candidates),
    )
}

/// A time such as `87 ms`, `3.2 s`, `4 min 05 s` or `2 h 10 min`.
#[must_use]
pub fn time(elapsed: Duration) -> String {
    let seconds = elapsed.as_secs();
    match seconds {
        0 => format!("{} ms", elapsed.as_millis()),
        1..60 => format!("{:.1} s", elapsed.as_secs_f64()),
        60..3600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} min", seconds / 3600, seconds / 60 % 60),
    }
}

/// A time of any length with one unit, for what happens once in so long: `14 s`, `12 days`, `3,120 years`.
#[must_use]
pub fn long_time(seconds: f64) -> String {
    const DAY: f64 = 86_400.0;
    const YEAR: f64 = 365.25 * DAY;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "positive, and far below 2^64 years"
    )]
    let whole = |value: f64, unit: &str| counted(value.round() as u64, unit);
    match seconds {
        ..172_800.0 => time(Duration::try_from_secs_f64(seconds).unwrap_or_default()),
        _ if seconds < 2.0 * YEAR => whole(seconds / DAY, "day"),
        _ if seconds < 1e9 * YEAR => whole(seconds / YEAR, "year"),
        _ => "more than a billion years".to_owned(),
    }
}

/// What a run may expect and what it takes, as far as that is known: `a share every 14 s, a block once in 3,120 years
/// (1 in 1,139,580 a day); 42.6 J for 10^9 hashes, 10.44 EUR a day`.
#[must_use]
pub fn outlook(outlook: &Outlook) -> Option<String> {
    let share = outlook.seconds_per_share.map(|time| format!("a share every {}", long_time(time)));
    let block = outlook.seconds_per_block.map(|time| {
        // Finds are independent of each other, so the time until one is exponential.
        let chance = -(-86_400.0 / time).exp_m1();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "positive; the cast saturates"
        )]
        let odds = match chance {
            ..0.5 => format!(" (1 in {} a day)", count((1.0 / chance).round() as u64)),
            _ => String::new(),
        };
        format!("a block once in {}{odds}", long_time(time))
    });
    let energy = outlook.joule_per_gigahash.map(|energy| format!("{energy:.1} J for 10^9 hashes"));
    let cost = outlook.cost_per_day.as_ref().map(|Cost { amount, currency }| {
        let space = if currency.is_empty() { "" } else { " " };
        format!("{amount:.2}{space}{} a day", clean(currency))
    });
    let join = |parts: [Option<String>; 2]| {
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        (!parts.is_empty()).then(|| parts.join(", "))
    };
    let parts: Vec<String> =
        [join([share, block]), join([energy, cost])].into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join("; "))
}

/// A device in a line: name, kind, backend, PCI address and kernel.
#[must_use]
pub fn device(info: &DeviceInfo) -> String {
    let mut about = vec![info.kind.to_string()];
    // The CPU is reached through itself.
    if info.backend != about[0] {
        about.push(info.backend.clone());
    }
    about.extend(info.pci.clone());
    format!("{} ({}) with {}", clean(&info.name), about.join(", "), info.kernel)
}

/// Foreign text on one line: control characters (which could move the cursor) are replaced, and long
/// text is cut.
#[must_use]
pub fn clean(text: &str) -> String {
    text.chars().take(200).map(visible).collect()
}

/// The same for text that is bounded elsewhere, such as our own messages about a user's file.
#[must_use]
pub fn clean_whole(text: &str) -> String {
    text.chars().map(visible).collect()
}

fn visible(c: char) -> char {
    if c.is_control() { '\u{fffd}' } else { c }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_have_three_digits_and_a_fitting_unit() {
        for (value, text) in [
            (0.0, "0 H/s"),
            (999.4, "999 H/s"),
            (999.6, "1.00 kH/s"),
            (12_345_678.0, "12.3 MH/s"),
            (99_960_000.0, "100 MH/s"),
            (10.99e9, "11.0 GH/s"),
            (5e15, "5000 TH/s"),
        ] {
            assert_eq!(rate(Some(value)), text);
        }
        assert_eq!(rate(None), "unknown");
    }

    #[test]
    fn counts_and_times_read_well() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(4_294_967_296), "4,294,967,296");
        assert_eq!(counted(1, "wrong hit"), "1 wrong hit");
        assert_eq!(counted(0, "wrong hit"), "0 wrong hits");
        assert_eq!(counted(1024, "hash"), "1,024 hashes");
        assert_eq!(time(Duration::from_micros(87_900)), "87 ms");
        assert_eq!(time(Duration::from_millis(3240)), "3.2 s");
        assert_eq!(time(Duration::from_secs(245)), "4 min 05 s");
        assert_eq!(time(Duration::from_secs(7850)), "2 h 10 min");
    }

    #[test]
    fn an_outlook_says_what_is_known_in_plain_words() {
        assert_eq!(outlook(&Outlook::default()), None);
        let known = Outlook {
            power_watts: Some(435.0),
            joule_per_gigahash: Some(42.64),
            cost_per_day: Some(Cost { amount: 3.132, currency: "EUR".to_owned() }),
            seconds_per_share: Some(14.2),
            seconds_per_block: Some(3120.0 * 365.25 * 86_400.0),
        };
        let text = "a share every 14.2 s, a block once in 3,120 years (1 in 1,139,581 a day); \
                    42.6 J for 10^9 hashes, 3.13 EUR a day";
        assert_eq!(outlook(&known).as_deref(), Some(text));
        let soon = Outlook { seconds_per_block: Some(7200.0), ..Outlook::default() };
        assert_eq!(outlook(&soon).as_deref(), Some("a block once in 2 h 00 min"));
        for (seconds, text) in [
            (0.05, "50 ms"),
            (3.0 * 86_400.0, "3 days"),
            (1e9, "32 years"),
            (1e30, "more than a billion years"),
        ] {
            assert_eq!(long_time(seconds), text);
        }
    }

    #[test]
    fn foreign_text_cannot_move_the_cursor() {
        assert_eq!(clean("GPU\u{1b}[2J\nfake line"), "GPU\u{fffd}[2J\u{fffd}fake line");
        assert_eq!(clean(&"x".repeat(1000)).len(), 200);
    }
}
