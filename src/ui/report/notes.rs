//! What a reader must know besides the figures, in sentences.

use std::collections::BTreeMap;

use super::figures::{digits, percent, rate, time};
use super::lines::{Line, Overview, listed, record_tag, round_rate};
use crate::bench::compare::{Comparison, SURE, Verdict};
use crate::bench::record::{self, Estimate, Hits, Round, Stress, Subject};
use crate::device::sensors::Throttle;
use crate::ui::text::{clean, count, counted};

/// A number of hits is told as unlikely when so unusual a one is rarer than this.
const UNLIKELY: f64 = 0.001;

/// A difference between openings is told from here on, as a share of the rate.
const OPENINGS_DIFFER: f64 = 0.005;

/// Outliers that are named one by one.
const NAMED: usize = 5;

/// A remark.
pub(super) struct Note {
    /// The lines that it is about, by place; none when it is about all together.
    pub(super) lines: Vec<usize>,
    /// Whether it puts the result in question.
    pub(super) loud: bool,
    /// The remark, cleaned.
    pub(super) text: String,
}

impl Note {
    /// The remark after the tags of what it is about.
    pub(super) fn sentence(&self, overview: &Overview<'_>) -> String {
        match self.lines.as_slice() {
            [] => self.text.clone(),
            lines => format!("{}: {}", overview.tags(lines), self.text),
        }
    }
}

/// All remarks, the loud ones first.
pub(super) fn notes(overview: &Overview<'_>) -> Vec<Note> {
    let mut notes: Vec<Note> = Vec::new();
    interrupted(overview, &mut notes);
    checksums(overview, &mut notes);
    as_fast(overview, &mut notes);
    for (place, line) in overview.lines.iter().enumerate() {
        let loud = trouble(line.subject).into_iter().map(|text| (true, text));
        let quiet = doubts(line).into_iter().chain(unknowns(line.subject));
        for (loud, text) in loud.chain(quiet.map(|text| (false, text))) {
            // The same of several subjects is told once.
            let known = notes.iter_mut().find(|note| !note.lines.is_empty() && note.text == text);
            match known {
                Some(note) => note.lines.push(place),
                None => notes.push(Note { lines: vec![place], loud, text }),
            }
        }
    }
    notes.sort_by_key(|note| !note.loud);
    notes
}

fn interrupted(overview: &Overview<'_>, notes: &mut Vec<Note>) {
    for (place, record) in overview.records.iter().enumerate() {
        if record.interrupted {
            let tag = record_tag(overview.records, place);
            let run = if tag.is_empty() { "The run".to_owned() } else { format!("The run {tag}") };
            let text =
                format!("{run} was stopped before its end; what was measured until then counts.");
            notes.push(Note { lines: Vec::new(), loud: true, text });
        }
    }
}

/// Subjects that did the same work must have the same checksum.
fn checksums(overview: &Overview<'_>, notes: &mut Vec<Note>) {
    let settings = |line: &Line<'_>| &overview.records[line.record].settings;
    let works = record::checksums(overview.lines.iter().map(|line| (settings(line), line.subject)));
    for ((seed, hashes), sums) in &works {
        let work = format!("the first {} hashes of seed {seed}", count(*hashes));
        let short = |sum: &str| clean(sum).chars().take(16).collect::<String>();
        if sums.len() == 1 {
            for (sum, lines) in sums {
                let agree = if lines.len() > 1 { ", the same on each" } else { "" };
                let text = format!("Checksum {} over {work}{agree}.", short(sum));
                notes.push(Note { lines: lines.clone(), loud: false, text });
            }
            continue;
        }
        let each: Vec<String> = sums
            .iter()
            .map(|(sum, lines)| format!("{} on {}", short(sum), overview.tags(lines)))
            .collect();
        let text = format!(
            "CHECKSUMS DIFFER over {work}: {}. At least one of them computes wrongly; trust none of \
             their rates before that is explained.",
            each.join("; ")
        );
        notes.push(Note { lines: Vec::new(), loud: true, text });
    }
    // A stress test has none.
    let lacks = |line: &Line<'_>| line.subject.proof.is_none() && line.subject.stress.is_none();
    let lines = overview.lines.iter().enumerate();
    let without: Vec<usize> = lines.filter(|(_, line)| lacks(line)).map(|(i, _)| i).collect();
    if !without.is_empty() {
        let text = "There is no checksum: the work for it was not done.".to_owned();
        notes.push(Note { lines: without, loud: false, text });
    }
}

