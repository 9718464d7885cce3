//! Where a source is, as a user types it.

use std::fmt::{self, Write as _};
use std::path::PathBuf;
use std::str::FromStr;

use url::{Host, Url};

/// The port of Bitcoin Core's RPC on the main chain.
const NODE_PORT: u16 = 8332;

/// Longest host name. Source: RFC 1035.
const LONGEST_HOST: usize = 253;

/// A source of work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// The built-in blocks.
    Replay,
    /// A pool that speaks Stratum V1.
    Stratum(Stratum),
    /// One's own node, through getblocktemplate.
    Node(Node),
}

/// A pool that speaks Stratum V1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stratum {
    /// A name or an address; IPv6 without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Whether the connection is encrypted.
    pub tls: bool,
    /// The worker's name there.
    pub user: Option<String>,
    /// The file with its password.
    pub password_file: Option<PathBuf>,
    /// What the certificate must be.
    pub tls_fingerprint: Option<Fingerprint>,
    /// The way there.
    pub proxy: Option<Proxy>,
}

/// One's own node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// A name or an address; IPv6 without brackets.
    pub host: String,
    /// Its RPC port.
    pub port: u16,
    /// The RPC user.
    pub user: Option<String>,
    /// The file with its password.
    pub password_file: Option<PathBuf>,
    /// The file in which the node leaves a user and a password.
    pub cookie_file: Option<PathBuf>,
}

/// The SHA-256 of a certificate, in DER.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint(pub [u8; 32]);

/// A SOCKS5 proxy, which also resolves names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxy {
    /// A name or an address; IPv6 without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// User and password, where it asks for them.
    pub login: Option<(String, Secret)>,
}

/// What nobody should read over a shoulder or in a log.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

/// Why a text is no source, proxy or fingerprint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LocationError {
    /// The scheme is none of ours.
    #[error(
        "{given:?} is no kind of source; there are stratum+tcp://HOST:PORT, stratum+tls://HOST:PORT, \
         gbt+http://HOST:PORT and replay:{hint}"
    )]
    Scheme {
        /// What was given.
        given: String,
        /// What was probably meant.
        hint: String,
    },
    /// It is no URL.
    #[error("it is no URL: {0}; write it as stratum+tcp://HOST:PORT")]
    Url(#[from] url::ParseError),
    /// The host is missing.
    #[error("it names no host; write it as {0}://HOST:PORT")]
    Host(&'static str),
    /// The host is too long.
    #[error("its host has {0} characters; names have at most {LONGEST_HOST}")]
    LongHost(usize),
    /// The port is missing or 0.
    #[error("it names no port; a pool's page tells it, often 3333: {scheme}://{host}:3333")]
    Port {
        /// The scheme given.
        scheme: &'static str,
        /// The host given.
        host: String,
    },
    /// The password is in the URL.
    #[error(
        "it has a password, which everybody on this machine could read in the list of processes; leave \
         it out and give --password-file FILE, or set ADIT_PASSWORD"
    )]
    Password,
    /// Something follows the port.
    #[error("{0:?} after the port means nothing here; leave it out")]
    Path(String),
    /// An option is unknown.
    #[error("it has no option {given:?}; there are {known}")]
    Option {
        /// The option given.
        given: String,
        /// Those of the scheme.
        known: &'static str,
    },
    /// An option is given twice.
    #[error("its option {0} is given twice; leave one out")]
    Twice(&'static str),
    /// A pin has nothing to be pinned to.
    #[error(
        "it is not encrypted, so there is no certificate with a fingerprint; write stratum+tls://, or leave it out"
    )]
    PlainPin,
    /// An option has a value that it cannot have.
    #[error("its option {name}: {why}")]
    Value {
        /// The option.
        name: &'static str,
        /// What is wrong.
        why: Box<Self>,
    },
    /// A name holds bytes that are no text.
    #[error("its user is no text in UTF-8 after %XX is read")]
    User,
    /// It is no proxy.
    #[error("{0:?} is no proxy; write socks5://HOST:PORT or socks5://USER:PASSWORD@HOST:PORT")]
    Proxy(String),
    /// A login at a proxy is incomplete. Source: RFC 1929.
    #[error(
        "a login at a proxy has a user and a password of 1 to 255 bytes each: socks5://USER:PASSWORD@HOST:PORT"
    )]
    ProxyLogin,
    /// It is no fingerprint.
    #[error(
        "{0:?} is no SHA-256 fingerprint: write its 64 hex digits, as `openssl x509 -noout -fingerprint \
         -sha256` shows them"
    )]
    Fingerprint(String),
}

