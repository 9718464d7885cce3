//! From what was typed to connections: who we are at each source, and how it is reached.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use bitcoin::hex::FromHex as _;

use super::Args;
use crate::cli::{Failure, output};
use crate::files;
use crate::limits::SOURCES;
use crate::link::{Credentials, Endpoint, Http, Tls, default_cookie};
use crate::runtime::mining::Title;
use crate::runtime::net::{Line, Node, Pool};
use crate::runtime::vault::{Kept, Vault};
use crate::source::failover::Plan;
use crate::source::gbt::SolvedBlock;
use crate::source::location::{self, Location, Secret};
use crate::source::{gbt, stratum_v1};
use crate::work::SourceId;

/// Names the folder of share log and blocks, instead of the platform's.
const STATE_VARIABLE: &str = "ADIT_STATE_DIR";

/// Has the password where no file does.
const PASSWORD_VARIABLE: &str = "ADIT_PASSWORD";

/// What pools that look at no password are given by everybody.
const ANY_PASSWORD: &str = "x";

/// Longest password: a longer file is another one.
const LONGEST_PASSWORD: u64 = 4096;

/// A source, and all that makes it what it is: one that is alike is the same.
#[derive(Clone, PartialEq)]
pub(super) struct Recipe {
    /// How it is told of.
    pub(super) title: Title,
    /// What its user should know before it is used.
    pub(super) warning: Option<&'static str>,
    way: Way,
}

/// How it is reached, and what is said there; its number comes when it is opened.
#[derive(Clone, PartialEq)]
enum Way {
    Pool(Endpoint, Box<stratum_v1::Settings>),
    Node(location::Node, Credentials, Box<gbt::Settings>),
}

/// What these sources are, in their order.
pub(super) fn recipes(args: &Args, sources: &[Location]) -> Result<Vec<Recipe>, Failure> {
    if sources.len() > SOURCES {
        return Err(Failure::usage(format!(
            "{} sources are more than the {SOURCES} of one run; leave some out",
            sources.len()
        )));
    }
    let kinds = check(args, sources)?;
    let recipe = |location: &Location| {
        let way = match location {
            Location::Stratum(stratum) => pool(args, kinds, stratum),
            Location::Node(node) => self::node(args, kinds, node),
            Location::Replay => Err(Failure::usage("replay: is no source beside others")),
        }?;
        let is_insecure =
            matches!(&way, Way::Pool(endpoint, _) if endpoint.tls == Some(Tls::Insecure));
        let warning = match location {
            _ if is_insecure => Some(
                "--insecure accepts any certificate: somebody in between can take your shares; pin the pool's \
                 with --tls-fingerprint instead",
            ),
            Location::Node(_) if args.proxy.is_some() => {
                Some("--proxy is for pools only: this node is reached without it")
            }
            _ => None,
        };
        Ok(Recipe { title: Title { name: location.to_string(), is_insecure }, warning, way })
    };
    sources.iter().map(recipe).collect()
}

impl Recipe {
    /// The way to it. Nothing is connected yet.
    pub(super) fn open(&self, source: SourceId, state: &Path) -> Result<Line, Failure> {
        match &self.way {
            Way::Pool(endpoint, settings) => {
                let settings = stratum_v1::Settings { source, ..settings.as_ref().clone() };
                let client = stratum_v1::Client::new(settings);
                Ok(Line::Pool(Box::new(Pool { endpoint: endpoint.clone(), client })))
            }
            Way::Node(at, credentials, settings) => {
                let http = Http::new(&at.host, at.port, credentials.clone())
                    .map_err(|error| Failure::usage(format!("{}: {error}", self.title.name)))?;
                let seed = fastrand::u32(..);
                let settings = gbt::Settings { source, seed, ..settings.as_ref().clone() };
                let (client, vault) = (gbt::Client::new(settings), Vault::at(state));
                Ok(Line::Node(Box::new(Node { http, client, vault })))
            }
        }
    }
}

/// Which kinds of sources there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kinds {
    /// All of one kind.
    One,
    /// Pools and nodes: a name or password for all would tell the ones what is the others'.
    Both,
}

/// Refuses options that no source obeys.
fn check(args: &Args, sources: &[Location]) -> Result<Kinds, Failure> {
    let has = |is: fn(&Location) -> bool| sources.iter().any(is);
    let has_pools = has(|location| matches!(location, Location::Stratum(_)));
    if args.proxy.is_some() && !has_pools {
        return Err(Failure::usage(
            "--proxy: there is no pool to reach through it, and nodes are reached without one; leave it out",
        ));
    }
    let is_encrypted = |location: &Location| matches!(location, Location::Stratum(at) if at.tls);
    if args.tls_fingerprint.is_some() && !has(is_encrypted) {
        return Err(Failure::usage(
            "--tls-fingerprint: no source is encrypted, so there is no certificate; write stratum+tls://, or \
             leave it out",
        ));
    }
    let has_nodes = has(|location| matches!(location, Location::Node(_)));
    Ok(if has_pools && has_nodes { Kinds::Both } else { Kinds::One })
}

