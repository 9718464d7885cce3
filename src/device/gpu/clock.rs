//! The adapter's own clock: when it began and ended the work of a dispatch.

use std::time::Duration;

use wgpu::{
    Buffer, BufferUsages, CommandEncoder, ComputePassTimestampWrites, Device, QuerySet, QueryType,
};

use crate::work::DeviceSpan;

/// Times one dispatch at a time.
pub(super) struct Stopwatch {
    queries: QuerySet,
    resolved: Buffer,
    /// Nanoseconds.
    tick: f32,
}

impl Stopwatch {
    /// What it writes: two counts of ticks.
    pub(super) const BYTES: usize = size_of::<[u64; 2]>();

    pub(super) fn new(device: &Device, tick: f32) -> Self {
        let queries = device.create_query_set(&wgpu::QuerySetDescriptor {
            label: Some("clock"),
            ty: QueryType::Timestamp,
            count: 2,
        });
        let resolved = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("clock"),
            size: Self::BYTES as u64,
            usage: BufferUsages::QUERY_RESOLVE | BufferUsages::COPY_SRC,
            mapped_at_creation: false,
        });
        Self { queries, resolved, tick }
    }

    /// What a pass that is timed has to write.
    pub(super) const fn writes(&self) -> ComputePassTimestampWrites<'_> {
        ComputePassTimestampWrites {
            query_set: &self.queries,
            beginning_of_pass_write_index: Some(0),
            end_of_pass_write_index: Some(1),
        }
    }

    /// Copies the ticks into a buffer, from `offset` on, once the pass has ended.
    pub(super) fn read(&self, encoder: &mut CommandEncoder, into: &Buffer, offset: u64) {
        encoder.resolve_query_set(&self.queries, 0..2, &self.resolved, 0);
        encoder.copy_buffer_to_buffer(&self.resolved, 0, into, offset, Self::BYTES as u64);
    }

    /// What was read; `None` where it makes no sense: some drivers write nothing, or count backwards.
    pub(super) fn span(&self, read: &[u8]) -> Option<DeviceSpan> {
        span(read, self.tick)
    }
}

fn span(read: &[u8], tick: f32) -> Option<DeviceSpan> {
    let (begun, rest) = read.split_first_chunk()?;
    let (ended, _) = rest.split_first_chunk()?;
    let [begun, ended] = [begun, ended].map(|ticks| u64::from_le_bytes(*ticks));
    #[expect(clippy::cast_precision_loss, reason = "an hour of nanoseconds has 42 bits")]
    let duration =
        |ticks: u64| Duration::try_from_secs_f64(ticks as f64 * f64::from(tick) * 1e-9).ok();
    // The difference first: a clock that counts since the epoch needs all bits of a float.
    let length = duration(ended.checked_sub(begun)?)?;
    let begun = duration(begun).filter(|begun| !begun.is_zero())?;
    Some(DeviceSpan { begun, ended: begun + length })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(begun: u64, ended: u64, tick: f32) -> Option<(Duration, Duration)> {
        let bytes = [begun.to_le_bytes(), ended.to_le_bytes()].concat();
        span(&bytes, tick).map(|span| (span.begun, span.ended))
    }

    #[test]
    fn ticks_become_times_and_nonsense_becomes_nothing() {
        let micros = Duration::from_micros;
        assert_eq!(read(1000, 3000, 1.0), Some((micros(1), micros(3))));
        assert_eq!(read(100, 300, 10.0), Some((micros(1), micros(3))));
        assert_eq!(read(3000, 1000, 1.0), None, "backwards");
        assert_eq!(read(0, 0, 1.0), None, "nothing was written");
        assert_eq!(read(1, u64::MAX, f32::INFINITY), None);
        assert_eq!(span(&[1; 8], 1.0), None);
        // A clock of this century.
        let now = 1_800_000_000_000_000_000;
        let (begun, ended) = read(now, now + 12_345_678, 1.0).unwrap();
        assert_eq!(ended.checked_sub(begun), Some(Duration::from_nanos(12_345_678)));
    }
}
