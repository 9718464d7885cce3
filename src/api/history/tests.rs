use super::*;
use crate::api::sample;

const DAY: u32 = 24 * 3600;

/// A run of so many devices, each second one of whom has sensors, after so many seconds.
fn at(second: u32, devices: usize) -> Snapshot {
    let mut snapshot = sample::snapshot();
    snapshot.run.unix_seconds = 2e9 + f64::from(second);
    snapshot.run.hashes_per_second.now = Some(f64::from(second));
    snapshot.shares.accepted = u64::from(second / 10);
    snapshot.devices = (0..devices).map(|index| snapshot.devices[index % 2].clone()).collect();
    snapshot
}

#[test]
fn two_days_of_64_devices_stay_below_5_mib_and_reach_back_a_day() {
    let mut history = History::new();
    let mut snapshot = at(0, crate::limits::DEVICES);
    for second in 0..2 * DAY {
        snapshot.run.unix_seconds = 2e9 + f64::from(second);
        history.push(&snapshot);
    }
    let bytes = history.bytes();
    assert!(bytes < 5 << 20, "{bytes}");
    let columns = history.columns();
    let times = &columns.unix_seconds;
    let span = times[times.len() - 1] - times[0];
    assert!((f64::from(DAY) - 120.0..f64::from(DAY) + 120.0).contains(&span), "{span}");
    assert!(times.len() <= 2100, "{}", times.len());
}

#[test]
fn points_are_in_order_and_dense_at_the_end() {
    let mut history = History::new();
    for second in 0..DAY {
        history.push(&at(second, 1));
    }
    let columns = history.columns();
    let times = &columns.unix_seconds;
    assert!(times.windows(2).all(|pair| pair[0] < pair[1]));
    let steps = |range: std::ops::Range<usize>| {
        times[range].windows(2).map(|pair| pair[1] - pair[0]).fold(0.0, f64::max)
    };
    assert!(steps(times.len() - 200..times.len()) <= 1.0);
    assert!(steps(times.len() - 500..times.len()) <= 11.0);
    assert!(steps(0..times.len()) <= 61.0);
    // The rate grew by one each second: a point of a minute has the mean of that minute.
    let (rate, at) = (columns.hashes_per_second[10].unwrap(), times[10] - 2e9);
    #[expect(clippy::cast_possible_truncation, reason = "small")]
    let expected = (at - 29.5) as f32;
    assert!((rate - expected).abs() < 2.0, "{rate}, {expected}");
    let second = (0..DAY).find(|second| (f64::from(*second) - at).abs() < 0.5).unwrap();
    assert_eq!(columns.accepted[10], u64::from(second / 10));
    assert_eq!(columns.devices[0].temperature_celsius[10], Some(61.5));
}

#[test]
fn what_is_not_known_is_null_and_a_clock_that_goes_back_does_no_harm() {
    let mut history = History::new();
    for second in [100, 101, 102, 5, 6, 7, 8] {
        history.push(&at(second, 2));
    }
    let columns = history.columns();
    assert!(columns.devices[1].temperature_celsius.iter().all(Option::is_none));
    assert!(columns.devices[0].power_watts.iter().all(|watts| *watts == Some(150.0)));
    assert_eq!(columns.unix_seconds.len(), columns.devices[0].power_watts.len());
    let text = serde_json::to_string(&columns).unwrap();
    assert!(text.contains("null") && !text.contains("NaN"), "{text}");
}

#[test]
fn figures_are_short() {
    for (value, shown) in
        [(0.0, 0.0), (61.52, 61.52), (0.1234, 0.123), (29_481_234.0, 29_480_000.0)]
    {
        assert_eq!(known(value), Some(shown));
    }
    assert_eq!(known(f32::NAN), None);
}
