//! The judge against shares that real pools accepted.

use bitcoin::consensus::{deserialize, serialize};
use bitcoin::{CompactTarget, TxMerkleNode};
use serde_json::Value;

use super::*;
use crate::chain::pool_jobs::{POOL_JOBS, PoolJob, unhex};
use crate::pool::jobs::Template;

const MASK: u32 = 0x1fff_e000;

/// The job of a real `mining.notify`.
pub(in crate::pool) fn job_of(params: &Value) -> Job {
    let text = |at: usize| params[at].as_str().unwrap();
    let word = |at| u32::from_str_radix(text(at), 16).unwrap();
    let node = |node: &Value| deserialize(&unhex(node.as_str().unwrap())).unwrap();
    let mut previous: [u8; 32] = unhex(text(1)).try_into().unwrap();
    previous.chunks_mut(4).for_each(<[u8]>::reverse);
    let header = Header {
        version: Version::from_consensus(word(5).cast_signed()),
        prev_blockhash: BlockHash::from_byte_array(previous),
        merkle_root: TxMerkleNode::all_zeros(),
        time: word(7),
        bits: CompactTarget::from_consensus(word(6)),
        nonce: 0,
    };
    let branch = params[4].as_array().unwrap().iter().map(node).collect();
    let serial = u64::from_str_radix(text(0), 16).unwrap();
    job(serial, header, branch, [text(2), text(3)])
}

fn job(serial: u64, header: Header, branch: Vec<TxMerkleNode>, [coinb1, coinb2]: [&str; 2]) -> Job {
    let template = Template {
        network: String::new(),
        height: 0,
        header,
        branch,
        tag: String::new(),
        outputs: Vec::new(),
        body: None,
    };
    Job::of_parts(serial, 1, Arc::new(template), header.time, [&unhex(coinb1), &unhex(coinb2)])
}

/// A book with one real job, and the submission that the pool accepted.
fn real(real: &PoolJob, difficulty: f64) -> (Book, Submission) {
    let solved: Header = deserialize(&unhex(real.header)).unwrap();
    let version = solved.version.to_consensus();
    let blank = Header {
        version: Version::from_consensus(version & !MASK.cast_signed()),
        merkle_root: TxMerkleNode::all_zeros(),
        nonce: 0,
        ..solved
    };
    let mut book = Book::default();
    let job = job(7, blank, real.branch(), [real.coinb1, real.coinb2]);
    book.give(Arc::new(job), &unhex(real.extranonce1), real.extranonce2.len() / 2, difficulty);
    let submission = Submission {
        job: "7".to_owned(),
        extranonce2: unhex(real.extranonce2),
        time: solved.time,
        nonce: solved.nonce,
        version_bits: Some(version.cast_unsigned() & MASK),
    };
    (book, submission)
}

#[test]
fn shares_that_real_pools_accepted_are_accepted_once() {
    for pool_job in &POOL_JOBS {
        let (mut book, submission) = real(pool_job, 1e-9);
        let judged = book.judge(&submission, MASK);
        assert_eq!(judged.refusal, None);
        let hashed = judged.hashed.unwrap();
        assert_eq!(serialize(&hashed.header), unhex(pool_job.header));
        assert_eq!(hashed.hash.to_string(), pool_job.hash);
        assert_eq!(book.judge(&submission, MASK).refusal, Some(Refusal::Duplicate));

        // Exactly what the hash is worth is enough, and the next number is not.
        let (mut book, _) = real(pool_job, hashed.difficulty);
        assert_eq!(book.judge(&submission, MASK).refusal, None);
        let (mut book, _) = real(pool_job, hashed.difficulty.next_up());
        assert_eq!(book.judge(&submission, MASK).refusal, Some(Refusal::LowDifficulty));
    }
    // Public Pool asked for 8192 and got some 29588. The others' bits were easy: testnet and regtest.
    let [main, testnet, regtest] = [0, 1, 2].map(|number| {
        let (mut book, submission) = real(&POOL_JOBS[number], 1e-9);
        book.judge(&submission, MASK).hashed.unwrap()
    });
    assert!((29_587.0..29_589.0).contains(&main.difficulty), "{}", main.difficulty);
    assert_eq!([main, testnet, regtest].map(|hashed| hashed.is_block), [false, true, true]);
}

#[test]
fn one_bit_changed_anywhere_is_refused() {
    for pool_job in &POOL_JOBS {
        let (mut book, right) = real(pool_job, 1e-9);
        let asked = book.judge(&right, MASK).hashed.unwrap().difficulty;
        let refused = |change: &dyn Fn(&mut Submission)| {
            let (mut book, mut wrong) = real(pool_job, asked);
            change(&mut wrong);
            book.judge(&wrong, MASK).refusal.unwrap()
        };
        for bit in 0..32 {
            assert_eq!(refused(&|share| share.nonce ^= 1 << bit), Refusal::LowDifficulty);
            let time = refused(&|share| share.time ^= 1 << bit);
            let is_later = right.time & (1 << bit) == 0 && bit < 13;
            let expected = if is_later { Refusal::LowDifficulty } else { Refusal::Time };
            assert_eq!(time, expected, "{bit}");
            let rolled = refused(&|share| {
                share.version_bits = share.version_bits.map(|bits| bits ^ 1 << bit);
            });
            let is_allowed = MASK & 1 << bit != 0;
            let expected = if is_allowed { Refusal::LowDifficulty } else { Refusal::Version };
            assert_eq!(rolled, expected, "{bit}");
        }
        for bit in 0..8 * right.extranonce2.len() {
            let changed = refused(&|share| share.extranonce2[bit / 8] ^= 1 << (bit % 8));
            assert_eq!(changed, Refusal::LowDifficulty);
        }
        assert_eq!(refused(&|share| share.extranonce2.push(0)), Refusal::Extranonce2);
        assert_eq!(refused(&|share| share.extranonce2.truncate(1)), Refusal::Extranonce2);
        assert_eq!(refused(&|share| share.job = "07".to_owned()), Refusal::UnknownJob);
        let (mut book, _) = real(pool_job, asked);
        let bits = right.version_bits.unwrap();
        let without = Submission { version_bits: None, ..right.clone() };
        let expected = (bits != 0).then_some(Refusal::LowDifficulty);
        assert_eq!(book.judge(&without, MASK).refusal, expected, "it is the job's own version");
        let (mut book, _) = real(pool_job, asked);
        let expected = (bits != 0).then_some(Refusal::Version);
        assert_eq!(book.judge(&right, 0).refusal, expected, "nothing was agreed on");
    }
}

