//! The dispatches in flight: each has buffers of its own, so that none waits for another.

use std::collections::VecDeque;
use std::mem::size_of;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Instant;

use bytemuck::Zeroable;
use wgpu::{Buffer, BufferUsages, Device, Queue, SubmissionIndex};

use super::clock::Stopwatch;
use super::pipeline::Binding;
use super::stage::{Rows, Stage};
use crate::kernel::abi::{Params, Report};
use crate::work::{Batch, Coverage, Hit, Region, Scan};

/// One set of buffers.
pub(super) struct Slot {
    params: Buffer,
    report: Buffer,
    readback: Buffer,
    stopwatch: Option<Stopwatch>,
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
    /// With a clock, whose tick is given in nanoseconds, each dispatch is timed.
    pub(super) fn new(device: &Device, slots: usize, tick: Option<f32>) -> Self {
        let free = (0..slots).map(|_| Slot::new(device, tick)).collect();
        Self { free, under_way: VecDeque::new(), sequence: 0 }
    }

    pub(super) fn is_full(&self) -> bool {
        self.free.is_empty()
    }

    /// Submits one dispatch, after the one that fills the stage's table. Nothing happens when the ring is
    /// full, which the caller has excluded.
    pub(super) fn submit(
        &mut self,
        device: &Device,
        queue: &Queue,
        stage: &mut Stage,
        batch: &Batch,
    ) {
        let Some(slot) = self.free.pop() else { return };
        self.sequence = self.sequence.wrapping_add(1);
        let (params, dispatches) = stage.prepare(queue, batch);
        let params = Params { sequence: self.sequence, ..params };
        queue.write_buffer(&slot.params, 0, bytemuck::bytes_of(&params));
        let resource = |binding| match binding {
            Binding::Params => slot.params.as_entire_binding(),
            _ => stage.table(binding).unwrap_or_else(|| slot.report.as_entire_binding()),
        };
        let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        encoder.clear_buffer(&slot.report, 0, None);
        {
            let timestamp_writes = slot.stopwatch.as_ref().map(Stopwatch::writes);
            let label = None;
            let descriptor = wgpu::ComputePassDescriptor { label, timestamp_writes };
            let mut pass = encoder.begin_compute_pass(&descriptor);
            if let Some(rows) = &stage.rows {
                pass.set_pipeline(&rows.fill.compute);
                pass.set_bind_group(0, &rows.fill.bind(device, resource), &[]);
                pass.dispatch_workgroups(Rows::groups(params.count), 1, 1);
            }
            pass.set_pipeline(&stage.scan.compute);
            let bound = stage.scan.bind(device, resource);
            for dispatch in &dispatches {
                pass.set_bind_group(0, &bound, dispatch.offset.as_slice());
                pass.dispatch_workgroups(dispatch.per_row, dispatch.rows, 1);
            }
        }
        encoder.copy_buffer_to_buffer(
            &slot.report,
            0,
            &slot.readback,
            0,
            size_of::<Report>() as u64,
        );
        if let Some(stopwatch) = &slot.stopwatch {
            stopwatch.read(&mut encoder, &slot.readback, size_of::<Report>() as u64);
        }
        let begun = Instant::now();
        let submission = queue.submit([encoder.finish()]);
        let mapped = Arc::new(AtomicU8::new(mapping::PENDING));
        let flag = Arc::clone(&mapped);
        slot.readback.map_async(wgpu::MapMode::Read, .., move |result| {
            let outcome = if result.is_ok() { mapping::READY } else { mapping::FAILED };
            flag.store(outcome, Ordering::Relaxed);
        });
        let groups = dispatches.iter().map(|dispatch| dispatch.per_row * dispatch.rows).sum();
        self.under_way.push_back(Dispatch {
            slot,
            region: batch.region,
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
        let on_device = {
            let view =
                dispatch.slot.readback.get_mapped_range(..).map_err(|error| error.to_string())?;
            let (told, ticks) = view.split_at(size_of::<Report>());
            bytemuck::bytes_of_mut(&mut report).copy_from_slice(told);
            dispatch.slot.stopwatch.as_ref().and_then(|stopwatch| stopwatch.span(ticks))
        };
        dispatch.slot.readback.unmap();
        let (hits, coverage) = read(&report, &dispatch);
        self.free.push(dispatch.slot);
        Ok(Scan { region: dispatch.region, hits, coverage, elapsed, on_device })
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
    // A header that is none of the batch's is found out when the hit is verified.
    let first = dispatch.region.headers.first();
    let hit = |&[header, nonce]: &[u32; 2]| Hit { header: first.wrapping_add(header), nonce };
    let hits = |hits: &[[u32; 2]]| hits.iter().map(hit).collect::<Vec<Hit>>();
    match report.hits.get(..found) {
        Some(found) => (hits(found), Coverage::Full),
        None => (hits(&report.hits), Coverage::Overflow { found: found as u64 }),
    }
}

impl Slot {
    fn new(device: &Device, tick: Option<f32>) -> Self {
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
            size_of::<Report>() + if tick.is_some() { Stopwatch::BYTES } else { 0 },
            BufferUsages::MAP_READ | BufferUsages::COPY_DST,
        );
        let stopwatch = tick.map(|tick| Stopwatch::new(device, tick));
        Self { params, report, readback, stopwatch }
    }
}
