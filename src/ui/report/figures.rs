//! Figures with their units. One that is no number, or absurdly large, is unknown.

use std::time::Duration;

use crate::bench::record::Figure;
use crate::ui::text;

/// What stands for a figure that is not known.
pub(super) const UNKNOWN: &str = "unknown";

/// A figure that can be shown and drawn.
pub(super) fn sane(value: f64) -> Option<f64> {
    (value.is_finite() && value.abs() < 1e24).then_some(value)
}

/// A rate that can be compared, with its interval if that can be drawn.
pub(super) fn sane_rate(figure: Figure) -> Option<Figure> {
    let median = sane(figure.median).filter(|median| *median > 0.0)?;
    let interval = figure.interval.filter(|interval| {
        let ends = sane(interval.low).zip(sane(interval.high));
        ends.is_some_and(|(low, high)| low <= high)
    });
    Some(Figure { median, interval })
}

/// A rate to four digits, `2.310 GH/s`: benchmarks differ by less than `text::rate` shows.
pub(super) fn rate(hashes_per_second: f64) -> String {
    let Some(rate) = sane(hashes_per_second) else { return UNKNOWN.to_owned() };
    let (factor, unit) = rate_unit(rate);
    format!("{} {unit}", digits(rate / factor))
}

/// Hashes per second in the unit that suits a rate, and its name.
pub(super) fn rate_unit(rate: f64) -> (f64, &'static str) {
    let mut factor = 1.0;
    let mut names = text::RATE_UNITS.iter();
    let mut name = names.next().copied().unwrap_or_default();
    for larger in names {
        if rate.abs() < 999.95 * factor {
            break;
        }
        factor *= 1000.0;
        name = larger;
    }
    (factor, name)
}

/// Where the median lies, `-0.4 +0.3 %` around it.
pub(super) fn around(figure: Figure) -> Option<String> {
    let interval = figure.interval?;
    let share = |end: f64| (end / figure.median - 1.0) * 100.0;
    Some(format!("{:+.1} {:+.1} %", share(interval.low), share(interval.high)))
}

/// An interval of rates, `2.301 to 2.317 GH/s`.
pub(super) fn interval(figure: Figure) -> Option<String> {
    let interval = figure.interval?;
    let (factor, unit) = rate_unit(figure.median);
    let [low, high] = [interval.low, interval.high].map(|end| digits(end / factor));
    Some(format!("{low} to {high} {unit}"))
}

/// A share of 1 in percent.
pub(super) fn percent(share: f64) -> String {
    let Some(percent) = sane(share * 100.0) else { return UNKNOWN.to_owned() };
    let decimals = if percent.abs() < 0.995 { 2 } else { 1 };
    if percent.abs() < 1e6 { format!("{percent:.decimals$} %") } else { format!("{percent:.1e} %") }
}

/// How much a rate is above or below another, `-3.2 %`.
pub(super) fn change(rate: f64, from: f64) -> String {
    let share = (rate / from - 1.0) * 100.0;
    sane(share).map_or_else(|| UNKNOWN.to_owned(), |share| format!("{share:+.1} %"))
}

/// A number to four digits.
pub(super) fn digits(value: f64) -> String {
    let Some(value) = sane(value) else { return UNKNOWN.to_owned() };
    match value.abs() {
        1e6.. => format!("{value:.3e}"),
        999.95.. => format!("{value:.0}"),
        99.995.. => format!("{value:.1}"),
        9.9995.. => format!("{value:.2}"),
        0.001.. => format!("{value:.3}"),
        0.0 => "0".to_owned(),
        _ => format!("{value:.2e}"),
    }
}

/// A time, `5 ms` or `2 min 05 s`.
pub(super) fn time(seconds: f64) -> String {
    match Duration::try_from_secs_f64(seconds) {
        Ok(time) if seconds < 1.0 => {
            let text = format!("{:.1}", time.as_secs_f64() * 1000.0);
            format!("{} ms", text.trim_end_matches(".0"))
        }
        Ok(time) => text::time(time),
        Err(_) => UNKNOWN.to_owned(),
    }
}

/// A count as a figure to draw or divide.
#[expect(clippy::cast_precision_loss, reason = "drawn, or shown to four digits")]
pub(super) fn real(count: impl TryInto<u64>) -> f64 {
    count.try_into().map_or(f64::NAN, |count| count as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::tune::stats::Interval;

    #[test]
    fn figures_have_four_digits_and_a_fitting_unit() {
        for (value, text) in [
            (0.0, "0 H/s"),
            (999.94, "999.9 H/s"),
            (999.96, "1.000 kH/s"),
            (12_345_678.0, "12.35 MH/s"),
            (2.31e9, "2.310 GH/s"),
            (5e15, "5000 TH/s"),
            (f64::NAN, "unknown"),
            (1e308, "unknown"),
        ] {
            assert_eq!(rate(value), text);
        }
        assert_eq!(percent(0.97123), "97.1 %");
        assert_eq!(percent(0.0042), "0.42 %");
        assert_eq!(change(97.0, 100.0), "-3.0 %");
        assert_eq!(time(0.0005), "0.5 ms");
        assert_eq!(time(0.02), "20 ms");
        assert_eq!(time(125.0), "2 min 05 s");
        assert_eq!(time(-1.0), "unknown");
    }

    #[test]
    fn an_interval_stands_in_the_unit_of_its_median() {
        let figure =
            Figure { median: 1e9, interval: Some(Interval { low: 0.99e9, high: 1.005e9 }) };
        assert_eq!(around(figure).as_deref(), Some("-1.0 +0.5 %"));
        assert_eq!(interval(figure).as_deref(), Some("0.990 to 1.005 GH/s"));
    }

    #[test]
    fn a_rate_of_nothing_is_not_compared() {
        let of = |median| sane_rate(Figure { median, interval: None });
        assert_eq!(of(0.0), None);
        assert_eq!(of(-1.0), None);
        assert_eq!(of(f64::INFINITY), None);
        let turned = Some(Interval { low: 2.0, high: 1.0 });
        let figure = sane_rate(Figure { median: 1.0, interval: turned });
        assert_eq!(figure, Some(Figure { median: 1.0, interval: None }));
    }
}
