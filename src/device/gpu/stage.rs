//! A kernel on an adapter: its pipelines, the tables that they read, and how a batch lies in threads.

use std::num::NonZeroU64;
use std::sync::Arc;

use wgpu::{BindingResource, Buffer, BufferBinding, BufferUsages, Device, Queue};

use super::pipeline::{Binding, Pipeline, Shader};
use crate::kernel::abi::{Params, ROTATIONS};
use crate::kernel::{
    ENTRY_POINT, JobWords, Kernel, Layout, Plan, ROWS_ENTRY_POINT, Table, Test, Variant,
};
use crate::limits::{JOB_SLOTS, VERLANE_ROWS, VERLANE_WINDOW};
use crate::work::{Batch, Filter, Headers, Job, Region, Width};

/// Most workgroups in one dimension of a dispatch; every adapter takes as many.
const GROUPS_PER_DIMENSION: u32 = 65_535;

/// Threads of a workgroup that fills the table of rows, `shaders/rows.wgsl`.
const FILLERS: u32 = 64;

/// A kernel, compiled.
pub(super) struct Stage {
    variant: Variant,
    pub(super) scan: Pipeline,
    job: Plan,
    lanes: Option<Lanes>,
    pub(super) rows: Option<Rows>,
    /// The job and its first header whose words were computed last.
    last: Option<(Arc<Job>, u32, [u32; JOB_SLOTS])>,
}

/// The words of each version, for the layouts whose headers share work.
struct Lanes {
    plan: Plan,
    buffer: Buffer,
    /// What it holds.
    filled: Option<(Arc<Job>, Headers)>,
}

/// What makes the table that the headers of a nonce share. One table serves all dispatches, which run one
/// after the other.
pub(super) struct Rows {
    pub(super) fill: Pipeline,
    buffer: Buffer,
    /// Bytes of a row.
    bytes: u64,
}

/// Workgroups side by side and above each other.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Dispatch {
    /// Where in the table its window begins, in bytes, if it has one.
    pub(super) offset: Option<u32>,
    pub(super) per_row: u32,
    pub(super) rows: u32,
}

