use std::fs;

use serde_json::Value;

use super::*;
use crate::chain::{self, KNOWN_BLOCKS, decode_bits, parse_header};
use crate::limits::SHARE_LOG_LINE;
use crate::work::JobId;

const POOL: &str = "stratum+tcp://pool:3333";

fn share(block: usize) -> (Share, Target) {
    let header = KNOWN_BLOCKS[block].header().unwrap();
    let share = Share { job: JobId::only(4), number: 0, header, hash: chain::block_hash(&header) };
    (share, decode_bits(header.bits).unwrap())
}

/// A log of one run with these blocks as shares, all of them accepted but the last.
fn log_of(blocks: &[usize]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deep/shares.jsonl");
    let mut log = ShareLog::open(&path).unwrap();
    log.begin().unwrap();
    for (ticket, block) in (0..).map(Ticket).zip(blocks) {
        let (share, target) = share(*block);
        log.found(&share, ticket, POOL, "4f", Some(&target), chain::difficulty(&target)).unwrap();
    }
    for ticket in (1..).map(Ticket).take(blocks.len() - 1) {
        log.closed(Ticket(ticket.0 - 1), POOL, Verdict::Accepted, None).unwrap();
    }
    (folder, path)
}

fn checked(text: &[u8]) -> (Checked, Vec<(u64, String)>) {
    let mut troubles = Vec::new();
    let checked = check(&mut &text[..], |line, trouble| troubles.push((line, trouble.to_string())));
    (checked.unwrap(), troubles)
}

#[test]
fn every_share_is_hashed_again() {
    let all: Vec<usize> = (0..KNOWN_BLOCKS.len()).collect();
    let (_folder, path) = log_of(&all);
    let (found, troubles) = checked(&fs::read(&path).unwrap());
    assert_eq!(troubles, []);
    let shares = all.len() as u64;
    assert_eq!((found.right, found.wrong, found.open, found.runs), (shares, 0, 1, 1));
    assert_eq!(found.verdicts, [(Verdict::Accepted, shares - 1)].into());
    assert_eq!(found.lines, 2 * shares);
}

#[test]
fn a_second_run_adds_to_the_first_and_its_numbers_are_its_own() {
    let (_folder, path) = log_of(&[3, 4]);
    let (share, target) = share(5);
    let mut log = ShareLog::open(&path).unwrap();
    log.found(&share, Ticket(0), POOL, "50", Some(&target), chain::difficulty(&target)).unwrap();
    log.closed(Ticket(0), POOL, Verdict::Stale, Some("job not found")).unwrap();
    log.closed(Ticket(7), POOL, Verdict::Accepted, None).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    let (found, troubles) = checked(text.as_bytes());
    assert_eq!((found.runs, found.right, found.of_earlier, troubles), (2, 3, 1, Vec::new()));
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let header = parse_header(lines[1]["header"].as_str().unwrap()).unwrap();
    assert_eq!(chain::block_hash(&header).to_string(), KNOWN_BLOCKS[3].hash);
    assert_eq!((&lines[1]["event"], &lines[1]["job"]), (&"found".into(), &"4f".into()));
    assert_eq!((&lines[6]["share"], &lines[6]["verdict"]), (&0.into(), &"stale".into()));
}

/// Whatever single bit flips, the line with it is told, and no other.
#[test]
fn every_flipped_bit_is_told_with_its_line() {
    let (_folder, path) = log_of(&[3, 4]);
    let text = fs::read(&path).unwrap();
    for byte in 0..text.len() {
        for bit in [0, 3, 7] {
            let mut flipped = text.clone();
            flipped[byte] ^= 1 << bit;
            if flipped[byte] == b'\n' || text[byte] == b'\n' {
                continue; // which makes one line two, or two one
            }
            let line = text[..byte].split(|byte| *byte == b'\n').count() as u64;
            let (found, troubles) = checked(&flipped);
            assert_eq!(troubles.len(), 1, "bit {bit} of byte {byte}: {troubles:?}");
            assert_eq!(troubles[0].0, line);
            assert_eq!(found.corrupt + found.torn, 1);
        }
    }
}

