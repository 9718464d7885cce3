//! Practice pools that tests look into.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::thread;

use adit::pool::vardiff::Difficulty;
use adit::pool::{Event, Options, Server, Share};
use adit::runtime::Stop;

/// A practice pool, which judges on its own, and all that it judged.
pub(crate) struct Pool {
    pub(crate) address: SocketAddr,
    pub(crate) shares: Arc<Mutex<Vec<Share>>>,
    stop: Stop,
}

impl Pool {
    pub(crate) fn with_difficulty(difficulty: f64) -> Self {
        let options = Options { difficulty: Difficulty::Fixed(difficulty), ..Options::default() };
        let server = Server::bind(options, SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let (address, stop) = (server.local_addr(), Stop::default());
        let shares = Arc::<Mutex<Vec<Share>>>::default();
        let (judged, ending) = (Arc::clone(&shares), stop.clone());
        thread::spawn(move || {
            let note = |event: &Event| {
                if let Event::Share(share) = event {
                    judged.lock().unwrap().push(share.clone());
                }
            };
            server.run(&ending, note).unwrap();
        });
        Self { address, shares, stop }
    }

    pub(crate) fn url(&self) -> String {
        format!("stratum+tcp://w@{}", self.address)
    }

    pub(crate) fn judged(&self) -> usize {
        self.shares.lock().unwrap().len()
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.stop.request();
    }
}
