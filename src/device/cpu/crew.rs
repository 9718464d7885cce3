//! The threads of the CPU device, and the queue that they work on.

use std::any::Any;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::search::{Found, Search};
use crate::device::DeviceError;
use crate::limits::{DISPATCHES_IN_FLIGHT, HITS_PER_BATCH};
use crate::work::{Batch, Headers, Hit, Nonces, Region};

/// How a piece is scanned: [`Search::scan`], except in tests.
pub(super) type Scanner = fn(&Search, Nonces) -> Found;

/// Threads that scan the batches of one queue until the crew is dropped.
#[derive(Debug)]
pub(super) struct Crew {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

/// A batch under way, or ended.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) region: Region,
    /// The first hits, [`HITS_PER_BATCH`] at most.
    pub(super) hits: Vec<Hit>,
    /// All hits, kept or not.
    pub(super) found: u64,
    pub(super) begun: Instant,
    /// When its last piece was tested.
    pub(super) ended: Option<Instant>,
    number: u64,
    batch: Batch,
    /// The header at work.
    header: u32,
    search: Search,
    /// Of its nonces, what no thread has taken yet.
    left: Nonces,
    /// The headers after it.
    next: Headers,
    /// Hashes whose result is still out, taken or not.
    untested: u64,
}

/// What a thread takes at a time.
struct Piece {
    /// The number of its batch.
    batch: u64,
    header: u32,
    search: Search,
    nonces: Nonces,
}

impl Crew {
    /// Starts `threads` threads.
    pub(super) fn start(threads: usize, scanner: Scanner) -> Result<Self, DeviceError> {
        let mut crew = Self { shared: Arc::default(), threads: Vec::new() };
        for index in 0..threads {
            let shared = Arc::clone(&crew.shared);
            let thread = thread::Builder::new()
                .name(format!("cpu {index}"))
                .spawn(move || shared.work(scanner))
                .map_err(|error| {
                    DeviceError::Driver(format!("thread {index} did not start: {error}"))
                })?;
            crew.threads.push(thread);
        }
        Ok(crew)
    }

    /// Queues `batch`.
    pub(super) fn begin(&self, batch: &Batch) -> Result<(), DeviceError> {
        let mut queue = self.shared.lock();
        if let Some(why) = &queue.broken {
            return Err(DeviceError::Driver(why.clone()));
        }
        if queue.runs.len() >= DISPATCHES_IN_FLIGHT {
            return Err(DeviceError::Full(queue.runs.len()));
        }
        queue.push(batch.clone());
        drop(queue);
        self.shared.work.notify_all();
        Ok(())
    }

    /// Waits `limit` for the oldest batch to end and takes it off the queue.
    pub(super) fn finish(&self, limit: Duration) -> Result<Run, DeviceError> {
        let queue = self.shared.lock();
        if queue.runs.is_empty() && queue.broken.is_none() {
            return Err(DeviceError::Idle);
        }
        let waiting = |queue: &mut Queue| !queue.has_ended() && queue.broken.is_none();
        let waited = self.shared.ended.wait_timeout_while(queue, limit, waiting);
        let (mut queue, _) = waited.unwrap_or_else(PoisonError::into_inner);
        queue.pop().ok_or_else(|| match &queue.broken {
            Some(why) => DeviceError::Driver(why.clone()),
            None => DeviceError::Hung(limit),
        })
    }
}

impl Drop for Crew {
    /// Stops within one piece, whatever is queued.
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.work.notify_all();
        for thread in self.threads.drain(..) {
            // A panic outside a scan would be a bug of this file; there is nobody left to tell.
            let _ = thread.join();
        }
    }
}

/// Nonces that a thread takes at a time: 0.3 ms with SHA instructions, 2 ms without. Short, so that
/// all threads end together and a dropped device stops at once; long beside the lock taken for it.
const PIECE: u64 = 1 << 12;

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    /// There is something to take, or the threads shall end.
    work: Condvar,
    /// A batch ended, or a thread panicked.
    ended: Condvar,
}

impl Shared {
    /// The life of a thread.
    fn work(&self, scanner: Scanner) {
        let mut queue = self.lock();
        while !queue.closed {
            let Some(piece) = queue.take() else {
                queue = self.work.wait(queue).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            drop(queue);
            // Unwind safe: a scan changes nothing but its own result.
            let result = catch_unwind(AssertUnwindSafe(|| scanner(&piece.search, piece.nonces)));
            queue = self.lock();
            match result {
                Ok(found) => {
                    if queue.report(&piece, &found) {
                        self.ended.notify_all();
                    }
                }
                Err(panic) => {
                    queue.closed = true;
                    queue.broken = Some(format!("a thread panicked: {}", message(&*panic)));
                    self.ended.notify_all();
                    self.work.notify_all();
                }
            }
        }
    }

    /// No thread panics with the lock held, so a poisoned queue is whole.
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug, Default)]
struct Queue {
    /// Oldest first, [`DISPATCHES_IN_FLIGHT`] at most.
    runs: VecDeque<Run>,
    /// Batches begun so far.
    begun: u64,
    /// The threads shall end.
    closed: bool,
    /// Why no batch can end any more.
    broken: Option<String>,
}

impl Queue {
    fn push(&mut self, batch: Batch) {
        let (begun, region) = (Instant::now(), batch.region);
        let (first, next) = region.headers.split_at(1);
        let header = first.first();
        self.runs.push_back(Run {
            region,
            hits: Vec::new(),
            found: 0,
            begun,
            ended: region.is_empty().then_some(begun),
            number: self.begun,
            header,
            search: Search::new(&batch, header),
            left: if first.is_empty() { Nonces::one(0).split_at(0).0 } else { region.nonces },
            next,
            untested: region.len(),
            batch,
        });
        self.begun += 1;
    }

    /// A piece of the oldest batch that has one left.
    fn take(&mut self) -> Option<Piece> {
        let run = self.runs.iter_mut().find(|run| !run.left.is_empty())?;
        let (nonces, left) = run.left.split_at(PIECE);
        let piece = Piece { batch: run.number, header: run.header, search: run.search, nonces };
        run.left = left;
        if left.is_empty() && !run.next.is_empty() {
            let (header, next) = run.next.split_at(1);
            run.header = header.first();
            run.search = Search::new(&run.batch, run.header);
            (run.left, run.next) = (run.region.nonces, next);
        }
        Some(piece)
    }

    /// Adds what a piece held; true when its batch has ended.
    fn report(&mut self, piece: &Piece, found: &Found) -> bool {
        // A batch leaves the queue only when nothing of it is out, so it is there.
        let Some(run) = self.runs.iter_mut().find(|run| run.number == piece.batch) else {
            return false;
        };
        let room = HITS_PER_BATCH - run.hits.len();
        let hits = found.hits.iter().map(|&nonce| Hit { header: piece.header, nonce });
        run.hits.extend(hits.take(room));
        run.found += found.count;
        run.untested -= piece.nonces.len();
        if run.untested == 0 {
            run.ended = Some(Instant::now());
        }
        run.ended.is_some()
    }

    /// Whether the oldest batch has ended.
    fn has_ended(&self) -> bool {
        self.runs.front().is_some_and(|run| run.ended.is_some())
    }

    /// Takes the oldest batch off the queue, if it has ended.
    fn pop(&mut self) -> Option<Run> {
        if self.has_ended() { self.runs.pop_front() } else { None }
    }
}

/// What a panic said.
fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a message")
}
