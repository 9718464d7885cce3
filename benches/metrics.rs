//! What it costs a run that its metrics are scraped a hundred times a second for a minute, as a share of a core: below
//! 2 % is wanted. Linux tells the processor time of each thread, so it is measured there. And how long an answer takes
//! while a thousand others send their requests a byte a second: 99 of a hundred below 100 ms are wanted.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a bench may panic and print")]

#[expect(dead_code, reason = "the other benches use the rest")]
mod common;

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use common::{Sorted, started};

const TIME: Duration = Duration::from_secs(60);
const PER_SECOND: u32 = 100;

/// Far more than there is room for.
const SLOW_CLIENTS: usize = 1000;
/// How often somebody asks on a connection of his own beside them.
const ASKED_BESIDE: usize = 1000;

fn main() {
    if !started() || !cfg!(target_os = "linux") {
        return;
    }
    let mut run = Run::start();
    sleep(Duration::from_secs(5));
    let idle = run.busy_while(|_| sleep(Duration::from_secs(10)));
    println!("the thread of HTTP, not asked:   {:.2} % of a core", idle * 100.0);
    let (mut scrapes, mut bytes) = (0_u32, 0);
    let asked = run.busy_while(|run| {
        let mut connection = BufReader::new(TcpStream::connect(&run.address).unwrap());
        let begun = Instant::now();
        while begun.elapsed() < TIME {
            bytes = scrape(&mut connection, &run.address);
            scrapes += 1;
            let next = begun + scrapes * Duration::from_secs(1) / PER_SECOND;
            sleep(next.saturating_duration_since(Instant::now()));
        }
    });
    println!(
        "asked {scrapes} times in {TIME:?} for {bytes} bytes: {:.2} % of a core",
        asked * 100.0
    );
    let (alone, among) = (run.answers(), run.answers_among_slow_ones());
    print_times("an answer on a new connection", &alone);
    print_times("beside 1,000 slow clients", &among);
}

fn print_times(name: &str, milliseconds: &Sorted) {
    println!(
        "{name}: median {:.2} ms, 99 of 100 below {:.2}, {} of {ASKED_BESIDE} answered",
        milliseconds.at(500),
        milliseconds.at(990),
        milliseconds.len()
    );
}

/// One request on a connection that stays. Returns the bytes of the answer.
fn scrape(connection: &mut BufReader<TcpStream>, host: &str) -> usize {
    // In one piece: a second one would wait for the first one's acknowledgement.
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {host}\r\n\r\n");
    connection.get_mut().write_all(request.as_bytes()).unwrap();
    let mut length = 0;
    loop {
        let mut line = String::new();
        connection.read_line(&mut line).unwrap();
        if let Some(told) = line.to_lowercase().strip_prefix("content-length: ") {
            length = told.trim().parse().unwrap();
        }
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; length];
    connection.read_exact(&mut body).unwrap();
    assert!(body.starts_with(b"# HELP adit_"));
    length
}

struct Run {
    child: Child,
    address: String,
}

impl Run {
    fn start() -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_adit"));
        command.args(["mine", "--device", "cpu", "--http", "127.0.0.1:0", "--for", "5m"]);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut told = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = told.find_map(|line| {
            let line = line.unwrap();
            line.strip_prefix("the run is shown at http://")?.strip_suffix('/').map(str::to_owned)
        });
        thread::spawn(move || told.for_each(drop));
        Self { child, address: address.unwrap() }
    }

    /// The milliseconds until each answer.
    fn answers(&self) -> Sorted {
        let ask = |_| {
            sleep(Duration::from_millis(10));
            let begun = Instant::now();
            let mut stream = TcpStream::connect(&self.address).ok()?;
            let (mut answer, host) = (String::new(), &self.address);
            let request =
                format!("GET /v1/status HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).ok()?;
            stream.read_to_string(&mut answer).ok()?;
            answer.contains(" 200 ").then(|| begun.elapsed().as_secs_f64() * 1000.0)
        };
        (0..ASKED_BESIDE).filter_map(ask).collect()
    }

    /// The same beside clients that send a byte a second, and come again when they are closed.
    fn answers_among_slow_ones(&self) -> Sorted {
        let is_over = AtomicBool::new(false);
        let request = format!("GET /v1/status HTTP/1.1\r\nHost: {}\r\n\r\n", self.address);
        let be_slow = || {
            let connect = || (TcpStream::connect(&self.address).ok(), request.bytes().cycle());
            let mut clients: Vec<_> = (0..SLOW_CLIENTS).map(|_| connect()).collect();
            while !is_over.load(Ordering::Relaxed) {
                for (stream, bytes) in &mut clients {
                    let byte = bytes.next().unwrap_or_default();
                    let is_open =
                        stream.as_mut().is_some_and(|stream| stream.write_all(&[byte]).is_ok());
                    if !is_open {
                        (*stream, *bytes) = connect();
                    }
                    sleep(Duration::from_secs(1) / u32::try_from(SLOW_CLIENTS).unwrap());
                }
            }
        };
        thread::scope(|scope| {
            scope.spawn(be_slow);
            sleep(Duration::from_secs(3));
            let answers = self.answers();
            is_over.store(true, Ordering::Relaxed);
            answers
        })
    }

    /// The share of a core that the thread of HTTP takes meanwhile.
    fn busy_while(&mut self, what: impl FnOnce(&Self)) -> f64 {
        let (begun, before) = (Instant::now(), self.processor_time());
        what(self);
        self.processor_time().saturating_sub(before).as_secs_f64() / begun.elapsed().as_secs_f64()
    }

    fn processor_time(&self) -> Duration {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        let of_task = |task: fs::DirEntry| {
            let name = fs::read_to_string(task.path().join("comm")).ok()?;
            let spent = fs::read_to_string(task.path().join("schedstat")).ok()?;
            let spent = spent.split(' ').next()?.parse().ok()?;
            (name.trim() == "http").then(|| Duration::from_nanos(spent))
        };
        tasks.filter_map(|task| of_task(task.unwrap())).sum()
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
