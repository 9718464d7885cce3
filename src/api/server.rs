//! Connections, each within its bounds.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{interval, sleep};
use tokio_io_timeout::TimeoutStream;

use super::gate::{Gate, Token};
use super::routes::{Desk, router};
use crate::limits::{HTTP_CONNECTIONS, HTTP_HEAD, HTTP_HEADERS, HTTP_PATIENCE};
use crate::runtime::Control;
use crate::runtime::snapshot::Viewer;

/// How often the history gets a point.
const SAMPLE: Duration = Duration::from_secs(1);

/// The system has no descriptors left, or the client went away: there is a next one.
pub(super) const AFTER_ERROR: Duration = Duration::from_millis(100);

/// An address that is taken, before anything is answered there.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
    token: Option<Token>,
}

/// Answers until it is dropped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    stop: watch::Sender<()>,
    thread: Option<JoinHandle<()>>,
}

impl Listener {
    /// Whether an address may be taken: other than on loopback only with a token.
    ///
    /// # Errors
    ///
    /// When strangers could reach it and there is no token.
    pub fn may_bind(address: SocketAddr, token: Option<&Token>) -> io::Result<()> {
        if token.is_some() || address.ip().is_loopback() {
            return Ok(());
        }
        Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "others can reach this address, so it takes a token: set ADIT_HTTP_TOKEN, or give --http-token-file; \
             127.0.0.1 needs none",
        ))
    }

    /// Takes an address. Other than on loopback it takes a token.
    ///
    /// # Errors
    ///
    /// When the address is taken, or strangers could reach it and there is no token.
    pub fn bind(address: SocketAddr, token: Option<Token>) -> io::Result<Self> {
        Self::may_bind(address, token.as_ref())?;
        let socket = TcpListener::bind(address)?;
        socket.set_nonblocking(true)?;
        let address = socket.local_addr()?;
        Ok(Self { socket, address, token })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Shows a run, on a thread of its own. Who has the token may pause it through `control`, and choose profiles.
    ///
    /// # Errors
    ///
    /// When the system has no thread or no event queue left.
    pub fn serve(self, viewer: Viewer, control: Control) -> io::Result<Server> {
        let desk = desk(self.address, self.token, viewer, control);
        Server::run("http", self.socket, |listener| serve(listener, desk))
    }
}

fn desk(address: SocketAddr, token: Option<Token>, viewer: Viewer, control: Control) -> Arc<Desk> {
    let gate = Gate::new(address, token, sysinfo::System::host_name());
    Arc::new(Desk::new(gate, viewer, control))
}

/// What a [`Listener`] answers, over streams of any kind.
#[derive(Clone)]
pub struct Site(Router);

impl Site {
    /// Shows a run as a listener at this address would.
    #[must_use]
    pub fn new(
        address: SocketAddr,
        token: Option<Token>,
        viewer: Viewer,
        control: Control,
    ) -> Self {
        Self(router(desk(address, token, viewer, control)))
    }

    /// Answers the requests of one connection until it ends.
    pub async fn attend(&self, stream: impl AsyncRead + AsyncWrite) {
        attend(stream, self.0.clone().layer(Extension(Presence::default()))).await;
    }
}

impl Server {
    /// Runs `serve` on a thread of its own until the server is dropped.
    pub(super) fn run<F: Future<Output = ()>>(
        name: &str,
        socket: TcpListener,
        serve: impl FnOnce(tokio::net::TcpListener) -> F + Send + 'static,
    ) -> io::Result<Self> {
        let address = socket.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let listener = {
            let _inside = runtime.enter();
            tokio::net::TcpListener::from_std(socket)?
        };
        let (stop, mut stopped) = watch::channel(());
        let thread = thread::Builder::new().name(name.to_owned()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = serve(listener) => {}
                    // Also when the other end is dropped.
                    _ = stopped.changed() => {}
                }
            });
        })?;
        Ok(Self { address, stop, thread: Some(thread) })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.stop.send(());
        if let Some(thread) = self.thread.take() {
            // It stops at its next breath, and if it panicked nobody misses it now.
            let _ = thread.join();
        }
    }
}

async fn serve(listener: tokio::net::TcpListener, desk: Arc<Desk>) {
    let app = router(Arc::clone(&desk));
    let mut guests = Guests::default();
    let mut samples = interval(SAMPLE);
    samples.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = samples.tick() => desk.note(),
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => guests.welcome(stream, app.clone()),
                Err(_) => sleep(AFTER_ERROR).await,
            },
            Some(_) = guests.tasks.join_next() => guests.forget(),
        }
    }
}

/// The connections.
#[derive(Default)]
struct Guests {
    tasks: JoinSet<()>,
    list: Vec<Guest>,
}

struct Guest {
    task: AbortHandle,
    presence: Presence,
}

/// When the last request of a connection came, or it itself; nothing while it follows the run.
#[derive(Clone, Default)]
pub(super) struct Presence(Arc<Mutex<Option<Instant>>>);

impl Presence {
    fn heard(&self) -> Option<Instant> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, heard: Option<Instant>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = heard;
    }

    pub(super) fn asks(&self) {
        self.set(Some(Instant::now()));
    }

    pub(super) fn follows(&self) {
        self.set(None);
    }
}

impl Guests {
    /// Serves a connection. When there are too many, the one leaves that asked nothing for longest: whoever really
    /// asks is done within milliseconds, so it is someone idle or slow. Those who follow stay, they have a bound
    /// of their own.
    fn welcome(&mut self, stream: TcpStream, app: Router) {
        self.forget();
        if self.list.len() >= HTTP_CONNECTIONS {
            let heard = |(index, guest): (usize, &Guest)| Some((guest.presence.heard()?, index));
            if let Some((_, oldest)) = self.list.iter().enumerate().filter_map(heard).min() {
                self.list.swap_remove(oldest).task.abort();
            }
        }
        let presence = Presence::default();
        presence.asks();
        let task = self.tasks.spawn(attend(stream, app.layer(Extension(presence.clone()))));
        self.list.push(Guest { task, presence });
    }

    fn forget(&mut self) {
        self.list.retain(|guest| !guest.task.is_finished());
    }
}

/// Answers the requests of one connection.
async fn attend(stream: impl AsyncRead + AsyncWrite, app: Router) {
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(HTTP_PATIENCE));
    // The time for a head also runs between requests. What goes wrong is the client's business.
    let _ = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HTTP_PATIENCE)
        .max_buf_size(HTTP_HEAD)
        .max_headers(HTTP_HEADERS)
        .serve_connection(TokioIo::new(Box::pin(stream)), TowerToHyperService::new(app))
        .await;
}
