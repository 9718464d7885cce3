//! Carries bytes to sources: TCP, through a SOCKS5 proxy or not, with TLS or without, and HTTP to a node.
//!
//! Nothing here falls back: who asked for TLS gets TLS or an error.

mod error;
mod http;
mod tls;
mod webhook;

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::client::TlsStream;
use tokio_socks::tcp::Socks5Stream;

use crate::limits::CONNECT_DEADLINE;
use crate::source::location::Proxy;

pub use error::LinkError;
pub use http::{Credentials, Http, default_cookie};
pub use tls::Tls;
pub use webhook::Webhook;

/// Where a source is, and how to get there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// A name or an address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How to encrypt; none is plain.
    pub tls: Option<Tls>,
    /// Through whom.
    pub proxy: Option<Proxy>,
}

/// An open connection.
#[derive(Debug)]
pub enum Stream {
    /// As it is.
    Plain(TcpStream),
    /// Encrypted.
    Tls(Box<TlsStream<TcpStream>>),
}

/// Least time for one address of several: a lost packet is sent again after one second, and after three.
const LEAST_FOR_ADDRESS: Duration = Duration::from_secs(3);

/// Connects, all steps within [`CONNECT_DEADLINE`].
///
/// # Errors
///
/// What is in the way, and the way around it where there is one.
pub async fn connect(endpoint: &Endpoint) -> Result<Stream, LinkError> {
    open(endpoint, Instant::now() + CONNECT_DEADLINE).await
}

async fn open(endpoint: &Endpoint, deadline: Instant) -> Result<Stream, LinkError> {
    let Some(proxy) = &endpoint.proxy else {
        let stream = reach(&endpoint.host, endpoint.port, deadline).await?;
        return encrypt(endpoint, stream, deadline).await;
    };
    let opened = async {
        let stream = through(proxy, &endpoint.host, endpoint.port, deadline).await?;
        encrypt(endpoint, stream, deadline).await
    };
    opened.await.map_err(|error| LinkError::Proxy(proxy.to_string(), Box::new(error)))
}

async fn encrypt(
    endpoint: &Endpoint,
    stream: TcpStream,
    deadline: Instant,
) -> Result<Stream, LinkError> {
    let Endpoint { host, port, .. } = endpoint;
    match endpoint.tls {
        None => Ok(Stream::Plain(stream)),
        Some(tls) => {
            let encrypted = timeout_at(deadline, tls::wrap(tls, stream, host, *port)).await;
            let encrypted =
                encrypted.map_err(|_| LinkError::SilentHandshake(name(host, *port)))??;
            Ok(Stream::Tls(Box::new(encrypted)))
        }
    }
}

/// Finds the addresses of a host and connects to one.
async fn reach(host: &str, port: u16, deadline: Instant) -> Result<TcpStream, LinkError> {
    let found = timeout_at(deadline, lookup_host((host, port))).await;
    let found = found.map_err(|_| LinkError::SilentNames(host.to_owned()))?;
    let found = found.map_err(|error| LinkError::NoSuchHost(host.to_owned(), error))?;
    dial(name(host, port), &found.collect::<Vec<_>>(), deadline).await
}

/// Tries addresses in turn. One that is silent leaves time for the others.
async fn dial(
    name: String,
    addresses: &[SocketAddr],
    deadline: Instant,
) -> Result<TcpStream, LinkError> {
    let mut failures = Vec::new();
    for (address, to_try) in addresses.iter().zip((1..=addresses.len()).rev()) {
        let left = deadline.saturating_duration_since(Instant::now());
        match timeout(part(left, to_try), TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // A share is one small write that must not wait for another.
                stream.set_nodelay(true).map_err(|error| LinkError::Unreachable(name, error))?;
                return Ok(stream);
            }
            Ok(Err(error)) => failures.push(error),
            Err(_) => failures.push(io::ErrorKind::TimedOut.into()),
        }
    }
    // Where IPv6 leads nowhere, that says nothing of a host that IPv4 reaches.
    let telling = failures.into_iter().max_by_key(|error| match error.kind() {
        io::ErrorKind::ConnectionRefused => 2,
        io::ErrorKind::TimedOut => 1,
        _ => 0,
    });
    let error = telling.unwrap_or_else(|| io::Error::other("its name has no address"));
    Err(match error.kind() {
        io::ErrorKind::ConnectionRefused => LinkError::Refused(name),
        io::ErrorKind::TimedOut => LinkError::TimeOut(name),
        _ => LinkError::Unreachable(name, error),
    })
}

/// The time for the next of some addresses.
fn part(left: Duration, addresses: usize) -> Duration {
    let addresses = u32::try_from(addresses).unwrap_or(u32::MAX).max(1);
    (left / addresses).max(LEAST_FOR_ADDRESS).min(left)
}

/// The proxy resolves the name: nobody else hears of it.
async fn through(
    proxy: &Proxy,
    host: &str,
    port: u16,
    deadline: Instant,
) -> Result<TcpStream, LinkError> {
    let stream = reach(&proxy.host, proxy.port, deadline).await?;
    let target = (host, port);
    let connected = async {
        match &proxy.login {
            None => Socks5Stream::connect_with_socket(stream, target).await,
            Some((user, password)) => {
                let password = password.0.as_str();
                Socks5Stream::connect_with_password_and_socket(stream, target, user, password).await
            }
        }
    };
    let connected = timeout_at(deadline, connected).await;
    let connected = connected.map_err(|_| LinkError::SilentProxy(name(host, port)))?;
    let refused = |error| LinkError::Socks(name(host, port), error);
    connected.map(Socks5Stream::into_inner).map_err(refused)
}

fn name(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

#[cfg(test)]
mod tests;
