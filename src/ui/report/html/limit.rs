//! What was measured, beside what the device could do at most.

use super::super::figures::{percent, rate, real, sane};
use super::super::lines::{Line, Overview};
use super::axis::Axis;
use super::markup::Markup;
use super::plot::{WIDTH, Words, bottom_axis, figure, label, line, rectangle, shortened};
use crate::ui::text::clean;

const LEFT: f64 = 14.0;
const RIGHT: f64 = WIDTH - 24.0;
const TOP: f64 = 8.0;
const ROW: f64 = 38.0;

/// The plot of all subjects.
pub(super) fn limits(page: &mut Markup, overview: &Overview<'_>) {
    let reached = |line: &Line<'_>| {
        let reached = line.subject.limit.as_ref().and_then(|limit| limit.reached);
        reached.and_then(sane).filter(|reached| *reached >= 0.0)
    };
    if !overview.lines.iter().any(|line| reached(line).is_some()) {
        let none =
            "The limit of none of these devices is known, so there is nothing to compare with.";
        return page.around("p", &[], none);
    }
    let bottom = TOP + ROW * real(overview.lines.len());
    let most = overview.lines.iter().filter_map(reached).fold(1.0, f64::max);
    let axis = Axis::between(0.0, most, LEFT, RIGHT);
    let each = overview.lines.iter().map(|line| {
        format!("{}: {}", line.tag, reached(line).map_or_else(|| "unknown".to_owned(), percent))
    });
    let words = Words {
        title: "Rate as a share of the limit",
        description: &format!("{}.", each.collect::<Vec<_>>().join("; ")),
        caption: &formulas(overview),
    };
    let batches = overview.batches_differ();
    figure(page, &words, [WIDTH, bottom + 22.0], |page| {
        bottom_axis(page, &axis, &shares(&axis), [TOP, bottom]);
        for (row, of) in overview.lines.iter().enumerate() {
            let top = TOP + ROW * real(row);
            let name = format!("{}: {}", of.tag, of.kernel_and_batch(batches));
            label(page, [LEFT, top + 11.0], "name", &shortened(&name, 64));
            let Some(share) = reached(of) else {
                label(page, [LEFT, top + 27.0], "tick", "limit not known");
                continue;
            };
            let most = of.subject.limit.as_ref().map_or(0.0, |limit| limit.hashes_per_second);
            let hint = format!("{} of {}", of.rate(), rate(most));
            rectangle(page, [LEFT, top + 15.0], [axis.at(share) - LEFT, 16.0], "bar", &hint);
            label(page, [LEFT + 6.0, top + 27.5], "on-bar", &percent(share));
        }
        let x = axis.at(1.0);
        line(page, [x, TOP], [x, bottom], "limit");
    });
}

/// How the limits are calculated, once for all lines of which it is the same.
fn formulas(overview: &Overview<'_>) -> String {
    let mut formulas: Vec<(String, Vec<usize>)> = Vec::new();
    for (place, line) in overview.lines.iter().enumerate() {
        let Some(limit) = &line.subject.limit else { continue };
        let text = format!("{} = {}", rate(limit.hashes_per_second), clean(&limit.formula));
        match formulas.iter_mut().find(|(known, _)| *known == text) {
            Some((_, places)) => places.push(place),
            None => formulas.push((text, vec![place])),
        }
    }
    let each = formulas.iter().map(|(text, places)| format!("{}: {text}.", overview.tags(places)));
    format!(
        "What the arithmetic units could do if nothing else held them up. {}",
        each.collect::<Vec<_>>().join(" ")
    )
}

fn shares(axis: &Axis) -> Vec<(f64, String)> {
    let labels = axis.labels(5, 0.01);
    labels.into_iter().map(|(share, text)| (share, format!("{text} %"))).collect()
}
