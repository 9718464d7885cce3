//! What a pool's announcement of a job costs the Stratum client, and what a share does. Wanted: below
//! 30 µs an announcement with 12 hashes in its branch, so that 10,000 in a second take a third of a core.

#![expect(clippy::unwrap_used, reason = "a bench may panic")]

use std::hint::black_box;
use std::time::Instant;

use adit::source::Event;
use adit::source::stratum_v1::{Client, Settings};
use adit::work::{Hit, Share, SourceId, Ticket};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use serde_json::{Value, json};

criterion_group!(benches, announcements, shares);
criterion_main!(benches);

/// One at a time, and many in the bytes of one call, of which the last is handed out.
fn announcements(criterion: &mut Criterion) {
    let (mut client, now) = client();
    for together in [1, 100] {
        let lines: Vec<String> = (0..together).map(announcement).collect();
        let bytes = lines.concat().into_bytes();
        // Two in turns, or each would repeat the job at work.
        let other = announcement(together + 1).into_bytes();
        let mut is_other = false;
        criterion.bench_function(&format!("{together} announcements"), |bencher| {
            bencher.iter(|| {
                is_other = !is_other;
                let bytes = if together == 1 && is_other { &other } else { &bytes };
                client.receive(black_box(bytes), now);
                client.event()
            });
        });
    }
}

/// Checked, written, and answered.
fn shares(criterion: &mut Criterion) {
    let (mut client, now) = client();
    client.receive(b"{\"method\":\"mining.set_difficulty\",\"params\":[1e-10]}\n", now);
    client.receive(announcement(1).as_bytes(), now);
    let work = std::iter::from_fn(|| client.event()).find_map(|event| match event {
        Event::Work(work) => Some(work),
        _ => None,
    });
    let job = work.unwrap().job;
    let mut nonce = 0;
    criterion.bench_function("a share", |bencher| {
        let find = || {
            nonce += 1;
            let header = job.header(Hit { header: 0, nonce });
            Share { job: job.id, number: 0, header, hash: header.block_hash() }
        };
        let submit = |share: Share| {
            client.submit(Ticket(u64::from(share.header.nonce)), &share, now);
            let request: Value = serde_json::from_slice(&client.transmit().unwrap()).unwrap();
            client.receive(answer(&request["id"], &json!(true)).as_bytes(), now);
            client.event().unwrap()
        };
        bencher.iter_batched(find, submit, BatchSize::SmallInput);
    });
}

fn client() -> (Client, Instant) {
    let mut client = Client::new(Settings {
        source: SourceId(0),
        user: "worker".to_owned(),
        password: String::new(),
        agent: "bench".to_owned(),
        version_mask: 0x1fff_e000,
        minimum_difficulty: None,
        payout: None,
        host: "localhost".to_owned(),
        port: 3333,
        reconnect_port: false,
    });
    let now = Instant::now();
    client.connected(now);
    let granted = json!({ "version-rolling": true, "version-rolling.mask": "1fffe000" });
    for (id, result) in [(1, granted), (2, json!([[], "08000002", 4])), (3, json!(true))] {
        client.receive(answer(&json!(id), &result).as_bytes(), now);
    }
    client.transmit();
    while client.event().is_some() {}
    (client, now)
}

fn answer(id: &Value, result: &Value) -> String {
    json!({ "id": id, "result": result, "error": null }).to_string() + "\n"
}

/// A job of Public Pool's shape on another block each time, every other one clean.
fn announcement(number: u32) -> String {
    let input = format!("{}ffffffff", "00".repeat(32));
    let coinb1 = format!("0200000001{input}170330c30d5075626c69632d506f6f6c");
    let payment = format!("e5b5c61200000000220020{}", "98".repeat(32));
    let commitment = format!("0000000000000000266a24aa21a9ed{}", "b9".repeat(32));
    let coinb2 = format!("ffffffff02{payment}{commitment}00000000");
    let previous = format!("{number:064x}");
    let branch = vec!["21".repeat(32); 12];
    let (name, clean) = (number.to_string(), number.is_multiple_of(2));
    let params =
        json!([name, previous, coinb1, coinb2, branch, "20000000", "17023a04", "685468d7", clean]);
    json!({ "id": null, "method": "mining.notify", "params": params }).to_string() + "\n"
}
