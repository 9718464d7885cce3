//! A day of a run for its charts: each second of the last minutes, each minute of the hours before.

use std::collections::VecDeque;

use schemars::JsonSchema;
use serde::Serialize;

use crate::limits::HISTORY;
use crate::runtime::snapshot::Snapshot;

/// A bounded history.
#[derive(Debug)]
pub(super) struct History {
    tiers: Vec<Tier>,
}

/// Points that are `seconds` apart.
#[derive(Debug)]
struct Tier {
    seconds: f64,
    most: usize,
    points: VecDeque<Point>,
    /// What is on its way to the next point.
    sum: Option<Sum>,
}

#[derive(Debug)]
struct Sum {
    begun: f64,
    samples: f32,
    point: Point,
}

#[derive(Debug, Clone, PartialEq)]
struct Point {
    at: f64,
    rate: f32,
    accepted: u64,
    refused: u64,
    devices: Box<[DevicePoint]>,
}

/// What is not known is not a number.
#[derive(Debug, Clone, Copy, PartialEq)]
struct DevicePoint {
    rate: f32,
    temperature: f32,
    power: f32,
}

/// A history in columns, which is far shorter than in rows.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub(super) struct Columns {
    /// When each point was, in Unix time; they are closer together towards the end.
    unix_seconds: Vec<f64>,
    /// Mean rate of all devices.
    hashes_per_second: Vec<Option<f32>>,
    /// Shares accepted since the run began.
    accepted: Vec<u64>,
    /// Shares rejected or stale since the run began.
    refused: Vec<u64>,
    /// The devices, by their number.
    devices: Vec<DeviceColumns>,
}

/// The history of a device.
#[derive(Debug, Default, Serialize, JsonSchema)]
struct DeviceColumns {
    /// Mean rate.
    hashes_per_second: Vec<Option<f32>>,
    /// Highest temperature.
    temperature_celsius: Vec<Option<f32>>,
    /// Mean power.
    power_watts: Vec<Option<f32>>,
}

impl History {
    pub(super) fn new() -> Self {
        let tier = |(seconds, most)| Tier { seconds, most, points: VecDeque::new(), sum: None };
        Self { tiers: HISTORY.into_iter().map(tier).collect() }
    }

    /// Adds a sample.
    pub(super) fn push(&mut self, snapshot: &Snapshot) {
        let point = Point::of(snapshot);
        self.tiers.iter_mut().for_each(|tier| tier.push(&point));
    }

    /// All points, the oldest first.
    pub(super) fn columns(&self) -> Columns {
        let mut columns = Columns::default();
        // The finest tier that reaches back so far has the word.
        let mut until = f64::INFINITY;
        let mut pieces = Vec::new();
        for tier in &self.tiers {
            let end = tier.points.partition_point(|point| point.at < until);
            pieces.push((tier, end));
            until = until.min(tier.points.front().map_or(until, |first| first.at));
        }
        for (tier, end) in pieces.into_iter().rev() {
            tier.points.range(..end).for_each(|point| columns.push(point));
        }
        columns
    }

    /// Bytes of memory, about.
    #[cfg(test)]
    fn bytes(&self) -> usize {
        let point = |point: &Point| size_of::<Point>() + size_of_val(&*point.devices);
        self.tiers.iter().flat_map(|tier| &tier.points).map(point).sum()
    }
}

impl Tier {
    fn push(&mut self, point: &Point) {
        let sum = self.sum.get_or_insert_with(|| Sum {
            begun: point.at,
            samples: 0.0,
            point: point.clone(),
        });
        sum.add(point);
        // A clock that was set back begins a new piece.
        if (0.0..self.seconds).contains(&(point.at - sum.begun)) {
            return;
        }
        if let Some(sum) = self.sum.take() {
            while self.points.len() >= self.most {
                self.points.pop_front();
            }
            self.points.push_back(sum.point);
        }
        self.sum = Some(Sum { begun: point.at, samples: 0.0, point: point.clone() });
    }
}

impl Sum {
    /// Rates and power are means, the temperature is the highest, counts are the last.
    fn add(&mut self, point: &Point) {
        self.samples += 1.0;
        let mean = |so_far: f32, value: f32| {
            if so_far.is_nan() { value } else { so_far + (value - so_far) / self.samples }
        };
        let sum = &mut self.point;
        (sum.at, sum.accepted, sum.refused) = (point.at, point.accepted, point.refused);
        sum.rate = mean(sum.rate, point.rate);
        for (sum, device) in sum.devices.iter_mut().zip(&point.devices) {
            sum.rate = mean(sum.rate, device.rate);
            sum.power = mean(sum.power, device.power);
            sum.temperature = sum.temperature.max(device.temperature);
        }
    }
}

impl Point {
    fn of(snapshot: &Snapshot) -> Self {
        let shares = &snapshot.shares;
        let devices = snapshot.devices.iter().map(|device| DevicePoint {
            rate: float(device.hashes_per_second.now),
            temperature: float(device.sensors.temperature_celsius),
            power: float(device.sensors.power_watts),
        });
        Self {
            at: snapshot.run.unix_seconds,
            rate: float(snapshot.run.hashes_per_second.now),
            accepted: shares.accepted,
            refused: shares.rejected + shares.stale,
            devices: devices.collect(),
        }
    }
}

impl Columns {
    fn push(&mut self, point: &Point) {
        self.unix_seconds.push((point.at * 10.0).round() / 10.0);
        self.hashes_per_second.push(known(point.rate));
        self.accepted.push(point.accepted);
        self.refused.push(point.refused);
        self.devices
            .resize_with(self.devices.len().max(point.devices.len()), DeviceColumns::default);
        for (columns, device) in self.devices.iter_mut().zip(&point.devices) {
            columns.hashes_per_second.push(known(device.rate));
            columns.temperature_celsius.push(known(device.temperature));
            columns.power_watts.push(known(device.power));
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "seven digits are enough for a chart")]
fn float(value: Option<f64>) -> f32 {
    value.map_or(f32::NAN, |value| value as f32)
}

/// With four digits, of which a chart shows three.
fn known(value: f32) -> Option<f32> {
    let digits = 10_f32.powf(3.0 - value.abs().max(1.0).log10().floor());
    (!value.is_nan()).then(|| (value * digits).round() / digits)
}

#[cfg(test)]
mod tests;
