//! For GitHub and its like.

use super::compared::{NAMES, compared, heads};
use super::lines::{Overview, about, record_tag};
use super::notes::notes;
use crate::bench::record::Record;

/// A table between what measured and what a reader must know besides, and a table of the comparisons.
#[must_use]
pub fn markdown(records: &[Record]) -> String {
    let overview = Overview::of(records);
    let mut blocks = Vec::new();
    for (place, record) in records.iter().enumerate() {
        let tag = record_tag(records, place);
        let tag = if tag.is_empty() { tag } else { format!("**{tag}**: ") };
        let [what, when] = about(record);
        let devices =
            overview.devices(place).into_iter().map(|text| format!("\n- {}", escaped(&text)));
        blocks.push(format!(
            "{tag}{}; {}\n{}",
            escaped(&what),
            escaped(&when),
            devices.collect::<String>()
        ));
    }
    if !overview.lines.is_empty() {
        blocks.push(table(&overview));
    }
    blocks.push(comparisons(&overview));
    let notes = notes(&overview).into_iter().map(|note| {
        let text = escaped(&note.sentence(&overview));
        if note.loud { format!("- **{text}**") } else { format!("- {text}") }
    });
    blocks.push(notes.collect::<Vec<_>>().join("\n"));
    blocks.retain(|block| !block.is_empty());
    blocks.join("\n\n")
}

const COLUMNS: [&str; 13] = [
    "#",
    "device",
    "kernel",
    "rate",
    "95 % interval",
    "to fastest",
    "spread",
    "device's own rate",
    "host overhead",
    "J/GH",
    "of limit",
    "hits",
    "rounds",
];

fn table(overview: &Overview<'_>) -> String {
    let batches = overview.batches_differ();
    let mut lines = vec![COLUMNS.map(str::to_owned).to_vec()];
    // Text to the left, figures to the right.
    lines.push((0..COLUMNS.len()).map(|i| if i < 3 { "---" } else { "--:" }.to_owned()).collect());
    for (place, line) in overview.lines.iter().enumerate() {
        let beside = overview.beside_best(place);
        let beside = if overview.best == Some(place) { format!("**{beside}**") } else { beside };
        lines.push(vec![
            line.tag.clone(),
            escaped(&line.device()),
            escaped(&line.kernel_and_batch(batches)),
            line.rate(),
            line.interval(),
            beside,
            line.spread(),
            line.device_rate(),
            line.host_overhead(),
            line.energy(),
            line.of_limit(),
            line.hits(),
            line.rounds(),
        ]);
    }
    drawn(&lines)
}

/// A table of them; nothing when there is none.
fn comparisons(overview: &Overview<'_>) -> String {
    let compared = compared(overview);
    if compared.is_empty() {
        return String::new();
    }
    let rule = ["---", "---", "---", "--:", "--:", "---", "---"].map(str::to_owned);
    let mut lines = vec![heads().to_vec(), rule.to_vec()];
    lines.extend(compared.into_iter().map(|one| {
        let mut cells = one.cells();
        for name in NAMES {
            cells[name] = escaped(&cells[name]);
        }
        cells.to_vec()
    }));
    drawn(&lines)
}

fn drawn(lines: &[Vec<String>]) -> String {
    let lines = lines.iter().map(|cells| format!("| {} |", cells.join(" | ")));
    lines.collect::<Vec<_>>().join("\n")
}

/// Text that means nothing but itself. It was cleaned, so it is on one line.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            // As an entity, because some readers take HTML before backslashes.
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '\\' | '|' | '`' | '*' | '_' | '[' | ']' | '#' | '~' | '$' | '!' => {
                escaped.push('\\');
                escaped.push(c);
            }
            _ => escaped.push(c),
        }
    }
    escaped
}