impl Stage {
    /// Compiles a kernel, or says what the compiler says.
    pub(super) fn new(device: &Device, kernel: Kernel) -> Result<Self, String> {
        let (variant, label) = (kernel.variant, kernel.to_string());
        let is_trusted = kernel.custom.is_none();
        let bindings: &'static [Binding] = match variant.layout() {
            Layout::Std => &[Binding::Params, Binding::Report],
            Layout::Boost { .. } => &[Binding::Params, Binding::Report, Binding::Lanes],
            Layout::Verlane(Table::Storage) => {
                &[Binding::Params, Binding::Report, Binding::Lanes, Binding::Rows]
            }
            Layout::Verlane(Table::Uniform) => {
                &[Binding::Params, Binding::Report, Binding::Lanes, Binding::RowsInWindow]
            }
        };
        let wgsl = &kernel.wgsl;
        let shader = Shader { label: &label, wgsl, entry_point: ENTRY_POINT, bindings, is_trusted };
        let scan = Pipeline::new(device, &shader)?;
        let rows = kernel.rows.as_ref().map(|rows| Rows::new(device, &label, rows)).transpose()?;
        let lanes = bindings
            .contains(&Binding::Lanes)
            .then(|| Lanes::new(device, kernel.lane, width(variant).most));
        Ok(Self { variant, scan, job: kernel.job, lanes, rows, last: None })
    }

    /// Whether it tests for these filters too.
    pub(super) fn serves(&self, filter: Filter) -> bool {
        filter >= easiest_filter(self.variant.test)
    }

    /// The parameters of a batch, whose sequence number is still to be set, and the dispatches that it is.
    /// The versions' words are put in their place.
    pub(super) fn prepare(&mut self, queue: &Queue, batch: &Batch) -> (Params, Vec<Dispatch>) {
        if let Some(lanes) = &mut self.lanes {
            lanes.fill(queue, &batch.job, batch.region.headers);
        }
        let grid = self.grid(batch.region);
        let params = Params {
            job: self.job_words(&batch.job, batch.region.headers.first()),
            rotations: ROTATIONS,
            base: grid.base,
            start: batch.region.nonces.first(),
            count: grid.count,
            groups_per_row: grid.per_row,
            sequence: 0,
            filter_mask: batch.filter.mask(),
            one: 1,
            headers: grid.headers,
        };
        (params, self.dispatches(&grid))
    }

    /// A buffer that is the stage's own.
    pub(super) fn table(&self, binding: Binding) -> Option<BindingResource<'_>> {
        match binding {
            Binding::Lanes => self.lanes.as_ref().map(|lanes| lanes.buffer.as_entire_binding()),
            Binding::Rows | Binding::RowsToFill => {
                self.rows.as_ref().map(|rows| rows.buffer.as_entire_binding())
            }
            Binding::RowsInWindow => self.rows.as_ref().map(Rows::window),
            Binding::Params | Binding::Report => None,
        }
    }

    fn dispatches(&self, grid: &Grid) -> Vec<Dispatch> {
        match (&self.rows, self.variant.layout()) {
            (Some(rows), Layout::Verlane(Table::Uniform)) => {
                windows(grid, rows.bytes, self.variant.nonces.count())
            }
            _ => vec![Dispatch { offset: None, per_row: grid.per_row, rows: grid.rows }],
        }
    }

    /// How a batch lies in workgroups.
    fn grid(&self, region: Region) -> Grid {
        let Variant { workgroup, nonces, .. } = self.variant;
        match self.variant.layout() {
            Layout::Verlane(_) => Grid::of_headers(region, workgroup.threads(), nonces.count()),
            _ => Grid::of_nonces(region, workgroup.threads(), nonces.count()),
        }
    }

    fn job_words(&mut self, job: &Arc<Job>, header: u32) -> [u32; JOB_SLOTS] {
        match &self.last {
            Some((last, number, words)) if Arc::ptr_eq(last, job) && *number == header => *words,
            _ => {
                let words = self.job.fill(&JobWords::of(&job.rolls.header(header)));
                self.last = Some((Arc::clone(job), header, words));
                words
            }
        }
    }
}

/// How many headers a variant takes at once.
pub(super) fn width(variant: Variant) -> Width {
    let (least, most) = variant.layout().headers();
    let nonces = match variant.layout() {
        Layout::Std | Layout::Boost { .. } => Width::ONE.nonces,
        Layout::Verlane(_) => VERLANE_ROWS.into(),
    };
    let most = most.min(GROUPS_PER_DIMENSION * variant.workgroup.threads());
    Width { least, most, filter: easiest_filter(variant.test), nonces }
}

/// The easiest filter that a test serves.
const fn easiest_filter(test: Test) -> Filter {
    match test {
        Test::Word7 => Filter::WORD,
        Test::Mask => Filter::new(0),
    }
}

impl Lanes {
    fn new(device: &Device, plan: Plan, headers: u32) -> Self {
        let size = (plan.slots().div_ceil(4) * 16) as u64 * u64::from(headers);
        Self { plan, buffer: table(device, "lanes", size), filled: None }
    }

    fn fill(&mut self, queue: &Queue, job: &Arc<Job>, headers: Headers) {
        let holds = |(held, of): &(Arc<Job>, Headers)| Arc::ptr_eq(held, job) && *of == headers;
        if self.filled.as_ref().is_some_and(holds) {
            return;
        }
        let words = self.plan.slots().next_multiple_of(4);
        let of_header = |header| self.plan.fill(&JobWords::of(&header)).into_iter().take(words);
        let words: Vec<u32> = job.rolls.headers(headers).flat_map(of_header).collect();
        queue.write_buffer(&self.buffer, 0, bytemuck::cast_slice(&words));
        self.filled = Some((Arc::clone(job), headers));
    }
}