/// How the sources share the devices.
pub(super) fn plan(args: &Args, sources: &[Location]) -> Result<Plan, Failure> {
    match &args.quota {
        None => Ok(Plan::Failover),
        Some(quota) => Plan::quota(quota, sources)
            .map_err(|error| Failure::usage(format!("--quota {quota}: {error}"))),
    }
}

/// The folder of share log and blocks.
pub(super) fn state_folder() -> Result<PathBuf, Failure> {
    use etcetera::BaseStrategy as _;
    if let Some(folder) = files::folder_named_in(STATE_VARIABLE) {
        return Ok(folder);
    }
    let strategy = etcetera::base_strategy::choose_native_strategy().map_err(|error| {
        Failure::usage(format!("no folder for share log and blocks: {error}; set {STATE_VARIABLE}"))
    })?;
    let folder = strategy.state_dir().unwrap_or_else(|| strategy.data_dir());
    Ok(folder.join("adit"))
}

fn pool(args: &Args, kinds: Kinds, at: &location::Stratum) -> Result<Way, Failure> {
    let name = Location::Stratum(at.clone());
    let Some(user) = at.user.clone().or_else(|| args.user.clone()) else {
        return Err(Failure::usage(format!(
            "{name} needs a worker name, often a payout address: give --user NAME, or put it before the host: \
             stratum+tcp://NAME@HOST:PORT"
        )));
    };
    let password = password(args, kinds, at.password_file.as_deref(), &name)?;
    let settings = stratum_v1::Settings {
        source: SourceId(0),
        user,
        password: password.map_or_else(|| ANY_PASSWORD.to_owned(), |Secret(password)| password),
        agent: concat!("adit/", env!("CARGO_PKG_VERSION")).to_owned(),
        version_mask: args.version_mask,
        #[expect(
            clippy::cast_precision_loss,
            reason = "a difficulty, which pools take as a float"
        )]
        minimum_difficulty: args.min_difficulty.map(|difficulty| difficulty as f64),
        payout: args.require_payout.clone(),
        host: at.host.clone(),
        port: at.port,
        reconnect_port: args.reconnect_port,
    };
    let proxy = at.proxy.clone().or_else(|| args.proxy.clone());
    let endpoint = Endpoint { host: at.host.clone(), port: at.port, tls: tls(args, at), proxy };
    Ok(Way::Pool(endpoint, Box::new(settings)))
}

/// A source's own pin wins over what is said of all.
fn tls(args: &Args, at: &location::Stratum) -> Option<Tls> {
    at.tls.then(|| match at.tls_fingerprint.or(args.tls_fingerprint) {
        Some(pinned) => Tls::Pinned(pinned),
        None if args.insecure => Tls::Insecure,
        None => Tls::System,
    })
}

fn node(args: &Args, kinds: Kinds, at: &location::Node) -> Result<Way, Failure> {
    let Some(payout) = args.payout_address.clone() else {
        return Err(Failure::usage(format!(
            "{}: whom shall its blocks pay? Give --payout-address an address of the node's chain",
            Location::Node(at.clone())
        )));
    };
    let settings = gbt::Settings {
        source: SourceId(0),
        payout,
        tag: args.coinbase_tag.clone(),
        version_mask: args.version_mask,
        propose: args.propose,
        refresh: args.template_every,
        require: args.require_payout.clone(),
        seed: 0,
    };
    Ok(Way::Node(at.clone(), credentials(args, kinds, at)?, Box::new(settings)))
}

/// Keeps other processes away from the solved blocks: each would submit the other's. Where no block can be written
/// mining goes on.
pub(super) fn lock<'r>(
    recipes: impl IntoIterator<Item = &'r Recipe>,
    state: &Path,
) -> Result<Option<File>, Failure> {
    if !recipes.into_iter().any(|recipe| matches!(recipe.way, Way::Node(..))) {
        return Ok(None);
    }
    let vault = Vault::at(state);
    let folder = vault.folder().display();
    match vault.lock() {
        Ok(lock) => Ok(Some(lock)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(Failure::usage(format!(
            "another adit that is running keeps its solved blocks in {folder}; end that one, or set \
             {STATE_VARIABLE} to another folder"
        ))),
        Err(error) => {
            output::note(format_args!(
                "solved blocks cannot be kept in {folder}: {error}; they are submitted, but a crash may cost one"
            ));
            Ok(None)
        }
    }
}

/// Blocks of an earlier run that have no answer yet go to their nodes first.
pub(super) fn recover<'l>(lines: impl IntoIterator<Item = &'l mut Line>) {
    for line in lines {
        if let Line::Node(node) = line {
            resubmit(&node.vault, &mut node.client);
        }
    }
}

