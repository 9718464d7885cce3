//! The rates of a matrix: kernels by length of the batches.

use super::super::figures::{digits, rate, rate_unit, real, time};
use super::super::lines::{Line, Overview};
use super::markup::Markup;
use super::plot::{Px, WIDTH, Words, figure, label, rectangle, shortened};
use crate::bench::record::KernelFacts;

const TOP: f64 = 40.0;
const CELL: [f64; 2] = [78.0, 26.0];

/// Characters of the longest name that has room.
const NAME: usize = 34;

/// Steps of the colour scale below the map.
const STEPS: u32 = 24;

/// From slow to fast; every step is lighter than the one before, also without colours.
const COLOURS: [[f64; 3]; 5] = [
    [68.0, 1.0, 84.0],
    [59.0, 82.0, 139.0],
    [33.0, 145.0, 140.0],
    [94.0, 201.0, 98.0],
    [253.0, 231.0, 37.0],
];

struct Map<'l, 'r> {
    rows: Vec<&'l KernelFacts>,
    /// Lengths of batches.
    columns: Vec<f64>,
    cells: Vec<(usize, usize, &'l Line<'r>)>,
    /// The lowest and the highest rate.
    range: [f64; 2],
}

/// The map of a device's subjects; nothing when their batches have the same length.
pub(super) fn map(page: &mut Markup, overview: &Overview<'_>, group: &[usize]) {
    let lines: Vec<&Line<'_>> = group.iter().map(|place| &overview.lines[*place]).collect();
    let Some(map) = of(&lines) else { return };
    let names: Vec<String> = map.rows.iter().map(|kernel| name(kernel, &map.rows)).collect();
    let longest = names.iter().map(|name| name.chars().count()).max().unwrap_or(0).min(NAME);
    let left = 12.0 + 6.6 * real(longest);
    let bottom = TOP + CELL[1] * real(map.rows.len());
    let width = (left + CELL[0] * real(map.columns.len()) + 8.0).max(WIDTH);
    let (factor, unit) = rate_unit(map.range[1]);
    let words = Words {
        title: &format!("Kernels by length of batches: {}", lines[0].device()),
        description: &described(&map, &names),
        caption: "The lighter, the faster; the fastest is framed. A cell is empty where nothing was measured.",
    };
    figure(page, &words, [width, bottom + 50.0], |page| {
        label(page, [left - 8.0, TOP - 24.0], "tick end", &format!("median in {unit}"));
        label(page, [left, TOP - 24.0], "tick", "batches of");
        for (column, length) in map.columns.iter().enumerate() {
            let x = left + CELL[0] * (real(column) + 0.5);
            label(page, [x, TOP - 8.0], "tick middle", &time(*length));
        }
        for (row, name) in names.iter().enumerate() {
            let y = TOP + CELL[1] * (real(row) + 0.5) + 4.0;
            label(page, [left - 8.0, y], "name end", &shortened(name, NAME));
            for column in 0..map.columns.len() {
                let place = [left + CELL[0] * real(column), TOP + CELL[1] * real(row)];
                rectangle(page, place, [CELL[0] - 2.0, CELL[1] - 2.0], "empty", "");
            }
        }
        for (row, column, line) in &map.cells {
            cell(
                page,
                &map,
                line,
                [left + CELL[0] * real(*column), TOP + CELL[1] * real(*row)],
                factor,
            );
        }
        legend(page, &map, [left, bottom + 14.0]);
    });
}

