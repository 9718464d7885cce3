//! The dispatches in flight: each has buffers of its own, so that none waits for another.

use std::collections::VecDeque;
use std::mem::size_of;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Instant;

use bytemuck::Zeroable;
use wgpu::{
    BindGroup, BindGroupLayout, Buffer, BufferUsages, ComputePipeline, Device, Queue,
    SubmissionIndex,
};

use crate::kernel::abi::{Params, Report};
use crate::work::{Coverage, Hit, Nonces, Region, Scan};

/// Most workgroups in one dimension of a dispatch; every adapter takes as many.
const GROUPS_PER_DIMENSION: u64 = 65_535;

/// One set of buffers.
pub(super) struct Slot {
    params: Buffer,
    report: Buffer,
    readback: Buffer,
    binding: BindGroup,
}

/// A dispatch under way.
pub(super) struct Dispatch {
    slot: Slot,
    region: Region,
    sequence: u32,
    groups: u32,
    pub(super) begun: Instant,
    pub(super) submission: SubmissionIndex,
    mapped: Arc<AtomicU8>,
}

/// What the map callback said. Relaxed accesses suffice: the callback runs on the polling thread.
mod mapping {
    pub(super) const PENDING: u8 = 0;
    pub(super) const READY: u8 = 1;
    pub(super) const FAILED: u8 = 2;
}

/// The free slots, and the dispatches in the order in which they were submitted.
pub(super) struct Ring {
    free: Vec<Slot>,
    pub(super) under_way: VecDeque<Dispatch>,
    sequence: u32,
}

impl Ring {
    pub(super) fn new(device: &Device, layout: &BindGroupLayout, slots: usize) -> Self {
        let free = (0..slots).map(|_| Slot::new(device, layout)).collect();
        Self { free, under_way: VecDeque::new(), sequence: 0 }
    }

    pub(super) fn is_full(&self) -> bool {
        self.free.is_empty()
    }

    /// Submits one dispatch. `params` needs its job words, rotations, mask and `one`; the rest is set
    /// here. Nothing happens when the ring is full, which the caller has excluded.
    pub(super) fn submit(
        &mut self,
        device: &Device,
        queue: &Queue,
        pipeline: &ComputePipeline,
        workgroup: u32,
        region: Region,
        params: Params,
    ) {
        let Some(slot) = self.free.pop() else { return };
        self.sequence = self.sequence.wrapping_add(1);
        let grid = Grid::new(region.nonces, workgroup);
        let params = Params {
            base: grid.base,
            start: region.nonces.first(),
            count: grid.count,
            groups_per_row: grid.per_row,
            sequence: self.sequence,
            ..params
        };
        queue.write_buffer(&slot.params, 0, bytemuck::bytes_of(&params));
        let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        encoder.clear_buffer(&slot.report, 0, None);
        {
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            pass.set_pipeline(pipeline);
            pass.set_bind_group(0, &slot.binding, &[]);
            pass.dispatch_workgroups(grid.per_row, grid.rows, 1);
        }
        encoder.copy_buffer_to_buffer(
            &slot.report,
            0,
            &slot.readback,
            0,
            size_of::<Report>() as u64,
        );
        let begun = Instant::now();
        let submission = queue.submit([encoder.finish()]);
        let mapped = Arc::new(AtomicU8::new(mapping::PENDING));
        let flag = Arc::clone(&mapped);
        slot.readback.map_async(wgpu::MapMode::Read, .., move |result| {
            let state = if result.is_ok() { mapping::READY } else { mapping::FAILED };
            flag.store(state, Ordering::Relaxed);
        });
        let groups = grid.per_row * grid.rows;
        self.under_way.push_back(Dispatch {
            slot,
            region,
            sequence: self.sequence,
            groups,
            begun,
            submission,
            mapped,
        });
    }

    /// Reads the oldest dispatch, which has ended, and frees its slot. `previous_end` is when the one
    /// before it ended: a dispatch that waited for it was not running.
    ///
    /// # Errors
    ///
    /// When the report cannot be read: the device is gone.
    pub(super) fn take(&mut self, previous_end: Option<Instant>) -> Result<Scan, String> {
        let Some(dispatch) = self.under_way.pop_front() else {
            return Err("no dispatch is under way".to_owned());
        };
        let elapsed = previous_end.map_or(dispatch.begun, |end| end.max(dispatch.begun)).elapsed();
        match dispatch.mapped.load(Ordering::Relaxed) {
            mapping::READY => {}
            mapping::FAILED => {
                return Err("the report of a dispatch could not be read back".to_owned());
            }
            _ => {
                return Err(
                    "the driver says that a dispatch ended and does not hand out its report"
                        .to_owned(),
                );
            }
        }
        let mut report = Report::zeroed();
        {
            let view =
                dispatch.slot.readback.get_mapped_range(..).map_err(|error| error.to_string())?;
            bytemuck::bytes_of_mut(&mut report).copy_from_slice(&view);
        }
        dispatch.slot.readback.unmap();
        let (hits, coverage) = read(&report, &dispatch);
        self.free.push(dispatch.slot);
        Ok(Scan { region: dispatch.region, hits, coverage, elapsed })
    }
}

