//! The rounds of each subject of a device, as box plots.

use super::super::figures::{digits, interval, rate, rate_unit, real};
use super::super::lines::{Line, Overview, round_rate};
use super::axis::Axis;
use super::markup::Markup;
use super::plot::{WIDTH, Words, bottom_axis, dot, figure, label, line, rectangle, shortened};
use crate::bench::stats::quantile;

const LEFT: f64 = 14.0;
const RIGHT: f64 = WIDTH - 14.0;
const TOP: f64 = 8.0;
const ROW: f64 = 46.0;

/// The most rounds of a box that are drawn one by one.
const MOST_POINTS: usize = 400;

/// The five figures of a box.
struct FiveFigures {
    whiskers: [f64; 2],
    quartiles: [f64; 2],
    median: f64,
}

/// The plot of a device's subjects.
pub(super) fn boxes(page: &mut Markup, overview: &Overview<'_>, group: &[usize]) {
    let lines: Vec<&Line<'_>> = group.iter().map(|place| &overview.lines[*place]).collect();
    let rates: Vec<Vec<f64>> = lines.iter().map(|line| counted(line)).collect();
    let Some(first) = lines.first().filter(|_| rates.iter().any(|rates| !rates.is_empty())) else {
        return;
    };
    let bottom = TOP + ROW * real(lines.len());
    let ends = lines.iter().filter_map(|line| line.rate?.interval);
    let ends = ends.flat_map(|interval| [interval.low, interval.high]);
    let axis = Axis::around(rates.iter().flatten().copied().chain(ends), LEFT, RIGHT);
    let (ticks, unit) = axis.rates(5);
    let words = Words {
        title: &format!("Rounds by kernel: {}", first.device()),
        description: &described(&lines, &rates),
        caption: "Box: the middle half of the rounds, with their median; whiskers: the rest within one and a \
                  half times its width; the bar below: 95 % interval of the median; dots: rounds. The axis \
                  does not begin at zero. Rounds that are left out are not shown.",
    };
    let batches = overview.batches_differ();
    figure(page, &words, [WIDTH, bottom + 36.0], |page| {
        bottom_axis(page, &axis, &ticks, [TOP, bottom]);
        label(page, [RIGHT, bottom + 30.0], "tick end", unit);
        for (row, (line, rates)) in lines.iter().zip(&rates).enumerate() {
            let top = TOP + ROW * real(row);
            let name = format!("{}: {}", line.tag, line.kernel_and_batch(batches));
            label(page, [LEFT, top + 11.0], "name", &shortened(&name, 64));
            draw(page, line, rates, &axis, top + 25.0);
        }
    });
}

/// The rates of the rounds that count, sorted.
fn counted(line: &Line<'_>) -> Vec<f64> {
    let counted = line.subject.rounds.iter().filter(|round| !round.left_out);
    let mut rates: Vec<f64> = counted.filter_map(round_rate).collect();
    rates.sort_by(f64::total_cmp);
    rates
}

fn draw(page: &mut Markup, of: &Line<'_>, rates: &[f64], axis: &Axis, middle: f64) {
    let Some(five) = five_figures(rates) else {
        return label(page, [LEFT, middle + 4.0], "tick", "no round counts");
    };
    let [low, high] = five.whiskers.map(|end| axis.at(end));
    let [first, third] = five.quartiles.map(|quartile| axis.at(quartile));
    line(page, [low, middle], [first, middle], "whisker");
    line(page, [third, middle], [high, middle], "whisker");
    let hint = format!(
        "median {}, quartiles {} and {}",
        rate(five.median),
        rate(five.quartiles[0]),
        rate(five.quartiles[1])
    );
    rectangle(page, [first, middle - 7.0], [third - first, 14.0], "box", &hint);
    for (i, rate) in rates.iter().enumerate().step_by(rates.len().div_ceil(MOST_POINTS)) {
        // Spread over the height of the box, so that dots do not hide each other.
        let shift = real(i * 7 % 11) - 5.0;
        dot(page, [axis.at(*rate), middle + shift], 1.7, "round", "");
    }
    let x = axis.at(five.median);
    line(page, [x, middle - 7.0], [x, middle + 7.0], "middle-line");
    let Some(figure) = of.rate else { return };
    if let (Some(ends), Some(text)) = (figure.interval, interval(figure)) {
        let [low, high] = [ends.low, ends.high].map(|end| axis.at(end));
        let hint = format!("95 % interval {text}");
        rectangle(page, [low, middle + 10.0], [(high - low).max(1.5), 4.0], "interval", &hint);
    }
}

fn five_figures(sorted: &[f64]) -> Option<FiveFigures> {
    let [first, median, third] = [0.25, 0.5, 0.75].map(|share| quantile(sorted, share));
    let (first, median, third) = (first?, median?, third?);
    let reach = 1.5 * (third - first);
    let low = sorted.iter().copied().find(|rate| *rate >= first - reach)?;
    let high = sorted.iter().rev().copied().find(|rate| *rate <= third + reach)?;
    // Between few rounds a quartile may lie beyond the last one that is near.
    let whiskers = [low.min(first), high.max(third)];
    Some(FiveFigures { whiskers, quartiles: [first, third], median })
}

fn described(lines: &[&Line<'_>], rates: &[Vec<f64>]) -> String {
    let each = lines.iter().zip(rates).filter_map(|(line, rates)| {
        let five = five_figures(rates)?;
        let (factor, unit) = rate_unit(five.median);
        let [first, third] = five.quartiles.map(|quartile| digits(quartile / factor));
        let median = digits(five.median / factor);
        Some(format!("{}: {first}, {median}, {third} {unit}", line.tag))
    });
    format!("First quartile, median and third quartile. {}.", each.collect::<Vec<_>>().join("; "))
}
