//! What the view looks like, in whole screens.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use jiff::tz::TimeZone;
use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::{Screen, Wish};
use crate::device::Kind;
use crate::engine::DeviceId;
use crate::engine::governor::Reason;
use crate::engine::outbox::Counts;
use crate::runtime::snapshot::{
    BatchSeconds, Device, FoundWork, Hashes, Health, Latency, Level, Line, Link, Outlook, Rates,
    Run, Sensed, Shared, Snapshot, Source, State,
};
use crate::work::{SourceId, Ticket, Verdict};

/// 2026-11-26 12:00:00 UTC
const NOON: f64 = 1_795_694_400.0;

fn rates(now: f64) -> Rates {
    Rates {
        now: Some(now),
        one_minute: Some(now * 0.99),
        fifteen_minutes: Some(now * 0.985),
        all: Some(now * 0.98),
    }
}

fn device(number: u16, name: &str, rate: f64) -> Device {
    Device {
        device: DeviceId(number),
        name: name.to_owned(),
        kind: Kind::Discrete,
        backend: "vulkan".to_owned(),
        driver: None,
        pci: None,
        kernel: "verlane-literal-w64".to_owned(),
        health: Health::Well,
        why: None,
        hashes_per_second: rates(rate),
        found_work: FoundWork::default(),
        busy_ratio: Some(0.987),
        batch_seconds: Some(BatchSeconds { median: 0.0119, p99: 0.0143 }),
        scanned_hashes: 1 << 40,
        candidates: 256,
        wrong_hits: 0,
        faults: 0,
        sensors: Sensed {
            temperature_celsius: Some(67.4),
            power_watts: Some(218.0),
            clock_mhz: Some(2535.0),
            fan_percent: Some(45.0),
            ..Sensed::default()
        },
        pace: None,
    }
}

fn source(number: u16, name: &str, state: Link) -> Source {
    Source {
        source: SourceId(number),
        name: name.to_owned(),
        state,
        why: None,
        insecure: false,
        place: Some(number.into()),
        weight: u32::from(state == Link::Mining),
        job: Some("6a3f".to_owned()),
        height: Some(925_000),
        difficulty: Some(1.5),
        block_difficulty: Some(1.5e14),
        hashes_per_second: rates(6e9),
        scanned_hashes: 1 << 40,
        shares: Counts {
            found: 412,
            accepted: 410,
            stale: 1,
            rejected: 1,
            accepted_difficulty: 615.0,
            ..Counts::default()
        },
        best_share_difficulty: Some(2871.0),
        verdict_seconds: Latency { last: Some(0.04), median: Some(0.038), longest: Some(0.4) },
        accepted_unix_seconds: Some(NOON - 3.0),
    }
}

fn line(second: f64, level: Level, text: &str) -> Arc<Line> {
    let (source, device) = match level {
        Level::Info => (Some(SourceId(0)), None),
        _ => (None, Some(DeviceId(1))),
    };
    Arc::new(Line {
        number: 0,
        unix_seconds: NOON + second,
        level,
        source,
        device,
        text: text.to_owned(),
    })
}

fn snapshot() -> Snapshot {
    let mut sick = device(1, "AMD Radeon RX 7900 XTX \u{1b}[31m", 2.4e9);
    sick.health = Health::Sick;
    sick.why = Some("2 hits were wrong".to_owned());
    sick.wrong_hits = 2;
    sick.sensors = Sensed::default();
    let mut down = source(1, "stratum+tcp://backup.example:3333", Link::Down);
    down.why = Some("connection refused".to_owned());
    down.shares = Counts::default();
    let share = Shared {
        share: Ticket(7),
        unix_seconds: NOON - 3.0,
        source: SourceId(0),
        device: DeviceId(0),
        difficulty: 1.5,
        hash_difficulty: 2871.0,
        hash: "00".repeat(32),
        block: false,
        verdict: Some(Verdict::Accepted),
        why: None,
        verdict_seconds: Some(0.038),
    };
    Snapshot {
        run: Run {
            version: "9.9.9",
            unix_seconds: NOON,
            started_unix_seconds: NOON - 7850.0,
            uptime_seconds: 7850.0,
            state: State::Mining,
            paused: BTreeSet::new(),
            hashes_per_second: rates(6.0e9),
            outlook: Outlook {
                power_watts: None,
                joule_per_gigahash: None,
                cost_per_day: None,
                seconds_per_share: Some(1.07),
                seconds_per_block: Some(1.07e14),
            },
            found_work: FoundWork {
                candidates: 1257,
                expected_candidates: 1250.0,
                hashes_per_second: Some(5.95e9),
                low_hashes_per_second: Some(5.62e9),
                high_hashes_per_second: Some(6.28e9),
                disagrees: false,
            },
        },
        devices: vec![device(0, "NVIDIA GeForce RTX 4070", 3.6e9), sick],
        sources: vec![source(0, "stratum+tls://pool.example:3334", Link::Mining), down],
        shares: Counts { found: 412, accepted: 410, stale: 1, rejected: 1, ..Counts::default() },
        best_share_difficulty: Some(2871.0),
        hashes: Hashes { given_back: BTreeMap::new(), ..Hashes::default() },
        last_shares: VecDeque::from([Arc::new(share)]),
        log: VecDeque::from([
            line(-60.0, Level::Info, "job 6a3e for block 925,000"),
            line(-30.0, Level::Warning, "2 hits were wrong; their hashes are tested again"),
            line(-3.0, Level::Info, "share of difficulty 1.50 accepted after 38 ms"),
        ]),
    }
}

