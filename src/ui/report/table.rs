//! For the terminal.

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

use super::lines::{Line, Overview, about, device, record_tag};
use super::notes::{Note, notes};
use crate::bench::record::{Figure, Record};

/// Cells of a bar, at least and at most.
const BAR: [usize; 2] = [8, 30];

/// The fewest columns that can hold a report; a narrower terminal wraps it.
const NARROWEST: usize = 40;

/// A table with a row for each subject, with bars, between what measured and what a reader must know
/// besides. In `width` columns that do not hold all figures they are two tables. Without a width the
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
    blocks.retain(|block| !block.is_empty());
    blocks.join("\n\n")
}

const LEGEND: &str = "Bars: the rate as a share of the fastest; ▓ and ░ are its 95 % interval below and \
                      above the median, where it is as wide as a cell.";

fn head(overview: &Overview<'_>, width: Option<usize>) -> String {
    let mut lines = Vec::new();
    let groups = overview.by_device();
    for (place, record) in overview.records.iter().enumerate() {
        let tag = record_tag(overview.records, place);
        let tag = if tag.is_empty() { tag } else { format!("{tag} ") };
        let indent = " ".repeat(tag.len());
        let [what, when] = about(record);
        lines.push(wrapped(&what, &tag, width));
        lines.push(wrapped(&when, &indent, width));
        for group in groups.iter().filter(|group| overview.lines[group[0]].record == place) {
            let facts = &overview.lines[group[0]].subject.device;
            lines.push(wrapped(&device(facts), &indent, width));
        }
    }
    lines.join("\n")
}

/// A column of the table.
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

    fn to_the_left(self) -> Self {
        Self { right: false, ..self }
    }

    fn says_something(&self) -> bool {
        self.cells.iter().any(|cell| !cell.is_empty())
    }
}

fn tables(overview: &Overview<'_>, notes: &[Note], width: Option<usize>) -> Vec<String> {
    let names = names(overview, notes);
    let rates = [
        Column::of(overview, "rate", Line::rate),
        Column::of(overview, "95 %", Line::around),
        Column {
            head: "to fastest",
            cells: (0..overview.lines.len()).map(|place| overview.beside_best(place)).collect(),
            right: true,
        },
    ];
    let figures = figures(overview);
    let fixed = || rates.iter().chain(&figures);
    let all = drawn(names.iter().chain(fixed()), None);
    if width.is_none_or(|width| broadest(&all) + 2 + BAR[0] <= width) {
        let room = width.map_or(BAR[1], |width| width - broadest(&all) - 2);
        let bar = bars(overview, room);
        let [first, second, third] = &rates;
        let columns = names.iter().chain([first, second, &bar, third]).chain(&figures);
        return vec![drawn(columns, width)];
    }
    let width = width.unwrap_or(NARROWEST);
    let names = fitted(names, &rates, width);
    let room = width.saturating_sub(broadest(&drawn(names.iter().chain(&rates), None)) + 2);
    let bar = bars(overview, room);
    let [first, second, third] = &rates;
    let above = drawn(names.iter().chain([first, second, &bar, third]), Some(width));
    let below = drawn(names.first().into_iter().chain(&figures), Some(width));
    vec![above, below]
}

/// What tells the subjects apart. A tag with a `!` has a loud note.
fn names(overview: &Overview<'_>, notes: &[Note]) -> Vec<Column> {
    let loud = |place| notes.iter().any(|note| note.loud && note.lines.contains(&place));
    let tags = overview.lines.iter().enumerate();
    let tags = tags.map(|(i, line)| format!("{}{}", line.tag, if loud(i) { " !" } else { "" }));
    let mut names = vec![Column { head: "", cells: tags.collect(), right: false }];
    if overview.by_device().len() > 1 {
        names.push(Column::of(overview, "device", Line::device).to_the_left());
    }
    names.push(Column::of(overview, "kernel", Line::kernel).to_the_left());
    if overview.batches_differ() {
        names.push(Column::of(overview, "batch", Line::batch));
    }
    names
}

fn figures(overview: &Overview<'_>) -> Vec<Column> {
    let mut figures = vec![
        Column::of(overview, "spread", Line::spread),
        Column::of(overview, "own rate", Line::device_rate),
        Column::of(overview, "host", Line::host_overhead),
        Column::of(overview, "energy", Line::energy),
        Column::of(overview, "of limit", Line::of_limit),
    ];
    figures.retain(Column::says_something);
    figures.push(Column::of(overview, "hits", Line::hits));
    figures.push(Column::of(overview, "rounds", Line::rounds));
    figures
}

/// Cuts names so that the bars have room beside them, the longest first.
fn fitted(mut names: Vec<Column>, rates: &[Column], width: usize) -> Vec<Column> {
    const SHORTEST: usize = 12;
    loop {
        let taken = broadest(&drawn(names.iter().chain(rates), None)) + 2 + BAR[0];
        let longest = names.iter_mut().max_by_key(|column| length(column));
        let (Some(column), true) = (longest, taken > width) else { return names };
        let keep = length(column).saturating_sub(taken - width).max(SHORTEST);
        if keep >= length(column) {
            return names;
        }
        for cell in &mut column.cells {
            *cell = shortened(cell, keep);
        }
    }
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

fn drawn<'c>(columns: impl Iterator<Item = &'c Column>, width: Option<usize>) -> String {
    let columns: Vec<&Column> = columns.collect();
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    if let Some(width) = width.and_then(|width| u16::try_from(width).ok()) {
        table.set_width(width).set_content_arrangement(ContentArrangement::Dynamic);
    }
    table.set_header(columns.iter().map(|column| column.head));
    for row in 0..columns.first().map_or(0, |column| column.cells.len()) {
        table.add_row(columns.iter().map(|column| &column.cells[row]));
    }
    let last = columns.len().saturating_sub(1);
    for (i, column) in columns.iter().enumerate() {
        let Some(drawn) = table.column_mut(i) else { continue };
        if column.right {
            drawn.set_cell_alignment(CellAlignment::Right);
        }
        drawn.set_padding((u16::from(i > 0), u16::from(i < last)));
    }
    table.trim_fmt()
}

/// Columns of the terminal that a table takes.
fn broadest(table: &str) -> usize {
    let mut lines = Table::new();
    lines.load_style(presets::NOTHING);
    lines.add_row([table]);
    lines.column_max_content_widths().first().map_or(0, |width| usize::from(*width))
}

fn bars(overview: &Overview<'_>, room: usize) -> Column {
    let cells = room.clamp(BAR[0], BAR[1]);
    // The end of the longest interval is the end of the scale.
    let ends = overview.lines.iter().filter_map(|line| line.rate);
    let most = ends.map(|rate| rate.interval.map_or(rate.median, |i| i.high.max(rate.median)));
    let most = most.fold(0.0, f64::max);
    let bar = |line: &Line<'_>| line.rate.map_or_else(String::new, |rate| bar(rate, most, cells));
    Column::of(overview, "", bar).to_the_left()
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
    if low.div_ceil(8) >= high.div_ceil(8) {
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
        assert_eq!(of(56.0, 55.9, 56.1), "█████▌");
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
