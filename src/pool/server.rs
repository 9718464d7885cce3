//! Carries bytes between the pool and its miners: a task for each connection, the pool on the caller's thread.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::mem;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime;
use tokio::sync::Notify;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::{JoinHandle, LocalSet, spawn_local};
use tokio::time::{sleep, sleep_until, timeout};

use super::jobs::{Solved, Template};
use super::{ConnectionId, Counters, Event, Hub, Options};
use crate::chain::HeaderError;
use crate::limits::{POOL_CONNECTIONS, POOL_FAREWELL, POOL_INPUTS, POOL_UNREAD, WRITE_DEADLINE};
use crate::runtime::Stop;

/// Bytes that are read at once.
const PIECE: usize = 16 << 10;

/// Templates, answers or blocks between the pool and its node.
const NODE_WORDS: usize = 16;

/// How long to wait when the system has no more connections to give.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Why there is no pool.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PoolError {
    /// Another program listens there.
    #[error(
        "{0} is taken: another program, perhaps another `adit pool`, listens there; end that one, or \
         listen on another port"
    )]
    Taken(SocketAddr),
    /// The address cannot be listened on.
    #[error("cannot listen on {0}: {1}; give an address of this machine, such as 127.0.0.1:3333")]
    Listen(SocketAddr, #[source] io::Error),
    /// The network or a timer fails.
    #[error("the practice pool cannot run: {0}")]
    Run(#[from] io::Error),
    /// The built-in table of blocks is damaged, which a test excludes.
    #[error(transparent)]
    Blocks(#[from] HeaderError),
}

/// A pool that listens.
pub struct Server {
    listener: std::net::TcpListener,
    address: SocketAddr,
    hub: Hub,
    observer: Observer,
    node: Option<(Receiver<Word>, Sender<Solved>)>,
}

/// The node's side of a pool. Who holds it asks the node for templates, and gives it the blocks.
pub struct NodeEnd {
    /// To the pool.
    pub words: Sender<Word>,
    /// From the pool. A block that finds no room because nobody takes them out is dropped with a warning.
    pub solved: Receiver<Solved>,
}

/// What a node has to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Word {
    /// This is to be mined from now on.
    Template(Box<Template>),
    /// The answer to a block: why it is refused, if it is.
    Answer(Solved, Option<String>),
    /// Something is wrong, but goes on.
    Warning(String),
}

/// Sees from any thread what came of the shares.
#[derive(Debug, Clone, Default)]
pub struct Observer(Arc<Mutex<Counters>>);

impl Observer {
    /// What came of the shares so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, event: &Event) {
        if let Event::Share(share) = event {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).count(share);
        }
    }
}

impl Server {
    /// Listens on `address`; port 0 is any that is free. Miners wait until it [runs](Self::run).
    ///
    /// # Errors
    ///
    /// When the address is taken, or is none of this machine's.
    pub fn bind(options: Options, address: SocketAddr) -> Result<Self, PoolError> {
        Self::with_hub(Hub::new(options, Instant::now())?, address)
    }

    /// The same for a pool on a node, whose end is for those who talk with it.
    ///
    /// # Errors
    ///
    /// When the address is taken, or is none of this machine's.
    pub fn bind_on_node(
        options: Options,
        address: SocketAddr,
    ) -> Result<(Self, NodeEnd), PoolError> {
        let mut server = Self::with_hub(Hub::on_node(options, Instant::now()), address)?;
        let (words, heard) = channel(NODE_WORDS);
        let (blocks, solved) = channel(NODE_WORDS);
        server.node = Some((heard, blocks));
        Ok((server, NodeEnd { words, solved }))
    }

