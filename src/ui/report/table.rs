//! For the terminal.

use std::collections::BTreeSet;

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

use super::compared::compared;
use super::lines::{Line, Overview, about, record_tag};
use super::notes::{Note, notes};
use crate::bench::record::{Figure, Record};

/// Cells of a bar, at least and at most.
const BAR: [usize; 2] = [8, 30];

/// Cells between columns.
const GAP: usize = 2;

/// The fewest columns that can hold a report; a narrower terminal wraps it.
const NARROWEST: usize = 40;

/// A table with a row for each subject, with bars, between what measured and what a reader must know
/// besides, and the comparisons. In `width` columns that do not hold all figures they are two tables. Without a width the
/// lines are as long as they need to be.
#[must_use]
pub fn table(records: &[Record], width: Option<usize>) -> String {
    let width = width.map(|width| width.max(NARROWEST));
    let overview = Overview::of(records);
    let notes = notes(&overview);
    let mut blocks = vec![head(&overview, width)];
    if !overview.lines.is_empty() {
        blocks.extend(tables(&overview, &notes, width));
        if overview.lines.iter().any(|line| line.rate.is_some()) {
            blocks.push(wrapped(LEGEND, "", width));
        }
    }
    let sentences = notes.iter().map(|note| {
        let mark = if note.loud { "! " } else { "- " };
        wrapped(&note.sentence(&overview), mark, width)
    });
    blocks.push(sentences.collect::<Vec<_>>().join("\n"));
    let compared = compared(&overview);
    let sentences = compared.iter().map(|one| wrapped(&one.sentence(), "- ", width));
    blocks.push(sentences.collect::<Vec<_>>().join("\n"));
    blocks.retain(|block| !block.is_empty());
    blocks.join("\n\n")
}

const LEGEND: &str = "Bars: the rate as a share of the fastest; ▓ and ░ are its 95 % interval below and \
                      above the median, where it is as wide as a cell.";

fn head(overview: &Overview<'_>, width: Option<usize>) -> String {
    let mut lines = Vec::new();
    for (place, record) in overview.records.iter().enumerate() {
        let tag = record_tag(overview.records, place);
        let tag = if tag.is_empty() { tag } else { format!("{tag} ") };
        let indent = " ".repeat(tag.len());
        let [what, when] = about(record);
        lines.push(wrapped(&what, &tag, width));
        lines.push(wrapped(&when, &indent, width));
        for text in overview.devices(place) {
            lines.push(wrapped(&text, &indent, width));
        }
    }
    lines.join("\n")
}

/// A column of the table.
#[derive(Clone)]
struct Column {
    head: &'static str,
    cells: Vec<String>,
    right: bool,
}

impl Column {
    fn of<'r>(
        overview: &Overview<'r>,
        head: &'static str,
        cell: impl Fn(&Line<'r>) -> String,
    ) -> Self {
        Self { head, cells: overview.lines.iter().map(cell).collect(), right: true }
    }

    fn left(self) -> Self {
        Self { right: false, ..self }
    }

    fn says_something(&self) -> bool {
        self.cells.iter().any(|cell| !cell.is_empty())
    }
}

/// Characters that stay of a name in one table, and in two.
const SHORTEST: [usize; 2] = [20, 12];

fn tables(overview: &Overview<'_>, notes: &[Note], width: Option<usize>) -> Vec<String> {
    let (names, rates, figures) = (names(overview, notes), rates(overview), figures(overview));
    let all = [rates.clone(), figures.clone()].concat();
    if let Some(one) = with_bars(overview, names.clone(), all, width, SHORTEST[0]) {
        return vec![one];
    }
    let above = with_bars(overview, names.clone(), rates.clone(), width, SHORTEST[1]);
    let above = above.unwrap_or_else(|| drawn(&[names.clone(), rates].concat(), width));
    let tags = names.into_iter().take(1);
    vec![above, drawn(&tags.chain(figures).collect::<Vec<_>>(), width)]
}

/// A table with bars behind the first two columns after the names, which are cut to at least `shortest`
/// characters; `None` when it is too broad even so.
fn with_bars(
    overview: &Overview<'_>,
    names: Vec<Column>,
    mut rest: Vec<Column>,
    width: Option<usize>,
    shortest: usize,
) -> Option<String> {
    let Some(width) = width else {
        rest.insert(2, bars(overview, BAR[1]));
        return Some(drawn(&[names, rest].concat(), None));
    };
    let names = fitted(names, &rest, width, shortest);
    let taken = broadest(&[names.clone(), rest.clone()].concat()) + GAP;
    let room = width.checked_sub(taken).filter(|room| *room >= BAR[0])?;
    rest.insert(2, bars(overview, room));
    Some(drawn(&[names, rest].concat(), Some(width)))
}

