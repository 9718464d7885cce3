//! Requests to a node that answers in all the ways that HTTP knows.

use std::time::Duration;

use adit::limits::NODE_ANSWER;
use adit::link::{Credentials, Http, LinkError};
use adit::source::location::Secret;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::{closed_port, serve, serve_at};

/// Long enough for every answer that comes.
const LIMIT: Duration = Duration::from_secs(60);

/// A node that answers every request with these bytes, keeps the connection open, and tells what was asked.
async fn node(answer: impl Into<Vec<u8>>) -> (u16, UnboundedReceiver<String>) {
    let (sender, asked) = unbounded_channel();
    let answer = answer.into();
    let act = move |mut stream: TcpStream| {
        let (sender, answer) = (sender.clone(), answer.clone());
        async move {
            while let Some(request) = request(&mut stream).await {
                let _ = sender.send(request);
                if stream.write_all(&answer).await.is_err() {
                    return;
                }
            }
        }
    };
    (serve(act).await, asked)
}

/// The next request, which ends with its JSON.
async fn request(stream: &mut TcpStream) -> Option<String> {
    let mut text = Vec::new();
    while !text.ends_with(b"{}") {
        match stream.read_buf(&mut text).await {
            Ok(0) | Err(_) => return None,
            Ok(_) => {}
        }
    }
    Some(String::from_utf8(text).unwrap())
}

