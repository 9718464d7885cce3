//! Rate, temperature and clock over time.

use super::super::figures::{digits, percent, rate, sane, time};
use super::super::lines::{Line, round_rate};
use super::axis::Axis;
use super::markup::Markup;
use super::plot::{Px, WIDTH, Words, bottom_axis, dot, figure, label, left_axis, line, rectangle};
use crate::bench::record::{Round, Subject};
use crate::device::sensors::Reading;
use crate::ui::text::{clean, counted};

/// The most points of a series: more cannot be told apart.
const MOST_POINTS: usize = 1200;

const LEFT: f64 = 58.0;
const RIGHT: f64 = WIDTH - 12.0;
const TOP: f64 = 26.0;
const RATE_HEIGHT: f64 = 150.0;
const SENSOR_HEIGHT: f64 = 52.0;
const GAP: f64 = 26.0;

/// What a sensor tells.
struct Sensor {
    name: &'static str,
    unit: &'static str,
    of: fn(&Reading) -> Option<f64>,
}

const SENSORS: [Sensor; 3] = [
    Sensor { name: "temperature", unit: "°C", of: |reading| reading.temperature_c },
    Sensor { name: "clock", unit: "MHz", of: |reading| reading.clock_mhz },
    Sensor { name: "power", unit: "W", of: |reading| reading.power_w },
];

/// The plot of a subject.
pub(super) fn over_time(page: &mut Markup, line: &Line<'_>, name: &str) {
    let subject = line.subject;
    let (known, absent): (Vec<&Sensor>, Vec<&Sensor>) =
        SENSORS.iter().partition(|sensor| !series(subject, sensor).is_empty());
    let mut below = TOP + RATE_HEIGHT;
    let panels: Vec<f64> = known
        .iter()
        .map(|_| {
            below += GAP + SENSOR_HEIGHT;
            below - SENSOR_HEIGHT
        })
        .collect();
    let times = across(subject);
    let words = Words {
        title: &format!("{}: {name} on {}", line.tag, line.device()),
        description: &description(line),
        caption: &caption(subject, &absent),
    };
    figure(page, &words, [WIDTH, below + 40.0], |page| {
        let ticks = times.labels(6, 1.0);
        bottom_axis(page, &times, &ticks, [TOP, below]);
        label(page, [RIGHT, below + 32.0], "tick end", "seconds since the begin of the run");
        openings(page, subject, &times, [TOP, below]);
        rates(page, line, &times);
        for (sensor, top) in known.iter().zip(panels) {
            panel(page, subject, sensor, &times, top);
        }
    });
}

/// The axis of time.
fn across(subject: &Subject) -> Axis {
    let rounds = subject.rounds.iter().flat_map(|round| [round.at, round.at + round.seconds]);
    let readings = subject.readings.iter().map(|reading| reading.at);
    Axis::around(rounds.chain(readings), LEFT, RIGHT)
}

fn series(subject: &Subject, sensor: &Sensor) -> Vec<[f64; 2]> {
    let readings = subject.readings.iter();
    let points = readings
        .filter_map(|timed| Some([sane(timed.at)?, (sensor.of)(&timed.reading).and_then(sane)?]));
    points.collect()
}

fn openings(page: &mut Markup, subject: &Subject, times: &Axis, [top, bottom]: [f64; 2]) {
    let mut last = None;
    for round in &subject.rounds {
        if last.replace(round.opening) != Some(round.opening) {
            let x = times.at(round.at);
            line(page, [x, top], [x, bottom], "opening");
            let text = format!("opening {}", u64::from(round.opening) + 1);
            // Of the last opening it may not pass the edge.
            label(page, [x.min(RIGHT - 58.0) + 3.0, top - 4.0], "tick", &text);
        }
    }
}

