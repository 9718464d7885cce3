//! Single reports, written by hand: what no honest driver would say.

use super::*;
use crate::limits::LEDGER_INTERVALS;

/// An engine with two devices at work on a job, and what each was given.
struct Table {
    engine: Engine,
    now: Instant,
    job: Arc<Job>,
    given: Vec<(DeviceId, Region)>,
}

impl Table {
    fn new(job: Job) -> Self {
        let (engine, now, job) = (Engine::new(), Instant::now(), Arc::new(job));
        let mut table = Self { engine, now, job: Arc::clone(&job), given: Vec::new() };
        table.tell(Input::Joined(A, Width::ONE));
        table.tell(Input::Joined(B, Width::ONE));
        let outputs = table.tell(Input::Job(job));
        assert_eq!(outputs.len(), 2);
        table
    }

    fn tell(&mut self, input: Input) -> Vec<Output> {
        let mut outputs = Vec::new();
        self.now += Duration::from_millis(1);
        self.engine.handle(input, self.now, &mut outputs);
        for output in &outputs {
            if let Output::Assign(device, assignment) = output {
                self.given.push((*device, assignment.region));
            }
        }
        for current in &self.engine.jobs {
            assert_eq!(current.ledger.audit(), Ok(()));
        }
        outputs
    }

    fn batch(&self, region: Region) -> Batch {
        Batch { job: Arc::clone(&self.job), region, filter: self.job.filter() }
    }

    /// A device reports on a batch.
    fn report(
        &mut self,
        device: DeviceId,
        region: Region,
        hits: &[Hit],
        coverage: Coverage,
    ) -> Vec<Output> {
        let batch = self.batch(region);
        let scan = Scan {
            region,
            hits: hits.to_vec(),
            coverage,
            elapsed: Duration::from_millis(1),
            on_device: None,
        };
        self.tell(Input::Scanned { device, batch, scan })
    }

    /// The first nonces of a device.
    fn first(&self, device: DeviceId, length: u64) -> Region {
        let (_, region) = self.given.iter().find(|(who, _)| *who == device).unwrap();
        Region { nonces: region.nonces.split_at(length).0, ..*region }
    }

    fn account(&self) -> (Tally, Counters) {
        let (tally, counters) = self.engine.progress(self.engine.jobs[0].job.id).unwrap();
        (tally.clone(), *counters)
    }
}

fn faults(outputs: &[Output]) -> Vec<&str> {
    let mut faults = Vec::new();
    for output in outputs {
        if let Output::Fault(_, why) = output {
            faults.push(why.as_str());
        }
    }
    faults
}

fn shares(outputs: &[Output]) -> usize {
    outputs.iter().filter(|output| matches!(output, Output::Found(..))).count()
}

#[test]
fn an_overflow_that_cannot_be_is_a_fault() {
    let most = HITS_PER_BATCH as u64;
    let cases = [
        (most, most + 1, "more hits than nonces"),
        (most, most, "they fit a report"),
        (1, 1, "one hit"),
        (1000, 1001, "more hits than nonces"),
        (1000, most, "they fit a report"),
        (1000, 0, "no hit"),
        (1000, u64::MAX, "a corrupt counter"),
    ];
    for (length, count, case) in cases {
        let mut table = Table::new(small(1, 0, 1 << 20, easy(8)));
        let nonces = table.first(A, length);
        let outputs = table.report(A, nonces, &[], Coverage::Overflow { found: count });
        assert_eq!(faults(&outputs).len(), 1, "{case}");
        assert_eq!(table.account().0.given_back[&Reason::Partial], length, "{case}");
    }
    let mut table = Table::new(small(1, 0, 1 << 20, easy(8)));
    let nonces = table.first(A, most + 1);
    let outputs = table.report(A, nonces, &[], Coverage::Overflow { found: most + 1 });
    assert_eq!(faults(&outputs), [""; 0]);
    assert_eq!(table.account().0.given_back[&Reason::Overflow], most + 1);
}

