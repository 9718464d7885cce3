//! A scripted device without clock or sleep, for tests of everything that drives devices.
//!
//! It is part of the library because integration tests use it, and they see only public items.

use std::collections::{BTreeSet, VecDeque};
use std::num::NonZeroU64;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{Device, DeviceError, DeviceInfo, Kind, check_headers};
use crate::limits::{DISPATCHES_IN_FLIGHT, HITS_PER_BATCH};
use crate::work::{Batch, Coverage, Hit, Scan, Width, verify};

/// Most hashes in a batch whose hits are found by hashing: about a second. Plant hits for more.
pub const HASHED_BATCH: u64 = 1 << 22;

/// A device that tells the truth, except where its [`Script`] says otherwise.
///
/// Batches are numbered from 0 in the order of `begin`. After an error other than
/// [`DeviceError::Full`], [`DeviceError::Headers`] and [`DeviceError::Idle`] it answers every call with
/// that error.
///
/// ```
/// use std::time::Duration;
/// use adit::device::{Device, DeviceError, sim::{Fault, Script, Sim}};
/// use adit::work::Hit;
///
/// let mut sim = Sim::planted(vec![Hit { header: 0, nonce: 7 }]).script(Script::new().on(2, Fault::Lost));
/// let fired = sim.fired();
/// assert_eq!(sim.finish(Duration::from_secs(1)), Err(DeviceError::Idle));
/// assert_eq!(fired.count(), 0);
/// ```
#[derive(Debug)]
pub struct Sim {
    info: DeviceInfo,
    rate: NonZeroU64,
    planted: Option<BTreeSet<Hit>>,
    script: Script,
    fired: Fired,
    /// With their numbers, oldest first.
    under_way: VecDeque<(u64, Batch)>,
    begun: u64,
    dead: Option<DeviceError>,
    /// How the time of each scan is disturbed.
    noise: Option<Noise>,
}

#[derive(Debug)]
struct Noise {
    random: fastrand::Rng,
    share: f64,
}

impl Sim {
    /// A device that really hashes, with the code that verifies hits. It refuses batches of
    /// more than [`HASHED_BATCH`] hashes.
    #[must_use]
    pub fn new() -> Self {
        Self {
            info: DeviceInfo {
                name: "Simulated device".to_owned(),
                kind: Kind::Software,
                backend: "sim".to_owned(),
                driver: None,
                pci: None,
                vendor_id: None,
                kernel: "scripted".to_owned(),
                in_flight: DISPATCHES_IN_FLIGHT,
                width: Width::ONE,
            },
            rate: GIGA,
            planted: None,
            script: Script::default(),
            fired: Fired::default(),
            under_way: VecDeque::new(),
            begun: 0,
            dead: None,
            noise: None,
        }
    }

    /// A device whose hits are those of `hits` that lie in the batch, whatever its headers and filter: it
    /// takes batches of any size. True only of jobs with just these hits.
    #[must_use]
    pub fn planted(hits: Vec<Hit>) -> Self {
        Self { planted: Some(hits.into_iter().collect()), ..Self::new() }
    }

    /// Sets how many headers it takes at once; one by default.
    #[must_use]
    pub fn wide(mut self, width: Width) -> Self {
        self.info.width = width;
        self
    }

    /// Sets what goes wrong; nothing by default.
    #[must_use]
    pub fn script(self, script: Script) -> Self {
        Self { script, ..self }
    }

    /// Sets the rate that the time of each scan is computed from, in hashes per second; 10^9 by default.
    #[must_use]
    pub fn rate(self, rate: NonZeroU64) -> Self {
        Self { rate, ..self }
    }

    /// Disturbs the time of each scan by up to `share` of it in either direction, evenly.
    #[must_use]
    pub fn noisy(self, seed: u64, share: f64) -> Self {
        let random = fastrand::Rng::with_seed(seed);
        Self { noise: Some(Noise { random, share: share.clamp(0.0, 1.0) }), ..self }
    }

    /// Sets what it says of itself, and with it how many batches it takes.
    #[must_use]
    pub fn described(self, info: DeviceInfo) -> Self {
        Self { info, ..self }
    }

