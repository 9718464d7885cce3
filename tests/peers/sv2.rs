//! The Stratum V2 reference pool on a Bitcoin Core signet, behind the translator, which speaks
//! Stratum V1 to miners.

use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;

use bitcoin::Address;
use tempfile::TempDir;

use crate::node::Node;
use crate::process::{Process, folder, free_port};

/// Hashes for a share: a tenth of what a block of signet takes.
pub(crate) const HASHES: u32 = 484_000;

/// What both take for the wish of a miner with so many hashes per second that it comes to [`HASHES`].
const SHARES_PER_MINUTE: u32 = 600;

/// The signature of the pool in the coinbase.
pub(crate) const TAG: &str = "adit's peer";

/// The pool's key as the examples of both have it.
const PUBLIC_KEY: &str = "9auqWEzQDVyd2oe1JVGFLMLHZtCo2FFqZwtKA5gd9xbuEu7PH72";
const SECRET_KEY: &str = "mkDLTBBRxdBv998612qipDYoTK3YUrqLe8uWw7gu3iXbSrn2n";

pub(crate) struct Sv2 {
    /// Where the translator listens.
    pub(crate) port: u16,
    _translator: Process,
    _pool: Process,
    _folder: TempDir,
}

impl Sv2 {
    /// On a node that was started with [`OPTION`].
    pub(crate) fn start(pool: &Path, translator: &Path, node: &Node, address: &Address) -> Self {
        let folder = folder();
        let (pool_port, port) = (free_port(), free_port());
        let file = |name: &str, text: String| {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            path
        };
        let config = file("pool.toml", pool_config(pool_port, node, address));
        let mut command = Command::new(pool.join("bin/pool_sv2"));
        let mut pool =
            Process::start(command.arg("-c").arg(config), &folder.path().join("pool.log"));
        // It listens once it has a template.
        pool.wait_until("the pool", || listens(pool_port));

        let config = file("translator.toml", translator_config(port, pool_port));
        let mut command = Command::new(translator.join("bin/translator_sv2"));
        let mut translator =
            Process::start(command.arg("-c").arg(config), &folder.path().join("translator.log"));
        translator.wait_until("the translator", || listens(port));
        Self { port, _translator: translator, _pool: pool, _folder: folder }
    }
}

/// Of Bitcoin Core, which gives the pool its templates through a socket in its folder.
pub(crate) const OPTION: &str = "-ipcbind=unix";

fn listens(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok()
}

fn pool_config(port: u16, node: &Node, address: &Address) -> String {
    let folder = node.folder().display();
    format!(
        r#"
        authority_public_key = "{PUBLIC_KEY}"
        authority_secret_key = "{SECRET_KEY}"
        cert_validity_sec = 3600
        listen_address = "127.0.0.1:{port}"
        coinbase_reward_script = "addr({address})"
        server_id = 1
        pool_signature = "{TAG}"
        shares_per_minute = {SHARES_PER_MINUTE}.0
        share_batch_size = 1

        [template_provider_type.BitcoinCoreIpc]
        version = 31
        network = "signet"
        data_dir = "{folder}"
        fee_threshold = 100
        min_interval = 1
        "#
    )
}

fn translator_config(port: u16, pool_port: u16) -> String {
    let speed = HASHES * (SHARES_PER_MINUTE / 60);
    format!(
        r#"
        downstream_address = "127.0.0.1"
        downstream_port = {port}
        max_supported_version = 2
        min_supported_version = 2
        downstream_extranonce2_size = 4
        aggregate_channels = true

        [downstream_difficulty_config]
        min_individual_miner_hashrate = {speed}.0
        shares_per_minute = {SHARES_PER_MINUTE}.0
        enable_vardiff = false
        job_keepalive_interval_secs = 60

        [[upstreams]]
        address = "127.0.0.1"
        port = {pool_port}
        authority_pubkey = "{PUBLIC_KEY}"
        user_identity = "peer"
        "#
    )
}