    fn with_hub(hub: Hub, address: SocketAddr) -> Result<Self, PoolError> {
        let listen = |error: io::Error| match error.kind() {
            io::ErrorKind::AddrInUse => PoolError::Taken(address),
            _ => PoolError::Listen(address, error),
        };
        let listener = std::net::TcpListener::bind(address).map_err(listen)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address, hub, observer: Observer::default(), node: None })
    }

    /// Where it listens.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Sees what came of the shares, also while the pool runs and afterwards.
    #[must_use]
    pub fn observer(&self) -> Observer {
        self.observer.clone()
    }

    /// Serves miners until a stop is requested. Every event is counted, then given to `on_event`.
    ///
    /// # Errors
    ///
    /// When there is no network or no timer.
    pub fn run(self, stop: &Stop, on_event: impl FnMut(&Event)) -> Result<(), PoolError> {
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let (sender, inputs) = channel(POOL_INPUTS);
        let (words, blocks) = self.node.unzip();
        let desk = Desk {
            hub: self.hub,
            lines: BTreeMap::new(),
            sender,
            blocks,
            observer: self.observer,
            on_event,
            events: Vec::new(),
        };
        // The tasks of the connections end with their set.
        LocalSet::new().block_on(&runtime, desk.serve(self.listener, inputs, words, stop))
    }
}

/// What a connection's task says. `None`: it ended.
type Input = (ConnectionId, Option<Vec<u8>>);

/// Everything that is not a connection's task.
struct Desk<F> {
    hub: Hub,
    lines: BTreeMap<ConnectionId, Line>,
    sender: Sender<Input>,
    /// To the node, where there is one.
    blocks: Option<Sender<Solved>>,
    observer: Observer,
    on_event: F,
    events: Vec<Event>,
}

/// The desk's end of a connection.
struct Line {
    outlet: Rc<Outlet>,
    task: JoinHandle<()>,
}

/// What waits to be sent on a connection.
#[derive(Default)]
struct Outlet {
    bytes: RefCell<Vec<u8>>,
    /// Nothing more will come.
    is_last: Cell<bool>,
    changed: Notify,
}