#[test]
fn rolled_bits_take_the_place_of_the_jobs_own() {
    // BIP 310; a pool that only added bits would see another header.
    let (mut book, submission) = real(&POOL_JOBS[0], 1.0);
    let given = &mut book.given[0];
    let mut template = Template::clone(&given.job.template);
    let version = template.header.version.to_consensus() | 0x1000_0000;
    template.header.version = Version::from_consensus(version);
    Arc::make_mut(&mut given.job).template = Arc::new(template);
    assert_eq!(book.judge(&submission, MASK).refusal, None);
}

#[test]
fn a_time_may_be_rolled_as_far_as_ckpool_allows() {
    let (mut book, share) = real(&POOL_JOBS[0], 1e-12);
    for (seconds, refusal) in [
        (-1, Some(Refusal::Time)),
        (0, None),
        (1, None),
        (7000, None),
        (7001, Some(Refusal::Time)),
        (i64::from(u32::MAX - share.time), Some(Refusal::Time)),
    ] {
        let time = u32::try_from(i64::from(share.time) + seconds).unwrap();
        let judged = book.judge(&Submission { time, ..share.clone() }, MASK);
        assert_eq!(judged.refusal, refusal, "{seconds}");
    }
}

/// A book with jobs of these serials and generations, in which everything is a share.
fn book(jobs: &[(u64, u64)]) -> Book {
    let mut book = Book::default();
    for (serial, generation) in jobs {
        give(&mut book, *serial, *generation);
    }
    book
}

fn give(book: &mut Book, serial: u64, generation: u64) {
    let (one, _) = real(&POOL_JOBS[1], 1e-12);
    let mut job = Job::clone(&one.given[0].job);
    (job.serial, job.name, job.generation) = (serial, format!("{serial:x}"), generation);
    book.give(Arc::new(job), &[1], 4, 1e-12);
}

fn submit(book: &mut Book, job: &str, nonce: u32) -> Option<Refusal> {
    let (_, submission) = real(&POOL_JOBS[1], 1.0);
    book.judge(&Submission { job: job.to_owned(), nonce, ..submission }, MASK).refusal
}

#[test]
fn jobs_before_a_new_block_are_stale_and_others_unknown() {
    let mut book = book(&[(8, 1), (0x1a, 1), (0x1b, 1)]);
    for job in ["8", "1a", "1b"] {
        assert_eq!(submit(&mut book, job, 1), None);
        assert_eq!(submit(&mut book, job, 1), Some(Refusal::Duplicate));
    }
    give(&mut book, 0x1c, 2);
    for (job, refusal) in [
        ("1c", None),
        ("8", Some(Refusal::Stale)),
        ("1b", Some(Refusal::Stale)),
        ("7", Some(Refusal::UnknownJob)),
        ("1d", Some(Refusal::UnknownJob)),
        ("1C", Some(Refusal::UnknownJob)),
        ("01c", Some(Refusal::UnknownJob)),
        ("", Some(Refusal::UnknownJob)),
        ("ffffffffffffffffff", Some(Refusal::UnknownJob)),
    ] {
        assert_eq!(submit(&mut book, job, 2), refusal, "{job}");
    }
}

#[test]
fn what_is_remembered_has_an_upper_bound() {
    let jobs: Vec<_> = (1..=100).map(|serial| (serial, 1)).collect();
    let mut many = book(&jobs);
    assert_eq!(many.given.len(), JOBS_REMEMBERED);
    assert_eq!(submit(&mut many, "24", 1), Some(Refusal::Stale), "the 36th of 100");
    assert_eq!(submit(&mut many, "25", 1), None);

    let mut book = book(&[(1, 1), (2, 1), (3, 1)]);
    let half = u32::try_from(POOL_SHARES / 2).unwrap();
    for job in ["3", "2"] {
        assert!(job == "2" || !book.is_full());
        for nonce in 0..half {
            assert_eq!(submit(&mut book, job, nonce), None);
        }
    }
    assert!(book.is_full(), "it is time for another job");
    assert_eq!(submit(&mut book, "3", 0), Some(Refusal::Duplicate));
    // One more, and the oldest job is forgotten, then the next.
    assert_eq!(submit(&mut book, "3", half), None);
    assert_eq!(submit(&mut book, "1", 0), Some(Refusal::Stale));
    assert_eq!(submit(&mut book, "2", 0), Some(Refusal::Stale));
    assert_eq!(book.given.len(), 1);
}
