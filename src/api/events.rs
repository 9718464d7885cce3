//! `/v1/events`: what changes, as server-sent events.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::Stream;
use futures_util::stream::unfold;
use serde::Serialize;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::sleep;

use super::routes::Status;
use crate::runtime::snapshot::{Line, Shared, Snapshot, Viewer};

/// Least time between two looks: people and charts need no more.
const EVERY: Duration = Duration::from_secs(1);

/// Someone who follows a run.
struct Follower {
    viewer: Viewer,
    controllable: bool,
    queue: VecDeque<Event>,
    /// What it was told of, to tell only what is new.
    shares: VecDeque<Arc<Shared>>,
    lines: u64,
    is_new: bool,
    /// There can be only so many.
    _seat: OwnedSemaphorePermit,
}

/// At once `status`, `devices`, `sources`, and the last `share`s and `line`s; then each second the former and whatever
/// is new of the latter. It ends with the run.
pub(super) fn events(
    viewer: Viewer,
    controllable: bool,
    seat: OwnedSemaphorePermit,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let (queue, shares) = (VecDeque::new(), VecDeque::new());
    let follower =
        Follower { viewer, controllable, queue, shares, lines: 0, is_new: true, _seat: seat };
    let stream = unfold(follower, |mut follower| async {
        let event = follower.next().await?;
        Some((Ok(event), follower))
    });
    Sse::new(stream).keep_alive(KeepAlive::default())
}

impl Follower {
    async fn next(&mut self) -> Option<Event> {
        while self.queue.is_empty() {
            if !std::mem::take(&mut self.is_new) {
                sleep(EVERY).await;
                self.viewer.changed().await.ok()?;
            }
            let snapshot = self.viewer.borrow_and_update().clone();
            self.look(&snapshot);
        }
        self.queue.pop_front()
    }

    fn look(&mut self, snapshot: &Snapshot) {
        self.put("status", &Status::of(snapshot, self.controllable));
        self.put("devices", &snapshot.devices);
        self.put("sources", &snapshot.sources);
        let before = std::mem::replace(&mut self.shares, snapshot.last_shares.clone());
        for share in &snapshot.last_shares {
            // A share that changed, as by its verdict, is another one in memory.
            if !before.iter().any(|known| Arc::ptr_eq(known, share)) {
                self.put("share", share.as_ref());
            }
        }
        let is_new = |line: &&Arc<Line>| line.number >= self.lines;
        let lines: Vec<Arc<Line>> = snapshot.log.iter().filter(is_new).cloned().collect();
        for line in lines {
            self.lines = line.number + 1;
            self.put("line", line.as_ref());
        }
    }

    fn put(&mut self, name: &str, data: &impl Serialize) {
        // Plain data can be written as JSON; if it could not, this event would be missing and no other.
        if let Ok(event) = Event::default().event(name).json_data(data) {
            self.queue.push_back(event);
        }
    }
}