#[test]
fn a_dismissed_device_has_no_say() {
    let (job, hits) = easy_job(1);
    let mut table = Table::new(job);
    let held = table.first(A, 4096);
    let outputs = table.tell(Input::Failed { device: A, why: "broken".to_owned() });
    assert!(matches!(outputs[..], [Output::Dismiss(A, _)]), "B has enough: {outputs:?}");
    let before = table.account();
    assert_eq!(before.0.given_back[&Reason::Lost], held.len());
    let nonces = table.first(A, 256);
    let mine: Vec<Hit> = hits.into_iter().filter(|hit| nonces.contains(*hit)).collect();
    assert!(!mine.is_empty());
    let gave_back = Input::GaveBack { device: A, job: JobId::only(1), region: held };
    assert!(table.report(A, nonces, &mine, Coverage::Full).is_empty());
    assert!(table.tell(gave_back).is_empty());
    assert!(table.tell(Input::Failed { device: A, why: "again".to_owned() }).is_empty());
    assert_eq!(table.account(), before);
    assert!(!table.engine.is_busy(A) && table.engine.is_busy(B));
}

#[test]
fn a_report_on_another_job_changes_nothing() {
    let (job, hits) = easy_job(1);
    let mut table = Table::new(job.clone());
    let nonces = table.first(A, 256);
    let mine: Vec<Hit> = hits.into_iter().filter(|hit| nonces.contains(*hit)).collect();
    table.job = Arc::new(Job { id: JobId::only(9), ..job });
    let before = (table.account(), table.engine.jobs[0].holds(A), table.engine.roster.faults(A));
    assert!(table.report(A, nonces, &mine, Coverage::Full).is_empty());
    let gave_back = Input::GaveBack { device: A, job: JobId::only(9), region: nonces };
    assert!(table.tell(gave_back).is_empty());
    assert!(table.tell(Input::End(JobId::only(9))).is_empty());
    let after = (table.account(), table.engine.jobs[0].holds(A), table.engine.roster.faults(A));
    assert_eq!(after, before);
}

#[test]
fn a_report_on_other_nonces_is_a_fault() {
    let (job, _) = easy_job(1);
    let mut table = Table::new(job);
    let batch = table.batch(table.first(A, 256));
    let region = table.first(A, 255);
    let scan = Scan {
        region,
        hits: vec![],
        coverage: Coverage::Full,
        elapsed: Duration::ZERO,
        on_device: None,
    };
    let outputs = table.tell(Input::Scanned { device: A, batch, scan });
    assert_eq!(
        faults(&outputs),
        ["it was given nonces 0..256 of header 0 and reports on nonces 0..255 of header 0"]
    );
    assert_eq!(table.account().0.given_back[&Reason::Partial], 256);
}

#[test]
fn a_report_on_nonces_that_the_device_does_not_hold_is_a_fault_without_hits() {
    let (job, hits) = easy_job(1);
    let mut table = Table::new(job);
    let theirs = table.first(B, 512);
    let hits: Vec<Hit> = hits.into_iter().filter(|hit| theirs.contains(*hit)).collect();
    assert!(!hits.is_empty());
    let outputs = table.report(A, theirs, &hits, Coverage::Full);
    assert!(faults(&outputs)[0].contains("device 1 holds nonce"), "{outputs:?}");
    assert_eq!((shares(&outputs), table.account().1.candidates), (0, 0));
    // Twice the same, though it was right the first time.
    let outputs = table.report(B, theirs, &hits, Coverage::Full);
    assert_eq!(shares(&outputs), hits.len());
    let outputs = table.report(B, theirs, &hits, Coverage::Full);
    assert!(faults(&outputs)[0].contains("was scanned before"), "{outputs:?}");
    assert_eq!(shares(&outputs), 0);
    let outputs = table.tell(Input::GaveBack { device: A, job: JobId::only(1), region: theirs });
    assert_eq!(faults(&outputs).len(), 1);
    assert_eq!(table.account().1.shares, hits.len() as u64);
}

