//! One page that opens from disk: nothing is loaded, no script runs, plots are drawn here as SVG.

mod axis;
mod boxes;
mod heat;
mod limit;
mod markup;
mod plot;
mod time;

use std::fmt::Display;

use super::compared::{NAMES, compared, heads};
use super::figures::{digits, rate};
use super::lines::{Line, Overview, about, record_tag, round_device_rate, round_rate};
use super::notes::{Note, notes};
use crate::bench::record::{Record, Round};
use crate::ui::text::counted;
use markup::Markup;

/// The strictest policy that lets a page style itself.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";

/// With more plots over time than these they are folded.
const OPEN_PLOTS: usize = 6;

/// The most rounds in the table of a subject.
const MOST_ROUNDS: usize = 500;

/// A page with the table, the notes and the plots. It loads nothing and needs no script.
#[must_use]
pub fn html(records: &[Record]) -> String {
    let overview = Overview::of(records);
    let notes = notes(&overview);
    let mut page = Markup::default();
    page.verbatim("<!DOCTYPE html>\n");
    page.element("html", &[("lang", &"en")], |page| {
        page.element("head", &[], |page| head(page, records));
        page.element("body", &[], |page| {
            page.element("main", &[], |page| body(page, &overview, &notes));
        });
    });
    page.finish()
}

fn head(page: &mut Markup, records: &[Record]) {
    page.leaf("meta", &[("charset", &"utf-8")]);
    page.leaf("meta", &[("http-equiv", &"Content-Security-Policy"), ("content", &POLICY)]);
    page.leaf(
        "meta",
        &[("name", &"viewport"), ("content", &"width=device-width, initial-scale=1")],
    );
    page.leaf("meta", &[("name", &"color-scheme"), ("content", &"light dark")]);
    let title = match records {
        [one] => format!("adit bench, {}", crate::ui::text::clean(&one.begun)),
        _ => format!("adit bench, {} results", records.len()),
    };
    page.around("title", &[], &title);
    page.element("style", &[], |page| page.verbatim(include_str!("style.css")));
}

fn body(page: &mut Markup, overview: &Overview<'_>, notes: &[Note]) {
    page.around("h1", &[], "adit bench");
    match overview.best.map(|place| &overview.lines[place]) {
        Some(best) => page.element("p", &[("class", &"lead")], |page| {
            page.text("Fastest: ");
            page.around("strong", &[], &best.rate());
            let (kernel, on) = (best.kernel(), best.device());
            page.text(&format!(" by {kernel} on {on} ({}).", best.tag));
        }),
        None => page.around("p", &[("class", &"lead")], "Nothing was measured."),
    }
    origins(page, overview);
    remarks(page, overview, notes, true);
    page.element("div", &[("class", &"plots")], |page| {
        overview.by_device().iter().for_each(|group| heat::map(page, overview, group));
    });
    page.around("h2", &[], "Results");
    results(page, overview);
    remarks(page, overview, notes, false);
    comparisons(page, overview);
    plots(page, overview);
}

/// Machines, versions, settings and devices.
fn origins(page: &mut Markup, overview: &Overview<'_>) {
    for (place, record) in overview.records.iter().enumerate() {
        page.element("section", &[("class", &"origin")], |page| {
            let tag = record_tag(overview.records, place);
            if !tag.is_empty() {
                page.around("h2", &[], &tag);
            }
            for text in about(record) {
                page.around("p", &[], &text);
            }
            for text in overview.devices(place) {
                page.around("p", &[], &text);
            }
        });
    }
}

fn remarks(page: &mut Markup, overview: &Overview<'_>, notes: &[Note], loud: bool) {
    let notes: Vec<&Note> = notes.iter().filter(|note| note.loud == loud).collect();
    if notes.is_empty() {
        return;
    }
    page.element("ul", &[("class", if loud { &"loud" } else { &"notes" })], |page| {
        for note in notes {
            page.around("li", &[], &note.sentence(overview));
        }
    });
}

/// A column of the table: its head and its cells.
type Column = (&'static str, fn(&Overview<'_>, usize) -> String);

const COLUMNS: [Column; 14] = [
    ("#", |all, place| all.lines[place].tag.clone()),
    (DEVICE, |all, place| all.lines[place].device()),
    ("kernel", |all, place| all.lines[place].kernel()),
    (BATCHES, |all, place| all.lines[place].batch()),
    ("rate", |all, place| all.lines[place].rate()),
    ("95 % interval", |all, place| all.lines[place].interval()),
    ("to fastest", |all, place| all.beside_best(place)),
    ("spread", |all, place| all.lines[place].spread()),
    ("device's own rate", |all, place| all.lines[place].device_rate()),
    ("host overhead", |all, place| all.lines[place].host_overhead()),
    ("J/GH", |all, place| all.lines[place].energy()),
    ("of limit", |all, place| all.lines[place].of_limit()),
    ("hits", |all, place| all.lines[place].hits()),
    ("rounds", |all, place| all.lines[place].rounds()),
];

/// Not shown where they are the same for all. No column is shown that says nothing.
const DEVICE: &str = "device";
const BATCHES: &str = "batches";

