//! Makes snapshots from the news of a run and the books of engine and outbox.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::meter::{Meter, Sample};
use super::{
    Device, Hashes, Health, Latency, Level, Line, Link, Outlook, Run, Shared, Snapshot, Source,
    State,
};
use crate::chain;
use crate::device::DeviceInfo;
use crate::device::sensors::Reading;
use crate::engine::outbox::{Counts, Pending};
use crate::engine::{Account, DeviceAccount, DeviceId, governor};
use crate::limits::{FOREIGN_TEXT, LOG_SHOWN, SHARES_SHOWN, VERDICTS_TIMED};
use crate::runtime::mining::{News, Title};
use crate::runtime::net::Said;
use crate::source::{Event, Work};
use crate::work::{Price, Share, SourceId, Ticket, Verdict};

/// How long a device that made a mistake counts as sick.
const CONVALESCENCE: Duration = Duration::from_secs(600);

/// A source that refuses many shares has a line in the log so often.
const REFUSALS_TOLD: Duration = Duration::from_secs(10);

/// A time by both clocks: one never goes back, the other is people's.
#[derive(Debug, Clone, Copy)]
pub(in crate::runtime) struct Moment {
    pub(in crate::runtime) at: Instant,
    pub(in crate::runtime) unix_seconds: f64,
}

/// What engine, outbox, failover and sensors say at one moment.
pub(in crate::runtime) struct Books {
    pub(in crate::runtime) accounts: BTreeMap<SourceId, Account>,
    pub(in crate::runtime) devices: BTreeMap<DeviceId, DeviceAccount>,
    /// By the devices' numbers.
    pub(in crate::runtime) readings: Vec<Reading>,
    /// By the sources' numbers.
    pub(in crate::runtime) desks: Vec<Desk>,
    pub(in crate::runtime) total: Counts,
    pub(in crate::runtime) governed: governor::Status,
    pub(in crate::runtime) is_over: bool,
}

/// What the run knows of a source.
pub(in crate::runtime) struct Desk {
    pub(in crate::runtime) counts: Counts,
    pub(in crate::runtime) is_wanted: bool,
    /// Its place in the order of preference; none when it was removed.
    pub(in crate::runtime) place: Option<usize>,
    pub(in crate::runtime) weight: u32,
}

/// Remembers what no book has.
pub(in crate::runtime) struct Recorder {
    begun: Moment,
    meter: Meter,
    devices: Vec<DeviceNotes>,
    sources: Vec<SourceNotes>,
    shares: VecDeque<Arc<Shared>>,
    log: VecDeque<Arc<Line>>,
    lines: u64,
    price: Option<Price>,
}

struct DeviceNotes {
    info: DeviceInfo,
    meter: Meter,
    why: Option<String>,
    /// When it made its last mistake.
    faulty: Option<Instant>,
    is_gone: bool,
    /// It is opened again.
    is_away: bool,
}

struct SourceNotes {
    title: Title,
    meter: Meter,
    /// What it said last of itself; nothing while a connection is made.
    link: Option<Link>,
    why: Option<String>,
    job: Option<About>,
    best: Option<f64>,
    latencies: VecDeque<f64>,
    accepted: Option<f64>,
    /// When its last refusal was told.
    refused: Option<Instant>,
}

struct About {
    name: String,
    height: Option<u32>,
    difficulty: f64,
    block_difficulty: f64,
}

impl Moment {
    pub(in crate::runtime) fn now() -> Self {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { at: Instant::now(), unix_seconds: unix.as_secs_f64() }
    }
}

