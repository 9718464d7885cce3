//! Sessions that real pools held, replayed through the client: it makes the very shares that they accepted.

#![expect(clippy::unwrap_used, reason = "a test may panic, and so may what it calls")]

#[path = "common/recorded.rs"]
mod recorded;

use std::fs;
use std::time::{Duration, Instant};

use adit::source::stratum_v1::{Client, Settings};
use adit::source::{Event, Work};
use adit::work::{Hit, Share, SourceId, Ticket, Verdict};
use bitcoin::consensus::encode::serialize_hex;
use bitcoin::hex::FromHex as _;
use serde_json::{Value, json};

/// A recorded file. Without it the test is skipped, and says so.
#[expect(clippy::print_stdout, reason = "a skipped test says so")]
fn recorded(name: &str) -> Option<String> {
    let path = recorded::folder().join(name);
    let text = fs::read_to_string(&path).ok();
    if text.is_none() {
        println!("skipped: there is no {}", path.display());
    }
    text
}

fn settings(version_mask: u32) -> Settings {
    Settings {
        source: SourceId(0),
        user: "w.1".to_owned(),
        password: "x".to_owned(),
        agent: "probe/0.1".to_owned(),
        version_mask,
        minimum_difficulty: None,
        payout: None,
        host: "localhost".to_owned(),
        port: 3333,
        reconnect_port: false,
    }
}

/// A client, and the job that it gave last.
struct Miner {
    client: Client,
    now: Instant,
    work: Option<Work>,
    verdicts: Vec<(Ticket, Verdict)>,
}

impl Miner {
    fn new(version_mask: u32) -> Self {
        let (mut client, now) = (Client::new(settings(version_mask)), Instant::now());
        client.connected(now);
        Self { client, now, work: None, verdicts: Vec::new() }
    }

    fn hear(&mut self, message: &Value) {
        self.client.receive(format!("{message}\n").as_bytes(), self.now);
        self.look();
    }

    fn look(&mut self) {
        while let Some(event) = self.client.event() {
            match event {
                Event::Work(work) => self.work = Some(*work),
                Event::Verdict(ticket, verdict, _) => self.verdicts.push((ticket, verdict)),
                Event::Ready => {}
                other => panic!("{other:?}"),
            }
        }
    }

    fn written(&mut self) -> Vec<Value> {
        let bytes = self.client.transmit().unwrap_or_default();
        let text = String::from_utf8(bytes).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// What a device finds that tries these fields, which it must be given for once.
    fn find(&mut self, extranonce2: &str, time: &str, nonce: &str, bits: Option<&str>) -> Share {
        let number = |text: &str| u32::from_str_radix(text, 16).unwrap();
        // Later times are given when all is tested and they have come.
        for _ in 0..1000 {
            let job = &self.work.as_ref().unwrap().job;
            if job.rolls.header(0).time == number(time) {
                break;
            }
            self.client.exhausted(job.id, self.now);
            self.now += Duration::from_secs(1);
            self.client.receive(b"\n", self.now);
            self.client.tick(self.now);
            self.look();
        }
        let job = &self.work.as_ref().unwrap().job;
        let rolled = number(bits.unwrap_or("0")) & job.rolls.version_mask();
        let numbers = job.rolls.per_roll();
        let version = |of: u32| job.rolls.header(of).version.to_consensus().cast_unsigned();
        let version = (0..numbers).find(|of| version(*of) & job.rolls.version_mask() == rolled);
        // The lowest byte of an extranonce comes first.
        let extranonce = number(extranonce2).swap_bytes();
        let header = extranonce * numbers + version.unwrap();
        assert!(u64::from(header) < job.rolls.all().len(), "no header of the job");
        let header_of = job.header(Hit { header, nonce: number(nonce) });
        assert_eq!(header_of.time, number(time));
        Share { job: job.id, number: header, header: header_of, hash: header_of.block_hash() }
    }

    /// Submits a share and returns its request.
    fn submit(&mut self, ticket: u64, share: &Share) -> Value {
        self.written();
        self.client.submit(Ticket(ticket), share, self.now);
        self.look();
        let written = self.written();
        assert_eq!(written.len(), 1, "{:?}", self.verdicts);
        written[0].clone()
    }
}

#[test]
fn recorded_sessions_are_held_again() {
    // Few bits leave room for the extranonces: the recorded miner set one bit, and cleared another that
    // jobs set.
    for (name, jobs, answered) in [("foundation.jsonl", 3, 2), ("translator.jsonl", 3, 2)] {
        let Some(text) = recorded(name) else { return };
        let mut miner = Miner::new(0x1000_2000);
        let mut ids = Vec::new();
        let mut header = String::new();
        let mut given = Vec::new();
        for line in text.lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            if let Some(recorded) = line["header"].as_str() {
                recorded.clone_into(&mut header);
            } else if let Some(said) = line["s"].as_str() {
                let mut said: Value = serde_json::from_str(said).unwrap();
                let id = ids.iter().find(|(recorded, _)| *recorded == said["id"]);
                if let Some((_, own)) = id {
                    said["id"] = Value::clone(own);
                }
                miner.hear(&said);
                given.extend(miner.work.as_ref().map(|work| work.name.clone()));
                given.dedup();
            } else {
                let recorded: Value = serde_json::from_str(line["c"].as_str().unwrap()).unwrap();
                let own = answer_to(&mut miner, &recorded, &header, ids.len() as u64);
                ids.push((recorded["id"].clone(), own));
            }
        }
        assert_eq!(given.len(), jobs, "{name}: {given:?}");
        assert_eq!(miner.verdicts.len(), answered, "{name}");
        assert!(miner.verdicts.iter().all(|(_, verdict)| *verdict == Verdict::Accepted), "{name}");
    }
}

