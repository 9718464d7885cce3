//! A pool that gives one job and never says what it thinks of a share.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value, json};

pub(crate) struct Pool {
    pub(crate) address: SocketAddr,
    submitted: Arc<Mutex<Vec<Value>>>,
}

impl Pool {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let submitted = Arc::new(Mutex::new(Vec::new()));
        let into = Arc::clone(&submitted);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, into) = (stream.unwrap(), Arc::clone(&into));
                thread::spawn(move || serve(&stream, &into));
            }
        });
        Self { address, submitted }
    }

    /// The parameters of all shares that came.
    pub(crate) fn submitted(&self) -> Vec<Value> {
        self.submitted.lock().unwrap().clone()
    }
}

fn serve(mut stream: &TcpStream, submitted: &Mutex<Vec<Value>>) {
    for line in BufReader::new(stream).lines() {
        let Ok(line) = line else { return };
        let request: Value = serde_json::from_str(&line).unwrap();
        let params = &request["params"];
        let result = match request["method"].as_str().unwrap() {
            "mining.configure" => {
                json!({ "version-rolling": true, "version-rolling.mask": "1fffe000" })
            }
            "mining.subscribe" => json!([[["mining.notify", "1"]], "01020304", 4]),
            "mining.authorize" => json!(true),
            "mining.submit" => {
                submitted.lock().unwrap().push(params.clone());
                continue;
            }
            _ => Value::Null,
        };
        let mut said = vec![json!({ "id": request["id"], "result": result, "error": null })];
        if request["method"] == "mining.authorize" {
            // Some ten thousand hashes a share.
            said.push(json!({ "id": null, "method": "mining.set_difficulty", "params": [3e-6] }));
            said.push(json!({ "id": null, "method": "mining.notify", "params": job() }));
        }
        for message in said {
            if stream.write_all(format!("{message}\n").as_bytes()).is_err() {
                return;
            }
        }
    }
}

/// Its coinbase has a script of 13 bytes, the extranonces among them, and pays whoever comes.
fn job() -> Value {
    let previous = "00".repeat(32);
    let before = format!("0100000001{previous}ffffffff0d0401000000");
    let after = "ffffffff0100f2052a01000000015100000000";
    json!(["1", previous, before, after, [], "20000000", "1d00ffff", "65000000", true])
}