fn rates(page: &mut Markup, of: &Line<'_>, times: &Axis) {
    let (bottom, subject) = (TOP + RATE_HEIGHT, of.subject);
    let figure = of.rate;
    let ends = figure.iter().flat_map(|figure| {
        let interval = figure.interval.map(|interval| [interval.low, interval.high]);
        interval.into_iter().flatten().chain([figure.median])
    });
    let values = subject.rounds.iter().filter_map(round_rate).chain(ends);
    let axis = Axis::around(values, bottom, TOP);
    let (ticks, unit) = axis.rates(4);
    left_axis(page, &axis, &ticks, [LEFT, RIGHT]);
    label(page, [4.0, TOP - 4.0], "tick", unit);
    if let Some(figure) = figure {
        if let Some(interval) = figure.interval {
            let (top, end) = (axis.at(interval.high), axis.at(interval.low));
            rectangle(page, [LEFT, top], [RIGHT - LEFT, end - top], "band", "");
        }
        let y = axis.at(figure.median);
        line(page, [LEFT, y], [RIGHT, y], "median");
    }
    let outliers = subject.estimate.as_ref().map(|e| e.outliers.as_slice()).unwrap_or_default();
    for (place, round) in subject.rounds.iter().enumerate().step_by(stride(subject.rounds.len())) {
        let Some(rate) = round_rate(round) else { continue };
        let at = [times.at(round.at + round.seconds / 2.0), axis.at(rate)];
        let class = match round.left_out {
            true => "out",
            false if outliers.contains(&place) => "outlier",
            false => "point",
        };
        dot(page, at, 3.0, class, &hint(place, round, rate));
    }
}

fn hint(place: usize, round: &Round, figure: f64) -> String {
    let mut parts = vec![format!("round {}: {}", place + 1, rate(figure))];
    parts.extend(round.temperature_c.map(|value| format!("{} °C", digits(value))));
    parts.extend(round.clock_mhz.map(|value| format!("{} MHz", digits(value))));
    parts.extend(round.power_w.map(|value| format!("{} W", digits(value))));
    if round.left_out {
        let reasons = round.throttle.iter().flatten().map(ToString::to_string);
        parts.push(format!("left out: {}", reasons.collect::<Vec<_>>().join(", ")));
    }
    parts.join(", ")
}

fn panel(page: &mut Markup, subject: &Subject, sensor: &Sensor, times: &Axis, top: f64) {
    let points = series(subject, sensor);
    let axis = Axis::around(points.iter().map(|[_, value]| *value), top + SENSOR_HEIGHT, top);
    left_axis(page, &axis, &axis.labels(3, 1.0), [LEFT, RIGHT]);
    label(page, [4.0, top - 6.0], "tick", &format!("{}, {}", sensor.name, sensor.unit));
    let points = points.iter().step_by(stride(points.len()));
    let places: Vec<String> = points
        .map(|[time, value]| format!("{},{}", Px(times.at(*time)), Px(axis.at(*value))))
        .collect();
    page.leaf("polyline", &[("points", &places.join(" ")), ("class", &"series")]);
}

const fn stride(points: usize) -> usize {
    if points > MOST_POINTS { points.div_ceil(MOST_POINTS) } else { 1 }
}

fn description(line: &Line<'_>) -> String {
    let rounds = line.subject.rounds.len();
    let rates = line.subject.rounds.iter().filter_map(round_rate);
    let (low, high) =
        rates.fold((f64::INFINITY, 0.0_f64), |(low, high), rate| (low.min(rate), high.max(rate)));
    let range = if low.is_finite() {
        format!(", from {} to {}", rate(low), rate(high))
    } else {
        String::new()
    };
    let left_out = line.subject.rounds.iter().filter(|round| round.left_out).count();
    let rounds = counted(rounds as u64, "round");
    format!("The rate of {rounds} over time{range}; left out as throttled: {left_out}.")
}

fn caption(subject: &Subject, absent: &[&Sensor]) -> String {
    let mut parts = Vec::new();
    if !absent.is_empty() {
        let names: Vec<&str> = absent.iter().map(|sensor| sensor.name).collect();
        let sensors = clean(&subject.sensors);
        parts.push(format!("Not known: {} ({sensors}).", names.join(", ")));
    }
    let stride = stride(subject.rounds.len());
    if stride > 1 {
        parts.push(format!("One of {stride} rounds is shown."));
    }
    if let Some(warm_up) = subject.warm_up {
        let steady = if warm_up.steady { "steady" } else { "not steady" };
        parts.push(format!("Warm-up of {}, {steady} at its end.", time(warm_up.seconds)));
    }
    if let Some(estimate) = &subject.estimate {
        parts.push(format!("Spread {}.", percent(estimate.spread)));
    }
    parts.join(" ")
}
