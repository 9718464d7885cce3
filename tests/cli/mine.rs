//! `adit mine`

use std::fs;
use std::io::{BufRead, BufReader, Read as _, Write as _};
#[cfg(target_os = "linux")]
use std::net::TcpListener;
use std::process::{Child, ChildStdout, Command, Stdio};

use adit::chain::KNOWN_BLOCKS;
use serde_json::Value;

#[cfg(unix)]
use crate::signal::signal;
use crate::{ADIT, GENESIS, done, json, json_lines};

#[test]
fn blocks_are_found_and_the_summary_agrees_with_the_events() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("summary.json");
    fs::write(&file, "of an earlier run, and longer than this one's".repeat(100)).unwrap();
    let file = file.to_str().unwrap();
    let mut told = json_lines(&mine(&["--blocks", "2", "--json", "--summary-json", file]));
    let shares = told.iter().filter(|event| event["event"] == "found").count();
    // In a large window another nonce may meet the target too.
    told.retain(|event| event["expected"] != false);
    let events: Vec<&str> = told.iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!(events, ["device", "job", "found", "job", "found", "summary"]);

    assert_eq!(told[0]["device"], 0);
    assert_eq!(told[0]["kind"], "cpu");
    for (block, events) in KNOWN_BLOCKS.iter().zip([&told[1..3], &told[3..5]]) {
        let (job, found) = (&events[0], &events[1]);
        assert_eq!(job["job"], found["job"]);
        assert_eq!(job["network"], block.network);
        assert_eq!(job["height"], block.height);
        let header = block.header().unwrap();
        assert_eq!(found["nonce"], header.nonce);
        assert_eq!(found["version"], header.version.to_consensus());
        assert_eq!(found["hash"], block.hash);
        let [from, to] = [0, 1].map(|end| job["nonces"][end].as_u64().unwrap());
        assert!((from..to).contains(&header.nonce.into()));
        assert_eq!(job["window"], to - from < 1 << 32);
        // These two are older than version rolling.
        assert_eq!((&job["version_mask"], &job["headers"]), (&"00000000".into(), &1.into()));
    }

    let summary = &told[5];
    assert_eq!(*summary, json(&fs::read_to_string(file).unwrap()));
    for (key, expected) in
        [("blocks", 2), ("found", 2), ("shares", shares), ("wrong", 0), ("rescanned", 0)]
    {
        assert_eq!(summary[key], expected, "{key}");
    }
    let count = |key: &str| summary[key].as_u64().unwrap();
    // What was assigned and not scanned was given back when the block was found.
    let ended = summary["given_back"]["ended"].as_u64().unwrap_or(0);
    assert_eq!(count("scanned") + ended, count("assigned"), "{summary}");
    assert!(count("candidates") >= 2, "{summary}");
    assert_eq!(summary["devices"][0]["tested"], summary["scanned"]);
    assert_eq!(summary["interrupted"], false);
    let (seconds, rate) = (&summary["seconds"], &summary["hashes_per_second"]);
    let hashes = seconds.as_f64().unwrap() * rate.as_f64().unwrap();
    #[expect(clippy::cast_precision_loss, reason = "compared roughly")]
    let scanned = count("scanned") as f64;
    assert!((hashes / scanned - 1.0).abs() < 1e-6, "{summary}");
}

#[test]
fn without_a_source_shares_go_to_a_practice_pool_and_each_is_accounted_for() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("shares.jsonl");
    let path = log.to_str().unwrap();
    let told = done(&[
        "mine",
        "--device",
        "cpu",
        "--shares",
        "2",
        "--log-format",
        "json",
        "--share-log",
        path,
    ]);
    let told = json_lines(&told);
    let of = |event: &str| told.iter().filter(|line| line["event"] == event).count();
    let summary = told.last().unwrap();
    let count = |key: &str| summary[key].as_u64().unwrap();
    assert!(count("accepted") >= 2, "{summary}");
    let ends =
        ["accepted", "rejected", "stale", "duplicate", "expired", "invalid", "withheld", "pending"];
    assert_eq!(count("found"), ends.iter().map(|end| count(end)).sum::<u64>(), "{summary}");
    assert_eq!((of("share") as u64, of("verdict") as u64), (count("found"), count("found")));
    assert!(summary["sources"][0]["url"].as_str().unwrap().contains("127.0.0.1"), "{summary}");
    let work = told.iter().find(|line| line["event"] == "work").unwrap();
    assert!(work["coinbase_tag"].as_str().unwrap().contains("no money"), "{work}");

    // Each share was written down before it went, with a header that hashes to what it says.
    let lines = json_lines(&fs::read_to_string(&log).unwrap());
    let found: Vec<&Value> = lines.iter().filter(|line| line["event"] == "found").collect();
    assert_eq!(found.len() as u64, count("found"));
    for line in found {
        let header = adit::chain::parse_header(line["header"].as_str().unwrap()).unwrap();
        assert_eq!(adit::chain::block_hash(&header).to_string(), line["hash"]);
    }
    let told = done(&["verify", "--share-log", path]);
    let right = format!("{0} shares hashed again: {0} right, 0 wrong", count("found"));
    assert!(told.contains(&right), "{told}");
    assert!(told.contains(&format!("{} accepted", count("accepted"))), "{told}");
    let spoilt = fs::read_to_string(&log).unwrap().replacen("\"header\":\"0", "\"header\":\"1", 1);
    fs::write(&log, spoilt).unwrap();
    let output = crate::adit(&["verify", "--share-log", path]).output().unwrap();
    assert!(crate::complaint(&output, 1).contains("1 line is not what was written"), "{output:?}");
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(told.contains("line 2: corrupt: its checksum does not fit"), "{told}");

    let said = done(&["mine", "--device", "cpu", "--for", "1s"]);
    assert!(said.contains("no money is involved"), "{said}");
}

