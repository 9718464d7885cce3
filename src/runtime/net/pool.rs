//! A pool's task: a link that carries the lines of a Stratum client.

use std::io;
use std::time::Instant;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

use super::{Desk, End, Protocol};
use crate::limits::{STABLE_CONNECTION, WRITE_DEADLINE};
use crate::link::{Endpoint, Stream, connect};
use crate::source::stratum_v1::Client;
use crate::source::{Down, Event, Remedy};
use crate::work::{JobId, Share, Ticket};

/// A pool that speaks Stratum V1.
pub struct Pool {
    /// Where it is.
    pub endpoint: Endpoint,
    /// What to say there.
    pub client: Client,
}

impl Pool {
    pub(super) async fn run(mut self: Box<Self>, mut desk: Desk) {
        // The port that the pool sent us to, until it fails.
        let mut moved = None;
        while !desk.is_closing {
            if !desk.is_wanted {
                desk.serve(&mut self.client).await;
                // Without a connection there is none to end.
                let _ = desk.pass_on(&mut self.client);
                continue;
            }
            let mut endpoint = self.endpoint.clone();
            endpoint.port = moved.unwrap_or(endpoint.port);
            let connected = desk.during(&mut self.client, connect(&endpoint)).await;
            let down = match connected {
                None => continue,
                Some(Err(error)) => {
                    moved = None;
                    Down { why: error.to_string(), remedy: Remedy::Retry }
                }
                Some(Ok(stream)) => {
                    let begun = Instant::now();
                    self.client.connected(begun);
                    let end = self.converse(stream, &mut desk).await;
                    let now = Instant::now();
                    let lived = now.saturating_duration_since(begun);
                    self.client.disconnected(now);
                    let _ = desk.pass_on(&mut self.client);
                    desk.backoff.lived(lived);
                    match end {
                        None => continue,
                        Some(End::Down(down)) => {
                            moved = moved.filter(|_| lived >= STABLE_CONNECTION);
                            down
                        }
                        Some(End::Reconnect { port, wait }) => {
                            moved = port.or(moved);
                            desk.during(&mut self.client, tokio::time::sleep(wait)).await;
                            continue;
                        }
                    }
                }
            };
            desk.wait(&mut self.client, down).await;
        }
        let _ = desk.pass_on(&mut self.client);
    }

    /// Carries bytes until something ends the connection; `None` when it is not wanted any more.
    async fn converse(&mut self, mut stream: Stream, desk: &mut Desk) -> Option<End> {
        let mut buffer = vec![0; 64 << 10];
        loop {
            while let Some(bytes) = self.client.transmit() {
                let sent = timeout(WRITE_DEADLINE, async {
                    stream.write_all(&bytes).await?;
                    stream.flush().await
                });
                match sent.await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => return Some(broken(&error)),
                    Err(_) => {
                        return Some(lost("it takes no more of what is sent to it".to_owned()));
                    }
                }
            }
            if let Some(end) = desk.pass_on(&mut self.client) {
                return Some(end);
            }
            if desk.is_over() {
                return None;
            }
            tokio::select! {
                read = stream.read(&mut buffer) => match read {
                    Ok(0) => return Some(lost("it closed the connection".to_owned())),
                    Ok(length) => self.client.receive(&buffer[..length], Instant::now()),
                    Err(error) => return Some(broken(&error)),
                },
                () = desk.serve(&mut self.client) => {}
            }
        }
    }
}

fn broken(error: &io::Error) -> End {
    lost(format!("the connection broke: {error}"))
}

fn lost(why: String) -> End {
    End::Down(Down { why, remedy: Remedy::Retry })
}

impl Protocol for Client {
    fn submit(&mut self, ticket: Ticket, share: &Share, now: Instant) {
        self.submit(ticket, share, now);
    }

    fn exhausted(&mut self, job: JobId, now: Instant) {
        self.exhausted(job, now);
    }

    fn set_rate(&mut self, hashes_per_second: f64, now: Instant) {
        self.set_rate(hashes_per_second, now);
    }

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
