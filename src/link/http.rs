//! JSON-RPC over HTTP to one's own node.

use std::path::PathBuf;
use std::time::Duration;

use etcetera::BaseStrategy as _;
use reqwest::header::CONTENT_TYPE;
use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder};

use super::{LinkError, name, tls};
use crate::limits::{CONNECT_DEADLINE, NODE_ANSWER};
use crate::source::location::Secret;

/// Longest cookie file: Bitcoin Core's has 75 bytes.
const COOKIE_FILE: u64 = 4096;

/// Bitcoin Core closes a connection that was idle for 30 s: it must not happen just as we use it again.
const IDLE: Duration = Duration::from_secs(15);

/// The way to a node. Clones share its connections.
#[derive(Debug, Clone)]
pub struct Http {
    client: Client,
    url: String,
    name: String,
    credentials: Credentials,
}

/// How a node knows us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credentials {
    /// It does not ask.
    None,
    /// By name.
    UserPassword {
        /// The RPC user.
        user: String,
        /// Its password.
        password: Secret,
    },
    /// By a file in which the node leaves a user and a password, new ones at each start.
    Cookie(PathBuf),
}

impl Http {
    /// Prepares the way; nothing is sent yet.
    ///
    /// # Errors
    ///
    /// When HTTP cannot be set up.
    pub fn new(host: &str, port: u16, credentials: Credentials) -> Result<Self, LinkError> {
        Self::connecting_within(CONNECT_DEADLINE, host, port, credentials)
    }

    fn connecting_within(
        deadline: Duration,
        host: &str,
        port: u16,
        credentials: Credentials,
    ) -> Result<Self, LinkError> {
        let name = name(host, port);
        let client = Client::builder()
            .no_proxy()
            .redirect(Policy::none())
            .connect_timeout(deadline)
            .tcp_nodelay(true)
            .pool_idle_timeout(IDLE)
            .tls_backend_preconfigured(tls::trusting_nobody()?)
            .build()
            .map_err(|error| LinkError::Http(name.clone(), words(&error)))?;
        Ok(Self { client, url: format!("http://{name}/"), name, credentials })
    }

    /// Sends a request and waits for the whole answer: its status, and its body of at most [`NODE_ANSWER`] bytes.
    ///
    /// # Errors
    ///
    /// When there is no answer within `limit`, or none that can be read.
    pub async fn post(&self, body: Vec<u8>, limit: Duration) -> Result<(u16, Vec<u8>), LinkError> {
        let request = self.client.post(&self.url).timeout(limit);
        let request = request.header(CONTENT_TYPE, "application/json").body(body);
        let failed = |error: reqwest::Error| self.explain(&error, limit);
        let mut response = self.identified(request)?.send().await.map_err(failed)?;
        let status = response.status().as_u16();
        let mut answer = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if answer.len() + chunk.len() > NODE_ANSWER {
                return Err(LinkError::TooLong(self.name.clone()));
            }
            answer.extend_from_slice(&chunk);
        }
        Ok((status, answer))
    }

    fn identified(&self, request: RequestBuilder) -> Result<RequestBuilder, LinkError> {
        match &self.credentials {
            Credentials::None => Ok(request),
            Credentials::UserPassword { user, password } => {
                Ok(request.basic_auth(user, Some(&password.0)))
            }
            Credentials::Cookie(path) => {
                let unreadable = |why: String| LinkError::Cookie { path: path.clone(), why };
                let about =
                    std::fs::metadata(path).map_err(|error| unreadable(error.to_string()))?;
                // A pipe or a device may never end.
                if !about.is_file() {
                    return Err(unreadable("it is no file".to_owned()));
                }
                if about.len() > COOKIE_FILE {
                    return Err(unreadable("it is too long for a cookie".to_owned()));
                }
                let cookie =
                    std::fs::read_to_string(path).map_err(|error| unreadable(error.to_string()))?;
                let (user, password) = cookie
                    .trim()
                    .split_once(':')
                    .ok_or_else(|| unreadable("it does not hold USER:PASSWORD".to_owned()))?;
                Ok(request.basic_auth(user, Some(password)))
            }
        }
    }

    fn explain(&self, error: &reqwest::Error, limit: Duration) -> LinkError {
        let name = self.name.clone();
        if error.is_connect() && words(error).contains("refused") {
            return LinkError::Refused(name);
        }
        if error.is_connect() && error.is_timeout() {
            return LinkError::TimeOut(name);
        }
        if error.is_timeout() {
            return LinkError::Http(
                name,
                format!("no whole answer within {} s", limit.as_secs_f64()),
            );
        }
        LinkError::Http(name, words(error))
    }
}

/// The innermost cause: the outer ones only say that a request failed.
pub(super) fn words(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

/// Where Bitcoin Core leaves its cookie, by the RPC port of its chain; `None` for other ports.
///
/// Source: Bitcoin Core, doc/files.md and `chainparamsbase.cpp`.
#[must_use]
pub fn default_cookie(port: u16) -> Option<PathBuf> {
    let chain = match port {
        8332 => "",
        18332 => "testnet3",
        48332 => "testnet4",
        38332 => "signet",
        18443 => "regtest",
        _ => return None,
    };
    let strategy = etcetera::base_strategy::choose_native_strategy().ok()?;
    let folder = if cfg!(any(windows, target_os = "macos")) {
        strategy.data_dir().join("Bitcoin")
    } else {
        strategy.home_dir().join(".bitcoin")
    };
    Some(folder.join(chain).join(".cookie"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cookie_lies_where_the_chain_of_the_port_has_it() {
        let end = |port| default_cookie(port).map(|path| path.to_string_lossy().replace('\\', "/"));
        assert!(end(8332).unwrap().to_lowercase().ends_with("bitcoin/.cookie"));
        assert!(end(38332).unwrap().ends_with("/signet/.cookie"));
        assert!(end(48332).unwrap().ends_with("/testnet4/.cookie"));
        assert!(end(18443).unwrap().ends_with("/regtest/.cookie"));
        assert_eq!(end(12345), None);
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_node_that_is_not_there_and_one_that_is_slow_are_two_failures() {
        // One connection waits to be accepted; more than that is not answered.
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
        let listener = socket.listen(0).unwrap();
        let port = listener.local_addr().unwrap().port();
        let short = Duration::from_millis(300);
        let node = || Http::connecting_within(short, "127.0.0.1", port, Credentials::None).unwrap();
        let mut queue = Vec::new();
        let error = loop {
            let node = node();
            match node.post(Vec::new(), short * 3).await.unwrap_err() {
                LinkError::Http(_, why) => {
                    assert!(why.contains("no whole answer within 0.9 s"), "{why}");
                    queue.push(node);
                }
                error => break error,
            }
        };
        assert!(matches!(error, LinkError::TimeOut(_)), "{error}");
        assert!(!queue.is_empty());
    }
}
