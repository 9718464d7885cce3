//! Links to peers on this machine that behave, and to those that do not. Who is silent for longer than a test
//! should take is tested beside the code.

#![expect(clippy::unwrap_used, reason = "a test may panic, and so may what it calls")]

mod http;
mod moved;
mod socks;
mod tls;

use std::future::Future;

use adit::link::{Endpoint, LinkError, Stream, Tls, connect};
use adit::source::location::Proxy;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// What a server here says to who comes through.
const HELLO: &[u8] = b"hello\n";

/// A server that does this with every connection.
async fn serve<F: Future<Output = ()> + Send + 'static>(
    act: impl Fn(TcpStream) -> F + Send + 'static,
) -> u16 {
    serve_at("127.0.0.1", act).await.unwrap()
}

/// `None` where the address is not there.
async fn serve_at<F: Future<Output = ()> + Send + 'static>(
    address: &str,
    act: impl Fn(TcpStream) -> F + Send + 'static,
) -> Option<u16> {
    let listener = TcpListener::bind((address, 0)).await.ok()?;
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(act(stream));
        }
    });
    Some(port)
}

/// Says hello, and waits for the end.
async fn greet(mut stream: TcpStream) {
    let _ = stream.write_all(HELLO).await;
    let _ = stream.read(&mut [0; 1]).await;
}

/// A port on which nobody listens.
fn closed_port() -> u16 {
    std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

fn plain(port: u16) -> Endpoint {
    Endpoint { host: "127.0.0.1".to_owned(), port, tls: None, proxy: None }
}

fn encrypted(port: u16, tls: Tls) -> Endpoint {
    Endpoint { tls: Some(tls), ..plain(port) }
}

fn through(proxy: &str, endpoint: Endpoint) -> Endpoint {
    let proxy: Proxy = proxy.parse().unwrap();
    Endpoint { proxy: Some(proxy), ..endpoint }
}

/// Connects, and hears the hello.
async fn greeted(endpoint: &Endpoint) {
    let mut stream = connect(endpoint).await.unwrap_or_else(|error| panic!("{error}"));
    heard(&mut stream).await;
}

async fn heard(stream: &mut Stream) {
    let mut said = [0; HELLO.len()];
    stream.read_exact(&mut said).await.unwrap();
    assert_eq!(said, HELLO);
}

/// Why there is no connection.
async fn refused(endpoint: &Endpoint) -> LinkError {
    match connect(endpoint).await {
        Ok(_) => panic!("{endpoint:?} is connected"),
        Err(error) => error,
    }
}

#[tokio::test]
async fn names_and_addresses_are_reached() {
    greeted(&plain(serve(greet).await)).await;
    let by_name = Endpoint { host: "localhost".to_owned(), ..plain(serve(greet).await) };
    greeted(&by_name).await;
}

#[tokio::test]
async fn ipv6_is_reached() {
    let Some(port) = serve_at("::1", greet).await else {
        println!("skipped: this machine has no IPv6");
        return;
    };
    greeted(&Endpoint { host: "::1".to_owned(), ..plain(port) }).await;
    let said = refused(&Endpoint { host: "::1".to_owned(), ..plain(1) }).await.to_string();
    assert!(said.contains("[::1]:1 refuses the connection"), "{said}");
}

#[tokio::test]
async fn who_is_not_there_is_named() {
    let port = closed_port();
    let said = refused(&plain(port)).await.to_string();
    assert!(said.contains(&format!("127.0.0.1:{port} refuses the connection")), "{said}");
    // Reserved by RFC 2606: it never has an address.
    let nowhere = Endpoint { host: "pool.invalid".to_owned(), ..plain(1) };
    let said = refused(&nowhere).await.to_string();
    assert!(said.contains("pool.invalid"), "{said}");
}
