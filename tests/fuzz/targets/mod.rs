//! What is fuzzed. Each target takes any bytes, and panics where a promise is broken.
//!
//! libFuzzer calls them (`fuzz_targets/`), and so does `tests/fuzz_replay.rs`, with the corpus and mutations of it.

#![allow(unreachable_pub, reason = "this is also the library of the fuzzing package")]
#![allow(clippy::expect_used, reason = "a target panics where a promise is broken")]

use std::cell::RefCell;
use std::collections::BTreeSet;

use adit::chain::block_hash;
use adit::work::{Hit, Job, Share, Verdict};

mod http;
mod kernel;
mod node;
mod pool;
mod stratum;
mod text;

/// A target with what a test needs to know of it.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name, also that of its folder in the corpus.
    pub name: &'static str,
    /// Panics where a promise is broken.
    pub run: fn(&[u8]),
    /// How many mutations of each file of the corpus a test tries: slow targets get fewer.
    pub mutations: usize,
    /// What the corpus must lead to: a corpus that no longer gets far tests little.
    pub reaches: &'static [&'static str],
}

/// All of them.
pub const TARGETS: [Target; 13] = [
    Target {
        name: "stratum_wire",
        run: stratum::wire,
        mutations: 1000,
        reaches: &["nonsense", "no nonsense", "hung up"],
    },
    Target {
        name: "stratum_session",
        run: stratum::session,
        mutations: 1000,
        reaches: &["accepted", "stale", "rejected", "expired", "invalid", "duplicate", "down"],
    },
    Target {
        name: "gbt_template",
        run: node::template,
        mutations: 1000,
        reaches: &["refused", "empty", "transactions", "no commitment"],
    },
    Target {
        name: "gbt_session",
        run: node::session,
        mutations: 1000,
        reaches: &["accepted", "stale", "rejected", "expired", "invalid", "duplicate", "down"],
    },
    Target {
        name: "share_log",
        run: text::share_log,
        mutations: 1000,
        reaches: &["right", "wrong", "corrupt", "torn", "open", "verdict"],
    },
    Target {
        name: "config",
        run: text::config,
        mutations: 20,
        reaches: &["settings", "one mistake", "many mistakes"],
    },
    Target {
        name: "http",
        run: http::requests,
        mutations: 200,
        reaches: &["told", "refused", "told with the token", "changed with the token"],
    },
    Target {
        name: "rig_api",
        run: http::rig_api,
        mutations: 1000,
        reaches: &["text", "JSON", "several commands"],
    },
    Target { name: "wgsl", run: kernel::wgsl, mutations: 100, reaches: &["refused", "a kernel"] },
    Target {
        name: "header",
        run: text::header,
        mutations: 2000,
        reaches: &["a header", "a target", "a block"],
    },
    Target {
        name: "location",
        run: text::location,
        mutations: 2000,
        reaches: &["replay", "a pool", "a node", "a proxy", "a fingerprint", "none"],
    },
    Target {
        name: "address",
        run: text::address,
        mutations: 2000,
        reaches: &["an address", "a rule", "none"],
    },
    Target {
        name: "practice_pool",
        run: pool::connections,
        mutations: 500,
        reaches: &["accepted", "refused", "a login", "closed by the pool"],
    },
];

/// Runs the target of this name.
///
/// # Panics
///
/// When a promise is broken.
pub fn run(name: &str, input: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name);
    (target.expect("a name of the table").run)(input);
}

thread_local! {
    static REACHED: RefCell<BTreeSet<&'static str>> = const { RefCell::new(BTreeSet::new()) };
}

/// Notes how far an input got.
fn reach(place: &'static str) {
    REACHED.with_borrow_mut(|reached| reached.insert(place));
}

/// How far the inputs of this thread got.
#[must_use]
pub fn reached() -> BTreeSet<&'static str> {
    REACHED.with_borrow(Clone::clone)
}

/// Longest wait between two lines of an input.
const LONGEST_WAIT: u64 = 1_000_000;

/// The lines of an input, of which each does something.
fn lines(input: &[u8]) -> impl Iterator<Item = &[u8]> {
    // A run of libFuzzer must end: what follows does nothing.
    input.split(|byte| *byte == b'\n').take(1000)
}

/// The numbers of a line, whatever is between them.
fn numbers<const N: usize>(line: &[u8]) -> [u64; N] {
    let mut pieces = line.split(|byte| !byte.is_ascii_digit()).filter(|piece| !piece.is_empty());
    std::array::from_fn(|_| {
        let digits = pieces.next().unwrap_or_default().iter().take(18);
        digits.fold(0, |number, digit| number * 10 + u64::from(digit - b'0'))
    })
}

/// The last 32 bits of a number.
fn low(number: u64) -> u32 {
    let [.., a, b, c, d] = number.to_be_bytes();
    u32::from_be_bytes([a, b, c, d])
}

/// Notes a verdict.
fn reach_verdict(verdict: Verdict) {
    reach(match verdict {
        Verdict::Accepted => "accepted",
        Verdict::Duplicate => "duplicate",
        Verdict::Stale => "stale",
        Verdict::Expired => "expired",
        Verdict::Invalid => "invalid",
        Verdict::Withheld => "withheld",
        Verdict::LowDifficulty | Verdict::Rejected => "rejected",
    });
}

/// A share as the engine makes it, of a real header of the job; where about every hash is one, `tries` find one. `change`
/// says what is wrong with it, if anything.
fn share(job: &Job, [header, nonce, change]: [u64; 3], tries: u32) -> Share {
    let most = job.rolls.all().len().max(1);
    let number = u32::try_from(header % most).expect("headers have numbers of 32 bits");
    let mut hit = Hit { header: number, nonce: low(nonce) };
    let mut found = job.header(hit);
    for _ in 0..tries {
        if job.target.is_met_by(block_hash(&found)) {
            break;
        }
        hit.nonce = hit.nonce.wrapping_add(1);
        found = job.header(hit);
    }
    let mut share =
        Share { job: job.id, number: hit.header, header: found, hash: block_hash(&found) };
    match change {
        1 => share.header.time ^= 1,
        2 => share.number ^= 1,
        3 => share.hash = found.prev_blockhash,
        4 => share.job.serial += 1000,
        _ => {}
    }
    share
}

/// A piece of an input with `mark` replaced.
fn with(piece: &[u8], mark: u8, text: &str) -> Vec<u8> {
    let parts: Vec<&[u8]> = piece.split(|byte| *byte == mark).collect();
    parts.join(text.as_bytes())
}
