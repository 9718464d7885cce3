//! A node's task: requests over HTTP, as many at once as its client asks for, and blocks to disk before they go.

use std::time::Instant;

use tokio::task::JoinSet;

use super::{Desk, End, Protocol, Said};
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
        while !desk.is_closing {
            if !desk.is_wanted {
                desk.serve(&mut self.client).await;
                // Without a connection there is none to end.
                let _ = desk.pass_on(&mut self.client);
                continue;
            }
            let begun = Instant::now();
            self.client.connected(begun);
            let end = self.converse(&mut desk).await;
            self.client.disconnected();
            let _ = desk.pass_on(&mut self.client);
            desk.backoff.lived(begun.elapsed());
            match end {
                Some(End::Down(down)) => desk.wait(&mut self.client, down).await,
                Some(End::Reconnect { .. }) | None => {}
            }
        }
        let _ = desk.pass_on(&mut self.client);
    }

    /// Sends requests and gives the client their answers until it is of no use any more; `None` when it is not
    /// wanted any more.
    async fn converse(&mut self, desk: &mut Desk) -> Option<End> {
        let mut under_way: JoinSet<Answered> = JoinSet::new();
        loop {
            self.store(desk);
            while let Some(request) = self.client.request(Instant::now()) {
                let http = self.http.clone();
                under_way.spawn(async move {
                    let answer = http.post(request.body, request.limit).await;
                    let answer = answer.map(|(status, body)| Answer { status, body });
                    (request.id, answer.map_err(|error| error.to_string()))
                });
            }
            if let Some(end) = desk.pass_on(&mut self.client) {
                return Some(end);
            }
            if desk.is_over() {
                return None;
            }
            tokio::select! {
                Some(joined) = under_way.join_next() => {
                    // A task that panicked has no answer: its request ends at the client's own deadline.
                    if let Ok((id, answer)) = joined {
                        self.client.respond(id, &answer, Instant::now());
                    }
                }
                () = desk.serve(&mut self.client) => {}
            }
        }
    }

    /// Writes solved blocks to disk before they may go, and notes what the node said of them.
    fn store(&mut self, desk: &Desk) {
        while let Some(block) = self.client.to_store() {
            let kept = Kept {
                hash: block.hash.to_string(),
                height: block.height,
                chain: block.chain.to_string(),
                block: block.bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
                answer: None,
            };
            if let Err(error) = self.vault.keep(&kept) {
                desk.say(Said::Disk(format!("block {} is not on disk: {error}", kept.hash)));
            }
            // Without a disk the block goes all the same: it is worth more than the rule.
            self.client.stored(block.hash, Instant::now());
        }
        while let Some((hash, answer)) = self.client.answered() {
            if let Err(error) = self.vault.answered(&hash.to_string(), answer) {
                desk.say(Said::Disk(format!("the answer to block {hash} is not on disk: {error}")));
            }
        }
    }
}

impl Protocol for Client {
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