#[test]
#[cfg(target_os = "linux")]
fn a_summary_that_cannot_be_written_is_still_told() {
    let arguments = [
        "mine",
        "--device",
        "cpu",
        "--source",
        "replay:",
        "--blocks",
        "1",
        "--summary-json",
        "/dev/full",
    ];
    let output = crate::adit(&arguments).output().unwrap();
    assert!(crate::complaint(&output, 2).contains("cannot write the summary"));
    assert!(String::from_utf8(output.stdout).unwrap().contains("found 1 of 1 blocks"));
}

#[test]
fn a_person_reads_what_was_mined_and_how() {
    let told = mine(&["--blocks", "1"]);
    assert!(told.starts_with("device 0: "), "{told}");
    assert!(told.contains("block 0 (main): "), "{told}");
    let found =
        format!("found nonce 2083236893 (0x7c2bac1d) on device 0: {}", KNOWN_BLOCKS[0].hash);
    assert!(told.contains(&found), "{told}");
    assert!(told.contains(", the hash that the chain has"), "{told}");
    assert!(told.contains("found 1 of 1 blocks in "), "{told}");
    assert!(told.contains(", wrong 0, "), "{told}");
}

#[test]
fn a_run_ends_with_its_last_share() {
    let told = json_lines(&mine(&["--shares", "1", "--json"]));
    let summary = told.last().unwrap();
    assert_eq!(summary["blocks"], 1);
    assert!(summary["shares"].as_u64() >= Some(1), "{summary}");
}

#[test]
fn a_run_ends_when_its_time_is_up() {
    let told = json_lines(&mine(&["--for", "1s", "--json"]));
    let summary = told.last().unwrap();
    assert_eq!(summary["event"], "summary");
    assert_eq!(summary["interrupted"], false);
    assert!(summary["seconds"].as_f64().unwrap() >= 1.0, "{summary}");
    assert!(summary["scanned"].as_u64() > Some(0), "{summary}");

    let none = json_lines(&mine(&["--for", "0s", "--json"]));
    assert_eq!(none.last().unwrap()["blocks"], 0);
}

fn mine(options: &[&str]) -> String {
    done(&[&["mine", "--device", "cpu", "--source", "replay:"], options].concat())
}

#[test]
fn a_closed_pipe_ends_the_run_quietly() {
    let mut run = Run::start(&["--json", "--for", "5m"]);
    run.until("device");
    drop(run.events);
    let status = run.child.wait().unwrap();
    let mut said = String::new();
    run.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!((status.code(), said.as_str()), (Some(0), ""));
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_the_run_with_its_summary() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("summary.json");
    let mut run = Run::start(&["--json", "--for", "5m", "--summary-json", file.to_str().unwrap()]);
    run.until("job");
    signal(&run.child, "INT");
    let summary = run.until("summary");
    assert_eq!(summary["interrupted"], true);
    assert_eq!(summary["wrong"], 0);
    assert!(summary["scanned"].as_u64() <= summary["assigned"].as_u64(), "{summary}");
    assert_eq!(run.child.wait().unwrap().code(), Some(130));
    assert_eq!(json(&fs::read_to_string(&file).unwrap()), summary);
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_a_scan_with_its_account() {
    // So many hits that the first shows soon that the scan is under way.
    let mut child = piped(&["scan", GENESIS, "--device", "cpu", "--difficulty", "1e-5"]);
    let mut told = BufReader::new(child.stdout.take().unwrap());
    assert!(line(&mut told).starts_with("nonce "));
    signal(&child, "INT");
    let mut rest = String::new();
    told.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("assigned ") && rest.contains(", wrong 0, "), "{rest}");
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_a_scan_that_waits_for_a_line() {
    let mut child = piped(&["scan", "-", "--device", "cpu", "--nonces", "0..9", "--json"]);
    let mut input = child.stdin.take().unwrap();
    writeln!(input, "{GENESIS}").unwrap();
    let mut told = BufReader::new(child.stdout.take().unwrap());
    assert_eq!(json(&line(&mut told))["scanned"], 9);
    signal(&child, "INT");
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(line(&mut told), "");
}

#[test]
fn who_is_insecure_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    // Nobody listens there.
    let (open, plain) = ("stratum+tls://w@127.0.0.1:1", "stratum+tcp://w@127.0.0.1:1");
    let mine = ["mine", "--device", "cpu", "--insecure", "--once", "--json"];
    let mut command = crate::adit(&[&mine[..], &["--source", open, "--source", plain]].concat());
    let output = command.env("ADIT_STATE_DIR", folder.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(5), "{output:?}");
    let told = json_lines(&String::from_utf8(output.stdout).unwrap());
    let is = |kind: &str, source: u64| {
        let of = told.iter().filter(move |event| event["event"] == kind);
        of.filter(move |event| event["source"] == source).collect::<Vec<_>>()
    };
    let warning = is("warning", 0)[0]["text"].as_str().unwrap();
    assert!(warning.contains("--insecure"), "{warning}");
    assert!(is("warning", 1).is_empty());
    for (source, insecure) in [(0, true), (1, false)] {
        let events = is("source", source);
        assert!(!events.is_empty() && events.iter().all(|event| event["insecure"] == insecure));
        let summary = told.last().unwrap();
        assert_eq!(summary["sources"][usize::from(!insecure)]["insecure"], insecure, "{summary}");
    }
}