fn screen() -> Screen {
    let mut screen = Screen::new(TimeZone::UTC);
    for second in 0..120_u32 {
        let mut before = snapshot();
        before.run.unix_seconds = NOON - 120.0 + f64::from(second);
        before.run.hashes_per_second.now = Some(4e9 + 2e9 * (f64::from(second) / 20.0).sin());
        screen.observe(&before);
    }
    screen
}

fn drawn(screen: &Screen, width: u16, height: u16, snapshot: &Snapshot) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| screen.draw(frame, snapshot)).unwrap();
    let text = terminal.backend().to_string();
    // Without the quotation marks around each line.
    let lines = text.lines().map(|line| line.trim_matches('"').trim_end());
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn a_screen_of_80_by_24() {
    insta::assert_snapshot!(drawn(&screen(), 80, 24, &snapshot()));
}

#[test]
fn a_screen_of_200_by_60() {
    insta::assert_snapshot!(drawn(&screen(), 200, 60, &snapshot()));
}

#[test]
fn a_narrow_screen() {
    insta::assert_snapshot!(drawn(&screen(), 40, 16, &snapshot()));
}

#[test]
fn only_devices_only_sources_and_the_help() {
    let mut screen = screen();
    let mut text = String::new();
    for key in ['d', 's', '?'] {
        assert_eq!(screen.press(key), Wish::Look);
        text += &drawn(&screen, 120, 14, &snapshot());
        text += "\n----\n";
    }
    insta::assert_snapshot!(text);
    let help = drawn(&screen, 80, 24, &snapshot());
    screen.press('?');
    assert_ne!(drawn(&screen, 80, 24, &snapshot()), help, "again: all");
}

#[test]
fn a_device_that_lies_is_told_of() {
    let mut snapshot = snapshot();
    snapshot.run.found_work.disagrees = true;
    assert!(drawn(&screen(), 80, 24, &snapshot).contains("The hits do not fit the rate"));
}

#[test]
fn a_pause_says_why() {
    let mut snapshot = snapshot();
    snapshot.run.state = State::Paused;
    snapshot.run.paused = BTreeSet::from([Reason::Key]);
    let text = drawn(&screen(), 80, 24, &snapshot);
    assert!(text.starts_with("adit 9.9.9  paused: a key was pressed "), "{text}");
}

#[test]
fn any_size_is_drawn_and_nothing_foreign_gets_through() {
    let mut many = snapshot();
    many.devices = (0..50).map(|number| device(number, "GPU", 1e9)).collect();
    many.sources = (0..20).map(|number| source(number, &"x".repeat(300), Link::Standby)).collect();
    let mut screen = screen();
    for key in ['x', 'd', 's', '?'] {
        screen.press(key);
        for width in (1..240).step_by(13) {
            for height in (1..12).chain((12..70).step_by(7)) {
                for snapshot in [&Snapshot::default(), &snapshot(), &many] {
                    let text = drawn(&screen, width, height, snapshot);
                    assert!(!text.contains('\u{1b}'), "{width} {height}");
                }
            }
        }
    }
    let text = drawn(&screen, 80, 24, &Snapshot::default());
    assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
    screen.press('x');
    assert!(drawn(&screen, 80, 24, &many).contains("more"), "rows that do not fit are told of");
    assert_eq!(drawn(&screen, 20, 1, &many).lines().count(), 1);
}

#[test]
fn keys_ask_for_what_the_help_says() {
    let mut screen = screen();
    let wishes = [('p', Wish::Pause), ('r', Wish::Resume), ('Q', Wish::Quit), ('z', Wish::Look)];
    for (key, wish) in wishes {
        assert_eq!(screen.press(key), wish);
    }
}

#[test]
fn the_curve_is_bounded() {
    let mut screen = Screen::new(TimeZone::UTC);
    let mut snapshot = Snapshot::default();
    for second in 0..5000_u32 {
        snapshot.run.unix_seconds = f64::from(second) * 1.0;
        screen.observe(&snapshot);
    }
    assert!(screen.curve.len() <= super::CURVE);
}
