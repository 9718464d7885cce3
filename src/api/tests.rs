//! The server with real connections. Clocks here only guard against a test that hangs.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::watch;

use super::{Listener, Server, Token, openapi, page, sample};
use crate::engine::DeviceId;
use crate::engine::governor::Reason;
use crate::limits::{HTTP_CONNECTIONS, HTTP_FOLLOWERS, HTTP_HEAD, HTTP_HEADERS};
use crate::runtime::Control;
use crate::runtime::snapshot::Snapshot;
use crate::work::{Duty, Profile, Verdict};

const GUARD: Duration = Duration::from_secs(30);

/// A server of a run that only the test moves.
struct World {
    server: Server,
    publish: watch::Sender<Arc<Snapshot>>,
    control: Control,
}

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl World {
    fn new() -> Self {
        Self::with(None)
    }

    fn with(token: Option<Token>) -> Self {
        let (publish, viewer) = watch::channel(Arc::new(sample::snapshot()));
        let control = Control::default();
        control.join(DeviceId(0), Profile::Desktop, Duty::FULL);
        control.join(DeviceId(1), Profile::Desktop, Duty::FULL);
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), token).unwrap();
        Self { server: listener.serve(viewer, control.clone()).unwrap(), publish, control }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.server.address()).unwrap();
        stream.set_read_timeout(Some(GUARD)).unwrap();
        stream
    }

    /// Sends a request line and headers, besides `Host` and `Connection`, and reads the whole answer.
    fn ask(&self, request: &str, headers: &str) -> Answer {
        self.ask_with(request, headers, "")
    }

    fn ask_with(&self, request: &str, headers: &str, body: &str) -> Answer {
        let mut stream = self.connect();
        let host = self.server.address();
        // Whoever is refused may find the connection closed while he still talks.
        let _ = write!(
            stream,
            "{request} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{headers}\r\n{body}"
        );
        let mut text = Vec::new();
        let _ = stream.read_to_end(&mut text);
        let text = String::from_utf8(text).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_default();
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
        Answer { status, head: head.to_lowercase(), body: body.to_owned() }
    }

    fn json(&self, path: &str) -> Value {
        let answer = self.ask(&format!("GET {path}"), "");
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        assert!(answer.head.contains("content-type: application/json"), "{}", answer.head);
        serde_json::from_str(&answer.body).unwrap()
    }

    /// Follows the run.
    fn follow(&self) -> (u16, BufReader<TcpStream>) {
        let mut stream = self.connect();
        let host = self.server.address();
        write!(stream, "GET /v1/events HTTP/1.1\r\nHost: {host}\r\n\r\n").unwrap();
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        (line.split(' ').nth(1).unwrap().parse().unwrap(), reader)
    }
}

/// The next event of a name. Chunks of HTTP lie between its lines, which are told by their form.
fn next_event(reader: &mut BufReader<TcpStream>, name: &str) -> Value {
    let mut is_next = false;
    loop {
        let mut line = String::new();
        assert!(reader.read_line(&mut line).unwrap() > 0, "the stream ended before {name}");
        if let Some(data) = line.strip_prefix("data: ").filter(|_| is_next) {
            return serde_json::from_str(data).unwrap();
        }
        is_next = line.trim_end() == format!("event: {name}");
    }
}

fn is_valid(schema: &Value, document: &Value, value: &Value) -> Result<(), String> {
    let mut schema = schema.clone();
    schema["components"] = document["components"].clone();
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    validator.validate(value).map_err(|error| format!("{}: {error}", error.instance_path()))
}

fn schema_of<'d>(document: &'d Value, path: &str) -> &'d Value {
    &document["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
}

