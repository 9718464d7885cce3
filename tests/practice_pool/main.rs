//! The practice pool as a miner meets it: over TCP, with a client of these tests' own.

#![expect(clippy::unwrap_used, reason = "a test may panic, and so may what it calls")]

mod client;
mod command;
mod dialects;
mod hostile;
mod node;
mod recorded;
mod shares;
mod virtual_time;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use adit::pool::vardiff::Difficulty;
use adit::pool::{Event, Observer, Options, Server};
use adit::runtime::Stop;

/// Far more than anything here takes: what hangs fails its test.
const LIMIT: Duration = Duration::from_secs(60);

/// A pool on a thread of its own, until it is dropped.
struct Pool {
    address: SocketAddr,
    observer: Observer,
    events: Arc<Mutex<Vec<Event>>>,
    stop: Stop,
    thread: Option<JoinHandle<()>>,
}

impl Pool {
    fn start(options: Options) -> Self {
        Self::serve(Server::bind(options, "127.0.0.1:0".parse().unwrap()).unwrap())
    }

    fn serve(server: Server) -> Self {
        let (address, observer) = (server.local_addr(), server.observer());
        let (events, stop) = (Arc::new(Mutex::new(Vec::new())), Stop::default());
        let thread = thread::spawn({
            let (events, stop) = (events.clone(), stop.clone());
            move || server.run(&stop, |event| events.lock().unwrap().push(event.clone())).unwrap()
        });
        Self { address, observer, events, stop, thread: Some(thread) }
    }

    /// Waits until the pool said something that fits.
    fn wait_for(&self, fits: impl Fn(&Event) -> bool) -> Event {
        let begun = Instant::now();
        loop {
            if let Some(event) = self.events.lock().unwrap().iter().find(|event| fits(event)) {
                return event.clone();
            }
            assert!(begun.elapsed() < LIMIT, "{:?}", self.events.lock().unwrap());
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.stop.request();
        let ended = self.thread.take().unwrap().join();
        assert!(ended.is_ok() || thread::panicking(), "the pool panicked");
    }
}

/// Everything at one difficulty at which about one hash in forty is a share.
fn easy() -> Options {
    Options { difficulty: Difficulty::Fixed(1e-8), ..Options::default() }
}
