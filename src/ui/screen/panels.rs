//! The parts of the screen.

use std::collections::VecDeque;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::symbols::bar::NINE_LEVELS;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Sparkline, Wrap};

use super::grid::{self, Column, cut};
use crate::runtime::snapshot::{
    BatchSeconds, Device, Health, Level, Link, Snapshot, Source, State,
};
use crate::ui::text::{self, clean};
use crate::work::Verdict;

const BOLD: Style = Style::new().add_modifier(Modifier::BOLD);
const DIM: Style = Style::new().add_modifier(Modifier::DIM);
const GOOD: Style = Style::new().fg(Color::Green);
const DOUBTFUL: Style = Style::new().fg(Color::Yellow);
const BAD: Style = Style::new().fg(Color::Red).add_modifier(Modifier::BOLD);

/// The name of the program, what it does and for whom, and since when.
pub(super) fn head(frame: &mut Frame<'_>, area: Rect, snapshot: &Snapshot) {
    let run = &snapshot.run;
    let state = match run.state {
        State::Mining => GOOD.add_modifier(Modifier::BOLD),
        _ => DOUBTFUL.add_modifier(Modifier::BOLD),
    };
    let at_work = snapshot.sources_in_order().into_iter();
    let at_work = at_work.filter(|source| source.state == Link::Mining);
    let names: Vec<String> = at_work.map(|source| clean(&source.name)).collect();
    let mut spans = vec![
        Span::styled(format!("adit {}", run.version), BOLD),
        Span::raw("  "),
        Span::styled(run.state.to_string(), state),
    ];
    if run.state == State::Paused {
        let whys: Vec<String> = run.paused.iter().map(ToString::to_string).collect();
        spans.push(Span::raw(format!(": {}", whys.join(", and "))));
    } else if !names.is_empty() {
        spans.push(Span::raw(format!(" for {}", names.join(" and "))));
    }
    let since = text::time(seconds(run.uptime_seconds));
    let room = u16::try_from(since.len() + 1).unwrap_or(u16::MAX);
    let [left, right] =
        Layout::horizontal([Constraint::Fill(1), Constraint::Length(room)]).areas(area);
    frame.render_widget(Line::from(spans), left);
    frame.render_widget(Line::raw(since).right_aligned(), right);
}

/// The keys.
pub(super) fn keys(frame: &mut Frame<'_>, area: Rect) {
    let keys = [
        ("p", "pause"),
        ("r", "resume"),
        ("s", "sources"),
        ("d", "devices"),
        ("q", "quit"),
        ("?", "help"),
    ];
    let spans = keys.iter().flat_map(|(key, what)| {
        [Span::styled(*key, BOLD), Span::styled(format!(" {what}  "), DIM)]
    });
    frame.render_widget(spans.collect::<Line<'_>>(), area);
}

/// Lines that [`figures`] needs.
pub(super) fn figures_height(snapshot: &Snapshot) -> u16 {
    let disagrees = u16::from(snapshot.run.found_work.disagrees);
    let outlook = u16::from(text::outlook(&snapshot.run.outlook).is_some());
    3 + disagrees + outlook
}

/// Rates and shares of the run as a whole.
pub(super) fn figures(frame: &mut Frame<'_>, area: Rect, snapshot: &Snapshot) {
    let run = &snapshot.run;
    let rates = run.hashes_per_second;
    let mut lines = vec![Line::from(vec![
        Span::styled(text::rate(rates.now), BOLD),
        Span::raw(" now"),
        Span::styled(
            format!(
                "   {} in 1 min   {} in 15 min",
                text::rate(rates.one_minute),
                text::rate(rates.fifteen_minutes)
            ),
            DIM,
        ),
    ])];
    let found = run.found_work;
    let interval = match (found.low_hashes_per_second, found.high_hashes_per_second) {
        (Some(low), Some(high)) => {
            format!(" (95 %: {} to {})", text::rate(Some(low)), text::rate(Some(high)))
        }
        _ => String::new(),
    };
    let rate = text::rate(found.hashes_per_second);
    lines.push(Line::raw(format!("{rate} by the hits found{interval}")));
    if found.disagrees {
        let what =
            "The hits do not fit the rate: a device tests less, or other hashes, than it says.";
        lines.push(Line::styled(what, BAD));
    }
    let best = snapshot.best_share_difficulty.map(text::difficulty);
    let best = best.map_or_else(String::new, |best| format!(", best {best}"));
    let shares = text::shares(&snapshot.shares);
    let style = if snapshot.shares.rejected + snapshot.shares.invalid > 0 {
        DOUBTFUL
    } else {
        Style::new()
    };
    lines.push(Line::styled(format!("{shares}{best}"), style));
    lines.extend(text::outlook(&run.outlook).map(|outlook| Line::styled(outlook, DIM)));
    frame.render_widget(Paragraph::new(lines), area);
}

/// The rate over the last minutes, from zero up.
pub(super) fn curve(frame: &mut Frame<'_>, area: Rect, curve: &VecDeque<Option<f64>>) {
    if area.height == 0 {
        return;
    }
    let most = curve.iter().flatten().copied().fold(0.0, f64::max);
    let newest = curve.len().saturating_sub(area.width.into());
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "rates are positive and far below 2^63"
    )]
    let bars = curve.iter().skip(newest).map(|rate| rate.map(|rate| rate as u64));
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "as above")]
    let line =
        Sparkline::default().data(bars).max((most as u64).max(1)).bar_set(NINE_LEVELS).style(GOOD);
    frame.render_widget(line, area);
}