#[test]
fn each_documented_path_answers_as_the_document_says() {
    let world = World::new();
    let document = world.json("/openapi.json");
    assert_eq!(document, openapi::document());
    let paths: Vec<&String> = document["paths"].as_object().unwrap().keys().collect();
    let mut checked = 0;
    for path in paths {
        let schema = schema_of(&document, path);
        if schema.is_null() {
            continue;
        }
        let answer = world.json(path);
        assert_eq!(is_valid(schema, &document, &answer), Ok(()), "{path}: {answer}");
        checked += 1;
    }
    assert!(checked >= 6, "{checked}");
    let problem = world.ask("GET /v1/nothing", "");
    assert_eq!(problem.status, 404);
    let schema = json!({ "$ref": "#/components/schemas/Problem" });
    let problem = serde_json::from_str(&problem.body).unwrap();
    assert_eq!(is_valid(&schema, &document, &problem), Ok(()));

    // The schemas can tell.
    let schema = schema_of(&document, "/v1/devices");
    let mut devices = world.json("/v1/devices");
    devices[0]["sensors"]["power_watts"] = "much".into();
    assert!(is_valid(schema, &document, &devices).is_err());
    devices[0]["sensors"]["power_watts"] = Value::Null;
    assert_eq!(is_valid(schema, &document, &devices), Ok(()));
    devices[0].as_object_mut().unwrap().remove("health");
    assert!(is_valid(schema, &document, &devices).is_err());
}

#[test]
fn every_answer_forbids_browsers_what_they_need_not() {
    let world = World::new();
    for (request, status) in
        [("GET /", 200), ("GET /metrics", 200), ("GET /x", 404), ("DELETE /v1/status", 403)]
    {
        let answer = world.ask(request, "");
        assert_eq!(answer.status, status, "{request}");
        for header in [
            "cache-control: no-store",
            "x-content-type-options: nosniff",
            "x-frame-options: deny",
            "cross-origin-resource-policy: same-origin",
        ] {
            assert!(answer.head.contains(header), "{request}: {}", answer.head);
        }
        assert!(!answer.head.contains("access-control"), "{}", answer.head);
    }
    let rebound = world.ask("GET /v1/status", "Origin: http://evil.example\r\n");
    assert_eq!(rebound.status, 403);
    assert!(rebound.body.contains("another site"), "{}", rebound.body);
    assert_eq!(world.ask("GET /v1/status", "Host: evil.example\r\n").status, 421);
    let changed = world.ask("POST /v1/pause", "Content-Length: 0\r\n");
    assert!(changed.status == 403 && changed.body.contains("ADIT_HTTP_TOKEN"), "{}", changed.body);
}

#[test]
fn the_page_is_whole_and_asks_nobody_else() {
    let world = World::new();
    let answer = world.ask("GET /", "");
    assert_eq!(answer.body, page::PAGE);
    assert!(page::PAGE.len() < 100_000, "{} bytes", page::PAGE.len());
    assert!(answer.head.contains("default-src 'none'; script-src 'sha256-"), "{}", answer.head);
    let namespaces = ["http://www.w3.org/2000/svg"];
    let foreign: Vec<&str> = page::PAGE
        .match_indices("http")
        .map(|(at, _)| page::PAGE[at..].split(['"', '\'', ' ', ')']).next().unwrap())
        .filter(|address| address.contains("://") && !namespaces.contains(address))
        .collect();
    assert!(foreign.is_empty(), "{foreign:?}");
    for text in ["@import", " style=\"", "innerHTML", "eval(", "onclick=\""] {
        assert!(!page::PAGE.contains(text), "{text}");
    }
    assert_eq!(page::PAGE.matches("<script").count(), 1, "one script, whose hash is allowed");
}