#[test]
fn a_line_that_was_cut_off_is_told_and_spoils_no_other() {
    let (_folder, path) = log_of(&[3, 4]);
    let text = fs::read(&path).unwrap();
    let whole = text.split_inclusive(|byte| *byte == b'\n').next_back().unwrap().len();
    for cut in 2..whole {
        fs::write(&path, &text[..text.len() - cut]).unwrap();
        ShareLog::open(&path).unwrap().begin().unwrap();
        let (found, troubles) = checked(&fs::read(&path).unwrap());
        assert_eq!(troubles, [(4, "torn: its end is missing".to_owned())], "{cut}");
        assert_eq!((found.runs, found.right, found.torn), (2, 2, 1));
    }
}

#[test]
fn shares_that_are_not_what_they_say_are_wrong() {
    let (share, target) = share(3);
    let header = header_bytes(&share.header).to_lower_hex_string();
    let line = |header: &str, hash: &str, target: Option<String>, difficulty| Line::Found {
        time: 0.0,
        share: Ticket(1),
        source: POOL.to_owned(),
        job: String::new(),
        header: header.to_owned(),
        hash: hash.to_owned(),
        target,
        difficulty,
    };
    let hash = share.hash.to_string();
    let told = Some(format!("{target:064x}"));
    let real = chain::difficulty(&target);
    let other = header.replace(&header[..8], "02000000");
    for (line, why) in [
        (line(&other, &hash, told.clone(), real), "its header hashes to"),
        (line(&header[2..], &hash, told.clone(), real), "158 hex digits were given"),
        (line(&header, &hash, Some("1".repeat(63)), real), "its target: "),
        (line(&header, &hash, Some(format!("{:064x}", 1)), real), "is above its target"),
        (line(&header, &hash, told.clone(), real * 2.0), "its target has difficulty 7.8"),
        (line(&header, &hash, told.clone(), f64::NAN), "corrupt"),
    ] {
        let (found, troubles) = checked(sealed(&line).unwrap().as_bytes());
        assert!(troubles[0].1.contains(why), "{troubles:?}");
        assert_eq!((found.right, troubles.len()), (0, 1));
    }
    let good = sealed(&line(&header, &hash, told, real)).unwrap();
    assert_eq!(checked(good.as_bytes()).0.right, 1);
    assert_eq!(checked(sealed(&line(&header, &hash, None, 0.0)).unwrap().as_bytes()).0.right, 1);
    let (found, troubles) = checked(good.repeat(2).as_bytes());
    assert_eq!((found.right, found.wrong), (1, 1));
    assert_eq!(troubles, [(2, "wrong: share 1 was found before in this run".to_owned())]);
}

#[test]
fn anything_else_is_told_and_not_kept_in_memory() {
    let long = "x".repeat(usize::try_from(SHARE_LOG_LINE).unwrap() + 1);
    let text = format!("hello\n\n{long}\n{{\"event\":\"run\"}}\n{{\"event\":\"ru");
    let (found, troubles) = checked(text.as_bytes());
    let lines: Vec<u64> = troubles.iter().map(|(line, _)| *line).collect();
    assert_eq!(lines, [1, 2, 3, 4, 5]);
    assert_eq!((found.corrupt, found.torn), (4, 1));
    assert_eq!(checked(b""), (Checked::default(), Vec::new()));
}

#[test]
fn a_full_log_is_put_aside() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shares.jsonl");
    let mut log = ShareLog::open(&path).unwrap();
    log.begin().unwrap();
    log.length = SHARE_LOG_FILE;
    log.closed(Ticket(2), "a", Verdict::Accepted, None).unwrap();
    log.closed(Ticket(3), "a", Verdict::Accepted, None).unwrap();
    let lines = |path: &Path| fs::read_to_string(path).unwrap().lines().count();
    assert_eq!((lines(&folder.path().join("shares.jsonl.1")), lines(&path)), (1, 2));
}

