//! An hour with a pool that has every fault, and judges each share on its own.

use std::collections::{BTreeMap, HashMap, HashSet};

use bitcoin::hashes::sha256d;
use bitcoin::hex::FromHex;

use super::*;

const STEP: Duration = Duration::from_millis(250);

/// A pool: what it announced, what it was sent, what it will say and when.
struct Pool {
    random: fastrand::Rng,
    now: Instant,
    connection: u32,
    extranonce1: String,
    difficulty: f64,
    jobs: HashMap<String, Announced>,
    /// When jobs on each block were first announced in this session.
    first: HashMap<String, Instant>,
    names: u32,
    block: u8,
    /// Headers that this session took, and those sent on this connection.
    taken: HashSet<Vec<u8>>,
    sent: HashSet<Vec<u8>>,
    /// Lines of a connection, and when they arrive.
    due: BTreeMap<(Instant, u32), (u32, String)>,
    answers: u32,
    fired: BTreeMap<&'static str, u32>,
}

/// A job of the session.
struct Announced {
    block: u8,
    params: Value,
    extranonce1: String,
    target: Target,
    at: Instant,
}

impl Pool {
    fn fire(&mut self, fault: &'static str) {
        *self.fired.entry(fault).or_default() += 1;
    }

    fn say_at(&mut self, at: Instant, message: &Value) {
        self.answers += 1;
        self.due.insert((at, self.answers), (self.connection, format!("{message}\n")));
    }

    fn say(&mut self, message: &Value) {
        self.say_at(self.now, message);
    }

    fn hear(&mut self, request: &Value) {
        let (id, params) = (&request["id"], &request["params"]);
        match request["method"].as_str().unwrap() {
            "mining.configure" => {
                let mask = json!({ "version-rolling": true, "version-rolling.mask": "1fffe000" });
                self.say(&json!({ "id": id, "result": mask, "error": null }));
            }
            "mining.subscribe" => {
                let known = params[1] == self.extranonce1.as_str() && self.random.u8(..) > 100;
                let block = self.block;
                if known {
                    self.fire("resumed");
                } else {
                    self.fire("not resumed");
                    self.extranonce1 = format!("{:08x}", self.random.u32(..));
                    self.jobs.clear();
                    self.first.clear();
                    self.taken.clear();
                }
                let name = [["mining.notify", self.extranonce1.as_str()]];
                let result = json!([name, self.extranonce1, 4]);
                self.say(&json!({ "id": id, "result": result, "error": null }));
                self.set_difficulty();
                self.jobs.retain(|_, job| known && job.block == block);
                self.announce(true, block);
            }
            "mining.authorize" => self.say(&json!({ "id": id, "result": true, "error": null })),
            "mining.submit" => self.judge(id, params),
            "mining.extranonce.subscribe" => self.fire("ignored request"),
            other => panic!("{other}"),
        }
    }

    fn set_difficulty(&mut self) {
        self.difficulty = 2_f64.powi(self.random.i32(-33..=-29));
        self.say(&json!({ "method": "mining.set_difficulty", "params": [self.difficulty] }));
    }

    fn announce(&mut self, clean: bool, block: u8) {
        self.block = block;
        self.names += 1;
        let name = self.names.to_string();
        let params = job(&name, block, clean);
        self.say(&json!({ "id": null, "method": "mining.notify", "params": params }));
        let target = target(self.difficulty);
        let extranonce1 = self.extranonce1.clone();
        // The clock of a job that comes again goes on.
        let at = *self.first.entry(params[1].to_string()).or_insert(self.now);
        self.jobs.insert(name, Announced { block, params, extranonce1, target, at });
    }

    /// The header of a share by the `bitcoin` crate's hashes alone, checked against all that was agreed.
    fn judge(&mut self, id: &Value, params: &Value) {
        let text = |place: usize| params[place].as_str().unwrap();
        assert_eq!((text(0), params.as_array().unwrap().len()), ("a.worker", 6));
        let Some(job) = self.jobs.get(text(1)) else {
            self.fire("stale");
            return self.answer(id, &json!(null), &json!([21, "Job not found", null]));
        };
        let [of_job, given] = [job.params[7].as_str().unwrap(), text(3)]
            .map(|time| u32::from_str_radix(time, 16).unwrap());
        let elapsed = (self.now - job.at).as_secs();
        assert!(given >= of_job && u64::from(given - of_job) <= elapsed, "{given} of {of_job}");
        let header = header(job, text(2), given, text(4), text(5));
        let hash = bitcoin::BlockHash::from_raw_hash(sha256d::Hash::hash(&header));
        assert!(job.target.is_met_by(hash), "{hash} is above the target of its job");
        assert!(self.sent.insert(header.clone()), "sent twice on one connection");
        if !self.taken.insert(header) {
            self.fire("duplicate");
            return self.answer(id, &json!(null), &json!([22, "Duplicate share"]));
        }
        self.answer(id, &json!(true), &json!(null));
    }

    /// Answers soon, late, far too late, twice, or never.
    fn answer(&mut self, id: &Value, result: &Value, error: &Value) {
        let message = json!({ "id": id, "result": result, "error": error });
        let (fault, delay) = match self.random.u8(..) {
            0..10 => ("lost answer", None),
            10..20 => ("late answer", Some(self.random.u64(100..300))),
            20..40 => ("slow answer", Some(self.random.u64(1..119))),
            _ => ("answer", Some(0)),
        };
        self.fire(fault);
        let Some(delay) = delay else { return };
        let at = self.now + Duration::from_secs(delay);
        self.say_at(at, &message);
        if self.random.u8(..) < 10 {
            self.fire("doubled answer");
            let again = at + Duration::from_secs(self.random.u64(0..200));
            self.say_at(again, &message);
        }
    }
}