pub(super) fn devices(frame: &mut Frame<'_>, area: Rect, snapshot: &Snapshot) {
    let all = &snapshot.devices;
    let unit = |value: Option<f64>, unit: &str| {
        value.map_or_else(String::new, |v| format!("{v:.0} {unit}"))
    };
    let health = |device: &Device| match device.health {
        Health::Well => GOOD,
        Health::Sick => DOUBTFUL,
        Health::Away | Health::Gone => BAD,
    };
    let wrong = |device: &Device| if device.wrong_hits > 0 { BAD } else { Style::new() };
    let why = |device: &Device| device.why.as_deref().map(clean).unwrap_or_default();
    let columns = vec![
        Column::text("device", 1, all, |device| {
            format!("{} {}", device.device.0, clean(&device.name))
        }),
        Column::figures("rate", 0, all, |device| text::rate(device.hashes_per_second.now)),
        Column::figures("15 min", 7, all, |device| {
            text::rate(device.hashes_per_second.fifteen_minutes)
        }),
        Column::figures("busy", 4, all, |device| {
            device.busy_ratio.map_or_else(String::new, |busy| format!("{:.0} %", busy * 100.0))
        }),
        Column::figures("batch", 8, all, |device| {
            let times = device.batch_seconds;
            let shown = |t: BatchSeconds| format!("{:.1}/{:.1} ms", t.median * 1e3, t.p99 * 1e3);
            times.map_or_else(String::new, shown)
        }),
        Column::figures("temp", 2, all, |device| unit(device.sensors.temperature_celsius, "°C")),
        Column::figures("power", 3, all, |device| unit(device.sensors.power_watts, "W")),
        Column::figures("clock", 8, all, |device| unit(device.sensors.clock_mhz, "MHz")),
        Column::figures("fan", 9, all, |device| unit(device.sensors.fan_percent, "%")),
        Column::figures("wrong", 5, all, |device| text::count(device.wrong_hits))
            .styled(all, wrong),
        Column::text("health", 6, all, |device| device.health.to_string()).styled(all, health),
        Column::text("kernel", 10, all, |device| clean(&device.kernel)),
        Column::text("last trouble", 11, all, why),
    ];
    grid::draw(frame, area, columns);
}

pub(super) fn sources(frame: &mut Frame<'_>, area: Rect, snapshot: &Snapshot) {
    let all = &snapshot.sources_in_order();
    let state = |source: &&Source| match source.state {
        Link::Mining => GOOD,
        Link::Standby | Link::Ready => Style::new(),
        Link::Connecting | Link::NoWork | Link::Removed => DOUBTFUL,
        Link::Down => BAD,
    };
    let number = |value: Option<f64>| value.map(text::difficulty).unwrap_or_default();
    let time =
        |value: Option<f64>| value.map_or_else(String::new, |value| text::time(seconds(value)));
    let refused = |source: &Source| {
        let shares = &source.shares;
        shares.rejected + shares.duplicate + shares.invalid
    };
    let refusal = |source: &&Source| if refused(source) > 0 { DOUBTFUL } else { Style::new() };
    let columns = vec![
        Column::text("source", 1, all, |source| clean(&source.name)),
        Column::text("state", 0, all, |source| source.state.to_string().replace('_', " "))
            .styled(all, state),
        Column::figures("difficulty", 4, all, |source| number(source.difficulty)),
        Column::figures("accepted", 2, all, |source| text::count(source.shares.accepted)),
        Column::figures("as difficulty", 8, all, |source| {
            text::difficulty(source.shares.accepted_difficulty)
        }),
        Column::figures("refused", 3, all, |source| text::count(refused(source)))
            .styled(all, refusal),
        Column::figures("stale", 5, all, |source| text::count(source.shares.stale)),
        Column::figures("answer", 6, all, |source| time(source.verdict_seconds.median)),
        Column::figures("best", 9, all, |source| number(source.best_share_difficulty)),
        Column::figures("block", 10, all, |source| {
            source.height.map_or_else(String::new, |height| text::count(height.into()))
        }),
        Column::text("job", 11, all, |source| source.job.as_deref().map(clean).unwrap_or_default()),
        Column::text("why", 7, all, |source| source.why.as_deref().map(clean).unwrap_or_default()),
    ];
    grid::draw(frame, area, columns);
}