    /// The faults that happen from now on, to keep when the device itself is given away.
    #[must_use]
    pub fn fired(&self) -> Fired {
        self.fired.clone()
    }

    /// Whether an honest device reports `hit`.
    fn is_hit(&self, batch: &Batch, hit: Hit) -> bool {
        match &self.planted {
            Some(planted) => planted.contains(&hit) && batch.region.contains(hit),
            None => verify(batch, hit).is_ok(),
        }
    }

    /// The true report; its hits ascend.
    fn truth(&self, batch: &Batch) -> Scan {
        let region = batch.region;
        let is_hit = |&hit: &Hit| self.is_hit(batch, hit);
        let mut hits: Vec<Hit> = match &self.planted {
            Some(planted) => planted.iter().copied().filter(is_hit).collect(),
            None => region.iter().filter(is_hit).collect(),
        };
        let coverage = if hits.len() > HITS_PER_BATCH {
            Coverage::Overflow { found: hits.len() as u64 }
        } else {
            Coverage::Full
        };
        hits.truncate(HITS_PER_BATCH);
        let nanos = u128::from(region.len()) * u128::from(GIGA.get()) / u128::from(self.rate.get());
        let elapsed = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        Scan { region, hits, coverage, elapsed, on_device: None }
    }

    /// The report with `fault` in it.
    fn distorted(&self, batch: &Batch, mut scan: Scan, fault: Fault) -> Scan {
        let region = batch.region;
        match fault {
            Fault::WrongHit(hit) => {
                let wrong = region.contains(hit) && !self.is_hit(batch, hit);
                scan.hits.extend(wrong.then_some(hit));
            }
            Fault::OutsideHit => {
                // Past 2^32 comes nonce 0.
                let nonce = u32::try_from(region.nonces.end()).unwrap_or(0);
                let next = Hit { header: region.headers.first(), nonce };
                scan.hits.extend(Some(next).filter(|&hit| !region.contains(hit)));
            }
            Fault::MirrorHeaders => {
                // What is as far from the end as `header` is from the start.
                let ends = (region.headers.start() + region.headers.end()).saturating_sub(1);
                for Hit { header, .. } in &mut scan.hits {
                    *header = u32::try_from(ends - u64::from(*header)).unwrap_or(*header);
                }
            }
            Fault::MissHits => {
                scan.hits.clear();
                scan.coverage = Coverage::Full;
            }
            Fault::RepeatHits => scan.hits.extend_from_within(..),
            Fault::Overflow => {
                scan.coverage = Coverage::Overflow { found: HITS_PER_BATCH as u64 + 1 };
            }
            Fault::Partial => scan.coverage = Coverage::Partial { why: "as scripted".to_owned() },
            Fault::Slow(elapsed) => scan.elapsed = elapsed,
            // No report comes of these.
            Fault::Refuse | Fault::Hang | Fault::Lost | Fault::Panic => {}
        }
        scan
    }

    /// Ends the device with the fault of a batch.
    fn die(&mut self, batch: u64, fault: Fault, error: DeviceError) -> DeviceError {
        self.fired.add(batch, fault);
        self.dead = Some(error.clone());
        error
    }
}

impl Default for Sim {
    fn default() -> Self {
        Self::new()
    }
}

impl Device for Sim {
    fn info(&self) -> &DeviceInfo {
        &self.info
    }

    fn begin(&mut self, batch: Batch) -> Result<(), DeviceError> {
        if let Some(error) = &self.dead {
            return Err(error.clone());
        }
        if self.under_way.len() >= self.info.in_flight {
            return Err(DeviceError::Full(self.under_way.len()));
        }
        let number = self.begun;
        if self.script.of(number).contains(&Fault::Refuse) {
            let error = DeviceError::Driver(format!("batch {number} refused, as scripted"));
            return Err(self.die(number, Fault::Refuse, error));
        }
        check_headers(&batch, self.info.width)?;
        if self.planted.is_none() && batch.region.len() > HASHED_BATCH {
            let why =
                format!("{} are more than a simulated device hashes: plant hits", batch.region);
            return Err(DeviceError::Driver(why));
        }
        self.under_way.push_back((number, batch));
        self.begun += 1;
        Ok(())
    }