fn resubmit(vault: &Vault, client: &mut gbt::Client) {
    let (blocks, broken) = vault.unanswered();
    for (path, error) in broken {
        output::note(format_args!(
            "{} is no solved block: {error}; it is left alone",
            path.display()
        ));
    }
    for kept in blocks {
        let about = format!("block {} ({})", kept.height, kept.hash);
        match solved(&kept) {
            Some(block) => {
                output::note(format_args!(
                    "{about} of an earlier run has no answer yet: it is submitted"
                ));
                client.recover(block, Instant::now());
            }
            None => output::note(format_args!(
                "{about} of an earlier run cannot be read; it is left alone"
            )),
        }
    }
}

fn solved(kept: &Kept) -> Option<SolvedBlock> {
    Some(SolvedBlock {
        hash: kept.hash.parse().ok()?,
        height: kept.height,
        chain: kept.chain.parse().ok()?,
        bytes: Vec::from_hex(&kept.block).ok()?,
        ticket: None,
    })
}

/// What a node has of its own comes first; a user for all without a password is no reason not to take a cookie.
fn credentials(args: &Args, kinds: Kinds, at: &location::Node) -> Result<Credentials, Failure> {
    if let Some(own) = &at.cookie_file {
        return Ok(Credentials::Cookie(own.clone()));
    }
    let name = Location::Node(at.clone());
    let common = args.user.as_ref().filter(|_| kinds == Kinds::One);
    let Some(user) = at.user.as_ref().or(common) else {
        if at.password_file.is_some() {
            return Err(Failure::usage(format!(
                "{name} has a password and no RPC user: write gbt+http://USER@HOST:PORT"
            )));
        }
        let cookie = args.cookie_file.clone().or_else(|| default_cookie(at.port));
        return Ok(cookie.map_or(Credentials::None, Credentials::Cookie));
    };
    if let Some(password) = password(args, kinds, at.password_file.as_deref(), &name)? {
        return Ok(Credentials::UserPassword { user: user.clone(), password });
    }
    let there = || default_cookie(at.port).filter(|path| path.exists());
    match args.cookie_file.clone().or_else(there) {
        Some(cookie) if at.user.is_none() => Ok(Credentials::Cookie(cookie)),
        _ => Err(Failure::usage(format!(
            "{name} has an RPC user and no password: give it ?password-file=FILE; without a user the node's \
             cookie file serves"
        ))),
    }
}

/// From the source's own file, else the one for all, else the environment.
fn password(
    args: &Args,
    kinds: Kinds,
    own: Option<&Path>,
    name: &Location,
) -> Result<Option<Secret>, Failure> {
    if let Some(path) = own {
        return password_in(path).map(Some);
    }
    let common = args.password_file.as_deref();
    if kinds == Kinds::Both && (common.is_some() || std::env::var_os(PASSWORD_VARIABLE).is_some()) {
        return Err(Failure::usage(format!(
            "{name}: with pools and nodes together, --password-file and {PASSWORD_VARIABLE} do not say whose the \
             password is; give each source its own: ?password-file=FILE"
        )));
    }
    if let Some(path) = common {
        return password_in(path).map(Some);
    }
    match std::env::var(PASSWORD_VARIABLE) {
        Ok(password) => Ok(Some(Secret(password))),
        Err(std::env::VarError::NotPresent) => Ok(None),
        // Without the value, which the error would repeat.
        Err(std::env::VarError::NotUnicode(_)) => {
            Err(Failure::usage(format!("{PASSWORD_VARIABLE} is no text in UTF-8")))
        }
    }
}

pub(in crate::cli) fn password_in(path: &Path) -> Result<Secret, Failure> {
    let cannot = |why: String| {
        Failure::usage(format!("cannot read the password from {}: {why}", path.display()))
    };
    let length = fs::metadata(path).map_err(|error| cannot(error.to_string()))?.len();
    if length > LONGEST_PASSWORD {
        return Err(cannot(format!("it has {length} bytes, {LONGEST_PASSWORD} at most")));
    }
    let text = fs::read_to_string(path).map_err(|error| cannot(error.to_string()))?;
    Ok(Secret(text.trim_end_matches(['\r', '\n']).to_owned()))
}

#[cfg(test)]
mod tests;