fn answer(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

fn http(port: u16, credentials: Credentials) -> Http {
    Http::new("127.0.0.1", port, credentials).unwrap()
}

async fn post(http: &Http) -> Result<(u16, Vec<u8>), LinkError> {
    http.post(b"{}".to_vec(), LIMIT).await
}

#[tokio::test]
async fn every_status_is_an_answer_with_its_body() {
    for (status, code, body) in [
        ("200 OK", 200, "{\"result\":null}"),
        ("401 Unauthorized", 401, ""),
        ("500 Internal Server Error", 500, "{\"error\":{}}"),
        ("503 Service Unavailable", 503, "Work queue depth exceeded"),
    ] {
        let (port, _asked) = node(answer(status, body)).await;
        let answered = post(&http(port, Credentials::None)).await.unwrap();
        assert_eq!(answered, (code, body.as_bytes().to_vec()));
    }
}

#[tokio::test]
async fn a_redirection_is_not_followed() {
    let (elsewhere, mut asked) = node(answer("200 OK", "")).await;
    let location = format!(
        "HTTP/1.1 307 T\r\nLocation: http://127.0.0.1:{elsewhere}/\r\nContent-Length: 0\r\n\r\n"
    );
    let (port, _asked) = node(location).await;
    assert_eq!(post(&http(port, Credentials::None)).await.unwrap().0, 307);
    assert!(asked.try_recv().is_err(), "another host was asked");
}

#[tokio::test]
async fn an_answer_without_end_is_cut_off() {
    let chunk = 1 << 20;
    let mut endless = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for _ in 0..=NODE_ANSWER / chunk {
        endless.extend_from_slice(format!("{chunk:x}\r\n").as_bytes());
        endless.resize(endless.len() + chunk, b' ');
        endless.extend_from_slice(b"\r\n");
    }
    let (port, _asked) = node(endless).await;
    let error = post(&http(port, Credentials::None)).await.unwrap_err();
    assert!(matches!(error, LinkError::TooLong(_)), "{error}");
}

#[tokio::test]
async fn an_answer_that_stays_away_or_stops_is_given_up() {
    let half = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf";
    for start in ["", half] {
        let (port, _asked) = node(start).await;
        let http = http(port, Credentials::None);
        let error = http.post(b"{}".to_vec(), Duration::from_millis(500)).await.unwrap_err();
        let said = error.to_string();
        assert!(said.contains("no whole answer within 0.5 s"), "{said}");
    }
}

#[tokio::test]
async fn a_connection_that_is_closed_in_the_middle_is_no_answer() {
    for start in ["", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", "nonsense\r\n\r\n"] {
        let port = serve(move |mut stream: TcpStream| async move {
            request(&mut stream).await;
            let _ = stream.write_all(start.as_bytes()).await;
        })
        .await;
        let error = post(&http(port, Credentials::None)).await.unwrap_err();
        let name = format!("127.0.0.1:{port}");
        assert!(matches!(&error, LinkError::Http(at, _) if *at == name), "{error}");
        assert!(!error.to_string().contains("os error"), "{error}");
    }
    let error = post(&http(closed_port(), Credentials::None)).await.unwrap_err();
    assert!(matches!(error, LinkError::Refused(_)), "{error}");
}

#[tokio::test]
async fn a_node_on_ipv6_is_reached() {
    let act = |mut stream: TcpStream| async move {
        request(&mut stream).await;
        let _ = stream.write_all(answer("200 OK", "six").as_bytes()).await;
    };
    let Some(port) = serve_at("::1", act).await else {
        println!("skipped: this machine has no IPv6");
        return;
    };
    let http = Http::new("::1", port, Credentials::None).unwrap();
    assert_eq!(post(&http).await.unwrap(), (200, b"six".to_vec()));
}

/// How a request says who sends it.
fn authorization(request: &str) -> Option<&str> {
    request.lines().find_map(|line| line.strip_prefix("authorization: "))
}

#[tokio::test]
async fn a_user_is_named_in_every_request_and_nobody_in_none() {
    let (port, mut asked) = node(answer("200 OK", "")).await;
    let (user, password) = ("me".to_owned(), Secret("secret".to_owned()));
    let http = http(port, Credentials::UserPassword { user, password });
    for _ in 0..2 {
        post(&http).await.unwrap();
        let request = asked.recv().await.unwrap();
        assert_eq!(authorization(&request), Some("Basic bWU6c2VjcmV0"), "{request}");
        assert!(request.starts_with("POST / HTTP/1.1") && request.contains("application/json"));
    }
    post(&self::http(port, Credentials::None)).await.unwrap();
    assert_eq!(authorization(&asked.recv().await.unwrap()), None);
}

#[tokio::test]
async fn the_cookie_is_read_again_for_each_request() {
    let (port, mut asked) = node(answer("200 OK", "")).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(".cookie");
    let http = http(port, Credentials::Cookie(path.clone()));
    let missing = async || {
        let said = post(&http).await.unwrap_err().to_string();
        assert!(said.contains(path.to_str().unwrap()) && said.contains("-datadir"), "{said}");
    };
    missing().await;
    for (cookie, login) in [
        ("__cookie__:first", "Basic X19jb29raWVfXzpmaXJzdA=="),
        ("__cookie__:second\n", "Basic X19jb29raWVfXzpzZWNvbmQ="),
    ] {
        std::fs::write(&path, cookie).unwrap();
        post(&http).await.unwrap();
        assert_eq!(authorization(&asked.recv().await.unwrap()), Some(login));
    }
    std::fs::remove_file(&path).unwrap();
    missing().await;
}

#[tokio::test]
async fn a_cookie_file_that_is_none_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let [long, other] = ["long", "other"].map(|name| folder.path().join(name));
    std::fs::write(&long, ":".repeat(5000)).unwrap();
    std::fs::write(&other, "no cookie").unwrap();
    let mut cases = vec![
        (long, "too long"),
        (other, "USER:PASSWORD"),
        (folder.path().to_owned(), "it is no file"),
    ];
    // A device without end, and a pipe that nobody writes to.
    #[cfg(unix)]
    {
        let pipe = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        cases.extend([("/dev/zero".into(), "it is no file"), (pipe, "it is no file")]);
    }
    for (path, why) in cases {
        let http = http(closed_port(), Credentials::Cookie(path));
        let said = post(&http).await.unwrap_err().to_string();
        assert!(said.contains(why), "{said}");
    }
}