fn of<'l, 'r>(lines: &[&'l Line<'r>]) -> Option<Map<'l, 'r>> {
    let mut columns: Vec<f64> = lines.iter().map(|line| line.subject.batch_seconds).collect();
    columns.sort_by(f64::total_cmp);
    columns.dedup_by(|a, b| a.total_cmp(b).is_eq());
    if columns.len() < 2 {
        return None;
    }
    let mut map = Map { rows: Vec::new(), columns, cells: Vec::new(), range: [0.0; 2] };
    for line in lines {
        let kernel = &line.subject.kernel;
        let row = map.rows.iter().position(|known| *known == kernel).unwrap_or(map.rows.len());
        if row == map.rows.len() {
            map.rows.push(kernel);
        }
        let length = line.subject.batch_seconds;
        let column = map.columns.iter().position(|known| known.total_cmp(&length).is_eq())?;
        if line.rate.is_some() {
            map.cells.push((row, column, line));
        }
    }
    let rates = map.cells.iter().filter_map(|(_, _, line)| line.rate).map(|rate| rate.median);
    map.range = [rates.clone().reduce(f64::min)?, rates.reduce(f64::max)?];
    Some(map)
}

/// The name of a kernel, with its workgroup where names do not tell kernels apart.
fn name(kernel: &KernelFacts, all: &[&KernelFacts]) -> String {
    let name = crate::ui::text::clean(&kernel.name);
    let same = all.iter().filter(|other| other.name == kernel.name).count();
    match kernel.workgroup {
        Some(workgroup) if same > 1 => format!("{name}, workgroup {workgroup}"),
        _ => name,
    }
}

fn cell(page: &mut Markup, map: &Map<'_, '_>, line: &Line<'_>, [x, y]: [f64; 2], factor: f64) {
    let Some(figure) = line.rate else { return };
    let [low, high] = map.range;
    let share = if high > low { (figure.median - low) / (high - low) } else { 1.0 };
    let best = figure.median.total_cmp(&high).is_eq();
    let hint = format!("{}: {}, {}, {}", line.tag, line.kernel(), line.batch(), line.interval());
    let attributes: [(&str, &dyn std::fmt::Display); 6] = [
        ("x", &Px(x)),
        ("y", &Px(y)),
        ("width", &Px(CELL[0] - 2.0)),
        ("height", &Px(CELL[1] - 2.0)),
        ("fill", &colour(share)),
        ("class", if best { &"best" } else { &"cell" }),
    ];
    page.element("rect", &attributes, |page| page.around("title", &[], &hint));
    let ink = if share < 0.55 { "on-dark middle" } else { "on-light middle" };
    let text = digits(figure.median / factor);
    label(page, [x + CELL[0] / 2.0 - 1.0, y + CELL[1] / 2.0 + 3.5], ink, &text);
}

fn legend(page: &mut Markup, map: &Map<'_, '_>, [x, y]: [f64; 2]) {
    let width = 7.0;
    for step in 0..STEPS {
        let share = f64::from(step) / f64::from(STEPS - 1);
        let place = Px(x + width * f64::from(step));
        let attributes: [(&str, &dyn std::fmt::Display); 5] = [
            ("x", &place),
            ("y", &Px(y)),
            ("width", &Px(width + 0.3)),
            ("height", &Px(10.0)),
            ("fill", &colour(share)),
        ];
        page.leaf("rect", &attributes);
    }
    let [low, high] = map.range.map(rate);
    label(page, [x, y + 24.0], "tick", &low);
    label(page, [x + width * f64::from(STEPS), y + 24.0], "tick end", &high);
}

fn colour(share: f64) -> String {
    let share = share.clamp(0.0, 1.0) * 4.0;
    let below = COLOURS.iter().zip(COLOURS.iter().skip(1)).zip(0_u32..);
    let pair = below.filter(|(_, place)| f64::from(*place) <= share).last();
    let Some(((from, to), place)) = pair else { return "none".to_owned() };
    let part = (share - f64::from(place)).clamp(0.0, 1.0);
    let [red, green, blue] = [0, 1, 2].map(|i| from[i] + (to[i] - from[i]) * part);
    format!("rgb({red:.0},{green:.0},{blue:.0})")
}

fn described(map: &Map<'_, '_>, names: &[String]) -> String {
    let cells = map.cells.iter().map(|(row, column, line)| {
        format!("{}, {}: {}", names[*row], time(map.columns[*column]), line.rate())
    });
    format!("{}.", cells.collect::<Vec<_>>().join("; "))
}