/// The run loads no graphics driver, and so stays small.
#[cfg(target_os = "linux")]
#[test]
fn a_run_on_the_cpu_loads_no_driver_and_stays_below_50_mib() {
    let mut run = Run::start(&["--json", "--for", "5m"]);
    run.until("found");
    let maps = run.about("maps").to_lowercase();
    let mapped = maps.lines().filter_map(|line| line.rsplit('/').next());
    for library in mapped {
        let graphics = ["vulkan", "llvm", "mesa", "lvp", "nvidia", "libdrm", "libegl", "wayland"];
        assert!(!graphics.iter().any(|part| library.contains(part)), "{library} is mapped");
    }
    let peak = run.peak();
    assert!(peak < 50 << 10, "{peak} KiB");
    println!("peak memory {peak} KiB");
    signal(&run.child, "INT");
    run.until("summary");
    assert_eq!(run.child.wait().unwrap().code(), Some(130));
}

/// What a pool sends is kept up to the bounds of a message.
#[cfg(target_os = "linux")]
#[test]
fn no_line_of_a_pool_makes_a_run_grow_by_4_mib() {
    let nested = [b"{\"id\":1,\"result\":".to_vec(), vec![b'['; 1_000_000], b"\n".to_vec()];
    for (line, told) in [
        (vec![b'{'; 64 << 20], "a line of more than 1048576 bytes"),
        (nested.concat(), "more than 16 brackets"),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let source = format!("stratum+tcp://w@{}", listener.local_addr().unwrap());
        let mut run = Run::of(&["mine", "--device", "cpu", "--json", "--source", &source]);
        run.until("device");
        let (mut pool, _) = listener.accept().unwrap();
        assert!(pool.read(&mut [0; 4096]).unwrap() > 0, "it subscribes");
        let before = run.peak();
        // Of what is too long nobody reads the rest.
        let _ = pool.write_all(&line);
        while !run.next(told).to_string().contains(told) {}
        let grown = run.peak() - before;
        assert!(grown < 4 << 10, "{grown} KiB: {told}");
        println!("{told}: grown by {grown} KiB");
        signal(&run.child, "INT");
        run.until("summary");
    }
}

/// A run whose events are read as they come. Without a reader it ends.
pub(crate) struct Run {
    pub(crate) child: Child,
    events: BufReader<ChildStdout>,
}

impl Run {
    fn start(options: &[&str]) -> Self {
        Self::of(&[&["mine", "--device", "cpu", "--source", "replay:"], options].concat())
    }

    pub(crate) fn of(arguments: &[&str]) -> Self {
        Self::spawned(piped(arguments))
    }

    /// That of a command whose output is piped.
    pub(crate) fn spawned(mut child: Child) -> Self {
        let events = BufReader::new(child.stdout.take().unwrap());
        Self { child, events }
    }

    /// What Linux tells of the process.
    #[cfg(target_os = "linux")]
    fn about(&self, what: &str) -> String {
        fs::read_to_string(format!("/proc/{}/{what}", self.child.id())).unwrap()
    }

    /// The most memory that it had so far, in KiB.
    #[cfg(target_os = "linux")]
    fn peak(&self) -> u64 {
        let status = self.about("status");
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        peak.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// The next event of a kind.
    pub(crate) fn until(&mut self, kind: &str) -> Value {
        loop {
            let event = self.next(kind);
            if event["event"] == kind {
                return event;
            }
        }
    }

    /// The next event, on the way to one of this kind.
    pub(crate) fn next(&mut self, kind: &str) -> Value {
        let line = line(&mut self.events);
        if !line.is_empty() {
            return json(&line);
        }
        let mut said = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        panic!("it ended without the event {kind}: {said}");
    }
}

fn piped(arguments: &[&str]) -> Child {
    command(arguments).spawn().unwrap()
}

/// The program, with pipes on all sides.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(ADIT);
    command.args(arguments).env_remove("RUST_LOG").env("ADIT_CONFIG", crate::empty_settings());
    command.env("ADIT_STATE_DIR", crate::state_folder());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// The next line; empty at the end.
fn line(output: &mut impl BufRead) -> String {
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    line
}
