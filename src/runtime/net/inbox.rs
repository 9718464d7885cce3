//! What sources say, on its way to the engine's thread. A flood of jobs is one entry.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bitcoin::BlockHash;

use crate::limits::INBOX;
use crate::runtime::Waker;
use crate::source::{Down, Event};
use crate::work::{SourceId, Ticket};

/// What a source, or the way to it, has to say.
#[derive(Debug, Clone)]
pub enum Said {
    /// The source itself.
    Event(Event),
    /// The connection ended, or there is none. The next try comes after the wait.
    Down(Down, Duration),
    /// A file of solved blocks cannot be used: mining goes on, but a crash may cost a block.
    Disk(String),
    /// The block of a share is on disk, or cannot be put there: it goes when [`Command::Send`](super::Command::Send) says so.
    Kept(Ticket, BlockHash),
}

/// Both ends of the way: sources put in, the engine's thread takes out.
#[derive(Clone)]
pub(super) struct Inbox {
    queue: Arc<Mutex<VecDeque<(SourceId, Said)>>>,
    waker: Waker,
}

impl Inbox {
    pub(super) fn new(waker: Waker) -> Self {
        Self { queue: Arc::default(), waker }
    }

    pub(super) fn put(&self, source: SourceId, said: Said) {
        let mut queue = self.lock();
        match &said {
            // A newer job, or none, takes the place of one that nobody looked at yet.
            Said::Event(Event::Work(_) | Event::NoWork(_)) | Said::Down(..) => {
                queue.retain(|(of, earlier)| {
                    *of != source || !matches!(earlier, Said::Event(Event::Work(_)))
                });
            }
            Said::Event(Event::Verdict(..) | Event::Ready) | Said::Kept(..) => {}
            // Only text: it may be lost when there is too much of it.
            _ if queue.len() >= INBOX => return,
            _ => {}
        }
        queue.push_back((source, said));
        drop(queue);
        self.waker.wake();
    }

    pub(super) fn take(&self) -> VecDeque<(SourceId, Said)> {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<(SourceId, Said)>> {
        // Nothing in here can be left half done.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