/// Who cannot be told from the fastest: by a comparison, as the report shows them, or by the intervals
/// where there are too few openings for one.
fn as_fast(overview: &Overview<'_>, notes: &mut Vec<Note>) {
    let Some(best) = overview.best else { return };
    let (mut compared, mut overlap) = (Vec::new(), Vec::new());
    let fastest = &overview.lines[best];
    let interval = |line: &Line<'_>| line.rate.and_then(|rate| rate.interval);
    for (place, line) in overview.lines.iter().enumerate() {
        if place == best || line.rate.is_none() {
            continue;
        }
        let same_run = line.record == fastest.record;
        let comparison = Comparison::new(fastest.subject, line.subject, place, same_run);
        let ends = interval(line).zip(interval(fastest));
        match comparison.change {
            Some(_) if comparison.verdict != Verdict::Slower => compared.push(place),
            None if ends.is_some_and(|(own, best)| own.high >= best.low) => overlap.push(place),
            _ => {}
        }
    }
    let tag = &fastest.tag;
    let sure = SURE * 100.0;
    for (lines, text) in [
        (
            compared,
            format!(
                "May be as fast as {tag}: no comparison is {sure:.0} % sure that it is slower."
            ),
        ),
        (overlap, format!("May be as fast as {tag}: the 95 % intervals overlap.")),
    ] {
        if !lines.is_empty() {
            notes.push(Note { lines, loud: false, text });
        }
    }
}

/// What puts the result in question.
fn trouble(subject: &Subject) -> Vec<String> {
    let mut told = Vec::new();
    if let Some(error) = &subject.error {
        told.push(format!("Ended early: {}", sentence(error)));
    }
    if let Some(stress) = &subject.stress {
        told.extend(under_stress(subject, stress));
        return told;
    }
    let hits = &subject.hits;
    if hits.wrong > 0 {
        let wrong = wrong(hits.wrong, hits.found);
        told.push(format!("{wrong}. The device miscalculates."));
    }
    if hits.p_value < UNLIKELY {
        let fewer = super::figures::real(hits.found) < hits.expected;
        let flaw = if fewer { "loses hits" } else { "counts wrongly" };
        told.push(format!(
            "{} where {} are expected: it {flaw}, unless chance made it (p = {:.1e}).",
            counted(hits.found, "hit"),
            digits(hits.expected),
            hits.p_value
        ));
    }
    told
}

/// So many wrong hits beside so many right ones.
fn wrong(wrong: u64, right: u64) -> String {
    let verb = if wrong == 1 { "was" } else { "were" };
    format!("{} of {} {verb} WRONG", count(wrong), counted(right.saturating_add(wrong), "hit"))
}

/// What went wrong in a stress test.
fn under_stress(subject: &Subject, stress: &Stress) -> Vec<String> {
    let after = |at: f64| format!("after {}", time(at));
    let mut told = Vec::new();
    if subject.wrong() > 0 {
        let right = subject.hits.found.saturating_add(stress.easy.found);
        told.push(format!(
            "{}, the first {}. The device miscalculates.",
            wrong(subject.wrong(), right),
            stress.wrong_at.map_or_else(|| "at an unknown time".to_owned(), after),
        ));
    }
    if let Some(at) = stress.missing_at {
        told.push(format!(
            "Hits are MISSING, which was certain {}: {}. The device loses hits.",
            after(at),
            found(subject, stress),
        ));
    }
    if !stress.losses.is_empty() {
        let mut losses: Vec<String> = stress
            .losses
            .iter()
            .map(|loss| format!("{} ({})", after(loss.at), clean(loss.why.trim())))
            .collect();
        name_a_few(&mut losses);
        let times = counted(stress.losses.len() as u64, "time");
        told.push(format!("The device BROKE {times}: {}.", listed(&losses)));
    }
    if stress.unproven > 0 {
        let hashes = counted(stress.unproven, "hash");
        told.push(format!("The device could not vouch for {hashes}: their reports were broken."));
    }
    told
}

