//! Carries bytes to sources: TCP, through a SOCKS5 proxy or not, with TLS or without, and HTTP to a node.
//!
//! Nothing here falls back: who asked for TLS gets TLS or an error.

mod error;
mod http;
mod tls;

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;
use tokio_socks::tcp::Socks5Stream;

use crate::limits::CONNECT_DEADLINE;
use crate::source::location::Proxy;

pub use error::LinkError;
pub use http::{Credentials, Http, default_cookie};
pub use tls::Tls;

/// Where a source is, and how to get there.
#[derive(Debug, Clone)]
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

/// Connects, all steps within [`CONNECT_DEADLINE`].
///
/// # Errors
///
/// What is in the way, and the way around it where there is one.
pub async fn connect(endpoint: &Endpoint) -> Result<Stream, LinkError> {
    let connected = timeout(CONNECT_DEADLINE, open(endpoint));
    connected.await.unwrap_or_else(|_| Err(LinkError::TimeOut(name(&endpoint.host, endpoint.port))))
}

async fn open(endpoint: &Endpoint) -> Result<Stream, LinkError> {
    let Endpoint { host, port, .. } = endpoint;
    let stream = match &endpoint.proxy {
        Some(proxy) => through(proxy, host, *port).await?,
        None => reach(host, *port).await?,
    };
    match &endpoint.tls {
        Some(tls) => Ok(Stream::Tls(Box::new(tls::wrap(tls, stream, host, *port).await?))),
        None => Ok(Stream::Plain(stream)),
    }
}

/// Tries all addresses of a host in turn.
async fn reach(host: &str, port: u16) -> Result<TcpStream, LinkError> {
    let name = name(host, port);
    let addresses = lookup_host((host, port)).await;
    let addresses = addresses.map_err(|error| LinkError::NoSuchHost(host.to_owned(), error))?;
    let mut last = None;
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                // A share is one small write that must not wait for another.
                stream.set_nodelay(true).map_err(|error| LinkError::Unreachable(name, error))?;
                return Ok(stream);
            }
            Err(error) => last = Some(error),
        }
    }
    let error = last.unwrap_or_else(|| io::Error::other("its name has no address"));
    Err(match error.kind() {
        io::ErrorKind::ConnectionRefused => LinkError::Refused(name),
        _ => LinkError::Unreachable(name, error),
    })
}

/// The proxy resolves the name: nobody else hears of it.
async fn through(proxy: &Proxy, host: &str, port: u16) -> Result<TcpStream, LinkError> {
    let way = |error| LinkError::Proxy(proxy.to_string(), Box::new(error));
    let stream = reach(&proxy.host, proxy.port).await.map_err(way)?;
    let target = (host, port);
    let connected = match &proxy.login {
        None => Socks5Stream::connect_with_socket(stream, target).await,
        Some((user, password)) => {
            let password = password.0.as_str();
            Socks5Stream::connect_with_password_and_socket(stream, target, user, password).await
        }
    };
    let refused = |error| way(LinkError::Socks(name(host, port), error));
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
