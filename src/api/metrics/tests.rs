use std::collections::BTreeMap;
use std::sync::Arc;

use super::*;
use crate::api::sample;

fn text(snapshot: Snapshot) -> String {
    let (_publish, viewer) = tokio::sync::watch::channel(Arc::new(snapshot));
    told(&Metrics::new(viewer))
}

fn told(metrics: &Metrics) -> String {
    String::from_utf8(metrics.text().unwrap().to_vec()).unwrap()
}

#[test]
fn a_new_snapshot_is_told_at_once() {
    let (publish, viewer) = tokio::sync::watch::channel(Arc::new(sample::snapshot()));
    let metrics = Metrics::new(viewer);
    let before = told(&metrics);
    assert_eq!(told(&metrics), before);
    let mut news = sample::snapshot();
    news.hashes.scanned += 1;
    publish.send_replace(Arc::new(news));
    let after = told(&metrics);
    assert_ne!(after, before);
    assert_eq!(told(&metrics), after);
}

/// Name, labels as they are written, and value of a line.
fn series(line: &str) -> (&str, &str, f64) {
    let (series, value) = line.rsplit_once(' ').unwrap();
    let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
    (name, labels.strip_suffix('}').unwrap(), value.parse().unwrap())
}

#[test]
fn each_metric_has_help_and_type_before_its_series_and_a_name_with_its_unit() {
    let text = text(sample::snapshot());
    let mut types = BTreeMap::new();
    let mut helped = "";
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap();
            assert!(help.len() > 10 && help.ends_with('.') && !help.ends_with(".."), "{line}");
            helped = name;
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert_eq!(name, helped, "{line}");
            assert!(types.insert(name, kind).is_none(), "{name} comes twice");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
        } else {
            let (name, _, value) = series(line);
            assert_eq!(name, helped, "{line}");
            assert!(types.contains_key(name) && value.is_finite(), "{line}");
            assert!(name.starts_with("adit_"), "{line}");
        }
    }
    assert_eq!(types.len(), FAMILIES.len(), "the sample has a series for each");
}

#[test]
fn values_are_those_of_the_snapshot_and_what_is_unknown_has_no_series() {
    let text = text(sample::snapshot());
    let value = |wanted: &str| {
        let line = text.lines().find(|line| line.starts_with(&format!("{wanted} ")));
        line.map(|line| series(line).2)
    };
    for (name, expected) in [
        ("adit_hashes_scanned_total", Some(4.9e9)),
        (r#"adit_hashes_per_second{window="1m"}"#, Some(3e7)),
        (r#"adit_state{state="mining"}"#, Some(1.0)),
        (r#"adit_state{state="waiting"}"#, Some(0.0)),
        (r#"adit_device_temperature_celsius{device="0"}"#, Some(61.5)),
        (r#"adit_device_temperature_celsius{device="1"}"#, None),
        (r#"adit_device_clock_hertz{device="0"}"#, Some(1.8e9)),
        (r#"adit_device_up{device="1"}"#, Some(0.0)),
        (r#"adit_shares_total{source="0",verdict="accepted"}"#, Some(10.0)),
        (r#"adit_shares_total{source="0",verdict="stale"}"#, Some(2.0)),
        (r#"adit_source_difficulty{source="1"}"#, None),
        (r#"adit_hashes_given_back_total{reason="job ended"}"#, Some(1e7)),
    ] {
        assert_eq!(value(name), expected, "{name} in\n{text}");
    }
}

/// A line break in a name would be a line of the attacker's; words of pools are no labels at all.
#[test]
fn names_cannot_break_the_format_nor_pools_make_series() {
    let mut snapshot = sample::snapshot();
    let before = text(snapshot.clone()).lines().count();
    for number in 0..50 {
        snapshot.log.push_back(sample::line(number));
        snapshot.last_shares.push_back(sample::share(number, None));
    }
    let text = text(snapshot);
    assert_eq!(text.lines().count(), before);
    assert!(text.contains(r#"onerror=alert(1)>\"\\\n{}""#), "{text}");
}

#[test]
fn the_dashboard_names_only_metrics_that_exist() {
    let dashboard = include_str!("../../../docs/grafana.json");
    let parsed: serde_json::Value = serde_json::from_str(dashboard).unwrap();
    assert!(parsed["panels"].as_array().unwrap().len() >= 8);
    let total = |family: &Family| match family.kind {
        MetricType::Counter => format!("{}_total", family.name),
        _ => family.name.to_owned(),
    };
    let names: Vec<String> = FAMILIES.iter().map(total).collect();
    let mut used = 0;
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    for (at, _) in dashboard.match_indices("adit_") {
        if dashboard[..at].ends_with(is_part) {
            continue;
        }
        let name: String = dashboard[at..].chars().take_while(|c| is_part(*c)).collect();
        assert!(names.contains(&name), "{name}");
        used += 1;
    }
    assert!(used >= 12, "{used}");
}
