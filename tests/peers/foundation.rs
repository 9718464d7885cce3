//! foundation-stratum, a Stratum V1 pool in JavaScript, on a Bitcoin Core regtest.

use std::fs;
use std::path::Path;
use std::process::Command;

use bitcoin::Address;
use bitcoin::hashes::{Hash as _, sha256};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use serde_json::json;
use tempfile::TempDir;

use crate::node::{Node, PASSWORD, USER};
use crate::process::{Process, folder, free_port};

/// The worker that it does not let in.
pub(crate) const REFUSED: &str = "refused";

pub(crate) struct Foundation {
    pub(crate) plain: u16,
    pub(crate) tls: u16,
    /// SHA-256 of its certificate, which it signed itself.
    pub(crate) fingerprint: String,
    _process: Process,
    _folder: TempDir,
}

impl Foundation {
    /// With shares of this difficulty. Each is a block too, on regtest.
    pub(crate) fn start(installed: &Path, node: &Node, address: &Address, difficulty: f64) -> Self {
        let folder = folder();
        let path = |name: &str| folder.path().join(name);
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        fs::create_dir(path("certificates")).unwrap();
        fs::write(path("certificates/cert.pem"), cert.pem()).unwrap();
        fs::write(path("certificates/key.pem"), signing_key.serialize_pem()).unwrap();
        let fingerprint = sha256::Hash::hash(cert.der()).to_string();

        let (plain, tls) = (free_port(), free_port());
        let config = json!({
            "node": {
                "host": "127.0.0.1", "port": node.port, "username": USER, "password": PASSWORD,
            },
            "address": address.to_string(),
            "difficulty": difficulty,
            "plain": plain,
            "tls": tls,
        });
        fs::write(path("config.json"), config.to_string()).unwrap();
        let mut command = Command::new("node");
        command.arg(installed.join("start.js")).arg("config.json").current_dir(&folder);
        let mut process = Process::start(&mut command, &path("log"));
        let log = path("log");
        process.wait_until("the pool", || fs::read_to_string(&log).unwrap().contains("ready\n"));
        Self { plain, tls, fingerprint, _process: process, _folder: folder }
    }
}