    fn finish(&mut self, limit: Duration) -> Result<Scan, DeviceError> {
        if let Some(error) = &self.dead {
            return Err(error.clone());
        }
        let (number, batch) = self.under_way.pop_front().ok_or(DeviceError::Idle)?;
        let mut scan = self.truth(&batch);
        if let Some(Noise { random, share }) = &mut self.noise {
            scan.elapsed = scan.elapsed.mul_f64(1.0 + *share * (2.0 * random.f64() - 1.0));
        }
        for fault in self.script.of(number) {
            let error = match fault {
                Fault::Hang => DeviceError::Hung(limit),
                Fault::Lost => DeviceError::Lost(format!("batch {number}, as scripted")),
                Fault::Panic => {
                    DeviceError::Driver(format!("batch {number} panicked, as scripted"))
                }
                _ => {
                    let distorted = self.distorted(&batch, scan.clone(), fault);
                    if distorted != scan {
                        self.fired.add(number, fault);
                    }
                    scan = distorted;
                    continue;
                }
            };
            let error = self.die(number, fault, error);
            // Told and remembered first: the panic unwinds past the caller.
            assert!(fault != Fault::Panic, "{error}");
            return Err(error);
        }
        Ok(scan)
    }
}

/// What goes wrong with which batch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Script(Vec<(RangeInclusive<u64>, Fault)>);

impl Script {
    /// Nothing goes wrong.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a fault of batch number `batch`. Several faults of one batch act in the order given.
    #[must_use]
    pub fn on(mut self, batch: u64, fault: Fault) -> Self {
        self.0.push((batch..=batch, fault));
        self
    }

    /// Adds a fault of batch number `batch` and all later ones.
    #[must_use]
    pub fn since(mut self, batch: u64, fault: Fault) -> Self {
        self.0.push((batch..=u64::MAX, fault));
        self
    }

    fn of(&self, batch: u64) -> Vec<Fault> {
        let lines = self.0.iter().filter(|(batches, _)| batches.contains(&batch));
        lines.map(|&(_, fault)| fault).collect()
    }
}

/// One thing that goes wrong with a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// This hit is reported. Nothing happens where it lies outside the batch, or is right.
    WrongHit(Hit),
    /// The nonce after the batch's last is reported for its first header. Nothing happens to a batch of
    /// all nonces.
    OutsideHit,
    /// Hits of the first header are reported for the last, and so on. Nothing happens where there is one.
    MirrorHeaders,
    /// No hit is reported. Nothing happens where there is none.
    MissHits,
    /// Each hit is reported twice. Nothing happens where there is none.
    RepeatHits,
    /// The report says that it overflowed, by one hit.
    Overflow,
    /// The report vouches for nothing.
    Partial,
    /// The report gives this as the time that the batch took.
    Slow(Duration),
    /// `begin` fails with [`DeviceError::Driver`].
    Refuse,
    /// `finish` fails with [`DeviceError::Hung`], at once.
    Hang,
    /// `finish` fails with [`DeviceError::Lost`].
    Lost,
    /// `finish` panics.
    Panic,
}

/// The faults of a [`Sim`] that had an effect, with the numbers of their batches. Clones show the same.
#[derive(Debug, Clone, Default)]
pub struct Fired(Arc<Mutex<Vec<(u64, Fault)>>>);

impl Fired {
    /// All so far, in order.
    #[must_use]
    pub fn list(&self) -> Vec<(u64, Fault)> {
        self.lock().clone()
    }

    /// How many so far.
    #[must_use]
    pub fn count(&self) -> usize {
        self.lock().len()
    }