fn header(job: &Announced, extranonce2: &str, time: u32, nonce: &str, bits: &str) -> Vec<u8> {
    let field = |place: usize| job.params[place].as_str().unwrap();
    let number = |text: &str| u32::from_str_radix(text, 16).unwrap();
    let coinbase = [field(2), &job.extranonce1, extranonce2, field(3)].concat();
    let leaf = sha256d::Hash::hash(&Vec::from_hex(&coinbase).unwrap());
    let root = job.params[4].as_array().unwrap().iter().fold(leaf, |left, right| {
        let right = Vec::from_hex(right.as_str().unwrap()).unwrap();
        sha256d::Hash::hash(&[left.to_byte_array().as_slice(), &right].concat())
    });
    let version = number(field(5)) & !VERSION_ROLLING_MASK | number(bits);
    assert_eq!(number(bits) & !VERSION_ROLLING_MASK, 0);
    let mut header = version.to_le_bytes().to_vec();
    for word in Vec::from_hex(field(1)).unwrap().chunks(4) {
        header.extend(word.iter().rev());
    }
    header.extend(root.to_byte_array());
    for number in [time, number(field(6)), number(nonce)] {
        header.extend(number.to_le_bytes());
    }
    header
}

/// Breaks the connection and makes another.
fn connect(session: &mut Session, pool: &mut Pool) {
    session.reconnect();
    pool.connection += 1;
    pool.sent.clear();
}

#[test]
fn every_share_of_an_hour_has_one_verdict() {
    for seed in 0..4 {
        hour(seed);
    }
}

fn hour(seed: u64) {
    let mut session = Session::new(settings());
    let start = session.now;
    let mut pool = Pool {
        random: fastrand::Rng::with_seed(seed),
        now: start,
        connection: 0,
        extranonce1: "00000001".to_owned(),
        difficulty: 1.0,
        jobs: HashMap::new(),
        first: HashMap::new(),
        names: 0,
        block: 0,
        taken: HashSet::new(),
        sent: HashSet::new(),
        due: BTreeMap::new(),
        answers: 0,
        fired: BTreeMap::new(),
    };
    let mut at_work: Vec<Work> = Vec::new();
    let mut ends: BTreeMap<Ticket, Verdict> = BTreeMap::new();
    let mut nonce = 0;
    while session.now < start + Duration::from_secs(3600 + 300) {
        let is_over = session.now >= start + Duration::from_secs(3600);
        session.wait(STEP);
        pool.now = session.now;
        if pool.random.u32(0..600) == 0 {
            pool.fire("broken connection");
            connect(&mut session, &mut pool);
        }
        if pool.random.u32(0..80) == 0 {
            let clean = pool.random.u8(..) < 60;
            if clean {
                pool.jobs.clear();
            }
            pool.set_difficulty();
            let block = pool.random.u8(..);
            pool.announce(clean, block);
        }
        for request in session.written() {
            pool.hear(&request);
        }
        while let Some(entry) = pool.due.first_entry()
            && entry.key().0 <= session.now
        {
            let (connection, line) = entry.remove();
            if connection == pool.connection {
                session.client.receive(line.as_bytes(), session.now);
            }
        }
        for event in session.events() {
            match event {
                Event::Work(work) => at_work.push(*work),
                Event::Verdict(ticket, verdict, _) => {
                    assert_eq!(ends.insert(ticket, verdict), None, "{ticket} ended twice");
                }
                Event::Down(_) => connect(&mut session, &mut pool),
                Event::Ready | Event::NoWork(_) => {}
                other => panic!("seed {seed}: {other:?}"),
            }
        }
        // Shares of this job and of earlier ones: devices finish what they began.
        for _ in 0..pool.random.u8(0..4) {
            let behind = pool.random.usize(0..10).saturating_sub(7);
            let Some(work) = at_work.iter().rev().nth(behind).filter(|_| !is_over) else { break };
            nonce += 1;
            session.submit(&share(work, pool.random.u32(0..1 << 20), nonce));
        }
        if let Some(work) = at_work.last().filter(|_| pool.random.u8(..) < 8) {
            session.client.exhausted(work.job.id, session.now);
        }
    }
    assert_eq!(ends.len() as u64, session.tickets, "seed {seed}");
    assert!(session.counts().late > 10 && session.counts().nonsense == 0);
    check(&ends, &pool.fired, seed);
}

/// Every verdict and every fault came about, and no share was sent that the pool would refuse.
fn check(ends: &BTreeMap<Ticket, Verdict>, fired: &BTreeMap<&str, u32>, seed: u64) {
    let count = |verdict| ends.values().filter(|end| **end == verdict).count();
    let total = ends.len();
    assert!(total > 15_000 && count(Verdict::Accepted) > total / 10, "{total}");
    for verdict in [Verdict::Stale, Verdict::Duplicate, Verdict::Expired, Verdict::Invalid] {
        assert!(count(verdict) > 10, "no {verdict} in seed {seed}");
    }
    assert_eq!(count(Verdict::Rejected) + count(Verdict::LowDifficulty), 0);
    for fault in [
        "resumed",
        "not resumed",
        "broken connection",
        "stale",
        "duplicate",
        "lost answer",
        "late answer",
        "slow answer",
        "doubled answer",
        "ignored request",
    ] {
        assert!(
            fired.get(fault).is_some_and(|times| *times > 3),
            "{fault} in seed {seed}: {fired:?}"
        );
    }
}