/// What tells the subjects apart. A tag with a `!` has a loud note.
fn names(overview: &Overview<'_>, notes: &[Note]) -> Vec<Column> {
    let loud = |place| notes.iter().any(|note| note.loud && note.lines.contains(&place));
    let tags = overview.lines.iter().enumerate();
    let tags = tags.map(|(i, line)| format!("{}{}", line.tag, if loud(i) { " !" } else { "" }));
    let mut names = vec![Column { head: "", cells: tags.collect(), right: false }];
    if overview.by_device().len() > 1 {
        let device = |line: &Line<'_>| short_device(&line.device());
        names.push(Column::of(overview, "device", device).left());
    }
    names.push(Column::of(overview, "kernel", Line::kernel).left());
    if overview.batches_differ() {
        names.push(Column::of(overview, "batch", Line::batch));
    }
    names
}

/// The name of a device without its maker's, and without what it was reached through. The whole name
/// stands above the table.
fn short_device(name: &str) -> String {
    let (short, _) = name.split_once(" (").unwrap_or((name, ""));
    let makers = ["NVIDIA ", "GeForce ", "AMD ", "Radeon ", "Intel(R) "];
    let short =
        makers.iter().fold(short, |short, maker| short.strip_prefix(maker).unwrap_or(short));
    if short.is_empty() { name.to_owned() } else { short.to_owned() }
}

fn rates(overview: &Overview<'_>) -> Vec<Column> {
    let change = (0..overview.lines.len()).map(|place| overview.beside_best(place));
    vec![
        Column::of(overview, "rate", Line::rate),
        Column::of(overview, "95 %", Line::around),
        Column { head: "change", cells: change.collect(), right: true },
    ]
}

fn figures(overview: &Overview<'_>) -> Vec<Column> {
    let mut figures = vec![
        Column::of(overview, "spread", Line::spread),
        Column::of(overview, "own rate", Line::device_rate),
        Column::of(overview, "overhead", Line::host_overhead),
        Column::of(overview, "J/GH", Line::energy),
        Column::of(overview, "of limit", Line::of_limit),
    ];
    figures.retain(Column::says_something);
    figures.push(Column::of(overview, "hits", Line::hits));
    figures.push(Column::of(overview, "rounds", Line::rounds));
    figures
}

/// Cuts names so that the bars have room beside them, the longest first, as long as they stay different.
fn fitted(mut names: Vec<Column>, rest: &[Column], width: usize, shortest: usize) -> Vec<Column> {
    loop {
        let taken = broadest(&[&names, rest].concat()) + GAP + BAR[0];
        let longest = names.iter_mut().max_by_key(|column| length(column));
        let (Some(column), true) = (longest, taken > width) else { return names };
        let keep = length(column).saturating_sub(taken - width).max(shortest);
        if keep >= length(column) {
            return names;
        }
        let cut: Vec<String> = column.cells.iter().map(|cell| shortened(cell, keep)).collect();
        if distinct(&cut) < distinct(&column.cells) {
            return names;
        }
        column.cells = cut;
    }
}

fn distinct(cells: &[String]) -> usize {
    cells.iter().collect::<BTreeSet<_>>().len()
}

/// The most characters of a cell.
fn length(column: &Column) -> usize {
    column.cells.iter().map(|cell| cell.chars().count()).max().unwrap_or(0)
}

/// Without the middle: variants differ at their end, paths end in a name.
pub(super) fn shortened(text: &str, most: usize) -> String {
    let length = text.chars().count();
    if length <= most {
        return text.to_owned();
    }
    let (begin, end) = ((most - 1) / 2, most / 2);
    text.chars().take(begin).chain(['…']).chain(text.chars().skip(length - end)).collect()
}

fn drawn(columns: &[Column], width: Option<usize>) -> String {
    let mut table = tabled(columns);
    if let Some(width) = width.and_then(|width| u16::try_from(width).ok()) {
        table.set_width(width).set_content_arrangement(ContentArrangement::Dynamic);
    }
    table.trim_fmt()
}

