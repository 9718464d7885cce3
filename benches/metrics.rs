//! What it costs a run that its metrics are scraped a hundred times a second for a minute, as a share of a core.
//! Wanted: below 2 %. Linux tells the processor time of each thread, so it is measured there.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a bench may panic and print")]

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

const TIME: Duration = Duration::from_secs(60);
const PER_SECOND: u32 = 100;

fn main() {
    // `cargo test --benches` runs the program too, and there it shall only build.
    if !std::env::args().any(|argument| argument == "--bench") || !cfg!(target_os = "linux") {
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
}

/// One request on a connection that stays. Returns the bytes of the answer.
fn scrape(connection: &mut BufReader<TcpStream>, host: &str) -> usize {
    write!(connection.get_mut(), "GET /metrics HTTP/1.1\r\nHost: {host}\r\n\r\n").unwrap();
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
        std::thread::spawn(move || told.for_each(drop));
        Self { child, address: address.unwrap() }
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
