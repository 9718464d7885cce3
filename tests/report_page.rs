//! The page of a benchmark in a real browser. The records are examples; their figures are invented.

#![expect(clippy::unwrap_used, reason = "a test may panic, and so may what it calls")]

#[path = "common/browser.rs"]
mod browser;

use std::fs;
use std::path::Path;
use std::process::Command;

use adit::bench::record::Record;
use adit::ui::report::html;
use browser::browser;

#[test]
fn every_example_opens_from_disk() {
    let Some(browser) = browser("every_example_opens_from_disk") else { return };
    for name in ["nvidia", "amd", "lavapipe", "interrupted", "matrix"] {
        let record = example(name);
        let dom = open(&browser, &html(std::slice::from_ref(&record)));
        for subject in &record.subjects {
            assert!(dom.contains(&subject.kernel.name), "{name}: {}", subject.kernel.name);
        }
        // The plot over time of each that was measured, and the box plot.
        let measured = record.subjects.iter().filter(|subject| !subject.rounds.is_empty()).count();
        let plots = dom.matches("<svg ").count();
        assert!(plots > measured, "{name}: {plots} plots of {measured} subjects");
        let rounds: usize = record.subjects.iter().map(|subject| subject.rounds.len()).sum();
        assert!(dom.matches("<circle ").count() >= rounds, "{name}");
    }
}

#[test]
fn many_records_are_one_page() {
    let Some(browser) = browser("many_records_are_one_page") else { return };
    let records = ["nvidia", "amd", "lavapipe"].map(example);
    let dom = open(&browser, &html(&records));
    for record in &records {
        assert!(dom.contains(&record.subjects[0].device.name));
    }
}

#[test]
fn a_name_that_is_a_script_does_not_run() {
    let Some(browser) = browser("a_name_that_is_a_script_does_not_run") else { return };
    let mut record = example("nvidia");
    record.subjects[0].device.name = "<script>document.title = 'run'</script>".to_owned();
    record.subjects[0].kernel.name = "<img src=x onerror=\"document.title = 'run'\">".to_owned();
    let dom = open(&browser, &html(&[record]));
    assert!(dom.contains("<title>adit bench, 2026"), "the title was changed");
    assert!(dom.contains("&lt;script&gt;document.title"));
    assert!(!dom.contains("<script") && !dom.contains("<img"));
}

/// Without its style for print it would be five sheets, with heads apart from their plots.
#[test]
fn a_page_prints_on_a_few_sheets() {
    let Some(browser) = browser("a_page_prints_on_a_few_sheets") else { return };
    let folder = tempfile::tempdir().unwrap();
    let sheets = folder.path().join("report.pdf");
    let option = format!("--print-to-pdf={}", sheets.display());
    run(&browser, folder.path(), &html(&[example("nvidia")]), &option);
    let pdf = String::from_utf8_lossy(&fs::read(&sheets).unwrap()).into_owned();
    let sheets = pdf.lines().filter(|line| line.ends_with("/Type /Page")).count();
    assert!((1..=3).contains(&sheets), "{sheets} sheets");
}

#[test]
fn what_a_browser_refuses_is_noticed() {
    let Some(browser) = browser("what_a_browser_refuses_is_noticed") else { return };
    let page = html(&[example("lavapipe")]);
    let broken = page.replace("</body>", "<script>1</script></body>");
    let (_, console) = load(&browser, &broken);
    assert!(console.iter().any(|line| line.contains("Content Security Policy")), "{console:?}");
}

/// The document as the browser has it, which must have had nothing to complain about.
fn open(browser: &Path, page: &str) -> String {
    let (dom, console) = load(browser, page);
    assert!(console.is_empty(), "{}", console.join("\n"));
    dom
}

/// The document and the lines of the console.
fn load(browser: &Path, page: &str) -> (String, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let (dom, log) = run(browser, folder.path(), page, "--dump-dom");
    assert!(dom.contains("</html>"), "no document: {log}");
    (dom, log.lines().filter(|line| line.contains("CONSOLE")).map(str::to_owned).collect())
}

/// Opens a page, and returns what the browser prints and logs.
fn run(browser: &Path, folder: &Path, page: &str, option: &str) -> (String, String) {
    let file = folder.join("report.html");
    fs::write(&file, page).unwrap();
    let output = Command::new(browser)
        // As root, which CI is, it starts without its sandbox only. The page is ours.
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
        .args(["--enable-logging=stderr", "--v=0", option])
        .arg(format!("--user-data-dir={}", folder.join("profile").display()))
        .arg(format!("file://{}", file.display()))
        .output()
        .unwrap();
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{}: {log}", browser.display());
    (String::from_utf8(output.stdout).unwrap(), log)
}

fn example(name: &str) -> Record {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/report/examples");
    let text = fs::read_to_string(folder.join(name).with_extension("json")).unwrap();
    serde_json::from_str(&text).unwrap()
}
