//! Somebody between two ends of TCP connections, who sees each line and does with it what a test says: what proxies,
//! bad networks and attackers do.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// Which way a line goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Way {
    /// From who connected to who was connected to.
    There,
    Back,
}

/// What happens to a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Act {
    Pass,
    /// It and all after it come so much later.
    Delay(Duration),
    Drop,
    Repeat,
    /// It comes after the one that follows it.
    Swap,
    /// Another one comes instead.
    Rewrite(String),
    /// Both ends hear that the connection is gone; the line is lost.
    Cut,
    /// The line is lost like all that come after it, both ways, and neither end hears of it.
    Freeze,
}

/// What the test says to a line. It is asked of one line at a time.
type Rule = dyn FnMut(Way, &str) -> Act + Send;

/// For each connection all lines that came to the proxy.
type Record = Arc<Mutex<Vec<Vec<(Way, String)>>>>;

/// The proxy. It lives as long as the test's process.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    /// For each connection all lines that came to the proxy, whatever it did with them.
    record: Record,
}

impl Proxy {
    /// Passes lines on to `to`, by a rule.
    pub(crate) fn start(
        to: SocketAddr,
        rule: impl FnMut(Way, &str) -> Act + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let record = Record::default();
        let rule: Arc<Mutex<Box<Rule>>> = Arc::new(Mutex::new(Box::new(rule)));
        let seen = Arc::clone(&record);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { continue };
                let Ok(other) = TcpStream::connect(to) else { continue };
                let number = {
                    let mut seen = seen.lock().unwrap();
                    seen.push(Vec::new());
                    seen.len() - 1
                };
                let is_frozen = Arc::<Mutex<bool>>::default();
                for way in [Way::There, Way::Back] {
                    let (from, to) = match way {
                        Way::There => (&stream, &other),
                        Way::Back => (&other, &stream),
                    };
                    let mut lane = Lane {
                        way,
                        number,
                        from: from.try_clone().unwrap(),
                        to: to.try_clone().unwrap(),
                        is_frozen: Arc::clone(&is_frozen),
                        rule: Arc::clone(&rule),
                        record: Arc::clone(&seen),
                        held: VecDeque::new(),
                    };
                    thread::spawn(move || lane.run());
                }
            }
        });
        Self { address, record }
    }

    /// What came in each connection so far.
    pub(crate) fn record(&self) -> Vec<Vec<(Way, String)>> {
        self.record.lock().unwrap().clone()
    }
}

/// One way of a connection.
struct Lane {
    way: Way,
    number: usize,
    from: TcpStream,
    to: TcpStream,
    is_frozen: Arc<Mutex<bool>>,
    rule: Arc<Mutex<Box<Rule>>>,
    record: Record,
    /// Lines that wait to be overtaken.
    held: VecDeque<String>,
}

impl Lane {
    fn run(&mut self) {
        let mut lines = BufReader::new(self.from.try_clone().unwrap());
        let mut line = String::new();
        while lines.read_line(&mut line).is_ok_and(|length| length > 0) {
            self.record.lock().unwrap()[self.number].push((self.way, line.clone()));
            let act = (self.rule.lock().unwrap())(self.way, &line);
            if !self.act(&act, &line) {
                break;
            }
            line.clear();
        }
        // Whoever waits at a frozen connection hears nothing of its end either.
        if !*self.is_frozen.lock().unwrap() {
            let _ = self.to.shutdown(Shutdown::Both);
            let _ = self.from.shutdown(Shutdown::Both);
        }
    }

    /// Whether the connection goes on.
    fn act(&mut self, act: &Act, line: &str) -> bool {
        match act {
            Act::Drop => return true,
            Act::Swap => {
                self.held.push_back(line.to_owned());
                return true;
            }
            Act::Cut => return false,
            Act::Freeze => *self.is_frozen.lock().unwrap() = true,
            Act::Delay(time) => thread::sleep(*time),
            Act::Pass | Act::Repeat | Act::Rewrite(_) => {}
        }
        if *self.is_frozen.lock().unwrap() {
            return true;
        }
        let mut text = match act {
            Act::Rewrite(text) => text.clone(),
            Act::Repeat => line.repeat(2),
            _ => line.to_owned(),
        };
        text.extend(self.held.drain(..));
        self.to.write_all(text.as_bytes()).is_ok()
    }
}
