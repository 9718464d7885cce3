//! From what was typed to connections: who we are at each source, and how it is reached.

use std::fs;
use std::path::{Path, PathBuf};

use super::Args;
use crate::cli::Failure;
use crate::limits::SOURCES;
use crate::link::{Credentials, Endpoint, Http, Tls, default_cookie};
use crate::runtime::net::{Line, Node, Pool};
use crate::runtime::vault::Vault;
use crate::source::failover::Plan;
use crate::source::location::{self, Location, Secret};
use crate::source::{gbt, stratum_v1};
use crate::work::SourceId;

/// Names the folder of journal and blocks, instead of the platform's.
const STATE_VARIABLE: &str = "ADIT_STATE_DIR";

/// Has the password where no file does.
const PASSWORD_VARIABLE: &str = "ADIT_PASSWORD";

/// What pools that look at no password are given by everybody.
const ANY_PASSWORD: &str = "x";

/// Longest password: a longer file is another one.
const LONGEST_PASSWORD: u64 = 4096;

/// The connections for these sources, in their order.
pub(super) fn lines(args: &Args, sources: &[Location], state: &Path) -> Result<Vec<Line>, Failure> {
    if sources.len() > SOURCES {
        return Err(Failure::usage(format!(
            "{} sources are more than the {SOURCES} of one run; leave some out",
            sources.len()
        )));
    }
    let line = |(source, location): (SourceId, &Location)| match location {
        Location::Stratum(stratum) => pool(args, source, stratum),
        Location::Node(node) => self::node(args, source, node, state),
        Location::Replay => Err(Failure::usage("replay: is no source beside others")),
    };
    (0..).map(SourceId).zip(sources).map(line).collect()
}

/// How the sources share the devices.
pub(super) fn plan(args: &Args, sources: &[Location]) -> Result<Plan, Failure> {
    match &args.quota {
        None => Ok(Plan::Failover),
        Some(quota) => Plan::quota(quota, sources)
            .map_err(|error| Failure::usage(format!("--quota {quota}: {error}"))),
    }
}

/// The folder of journal and blocks.
pub(super) fn state_folder() -> Result<PathBuf, Failure> {
    use etcetera::BaseStrategy as _;
    if let Some(folder) = std::env::var_os(STATE_VARIABLE).filter(|folder| !folder.is_empty()) {
        return Ok(folder.into());
    }
    let strategy = etcetera::base_strategy::choose_native_strategy().map_err(|error| {
        Failure::usage(format!("no folder for journal and blocks: {error}; set {STATE_VARIABLE}"))
    })?;
    let folder = strategy.state_dir().unwrap_or_else(|| strategy.data_dir());
    Ok(folder.join("adit"))
}

fn pool(args: &Args, source: SourceId, at: &location::Stratum) -> Result<Line, Failure> {
    let Some(user) = at.user.clone().or_else(|| args.user.clone()) else {
        return Err(Failure::usage(format!(
            "{} needs a worker name, often a payout address: give --user NAME, or put it before the host: \
             stratum+tcp://NAME@HOST:PORT",
            Location::Stratum(at.clone())
        )));
    };
    let password = password(args, at.password_file.as_deref())?;
    let tls = tls(args, at);
    let settings = stratum_v1::Settings {
        source,
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
    let endpoint = Endpoint { host: at.host.clone(), port: at.port, tls, proxy };
    let client = stratum_v1::Client::new(settings);
    Ok(Line::Pool(Box::new(Pool { endpoint, client })))
}

/// A source's own pin wins over what is said of all.
fn tls(args: &Args, at: &location::Stratum) -> Option<Tls> {
    at.tls.then(|| match at.tls_fingerprint.or(args.tls_fingerprint) {
        Some(pinned) => Tls::Pinned(pinned),
        None if args.insecure => Tls::Insecure,
        None => Tls::System,
    })
}

fn node(args: &Args, source: SourceId, at: &location::Node, state: &Path) -> Result<Line, Failure> {
    let name = Location::Node(at.clone());
    let Some(payout) = args.payout_address.clone() else {
        return Err(Failure::usage(format!(
            "{name}: whom shall its blocks pay? Give --payout-address an address of the node's chain"
        )));
    };
    let user = at.user.clone().or_else(|| args.user.clone());
    let password = password(args, at.password_file.as_deref())?;
    let cookie = at.cookie_file.clone().or_else(|| args.cookie_file.clone());
    let credentials = match (user, password, cookie) {
        (Some(user), Some(password), _) => Credentials::UserPassword { user, password },
        (Some(_), None, _) => {
            return Err(Failure::usage(format!(
                "{name} has an RPC user and no password: give --password-file FILE or set \
                 {PASSWORD_VARIABLE}; without a user the node's cookie file serves"
            )));
        }
        (None, _, Some(cookie)) => Credentials::Cookie(cookie),
        (None, _, None) => default_cookie(at.port).map_or(Credentials::None, Credentials::Cookie),
    };
    let settings = gbt::Settings {
        source,
        payout,
        tag: args.coinbase_tag.clone(),
        version_mask: args.version_mask,
        propose: args.propose,
        refresh: args.template_every,
        require: args.require_payout.clone(),
        seed: fastrand::u32(..),
    };
    let client = gbt::Client::new(settings);
    let http = Http::new(&at.host, at.port, credentials)
        .map_err(|error| Failure::usage(format!("{name}: {error}")))?;
    Ok(Line::Node(Box::new(Node { http, client, vault: Vault::at(state) })))
}

/// From the source's own file, else the one for all, else the environment.
fn password(args: &Args, own: Option<&Path>) -> Result<Option<Secret>, Failure> {
    if let Some(path) = own.or(args.password_file.as_deref()) {
        let cannot = |why: String| {
            Failure::usage(format!("cannot read the password from {}: {why}", path.display()))
        };
        let length = fs::metadata(path).map_err(|error| cannot(error.to_string()))?.len();
        if length > LONGEST_PASSWORD {
            return Err(cannot(format!("it has {length} bytes, {LONGEST_PASSWORD} at most")));
        }
        let text = fs::read_to_string(path).map_err(|error| cannot(error.to_string()))?;
        return Ok(Some(Secret(text.trim_end_matches(['\r', '\n']).to_owned())));
    }
    match std::env::var(PASSWORD_VARIABLE) {
        Ok(password) => Ok(Some(Secret(password))),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(error) => Err(Failure::usage(format!("{PASSWORD_VARIABLE}: {error}"))),
    }
}