impl FromStr for Location {
    type Err = LocationError;

    fn from_str(text: &str) -> Result<Self, LocationError> {
        let (scheme, _) = text.split_once(':').unwrap_or((text, ""));
        match scheme.to_ascii_lowercase().as_str() {
            "replay" if text.len() == "replay:".len() => Ok(Self::Replay),
            "stratum+tcp" => stratum(text, "stratum+tcp", false),
            "stratum+tls" | "stratum+ssl" => stratum(text, "stratum+tls", true),
            "gbt+http" => node(text),
            scheme => Err(LocationError::Scheme {
                given: shown(text),
                hint: match scheme {
                    "stratum" | "tcp" => "; did you mean stratum+tcp://?".to_owned(),
                    "ssl" | "tls" | "stratums" | "stratum+tcps" => {
                        "; did you mean stratum+tls://?".to_owned()
                    }
                    "http" => "; did you mean gbt+http://?".to_owned(),
                    "https" | "gbt+https" => {
                        "; a node speaks plain HTTP, on this machine or through a tunnel: gbt+http://"
                            .to_owned()
                    }
                    "stratum2+tcp" => "; Stratum V2 is not spoken yet".to_owned(),
                    _ => String::new(),
                },
            }),
        }
    }
}

fn stratum(text: &str, scheme: &'static str, tls: bool) -> Result<Location, LocationError> {
    let (url, host) = parse(text, scheme)?;
    let Some(port) = url.port().filter(|port| *port > 0) else {
        return Err(LocationError::Port { scheme, host });
    };
    let mut stratum = Stratum {
        host,
        port,
        tls,
        user: user(&url)?,
        password_file: None,
        tls_fingerprint: None,
        proxy: None,
    };
    for (name, value) in url.query_pairs() {
        match &*name {
            "password-file" => set(&mut stratum.password_file, "password-file", path(&value))?,
            "tls-fingerprint" => {
                let pin = option("tls-fingerprint", &value)?;
                set(&mut stratum.tls_fingerprint, "tls-fingerprint", pin)?;
            }
            "proxy" => set(&mut stratum.proxy, "proxy", option("proxy", &value)?)?,
            given => {
                let known = "password-file, tls-fingerprint and proxy";
                return Err(LocationError::Option { given: shown(given), known });
            }
        }
    }
    if stratum.tls_fingerprint.is_some() && !tls {
        return Err(LocationError::PlainPin);
    }
    Ok(Location::Stratum(stratum))
}

fn node(text: &str) -> Result<Location, LocationError> {
    let (url, host) = parse(text, "gbt+http")?;
    let port = url.port().unwrap_or(NODE_PORT);
    if port == 0 {
        return Err(LocationError::Port { scheme: "gbt+http", host });
    }
    let mut node = Node { host, port, user: user(&url)?, password_file: None, cookie_file: None };
    for (name, value) in url.query_pairs() {
        match &*name {
            "password-file" => set(&mut node.password_file, "password-file", path(&value))?,
            "cookie-file" => set(&mut node.cookie_file, "cookie-file", path(&value))?,
            given => {
                let known = "password-file and cookie-file";
                return Err(LocationError::Option { given: shown(given), known });
            }
        }
    }
    Ok(Location::Node(node))
}

/// What all sources have in common: a host, no password, and nothing after the port but options.
fn parse(text: &str, scheme: &'static str) -> Result<(Url, String), LocationError> {
    let url = Url::parse(text)?;
    let host = host(&url, scheme)?;
    if url.password().is_some() {
        return Err(LocationError::Password);
    }
    if !matches!(url.path(), "" | "/") {
        return Err(LocationError::Path(shown(url.path())));
    }
    match url.fragment() {
        Some(fragment) => Err(LocationError::Path(shown(&format!("#{fragment}")))),
        None => Ok((url, host)),
    }
}

fn host(url: &Url, scheme: &'static str) -> Result<String, LocationError> {
    let host = match url.host() {
        Some(Host::Domain(name)) if !name.is_empty() => name.to_owned(),
        Some(Host::Ipv4(address)) => address.to_string(),
        Some(Host::Ipv6(address)) => address.to_string(),
        _ => return Err(LocationError::Host(scheme)),
    };
    if host.len() > LONGEST_HOST { Err(LocationError::LongHost(host.len())) } else { Ok(host) }
}

