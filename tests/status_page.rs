//! The web page of a run in a real browser.

#![expect(clippy::unwrap_used, reason = "a test may panic, and so may what it calls")]

#[path = "common/browser.rs"]
mod browser;
#[path = "common/watched.rs"]
mod watched;

use std::collections::VecDeque;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use adit::api::{Listener, Server};
use adit::runtime::Control;
use adit::runtime::snapshot::{Level, Line, Shared, Snapshot, State};
use adit::work::{SourceId, Ticket, Verdict};
use adit::{engine::DeviceId, engine::outbox::Counts};
use browser::browser;
use tokio::sync::watch;
use watched::Run;

/// How long the page is looked at, in milliseconds of its own time, which passes faster where nothing happens.
const LOOK: u32 = 10_000;

const MISCHIEF: &str =
    "<img src=x onerror=\"document.title='run'\"><script>document.title='run'</script>";

#[test]
fn a_run_is_seen_live() {
    let Some(browser) = browser("a_run_is_seen_live") else { return };
    let run = Run::start();
    let (dom, console) = open(&browser, &run.address);
    assert!(console.is_empty(), "{}", console.join("\n"));
    // Its rate stands in the title, in the figure and beside the device.
    let title = between(&dom, "<title>", "</title>");
    assert!(title.ends_with("H/s – adit"), "{title}");
    assert!(between(&dom, "id=\"state\"", "</span>").ends_with("mining"), "{dom}");
    assert!(between(&dom, "id=\"rate\"", "</div>").contains("H/s"), "{dom}");
    let device = between(&dom, "id=\"devices\"", "</section>");
    assert!(device.contains("well") && device.contains("H/s"), "{device}");
    assert!(between(&dom, "id=\"sources\"", "</section>").contains("mining"), "{dom}");
    let plots = ["chart-rate", "chart-shares"].map(|id| between(&dom, id, "</svg>"));
    assert!(plots[0].contains("<path") && plots[1].contains("<text"), "{plots:?}");
}

#[test]
fn words_of_a_pool_stay_words() {
    let Some(browser) = browser("words_of_a_pool_stay_words") else { return };
    let (_publish, viewer) = watch::channel(Arc::new(hostile()));
    let (_server, address) = serve(viewer);
    let (dom, console) = open(&browser, &address);
    assert!(console.is_empty(), "{}", console.join("\n"));
    assert!(between(&dom, "<title>", "</title>").ends_with("adit"), "the title was changed");
    assert_eq!(dom.matches("&lt;script&gt;").count(), 2, "in the log and at the share");
    assert_eq!((dom.matches("<script").count(), dom.matches("<img").count()), (1, 0));
}

#[test]
fn a_run_that_ended_is_not_shown_as_alive() {
    let Some(browser) = browser("a_run_that_ended_is_not_shown_as_alive") else { return };
    let mut last = Snapshot::default();
    last.run.state = State::Ended;
    let (publish, viewer) = watch::channel(Arc::new(last));
    let (_server, address) = serve(viewer);
    drop(publish);
    let (dom, _) = open(&browser, &address);
    assert!(between(&dom, "id=\"state\"", "</span>").ends_with("ended"), "{dom}");
    assert!(dom.contains("<body class=\"stale\""), "{dom}");
}

fn hostile() -> Snapshot {
    let (source, device) = (SourceId(0), DeviceId(0));
    let share = Shared {
        share: Ticket(1),
        unix_seconds: 1.8e9,
        source,
        device,
        difficulty: 1.0,
        hash_difficulty: 2.0,
        hash: "00".repeat(32),
        block: false,
        verdict: Some(Verdict::Rejected),
        why: Some(MISCHIEF.to_owned()),
        verdict_seconds: Some(0.1),
    };
    let line = Line {
        number: 0,
        unix_seconds: 1.8e9,
        level: Level::Info,
        source: Some(source),
        device: None,
        text: MISCHIEF.to_owned(),
    };
    Snapshot {
        shares: Counts { found: 1, rejected: 1, ..Counts::default() },
        last_shares: VecDeque::from([Arc::new(share)]),
        log: VecDeque::from([Arc::new(line)]),
        ..Snapshot::default()
    }
}

fn serve(viewer: watch::Receiver<Arc<Snapshot>>) -> (Server, String) {
    let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), None).unwrap();
    let server = listener.serve(viewer, Control::default()).unwrap();
    let address = server.address().to_string();
    (server, address)
}

/// What is between two texts, the first of each.
fn between<'t>(text: &'t str, begin: &str, end: &str) -> &'t str {
    let (_, rest) = text.split_once(begin).unwrap_or_else(|| panic!("no {begin}: {text}"));
    rest.split_once(end).unwrap().0
}

/// The document as the browser has it after a while, and the lines of the console.
fn open(browser: &Path, address: &str) -> (String, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(browser)
        // As root, which CI is, it starts without its sandbox only. The page is ours.
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
        .args(["--enable-logging=stderr", "--v=0", "--dump-dom"])
        .arg(format!("--virtual-time-budget={LOOK}"))
        .arg(format!("--user-data-dir={}", folder.path().join("profile").display()))
        .arg(format!("http://{address}/"))
        .output()
        .unwrap();
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {log}", browser.display());
    let dom = String::from_utf8(output.stdout).unwrap();
    assert!(dom.contains("</html>"), "no document: {log}");
    (dom, log.lines().filter(|line| line.contains("CONSOLE")).map(str::to_owned).collect())
}
