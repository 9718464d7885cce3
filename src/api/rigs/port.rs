//! The port at which dashboards of mining rigs ask.

use std::collections::VecDeque;
use std::io;
use std::net::{SocketAddr, TcpListener};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

use super::{answer, is_partial};
use crate::api::server::{AFTER_ERROR, Server};
use crate::limits::{RIG_CONNECTIONS, RIG_PATIENCE, RIG_REQUEST};
use crate::runtime::snapshot::Viewer;

/// An address that is taken, before anything is answered there.
#[derive(Debug)]
pub struct RigListener {
    socket: TcpListener,
    address: SocketAddr,
}

impl RigListener {
    /// Whether an address may be taken: on loopback only, for this API knows no secret.
    ///
    /// # Errors
    ///
    /// When others could reach it.
    pub fn may_bind(address: SocketAddr) -> io::Result<()> {
        if address.ip().is_loopback() {
            return Ok(());
        }
        Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "others can reach this address, and this API knows no password: give it 127.0.0.1, or use --http with a token",
        ))
    }

    /// Takes an address on loopback.
    ///
    /// # Errors
    ///
    /// When it is taken, or others could reach it.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        Self::may_bind(address)?;
        let socket = TcpListener::bind(address)?;
        socket.set_nonblocking(true)?;
        let address = socket.local_addr()?;
        Ok(Self { socket, address })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers about a run, on a thread of its own.
    ///
    /// # Errors
    ///
    /// When the system has no thread or no event queue left.
    pub fn serve(self, viewer: Viewer) -> io::Result<Server> {
        Server::run("api-4028", self.socket, |listener| serve(listener, viewer))
    }
}

async fn serve(listener: tokio::net::TcpListener, viewer: Viewer) {
    let mut guests: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            sleep(AFTER_ERROR).await;
            continue;
        };
        guests.retain(|guest| !guest.is_finished());
        // Whoever asks is answered within milliseconds: the oldest is someone slow.
        if guests.len() >= RIG_CONNECTIONS
            && let Some(oldest) = guests.pop_front()
        {
            oldest.abort();
        }
        let attended = timeout(RIG_PATIENCE, attend(stream, viewer.clone()));
        guests.push_back(tokio::spawn(attended).abort_handle());
    }
}

/// Answers one request. What goes wrong is the client's business.
async fn attend(mut stream: TcpStream, viewer: Viewer) -> io::Result<()> {
    let mut request = Vec::new();
    let mut piece = [0; 1024];
    // A command has no mark at its end: what comes first is all of it, as it is for cgminer, but for JSON.
    loop {
        let length = stream.read(&mut piece).await?;
        request.extend_from_slice(&piece[..length]);
        if length == 0 || request.len() > RIG_REQUEST || !is_partial(&request) {
            break;
        }
    }
    let snapshot = viewer.borrow().clone();
    let mut answer = answer(&String::from_utf8_lossy(&request), &snapshot).into_bytes();
    answer.push(0);
    stream.write_all(&answer).await?;
    stream.shutdown().await
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::sync::Arc;
    use std::time::Duration;

    use tokio::sync::watch;

    use super::*;
    use crate::api::sample;

    fn ask(address: SocketAddr, pieces: &[&str]) -> String {
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream.set_nodelay(true).unwrap();
        for piece in pieces {
            stream.write_all(piece.as_bytes()).unwrap();
            std::thread::sleep(Duration::from_millis(20));
        }
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn a_command_is_answered_and_the_connection_ends() {
        let (_publish, viewer) = watch::channel(Arc::new(sample::snapshot()));
        let server = RigListener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let server = server.serve(viewer).unwrap();
        let address = server.address();
        let text = ask(address, &["summary"]);
        assert!(text.starts_with("STATUS=S,") && text.ends_with("|\0"), "{text}");
        let json = ask(address, &["{\"command\":", "\"version\"}"]);
        assert!(json.ends_with("}\0") && json.contains("\"API\":\"3.7\""), "{json}");
        let long = format!("{{\"command\":\"{}", "x".repeat(2 * RIG_REQUEST));
        assert!(ask(address, &[&long]).contains("Invalid JSON"));

        // Those who say nothing are in nobody's way.
        let silent: Vec<_> = (0..RIG_CONNECTIONS * 3)
            .map(|_| std::net::TcpStream::connect(address).unwrap())
            .collect();
        assert!(ask(address, &["devs"]).contains("GPU=1"));
        drop(silent);
    }

    #[test]
    fn only_this_machine_is_let_in() {
        for address in ["0.0.0.0:0", "192.0.2.1:4028", "[::]:0"] {
            let error = RigListener::bind(address.parse().unwrap()).unwrap_err();
            assert!(error.to_string().contains("127.0.0.1"), "{error}");
        }
    }
}
