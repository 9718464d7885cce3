//! A run for tests: two devices, of which one has no sensors, two sources, names that mean mischief.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use crate::device::Kind;
use crate::device::sensors::Throttle;
use crate::engine::governor::DeviceStatus;
use crate::engine::outbox::Counts;
use crate::engine::{DeviceId, Reason};
use crate::runtime::snapshot::{
    BatchSeconds, Cost, Device, FoundWork, Hashes, Health, Latency, Level, Line, Link, Outlook,
    Rates, Run, Sensed, Shared, Snapshot, Source, State,
};
use crate::work::{Duty, Profile, SourceId, Ticket, Verdict};

pub(super) const MISCHIEF: &str = "<img src=x onerror=alert(1)>\"\\\n{}";

pub(super) fn snapshot() -> Snapshot {
    let shares = Counts {
        found: 13,
        accepted: 10,
        rejected: 1,
        stale: 2,
        accepted_difficulty: 40.0,
        ..Counts::default()
    };
    Snapshot {
        run: Run {
            version: "0.1.0",
            unix_seconds: 2e9,
            started_unix_seconds: 2e9 - 100.0,
            uptime_seconds: 100.0,
            state: State::Mining,
            paused: BTreeSet::new(),
            hashes_per_second: rates(3e7),
            found_work: found(3e7),
            outlook: Outlook {
                power_watts: Some(150.0),
                joule_per_gigahash: Some(5000.0),
                cost_per_day: Some(Cost { amount: 1.08, currency: "EUR".to_owned() }),
                seconds_per_share: Some(72.0),
                seconds_per_block: Some(2e16),
            },
        },
        devices: vec![device(0, Some(61.5)), device(1, None)],
        sources: vec![source(0, shares), source(1, Counts::default())],
        shares,
        best_share_difficulty: Some(2536.4),
        hashes: Hashes {
            assigned: 5_000_000_000,
            scanned: 4_900_000_000,
            held: 90_000_000,
            given_back: BTreeMap::from([(Reason::Ended, 10_000_000)]),
            candidates: 12,
            wrong: 1,
        },
        last_shares: VecDeque::from([share(1, Some(Verdict::Stale)), share(2, None)]),
        log: VecDeque::from([line(0), line(1)]),
    }
}

pub(super) fn share(number: u64, verdict: Option<Verdict>) -> Arc<Shared> {
    Arc::new(Shared {
        share: Ticket(number),
        unix_seconds: 2e9 - 1.0,
        source: SourceId(0),
        device: DeviceId(0),
        difficulty: 4.0,
        hash_difficulty: 5.5,
        hash: "00".repeat(32),
        block: false,
        verdict,
        why: verdict.map(|_| MISCHIEF.to_owned()),
        verdict_seconds: verdict.map(|_| 0.05),
    })
}

pub(super) fn line(number: u64) -> Arc<Line> {
    Arc::new(Line {
        number,
        unix_seconds: 2e9,
        level: Level::Warning,
        source: Some(SourceId(0)),
        device: None,
        text: MISCHIEF.to_owned(),
    })
}

fn rates(rate: f64) -> Rates {
    let rate = Some(rate);
    Rates { now: rate, one_minute: rate, fifteen_minutes: rate, all: rate }
}

fn found(rate: f64) -> FoundWork {
    FoundWork {
        candidates: 12,
        expected_candidates: 11.4,
        hashes_per_second: Some(rate),
        low_hashes_per_second: Some(rate / 2.0),
        high_hashes_per_second: Some(rate * 2.0),
        disagrees: false,
    }
}

fn device(number: u16, temperature: Option<f64>) -> Device {
    Device {
        device: DeviceId(number),
        name: format!("card {number} {MISCHIEF}"),
        kind: Kind::Discrete,
        backend: "vulkan".to_owned(),
        driver: None,
        pci: Some("0000:01:00.0".to_owned()),
        kernel: "std-literal-w64".to_owned(),
        pace: Some(DeviceStatus {
            device: DeviceId(number),
            paused: BTreeSet::new(),
            profile: Profile::Desktop,
            batch_seconds: 0.012,
            gpu_share: Duty::of(0.5),
            held_back: BTreeSet::new(),
        }),
        health: if temperature.is_some() { Health::Well } else { Health::Gone },
        why: temperature.is_none().then(|| "lost".to_owned()),
        hashes_per_second: rates(1.5e7),
        found_work: found(1.5e7),
        busy_ratio: Some(0.99),
        batch_seconds: Some(BatchSeconds { median: 0.0119, p99: 0.0143 }),
        scanned_hashes: 2_450_000_000,
        candidates: 6,
        wrong_hits: 1,
        faults: 1,
        sensors: Sensed {
            temperature_celsius: temperature,
            hotspot_celsius: temperature.map(|_| 75.0),
            memory_clock_mhz: temperature.map(|_| 9500.0),
            power_watts: temperature.map(|_| 150.0),
            clock_mhz: temperature.map(|_| 1800.0),
            fan_percent: temperature.map(|_| 40.0),
            throttle: temperature.map(|_| vec![Throttle::PowerCap]),
            ..Sensed::default()
        },
    }
}

fn source(number: u16, shares: Counts) -> Source {
    let is_first = number == 0;
    Source {
        source: SourceId(number),
        name: format!("stratum+tcp://worker@pool{number}.example.org:3333"),
        insecure: false,
        place: Some(number.into()),
        state: if is_first { Link::Mining } else { Link::Standby },
        why: None,
        weight: u32::from(is_first),
        job: is_first.then(|| "7f".to_owned()),
        height: is_first.then_some(900_000),
        difficulty: is_first.then_some(4.0),
        block_difficulty: is_first.then_some(1.2e14),
        hashes_per_second: rates(if is_first { 3e7 } else { 0.0 }),
        scanned_hashes: if is_first { 4_900_000_000 } else { 0 },
        shares,
        best_share_difficulty: is_first.then_some(2536.4),
        verdict_seconds: Latency { last: Some(0.05), median: Some(0.04), longest: Some(0.3) },
        accepted_unix_seconds: is_first.then_some(2e9 - 5.0),
    }
}
