//! A node's task: requests over HTTP, as many at once as its client asks for, and blocks to disk before they go.

use std::time::{Duration, Instant};

use bitcoin::BlockHash;
use bitcoin::hex::DisplayHex as _;
use tokio::task::JoinSet;

use super::{Desk, End, Protocol, Said, until};
use crate::link::Http;
use crate::runtime::vault::{Kept, Vault};
use crate::source::Event;
use crate::source::gbt::{Answer, Client};
use crate::work::{JobId, Share, Ticket};

/// One's own node.
pub struct Node {
    /// The way to it.
    pub http: Http,
    /// What to say there.
    pub client: Client,
    /// Where solved blocks lie.
    pub vault: Vault,
}

/// The answer to a request, by its number.
type Answered = (u64, Result<Answer, String>);

impl Node {
    pub(super) async fn run(mut self: Box<Self>, mut desk: Desk) {
        let mut under_way: JoinSet<Answered> = JoinSet::new();
        let mut connected: Option<Instant> = None;
        let mut retry = Instant::now();
        while !desk.is_closing {
            match (desk.is_wanted, connected) {
                (true, None) if retry <= Instant::now() => {
                    let now = Instant::now();
                    self.client.connected(now);
                    connected = Some(now);
                }
                (false, Some(_)) => {
                    self.client.disconnected();
                    connected = None;
                }
                _ => {}
            }
            self.store(&desk);
            self.send(&mut under_way);
            if let Some(End::Down(down)) = desk.pass_on(&mut self.client) {
                self.client.disconnected();
                // What was said before it went down comes first.
                let _ = desk.pass_on(&mut self.client);
                let since = connected.take();
                desk.backoff.lived(since.map_or(Duration::ZERO, |since| since.elapsed()));
                let wait = desk.backoff.wait();
                retry = Instant::now() + wait;
                desk.say(Said::Down(down, wait));
                continue;
            }
            let is_waiting = desk.is_wanted && connected.is_none();
            tokio::select! {
                Some(joined) = under_way.join_next() => {
                    // A task that panicked has no answer: its request ends at the client's own deadline.
                    if let Ok((id, answer)) = joined {
                        self.client.respond(id, &answer, Instant::now());
                    }
                }
                () = desk.serve(&mut self.client) => {}
                () = until(Some(retry)), if is_waiting => {}
            }
        }
        let _ = desk.pass_on(&mut self.client);
        self.store(&desk);
    }

    /// Sends what the client asks for. Solved blocks go whether the node counts as connected or not.
    fn send(&mut self, under_way: &mut JoinSet<Answered>) {
        while let Some(request) = self.client.request(Instant::now()) {
            let http = self.http.clone();
            under_way.spawn(async move {
                let answer = http.post(request.body, request.limit).await;
                let answer = answer.map(|(status, body)| Answer { status, body });
                (request.id, answer.map_err(|error| error.to_string()))
            });
        }
    }

    /// Writes solved blocks to disk before they may go, and notes what the node said of them.
    fn store(&mut self, desk: &Desk) {
        while let Some(block) = self.client.to_store() {
            let kept = Kept {
                hash: block.hash.to_string(),
                height: block.height,
                chain: block.chain.to_string(),
                block: block.bytes.to_lower_hex_string(),
                answer: None,
            };
            if let Err(error) = self.vault.keep(&kept) {
                desk.say(Said::Disk(format!("block {} is not on disk: {error}", kept.hash)));
            }
            // Without a disk the block goes all the same: it is worth more than the rule.
            match block.ticket {
                Some(ticket) => desk.say(Said::Kept(ticket, block.hash)),
                None => self.client.stored(block.hash, Instant::now()),
            }
        }
        while let Some((hash, answer)) = self.client.answered() {
            if let Err(error) = self.vault.answered(&hash.to_string(), answer) {
                desk.say(Said::Disk(format!("the answer to block {hash} is not on disk: {error}")));
            }
        }
    }
}

impl Protocol for Client {
    fn send(&mut self, block: BlockHash, now: Instant) {
        self.stored(block, now);
    }

    fn submit(&mut self, ticket: Ticket, share: &Share, now: Instant) {
        self.submit(ticket, share, now);
    }

    fn exhausted(&mut self, job: JobId, now: Instant) {
        self.exhausted(job, now);
    }

    fn set_rate(&mut self, _hashes_per_second: f64, _now: Instant) {}

    fn end(&mut self) {
        self.end();
    }

    fn tick(&mut self, now: Instant) {
        self.tick(now);
    }

    fn deadline(&self) -> Option<Instant> {
        self.deadline()
    }

    fn event(&mut self) -> Option<Event> {
        self.event()
    }
}
