//! What every form of report shows: the subjects in the order in which they were asked for, each with a
//! tag by which the notes name it.

use super::figures::{
    UNKNOWN, around, change, digits, interval, percent, rate, sane, sane_rate, time,
};
use crate::bench::record::{Figure, Record, Round, Subject};
use crate::device::Facts;
use crate::ui::text::{self, clean};

/// All subjects of all records.
pub(super) struct Overview<'r> {
    pub(super) records: &'r [Record],
    pub(super) lines: Vec<Line<'r>>,
    /// The place of the fastest line.
    pub(super) best: Option<usize>,
}

/// A subject.
pub(super) struct Line<'r> {
    /// `3`, or `B3` where there are several records.
    pub(super) tag: String,
    /// The place of its record.
    pub(super) record: usize,
    pub(super) subject: &'r Subject,
    /// Its rate, if it can be compared.
    pub(super) rate: Option<Figure>,
}

impl<'r> Overview<'r> {
    pub(super) fn of(records: &'r [Record]) -> Self {
        let mut lines = Vec::new();
        for (place, record) in records.iter().enumerate() {
            for (number, subject) in record.subjects.iter().enumerate() {
                lines.push(Line {
                    tag: format!("{}{}", record_tag(records, place), number + 1),
                    record: place,
                    subject,
                    rate: subject.estimate.as_ref().and_then(|estimate| sane_rate(estimate.rate)),
                });
            }
        }
        let rated = lines.iter().enumerate().filter_map(|(i, line)| Some((i, line.rate?.median)));
        let best = rated.max_by(|a, b| a.1.total_cmp(&b.1).then(b.0.cmp(&a.0))).map(|(i, _)| i);
        Self { records, lines, best }
    }

    /// The highest rate.
    pub(super) fn best_rate(&self) -> Option<f64> {
        Some(self.lines.get(self.best?)?.rate?.median)
    }

    /// How a line compares with the fastest.
    pub(super) fn beside_best(&self, place: usize) -> String {
        if self.best == Some(place) {
            return "fastest".to_owned();
        }
        let rates = self.lines[place].rate.zip(self.best_rate());
        rates.map_or_else(String::new, |(rate, best)| change(rate.median, best))
    }

    /// The subjects of one device in one record, in the order of the lines.
    pub(super) fn by_device(&self) -> Vec<Vec<usize>> {
        let mut groups: Vec<Vec<usize>> = Vec::new();
        for (place, line) in self.lines.iter().enumerate() {
            let same = |group: &&mut Vec<usize>| {
                let first = &self.lines[group[0]];
                first.record == line.record && first.subject.device == line.subject.device
            };
            match groups.iter_mut().find(same) {
                Some(group) => group.push(place),
                None => groups.push(vec![place]),
            }
        }
        groups
    }

    /// The devices of a record, with what they were reached through; with tags where they are several.
    pub(super) fn devices(&self, record: usize) -> Vec<String> {
        let mut groups = self.by_device();
        groups.retain(|group| self.lines[group[0]].record == record);
        let several = groups.len() > 1;
        let device = |group: &Vec<usize>| {
            let device = device(&self.lines[group[0]].subject.device);
            if several { format!("{}: {device}", self.tags(group)) } else { device }
        };
        groups.iter().map(device).collect()
    }

    /// Whether the length of the batches tells subjects of a device apart.
    pub(super) fn batches_differ(&self) -> bool {
        let length = |place: usize| self.lines[place].subject.batch_seconds;
        let differ = |pair: &[usize]| length(pair[0]).total_cmp(&length(pair[1])).is_ne();
        self.by_device().iter().any(|group| group.windows(2).any(differ))
    }

    /// Tags of some lines, `1 to 4 and 7`.
    pub(super) fn tags(&self, places: &[usize]) -> String {
        if places.len() == self.lines.len() && places.len() > 1 {
            return "all".to_owned();
        }
        let mut parts = Vec::new();
        for run in places.chunk_by(|a, b| a + 1 == *b && self.same_record(*a, *b)) {
            match run {
                [first, _, .., last] => {
                    parts.push(format!("{} to {}", self.lines[*first].tag, self.lines[*last].tag));
                }
                few => parts.extend(few.iter().map(|place| self.lines[*place].tag.clone())),
            }
        }
        listed(&parts)
    }

    fn same_record(&self, a: usize, b: usize) -> bool {
        self.lines[a].record == self.lines[b].record
    }
}

