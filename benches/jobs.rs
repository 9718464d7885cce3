//! New jobs, from a pool's socket to the device: how long until the first dispatch, what a flood of 10,000 jobs
//! a second leaves of the device's rate, and how long the steps of those who decide take in a minute of it. Wanted:
//! below 20 ms plus one dispatch, at least 80 %, 99.9 % of the steps below 1 ms.
//!
//! For the former two the whole program is at work but its terminal: link, client, engine, driver, adapter. The pool
//! is a script in the same process, so what it costs counts against the device.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a bench may panic and print")]

#[expect(dead_code, reason = "the other benches use the rest")]
mod common;

use std::collections::{HashMap, VecDeque};
use std::io::{BufRead, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::num::NonZeroU64;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use adit::chain::KNOWN_BLOCKS;
use adit::device::cpu::Cpu;
use adit::device::driver::{self, Driver};
use adit::device::gpu::{Gpu, adapters};
use adit::device::sim::Sim;
use adit::device::{Device, DeviceError, DeviceInfo};
use adit::engine::{DeviceId, Engine, Input, Output};
use adit::kernel::Variant;
use adit::link::Endpoint;
use adit::runtime::mining::office::{Office, Order};
use adit::runtime::mining::{Mining, News, Title};
use adit::runtime::net::{Line, Net, Pool, Said};
use adit::runtime::{Crew, Flow, Stop};
use adit::source::failover::Plan;
use adit::source::stratum_v1::{Client, Settings};
use adit::source::{Event, Work};
use adit::work::{Batch, Job, JobId, Nonces, Rolls, Scan, SourceId, Width};
use common::{Rounds, Sorted, per_second, print_row, started};
use serde_json::{Value, json};

/// One measurement.
const ROUND: Duration = Duration::from_secs(6);

/// How often the rates are compared.
const FLOODS: usize = 3;

/// What `--profile desktop` asks for.
const BATCH_TIME: Duration = Duration::from_millis(12);

/// A minute of jobs.
const FLOOD: u32 = 600_000;
const FLOOD_INTERVAL: Duration = Duration::from_micros(100);

type Times<K> = Arc<Mutex<HashMap<K, Instant>>>;

fn main() {
    if !started() {
        return;
    }
    let quiet = (Duration::from_millis(170), 1);
    let flood = (Duration::from_millis(1), 10);
    println!("{} with batches of {} ms", open().info().name, BATCH_TIME.as_millis());
    let (_, waits) = mine(quiet);
    let milliseconds = |wait: f64| format!("{wait:.1} ms");
    print_row("notify to first dispatch", waits.iter().copied(), milliseconds);
    let longest = waits.iter().copied().fold(0.0, f64::max);
    println!("{} jobs, the longest {longest:.1} ms", waits.len());
    let mut rounds = Rounds::default();
    for _ in 0..FLOODS {
        rounds.add(mine(flood).0, mine((ROUND * 2, 1)).0);
    }
    rounds.print("10,000 jobs a second", "one job");
    let steps = flooded_steps();
    print_row("a step in a flood", steps.iter().copied(), |time| format!("{time:.1} µs"));
    let steps: Sorted = steps.into_iter().collect();
    println!(
        "{} steps, 999 of 1,000 below {:.1} µs, the longest {:.1}",
        steps.len(),
        steps.at(999),
        steps.at(1000)
    );
}

/// The first adapter, else the processor.
fn open() -> Box<dyn Device> {
    match adapters().unwrap().first() {
        Some(adapter) => Box::new(Gpu::open(adapter, Variant::DEFAULT).unwrap()),
        None => Box::new(Cpu::open(None).unwrap()),
    }
}

/// Mines for a pool that sends so many jobs at such intervals. Returns the rate, and the milliseconds from each job that
/// was begun to its first dispatch.
fn mine((every, jobs): (Duration, u32)) -> (f64, Vec<f64>) {
    let (sent, begun): (Times<String>, Times<JobId>) = (Arc::default(), Arc::default());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let times = Arc::clone(&sent);
    thread::spawn(move || serve(&listener, every, jobs, &times));

    let stop = Stop::default();
    let device = Watched { device: open(), begun: Arc::clone(&begun) };
    let crew = Crew::new(vec![Box::new(device)], BATCH_TIME, stop.clone());
    let host = "127.0.0.1".to_owned();
    let client = Client::new(Settings {
        source: SourceId(0),
        user: "bench".to_owned(),
        password: "x".to_owned(),
        agent: "adit".to_owned(),
        version_mask: 0,
        minimum_difficulty: None,
        payout: None,
        host: host.clone(),
        port,
        reconnect_port: false,
    });
    let endpoint = Endpoint { host, port, tls: None, proxy: None };
    let lines = vec![Line::Pool(Box::new(Pool { endpoint, client }))];
    let net = Net::start(lines, crew.waker()).unwrap();
    let title = Title { name: "bench".to_owned(), is_insecure: false };
    let mining = Mining::new(crew, net, Plan::Failover, &[title], None, stop, true);

    let mut names = HashMap::new();
    let mut first = None;
    let outcome = mining.run(|news| {
        if let News::Said(_, Said::Event(Event::Work(work))) = &news {
            names.insert(work.job.id, work.name.clone());
            first.get_or_insert_with(Instant::now);
        }
        let is_over = first.is_some_and(|first| first.elapsed() >= ROUND);
        if is_over { Flow::End } else { Flow::Continue }
    });
    let rate = per_second(outcome.snapshot.hashes.scanned, first.unwrap().elapsed());
    let (sent, begun) = (sent.lock().unwrap(), begun.lock().unwrap());
    // The first job meets a device that still finds its batch size.
    let waits = names.iter().filter(|(id, _)| id.serial > 3).filter_map(|(id, name)| {
        let wait = begun.get(id)?.saturating_duration_since(*sent.get(name)?);
        Some(wait.as_secs_f64() * 1000.0)
    });
    (rate, waits.collect())
}

/// The microseconds that office and engine take for each job of [`FLOOD`] and what the device said since the one
/// before. It is worse than a run, whose network leaves out jobs that nobody looked at yet. The clock is a number.
fn flooded_steps() -> Vec<f64> {
    let (start, device) = (Instant::now(), DeviceId(0));
    let mut engine = Engine::new();
    let mut office = Office::new(1, Plan::Failover, start);
    let sim = Sim::planted(Vec::new()).rate(NonZeroU64::new(40_000_000).unwrap());
    let mut driver = Driver::new(Box::new(sim), BATCH_TIME);
    let mut inputs = VecDeque::from([Input::Joined(device, Width::ONE)]);
    let mut report: Option<(Instant, Input)> = None;
    let header = KNOWN_BLOCKS[0].header().unwrap();
    let mut steps = Vec::new();
    for number in 1..=FLOOD {
        let now = start + FLOOD_INTERVAL * number;
        inputs.extend(report.take_if(|(due, _)| *due <= now).map(|(_, scanned)| scanned));
        let job = Job {
            id: JobId::only(number.into()),
            rolls: Rolls::one(header),
            target: header.target(),
            nonces: Nonces::ALL,
        };
        let work = Box::new(Work {
            job: Arc::new(job),
            name: number.to_string(),
            height: None,
            clean: true,
            block_target: header.target(),
            coinbase: None,
        });

        let begun = Instant::now();
        let orders = office.source_says(SourceId(0), Said::Event(Event::Work(work)), now);
        for order in orders.into_iter().chain(office.steer(now)) {
            if let Order::Engine(input) = order {
                inputs.push_back(input);
            }
        }
        if engine.deadline().is_some_and(|deadline| deadline <= now) {
            inputs.push_back(Input::Tick);
        }
        let mut outputs = Vec::new();
        for input in inputs.drain(..) {
            engine.handle(input, now, &mut outputs);
        }
        steps.push(begun.elapsed().as_secs_f64() * 1e6);

        for output in outputs {
            let order = match output {
                Output::Assign(_, assignment) => driver::Order::Work(assignment),
                Output::Abandon(job) => driver::Order::Abandon(job),
                Output::Finished(_) => continue,
                other => panic!("{other:?}"),
            };
            let dropped = driver.obey(order).into_iter();
            inputs.extend(dropped.map(|(job, region)| Input::GaveBack { device, job, region }));
        }
        if report.is_none()
            && let Some((batch, scan)) = driver.step().unwrap()
        {
            report = Some((now + scan.elapsed, Input::Scanned { device, batch, scan }));
        }
    }
    steps
}

/// A pool that looks at nothing.
fn serve(listener: &TcpListener, every: Duration, jobs: u32, sent: &Times<String>) {
    let (mut stream, _) = listener.accept().unwrap();
    stream.set_nodelay(true).unwrap();
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    for _ in 0..3 {
        let request: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        let result = match request["method"].as_str() {
            Some("mining.configure") => json!({}),
            Some("mining.subscribe") => json!([[["mining.notify", "1"]], "01020304", 4]),
            _ => json!(true),
        };
        write(&mut stream, &json!({"id": request["id"], "result": result, "error": null}));
    }
    thread::spawn(move || lines.for_each(drop));
    for number in 0.. {
        let due = Instant::now() + every;
        let burst: String = (0..jobs).map(|job| notify(number * jobs + job, sent)).collect();
        if stream.write_all(burst.as_bytes()).is_err() {
            return;
        }
        thread::sleep(due.saturating_duration_since(Instant::now()));
    }
}

fn write(stream: &mut TcpStream, message: &Value) {
    stream.write_all(format!("{message}\n").as_bytes()).unwrap();
}

fn notify(number: u32, sent: &Times<String>) -> String {
    let name = format!("{number:x}");
    // Height 900000, and room for both extranonces.
    let head = format!("01000000{}{}ffffffff0c03a0bb0d", "01", "00".repeat(32));
    let tail = "ffffffff0100f2052a01000000015100000000";
    let branch: Vec<String> = (1..=12).map(|node| format!("{node:064x}")).collect();
    let previous = format!("{number:064x}");
    let params =
        json!([name, previous, head, tail, branch, "20000000", "1d00ffff", "6b003fc7", true]);
    sent.lock().unwrap().insert(name, Instant::now());
    format!("{}\n", json!({"id": null, "method": "mining.notify", "params": params}))
}

/// A device that notes when it began each job.
struct Watched {
    device: Box<dyn Device>,
    begun: Times<JobId>,
}

impl Device for Watched {
    fn info(&self) -> &DeviceInfo {
        self.device.info()
    }

    fn begin(&mut self, batch: Batch) -> Result<(), DeviceError> {
        self.begun.lock().unwrap().entry(batch.job.id).or_insert_with(Instant::now);
        self.device.begin(batch)
    }

    fn finish(&mut self, limit: Duration) -> Result<Scan, DeviceError> {
        self.device.finish(limit)
    }
}
