//! Bitcoin Core on chains of its own.

use std::path::{Path, PathBuf};
use std::process::Command;

use bitcoin::Address;
use serde_json::json;
use tempfile::TempDir;

use crate::process::{LIMIT, Process, folder, free_port};
use crate::rpc::{Login, Rpc};

/// The node knows this user too, beside its cookie: -rpcauth has salt and HMAC-SHA-256 of the password.
pub(crate) const USER: &str = "miner";
pub(crate) const PASSWORD: &str = "correct horse";
const RPCAUTH: &str = "miner:0123456789abcdef0123456789abcdef$494263beb3730b1a07a6fa2701141875c6d7ae9af626f955b3e7c86d127de130";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Chain {
    /// The one where money is. Its genesis block is old and there is no other: the node waits for more.
    Main,
    /// Two hashes for a block: for the rules.
    Regtest,
    /// Whose blocks need no signature but 4.8 million hashes: for a search of seconds.
    Signet,
}

pub(crate) struct Node {
    pub(crate) chain: Chain,
    pub(crate) rpc: Rpc,
    pub(crate) port: u16,
    program: PathBuf,
    options: Vec<String>,
    process: Option<Process>,
    folder: TempDir,
}

impl Node {
    /// Starts a node that takes its tip for recent, however old that is.
    pub(crate) fn start(installed: &Path, chain: Chain, options: &[&str]) -> Self {
        Self::start_syncing(installed, chain, &[&["-maxtipage=999999999"], options].concat())
    }

    /// Starts a node that waits for blocks from others while its tip is old.
    pub(crate) fn start_syncing(installed: &Path, chain: Chain, options: &[&str]) -> Self {
        let (folder, port) = (folder(), free_port());
        let cookie = folder.path().join(chain.folder()).join(".cookie");
        let mut node = Self {
            chain,
            rpc: Rpc::new(port, Login::Cookie(cookie)),
            port,
            program: installed.join("bin/bitcoin-node"),
            options: options.iter().map(|&option| option.to_owned()).collect(),
            folder,
            process: None,
        };
        node.resume();
        node
    }

    /// Starts it again after [`stop`](Self::stop), at the same port.
    pub(crate) fn resume(&mut self) {
        let mut command = Command::new(&self.program);
        command
            .args(["-server=1", "-dnsseed=0", "-fixedseeds=0", "-natpmp=0", "-listenonion=0"])
            .args(["-rpcbind=127.0.0.1", "-rpcallowip=127.0.0.1"])
            .args([format!("-rpcport={}", self.port), format!("-rpcauth={RPCAUTH}")])
            .args(["-printtoconsole=1", "-nodebuglogfile"])
            .arg(format!("-datadir={}", self.folder.path().display()))
            .args(self.chain.options())
            .args(&self.options);
        let listens = self.options.iter().any(|option| option.starts_with("-bind="));
        if !listens {
            command.args(["-listen=0", "-connect=0"]);
        }
        let mut process = Process::start(&mut command, &self.folder.path().join("log"));
        process.wait_until("the node's RPC", || self.rpc.ask("getblockcount", &json!([])).is_ok());
        self.process = Some(process);
    }

    /// Ends it as its users do, and waits for the end.
    pub(crate) fn stop(&mut self) {
        self.rpc.call("stop", json!([]));
        let mut process = self.process.take().unwrap();
        assert!(process.wait(LIMIT).success());
    }

    pub(crate) fn process(&mut self) -> &mut Process {
        self.process.as_mut().unwrap()
    }

    /// Its data; the socket for pools is below.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn cookie(&self) -> PathBuf {
        self.folder.path().join(self.chain.folder()).join(".cookie")
    }

    /// As `--source` has it.
    pub(crate) fn url(&self) -> String {
        format!("gbt+http://127.0.0.1:{}", self.port)
    }

    /// Mines at once, as regtest allows.
    pub(crate) fn generate(&self, blocks: u64, to: &Address) {
        self.rpc.call("generatetoaddress", json!([blocks, to.to_string()]));
    }
}

impl Chain {
    fn options(self) -> &'static [&'static str] {
        match self {
            Self::Main => &[],
            Self::Regtest => &["-regtest"],
            Self::Signet => &["-signet", "-signetchallenge=51"],
        }
    }

    /// Where Core keeps the chain, below its data folder.
    fn folder(self) -> &'static str {
        match self {
            Self::Main => "",
            Self::Regtest => "regtest",
            Self::Signet => "signet",
        }
    }
}
