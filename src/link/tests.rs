//! Who is silent. Everybody else is in `tests/link.rs`.

use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn soon() -> Instant {
    Instant::now() + SECOND
}

/// Accepts, reads, and never answers.
async fn silent() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(
                async move { while stream.read(&mut [0; 1024]).await.is_ok_and(|n| n > 0) {} },
            );
        }
    });
    port
}

fn endpoint(port: u16) -> Endpoint {
    Endpoint { host: "127.0.0.1".to_owned(), port, tls: None, proxy: None }
}

fn proxy(port: u16) -> Proxy {
    Proxy { host: "127.0.0.1".to_owned(), port, login: None }
}

#[tokio::test]
async fn a_plain_server_that_waits_is_named_as_one() {
    let endpoint = Endpoint { tls: Some(Tls::Insecure), ..endpoint(silent().await) };
    let error = open(&endpoint, soon()).await.unwrap_err();
    assert!(matches!(error, LinkError::SilentHandshake(_)), "{error}");
}

#[tokio::test]
async fn a_silent_proxy_is_named() {
    let port = silent().await;
    let endpoint = Endpoint { proxy: Some(proxy(port)), ..endpoint(1) };
    let error = open(&endpoint, soon()).await.unwrap_err();
    let said = error.to_string();
    assert!(said.contains(&format!("the proxy socks5://127.0.0.1:{port}: no answer")), "{said}");
}

#[test]
fn the_time_is_shared_fairly_among_addresses_and_none_has_too_little() {
    assert_eq!(part(15 * SECOND, 1), 15 * SECOND);
    assert_eq!(part(15 * SECOND, 2), 15 * SECOND / 2);
    assert_eq!(part(15 * SECOND, 10), LEAST_FOR_ADDRESS);
    assert_eq!(part(2 * SECOND, 10), 2 * SECOND);
    assert_eq!(part(2 * SECOND, 0), 2 * SECOND);
}

/// An address that answers no connection: Linux drops them when the queue of a listener is full. The
/// listener and those in its queue must live as long as it shall be silent.
#[cfg(target_os = "linux")]
async fn blackhole() -> (SocketAddr, impl Sized) {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let listener = socket.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let mut queue = Vec::new();
    while let Ok(Ok(stream)) = timeout(SECOND, TcpStream::connect(address)).await {
        queue.push(stream);
    }
    (address, (listener, queue))
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_silent_address_leaves_time_for_the_next() {
    let (dead, _queue) = blackhole().await;
    let live = SocketAddr::from(([127, 0, 0, 1], silent().await));
    let deadline = Instant::now() + 2 * LEAST_FOR_ADDRESS;
    let stream = dial("pool:1".to_owned(), &[dead, live], deadline).await.unwrap();
    assert_eq!(stream.peer_addr().unwrap(), live);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_failure_that_says_most_is_told() {
    let (dead, _queue) = blackhole().await;
    let closed = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
    let error = dial("pool:1".to_owned(), &[dead], soon()).await.unwrap_err();
    assert!(matches!(error, LinkError::TimeOut(_)), "{error}");
    // A broadcast address takes no TCP.
    let nowhere = SocketAddr::from(([255, 255, 255, 255], 1));
    let error = dial("pool:1".to_owned(), &[closed, nowhere], soon()).await.unwrap_err();
    assert!(matches!(error, LinkError::Refused(_)), "{error}");
}
