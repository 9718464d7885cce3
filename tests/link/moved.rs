//! A pool that sends its miners to another port.

use std::time::Duration;

use adit::chain;
use adit::runtime::net::{Command, Line, Net, Pool};
use adit::runtime::{Crew, Stop};
use adit::source::stratum_v1::{Client, Settings};
use adit::work::SourceId;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;

use crate::plain;

const SOURCE: SourceId = SourceId(0);

/// Port of a new listener.
async fn listener() -> (TcpListener, u16) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

#[tokio::test]
async fn a_port_that_the_pool_sent_us_to_is_left_when_it_fails() {
    let ((first, port), (second, other)) = (listener().await, listener().await);
    let client = Client::new(Settings {
        source: SOURCE,
        user: "w".to_owned(),
        password: "x".to_owned(),
        agent: "adit".to_owned(),
        version_mask: chain::VERSION_ROLLING_MASK,
        minimum_difficulty: None,
        payout: None,
        host: "127.0.0.1".to_owned(),
        port,
        reconnect_port: true,
    });
    let crew = Crew::new(Vec::new(), Duration::from_millis(10), Stop::default());
    let line = Line::Pool(Box::new(Pool { endpoint: plain(port), client }));
    let mut net = Net::start(vec![line], crew.waker()).unwrap();
    net.tell(SOURCE, Command::Want(true));

    let (stream, _) = first.accept().await.unwrap();
    let mut stream = BufReader::new(stream);
    stream.read_line(&mut String::new()).await.unwrap();
    let order =
        format!("{{\"id\":null,\"method\":\"client.reconnect\",\"params\":[\"\",{other},0]}}\n");
    stream.write_all(order.as_bytes()).await.unwrap();
    drop(second.accept().await.unwrap());
    tokio::select! {
        again = first.accept() => drop(again.unwrap()),
        again = second.accept() => panic!("it came back to the port that failed: {again:?}"),
    }
    let _ = net.close();
}