#[test]
fn a_candidate_that_is_found_again_counts_once() {
    let (job, hits) = easy_job(1);
    let mut table = Table::new(job);
    let nonces = table.first(A, 1024);
    let mine: Vec<Hit> = hits.iter().copied().filter(|hit| nonces.contains(*hit)).collect();
    let partial = Coverage::Partial { why: "a workgroup is missing".to_owned() };
    let outputs = table.report(A, nonces, &mine, partial);
    assert_eq!(shares(&outputs), mine.len(), "a true hit is true whoever reports it");
    let known = |table: &Table| table.engine.jobs[0].known.len();
    assert_eq!(known(&table), mine.len());
    // The nonces go to whoever is next.
    table.report(B, table.first(B, 4096), &hits_in(&hits, table.first(B, 4096)), Coverage::Full);
    let before = table.account().1;
    let given = |device, table: &Table| {
        table
            .given
            .iter()
            .filter(|(who, held)| *who == device && held.nonces.start() < 1024)
            .count()
    };
    let holder = if given(B, &table) > 0 { B } else { A };
    let outputs = table.report(holder, nonces, &mine, Coverage::Full);
    assert_eq!((shares(&outputs), faults(&outputs).len()), (0, 0), "{outputs:?}");
    assert_eq!(table.account().1, before);
    assert_eq!(known(&table), 0, "nothing is remembered of what is never scanned again");
}

fn hits_in(hits: &[Hit], region: Region) -> Vec<Hit> {
    hits.iter().copied().filter(|hit| region.contains(*hit)).collect()
}

#[test]
fn the_target_decides_to_the_last_bit() {
    let header = KNOWN_BLOCKS[5].header().unwrap();
    let hash = {
        let mut bytes = bitcoin::hashes::Hash::to_byte_array(block_hash(&header));
        bytes.reverse();
        bytes
    };
    let one_off = |down: bool| {
        let mut bytes = hash;
        for byte in bytes.iter_mut().rev() {
            let (next, carry) =
                if down { byte.overflowing_sub(1) } else { byte.overflowing_add(1) };
            *byte = next;
            if !carry {
                break;
            }
        }
        Target::from_be_bytes(bytes)
    };
    let exact = Target::from_be_bytes(hash);
    for (target, expected) in [(one_off(true), 0), (exact, 1), (one_off(false), 1)] {
        let nonces = Nonces::around(header.nonce, 100, 1000);
        let rolls = Rolls::one(with_nonce(&header, 0));
        let job = Job { id: JobId::only(1), rolls, target, nonces };
        assert_eq!(job.filter(), Filter::WORD);
        let mut table = Table::new(job);
        let half = table.first(A, 500);
        let outputs = table.report(A, half, &[at(header.nonce)], Coverage::Full);
        assert_eq!(shares(&outputs), expected);
        let (_, counters) = table.account();
        assert_eq!(counters, Counters { candidates: 1, wrong: 0, shares: expected as u64 });
    }
}

#[test]
fn devices_of_unknown_speed_get_equal_parts_of_a_short_job() {
    let table = Table::new(small(1, 7, 1000, easy(8)));
    assert_eq!((table.first(A, 1000).len(), table.first(B, 1000).len()), (500, 500));
}

#[test]
fn a_device_gets_all_that_it_needs_at_once_though_it_lies_in_pieces() {
    let mut table = Table::new(small(1, 0, 8192, easy(8)));
    for start in [4200, 5000, 6000] {
        let region = Region::first_header(Nonces::new(start, start + 100).unwrap());
        table.report(B, region, &[], Coverage::Full);
    }
    table.report(A, table.first(A, 4096), &[], Coverage::Full);
    let outputs = table.tell(Input::Failed { device: B, why: "broken".to_owned() });
    let pieces = table.given[2..].iter().map(|(device, region)| (*device, region.len()));
    assert_eq!(pieces.collect::<Vec<_>>(), [(A, 104), (A, 700), (A, 900), (A, 2092)]);
    assert_eq!(outputs.len(), 5, "{outputs:?}");
}