#[test]
fn who_has_the_token_pauses_and_chooses_profiles_and_sets_nothing_else() {
    let token = "correct-horse-battery";
    let world = World::with(Some(Token::new(token).unwrap()));
    let document = openapi::document();
    let post = |path: &str, token: &str, body: &str| {
        let length = body.len();
        let headers = format!(
            "Authorization: Bearer {token}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n"
        );
        let answer = world.ask_with(&format!("POST {path}"), &headers, body);
        if answer.status == 200 {
            let schema = &document["paths"][path]["post"]["responses"]["200"]["content"]["application/json"]
                ["schema"];
            let value = serde_json::from_str(&answer.body).unwrap();
            assert_eq!(is_valid(schema, &document, &value), Ok(()), "{path}: {value}");
        }
        answer
    };
    let paused = || world.control.status().paused;
    assert_eq!(world.json("/v1/status")["controllable"], true);
    assert_eq!(post("/v1/pause", "correct-horse-wrong", "").status, 401);
    assert!(paused().is_empty());
    assert_eq!(post("/v1/pause", token, "").status, 200);
    assert_eq!(paused(), [Reason::Api].into());
    // A pause that a signal asked for is the signal's to lift.
    world.control.pause(crate::engine::governor::Asker::Signal);
    let answer = post("/v1/resume", token, "");
    assert!(answer.status == 200 && answer.body.contains("signal"), "{}", answer.body);
    assert_eq!(paused(), [Reason::Signal].into());

    assert_eq!(post("/v1/profile", token, r#"{"profile":"background","device":1}"#).status, 200);
    let profiles = || world.control.status().devices.iter().map(|d| d.profile).collect::<Vec<_>>();
    assert_eq!(profiles(), [Profile::Desktop, Profile::Background]);
    assert_eq!(post("/v1/profile", token, r#"{"profile":"dedicated"}"#).status, 200);
    assert_eq!(profiles(), [Profile::Dedicated; 2]);
    for (body, status) in [
        (r#"{"profile":"turbo"}"#, 422),
        (r#"{"profile":"desktop","device":7}"#, 404),
        (r#"{"profile":"desktop","pool":"stratum+tcp://thief.example"}"#, 422),
        ("{", 400),
        ("", 400),
        (&"x".repeat(5000), 413),
    ] {
        let answer = post("/v1/profile", token, body);
        assert_eq!(answer.status, status, "{body}: {}", answer.body);
        assert!(answer.body.starts_with("{\"error\":"), "{}", answer.body);
    }
    assert_eq!(profiles(), [Profile::Dedicated; 2]);
    for path in ["/v1/status", "/v1/sources", "/v1/config", "/v1/devices/0", "/"] {
        let status = post(path, token, "{}").status;
        assert!(matches!(status, 404 | 405), "{path}: {status}");
    }
    assert_eq!(world.ask("GET /v1/pause", "").status, 405);
}

#[test]
fn health_follows_the_run() {
    let world = World::new();
    assert_eq!(world.ask("GET /healthz", "").status, 200);
    let mut old = sample::snapshot();
    old.run.unix_seconds = 1e9;
    world.publish.send_replace(Arc::new(old));
    let answer = world.ask("GET /healthz", "");
    assert!(answer.status == 503 && answer.body.contains("said nothing"), "{}", answer.body);
}

#[test]
fn followers_hear_what_is_new_and_nothing_twice() {
    let world = World::new();
    let document = openapi::document();
    let (status, mut events) = world.follow();
    assert_eq!(status, 200);
    let told = next_event(&mut events, "status");
    assert_eq!(is_valid(schema_of(&document, "/v1/status"), &document, &told), Ok(()));
    assert_eq!(told, world.json("/v1/status"));
    assert_eq!(next_event(&mut events, "devices"), world.json("/v1/devices"));
    assert_eq!(next_event(&mut events, "sources"), world.json("/v1/sources"));
    assert_eq!(next_event(&mut events, "share")["share"], 1);
    assert_eq!(next_event(&mut events, "share")["share"], 2);
    let line = next_event(&mut events, "line");
    let schema = json!({ "$ref": "#/components/schemas/Line" });
    assert_eq!(is_valid(&schema, &document, &line), Ok(()));
    assert_eq!((&line["number"], &line["text"]), (&json!(0), &json!(sample::MISCHIEF)));
    assert_eq!(next_event(&mut events, "line")["number"], 1);

    let mut next = world.publish.borrow().as_ref().clone();
    next.last_shares[1] = sample::share(2, Some(Verdict::Accepted));
    next.log.push_back(sample::line(2));
    world.publish.send_replace(Arc::new(next));
    let share = next_event(&mut events, "share");
    assert_eq!((&share["share"], &share["verdict"]), (&json!(2), &json!("accepted")));
    assert_eq!(next_event(&mut events, "line")["number"], 2);

    // The run ends, and so does the stream, properly.
    drop(world.publish);
    let mut rest = String::new();
    events.read_to_string(&mut rest).unwrap();
    assert!(rest.ends_with("0\r\n\r\n"), "{rest}");
}

#[test]
fn followers_have_a_bound_and_free_their_seats() {
    let world = World::new();
    let mut seated: Vec<_> = (0..HTTP_FOLLOWERS).map(|_| world.follow()).collect();
    assert!(seated.iter().all(|(status, _)| *status == 200));
    assert_eq!(world.follow().0, 503);
    seated.pop();
    let begun = Instant::now();
    while world.follow().0 != 200 {
        assert!(begun.elapsed() < GUARD, "a seat that was left stays taken");
        // The server notices when it has something to say.
        world.publish.send_replace(Arc::new(sample::snapshot()));
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn slow_clients_starve_nobody() {
    let world = World::new();
    let (_, mut follower) = world.follow();
    next_event(&mut follower, "sources");
    let slow: Vec<TcpStream> = (0..HTTP_CONNECTIONS + 30)
        .map(|_| {
            let mut stream = world.connect();
            let _ = stream.write_all(b"GET /v1/status HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ");
            stream
        })
        .collect();
    for _ in 0..20 {
        assert_eq!(world.ask("GET /v1/status", "").status, 200);
    }
    // The oldest were closed; no more than the bound are open.
    let is_open = |mut stream: &TcpStream| {
        stream.set_nonblocking(true).unwrap();
        let read = stream.read(&mut [0]);
        read.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
    };
    let open = slow.iter().filter(|stream| is_open(stream)).count();
    assert!((1..HTTP_CONNECTIONS).contains(&open), "{open}");
    world.publish.send_replace(Arc::new(sample::snapshot()));
    next_event(&mut follower, "sources");
}

#[test]
fn requests_have_bounds() {
    let world = World::new();
    let long = format!("X-Long: {}\r\n", "x".repeat(2 * HTTP_HEAD));
    let many = "X-Many: 1\r\n".repeat(HTTP_HEADERS + 1);
    let address = format!("GET /{}", "x".repeat(2 * HTTP_HEAD));
    for (request, headers) in [("GET /", long.as_str()), ("GET /", &many), (&address, "")] {
        let status = world.ask(request, headers).status;
        assert!(matches!(status, 0 | 400 | 414 | 431), "{status}");
    }
    for nonsense in ["", "GET", "\0\0\0", "GET / HTTP/9.9", "PRI * HTTP/2.0"] {
        let mut stream = world.connect();
        let _ = write!(stream, "{nonsense}\r\n\r\n");
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        assert!(!answer.contains(" 200 "), "{nonsense:?}: {answer}");
    }
    assert_eq!(world.ask("GET /v1/status", "").status, 200);
}

#[test]
fn others_are_let_in_with_a_token_only() {
    let everywhere: SocketAddr = "0.0.0.0:0".parse().unwrap();
    let error = Listener::bind(everywhere, None).unwrap_err();
    assert!(error.to_string().contains("ADIT_HTTP_TOKEN"), "{error}");
    let token = "correct-horse-battery";
    let listener = Listener::bind(everywhere, Some(Token::new(token).unwrap())).unwrap();
    let (publish, viewer) = watch::channel(Arc::new(sample::snapshot()));
    let port = listener.address().port();
    let server = listener.serve(viewer, Control::default()).unwrap();
    let ask = |path: &str, headers: &str| {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(GUARD)).unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n");
        write!(stream, "{request}{headers}\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    assert!(ask("/", "").starts_with("HTTP/1.1 200 "));
    let refused = ask("/v1/status", "");
    assert!(refused.starts_with("HTTP/1.1 401 "), "{refused}");
    assert!(refused.to_lowercase().contains("www-authenticate: bearer"), "{refused}");
    let header = format!("Authorization: Bearer {token}\r\n");
    assert!(ask("/v1/status", &header).starts_with("HTTP/1.1 200 "));
    drop((server, publish));
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err(), "the port is free again");
}
