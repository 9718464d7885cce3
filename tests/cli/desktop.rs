//! What keeps the desktop usable while adit mines.

use crate::{adit, refused, without_a_desktop};

#[cfg(target_os = "linux")]
mod paused {
    use std::fs;
    use std::thread;
    use std::time::Duration;

    use crate::mine::Run;
    use crate::signal::signal;

    /// Time on the processor so far, in hundredths of a second.
    fn ticks(run: &Run) -> u64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", run.child.id())).unwrap();
        // The name before may have spaces; user and system time are the 12th and 13th after it.
        let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
        fields[11..13].iter().map(|field| field.parse::<u64>().unwrap()).sum()
    }

    #[test]
    fn a_signal_pauses_mining_and_another_lets_it_go_on() {
        for source in [&["--source", "replay:"][..], &[]] {
            let mut run = Run::of(&[&["mine", "--device", "cpu", "--json"][..], source].concat());
            run.until(if source.is_empty() { "share" } else { "found" });
            signal(&run.child, "USR1");
            assert_eq!(run.until("governed")["paused"], serde_json::json!(["signal"]));
            // Batches under way end; then there is nothing to do, however long that takes.
            let lasts = (0..50).any(|_| {
                let before = ticks(&run);
                thread::sleep(Duration::from_secs(2));
                ticks(&run) - before <= 2
            });
            assert!(lasts, "a paused miner uses a hundredth of a core");
            signal(&run.child, "USR2");
            let event = run.until("governed");
            assert_eq!(event["paused"], serde_json::json!([]), "{event}");
            assert_eq!(event["devices"][0]["profile"], "dedicated", "{event}");
            run.until(if source.is_empty() { "share" } else { "found" });
            signal(&run.child, "INT");
            run.until("summary");
            assert_eq!(run.child.wait().unwrap().code(), Some(130));
        }
    }
}

/// A day that is neither today nor the one before or after, wherever the clock stands.
pub(crate) fn a_day_far_from_now() -> &'static str {
    let today = jiff::ZonedDateTime::now().date().weekday().to_monday_zero_offset();
    ["thu", "fri", "sat", "sun", "mon", "tue", "wed"][usize::try_from(today).unwrap()]
}

#[test]
fn outside_of_its_schedule_a_run_waits_and_says_until_when() {
    let schedule = format!("{} 10:00-11:00", a_day_far_from_now());
    let mine = ["mine", "--device", "cpu", "--for", "2s", "--plain", "--schedule", &schedule];
    let output = adit(&mine).output().unwrap();
    assert!(output.status.success());
    let [out, errors] = [&output.stdout, &output.stderr].map(|said| String::from_utf8_lossy(said));
    assert!(out.contains("paused: --schedule says so"), "{out}");
    assert!(out.contains("0 shares accepted") && out.contains("scanned 0 of"), "{out}");
    assert!(errors.contains("mining begins") && errors.contains("10:00"), "{errors}");
}

#[test]
fn a_limit_without_its_sensor_is_said_and_does_nothing() {
    let limits = ["--max-temp", "109C", "--max-power", "9999W", "--when", "gpu-free"];
    let mine = ["mine", "--device", "cpu", "--for", "14s", "--plain"];
    let output = adit(&[&mine[..], &limits].concat()).output().unwrap();
    assert!(output.status.success());
    let [out, errors] = [&output.stdout, &output.stderr].map(|said| String::from_utf8_lossy(said));
    // Of a processor's sensors this machine may have some; what is not told is said once.
    assert!(errors.matches("--max-temp does nothing").count() <= 1, "{errors}");
    assert!(errors.matches("--max-power does nothing").count() <= 1, "{errors}");
    // Nobody counts what programs take of a processor for this.
    assert_eq!(errors.matches("--when gpu-free does nothing").count(), 1, "{errors}");
    assert!(!out.contains("scanned 0 of"), "{out}");
}

#[test]
fn a_condition_that_cannot_be_told_is_said_once_and_does_nothing() {
    let mine = ["mine", "--device", "cpu", "--for", "3s", "--plain", "--when", "idle"];
    let mut mine = adit(&mine);
    without_a_desktop(&mut mine);
    let output = mine.output().unwrap();
    assert!(output.status.success());
    let [out, errors] = [&output.stdout, &output.stderr].map(|said| String::from_utf8_lossy(said));
    assert_eq!(errors.matches("--when idle does nothing").count(), 1, "{errors}");
    assert!(!out.contains("scanned 0 of"), "{out}");
}

#[test]
fn limits_schedules_and_prices_that_make_no_sense_are_refused() {
    for (option, value, way_out) in [
        ("--max-temp", "hot", "such as 80C"),
        ("--max-temp", "400C", "such as 80C"),
        ("--max-power", "-3", "such as 200W"),
        ("--schedule", "always", "22:00-07:00"),
        ("--price", "cheap", "0.30 EUR/kWh"),
        ("--when", "never", "idle,plugged-in"),
        ("--idle-after", "0s", "idle after 1s to 1day"),
        ("--when-busy", "stop", "background"),
    ] {
        let said = refused(&["mine", option, value], 2);
        assert!(said.contains(way_out), "{option} {value}: {said}");
    }
    let said = refused(&["mine", "--source", "replay:", "--max-temp", "80C"], 2);
    assert!(said.contains("leave out --max-temp"), "{said}");
    let said = refused(&["mine", "--source", "replay:", "--when", "idle"], 2);
    assert!(said.contains("and --when"), "{said}");
}

#[test]
fn what_is_no_part_of_the_time_is_refused() {
    for share in ["0%", "101%", "half"] {
        assert!(refused(&["mine", "--gpu-share", share], 2).contains("such as 25%"));
    }
}