#[test]
fn a_job_that_the_ledger_cannot_cut_any_further_ends() {
    let mut table = Table::new(small(1, 0, 1 << 32, easy(8)));
    let job = &mut table.engine.jobs[0];
    let shatterer = DeviceId(9);
    job.lose(A);
    job.lose(B);
    let ledger = &mut job.ledger;
    while ledger.take(shatterer, Width::ONE, 1 << 32).is_some() {}
    for place in 0..LEDGER_INTERVALS as u64 / 2 {
        let nonces = Nonces::new(place << 17, (place << 17) + 1).unwrap();
        ledger.scanned(shatterer, Region::first_header(nonces)).unwrap();
    }
    ledger.give_back_all(shatterer, Reason::Lost);
    // Nobody holds anything, and nobody is given anything: this must not wait for ever.
    let outputs = table.tell(Input::Joined(A, Width::ONE));
    let [Output::Finished(report)] = &outputs[..] else { panic!("{outputs:?}") };
    assert!(!report.complete);
    assert_eq!(report.tally.scanned, LEDGER_INTERVALS as u64 / 2);
}

#[test]
fn a_job_waits_for_a_device_that_comes_back_and_its_account_goes_on() {
    let (job, _) = easy_job(1);
    let mut table = Table::new(job);
    table.tell(Input::Returns(A, true));
    let first = table.first(A, 256);
    table.report(A, first, &[], Coverage::Partial { why: "a lost dispatch".to_owned() });
    let broken = |device| Input::Failed { device, why: "lost".to_owned() };
    table.tell(broken(B));
    let outputs = table.tell(broken(A));
    assert!(matches!(outputs[..], [Output::Dismiss(A, _)]), "the job waits: {outputs:?}");
    let tally = table.account().0;
    assert_eq!((tally.held, table.engine.jobs[0].ledger.free()), (0, 1 << 16));
    let outputs = table.tell(Input::Joined(A, Width::ONE));
    assert!(matches!(outputs[..], [Output::Back(A), Output::Assign(A, _)]), "{outputs:?}");
    let account = table.engine.device_accounts()[&A];
    assert_eq!(account.faults, 1, "what it did before is not forgotten");
    // Its mistakes since then decide, and hashes that it held before are not its own.
    for _ in 0..FAULTS_PER_DEVICE {
        let outputs = table.report(A, first, &[], Coverage::Full);
        if table.engine.device_accounts()[&A].faults > FAULTS_PER_DEVICE {
            assert!(outputs.iter().any(|output| matches!(output, Output::Dismiss(A, _))));
        }
    }
    // It is not to come back: the job ends.
    table.tell(broken(A));
    let outputs = table.tell(Input::Returns(A, false));
    assert!(matches!(&outputs[..], [Output::Finished(report)] if !report.complete), "{outputs:?}");
}

#[test]
fn what_is_given_back_is_booked_with_its_reason() {
    let (job, _) = easy_job(1);
    let mut table = Table::new(job);
    let (first, rest) = table.first(A, 600).nonces.split_at(100);
    let (second, third) = rest.split_at(200);
    let give = |nonces| {
        let region = Region::first_header(nonces);
        Input::GaveBack { device: A, job: JobId::only(1), region }
    };
    table.tell(give(first));
    table.tell(Input::Allow(A, None));
    table.tell(give(second));
    assert_eq!(
        table.account().0.given_back,
        BTreeMap::from([(Reason::Ended, 100), (Reason::Paused, 200)])
    );
    // A paused device has nothing to do with the end of its job.
    table.tell(Input::End(JobId::only(1)));
    table.tell(give(third));
    assert_eq!(table.account().0.given_back[&Reason::Ended], 400);
}
