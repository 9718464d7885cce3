//! Who may ask what: against pages of other sites that a browser has open, and against strangers in the network.
//!
//! A browser lets any page send requests to this machine, and a page whose name suddenly points here (DNS rebinding)
//! may even read the answers. Both give themselves away: by the header `Origin`, and by a `Host` that is a
//! stranger's name.

use std::net::{IpAddr, SocketAddr};

use axum::http::uri::Authority;
use axum::http::{HeaderMap, Method, StatusCode, header};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// Fewest characters of a token: nobody guesses so many.
const SHORTEST_TOKEN: usize = 16;

/// What may be read from everywhere: it tells nothing of the run but that there is one.
const PUBLIC: [&str; 3] = ["/", "/healthz", "/openapi.json"];

/// A secret that allows more than to look. Only its hash is kept, so that it takes as long to compare whatever is
/// offered.
#[derive(Clone, PartialEq, Eq)]
pub struct Token([u8; 32]);

/// Why a text is no token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// It could be guessed.
    #[error("a token of {0} characters can be guessed; give it {SHORTEST_TOKEN} at least")]
    Short(usize),
    /// A header could not have it.
    #[error("a token has visible ASCII characters only, without spaces")]
    Characters,
}

impl Token {
    /// Reads a token.
    ///
    /// # Errors
    ///
    /// When it can be guessed or cannot be sent.
    pub fn new(text: &str) -> Result<Self, TokenError> {
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(TokenError::Characters);
        }
        if text.len() < SHORTEST_TOKEN {
            return Err(TokenError::Short(text.len()));
        }
        Ok(Self(Sha256::digest(text).into()))
    }

    fn is(&self, offered: &str) -> bool {
        let offered: [u8; 32] = Sha256::digest(offered).into();
        self.0.ct_eq(&offered).into()
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token")
    }
}

/// Lets requests in, or refuses them.
#[derive(Debug)]
pub(super) struct Gate {
    pub(super) token: Option<Token>,
    /// Only this machine can connect.
    is_local: bool,
    /// The names of this machine in its network.
    names: Vec<String>,
}

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error(
        "the header Host is missing or is no name of this machine: ask for its IP address, or localhost"
    )]
    Host,
    #[error("the header Origin is that of another site")]
    Origin,
    #[error("this takes a token: Authorization: Bearer TOKEN")]
    Token,
    #[error("read-only: start adit with ADIT_HTTP_TOKEN or --http-token-file to change anything")]
    ReadOnly,
}

impl Refusal {
    pub(super) const fn status(self) -> StatusCode {
        match self {
            Self::Host => StatusCode::MISDIRECTED_REQUEST,
            Self::Token => StatusCode::UNAUTHORIZED,
            Self::Origin | Self::ReadOnly => StatusCode::FORBIDDEN,
        }
    }
}

impl Gate {
    pub(super) fn new(address: SocketAddr, token: Option<Token>, machine: Option<String>) -> Self {
        let is_local = address.ip().is_loopback();
        let names = machine.filter(|_| !is_local).into_iter();
        let names = names.map(|name| name.to_lowercase());
        let names = names.flat_map(|name| [format!("{name}.local"), name]).collect();
        Self { token, is_local, names }
    }

