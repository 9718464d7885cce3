//! The RPC of nodes, for what tests ask of them. None of it is adit's.

use std::fmt::Display;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use bitcoin::Block;
use bitcoin::consensus::encode::deserialize_hex;
use reqwest::Client;
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};

/// A node generates hundreds of blocks in that time.
const LIMIT: Duration = Duration::from_secs(120);

pub(crate) struct Rpc {
    url: String,
    login: Login,
    client: Client,
    runtime: Runtime,
}

pub(crate) enum Login {
    /// A file with a name and a password, which a node writes anew whenever it starts.
    Cookie(PathBuf),
    Password(&'static str),
}

impl Rpc {
    pub(crate) fn new(port: u16, login: Login) -> Self {
        // A node closes connections that were idle for half a minute, which is noticed too late.
        // reqwest asks for one, also where only plain HTTP is spoken; the second time it is there already.
        let _ = tokio_rustls::rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder().no_proxy().timeout(LIMIT).pool_max_idle_per_host(0);
        Self {
            url: format!("http://127.0.0.1:{port}/"),
            login,
            client: client.build().unwrap(),
            runtime: Builder::new_current_thread().enable_all().build().unwrap(),
        }
    }

    /// The result; an error of the node fails the test.
    #[expect(clippy::needless_pass_by_value, reason = "arguments are written where it is called")]
    pub(crate) fn call(&self, method: &str, params: Value) -> Value {
        self.ask(method, &params).unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    /// The result, or what went wrong: the node's own error, or a text where there is no answer.
    pub(crate) fn ask(&self, method: &str, params: &Value) -> Result<Value, Value> {
        let text = |error: &dyn Display| Value::from(error.to_string());
        let login = match &self.login {
            Login::Cookie(file) => fs::read_to_string(file).map_err(|error| text(&error))?,
            Login::Password(password) => format!("user:{password}"),
        };
        let (user, password) = login.split_once(':').unwrap();
        let body = json!({ "id": 1, "method": method, "params": params }).to_string();
        let request = self.client.post(&self.url).basic_auth(user, Some(password)).body(body);
        let answer = self.runtime.block_on(async { request.send().await?.text().await });
        let answer = answer.map_err(|error| text(&error))?;
        let mut answer: Value = serde_json::from_str(&answer).map_err(|_| text(&answer))?;
        if answer["error"].is_null() {
            Ok(answer["result"].take())
        } else {
            Err(answer["error"].take())
        }
    }

    pub(crate) fn height(&self) -> u64 {
        self.call("getblockcount", json!([])).as_u64().unwrap()
    }

    /// The block of the best chain at a height, decoded by the `bitcoin` crate.
    pub(crate) fn block(&self, height: u64) -> Block {
        let hash = self.call("getblockhash", json!([height]));
        let block = self.call("getblock", json!([hash, false]));
        let block: Block = deserialize_hex(block.as_str().unwrap()).unwrap();
        assert_eq!(hash, block.block_hash().to_string());
        block
    }
}
