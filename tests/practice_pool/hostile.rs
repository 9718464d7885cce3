//! Whoever reaches the pool may send it anything, or read nothing. The others do not notice.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use adit::limits::{NONSENSE_PER_MINUTE, POOL_CONNECTIONS, POOL_LINE};
use adit::pool::{Event, Options};
use serde_json::json;

use crate::client::{Client, Job, Roll, Wanted};
use crate::{LIMIT, Pool, easy};

/// A miner whose shares are accepted whatever the others do.
fn assert_works(pool: &Pool) {
    let (mut client, session) = Client::log_in(pool.address);
    let job = Job::new(&client.hear("mining.notify"));
    assert_eq!(
        client.submit(&job.mine(&session, Roll::default(), Wanted::AtLeast(1e-8))),
        "accepted"
    );
}

fn closed(pool: &Pool, words: &str) {
    pool.wait_for(
        |event| matches!(event, Event::Closed { why: Some(why), .. } if why.contains(words)),
    );
}

#[test]
fn lines_that_make_no_sense_are_answered_until_there_are_too_many() {
    let pool = Pool::start(easy());
    for garbage in [&b"nonsense\n"[..], b"\xff\xfe\0\n", b"{\"id\":1}\n", b"[[[[\n"] {
        let mut client = Client::connect(pool.address);
        for _ in 0..NONSENSE_PER_MINUTE {
            client.send(garbage);
            assert_eq!(client.next().unwrap()["error"][0], 20);
        }
        assert!(client.ask("mining.subscribe", &json!([]))["result"].is_array(), "it may go on");
        client.send(garbage);
        assert_eq!(client.next().unwrap()["error"][0], 20);
        assert!(client.next().is_none(), "it is one too many");
    }
    closed(&pool, "make no sense");
    assert_works(&pool);
}

#[test]
fn a_line_of_64_mib_ends_its_connection_early() {
    let pool = Pool::start(easy());
    let mut stream = TcpStream::connect(pool.address).unwrap();
    stream.set_write_timeout(Some(LIMIT)).unwrap();
    let piece = vec![b'{'; 1 << 20];
    let sent = (0..64).take_while(|_| stream.write_all(&piece).is_ok()).count();
    assert!(sent < 64, "nobody reads all of it");
    closed(&pool, "too long");
    let mut longest = Client::connect(pool.address);
    longest.send(&[vec![b' '; POOL_LINE - 1], b"\n".to_vec()].concat());
    assert!(longest.ask("mining.subscribe", &json!([]))["result"].is_array());
    assert_works(&pool);
}

#[test]
fn a_thousand_connections_are_as_many_as_there_is_room_for() {
    let pool = Pool::start(easy());
    let connect = || {
        let stream = TcpStream::connect(pool.address).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        stream
    };
    let open: Vec<TcpStream> = (0..POOL_CONNECTIONS).map(|_| connect()).collect();
    for _ in POOL_CONNECTIONS..1000 {
        // Closed at once.
        match connect().read(&mut [0]) {
            Ok(0) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
            other => panic!("{other:?}"),
        }
    }
    let connected = |pool: &Pool| {
        let events = pool.events.lock().unwrap();
        events.iter().filter(|event| matches!(event, Event::Connected { .. })).count()
    };
    assert_eq!(connected(&pool), POOL_CONNECTIONS);
    drop(open);
    let begun = Instant::now();
    let left = |event: &&Event| matches!(event, Event::Closed { .. });
    while pool.events.lock().unwrap().iter().filter(left).count() < POOL_CONNECTIONS {
        assert!(begun.elapsed() < LIMIT);
        thread::sleep(Duration::from_millis(5));
    }
    assert_works(&pool);
}

#[test]
fn a_miner_who_reads_nothing_is_cut_off_and_one_who_reads_is_not() {
    // 20,000 jobs a second, some 10 MB.
    let every = Duration::from_micros(50);
    let pool = Pool::start(Options { job_every: every, jobs_per_block: u32::MAX, ..easy() });
    let mut reader = Client::log_in(pool.address).0.into_stream();
    let (read, done) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let thread = thread::spawn({
        let (read, done) = (read.clone(), done.clone());
        move || {
            let mut bytes = vec![0; 1 << 20];
            while !done.load(Ordering::Relaxed) {
                let length = reader.read(&mut bytes).unwrap();
                assert!(length > 0, "who reads is not cut off");
                read.fetch_add(length as u64, Ordering::Relaxed);
            }
        }
    });
    let _slow = Client::log_in(pool.address);
    closed(&pool, "does not read");
    let before = read.load(Ordering::Relaxed);
    let begun = Instant::now();
    while read.load(Ordering::Relaxed) < before + (1 << 20) {
        assert!(begun.elapsed() < LIMIT);
        thread::sleep(Duration::from_millis(5));
    }
    done.store(true, Ordering::Relaxed);
    thread.join().unwrap();
}
