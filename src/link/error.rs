//! Why a source cannot be reached, in words that say what to do.

use std::io;
use std::path::PathBuf;

use tokio_rustls::rustls;
use tokio_socks::Error as SocksError;

use crate::limits::{CONNECT_DEADLINE, NODE_ANSWER};
use crate::source::location::Fingerprint;

/// Why a source cannot be reached.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// The name has no address.
    #[error("there is no host {0}: {1}; check its spelling and the network")]
    NoSuchHost(String, #[source] io::Error),
    /// Nobody listens.
    #[error("{0} refuses the connection: nothing listens there; check the port, and that it runs")]
    Refused(String),
    /// The network does not lead there.
    #[error("{0} cannot be reached: {1}")]
    Unreachable(String, #[source] io::Error),
    /// It takes too long.
    #[error("{0} does not answer within {secs} s; a firewall may be in between", secs = CONNECT_DEADLINE.as_secs())]
    TimeOut(String),
    /// Nobody says which address the name has.
    #[error(
        "no name server tells the address of {0} within {secs} s; check the network",
        secs = CONNECT_DEADLINE.as_secs()
    )]
    SilentNames(String),
    /// It fails on the way through a proxy.
    #[error("through the proxy {0}: {1}")]
    Proxy(String, #[source] Box<Self>),
    /// The proxy was reached, and says nothing more.
    #[error(
        "no answer about a connection to {0} within {secs} s; {0} may be silent, or the proxy may not speak SOCKS5",
        secs = CONNECT_DEADLINE.as_secs()
    )]
    SilentProxy(String),
    /// The proxy does not connect us.
    #[error("{}", socks(.0, .1))]
    Socks(String, #[source] SocksError),
    /// The host is no name that a certificate could have.
    #[error("{0:?} is no name for TLS; give a host name or an address")]
    ServerName(String),
    /// The system's certificates cannot be used.
    #[error(
        "the system's root certificates cannot be used: {0}; install them (Debian: ca-certificates), or pin the \
         pool's certificate with --tls-fingerprint"
    )]
    Roots(#[source] rustls::Error),
    /// Nobody known signed the certificate.
    #[error(
        "nobody whom this system trusts signed the certificate of {name}. If it is the pool's own, which its operator \
         can tell, pin it: --tls-fingerprint {seen}"
    )]
    UnknownIssuer {
        /// Host and port.
        name: String,
        /// Of the certificate that was shown.
        seen: Fingerprint,
    },
    /// The certificate is of somebody else.
    #[error(
        "the certificate of {name} is of another host: {why}; use the name that it has, or pin it: --tls-fingerprint {seen}"
    )]
    WrongHost {
        /// Host and port.
        name: String,
        /// What rustls says.
        why: String,
        /// Of the certificate that was shown.
        seen: Fingerprint,
    },
    /// The certificate is too old or too new.
    #[error(
        "the certificate of {name} is not valid now: {why}; check this machine's clock, and tell the operator"
    )]
    Expired {
        /// Host and port.
        name: String,
        /// What rustls says.
        why: String,
    },
    /// Another certificate than the pinned one.
    #[error(
        "{name} shows a certificate with the fingerprint {seen}, not {pinned} as --tls-fingerprint asks: somebody may be in \
         between, or the pool has a new one; ask its operator before you change it"
    )]
    Fingerprint {
        /// Host and port.
        name: String,
        /// What was shown.
        seen: Fingerprint,
        /// What was asked for.
        pinned: Fingerprint,
    },
    /// The other end speaks something else.
    #[error("{0} does not speak TLS; if it is a plain port, write stratum+tcp://")]
    NoTls(String),
    /// The other end ends the connection where its certificate should come.
    #[error("{0} breaks the TLS handshake off; if it is a plain port, write stratum+tcp://")]
    BrokenHandshake(String),
    /// The other end waits for something else.
    #[error("{0}: no answer to the TLS handshake; if it is a plain port, write stratum+tcp://")]
    SilentHandshake(String),
    /// The handshake fails for another reason.
    #[error("no encrypted connection to {0}: {1}")]
    Handshake(String, #[source] io::Error),
    /// The cookie file cannot be read.
    #[error(
        "cannot read the node's cookie file {}: {why}; is the node running, with this -datadir, and may you read it? Else \
         give --cookie-file FILE, or --user and --password-file", .path.display()
    )]
    Cookie {
        /// Where it should be.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// HTTP fails.
    #[error("{0}: {1}")]
    Http(String, String),
    /// The answer is too long.
    #[error("{0} answered with more than {NODE_ANSWER} bytes")]
    TooLong(String),
}

/// Whether the other end closed the connection, in whatever way.
pub(super) fn is_hang_up(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
    )
}

/// What a proxy's refusal means. The codes are those of RFC 1928.
fn socks(target: &str, error: &SocksError) -> String {
    match error {
        SocksError::PasswordAuthFailure(_) => "it refuses user or password".to_owned(),
        SocksError::NoAcceptableAuthMethods | SocksError::AuthorizationRequired => {
            "it wants a user and a password: socks5://USER:PASSWORD@HOST:PORT".to_owned()
        }
        SocksError::ConnectionNotAllowedByRuleset => format!("its rules do not allow {target}"),
        SocksError::NetworkUnreachable | SocksError::HostUnreachable => {
            format!("it cannot reach {target}")
        }
        SocksError::ConnectionRefused => {
            format!("{target} refuses the connection: nothing listens there")
        }
        SocksError::TtlExpired => format!("{target} is too far away for it"),
        SocksError::InvalidResponseVersion | SocksError::UnknownAuthMethod => {
            "it does not speak SOCKS5".to_owned()
        }
        SocksError::Io(error) if is_hang_up(error) => {
            format!("it closes the connection instead of connecting to {target}")
        }
        SocksError::Io(error) => format!("the connection broke: {error}"),
        other => format!("it does not connect to {target}: {other}"),
    }
}

#[cfg(test)]
mod tests;
