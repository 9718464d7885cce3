//! What browsers, dashboards and strangers may send.

use std::cell::RefCell;
use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use adit::api::{Site, Token, rig_answer};
use adit::engine::DeviceId;
use adit::engine::governor::Status;
use adit::runtime::Control;
use adit::runtime::snapshot::Snapshot;
use adit::work::{Duty, Profile};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::runtime::Runtime;
use tokio::sync::watch;

use super::reach;

const TOKEN: &str = "correct-horse-battery";

/// Only an answer that tells of the run has this.
const MARK: &str = "0.1.0-of-the-run";

thread_local! {
    /// What takes long to make and never changes: a run for this machine only.
    static LOCAL: World = World::new("127.0.0.1:4048", None);
    /// One for other machines, until somebody changes it.
    static OPEN: RefCell<World> = RefCell::new(open_world());
}

fn open_world() -> World {
    World::new("0.0.0.0:4048", Some(TOKEN))
}

/// Connections: no bytes let anybody read or change what he may not.
pub fn requests(input: &[u8]) {
    LOCAL.with(|local| ask_local(local, input));
    OPEN.with_borrow_mut(|open| {
        ask_open(open, input);
        if open.is_changed() {
            *open = open_world();
        }
    });
}

fn ask_local(local: &World, input: &[u8]) {
    let said = local.ask(input);
    assert_is_http(&said);
    assert!(!local.is_changed(), "changed without a token");
    if said.starts_with(b"HTTP/1.1 4") {
        reach("refused");
    }
    if has(&said, MARK) {
        reach("told");
        let host = input.to_ascii_lowercase();
        // A name of this machine, or an address.
        let is_ours = has(&host, "localhost") || host.iter().any(u8::is_ascii_digit);
        assert!(is_ours, "told to a page of another site");
    }

    // Whatever follows: a page whose name was pointed here is told nothing.
    let said = local.ask(&[b"GET /v1/status HTTP/1.1\r\nHost: evil.example\r\n", input].concat());
    assert_is_http(&said);
    assert!(!said.starts_with(b"HTTP/1.1 2"), "answered under a foreign name");
    assert!(!local.is_changed(), "changed under a foreign name");
}

fn ask_open(open: &World, input: &[u8]) {
    let said = open.ask(input);
    assert_is_http(&said);
    if has(&said, MARK) {
        reach("told with the token");
    }
    if open.is_changed() {
        reach("changed with the token");
    }
    if !has(input, TOKEN) {
        assert!(!open.is_changed(), "changed without the token");
        assert!(!has(&said, MARK), "told to a stranger");
    }
}

fn has(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

fn assert_is_http(said: &[u8]) {
    assert!(said.is_empty() || said.starts_with(b"HTTP/1."), "{}", String::from_utf8_lossy(said));
    assert!(!said.starts_with(b"HTTP/1.1 500"), "{}", String::from_utf8_lossy(said));
}

/// A run that can be looked at.
struct World {
    site: Site,
    control: Control,
    before: Status,
    runtime: Runtime,
    /// There are no news while it lives.
    _publish: watch::Sender<Arc<Snapshot>>,
}

impl World {
    fn new(address: &str, token: Option<&str>) -> Self {
        let (publish, viewer) = watch::channel(Arc::new(snapshot()));
        let control = Control::default();
        control.join(DeviceId(0), Profile::Desktop, Duty::FULL);
        let token = token.map(|token| Token::new(token).expect("a token"));
        // Its clock stands still: nothing here takes time.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        let runtime = runtime.expect("a runtime without threads");
        let address = address.parse().expect("an address");
        let site = Site::new(address, token, viewer, control.clone());
        Self { site, before: control.status(), control, runtime, _publish: publish }
    }

    fn is_changed(&self) -> bool {
        self.control.status() != self.before
    }

    /// Everything that is answered to these bytes.
    fn ask(&self, bytes: &[u8]) -> Vec<u8> {
        let _inside = self.runtime.enter();
        let said = Arc::new(Mutex::new(Vec::new()));
        let client = Client { input: bytes.to_vec(), read: 0, said: Arc::clone(&said) };
        let mut attended = pin!(self.site.attend(client));
        let mut context = Context::from_waker(Waker::noop());
        let (mut length, mut idle) = (0, 0);
        // Who waits for more of the client, or for news of the run, waits for ever.
        while idle < 3 && attended.as_mut().poll(&mut context).is_pending() {
            let now = said.lock().expect("one thread").len();
            idle = if now == length { idle + 1 } else { 0 };
            length = now;
        }
        let said = said.lock().expect("one thread");
        said.clone()
    }
}

fn snapshot() -> Snapshot {
    let mut snapshot = Snapshot::default();
    snapshot.run.version = MARK;
    snapshot.run.unix_seconds = 1e12;
    snapshot
}

/// A client that says all at once, and then waits.
struct Client {
    input: Vec<u8>,
    read: usize,
    said: Arc<Mutex<Vec<u8>>>,
}

impl AsyncRead for Client {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let rest = &self.input[self.read..];
        if rest.is_empty() {
            return Poll::Pending;
        }
        let length = rest.len().min(buffer.remaining());
        buffer.put_slice(&rest[..length]);
        self.read += length;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Client {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.said.lock().expect("one thread").extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// A command of a dashboard.
pub fn rig_api(input: &[u8]) {
    let request = String::from_utf8_lossy(input);
    let snapshot = snapshot();
    let answer = rig_answer(&request, &snapshot);
    assert!(!answer.contains('\0'), "the end comes at the end");
    // Each of several commands is answered once, and names itself.
    assert!(answer.len() < 2000 + 1000 * request.len(), "{} bytes", answer.len());
    if answer.contains("CMD=") {
        reach("several commands");
    }
    let is_json = request.trim_start_matches(['\0', '\r', '\n', ' ']).starts_with('{');
    reach(if is_json { "JSON" } else { "text" });
    if is_json {
        let parsed: Result<serde_json::Value, _> = serde_json::from_str(&answer);
        assert!(parsed.is_ok(), "{answer}");
    }
}
