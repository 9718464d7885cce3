//! `/metrics`, for Prometheus.
//!
//! Labels come from a closed list: numbers of devices and sources, their names, verdicts, reasons. What a pool says is
//! no label, so nobody can make series without end. What is not known has no series.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Bytes;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet, prometheus_text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use crate::engine::outbox::Counts;
use crate::runtime::snapshot::{
    Device, FoundWork, Health, Link, Rates, Snapshot, Source, State, Viewer,
};

pub(super) use prometheus_text::CONTENT_TYPE;

/// All metrics of one run.
pub(super) struct Metrics {
    viewer: Viewer,
    /// The text of a snapshot: many who ask between two snapshots are told the same.
    latest: Mutex<Option<(Arc<Snapshot>, Bytes)>>,
}

/// A metric: name without what its type adds, help, type, and its series.
struct Family {
    name: &'static str,
    help: &'static str,
    kind: MetricType,
    series: fn(&Snapshot, &mut Series),
}

/// Labels and the value they have.
#[derive(Default)]
struct Series(Vec<(Vec<(&'static str, String)>, f64)>);

const COUNTER: MetricType = MetricType::Counter;
const GAUGE: MetricType = MetricType::Gauge;

/// Names carry their unit; those of counters end in `_total`.
const FAMILIES: &[Family] = &[
    family("adit_build_info", "The version of adit.", GAUGE, |s, to| {
        to.add(vec![("version", s.run.version.to_owned())], 1.0);
    }),
    family("adit_start_time_seconds", "When the run began, in Unix time.", GAUGE, |s, to| {
        to.add(vec![], s.run.started_unix_seconds);
    }),
    family("adit_state", "1 for the state in which the run is.", GAUGE, |s, to| {
        for state in State::ALL {
            to.add(vec![("state", state.to_string())], flag(s.run.state == state));
        }
    }),
    family(
        "adit_hashes_per_second",
        "Hashes tested per second, by the window's length.",
        GAUGE,
        |s, to| {
            to.rates(&[], &s.run.hashes_per_second);
        },
    ),
    family(
        "adit_found_work_hashes_per_second",
        "The rate that verified hits of the last 15 minutes speak for, and the ends of its 95 % interval.",
        GAUGE,
        |s, to| to.found(&[], &s.run.found_work),
    ),
    family(
        "adit_found_work_disagrees",
        "1 when hits and reports speak for different rates beyond chance: devices do not test what they report.",
        GAUGE,
        |s, to| to.add(vec![], flag(s.run.found_work.disagrees)),
    ),
    family("adit_power_watts", "Power of all devices, where all tell it.", GAUGE, |s, to| {
        to.known(vec![], s.run.outlook.power_watts);
    }),
    family("adit_joules_per_gigahash", "Energy for 10^9 hashes.", GAUGE, |s, to| {
        to.known(vec![], s.run.outlook.joule_per_gigahash);
    }),
    family(
        "adit_expected_seconds",
        "Time between two shares and between two blocks, on average at the rate of the last minute.",
        GAUGE,
        |s, to| {
            let outlook = &s.run.outlook;
            for (what, seconds) in
                [("share", outlook.seconds_per_share), ("block", outlook.seconds_per_block)]
            {
                to.known(vec![("of", what.to_owned())], seconds);
            }
        },
    ),
    family("adit_hashes_assigned", "Hashes that a device had at some time.", COUNTER, |s, to| {
        to.add(vec![], count(s.hashes.assigned));
    }),
    family("adit_hashes_scanned", "Hashes tested; each counts once.", COUNTER, |s, to| {
        to.add(vec![], count(s.hashes.scanned));
    }),
    family("adit_hashes_given_back", "Hashes given back, by reason.", COUNTER, |s, to| {
        for (reason, hashes) in &s.hashes.given_back {
            to.add(vec![("reason", reason.to_string())], count(*hashes));
        }
    }),
    family("adit_candidates", "Verified hits.", COUNTER, |s, to| {
        to.add(vec![], count(s.hashes.candidates));
    }),
    family(
        "adit_best_share_difficulty",
        "The difficulty of the best hash of a share.",
        GAUGE,
        |s, to| {
            to.known(vec![], s.best_share_difficulty);
        },
    ),
    family("adit_device_info", "What a device is.", GAUGE, |s, to| {
        for device in &s.devices {
            let mut labels = of_device(device);
            labels.extend([
                ("name", device.name.clone()),
                ("kind", device.kind.to_string()),
                ("backend", device.backend.clone()),
                ("kernel", device.kernel.clone()),
                ("pci", device.pci.clone().unwrap_or_default()),
            ]);
            to.add(labels, 1.0);
        }
    }),
    family(
        "adit_device_up",
        "1 for a device that gets work, 0 for one that was dismissed.",
        GAUGE,
        |s, to| {
            to.of_devices(s, |device| {
                Some(flag(matches!(device.health, Health::Well | Health::Sick)))
            });
        },
    ),
    family(
        "adit_device_sick",
        "1 for a device that made a mistake in the last ten minutes.",
        GAUGE,
        |s, to| {
            to.of_devices(s, |device| Some(flag(device.health == Health::Sick)));
        },
    ),
    family(
        "adit_device_hashes_per_second",
        "Hashes tested per second by a device, by the window's length.",
        GAUGE,
        |s, to| s.devices.iter().for_each(|d| to.rates(&of_device(d), &d.hashes_per_second)),
    ),
    family(
        "adit_device_found_work_hashes_per_second",
        "The rate that a device's verified hits of the last 15 minutes speak for, and the ends of its 95 % interval.",
        GAUGE,
        |s, to| s.devices.iter().for_each(|d| to.found(&of_device(d), &d.found_work)),
    ),
    family("adit_device_hashes_scanned", "Hashes tested by a device.", COUNTER, |s, to| {
        to.of_devices(s, |device| Some(count(device.scanned_hashes)));
    }),
    family("adit_device_candidates", "Verified hits of a device.", COUNTER, |s, to| {
        to.of_devices(s, |device| Some(count(device.candidates)));
    }),
    family("adit_device_wrong_hits", "Hits of a device that are none.", COUNTER, |s, to| {
        to.of_devices(s, |device| Some(count(device.wrong_hits)));
    }),
    family("adit_device_faults", "Mistakes of a device, of all kinds.", COUNTER, |s, to| {
        to.of_devices(s, |device| Some(device.faults.into()));
    }),
    family(
        "adit_device_busy_ratio",
        "The share of the last minute in which a device worked.",
        GAUGE,
        |s, to| to.of_devices(s, |device| device.busy_ratio),
    ),
    family(
        "adit_device_batch_seconds",
        "How long the last batches of a device took: the median, and the 99th percentile.",
        GAUGE,
        |s, to| {
            for device in &s.devices {
                let Some(times) = device.batch_seconds else { continue };
                for (which, seconds) in [("median", times.median), ("p99", times.p99)] {
                    let mut labels = of_device(device);
                    labels.push(("which", which.to_owned()));
                    to.add(labels, seconds);
                }
            }
        },
    ),
    family("adit_device_temperature_celsius", "Temperature of the chip.", GAUGE, |s, to| {
        to.of_devices(s, |device| device.sensors.temperature_celsius);
    }),
    family("adit_device_hotspot_celsius", "Temperature of its hottest place.", GAUGE, |s, to| {
        to.of_devices(s, |device| device.sensors.hotspot_celsius);
    }),
    family("adit_device_power_watts", "Power of a device.", GAUGE, |s, to| {
        to.of_devices(s, |device| device.sensors.power_watts);
    }),
    family("adit_device_clock_hertz", "Clock of the shaders or cores.", GAUGE, |s, to| {
        to.of_devices(s, |device| Some(device.sensors.clock_mhz? * 1e6));
    }),
    family("adit_device_memory_clock_hertz", "Clock of the memory.", GAUGE, |s, to| {
        to.of_devices(s, |device| Some(device.sensors.memory_clock_mhz? * 1e6));
    }),
    family("adit_device_fan_ratio", "Speed of the first fan, of its most.", GAUGE, |s, to| {
        to.of_devices(s, |device| Some(device.sensors.fan_percent? / 100.0));
    }),
    family("adit_source_info", "What a source is.", GAUGE, |s, to| {
        for source in &s.sources {
            let mut labels = of_source(source);
            labels.push(("name", source.name.clone()));
            to.add(labels, 1.0);
        }
    }),
    family(
        "adit_source_insecure",
        "1 for a source of which any certificate is accepted.",
        GAUGE,
        |s, to| to.of_sources(s, |source| Some(flag(source.insecure))),
    ),
    family("adit_source_up", "1 for a source that is connected and has work.", GAUGE, |s, to| {
        to.of_sources(s, |source| Some(flag(matches!(source.state, Link::Ready | Link::Mining))));
    }),
    family(
        "adit_source_weight",
        "A source's part of the devices' work, against the others'.",
        GAUGE,
        |s, to| {
            to.of_sources(s, |source| Some(source.weight.into()));
        },
    ),
    family(
        "adit_source_difficulty",
        "What a share of a source's job counts for.",
        GAUGE,
        |s, to| {
            to.of_sources(s, |source| source.difficulty);
        },
    ),
    family(
        "adit_source_block_difficulty",
        "The difficulty of a block of a source's job.",
        GAUGE,
        |s, to| {
            to.of_sources(s, |source| source.block_difficulty);
        },
    ),
    family("adit_source_hashes_scanned", "Hashes tested for a source.", COUNTER, |s, to| {
        to.of_sources(s, |source| Some(count(source.scanned_hashes)));
    }),
    family("adit_shares", "Shares of a source, by how they ended.", COUNTER, |s, to| {
        for source in &s.sources {
            for (verdict, shares) in verdicts(&source.shares) {
                let mut labels = of_source(source);
                labels.push(("verdict", verdict.to_owned()));
                to.add(labels, count(shares));
            }
        }
    }),
    family("adit_shares_pending", "Shares of a source without an answer yet.", GAUGE, |s, to| {
        to.of_sources(s, |source| Some(count(source.shares.pending)));
    }),
    family(
        "adit_share_difficulty",
        "The sum of the difficulties of shares, by how they ended.",
        COUNTER,
        |s, to| {
            for source in &s.sources {
                let shares = &source.shares;
                for (verdict, difficulty) in [
                    ("accepted", shares.accepted_difficulty),
                    ("rejected", shares.rejected_difficulty),
                    ("stale", shares.stale_difficulty),
                ] {
                    let mut labels = of_source(source);
                    labels.push(("verdict", verdict.to_owned()));
                    to.add(labels, difficulty);
                }
            }
        },
    ),
    family("adit_blocks", "Accepted shares of a source that are blocks.", COUNTER, |s, to| {
        to.of_sources(s, |source| Some(count(source.shares.blocks)));
    }),
    family(
        "adit_source_verdict_seconds",
        "How long a source's last verdicts took: median and longest of a hundred.",
        GAUGE,
        |s, to| {
            for source in &s.sources {
                let latency = source.verdict_seconds;
                for (which, seconds) in [("median", latency.median), ("longest", latency.longest)] {
                    let mut labels = of_source(source);
                    labels.push(("which", which.to_owned()));
                    to.known(labels, seconds);
                }
            }
        },
    ),
];

const fn family(
    name: &'static str,
    help: &'static str,
    kind: MetricType,
    series: fn(&Snapshot, &mut Series),
) -> Family {
    Family { name, help, kind, series }
}

impl Metrics {
    pub(super) fn new(viewer: Viewer) -> Self {
        Self { viewer, latest: Mutex::default() }
    }

    pub(super) fn text(&self) -> Result<Bytes, fmt::Error> {
        let snapshot = self.viewer.borrow().clone();
        // Nothing in here can be left half done.
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, text)) = latest.as_ref().filter(|(of, _)| Arc::ptr_eq(of, &snapshot)) {
            return Ok(text.clone());
        }
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Run(Arc::clone(&snapshot))));
        let mut text = String::new();
        prometheus_text::encode(&mut text, &registry)?;
        let text = Bytes::from(text);
        *latest = Some((snapshot, text.clone()));
        Ok(text)
    }
}

