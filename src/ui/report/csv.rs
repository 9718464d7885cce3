//! For spreadsheets and scripts.

use super::compared::of_subject;
use crate::bench::compare::Comparison;
use crate::bench::record::{Estimate, Figure, Record, Subject};
use crate::ui::text::clean;

/// One line for each subject below a line of names. Times are in seconds, rates in hashes per second,
/// shares from 0 to 1; what is not known is empty. What was compared with several baselines has all of them in
/// its cells, between semicolons. Quoted as RFC 4180 says.
///
/// Foreign text that a spreadsheet would take for a formula begins with an apostrophe.
#[must_use]
pub fn csv(records: &[Record]) -> String {
    let rows: Vec<Row> = records
        .iter()
        .flat_map(|record| (0..record.subjects.len()).map(move |place| row(record, place)))
        .collect();
    let head = rows.first().map(|row| row.iter().map(|(name, _)| quoted(name)).collect());
    let cells = rows.iter().map(|row| row.iter().map(|(_, cell)| quoted(cell)).collect());
    let lines: Vec<String> =
        head.into_iter().chain(cells).map(|line: Vec<String>| line.join(",")).collect();
    lines.join("\n")
}

/// Names of columns with a cell for each.
type Row = Vec<(&'static str, String)>;

fn row(record: &Record, place: usize) -> Row {
    let subject = &record.subjects[place];
    let error = vec![("error", maybe_foreign(subject.error.as_ref()))];
    let parts = [of_run(record), of_device(subject), of_kernel(subject), of_rounds(subject)];
    [parts.concat(), of_stress(subject), of_comparisons(record, place), error].concat()
}

fn of_run(record: &Record) -> Row {
    let (tool, machine, settings) = (&record.tool, &record.machine, &record.settings);
    vec![
        ("schema", record.schema.to_string()),
        ("adit", foreign(&tool.adit)),
        ("wgpu", foreign(&tool.wgpu)),
        ("naga", foreign(&tool.naga)),
        ("os", foreign(&machine.os)),
        ("os_kernel", maybe_foreign(machine.kernel.as_ref())),
        ("cpu", maybe_foreign(machine.cpu.as_ref())),
        ("cpu_threads", machine.threads.to_string()),
        ("begun", foreign(&record.begun)),
        ("run_seconds", number(record.seconds)),
        ("interrupted", record.interrupted.to_string()),
        ("seed", settings.seed.to_string()),
        ("asked_seconds", maybe_number(settings.seconds)),
        ("asked_hashes", maybe(settings.hashes)),
        ("openings", settings.openings.to_string()),
        ("stress", settings.stress.to_string()),
    ]
}

fn of_device(subject: &Subject) -> Row {
    let device = &subject.device;
    let subgroups = device.subgroup_sizes;
    vec![
        ("device", foreign(&device.name)),
        ("device_kind", device.kind.to_string()),
        ("backend", foreign(&device.backend)),
        ("driver", maybe_foreign(device.driver.as_ref())),
        ("pci", maybe_foreign(device.pci.as_ref())),
        ("vendor_id", maybe(device.vendor_id)),
        ("device_id", maybe(device.device_id)),
        ("subgroup_min", maybe(subgroups.map(|[min, _]| min))),
        ("subgroup_max", maybe(subgroups.map(|[_, max]| max))),
        ("also_through", foreign(&device.also_through.join("; "))),
    ]
}

fn of_kernel(subject: &Subject) -> Row {
    let kernel = &subject.kernel;
    vec![
        ("kernel", foreign(&kernel.name)),
        ("wgsl_sha256", maybe_foreign(kernel.wgsl_sha256.as_ref())),
        ("workgroup", maybe(kernel.workgroup)),
        ("nonces_per_thread", maybe(kernel.nonces_per_thread)),
        ("headers_min", kernel.headers[0].to_string()),
        ("headers_max", kernel.headers[1].to_string()),
        ("batch_seconds", number(subject.batch_seconds)),
        ("sensors", foreign(&subject.sensors)),
        ("warm_up_seconds", maybe_number(subject.warm_up.map(|warm_up| warm_up.seconds))),
        ("warm_up_steady", maybe(subject.warm_up.map(|warm_up| warm_up.steady))),
    ]
}

fn of_rounds(subject: &Subject) -> Row {
    let estimate = subject.estimate.as_ref();
    let figure = |of: fn(&Estimate) -> Option<f64>| maybe_number(estimate.and_then(of));
    let total = |of: fn(&Estimate) -> usize| maybe(estimate.map(of));
    let low = |figure: Figure| figure.interval.map(|interval| interval.low);
    let high = |figure: Figure| figure.interval.map(|interval| interval.high);
    let device_rate = estimate.and_then(|estimate| estimate.device_rate);
    let host_rate = estimate.map(|estimate| estimate.rate);
    let (hits, proof, limit) = (&subject.hits, subject.proof.as_ref(), subject.limit.as_ref());
    vec![
        ("rate", maybe_number(host_rate.map(|rate| rate.median))),
        ("rate_low", maybe_number(host_rate.and_then(low))),
        ("rate_high", maybe_number(host_rate.and_then(high))),
        ("device_rate", maybe_number(device_rate.map(|rate| rate.median))),
        ("device_rate_low", maybe_number(device_rate.and_then(low))),
        ("device_rate_high", maybe_number(device_rate.and_then(high))),
        ("host_overhead", figure(|estimate| estimate.host_overhead)),
        ("spread", figure(|estimate| Some(estimate.spread))),
        ("opening_spread", figure(|estimate| estimate.opening_spread)),
        ("outliers", total(|estimate| estimate.outliers.len())),
        ("rounds", total(|estimate| estimate.rounds)),
        ("rounds_left_out", total(|estimate| estimate.left_out)),
        ("joule_per_gigahash", figure(|estimate| estimate.joule_per_gigahash)),
        ("hits_expected", number(hits.expected)),
        ("hits_found", hits.found.to_string()),
        ("hits_wrong", hits.wrong.to_string()),
        ("hits_p_value", number(hits.p_value)),
        ("proof_hashes", maybe(proof.map(|proof| proof.hashes))),
        ("proof_hits", maybe(proof.map(|proof| proof.hits))),
        ("checksum", maybe_foreign(proof.map(|proof| &proof.checksum))),
        ("limit", maybe_number(limit.map(|limit| limit.hashes_per_second))),
        ("limit_reached", maybe_number(limit.and_then(|limit| limit.reached))),
        ("limit_formula", maybe_foreign(limit.map(|limit| &limit.formula))),
    ]
}

fn of_stress(subject: &Subject) -> Row {
    let stress = subject.stress.as_ref();
    let easy = stress.map(|stress| &stress.easy);
    vec![
        ("stress_seconds", maybe_number(stress.map(|stress| stress.seconds))),
        ("easy_bits", maybe(stress.map(|stress| stress.easy_bits))),
        ("easy_expected", maybe_number(easy.map(|hits| hits.expected))),
        ("easy_found", maybe(easy.map(|hits| hits.found))),
        ("easy_wrong", maybe(easy.map(|hits| hits.wrong))),
        ("unproven_hashes", maybe(stress.map(|stress| stress.unproven))),
        ("first_wrong_at", maybe_number(stress.and_then(|stress| stress.wrong_at))),
        ("missing_sure_at", maybe_number(stress.and_then(|stress| stress.missing_at))),
        ("losses", maybe(stress.map(|stress| stress.losses.len()))),
    ]
}

fn of_comparisons(record: &Record, place: usize) -> Row {
    let all = |cell: fn(&Comparison) -> String| {
        of_subject(record, place).map(cell).collect::<Vec<_>>().join("; ")
    };
    vec![
        ("compared_with", foreign(&all(|one| one.base.clone()))),
        ("change", all(|one| maybe_number(one.change))),
        ("change_low", all(|one| maybe_number(one.interval.map(|interval| interval.low)))),
        ("change_high", all(|one| maybe_number(one.interval.map(|interval| interval.high)))),
        ("compared_in_turns", all(|one| one.paired.to_string())),
        ("verdict", all(|one| one.verdict.to_string())),
    ]
}

fn maybe(value: Option<impl ToString>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

/// The shortest text that reads back as the same number.
fn number(value: f64) -> String {
    if value.is_finite() { format!("{value:?}") } else { String::new() }
}

fn maybe_number(value: Option<f64>) -> String {
    value.map(number).unwrap_or_default()
}

fn foreign(text: &str) -> String {
    let text = clean(text);
    if text.starts_with(['=', '+', '-', '@']) { format!("'{text}") } else { text }
}

fn maybe_foreign(text: Option<&String>) -> String {
    text.map(|text| foreign(text)).unwrap_or_default()
}

fn quoted(cell: &str) -> String {
    if cell.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", cell.replace('"', "\"\""))
    } else {
        cell.to_owned()
    }
}