/// Ten thousand bits flip, one at a time, anywhere, also in what ends lines: whoever reads finds trouble in the lines that
/// they are in, and everything in all others.
#[test]
fn ten_thousand_flipped_bits_cost_the_records_they_are_in_and_no_other() {
    let all: Vec<usize> = (0..KNOWN_BLOCKS.len()).collect();
    let (_folder, path) = log_of(&all);
    let text = fs::read(&path).unwrap();
    let whole: Vec<&[u8]> = text.split_inclusive(|byte| *byte == b'\n').collect();
    let mut random = fastrand::Rng::with_seed(7);
    let (mut ends, mut splits) = (0, 0);
    for round in 0..10_000 {
        let mut flipped = text.clone();
        let (byte, bit) = (random.usize(..text.len()), random.u32(..8));
        // No character of this log is a bit away from the end of a line, so that is tried by itself.
        if round % 50 == 0 && text[byte] != b'\n' {
            flipped[byte] = b'\n';
        } else {
            flipped[byte] ^= 1 << bit;
        }
        let lines: Vec<&[u8]> = flipped.split_inclusive(|byte| *byte == b'\n').collect();
        let lost = whole.iter().filter(|line| !lines.contains(line)).count() as u64;
        ends += u64::from(text[byte] == b'\n');
        splits += u64::from(flipped[byte] == b'\n');
        let (found, troubles) = checked(&flipped);
        let bad = lines.iter().filter(|line| !whole.contains(line)).count();
        assert_eq!(troubles.len(), bad, "bit {bit} of byte {byte}: {troubles:?}");
        assert_eq!((found.corrupt + found.torn, found.wrong), (bad as u64, 0));
        assert_eq!(found.lines - bad as u64, whole.len() as u64 - lost);
        assert!(lost == 1 || text[byte] == b'\n' && lost == 2, "{lost} lines lost");
        let is_share = |line: &&&[u8]| line.starts_with(b"{\"event\":\"found");
        let left = whole.iter().filter(is_share).filter(|line| lines.contains(line)).count();
        assert_eq!(found.right, left as u64);
    }
    assert!(ends > 0 && splits > 0, "{ends} line ends, {splits} new ones");
}

#[test]
fn a_line_that_was_written_in_part_is_one_torn_line_and_the_rest_goes_on() {
    let (_folder, path) = log_of(&[3]);
    let mut log = ShareLog::open(&path).unwrap();
    log.begin().unwrap();
    // As a disk does that was full in the middle.
    log.file.write_all(b"{\"event\":\"verdict\",\"ti").unwrap();
    log.is_torn = true;
    for ticket in 0..3 {
        log.closed(Ticket(ticket), POOL, Verdict::Accepted, None).unwrap();
    }
    let (found, troubles) = checked(&fs::read(&path).unwrap());
    assert_eq!(troubles, [(4, "torn: its end is missing".to_owned())]);
    assert_eq!((found.runs, found.right, found.of_earlier), (2, 1, 3));
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_tried_again_and_what_is_no_file_has_no_lock() {
    let mut log = ShareLog::open(Path::new("/dev/full")).unwrap();
    let mut other = ShareLog::open(Path::new("/dev/full")).unwrap();
    for log in [&mut log, &mut other] {
        assert_eq!(log.begin().unwrap_err().kind(), io::ErrorKind::StorageFull);
    }
    // Room again.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shares.jsonl");
    (log.file, log.length) = append(&path).unwrap();
    log.path.clone_from(&path);
    log.closed(Ticket(1), POOL, Verdict::Accepted, None).unwrap();
    let (found, troubles) = checked(&fs::read(&path).unwrap());
    assert_eq!((found.runs, found.of_earlier, troubles), (1, 1, Vec::new()));
}

#[test]
fn a_log_is_of_one_writer() {
    let (_folder, path) = log_of(&[3]);
    let log = ShareLog::open(&path).unwrap();
    let error = ShareLog::open(&path).unwrap_err();
    assert_eq!(error.to_string(), "another adit that is running writes to it");
    drop(log);
    ShareLog::open(&path).unwrap();
}
