//! Links through a SOCKS5 proxy. Source: RFC 1928 and 1929.

use adit::link::{Endpoint, LinkError, Tls};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio_rustls::rustls::version::TLS13;

use crate::tls::{Identity, greet_encrypted};
use crate::{closed_port, encrypted, greet, greeted, plain, refused, serve, through};

const LOGIN: Option<(&str, &str)> = Some(("me", "geheim"));

/// Reserved by RFC 2606: who asks for its address locally gets none.
const POOL: &str = "pool.invalid";

/// How a proxy here behaves.
#[derive(Debug, Clone, Copy)]
struct Rules {
    login: Option<(&'static str, &'static str)>,
    /// Its reply; 0 connects.
    code: u8,
    /// Whom it connects to, whatever the name.
    target: u16,
}

/// A proxy, and whom it was asked for.
async fn socks(rules: Rules) -> (u16, UnboundedReceiver<(String, u16)>) {
    let (sender, asked) = unbounded_channel();
    let act = move |stream| {
        let sender = sender.clone();
        async move {
            let _ = proxy(stream, rules, &sender).await;
        }
    };
    (serve(act).await, asked)
}

async fn proxy(
    mut stream: TcpStream,
    rules: Rules,
    asked: &UnboundedSender<(String, u16)>,
) -> std::io::Result<()> {
    assert_eq!(stream.read_u8().await?, 5);
    let methods = text(&mut stream).await?;
    let method = u8::from(rules.login.is_some()) * 2;
    if !methods.contains(&method) {
        return stream.write_all(&[5, 0xff]).await;
    }
    stream.write_all(&[5, method]).await?;
    if let Some((user, password)) = rules.login {
        assert_eq!(stream.read_u8().await?, 1);
        let given = [text(&mut stream).await?, text(&mut stream).await?];
        let is_right = given == [user.as_bytes(), password.as_bytes()];
        stream.write_all(&[1, u8::from(!is_right)]).await?;
        if !is_right {
            return Ok(());
        }
    }
    let mut request = [0; 4];
    stream.read_exact(&mut request).await?;
    assert_eq!(request, [5, 1, 0, 3], "CONNECT with a name as text");
    let host = String::from_utf8(text(&mut stream).await?).unwrap();
    asked.send((host, stream.read_u16().await?)).unwrap();
    stream.write_all(&[5, rules.code, 0, 1, 0, 0, 0, 0, 0, 0]).await?;
    if rules.code == 0 {
        let mut target = TcpStream::connect(("127.0.0.1", rules.target)).await?;
        copy_bidirectional(&mut stream, &mut target).await?;
    }
    Ok(())
}

/// Bytes after their number.
async fn text(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut bytes = vec![0; stream.read_u8().await?.into()];
    stream.read_exact(&mut bytes).await?;
    Ok(bytes)
}

fn pool() -> Endpoint {
    Endpoint { host: POOL.to_owned(), ..plain(3333) }
}

#[tokio::test]
async fn the_name_reaches_the_proxy_as_text() {
    let target = serve(greet).await;
    let (port, mut asked) = socks(Rules { login: None, code: 0, target }).await;
    for scheme in ["socks5", "socks5h"] {
        greeted(&through(&format!("{scheme}://127.0.0.1:{port}"), pool())).await;
        assert_eq!(asked.recv().await, Some((POOL.to_owned(), 3333)));
    }
}

#[tokio::test]
async fn a_login_is_given_to_who_asks_for_it() {
    let target = serve(greet).await;
    let (port, _asked) = socks(Rules { login: LOGIN, code: 0, target }).await;
    greeted(&through(&format!("socks5://me:geheim@127.0.0.1:{port}"), pool())).await;
    let wrong = through(&format!("socks5://me:falsch@127.0.0.1:{port}"), pool());
    let said = refused(&wrong).await.to_string();
    assert!(
        said.contains(&format!("socks5://127.0.0.1:{port}: it refuses user or password")),
        "{said}"
    );
    assert!(!said.contains("falsch"), "{said}");
    let none = through(&format!("socks5://127.0.0.1:{port}"), pool());
    let said = refused(&none).await.to_string();
    assert!(said.contains("it wants a user and a password"), "{said}");
}

#[tokio::test]
async fn every_refusal_is_told_in_words() {
    for (code, words) in [
        (1, "it does not connect to pool.invalid:3333"),
        (2, "its rules do not allow pool.invalid:3333"),
        (3, "it cannot reach pool.invalid:3333"),
        (4, "it cannot reach pool.invalid:3333"),
        (5, "pool.invalid:3333 refuses the connection"),
        (6, "pool.invalid:3333 is too far away"),
        (7, "it does not connect to pool.invalid:3333"),
        (8, "it does not connect to pool.invalid:3333"),
    ] {
        let (port, _asked) = socks(Rules { login: None, code, target: 0 }).await;
        let said =
            refused(&through(&format!("socks5://127.0.0.1:{port}"), pool())).await.to_string();
        assert!(said.contains(&format!("the proxy socks5://127.0.0.1:{port}: {words}")), "{said}");
    }
}

#[tokio::test]
async fn a_proxy_that_is_none_is_named() {
    let close = |_: TcpStream| async {};
    let (other, closes) = (serve(greet).await, serve(close).await);
    for (port, words) in [
        (other, "does not speak SOCKS5"),
        (closes, "it closes the connection"),
        (closed_port(), "refuses the connection"),
    ] {
        let error = refused(&through(&format!("socks5://127.0.0.1:{port}"), pool())).await;
        let said = error.to_string();
        assert!(matches!(error, LinkError::Proxy(..)) && said.contains(words), "{said}");
        assert!(!said.contains("os error"), "{said}");
    }
}

#[tokio::test]
async fn tls_goes_through_a_proxy_to_its_end() {
    let identity = Identity::self_signed(POOL);
    let pin = Tls::Pinned(identity.fingerprint());
    let target = serve(move |stream| greet_encrypted(stream, identity.clone(), &TLS13)).await;
    let (port, _asked) = socks(Rules { login: None, code: 0, target }).await;
    let endpoint = Endpoint { host: POOL.to_owned(), ..encrypted(3334, pin) };
    let proxy = format!("socks5://127.0.0.1:{port}");
    greeted(&through(&proxy, endpoint.clone())).await;
    let other = Tls::Pinned(Identity::self_signed(POOL).fingerprint());
    let said =
        refused(&through(&proxy, Endpoint { tls: Some(other), ..endpoint })).await.to_string();
    assert!(said.contains(&proxy) && said.contains("not "), "{said}");
}