/// Believes a report only as far as it proves itself.
fn read(report: &Report, dispatch: &Dispatch) -> (Vec<Hit>, Coverage) {
    let found = report.hits_found as usize;
    let partial = |why: String| (Vec::new(), Coverage::Partial { why });
    if report.sequence != dispatch.sequence {
        return partial(format!(
            "it echoes dispatch {}, not {}",
            report.sequence, dispatch.sequence
        ));
    }
    if report.groups_done != dispatch.groups {
        return partial(format!(
            "{} of {} workgroups finished",
            report.groups_done, dispatch.groups
        ));
    }
    let hashes = dispatch.region.len();
    if found as u64 > hashes {
        return partial(format!("it counts {found} hits in {hashes} hashes"));
    }
    let header = dispatch.region.headers.first();
    let hits =
        |nonces: &[u32]| nonces.iter().map(|&nonce| Hit { header, nonce }).collect::<Vec<Hit>>();
    match report.hits.get(..found) {
        Some(nonces) => (hits(nonces), Coverage::Full),
        None => (hits(&report.hits), Coverage::Overflow { found: found as u64 }),
    }
}

impl Slot {
    fn new(device: &Device, layout: &BindGroupLayout) -> Self {
        let buffer = |label, size: usize, usage| {
            device.create_buffer(&wgpu::BufferDescriptor {
                label: Some(label),
                size: size as u64,
                usage,
                mapped_at_creation: false,
            })
        };
        let params =
            buffer("params", size_of::<Params>(), BufferUsages::UNIFORM | BufferUsages::COPY_DST);
        let report = buffer(
            "report",
            size_of::<Report>(),
            BufferUsages::STORAGE | BufferUsages::COPY_SRC | BufferUsages::COPY_DST,
        );
        let readback = buffer(
            "readback",
            size_of::<Report>(),
            BufferUsages::MAP_READ | BufferUsages::COPY_DST,
        );
        let binding = device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: None,
            layout,
            entries: &[
                wgpu::BindGroupEntry { binding: 0, resource: params.as_entire_binding() },
                wgpu::BindGroupEntry { binding: 1, resource: report.as_entire_binding() },
            ],
        });
        Self { params, report, readback, binding }
    }
}

/// How a range of nonces lies in workgroups.
#[derive(Debug, PartialEq, Eq)]
struct Grid {
    /// Nonce of the first thread, a multiple of the workgroup.
    base: u32,
    count: u32,
    per_row: u32,
    rows: u32,
}

impl Grid {
    /// At least one workgroup, so that an empty range is answered too.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a batch has MAX_BATCH nonces at most, and 65535 rows hold more"
    )]
    fn new(nonces: Nonces, workgroup: u32) -> Self {
        let base = nonces.start() / u64::from(workgroup) * u64::from(workgroup);
        let groups = (nonces.end() - base).div_ceil(u64::from(workgroup)).max(1);
        let rows = groups.div_ceil(GROUPS_PER_DIMENSION);
        let per_row = groups.div_ceil(rows);
        Self {
            base: base as u32,
            count: nonces.len() as u32,
            per_row: per_row as u32,
            rows: rows as u32,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::MAX_BATCH;

    #[test]
    fn the_grid_covers_the_range_and_little_more() {
        for workgroup in [1, 64, 256_u32] {
            for (start, length) in [
                (0, 0),
                (0, 1),
                (63, 2),
                (64, 64),
                (1, 100_000_000),
                ((1 << 32) - 5, 5),
                (1 << 31, MAX_BATCH),
            ] {
                let nonces = Nonces::new(start, start + length).unwrap();
                let grid = Grid::new(nonces, workgroup);
                let threads = u64::from(grid.per_row) * u64::from(grid.rows) * u64::from(workgroup);
                assert!(u64::from(grid.per_row) <= GROUPS_PER_DIMENSION && grid.rows <= 65_535);
                assert!(
                    u64::from(grid.base) <= start
                        && u64::from(grid.base) % u64::from(workgroup) == 0
                );
                assert!(u64::from(grid.base) + threads >= nonces.end());
                // The rest of the last row must not wrap round to the start.
                assert!(threads < length + u64::from(workgroup) * (2 + u64::from(grid.rows)));
            }
        }
    }
}