impl Recorder {
    pub(in crate::runtime) fn new<'d>(
        devices: impl Iterator<Item = &'d DeviceInfo>,
        sources: &[Title],
        now: Moment,
    ) -> Self {
        let device = |info: &DeviceInfo| DeviceNotes {
            info: info.clone(),
            meter: Meter::new(now.at),
            why: None,
            faulty: None,
            is_gone: false,
            is_away: false,
        };
        Self {
            begun: now,
            meter: Meter::new(now.at),
            devices: devices.map(device).collect(),
            sources: sources.iter().map(|title| SourceNotes::new(title, now)).collect(),
            shares: VecDeque::new(),
            log: VecDeque::new(),
            lines: 0,
            price: None,
        }
    }

    /// One more source.
    pub(in crate::runtime) fn add(&mut self, title: &Title, now: Moment) {
        self.sources.push(SourceNotes::new(title, now));
    }

    /// What energy costs.
    pub(in crate::runtime) fn set_price(&mut self, price: Option<Price>) {
        self.price = price;
    }

    /// Notes what happened.
    pub(in crate::runtime) fn hear(&mut self, news: &News<'_>, now: Moment) {
        match news {
            News::Said(source, said) => self.said(*source, said, now),
            News::Found(device, share, ticket, pending) => {
                self.found(*device, share, *ticket, pending, now);
            }
            News::Closed(ticket, pending, verdict, why) => {
                self.closed(*ticket, pending, *verdict, *why, now);
            }
            News::Fault(device, why) | News::Dismissed(device, why) => {
                let is_gone = matches!(news, News::Dismissed(..));
                if let Some(notes) = self.devices.get_mut(usize::from(device.0)) {
                    notes.why = Some(cut(why));
                    notes.faulty = Some(now.at);
                    notes.is_gone |= is_gone;
                    notes.is_away &= !is_gone;
                }
                let level = if is_gone { Level::Error } else { Level::Warning };
                self.write(level, (None, Some(*device)), why, now);
            }
            News::Lost(device, why, standing) => {
                let back = standing.in_words(now.at).unwrap_or_default();
                let text = format!("{why}; {back}");
                if let Some(notes) = self.devices.get_mut(usize::from(device.0)) {
                    notes.why = Some(cut(&text));
                    notes.faulty = Some(now.at);
                    notes.is_away = true;
                }
                self.write(Level::Error, (None, Some(*device)), &text, now);
            }
            News::Back(device) => {
                if let Some(notes) = self.devices.get_mut(usize::from(device.0)) {
                    notes.is_away = false;
                }
                self.write(Level::Info, (None, Some(*device)), "it works again", now);
            }
            News::ShareLog(error) => {
                let text = format!("the share log cannot be written: {error}");
                self.write(Level::Warning, (None, None), &text, now);
            }
            News::Parts(parts) => {
                if parts.iter().all(|part| *part == 0) {
                    let text = "no source has work: the devices wait";
                    self.write(Level::Warning, (None, None), text, now);
                }
            }
            News::Governed(status) => {
                self.write(Level::Info, (None, None), &status.to_string(), now);
            }
            News::Reloaded(reloaded) => {
                let level = if reloaded.error.is_some() { Level::Warning } else { Level::Info };
                self.write(level, (None, None), &reloaded.to_string(), now);
            }
            News::Slept(slept) => {
                self.write(Level::Info, (None, None), &slept.to_string(), now);
            }
            News::Tick(_) => {}
        }
    }

    /// How it all is now.
    pub(in crate::runtime) fn snapshot(&mut self, books: &Books, now: Moment) -> Snapshot {
        let mut sum = Account::default();
        for account in books.accounts.values() {
            sum.add(&account.tally, &account.counters);
        }
        self.measure(books, &sum, now.at);
        let hashes = Hashes {
            assigned: sum.tally.assigned,
            scanned: sum.tally.scanned,
            held: sum.tally.held,
            given_back: sum.tally.given_back,
            candidates: sum.counters.candidates,
            wrong: sum.counters.wrong,
        };
        let best = self.sources.iter().filter_map(|source| source.best);
        let (devices, sources) = (self.devices(books, now.at), self.sources(books));
        let rates = self.meter.rates();
        let has_work = books.desks.iter().any(|desk| desk.weight > 0);
        Snapshot {
            run: Run {
                version: env!("CARGO_PKG_VERSION"),
                unix_seconds: now.unix_seconds,
                started_unix_seconds: self.begun.unix_seconds,
                uptime_seconds: now.at.saturating_duration_since(self.begun.at).as_secs_f64(),
                state: match () {
                    () if books.is_over => State::Ended,
                    () if books.governed.is_paused() => State::Paused,
                    () if has_work => State::Mining,
                    () => State::Waiting,
                },
                paused: books.governed.paused.clone(),
                hashes_per_second: rates,
                found_work: self.meter.found_work(),
                outlook: Outlook::of(rates.one_minute, &devices, &sources, self.price.as_ref()),
            },
            devices,
            sources,
            shares: books.total,
            best_share_difficulty: best.reduce(f64::max),
            hashes,
            last_shares: self.shares.clone(),
            log: self.log.clone(),
        }
    }

    fn measure(&mut self, books: &Books, sum: &Account, at: Instant) {
        let mut expected = 0.0;
        for (device, account) in &books.devices {
            expected += account.expected_candidates;
            if let Some(notes) = self.devices.get_mut(usize::from(device.0)) {
                notes.meter.observe(Sample {
                    at,
                    hashes: account.scanned,
                    candidates: account.candidates,
                    expected: account.expected_candidates,
                    busy: account.busy,
                });
            }
        }
        let of = |account: &Account| Sample {
            at,
            hashes: account.tally.scanned,
            candidates: account.counters.candidates,
            expected: 0.0,
            busy: Duration::ZERO,
        };
        self.meter.observe(Sample { expected, ..of(sum) });
        for (source, notes) in (0..).map(SourceId).zip(&mut self.sources) {
            notes.meter.observe(of(&books.accounts.get(&source).cloned().unwrap_or_default()));
        }
    }

    fn devices(&self, books: &Books, now: Instant) -> Vec<Device> {
        let device = |(device, notes): (DeviceId, &DeviceNotes)| {
            let account = books.devices.get(&device).copied().unwrap_or_default();
            let reading = books.readings.get(usize::from(device.0)).cloned().unwrap_or_default();
            let info = notes.info.clone();
            let is_sick = |since: Instant| now.saturating_duration_since(since) < CONVALESCENCE;
            Device {
                device,
                name: cut(&info.name),
                kind: info.kind,
                backend: info.backend,
                driver: info.driver,
                pci: info.pci,
                kernel: info.kernel,
                health: match notes.faulty {
                    _ if notes.is_gone => Health::Gone,
                    _ if notes.is_away => Health::Away,
                    Some(since) if is_sick(since) => Health::Sick,
                    _ => Health::Well,
                },
                why: notes.why.clone(),
                hashes_per_second: notes.meter.rates(),
                found_work: notes.meter.found_work(),
                busy_ratio: notes.meter.busy_ratio(),
                batch_seconds: account.batch_times.map(Into::into),
                scanned_hashes: account.scanned,
                candidates: account.candidates,
                wrong_hits: account.wrong,
                faults: account.faults,
                sensors: reading.into(),
                pace: books.governed.devices.iter().find(|one| one.device == device).cloned(),
            }
        };
        (0..).map(DeviceId).zip(&self.devices).map(device).collect()
    }

    fn sources(&self, books: &Books) -> Vec<Source> {
        let source = |((source, notes), desk): ((SourceId, &SourceNotes), &Desk)| {
            let job = notes.job.as_ref();
            let account = books.accounts.get(&source);
            Source {
                source,
                name: notes.title.name.clone(),
                insecure: notes.title.is_insecure,
                place: desk.place,
                state: match notes.link {
                    _ if desk.place.is_none() => Link::Removed,
                    _ if !desk.is_wanted => Link::Standby,
                    None => Link::Connecting,
                    Some(Link::Ready) if desk.weight > 0 => Link::Mining,
                    Some(link) => link,
                },
                why: notes.why.clone(),
                weight: desk.weight,
                job: job.map(|job| job.name.clone()),
                height: job.and_then(|job| job.height),
                difficulty: job.map(|job| job.difficulty),
                block_difficulty: job.map(|job| job.block_difficulty),
                hashes_per_second: notes.meter.rates(),
                scanned_hashes: account.map_or(0, |account| account.tally.scanned),
                shares: desk.counts,
                best_share_difficulty: notes.best,
                verdict_seconds: latency(&notes.latencies),
                accepted_unix_seconds: notes.accepted,
            }
        };
        let notes = (0..).map(SourceId).zip(&self.sources);
        notes.zip(&books.desks).map(source).collect()
    }

    fn said(&mut self, source: SourceId, said: &Said, now: Moment) {
        let Some(notes) = self.sources.get_mut(usize::from(source.0)) else { return };
        let (link, level, text) = match said {
            Said::Event(Event::Work(work)) => {
                (notes.link, notes.why, notes.job) = (Some(Link::Ready), None, Some(about(work)));
                return;
            }
            Said::Event(Event::Ready) => (Some(Link::Ready), Level::Info, "connected"),
            Said::Event(Event::NoWork(why)) => (Some(Link::NoWork), Level::Warning, why.as_str()),
            Said::Down(down, _) => (Some(Link::Down), Level::Warning, down.why.as_str()),
            Said::Event(Event::Message(text)) => (None, Level::Info, text.as_str()),
            Said::Event(Event::Warning(text)) | Said::Disk(text) => {
                (None, Level::Warning, text.as_str())
            }
            Said::Event(Event::Verdict(..) | Event::Reconnect { .. } | Event::Down(_))
            | Said::Kept(..) => return,
        };
        if let Some(link) = link {
            let is_well = link == Link::Ready;
            notes.link = Some(link);
            notes.why = (!is_well).then(|| cut(text));
            notes.job.take_if(|_| !is_well);
        }
        self.write(level, (Some(source), None), text, now);
    }

    fn found(
        &mut self,
        device: DeviceId,
        share: &Share,
        ticket: Ticket,
        pending: &Pending,
        now: Moment,
    ) {
        let hash_difficulty = chain::hash_difficulty(&share.hash);
        if let Some(notes) = self.sources.get_mut(usize::from(pending.source.0)) {
            notes.best = Some(notes.best.map_or(hash_difficulty, |best| best.max(hash_difficulty)));
        }
        let shared = Shared {
            share: ticket,
            unix_seconds: now.unix_seconds,
            source: pending.source,
            device,
            difficulty: pending.difficulty,
            hash_difficulty,
            hash: share.hash.to_string(),
            block: pending.is_block,
            verdict: None,
            why: None,
            verdict_seconds: None,
        };
        push(&mut self.shares, Arc::new(shared), SHARES_SHOWN);
        if pending.is_block {
            let text = format!("a block was found: {}", share.hash);
            self.write(Level::Info, (Some(pending.source), Some(device)), &text, now);
        }
    }

    fn closed(
        &mut self,
        ticket: Ticket,
        pending: &Pending,
        verdict: Verdict,
        why: Option<&str>,
        now: Moment,
    ) {
        let took = now.at.saturating_duration_since(pending.found).as_secs_f64();
        let Some(notes) = self.sources.get_mut(usize::from(pending.source.0)) else { return };
        let is_answer = matches!(
            verdict,
            Verdict::Accepted | Verdict::Rejected | Verdict::Stale | Verdict::Duplicate
        );
        if is_answer {
            push(&mut notes.latencies, took, VERDICTS_TIMED);
        }
        let is_accepted = verdict == Verdict::Accepted;
        if is_accepted {
            notes.accepted = Some(now.unix_seconds);
        }
        let is_told = |since: Instant| now.at.saturating_duration_since(since) < REFUSALS_TOLD;
        let is_news = !is_accepted && !notes.refused.is_some_and(is_told);
        if is_news {
            notes.refused = Some(now.at);
        }
        // Newest first: a verdict is mostly that of a share found just now.
        if let Some(shared) = self.shares.iter_mut().rev().find(|shared| shared.share == ticket) {
            let shared = Arc::make_mut(shared);
            shared.verdict = Some(verdict);
            shared.why = why.map(cut);
            shared.verdict_seconds = Some(took);
        }
        let what = if pending.is_block { "block" } else { "share" };
        let said = why.map(|why| format!(": {why}")).unwrap_or_default();
        if is_news || pending.is_block {
            let level = if is_accepted { Level::Info } else { Level::Warning };
            let text = format!("{what} {verdict}{said}");
            self.write(level, (Some(pending.source), None), &text, now);
        }
    }

    fn write(
        &mut self,
        level: Level,
        (source, device): (Option<SourceId>, Option<DeviceId>),
        text: &str,
        now: Moment,
    ) {
        let (number, unix_seconds, text) = (self.lines, now.unix_seconds, cut(text));
        self.lines += 1;
        let line = Line { number, unix_seconds, level, source, device, text };
        push(&mut self.log, Arc::new(line), LOG_SHOWN);
    }
}

impl SourceNotes {
    fn new(title: &Title, now: Moment) -> Self {
        Self {
            title: title.clone(),
            meter: Meter::new(now.at),
            link: None,
            why: None,
            job: None,
            best: None,
            latencies: VecDeque::new(),
            accepted: None,
            refused: None,
        }
    }
}

fn about(work: &Work) -> About {
    About {
        name: cut(&work.name),
        height: work.height,
        difficulty: chain::difficulty(&work.job.target),
        block_difficulty: chain::difficulty(&work.block_target),
    }
}

fn latency(seconds: &VecDeque<f64>) -> Latency {
    let mut sorted: Vec<f64> = seconds.iter().copied().collect();
    sorted.sort_by(f64::total_cmp);
    Latency {
        last: seconds.back().copied(),
        median: sorted.get(sorted.len() / 2).copied(),
        longest: sorted.last().copied(),
    }
}

fn push<T>(ring: &mut VecDeque<T>, item: T, most: usize) {
    while ring.len() >= most {
        ring.pop_front();
    }
    ring.push_back(item);
}

/// Foreign text of a bounded length.
fn cut(text: &str) -> String {
    text.chars().take(FOREIGN_TEXT).collect()
}

#[cfg(test)]
mod tests;