impl Line<'_> {
    pub(super) fn device(&self) -> String {
        clean(&self.subject.device.name)
    }

    pub(super) fn kernel(&self) -> String {
        clean(&self.subject.kernel.name)
    }

    pub(super) fn batch(&self) -> String {
        time(self.subject.batch_seconds)
    }

    /// Kernel and, where it tells subjects apart, length of the batches.
    pub(super) fn kernel_and_batch(&self, with_batch: bool) -> String {
        let kernel = self.kernel();
        if with_batch { format!("{kernel}, {}", self.batch()) } else { kernel }
    }

    pub(super) fn rate(&self) -> String {
        match (self.rate, &self.subject.error) {
            (Some(figure), _) => rate(figure.median),
            (None, Some(_)) => "failed".to_owned(),
            (None, None) => UNKNOWN.to_owned(),
        }
    }

    pub(super) fn around(&self) -> String {
        self.rate.and_then(around).unwrap_or_default()
    }

    pub(super) fn interval(&self) -> String {
        self.rate.and_then(interval).unwrap_or_default()
    }

    pub(super) fn spread(&self) -> String {
        let estimate = self.subject.estimate.as_ref().filter(|estimate| estimate.rounds > 1);
        estimate.map_or_else(String::new, |estimate| percent(estimate.spread))
    }

    /// The rate by the device's own clock.
    pub(super) fn device_rate(&self) -> String {
        let figure = self.subject.estimate.as_ref().and_then(|estimate| estimate.device_rate);
        figure.and_then(sane_rate).map_or_else(String::new, |figure| rate(figure.median))
    }

    pub(super) fn host_overhead(&self) -> String {
        let share = self.subject.estimate.as_ref().and_then(|estimate| estimate.host_overhead);
        share.map(percent).unwrap_or_default()
    }

    /// Joule for 10^9 hashes.
    pub(super) fn energy(&self) -> String {
        let estimate = self.subject.estimate.as_ref();
        estimate.and_then(|estimate| estimate.joule_per_gigahash).map(digits).unwrap_or_default()
    }

    pub(super) fn of_limit(&self) -> String {
        let limit = self.subject.limit.as_ref();
        limit.and_then(|limit| limit.reached).map(percent).unwrap_or_default()
    }

    /// Hits found and expected.
    pub(super) fn hits(&self) -> String {
        let hits = &self.subject.hits;
        let all_wrong = self.subject.wrong();
        let expected = if hits.expected < 1000.0 {
            digits(hits.expected)
        } else {
            format!("{:.0}", hits.expected.min(1e15))
        };
        let wrong = if all_wrong > 0 {
            format!(", {} WRONG", text::count(all_wrong))
        } else {
            String::new()
        };
        format!("{} of {expected}{wrong}", hits.found)
    }

    /// Rounds that count, of all.
    pub(super) fn rounds(&self) -> String {
        match &self.subject.estimate {
            Some(estimate) if estimate.left_out > 0 => {
                format!(
                    "{} of {}",
                    estimate.rounds,
                    estimate.rounds.saturating_add(estimate.left_out)
                )
            }
            Some(estimate) => estimate.rounds.to_string(),
            None => self.subject.rounds.len().to_string(),
        }
    }
}

/// `A`, `B`, … where there are several records; nothing where there is one.
pub(super) fn record_tag(records: &[Record], place: usize) -> String {
    if records.len() < 2 {
        return String::new();
    }
    let letter = |digit: usize| char::from(b'A' + u8::try_from(digit % 26).unwrap_or_default());
    let mut tag = letter(place).to_string();
    let mut rest = place / 26;
    while rest > 0 {
        tag.insert(0, letter(rest - 1));
        rest = (rest - 1) / 26;
    }
    tag
}

/// What measured, and where: a sentence for each.
pub(super) fn about(record: &Record) -> [String; 2] {
    let (tool, machine) = (&record.tool, &record.machine);
    let mut place = vec![clean(&machine.os)];
    place.extend(machine.kernel.as_deref().map(clean));
    place.extend(machine.cpu.as_deref().map(clean));
    place.push(text::counted(machine.threads as u64, "thread"));
    let settings = &record.settings;
    let mut asked = vec![format!("seed {}", settings.seed)];
    if settings.stress {
        asked.extend(settings.seconds.map(|seconds| format!("stress test of {}", time(seconds))));
    } else {
        asked.extend(settings.seconds.map(|seconds| format!("{} for each", time(seconds))));
        let hashes = settings.hashes.map(|hashes| text::counted(hashes, "hash"));
        asked.extend(hashes.map(|hashes| format!("{hashes} for each")));
        asked.push(text::counted(settings.openings.into(), "opening"));
    }
    [
        format!(
            "adit {}, wgpu {} and naga {} on {}",
            clean(&tool.adit),
            clean(&tool.wgpu),
            clean(&tool.naga),
            place.join(", ")
        ),
        format!(
            "begun {}, took {}; {}",
            clean(&record.begun),
            time(record.seconds),
            asked.join(", ")
        ),
    ]
}

/// A device, and what it was reached through.
fn device(facts: &Facts) -> String {
    let mut about = vec![facts.kind.to_string(), clean(&facts.backend)];
    about.dedup();
    about.extend(facts.driver.as_deref().map(clean));
    about.extend(facts.pci.as_deref().map(|pci| format!("PCI {}", clean(pci))));
    format!("{}: {}", clean(&facts.name), about.join(", "))
}

/// The rate of a round by the host's clock.
pub(super) fn round_rate(round: &Round) -> Option<f64> {
    positive(round.rate())
}

/// The same by the device's.
pub(super) fn round_device_rate(round: &Round) -> Option<f64> {
    positive(round.device_rate())
}

fn positive(rate: Option<f64>) -> Option<f64> {
    rate.and_then(sane).filter(|rate| *rate > 0.0)
}

/// `a`, `a and b`, `a, b and c`.
pub(super) fn listed(parts: &[String]) -> String {
    match parts {
        [] => String::new(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}
