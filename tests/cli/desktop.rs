//! What keeps the desktop usable while adit mines.

use crate::refused;

#[cfg(target_os = "linux")]
mod paused {
    use std::fs;
    use std::thread;
    use std::time::Duration;

    use crate::mine::{Run, signal};

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

#[test]
fn what_is_no_part_of_the_time_is_refused() {
    for share in ["0%", "101%", "half"] {
        assert!(refused(&["mine", "--gpu-share", share], 2).contains("such as 25%"));
    }
}