fn tabled(columns: &[Column]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(columns.iter().map(|column| column.head));
    for row in 0..columns.first().map_or(0, |column| column.cells.len()) {
        table.add_row(columns.iter().map(|column| &column.cells[row]));
    }
    for (i, column) in columns.iter().enumerate() {
        let Some(drawn) = table.column_mut(i) else { continue };
        if column.right {
            drawn.set_cell_alignment(CellAlignment::Right);
        }
        drawn.set_padding((if i > 0 { 2 } else { 0 }, 0));
    }
    table
}

/// Columns of the terminal that a table takes.
fn broadest(columns: &[Column]) -> usize {
    let widths = tabled(columns).column_max_content_widths();
    let gaps = GAP * columns.len().saturating_sub(1);
    widths.iter().map(|width| usize::from(*width)).sum::<usize>() + gaps
}

fn bars(overview: &Overview<'_>, room: usize) -> Column {
    let cells = room.clamp(BAR[0], BAR[1]);
    // The end of the longest interval is the end of the scale.
    let ends = overview.lines.iter().filter_map(|line| line.rate);
    let most = ends.map(|rate| rate.interval.map_or(rate.median, |i| i.high.max(rate.median)));
    let most = most.fold(0.0, f64::max);
    let bar = |line: &Line<'_>| line.rate.map_or_else(String::new, |rate| bar(rate, most, cells));
    Column::of(overview, "", bar).left()
}

/// A bar up to the median, in eighths of a cell; an interval of more than a cell is shaded.
fn bar(rate: Figure, most: f64, cells: usize) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "from 0 to eight times the cells"
    )]
    let eighths = |value: f64| {
        (value / most * super::figures::real(8 * cells)).round().clamp(0.0, 8e3) as usize
    };
    let median = eighths(rate.median);
    let [low, high] = rate.interval.map_or([median; 2], |i| [eighths(i.low), eighths(i.high)]);
    if high.saturating_sub(low) < 8 {
        return format!("{}{}", "█".repeat(median / 8), EIGHTHS[median % 8]);
    }
    let middle = median.div_ceil(8).clamp(low / 8, high.div_ceil(8));
    ["█".repeat(low / 8), "▓".repeat(middle - low / 8), "░".repeat(high.div_ceil(8) - middle)]
        .concat()
}

/// A text after a mark, on lines of at most `width` columns. Later lines begin below the text.
fn wrapped(text: &str, mark: &str, width: Option<usize>) -> String {
    let indent = mark.chars().count();
    let mut wrapped = mark.to_owned();
    let mut used = indent;
    for word in text.split(' ') {
        let length = word.chars().count();
        if used > indent {
            if width.is_some_and(|width| used + 1 + length > width) {
                wrapped.push('\n');
                wrapped.push_str(&" ".repeat(indent));
                used = indent;
            } else {
                wrapped.push(' ');
                used += 1;
            }
        }
        wrapped.push_str(word);
        used += length;
    }
    wrapped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::tune::stats::Interval;

    #[test]
    fn a_bar_ends_in_eighths_and_shades_a_wide_interval() {
        let of = |median, low, high| {
            bar(Figure { median, interval: Some(Interval { low, high }) }, 100.0, 10)
        };
        assert_eq!(of(50.0, 49.9, 50.0), "█████");
        assert_eq!(of(56.0, 55.9, 56.1), "█████▋");
        assert_eq!(of(50.0, 30.0, 80.0), "███▓▓░░░");
        assert_eq!(of(100.0, 80.0, 100.0), "████████▓▓");
        assert_eq!(of(1e-9, 0.0, 1e-9), "");
        assert_eq!(of(50.0, 60.0, 90.0), "██████░░░");
        assert_eq!(bar(Figure { median: 7.5, interval: None }, 100.0, 10), "▊");
    }

    #[test]
    fn long_names_lose_their_middle() {
        assert_eq!(shortened("abc", 3), "abc");
        assert_eq!(shortened("kernels/long/path.wgsl", 12), "kerne…h.wgsl");
        assert_eq!(shortened("ÄÖÜäöüßẞ", 5), "ÄÖ…ßẞ");
    }

    #[test]
    fn text_wraps_below_its_mark() {
        assert_eq!(wrapped("one two three", "- ", Some(9)), "- one two\n  three");
        assert_eq!(wrapped("one", "- ", None), "- one");
    }
}