/// Hits of both kinds, found and expected.
fn found(subject: &Subject, stress: &Stress) -> String {
    let of =
        |hits: &Hits| format!("{} where {} are expected", count(hits.found), digits(hits.expected));
    format!(
        "{} with {} leading zero bits, {} with 32",
        of(&stress.easy),
        stress.easy_bits,
        of(&subject.hits)
    )
}

/// What makes its figures less certain.
fn doubts(line: &Line<'_>) -> Vec<String> {
    let subject = line.subject;
    let mut told = Vec::new();
    if let Some(stress) = &subject.stress {
        let load = time(stress.seconds);
        told.push(format!("Under load for {load}; hits: {}.", found(subject, stress)));
    }
    match subject.warm_up {
        Some(warm_up) if !warm_up.steady => told.push(format!(
            "The rate was not steady at the end of the warm-up of {}.",
            time(warm_up.seconds)
        )),
        None if subject.error.is_none() && subject.stress.is_none() => {
            told.push("It did not end its warm-up.".to_owned());
        }
        _ => {}
    }
    told.extend(throttled(&subject.rounds));
    let Some(estimate) = &subject.estimate else {
        if subject.error.is_none() {
            told.push("No round counts, so it has no rate.".to_owned());
        }
        return told;
    };
    if line.rate.is_some_and(|rate| rate.interval.is_none()) {
        told.push("Too few rounds for an interval.".to_owned());
    }
    told.extend(outliers(estimate, &subject.rounds));
    if let Some(spread) = estimate.opening_spread.filter(|spread| *spread >= OPENINGS_DIFFER) {
        told.push(format!(
            "The rate differs by {} from opening to opening, beyond the noise of the rounds.",
            percent(spread)
        ));
    }
    told
}

fn throttled(rounds: &[Round]) -> Option<String> {
    let left_out: Vec<&Round> = rounds.iter().filter(|round| round.left_out).collect();
    if left_out.is_empty() {
        return None;
    }
    let mut reasons: BTreeMap<Throttle, usize> = BTreeMap::new();
    for reason in left_out.iter().flat_map(|round| round.throttle.iter().flatten()) {
        *reasons.entry(*reason).or_default() += 1;
    }
    let reasons: Vec<String> =
        reasons.iter().map(|(reason, rounds)| format!("{reason} in {rounds}")).collect();
    let reasons =
        if reasons.is_empty() { String::new() } else { format!(": {}", listed(&reasons)) };
    let verb = if left_out.len() == 1 { "is" } else { "are" };
    let all = counted(rounds.len() as u64, "round");
    Some(format!("{} of {all} {verb} left out as throttled{reasons}.", left_out.len()))
}

fn outliers(estimate: &Estimate, rounds: &[Round]) -> Option<String> {
    let named = estimate.outliers.iter().filter_map(|place| Some((*place, rounds.get(*place)?)));
    let mut named: Vec<String> = named
        .map(|(place, round)| {
            let rate = round_rate(round).map(rate).unwrap_or_default();
            format!("round {} ({rate})", place + 1)
        })
        .collect();
    if named.is_empty() {
        return None;
    }
    name_a_few(&mut named);
    Some(format!("Far from the other rounds, but counted: {}.", listed(&named)))
}

/// Names the first, and says how many more there are.
fn name_a_few(names: &mut Vec<String>) {
    if let Some(more) = names.len().checked_sub(NAMED).filter(|more| *more > 0) {
        names.truncate(NAMED);
        names.push(format!("{more} more"));
    }
}

/// What is not known, and how the rest is known.
fn unknowns(subject: &Subject) -> Vec<String> {
    let mut told = Vec::new();
    if subject.estimate.as_ref().is_some_and(|estimate| estimate.device_rate.is_none()) {
        told.push(
            "No timestamps of the device: its own rate and the host's overhead are unknown."
                .to_owned(),
        );
    }
    if subject.readings.is_empty() {
        told.push(format!("No readings of sensors: {}", sentence(&subject.sensors)));
    }
    if let Some(limit) = &subject.limit {
        let most = rate(limit.hashes_per_second);
        told.push(format!("Limit {most}: {}", sentence(&limit.formula)));
    } else if subject.error.is_none() {
        told.push("Its limit is not known.".to_owned());
    }
    told
}

/// Foreign text as the end of a sentence.
fn sentence(text: &str) -> String {
    let text = clean(text.trim());
    if text.ends_with(['.', '!', '?']) { text } else { format!("{text}.") }
}