impl Rows {
    fn new(device: &Device, label: &str, rows: &crate::kernel::Rows) -> Result<Self, String> {
        let fill = Pipeline::new(
            device,
            &Shader {
                label,
                wgsl: &rows.wgsl,
                entry_point: ROWS_ENTRY_POINT,
                bindings: &[Binding::Params, Binding::RowsToFill],
                is_trusted: true,
            },
        )?;
        let buffer = table(device, "rows", rows.bytes * u64::from(VERLANE_ROWS));
        Ok(Self { fill, buffer, bytes: rows.bytes })
    }

    /// The first window; a dispatch moves it by its offset.
    fn window(&self) -> BindingResource<'_> {
        let size = NonZeroU64::new(self.bytes * u64::from(VERLANE_WINDOW));
        BindingResource::Buffer(BufferBinding { buffer: &self.buffer, offset: 0, size })
    }

    /// Workgroups that fill so many rows.
    pub(super) const fn groups(rows: u32) -> u32 {
        rows.div_ceil(FILLERS)
    }
}

/// A dispatch for each window that the nonces of a grid need; the first even if there is no nonce.
fn windows(grid: &Grid, row_bytes: u64, nonces_per_thread: u32) -> Vec<Dispatch> {
    let count = grid.count.div_ceil(VERLANE_WINDOW).max(1);
    let dispatch = |window: u32| {
        let before = window * VERLANE_WINDOW;
        let here = (grid.count - before.min(grid.count)).min(VERLANE_WINDOW);
        Dispatch {
            // A table of VERLANE_ROWS rows is far smaller than 4 GiB.
            offset: u32::try_from(u64::from(before) * row_bytes).ok(),
            per_row: grid.per_row,
            rows: here.div_ceil(nonces_per_thread).max(1),
        }
    };
    (0..count).map(dispatch).collect()
}

fn table(device: &Device, label: &str, size: u64) -> Buffer {
    device.create_buffer(&wgpu::BufferDescriptor {
        label: Some(label),
        size,
        usage: BufferUsages::STORAGE | BufferUsages::UNIFORM | BufferUsages::COPY_DST,
        mapped_at_creation: false,
    })
}

/// How a batch lies in workgroups. There is at least one, so that an empty range is answered too.
#[derive(Debug, PartialEq, Eq)]
struct Grid {
    /// Nonce of the first thread, where threads have nonces: a multiple of the workgroup.
    base: u32,
    /// Nonces.
    count: u32,
    headers: u32,
    per_row: u32,
    rows: u32,
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a batch has MAX_BATCH hashes at most, and 65535 rows hold more"
)]
impl Grid {
    /// Threads lie along the nonces.
    fn of_nonces(region: Region, workgroup: u32, nonces_per_thread: u32) -> Self {
        let (nonces, threads) = (region.nonces, u64::from(workgroup));
        let base = nonces.start() / threads * threads;
        let groups = (nonces.end() - base).div_ceil(threads * u64::from(nonces_per_thread)).max(1);
        let rows = groups.div_ceil(GROUPS_PER_DIMENSION.into());
        Self {
            base: base as u32,
            count: nonces.len() as u32,
            headers: region.headers.len() as u32,
            per_row: groups.div_ceil(rows) as u32,
            rows: rows as u32,
        }
    }

