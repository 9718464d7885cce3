//! The network's thread: a task for each source, which carries bytes between its link and its protocol.

mod inbox;
mod node;
mod pool;

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use bitcoin::BlockHash;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;

use self::inbox::Inbox;
use super::Waker;
use crate::limits::STOP_DEADLINE;
use crate::source::backoff::Backoff;
use crate::source::{Down, Event};
use crate::work::{JobId, Share, SourceId, Ticket};

pub use inbox::Said;
pub use node::Node;
pub use pool::Pool;

/// How to reach a source, and what to say there.
pub enum Line {
    /// A pool that speaks Stratum V1.
    Pool(Box<Pool>),
    /// One's own node.
    Node(Box<Node>),
}

/// The sources' connections. Sources are numbered as they come.
pub struct Net {
    inbox: Inbox,
    /// Not bounded by themselves: shares are by the outbox, the rest by time.
    commands: Vec<UnboundedSender<Command>>,
    /// The way of new sources to the thread; none when it ends.
    newcomers: Option<UnboundedSender<(Line, Desk)>>,
    /// Whether each keeps its shares on disk.
    keeping: Vec<bool>,
    thread: JoinHandle<()>,
}

/// What the engine's thread wants of a source.
#[derive(Debug)]
pub enum Command {
    /// Whether it shall be connected. It is not at the start.
    Want(bool),
    /// Submit a share.
    Submit(Ticket, Box<Share>),
    /// Give the node a block, which is on disk.
    Send(BlockHash),
    /// All hashes of a job were tested.
    Exhausted(JobId),
    /// Hashes per second that are tested for it.
    Rate(f64),
    /// The run ends: what has no verdict yet expires.
    Close,
}

impl Net {
    /// Starts the thread. Whatever a source says wakes the waker up.
    ///
    /// # Errors
    ///
    /// When the system has no thread or no event queue left.
    pub fn start(lines: Vec<Line>, waker: Waker) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (newcomers, receiver) = unbounded_channel();
        let serve = move || runtime.block_on(serve(receiver));
        let thread = thread::Builder::new().name("network".to_owned()).spawn(serve)?;
        let inbox = Inbox::new(waker);
        let (commands, keeping, newcomers) = (Vec::new(), Vec::new(), Some(newcomers));
        let mut net = Self { inbox, commands, newcomers, keeping, thread };
        for line in lines {
            net.add(line);
        }
        Ok(net)
    }

    /// One more source. It is connected when it is wanted.
    pub fn add(&mut self, line: Line) -> SourceId {
        let source = SourceId(u16::try_from(self.commands.len()).unwrap_or(u16::MAX));
        let (sender, receiver) = unbounded_channel();
        self.commands.push(sender);
        self.keeping.push(matches!(line, Line::Node(_)));
        if let Some(newcomers) = &self.newcomers {
            // The thread ends only after it was told to close.
            let _ = newcomers.send((line, Desk::new(source, self.inbox.clone(), receiver)));
        }
        source
    }

    /// Whether a source says [`Said::Kept`] of each share that it takes, before it is sent.
    #[must_use]
    pub fn keeps(&self, source: SourceId) -> bool {
        self.keeping.get(usize::from(source.0)).copied().unwrap_or(false)
    }

    /// Tells a source something.
    pub fn tell(&self, source: SourceId, command: Command) {
        if let Some(commands) = self.commands.get(usize::from(source.0)) {
            // Its task ends only after it was told to close.
            let _ = commands.send(command);
        }
    }

    /// All that sources said since the last call.
    #[must_use]
    pub fn heard(&self) -> VecDeque<(SourceId, Said)> {
        self.inbox.take()
    }

    /// Ends all connections, and returns what sources said last: verdicts of what had none.
    #[must_use]
    pub fn close(&mut self) -> VecDeque<(SourceId, Said)> {
        self.newcomers = None;
        for commands in &self.commands {
            let _ = commands.send(Command::Close);
        }
        let deadline = Instant::now() + STOP_DEADLINE;
        while !self.thread.is_finished() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(5));
        }
        self.inbox.take()
    }
}