fn user(url: &Url) -> Result<Option<String>, LocationError> {
    match url.username() {
        "" => Ok(None),
        name => decoded(name).map(Some).ok_or(LocationError::User),
    }
}

/// Text with `%XX` read.
fn decoded(text: &str) -> Option<String> {
    let bytes: Vec<u8> = percent_encoding::percent_decode_str(text).collect();
    String::from_utf8(bytes).ok()
}

fn path(value: &str) -> PathBuf {
    PathBuf::from(value)
}

fn set<T>(slot: &mut Option<T>, name: &'static str, value: T) -> Result<(), LocationError> {
    slot.replace(value).map_or(Ok(()), |_| Err(LocationError::Twice(name)))
}

fn option<T: FromStr<Err = LocationError>>(
    name: &'static str,
    value: &str,
) -> Result<T, LocationError> {
    value.parse().map_err(|why| LocationError::Value { name, why: Box::new(why) })
}

/// What a message repeats of what was typed: the beginning of it [without secrets](without_secrets).
#[must_use]
pub fn shown(text: &str) -> String {
    without_secrets(text).chars().take(60).collect()
}

/// A URL without options and without what may be a password, which can have any of the marks of a URL in it.
#[must_use]
pub fn without_secrets(text: &str) -> String {
    let safe = match text.rsplit_once('@') {
        None => text.to_owned(),
        Some((login, rest)) => {
            // What is no scheme may be part of a password.
            let is_scheme = |scheme: &str| {
                scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
            };
            let user = match login.split_once("://").filter(|(scheme, _)| is_scheme(scheme)) {
                Some((scheme, user)) => match user.split_once(':') {
                    Some((user, _)) => format!("{scheme}://{user}:…"),
                    None => login.to_owned(),
                },
                None => "…".to_owned(),
            };
            format!("{user}@{rest}")
        }
    };
    safe.split_once('?').map_or(safe.clone(), |(before, _)| format!("{before}?…"))
}

impl FromStr for Fingerprint {
    type Err = LocationError;

    fn from_str(text: &str) -> Result<Self, LocationError> {
        let digits: String = text.trim().chars().filter(|c| *c != ':').collect();
        let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
        let byte = |pair: &[u8; 2]| {
            let pair = std::str::from_utf8(pair).ok()?;
            // A sign would pass as a digit.
            let is_hex = pair.chars().all(|c| c.is_ascii_hexdigit());
            is_hex.then(|| u8::from_str_radix(pair, 16).ok()).flatten()
        };
        let bytes: Option<Vec<u8>> = pairs.iter().map(byte).collect();
        let bytes = bytes.filter(|_| rest.is_empty()).and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or_else(|| LocationError::Fingerprint(shown(text)))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for Proxy {
    type Err = LocationError;

    fn from_str(text: &str) -> Result<Self, LocationError> {
        let wrong = || LocationError::Proxy(shown(text));
        let url = Url::parse(text).map_err(|_| wrong())?;
        if !matches!(url.scheme(), "socks5" | "socks5h") || !matches!(url.path(), "" | "/") {
            return Err(wrong());
        }
        let host = host(&url, "socks5").map_err(|_| wrong())?;
        let port = url.port().filter(|port| *port > 0).ok_or_else(wrong)?;
        let login = match (url.username(), url.password()) {
            ("", None) => None,
            (user, password) => {
                let [user, password] = [user, password.unwrap_or_default()].map(decoded);
                let (user, password) = user.zip(password).ok_or_else(wrong)?;
                if [&user, &password].iter().any(|part| !(1..=255).contains(&part.len())) {
                    return Err(LocationError::ProxyLogin);
                }
                Some((user, Secret(password)))
            }
        };
        Ok(Self { host, port, login })
    }
}

/// Without its password.
impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "socks5://{}:{}", bracketed(&self.host), self.port)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// As it is typed, without the options.
impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, user, host, port) = match self {
            Self::Replay => return f.write_str("replay:"),
            Self::Stratum(at) if at.tls => ("stratum+tls", &at.user, &at.host, at.port),
            Self::Stratum(at) => ("stratum+tcp", &at.user, &at.host, at.port),
            Self::Node(at) => ("gbt+http", &at.user, &at.host, at.port),
        };
        write!(f, "{scheme}://")?;
        if let Some(user) = user {
            write!(f, "{user}@")?;
        }
        f.write_str(&bracketed(host))?;
        f.write_char(':')?;
        write!(f, "{port}")
    }
}