impl<F: FnMut(&Event)> Desk<F> {
    async fn serve(
        mut self,
        listener: std::net::TcpListener,
        mut inputs: Receiver<Input>,
        words: Option<Receiver<Word>>,
        stop: &Stop,
    ) -> Result<(), PoolError> {
        let listener = TcpListener::from_std(listener)?;
        // Without a node nobody ever speaks.
        let mut words = words.unwrap_or_else(|| channel(1).1);
        let mut tick = Instant::now();
        // Whoever comes first finds a job.
        self.hub.tick(tick, &mut self.events);
        while !stop.is_requested() {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, peer)) => self.welcome(stream, peer),
                    Err(error) => {
                        tracing::debug!("no connection: {error}");
                        sleep(ACCEPT_PAUSE).await;
                    }
                },
                Some((connection, input)) = inputs.recv() => self.take(connection, input),
                Some(word) = words.recv() => self.hear(word),
                () = sleep_until(tick.into()) => {
                    let now = Instant::now();
                    self.hub.tick(now, &mut self.events);
                    self.send_all();
                    tick = self.hub.due().min(now + Stop::TICK);
                }
            }
            self.tell();
        }
        self.close(inputs).await;
        Ok(())
    }

    /// Lets everybody read the answers to what was judged.
    async fn close(&mut self, mut inputs: Receiver<Input>) {
        for Line { outlet, .. } in self.lines.values() {
            outlet.is_last.set(true);
            outlet.changed.notify_one();
        }
        let all_left = async {
            while !self.lines.is_empty()
                && let Some((connection, input)) = inputs.recv().await
            {
                if input.is_none() {
                    self.take(connection, input);
                }
            }
        };
        let _ = timeout(POOL_FAREWELL, all_left).await;
        self.tell();
    }

    fn tell(&mut self) {
        for event in mem::take(&mut self.events) {
            self.observer.note(&event);
            (self.on_event)(&event);
            if let (Event::Solved(solved), Some(blocks)) = (event, &self.blocks)
                && let Err(error) = blocks.try_send(solved)
            {
                let message = format!("a solved block cannot be given to the node: {error}");
                (self.on_event)(&Event::Warning { message });
            }
        }
    }

    /// The node said something.
    fn hear(&mut self, word: Word) {
        let event = match word {
            Word::Template(template) => {
                self.hub.offer(*template, Instant::now(), &mut self.events);
                return self.send_all();
            }
            Word::Answer(Solved { height, hash, .. }, refusal) => {
                Event::Answered { height, hash, refusal }
            }
            Word::Warning(message) => Event::Warning { message },
        };
        self.events.push(event);
    }

    fn welcome(&mut self, stream: TcpStream, peer: SocketAddr) {
        // Connections that the pool is done with may still say their last words.
        let has_room = self.lines.len() < POOL_CONNECTIONS;
        let (peer, now) = (peer.to_string(), Instant::now());
        let connection = has_room.then(|| self.hub.connect(&peer, now, &mut self.events)).flatten();
        let Some(connection) = connection else {
            tracing::debug!("{peer} is turned away: {POOL_CONNECTIONS} connections are enough");
            return;
        };
        // Answers are short and shall not wait for more.
        let _ = stream.set_nodelay(true);
        let outlet = Rc::new(Outlet::default());
        let task = spawn_local(converse(connection, stream, outlet.clone(), self.sender.clone()));
        self.lines.insert(connection, Line { outlet, task });
    }

    fn take(&mut self, connection: ConnectionId, input: Option<Vec<u8>>) {
        let now = Instant::now();
        if let Some(bytes) = input {
            self.hub.receive(connection, &bytes, now, &mut self.events);
            self.send(connection);
        } else {
            self.lines.remove(&connection);
            self.hub.disconnect(connection, now, &mut self.events);
        }
    }

    fn send_all(&mut self) {
        for connection in self.hub.connections().collect::<Vec<_>>() {
            self.send(connection);
        }
    }

    /// Hands a connection what there is for it, and closes it if the pool is done with it.
    fn send(&mut self, connection: ConnectionId) {
        let Some(Line { outlet, task }) = self.lines.get(&connection) else { return };
        let (bytes, is_open) = (self.hub.transmit(connection), self.hub.is_open(connection));
        if bytes.is_empty() && is_open {
            return;
        }
        if outlet.bytes.borrow().len() + bytes.len() > POOL_UNREAD {
            self.hub.end(connection, "it does not read what it is sent");
            // It would not read its last words either.
            task.abort();
            self.take(connection, None);
            return;
        }
        outlet.bytes.borrow_mut().extend(bytes);
        outlet.is_last.set(!is_open);
        outlet.changed.notify_one();
    }
}

/// A connection's task.
async fn converse(
    connection: ConnectionId,
    stream: TcpStream,
    outlet: Rc<Outlet>,
    sender: Sender<Input>,
) {
    let (reading, writing) = stream.into_split();
    // Whoever of the two ends, ends the connection.
    tokio::select! {
        () = read(connection, reading, &sender) => {}
        () = write(writing, &outlet) => {}
    }
    let _ = sender.send((connection, None)).await;
}

async fn read(connection: ConnectionId, mut stream: OwnedReadHalf, sender: &Sender<Input>) {
    let mut piece = vec![0; PIECE];
    while let Ok(length @ 1..) = stream.read(&mut piece).await {
        let bytes = piece.get(..length).unwrap_or_default().to_vec();
        if sender.send((connection, Some(bytes))).await.is_err() {
            return;
        }
    }
}

async fn write(mut stream: OwnedWriteHalf, outlet: &Outlet) {
    loop {
        let (bytes, is_last) = (outlet.bytes.take(), outlet.is_last.get());
        if !bytes.is_empty() {
            let limit = if is_last { POOL_FAREWELL } else { WRITE_DEADLINE };
            if !matches!(timeout(limit, stream.write_all(&bytes)).await, Ok(Ok(()))) {
                return;
            }
        } else if is_last {
            let _ = stream.shutdown().await;
            return;
        } else {
            outlet.changed.notified().await;
        }
    }
}