#[derive(Debug)]
struct Run(Arc<Snapshot>);

impl Collector for Run {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for family in FAMILIES {
            let mut series = Series::default();
            (family.series)(&self.0, &mut series);
            if series.0.is_empty() {
                continue;
            }
            let mut metric =
                encoder.encode_descriptor(family.name, family.help, None, family.kind)?;
            for (labels, value) in &series.0 {
                let mut metric = metric.encode_family(labels)?;
                match family.kind {
                    COUNTER => metric.encode_counter::<NoLabelSet, _, f64>(value, None),
                    _ => metric.encode_gauge(value),
                }?;
            }
        }
        Ok(())
    }
}

impl Series {
    fn add(&mut self, labels: Vec<(&'static str, String)>, value: f64) {
        self.0.push((labels, value));
    }

    fn known(&mut self, labels: Vec<(&'static str, String)>, value: Option<f64>) {
        if let Some(value) = value {
            self.add(labels, value);
        }
    }

    fn of_devices(&mut self, snapshot: &Snapshot, value: fn(&Device) -> Option<f64>) {
        for device in &snapshot.devices {
            self.known(of_device(device), value(device));
        }
    }

    fn of_sources(&mut self, snapshot: &Snapshot, value: fn(&Source) -> Option<f64>) {
        for source in &snapshot.sources {
            self.known(of_source(source), value(source));
        }
    }

    fn rates(&mut self, labels: &[(&'static str, String)], rates: &Rates) {
        for (window, rate) in [
            ("now", rates.now),
            ("1m", rates.one_minute),
            ("15m", rates.fifteen_minutes),
            ("all", rates.all),
        ] {
            self.known([labels, &[("window", window.to_owned())]].concat(), rate);
        }
    }

    fn found(&mut self, labels: &[(&'static str, String)], found: &FoundWork) {
        for (bound, rate) in [
            ("estimate", found.hashes_per_second),
            ("low", found.low_hashes_per_second),
            ("high", found.high_hashes_per_second),
        ] {
            self.known([labels, &[("bound", bound.to_owned())]].concat(), rate);
        }
    }
}

fn of_device(device: &Device) -> Vec<(&'static str, String)> {
    vec![("device", device.device.0.to_string())]
}

fn of_source(source: &Source) -> Vec<(&'static str, String)> {
    vec![("source", source.source.0.to_string())]
}

fn verdicts(counts: &Counts) -> [(&'static str, u64); 7] {
    [
        ("accepted", counts.accepted),
        ("rejected", counts.rejected),
        ("stale", counts.stale),
        ("duplicate", counts.duplicate),
        ("expired", counts.expired),
        ("invalid", counts.invalid),
        ("withheld", counts.withheld),
    ]
}

fn flag(is: bool) -> f64 {
    f64::from(u8::from(is))
}

#[expect(clippy::cast_precision_loss, reason = "the values of Prometheus are floats")]
fn count(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests;