/// An IPv6 address as URLs have it.
fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(text: &str) -> Stratum {
        match text.parse() {
            Ok(Location::Stratum(stratum)) => stratum,
            other => panic!("{text}: {other:?}"),
        }
    }

    fn refused(text: &str) -> String {
        text.parse::<Location>().unwrap_err().to_string()
    }

    #[test]
    fn sources_are_read_as_people_write_them() {
        assert_eq!("replay:".parse(), Ok(Location::Replay));
        let at = pool("stratum+tcp://bc1qxyz.rig1@pool.example.org:3333");
        assert_eq!((at.host.as_str(), at.port, at.tls), ("pool.example.org", 3333, false));
        assert_eq!(at.user.as_deref(), Some("bc1qxyz.rig1"));
        for scheme in ["stratum+tls", "stratum+ssl", "Stratum+TLS"] {
            let at = pool(&format!("{scheme}://POOL.example.org:3334/"));
            assert_eq!((at.host.to_lowercase().as_str(), at.tls), ("pool.example.org", true));
        }
        let at = pool("stratum+tcp://a%40b%20c@[::1]:3333");
        assert_eq!((at.host.as_str(), at.user.as_deref()), ("::1", Some("a@b c")));
        let text = "stratum+tls://w@10.0.0.1:5?password-file=/a%20b&proxy=socks5://u:p@127.0.0.1:9050\
                    &tls-fingerprint=00:11:22:33:44:55:66:77:88:99:aa:bb:cc:dd:ee:ff:00112233445566778899AABBCCDDEEFF";
        let at = pool(text);
        assert_eq!(at.password_file, Some(PathBuf::from("/a b")));
        assert_eq!(
            at.tls_fingerprint.unwrap().to_string(),
            "00112233445566778899aabbccddeeff".repeat(2)
        );
        let proxy = at.proxy.unwrap();
        assert_eq!(
            (proxy.port, proxy.login),
            (9050, Some(("u".to_owned(), Secret("p".to_owned()))))
        );
        let Ok(Location::Node(node)) = "gbt+http://rpc@localhost?cookie-file=/c".parse() else {
            panic!()
        };
        assert_eq!((node.port, node.user.as_deref()), (8332, Some("rpc")));
        assert_eq!(node.cookie_file, Some(PathBuf::from("/c")));
    }

    #[test]
    fn a_source_is_shown_as_typed_and_without_secrets() {
        for text in [
            "stratum+tcp://w@pool.example.org:3333",
            "stratum+tls://[2001:db8::1]:443",
            "gbt+http://127.0.0.1:18443",
            "replay:",
        ] {
            assert_eq!(text.parse::<Location>().unwrap().to_string(), text);
        }
        let location: Location =
            "stratum+tcp://w@h:1?proxy=socks5://me:geheim@p:1080".parse().unwrap();
        let shown = format!("{location} {location:?}");
        assert!(!shown.contains("geheim") && shown.contains("stratum+tcp://w@h:1"), "{shown}");
        // Two URLs in one: what is before a second scheme is none.
        for twice in ["//w@p:geheim@gbt+http://user@host", "x:geheim@y://user@host"] {
            assert_eq!(without_secrets(twice), "…@host");
        }
    }

    #[test]
    fn every_mistake_has_a_way_out() {
        for (text, way_out) in [
            ("", "stratum+tcp://HOST:PORT"),
            ("pool.example.org:3333", "stratum+tcp://HOST:PORT"),
            ("stratum://pool:3333", "did you mean stratum+tcp://?"),
            ("tcp://pool:3333", "did you mean stratum+tcp://?"),
            ("ssl://pool:3333", "did you mean stratum+tls://?"),
            ("http://127.0.0.1:8332", "did you mean gbt+http://?"),
            ("gbt+https://127.0.0.1:8332", "plain HTTP"),
            ("replay:x", "replay:"),
            ("stratum+tcp://pool", "stratum+tcp://pool:3333"),
            ("stratum+tcp://pool:0", "names no port"),
            ("stratum+tcp://pool:70000", "no URL"),
            ("stratum+tcp://:3333", "host"),
            ("stratum+tcp:pool:3333", "stratum+tcp://HOST:PORT"),
            ("stratum+tcp://w:secret@pool:3333", "--password-file"),
            ("stratum+tcp://pool:3333/path", "\"/path\""),
            ("stratum+tcp://pool:3333#x", "\"#x\""),
            ("stratum+tcp://pool:3333?user=x", "password-file, tls-fingerprint and proxy"),
            ("gbt+http://h?proxy=socks5://p:1", "password-file and cookie-file"),
            ("stratum+tls://pool:3333?tls-fingerprint=12", "64 hex digits"),
            ("stratum+tls://pool:3333?proxy=http://p:1", "socks5://HOST:PORT"),
            ("stratum+tcp://%ff@pool:3333", "UTF-8"),
            ("gbt+http://h:0", "names no port"),
            ("stratum+tcp://h:1?tls-fingerprint=0", "64 hex digits"),
            ("stratum+tls://h:1?password-file=a&password-file=b", "password-file is given twice"),
            ("stratum+tls://h:1?proxy=socks5://p:1&proxy=socks5://q:1", "proxy is given twice"),
            ("gbt+http://h?cookie-file=a&cookie-file=a", "cookie-file is given twice"),
            ("gbt+http://h?password-file=a&password-file=a", "password-file is given twice"),
            ("stratum+tls://h:1?proxy=socks5://:secret@p:1", "a user and a password"),
            ("stratum+tls://h:1?proxy=socks5://me@p:1", "a user and a password"),
        ] {
            let said = refused(text);
            assert!(said.contains(way_out), "{text}: {said}");
            assert!(!said.contains("secret"), "{text}: {said}");
        }
        assert!(refused(&format!("stratum+tcp://{}:1", "a.".repeat(200))).contains("253"));
        let proxy = "socks5://me:geheim@:1".parse::<Proxy>().unwrap_err().to_string();
        assert!(!proxy.contains("geheim"), "{proxy}");
        for text in ["", "+1", "é", &"0".repeat(63), &"0".repeat(66), &"g".repeat(64)] {
            assert!(text.parse::<Fingerprint>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_pin_without_tls_is_refused() {
        let pin = "00".repeat(32);
        let said = refused(&format!("stratum+tcp://h:1?tls-fingerprint={pin}"));
        assert!(said.contains("stratum+tls://"), "{said}");
        let said =
            refused(&format!("stratum+tls://h:1?tls-fingerprint={pin}&tls-fingerprint={pin}"));
        assert!(said.contains("given twice"), "{said}");
    }

    #[test]
    fn no_message_repeats_what_may_be_a_password() {
        for text in [
            "stratum://w:secret@pool:1",
            "w:secret@pool:1",
            "stratum:w:secret@pool:1",
            "stratum://w:secret@secret@pool:1",
            "stratum://w:secret/secret?secret#secret@pool:1",
            "stratum+tcp://w:33/secret@pool:1",
            "stratum+tcp://w:33#secret@pool:1",
            "stratum+tcp://w:33?secret@pool:1",
            "stratum+tcp://w:33?secret:secret@pool:1=1",
            "stratum+tls://w:33?tls-fingerprint=secret@pool:1",
            "stratum+tcp://pool?proxy=socks5://u:secret@p:1",
            "stratum://pool?proxy=socks5%3A%2F%2Fu%3Asecret%40p%3A1",
            "stratum+tcp://pool:1?proxy=socks5%3A%2F%2Fu%3Asecret%40p",
            "stratum+tcp://pool:1?proxy=socks4://u:secret@p:1",
        ] {
            let said = refused(text);
            assert!(!said.contains("secret") && !shown(text).contains("secret"), "{text}: {said}");
        }
        for text in
            ["socks5://:secret@h:1", "http://u:secret@h:1", "u:secret@h:1", "socks5://u:secret@"]
        {
            let said = text.parse::<Proxy>().unwrap_err().to_string();
            assert!(!said.contains("secret"), "{text}: {said}");
        }
        assert_eq!(shown("stratum://w:secret@pool:1"), "stratum://w:…@pool:1");
        assert_eq!(shown("stratum://w@pool:1?a=b"), "stratum://w@pool:1?…");
        assert_eq!(shown("pool:3333"), "pool:3333");
    }
}
