//! bcoin, a node in JavaScript that shares no code with Bitcoin Core, on a regtest of its own.

use std::path::Path;
use std::process::Command;

use serde_json::json;
use tempfile::TempDir;

use crate::process::{Process, folder, free_port};
use crate::rpc::{Login, Rpc};

pub(crate) const PASSWORD: &str = "swordfish";

/// The first height with segwit: its blocks signal for it, and a change takes three periods of 144.
pub(crate) const SEGWIT: u64 = 432;

/// An address of its regtest, whose prefix is not Core's.
const ADDRESS: &str = "rb1qzyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg328fddy";

pub(crate) struct Bcoin {
    pub(crate) rpc: Rpc,
    port: u16,
    _process: Process,
    _folder: TempDir,
}

impl Bcoin {
    pub(crate) fn start(installed: &Path) -> Self {
        let (folder, port) = (folder(), free_port());
        let rpc = Rpc::new(port, Login::Password(PASSWORD));
        let mut command = Command::new("node");
        command
            .arg(installed.join("node_modules/bcoin/bin/node"))
            .args(["--network=regtest", "--memory", "--no-wallet", "--listen=false"])
            .args(["--workers=false", "--http-host=127.0.0.1", "--log-level=info"])
            .arg(format!("--http-port={port}"))
            .arg(format!("--api-key={PASSWORD}"))
            .arg(format!("--prefix={}", folder.path().display()))
            // No part of it is compiled.
            .env("NODE_BACKEND", "js");
        let mut process = Process::start(&mut command, &folder.path().join("log"));
        process.wait_until("bcoin's RPC", || rpc.ask("getblockcount", &json!([])).is_ok());
        Self { rpc, port, _process: process, _folder: folder }
    }

    /// As `--source` has it. It knows no users.
    pub(crate) fn url(&self) -> String {
        format!("gbt+http://any@127.0.0.1:{}", self.port)
    }

    /// Mines until the chain is that high.
    pub(crate) fn generate_until(&self, height: u64) {
        self.rpc.call("generatetoaddress", json!([height - self.rpc.height(), ADDRESS]));
    }
}