fn results(page: &mut Markup, overview: &Overview<'_>) {
    let (devices, batches) = (overview.by_device().len() > 1, overview.batches_differ());
    let mut columns = COLUMNS.to_vec();
    columns.retain(|(head, cell)| match *head {
        DEVICE => devices,
        BATCHES => batches,
        _ => (0..overview.lines.len()).any(|place| !cell(overview, place).is_empty()),
    });
    let class = |head: &str| if matches!(head, DEVICE | "kernel") { "text" } else { "" };
    let heads: Vec<Head<'_>> = columns.iter().map(|(head, _)| (*head, class(head))).collect();
    let rows = (0..overview.lines.len()).map(|place| {
        let row = if overview.best == Some(place) { "fastest" } else { "" };
        (row, columns.iter().map(|(_, cell)| cell(overview, place)).collect())
    });
    table(page, &heads, rows);
}

fn comparisons(page: &mut Markup, overview: &Overview<'_>) {
    let compared = compared(overview);
    if compared.is_empty() {
        return;
    }
    page.around("h2", &[], "Comparisons");
    let heads = heads();
    let class = |column: usize| if NAMES.contains(&column) { "text" } else { "" };
    let heads = heads.iter().enumerate().map(|(column, head)| (head.as_str(), class(column)));
    let rows = compared.into_iter().map(|one| ("", one.cells().to_vec()));
    table(page, &heads.collect::<Vec<_>>(), rows);
}

/// The head of a column and the class of its cells.
type Head<'h> = (&'h str, &'h str);

/// A table that a narrow screen shows as cards. Rows are a class and their cells.
fn table<'r>(
    page: &mut Markup,
    heads: &[Head<'_>],
    rows: impl Iterator<Item = (&'r str, Vec<String>)>,
) {
    page.element("div", &[("class", &"scroll")], |page| {
        page.element("table", &[("class", &"results")], |page| {
            page.element("thead", &[], |page| {
                page.element("tr", &[], |page| {
                    for (head, class) in heads {
                        page.around("th", &[("scope", &"col"), ("class", class)], head);
                    }
                });
            });
            page.element("tbody", &[], |page| {
                for (row, cells) in rows {
                    page.element("tr", &[("class", &row)], |page| {
                        for ((head, class), cell) in heads.iter().zip(cells) {
                            let about: [(&str, &dyn Display); 2] =
                                [("data-label", head), ("class", class)];
                            page.around("td", &about, &cell);
                        }
                    });
                }
            });
        });
    });
}

fn plots(page: &mut Markup, overview: &Overview<'_>) {
    page.around("h2", &[], "Kernels compared");
    page.element("div", &[("class", &"plots")], |page| {
        overview.by_device().iter().for_each(|group| boxes::boxes(page, overview, group));
        limit::limits(page, overview);
    });
    let measured: Vec<&Line<'_>> =
        overview.lines.iter().filter(|line| !line.subject.rounds.is_empty()).collect();
    if measured.is_empty() {
        return;
    }
    page.around("h2", &[], "Over time");
    page.around(
        "p",
        &[],
        "Dots are rounds: full ones count, hollow red ones are left out as throttled, orange ones are outliers. \
         The line is the median, the band its 95 % interval. The axes do not begin at zero.",
    );
    if measured.len() <= OPEN_PLOTS {
        return over_time(page, overview, &measured);
    }
    page.element("details", &[], |page| {
        page.around("summary", &[], &format!("{} plots", measured.len()));
        over_time(page, overview, &measured);
    });
}

fn over_time(page: &mut Markup, overview: &Overview<'_>, lines: &[&Line<'_>]) {
    let batches = overview.batches_differ();
    page.element("div", &[("class", &"plots")], |page| {
        for line in lines {
            page.element("div", &[], |page| {
                time::over_time(page, line, &line.kernel_and_batch(batches));
                rounds(page, line);
            });
        }
    });
}

/// The figures of a plot over time.
fn rounds(page: &mut Markup, line: &Line<'_>) {
    let all = &line.subject.rounds;
    page.element("details", &[], |page| {
        let few = all.len() <= MOST_ROUNDS;
        let most = if few { String::new() } else { format!("{MOST_ROUNDS} of ") };
        let rounds = counted(all.len() as u64, "round");
        page.around("summary", &[], &format!("Figures of {most}{rounds}"));
        page.element("div", &[("class", &"scroll")], |page| {
            page.element("table", &[], |page| {
                page.element("tr", &[], |page| {
                    for head in
                        ["round", "opening", "at s", "rate", "own rate", "°C", "MHz", "W", ""]
                    {
                        page.around("th", &[("scope", &"col")], head);
                    }
                });
                for (place, round) in all.iter().enumerate().take(MOST_ROUNDS) {
                    page.element("tr", &[], |page| {
                        for cell in cells(place, round) {
                            page.around("td", &[], &cell);
                        }
                    });
                }
            });
        });
    });
}

fn cells(place: usize, round: &Round) -> [String; 9] {
    let figure = |value: Option<f64>| value.map(digits).unwrap_or_default();
    let reasons = round.throttle.iter().flatten().map(ToString::to_string);
    let reasons = reasons.collect::<Vec<_>>().join(", ");
    [
        (place + 1).to_string(),
        (u64::from(round.opening) + 1).to_string(),
        digits(round.at),
        round_rate(round).map(rate).unwrap_or_default(),
        round_device_rate(round).map(rate).unwrap_or_default(),
        figure(round.temperature_c),
        figure(round.clock_mhz),
        figure(round.power_w),
        if round.left_out { format!("left out: {reasons}") } else { reasons },
    ]
}