/// Has the client say what the recorded one said. Returns the id that it used.
fn answer_to(miner: &mut Miner, recorded: &Value, header: &str, ticket: u64) -> Value {
    let params = &recorded["params"];
    let text = |place: usize| params[place].as_str();
    if recorded["method"] != "mining.submit" {
        // The handshake has the same ids: it is the same, but for the extensions that are asked for.
        return recorded["id"].clone();
    }
    let field = |place| text(place).unwrap();
    let share = miner.find(field(2), field(3), field(4), text(5));
    assert_eq!(serialize_hex(&share.header), header);
    let request = miner.submit(ticket, &share);
    assert_eq!(&request["params"], params);
    request["id"].clone()
}

#[test]
fn the_handshake_is_the_recorded_one() {
    for name in ["foundation.jsonl", "translator.jsonl"] {
        let Some(text) = recorded(name) else { return };
        let written = Miner::new(0x1fff_e000).written();
        assert_eq!(written.len(), 3);
        for (own, line) in written.iter().zip(text.lines()) {
            let line: Value = serde_json::from_str(line).unwrap();
            let mut recorded: Value = serde_json::from_str(line["c"].as_str().unwrap()).unwrap();
            if own["method"] == "mining.configure" {
                recorded["params"][0] = json!(["version-rolling", "subscribe-extranonce"]);
            }
            assert_eq!(*own, recorded, "{name}");
        }
    }
}

#[test]
fn recorded_jobs_lead_to_their_headers_and_hashes() {
    let Some(text) = recorded("stratum_vectors.json") else { return };
    let vectors: Vec<Value> = serde_json::from_str(&text).unwrap();
    let mut replayed = 0;
    for vector in vectors.iter().filter(|vector| vector["extranonce1"].is_string()) {
        let text = |name: &str| vector[name].as_str();
        let bits = text("version_bits");
        let mut miner = Miner::new(if bits.is_some() { 0x1fff_e000 } else { 0 });
        let mask = json!({ "version-rolling": true, "version-rolling.mask": "1fffe000" });
        let extranonce2 = text("extranonce2").unwrap();
        let session = json!([[], text("extranonce1"), extranonce2.len() / 2]);
        for (id, result) in [(1, mask), (2, session), (3, json!(true))] {
            miner.hear(&json!({ "id": id, "result": result, "error": null }));
        }
        let difficulty = vector["expect"]["share_difficulty"].as_f64().unwrap();
        miner.hear(
            &json!({ "method": "mining.set_difficulty", "params": [difficulty / 1.000_001] }),
        );
        miner.hear(&json!({ "method": "mining.notify", "params": vector["notify"] }));
        let [time, nonce] = ["ntime", "nonce"].map(|name| text(name).unwrap());
        let share = miner.find(extranonce2, time, nonce, bits);
        assert_eq!(serialize_hex(&share.header), vector["expect"]["header_hex"]);
        assert_eq!(share.hash.to_string(), vector["expect"]["hash"]);
        let request = miner.submit(1, &share);
        assert_eq!(request["params"][2], extranonce2);
        replayed += 1;
    }
    assert_eq!(replayed, 2);
}

/// Headers as miners were given them before Stratum, of each 32-bit word but the solved nonce the bytes reversed.
#[test]
fn recorded_getwork_data_leads_to_its_headers_and_hashes() {
    let Some(text) = recorded("stratum_vectors.json") else { return };
    let vectors: Vec<Value> = serde_json::from_str(&text).unwrap();
    let mut rebuilt = 0;
    for vector in &vectors {
        let Some(data) = vector["getwork_data_hex"].as_str() else { continue };
        let mut bytes = Vec::from_hex(data).unwrap();
        bytes.truncate(adit::chain::HEADER_LEN);
        bytes[..76].chunks_mut(4).for_each(<[u8]>::reverse);
        let header = adit::chain::header_from_bytes(&bytes.try_into().unwrap());
        assert_eq!(serialize_hex(&header), vector["expect"]["header_hex"]);
        let hash = adit::chain::block_hash(&header);
        assert_eq!(hash.to_string(), vector["expect"]["hash"]);
        rebuilt += 1;
    }
    assert!(rebuilt > 0, "there are such vectors");
}