pub(super) fn log(frame: &mut Frame<'_>, area: Rect, snapshot: &Snapshot, zone: &TimeZone) {
    let lines = snapshot.log.iter().rev().map(|line| {
        let style = match line.level {
            Level::Info => Style::new(),
            Level::Warning => DOUBTFUL,
            Level::Error => BAD,
        };
        let source = line.source.and_then(|source| snapshot.sources.get(usize::from(source.0)));
        let about = match (source, line.device) {
            (Some(source), _) if snapshot.sources.len() > 1 => format!("{}: ", clean(&source.name)),
            (_, Some(device)) => format!("{device}: "),
            _ => String::new(),
        };
        (line.unix_seconds, format!("{about}{}", clean(&line.text)), style)
    });
    newest(frame, area, lines, zone);
}

pub(super) fn shares(frame: &mut Frame<'_>, area: Rect, snapshot: &Snapshot, zone: &TimeZone) {
    let lines = snapshot.last_shares.iter().rev().map(|share| {
        let what = if share.block { "BLOCK" } else { "share" };
        let verdict = share.verdict.map_or("waits for its answer".to_owned(), |v| v.to_string());
        let took = share
            .verdict_seconds
            .map_or_else(String::new, |took| format!(" after {}", text::time(seconds(took))));
        let style = match share.verdict {
            Some(Verdict::Accepted) if share.block => GOOD.add_modifier(Modifier::BOLD),
            Some(Verdict::Accepted) => GOOD,
            None => Style::new(),
            Some(_) => DOUBTFUL,
        };
        let difficulty = text::difficulty(share.hash_difficulty);
        (share.unix_seconds, format!("{what} of {difficulty} {verdict}{took}"), style)
    });
    newest(frame, area, lines, zone);
}

/// As many lines as there is room for, the newest at the bottom, below an empty one.
fn newest(
    frame: &mut Frame<'_>,
    area: Rect,
    lines: impl Iterator<Item = (f64, String, Style)>,
    zone: &TimeZone,
) {
    let room = usize::from(area.height.saturating_sub(1));
    let mut lines: Vec<Line<'_>> = lines
        .take(room)
        .map(|(at, text, style)| {
            let text = format!("{} {text}", time_of_day(at, zone));
            Line::styled(cut(&text, area.width.saturating_sub(1)), style)
        })
        .collect();
    lines.reverse();
    let below = Rect {
        y: area.y + u16::from(area.height > 0),
        height: area.height.saturating_sub(1),
        ..area
    };
    frame.render_widget(Paragraph::new(lines), below);
}

pub(super) fn help(frame: &mut Frame<'_>, area: Rect) {
    let help = "\
p    pause: the devices rest, connections stay
r    resume, also after a signal or a program paused it
s    only the sources, with all that is known of them; again: all
d    only the devices; again: all
q    quit, with a summary; so does Ctrl-C, and a second one at once
?    this help; any other key: all

now is the mean of 5 s. The rate by the hits found does not depend on what devices report: one that skips half of its hashes finds half as many hits. It is that of the \
last 15 min, with the interval that holds the truth in 95 of 100 cases.
busy is the share of the last minute in which a device had work under way. batch is how long its last batches took, half of them longer than the first figure and one in a hundred than the second: so long a desktop may have to wait. wrong counts hits that the CPU refuted. answer is how long the source takes to answer a share, \
half of them longer.
What is not shown is not known, or there is no room for it.";
    frame.render_widget(Paragraph::new(help).wrap(Wrap { trim: false }), area);
}

fn time_of_day(unix_seconds: f64, zone: &TimeZone) -> String {
    #[expect(clippy::cast_possible_truncation, reason = "a time of our clock")]
    let time = Timestamp::from_second(unix_seconds as i64).ok();
    time.map_or_else(String::new, |time| {
        time.to_zoned_datetime(zone.clone()).strftime("%H:%M:%S").to_string()
    })
}

fn seconds(value: f64) -> std::time::Duration {
    std::time::Duration::try_from_secs_f64(value).unwrap_or_default()
}