    /// Threads lie along the headers, workgroups above each other along the nonces.
    fn of_headers(region: Region, workgroup: u32, nonces_per_thread: u32) -> Self {
        let (headers, count) = (region.headers.len() as u32, region.nonces.len() as u32);
        Self {
            base: 0,
            count,
            headers,
            per_row: headers.div_ceil(workgroup).max(1),
            rows: count.div_ceil(nonces_per_thread).max(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::MAX_BATCH;
    use crate::work::Nonces;

    #[test]
    fn the_grid_covers_the_nonces_and_little_more() {
        for (workgroup, per_thread) in [(1, 1), (64, 1), (256, 1), (64, 4), (256, 255)] {
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
                let region = Region::first_header(nonces);
                let grid = Grid::of_nonces(region, workgroup, per_thread);
                let group = u64::from(workgroup) * u64::from(per_thread);
                let covered = u64::from(grid.per_row) * u64::from(grid.rows) * group;
                assert!(grid.per_row <= GROUPS_PER_DIMENSION && grid.rows <= GROUPS_PER_DIMENSION);
                let base = u64::from(grid.base);
                assert!(base <= start && base.is_multiple_of(workgroup.into()));
                assert!(base + covered >= nonces.end());
                // The rest of the last row must not wrap round to the start.
                assert!(covered < length + group * (2 + u64::from(grid.rows)));
            }
        }
    }

    #[test]
    fn the_grid_covers_the_headers_and_their_nonces() {
        for (headers, nonces) in [(512, 0), (512, 1), (65_535, 33), (1 << 16, 1 << 14)] {
            for (workgroup, per_thread) in [(1, 1), (64, 32), (256, 255)] {
                let region = Region {
                    headers: Headers::new(7, 7 + headers).unwrap(),
                    nonces: Nonces::new(5, 5 + nonces).unwrap(),
                };
                let grid = Grid::of_headers(region, workgroup, per_thread);
                assert!(u64::from(grid.per_row * workgroup) >= headers);
                assert!(u64::from(grid.rows * per_thread) >= nonces);
                assert_eq!((u64::from(grid.headers), u64::from(grid.count)), (headers, nonces));
                assert!(grid.rows >= 1 && grid.rows <= GROUPS_PER_DIMENSION);
            }
        }
    }

    #[test]
    fn windows_cover_the_rows_and_no_more() {
        let per_row = 8;
        for nonces_per_thread in [1, 32, 255] {
            for count in [0, 1, 63, 64, 65, 1000, VERLANE_ROWS] {
                let grid = Grid { base: 0, count, headers: 512, per_row, rows: 0 };
                let dispatches = windows(&grid, 192, nonces_per_thread);
                let mut left = count;
                for (dispatch, number) in dispatches.iter().zip(0..) {
                    // The offset of a window in uniform memory is a multiple of 256 on every adapter.
                    assert_eq!(dispatch.offset, Some(number * VERLANE_WINDOW * 192));
                    assert_eq!(VERLANE_WINDOW * 192 % 256, 0);
                    let here = left.min(VERLANE_WINDOW);
                    let threads = here.div_ceil(nonces_per_thread).max(1);
                    assert_eq!((dispatch.per_row, dispatch.rows), (per_row, threads));
                    left -= here;
                }
                assert_eq!(left, 0);
                assert_eq!(dispatches.len(), count.div_ceil(VERLANE_WINDOW).max(1) as usize);
            }
        }
    }

    #[test]
    fn as_many_rows_are_filled_by_a_workgroup_as_the_shader_says() {
        let rows = Kernel::new(verlane()).rows.unwrap();
        assert!(rows.wgsl.contains(&format!("@workgroup_size({FILLERS})")));
    }

    #[test]
    fn every_batch_that_a_width_allows_fits_the_grid() {
        for (variant, _) in Variant::list() {
            let width = width(variant);
            assert!(width.least >= 1 && width.least <= width.most && width.most <= 1 << 16);
            let groups = width.most.div_ceil(variant.workgroup.threads());
            assert!(groups <= GROUPS_PER_DIMENSION, "{variant}");
        }
        let narrow = Variant { workgroup: crate::kernel::Workgroup::new(1).unwrap(), ..verlane() };
        assert_eq!(width(narrow).most, GROUPS_PER_DIMENSION);
        const { assert!(VERLANE_ROWS <= GROUPS_PER_DIMENSION, "with one row per thread") };
    }

    fn verlane() -> Variant {
        "verlane-literal-w64".parse().unwrap()
    }
}