/// Runs a task for each source, until all are closed and none can come any more.
async fn serve(mut newcomers: UnboundedReceiver<(Line, Desk)>) {
    let (mut running, mut is_open) = (JoinSet::new(), true);
    while is_open || !running.is_empty() {
        tokio::select! {
            newcomer = newcomers.recv(), if is_open => match newcomer {
                Some((Line::Pool(pool), desk)) => drop(running.spawn(pool.run(desk))),
                Some((Line::Node(node), desk)) => drop(running.spawn(node.run(desk))),
                None => is_open = false,
            },
            Some(_) = running.join_next() => {}
        }
    }
}

/// A task's end of the way to the engine's thread.
struct Desk {
    source: SourceId,
    inbox: Inbox,
    commands: UnboundedReceiver<Command>,
    backoff: Backoff,
    is_wanted: bool,
    is_closing: bool,
}

/// What a protocol does with commands and time.
trait Protocol {
    fn submit(&mut self, ticket: Ticket, share: &Share, now: Instant);
    fn send(&mut self, _block: BlockHash, _now: Instant) {}
    fn exhausted(&mut self, job: JobId, now: Instant);
    fn set_rate(&mut self, hashes_per_second: f64, now: Instant);
    fn end(&mut self);
    fn tick(&mut self, now: Instant);
    fn deadline(&self) -> Option<Instant>;
    fn event(&mut self) -> Option<Event>;
}

/// Why a connection ends.
enum End {
    Down(Down),
    Reconnect { port: Option<u16>, wait: Duration },
}

impl Desk {
    fn new(source: SourceId, inbox: Inbox, commands: UnboundedReceiver<Command>) -> Self {
        let backoff = Backoff::new(fastrand::Rng::new());
        Self { source, inbox, commands, backoff, is_wanted: false, is_closing: false }
    }

    fn is_over(&self) -> bool {
        self.is_closing || !self.is_wanted
    }

    fn say(&self, said: Said) {
        self.inbox.put(self.source, said);
    }

    /// Passes on what the protocol says. Returns what ends the connection.
    fn pass_on(&self, protocol: &mut impl Protocol) -> Option<End> {
        while let Some(event) = protocol.event() {
            match event {
                Event::Down(down) => return Some(End::Down(down)),
                Event::Reconnect { port, wait } => return Some(End::Reconnect { port, wait }),
                event => self.say(Said::Event(event)),
            }
        }
        None
    }

    fn obey(&mut self, command: Option<Command>, protocol: &mut impl Protocol) {
        let now = Instant::now();
        match command {
            Some(Command::Want(wanted)) => self.is_wanted = wanted,
            Some(Command::Submit(ticket, share)) => protocol.submit(ticket, &share, now),
            Some(Command::Send(block)) => protocol.send(block, now),
            Some(Command::Exhausted(job)) => protocol.exhausted(job, now),
            Some(Command::Rate(rate)) => protocol.set_rate(rate, now),
            Some(Command::Close) | None => {
                self.is_closing = true;
                protocol.end();
            }
        }
    }

    /// Obeys one command or one deadline of the protocol, whichever comes first.
    async fn serve(&mut self, protocol: &mut impl Protocol) {
        tokio::select! {
            command = self.commands.recv() => self.obey(command, protocol),
            () = until(protocol.deadline()) => protocol.tick(Instant::now()),
        }
    }

    /// Obeys until `future` is done; `None` when the source is not wanted any more before that.
    async fn during<T>(
        &mut self,
        protocol: &mut impl Protocol,
        future: impl Future<Output = T>,
    ) -> Option<T> {
        let mut future = pin!(future);
        while !self.is_over() {
            tokio::select! {
                done = &mut future => return Some(done),
                () = self.serve(protocol) => {
                    // Without a connection there is none to end.
                    let _ = self.pass_on(protocol);
                }
            }
        }
        None
    }

    /// Says that the source is down, and waits until it may be tried again.
    async fn wait(&mut self, protocol: &mut impl Protocol, down: Down) {
        let wait = self.backoff.wait();
        self.say(Said::Down(down, wait));
        self.during(protocol, tokio::time::sleep(wait)).await;
    }
}

/// Sleeps until a deadline; for ever without one.
async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}