    pub(super) fn check(
        &self,
        method: &Method,
        path: &str,
        headers: &HeaderMap,
    ) -> Result<(), Refusal> {
        let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or_default());
        let host = text(header::HOST).ok_or(Refusal::Host)?;
        if headers.get_all(header::HOST).iter().count() != 1 || !self.is_ours(host) {
            return Err(Refusal::Host);
        }
        let is_same = |origin: &str| {
            let of = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
            of.is_some_and(|of| of.eq_ignore_ascii_case(host))
        };
        if text(header::ORIGIN).is_some_and(|origin| !is_same(origin)) {
            return Err(Refusal::Origin);
        }
        let is_read = matches!(*method, Method::GET | Method::HEAD);
        if is_read && (self.is_local || PUBLIC.contains(&path)) {
            return Ok(());
        }
        let token = self.token.as_ref().ok_or(Refusal::ReadOnly)?;
        let offered = text(header::AUTHORIZATION).unwrap_or_default();
        let (scheme, offered) = offered.split_once(' ').unwrap_or_default();
        let is_known = token.is(offered.trim_start()) && scheme.eq_ignore_ascii_case("bearer");
        if is_known { Ok(()) } else { Err(Refusal::Token) }
    }

    /// Whether this is an address, or a name that only we give ourselves: whoever rebinds a name needs one.
    fn is_ours(&self, host: &str) -> bool {
        let Ok(authority) = host.parse::<Authority>() else { return false };
        let name = authority.host().to_lowercase();
        let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(&name);
        !host.contains('@')
            && (bare.parse::<IpAddr>().is_ok() || name == "localhost" || self.names.contains(&name))
    }
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    const TOKEN: &str = "correct-horse-battery";

    fn gate(address: &str, token: Option<&str>) -> Gate {
        let token = token.map(|token| Token::new(token).unwrap());
        Gate::new(address.parse().unwrap(), token, Some("Rig".to_owned()))
    }

    fn ask(gate: &Gate, method: &Method, path: &str, headers: &[(&str, &str)]) -> Option<Refusal> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let name: HeaderName = name.parse().unwrap();
            map.append(name, HeaderValue::from_str(value).unwrap());
        }
        gate.check(method, path, &map).err()
    }

    #[test]
    fn only_our_own_names_are_answered() {
        let local = gate("127.0.0.1:4048", None);
        let get = |host| ask(&local, &Method::GET, "/v1/status", &[("host", host)]);
        for ours in ["127.0.0.1:4048", "localhost", "LOCALHOST:1", "[::1]:4048", "192.168.0.7"] {
            assert_eq!(get(ours), None, "{ours}");
        }
        for other in [
            "evil.example",
            "evil.example:4048",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "rig",
            "",
            "user@localhost",
            "127.0.0.1:4048/x",
            "local host",
        ] {
            assert_eq!(get(other), Some(Refusal::Host), "{other}");
        }
        assert_eq!(ask(&local, &Method::GET, "/", &[]), Some(Refusal::Host), "none");
        let two = [("host", "localhost"), ("host", "evil.example")];
        assert_eq!(ask(&local, &Method::GET, "/", &two), Some(Refusal::Host));
        let open = gate("0.0.0.0:4048", Some(TOKEN));
        for ours in ["rig:4048", "RIG.local"] {
            assert_eq!(ask(&open, &Method::GET, "/", &[("host", ours)]), None, "{ours}");
        }
    }

    #[test]
    fn pages_of_other_sites_are_refused() {
        let gate = gate("127.0.0.1:4048", Some(TOKEN));
        let of = |origin| {
            let headers = [("host", "127.0.0.1:4048"), ("origin", origin)];
            ask(&gate, &Method::GET, "/v1/status", &headers)
        };
        assert_eq!(of("http://127.0.0.1:4048"), None);
        for other in [
            "null",
            "http://evil.example",
            "http://127.0.0.1:80",
            "http://localhost:4048",
            "",
            "http://127.0.0.1:4048.evil.example",
            "file://",
        ] {
            assert_eq!(of(other), Some(Refusal::Origin), "{other}");
        }
    }

    #[test]
    fn only_a_token_changes_anything() {
        let post = |gate: &Gate, authorization: &str| {
            let headers = [("host", "localhost"), ("authorization", authorization)];
            ask(gate, &Method::POST, "/v1/pause", &headers)
        };
        let read_only = gate("127.0.0.1:4048", None);
        assert_eq!(post(&read_only, ""), Some(Refusal::ReadOnly));
        assert_eq!(post(&read_only, "Bearer x"), Some(Refusal::ReadOnly));
        let gate = gate("127.0.0.1:4048", Some(TOKEN));
        assert_eq!(post(&gate, &format!("Bearer {TOKEN}")), None);
        assert_eq!(post(&gate, &format!("bearer  {TOKEN}")), None);
        for wrong in
            ["", "Bearer", "Bearer ", TOKEN, "Bearer correct-horse", "Basic correct-horse-battery"]
        {
            assert_eq!(post(&gate, wrong), Some(Refusal::Token), "{wrong}");
        }
    }

    #[test]
    fn strangers_in_the_network_read_nothing_without_the_token() {
        let gate = gate("0.0.0.0:4048", Some(TOKEN));
        let get = |path, authorization: &str| {
            let headers = [("host", "192.168.0.7:4048"), ("authorization", authorization)];
            ask(&gate, &Method::GET, path, &headers)
        };
        for path in PUBLIC {
            assert_eq!(get(path, ""), None, "{path}");
        }
        for path in ["/v1/status", "/v1/events", "/metrics", "/v1/history", "//", "/healthz/"] {
            assert_eq!(get(path, ""), Some(Refusal::Token), "{path}");
            assert_eq!(get(path, &format!("Bearer {TOKEN}")), None, "{path}");
        }
    }

    #[test]
    fn a_token_that_can_be_guessed_is_none() {
        assert_eq!(Token::new("0123456789abcde"), Err(TokenError::Short(15)));
        assert_eq!(Token::new("0123456789 abcdef"), Err(TokenError::Characters));
        assert_eq!(Token::new("0123456789äbcdefgh"), Err(TokenError::Characters));
        assert_eq!(format!("{:?}", Token::new(TOKEN)), "Ok(Token)", "it is never shown");
    }
}