    fn add(&self, batch: u64, fault: Fault) {
        self.lock().push((batch, fault));
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(u64, Fault)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const GIGA: NonZeroU64 = NonZeroU64::new(1_000_000_000).unwrap();

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use bitcoin::Target;

    use super::*;
    use crate::chain::KNOWN_BLOCKS;
    use crate::device::cpu::Cpu;
    use crate::work::{BadHit, Filter, Headers, Job, JobId, Nonces, Region, Rolls};

    const LIMIT: Duration = Duration::from_secs(5);

    fn batch(start: u64, end: u64, bits: u32) -> Batch {
        let nonces = Nonces::new(start, end).unwrap();
        let header = KNOWN_BLOCKS[0].header().unwrap();
        let rolls = Rolls::new(header, 0xf0, 2, None).unwrap();
        let job = Job { id: JobId::only(0), rolls, target: Target::MAX, nonces };
        let region = Region::first_header(nonces);
        Batch { job: Arc::new(job), region, filter: Filter::new(bits) }
    }

    fn at(nonce: u32) -> Hit {
        Hit { header: 0, nonce }
    }

    fn nonces(scan: &Scan) -> Vec<u32> {
        assert!(scan.hits.iter().all(|hit| hit.header == 0));
        scan.hits.iter().map(|hit| hit.nonce).collect()
    }

    fn scan(device: &mut impl Device, batch: &Batch) -> Result<Scan, DeviceError> {
        device.begin(batch.clone())?;
        device.finish(LIMIT)
    }

    /// One batch, 100..200, with nonces 150 and 160 planted.
    fn play(script: Script) -> (Result<Scan, DeviceError>, Vec<(u64, Fault)>) {
        let mut sim = Sim::planted([160, 150, 99, 200, 150].map(at).to_vec()).script(script);
        let fired = sim.fired();
        (scan(&mut sim, &batch(100, 200, 32)), fired.list())
    }

    #[test]
    fn says_the_same_as_the_cpu() {
        let (mut sim, mut cpu) = (Sim::new(), Cpu::open(None).unwrap());
        for (start, end, bits) in
            [(0, 5000, 6), (10, 10, 0), ((1 << 32) - 300, 1 << 32, 4), (7, 900, 0)]
        {
            let batch = batch(start, end, bits);
            let (told, mut truth) =
                (scan(&mut sim, &batch).unwrap(), scan(&mut cpu, &batch).unwrap());
            assert_eq!((told.region, &told.coverage), (truth.region, &truth.coverage));
            if told.coverage == Coverage::Full {
                truth.hits.sort_unstable();
                assert_eq!(told.hits, truth.hits);
            }
        }
    }

    #[test]
    fn reports_what_is_planted_and_how_long_it_took() {
        let (planted, fired) = play(Script::new());
        let planted = planted.unwrap();
        assert_eq!((nonces(&planted), planted.coverage), (vec![150, 160], Coverage::Full));
        assert_eq!(planted.elapsed, Duration::from_nanos(100));
        assert_eq!(fired, []);

        let mut sim = Sim::planted(vec![at(u32::MAX)]).rate(NonZeroU64::MIN);
        let all = scan(&mut sim, &batch(0, 1 << 32, 32)).unwrap();
        assert_eq!(nonces(&all), [u32::MAX]);
        assert_eq!(all.elapsed, Duration::from_secs(1 << 32));
    }

    #[test]
    fn true_overflow_is_told_without_a_script() {
        let length = HITS_PER_BATCH as u64 + 1;
        let full = scan(&mut Sim::new(), &batch(1, length, 0)).unwrap();
        assert_eq!((full.hits.len(), full.coverage), (HITS_PER_BATCH, Coverage::Full));
        let over = scan(&mut Sim::new(), &batch(0, length, 0)).unwrap();
        assert_eq!(over.hits.len(), HITS_PER_BATCH);
        assert_eq!(over.coverage, Coverage::Overflow { found: length });
    }

    #[test]
    fn each_distortion_shows_in_the_report() {
        let second = Duration::from_secs(1);
        let partial = Coverage::Partial { why: "as scripted".to_owned() };
        let cases = [
            (Fault::WrongHit(at(170)), vec![150, 160, 170], Coverage::Full),
            (Fault::OutsideHit, vec![150, 160, 200], Coverage::Full),
            (Fault::MissHits, vec![], Coverage::Full),
            (Fault::RepeatHits, vec![150, 160, 150, 160], Coverage::Full),
            (Fault::Overflow, vec![150, 160], Coverage::Overflow { found: 253 }),
            (Fault::Partial, vec![150, 160], partial),
            (Fault::Slow(second), vec![150, 160], Coverage::Full),
        ];
        for (fault, hits, coverage) in cases {
            let (scan, fired) = play(Script::new().on(0, fault));
            let scan = scan.unwrap();
            assert_eq!((nonces(&scan), scan.coverage), (hits, coverage), "{fault:?}");
            assert_eq!(scan.elapsed == second, fault == Fault::Slow(second));
            assert_eq!(fired, [(0, fault)]);
        }
    }

    #[test]
    fn the_cpu_finds_each_bad_hit_out() {
        let script = Script::new().on(0, Fault::WrongHit(at(150))).on(0, Fault::OutsideHit);
        let batch = batch(100, 200, 32);
        let hits = scan(&mut Sim::new().script(script), &batch).unwrap().hits;
        let bad: Vec<_> = hits.iter().map(|&hit| verify(&batch, hit).unwrap_err()).collect();
        let [
            BadHit::Filtered { nonce: 150, .. },
            BadHit::Outside { hit: Hit { nonce: 200, .. }, .. },
        ] = bad[..]
        else {
            panic!("{bad:?}");
        };
    }

    #[test]
    fn a_fault_without_effect_did_not_fire() {
        let outside = Script::new().on(0, Fault::WrongHit(at(99))).on(0, Fault::WrongHit(at(200)));
        let hit = Script::new().on(0, Fault::WrongHit(at(150)));
        let late = Script::new().on(1, Fault::Lost);
        for script in [outside, hit, late] {
            let (scan, fired) = play(script);
            assert_eq!((nonces(&scan.unwrap()), fired), (vec![150, 160], vec![]));
        }
        let script = Script::new().since(0, Fault::OutsideHit).since(0, Fault::MissHits);
        let mut sim = Sim::planted(vec![]).script(script);
        let fired = sim.fired();
        scan(&mut sim, &batch(0, 1 << 32, 32)).unwrap();
        assert_eq!(fired.count(), 0, "no nonce lies outside, and no hit can be missed");
        sim.begin(batch(9, 1 << 32, 32)).unwrap();
        sim.finish(LIMIT).unwrap();
        assert_eq!(fired.count(), 2, "nonce 0 follows the last, and was then left out");
    }

    #[test]
    fn faults_of_one_batch_act_in_order() {
        let script = Script::new().on(0, Fault::MissHits).since(0, Fault::OutsideHit);
        let (scan, fired) = play(script);
        assert_eq!(nonces(&scan.unwrap()), [200]);
        assert_eq!(fired, [(0, Fault::MissHits), (0, Fault::OutsideHit)]);
    }

    #[test]
    fn a_dead_device_stays_dead() {
        let lost = DeviceError::Lost("batch 1, as scripted".to_owned());
        for (fault, error) in [(Fault::Hang, DeviceError::Hung(LIMIT)), (Fault::Lost, lost)] {
            let mut sim = Sim::planted(vec![]).script(Script::new().on(1, fault));
            let fired = sim.fired();
            for _ in 0..3 {
                sim.begin(batch(0, 9, 32)).unwrap();
            }
            assert!(sim.finish(LIMIT).is_ok());
            assert_eq!(fired.count(), 0);
            assert_eq!(sim.finish(LIMIT), Err(error.clone()));
            assert_eq!(sim.finish(2 * LIMIT), Err(error.clone()));
            assert_eq!(sim.begin(batch(0, 9, 32)), Err(error));
            assert_eq!(fired.list(), [(1, fault)]);
        }
    }

    #[test]
    fn a_refusal_comes_with_begin() {
        let mut sim = Sim::planted(vec![]).script(Script::new().on(1, Fault::Refuse));
        let fired = sim.fired();
        assert!(scan(&mut sim, &batch(0, 9, 32)).is_ok());
        let refused = DeviceError::Driver("batch 1 refused, as scripted".to_owned());
        assert_eq!(sim.begin(batch(0, 9, 32)), Err(refused));
        assert_eq!(fired.list(), [(1, Fault::Refuse)]);
    }

    #[test]
    fn a_panic_is_known_after_it_was_caught() {
        let mut sim = Sim::new().script(Script::new().on(0, Fault::Panic));
        let fired = sim.fired();
        sim.begin(batch(0, 9, 32)).unwrap();
        assert!(catch_unwind(AssertUnwindSafe(|| sim.finish(LIMIT))).is_err());
        assert_eq!(fired.list(), [(0, Fault::Panic)]);
        assert!(matches!(sim.finish(LIMIT), Err(DeviceError::Driver(_))));
    }

    #[test]
    fn takes_as_many_batches_as_it_says() {
        let mut sim = Sim::new();
        let in_flight = 2;
        sim = sim.described(DeviceInfo { in_flight, ..Sim::new().info().clone() });
        assert_eq!(sim.finish(LIMIT), Err(DeviceError::Idle));
        for start in 0..2 {
            sim.begin(batch(start, 9, 32)).unwrap();
        }
        assert_eq!(sim.begin(batch(2, 9, 32)), Err(DeviceError::Full(2)));
        for start in 0..2 {
            assert_eq!(sim.finish(LIMIT).unwrap().region.nonces.start(), start);
        }
        assert_eq!(sim.finish(LIMIT), Err(DeviceError::Idle));
    }

    #[test]
    fn a_batch_too_large_to_hash_is_refused() {
        let too_large = batch(0, HASHED_BATCH + 1, 32);
        assert!(matches!(Sim::new().begin(too_large.clone()), Err(DeviceError::Driver(_))));
        assert!(Sim::planted(vec![]).begin(too_large).is_ok());
        assert!(Sim::new().begin(batch(1, HASHED_BATCH + 1, 32)).is_ok());
    }

    /// Headers of the job of [`batch`], which has two rolls of 16.
    fn wide_batch(start: u64, end: u64, bits: u32) -> Batch {
        let headers = Headers::new(start, end).unwrap();
        let batch = batch(0, 100, bits);
        Batch { region: Region { headers, ..batch.region }, ..batch }
    }

    #[test]
    fn many_headers_are_scanned_as_by_the_cpu_and_can_be_mirrored() {
        let width = Width { least: 4, most: 16, filter: Filter::new(3), ..Width::ONE };
        let batch = wide_batch(17, 23, 4);
        let truth = scan(&mut Sim::new().wide(width), &batch).unwrap();
        let mut cpu = scan(&mut Cpu::open(None).unwrap(), &batch).unwrap();
        cpu.hits.sort_unstable();
        assert_eq!((&cpu.hits, cpu.region), (&truth.hits, truth.region));
        assert!(truth.hits.iter().any(|hit| hit.header != 17));
        assert_eq!(truth.elapsed, Duration::from_nanos(600));

        let sim = Sim::new().wide(width).script(Script::new().since(0, Fault::MirrorHeaders));
        let fired = sim.fired();
        let mut mirrored = scan(&mut { sim }, &batch).unwrap();
        assert_eq!(fired.count(), 1);
        for Hit { header, .. } in &mut mirrored.hits {
            *header = 17 + 22 - *header;
        }
        assert_eq!(mirrored, truth);
    }

    #[test]
    fn headers_that_it_does_not_take_at_once_are_refused() {
        let width = Width { least: 4, most: 16, filter: Filter::new(3), ..Width::ONE };
        let mut sim = Sim::new().wide(width);
        for (start, end, bits, takes) in [
            (3, 4, 0, true),
            (0, 3, 3, false),
            (0, 4, 3, true),
            (0, 4, 2, false),
            (0, 16, 3, true),
            (16, 32, 3, true),
            (0, 17, 3, false),
            (14, 18, 3, false),
        ] {
            let told = scan(&mut sim, &wide_batch(start, end, bits));
            assert_eq!(told.is_ok(), takes, "{start}..{end} with {bits}");
            if let Err(error) = told {
                assert!(matches!(error, DeviceError::Headers { .. }), "{error}");
            }
        }
        let refused = Sim::new().wide(width).begin(wide_batch(0, 17, 3)).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "the device takes one header, or 4 to 16 with a filter of 3 leading zero bits or more, all of \
             one roll; a batch has nonces 0..100 of headers 0..17"
        );
    }
}
