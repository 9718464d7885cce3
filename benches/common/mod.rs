//! What the benches share.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a bench may panic and print")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use adit::chain::KNOWN_BLOCKS;
use adit::device::Device;
use adit::limits::NONCES_PER_HEADER;
use adit::work::{Batch, Coverage, Filter, Job, JobId, Nonces, Region, Rolls};

/// How often each of the two is measured.
pub(crate) const ROUNDS: usize = 9;

/// Far more than any batch takes here.
const LIMIT: Duration = Duration::from_secs(60);

/// Whether to measure: `cargo test --benches` runs the program too, and there it shall only build.
pub(crate) fn started() -> bool {
    std::env::args().any(|argument| argument == "--bench")
}

/// A job over all nonces of a real header.
pub(crate) fn job(id: u64, nonces: Nonces) -> Job {
    let header = KNOWN_BLOCKS[0].header().unwrap();
    Job { id: JobId::only(id), rolls: Rolls::one(header), target: header.target(), nonces }
}

/// Batches of one job, without end, over the header's nonces again and again.
pub(crate) fn batches(size: u64) -> impl Iterator<Item = Batch> {
    let job = Arc::new(job(1, Nonces::ALL));
    let per_header = NONCES_PER_HEADER / size;
    (0..per_header).cycle().map(move |number| Batch {
        job: Arc::clone(&job),
        region: Region::first_header(Nonces::new(number * size, (number + 1) * size).unwrap()),
        filter: Filter::WORD,
    })
}

/// Keeps the device full of batches for some time. Hashes per second, from the first begin to the last
/// report.
pub(crate) fn scan_for(
    device: &mut dyn Device,
    batches: &mut impl Iterator<Item = Batch>,
    time: Duration,
) -> f64 {
    let begun = Instant::now();
    let (mut under_way, mut hashes) = (0, 0);
    loop {
        while under_way < device.info().in_flight && begun.elapsed() < time {
            device.begin(batches.next().unwrap()).unwrap();
            under_way += 1;
        }
        if under_way == 0 {
            return per_second(hashes, begun.elapsed());
        }
        let scan = device.finish(LIMIT).unwrap();
        assert_eq!(scan.coverage, Coverage::Full);
        hashes += scan.region.len();
        under_way -= 1;
    }
}

/// A rate.
pub(crate) fn per_second(count: u64, time: Duration) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a rate")]
    let count = count as f64;
    count / time.as_secs_f64()
}

/// Two rates, measured in turns.
#[derive(Default)]
pub(crate) struct Rounds(Vec<[f64; 2]>);

impl Rounds {
    /// One round: the thing of interest, and what it is compared with.
    pub(crate) fn add(&mut self, rate: f64, compared: f64) {
        self.0.push([rate, compared]);
    }

    /// The medians, and the median of the rounds' ratios with the quartiles as its spread.
    pub(crate) fn print(&self, name: &str, compared: &str) {
        println!(
            "{:24}  {:>9}  {:>9}  {:>9}",
            format!("{} rounds", self.0.len()),
            "lower",
            "median",
            "upper"
        );
        let mega = |rate: f64| format!("{:.2} MH/s", rate / 1e6);
        print_row(name, self.0.iter().map(|[rate, _]| *rate), mega);
        print_row(compared, self.0.iter().map(|[_, compared]| *compared), mega);
        let ratios = self.0.iter().map(|[rate, compared]| rate / compared);
        print_row("ratio", ratios, |ratio| format!("{:.1} %", ratio * 100.0));
    }
}

/// Lower quartile, median and upper quartile.
pub(crate) fn print_row(
    name: &str,
    figures: impl Iterator<Item = f64>,
    text: impl Fn(f64) -> String,
) {
    let Sorted(figures) = figures.collect();
    let last = figures.len() - 1;
    let [lower, median, upper] = [last / 4, last / 2, last - last / 4].map(|at| text(figures[at]));
    println!("{name:24}  {lower:>10}  {median:>10}  {upper:>10}");
}

/// Figures in order, at least one.
pub(crate) struct Sorted(Vec<f64>);

impl Sorted {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// So many of 1,000 are no greater.
    pub(crate) fn at(&self, permille: usize) -> f64 {
        self.0[(self.0.len() - 1) * permille / 1000]
    }
}

impl FromIterator<f64> for Sorted {
    fn from_iter<T: IntoIterator<Item = f64>>(figures: T) -> Self {
        let mut figures: Vec<f64> = figures.into_iter().collect();
        figures.sort_by(f64::total_cmp);
        Self(figures)
    }
}
