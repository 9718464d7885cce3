//! TLS: whom to believe, and what to say when nobody can be believed.

use std::io;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rustls_platform_verifier::Verifier;
use sha2::{Digest as _, Sha256};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    CertificateError, ClientConfig, ConfigBuilder, DigitallySignedStruct, Error, RootCertStore,
    SignatureScheme, WantsVerifier,
};

use super::error::is_hang_up;
use super::{LinkError, name};
use crate::source::location::Fingerprint;

/// Whom to believe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tls {
    /// Whom the system believes.
    System,
    /// Who has this certificate, whoever signed it.
    Pinned(Fingerprint),
    /// Anybody.
    Insecure,
}

/// Encrypts a connection.
pub(super) async fn wrap(
    tls: Tls,
    stream: TcpStream,
    host: &str,
    port: u16,
) -> Result<TlsStream<TcpStream>, LinkError> {
    let name = name(host, port);
    let server = ServerName::try_from(host.to_owned());
    let server = server.map_err(|_| LinkError::ServerName(host.to_owned()))?;
    let provider = provider();
    let trust = match tls {
        Tls::System => Trust::System(system()?),
        Tls::Pinned(pinned) => Trust::Pinned(pinned),
        Tls::Insecure => Trust::Anybody,
    };
    let verifier =
        Arc::new(Check { provider: Arc::clone(&provider), trust, seen: Mutex::default() });
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| LinkError::Handshake(name.clone(), io::Error::other(error)))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::clone(&verifier) as Arc<dyn ServerCertVerifier>)
        .with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(config));
    let connected = connector.connect(server, stream).await;
    connected.map_err(|error| explain(name, error, &verifier))
}

/// For who needs no other trust than the system's.
pub(super) fn trusting_the_system() -> Result<ClientConfig, LinkError> {
    let verifier = system()?;
    Ok(config()?.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth())
}

/// For who never speaks TLS, and whose library wants to know how all the same.
pub(super) fn trusting_nobody() -> Result<ClientConfig, LinkError> {
    Ok(config()?.with_root_certificates(RootCertStore::empty()).with_no_client_auth())
}

fn config() -> Result<ConfigBuilder<ClientConfig, WantsVerifier>, LinkError> {
    ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(LinkError::Roots)
}

fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    Arc::clone(PROVIDER.get_or_init(|| Arc::new(ring::default_provider())))
}

/// The system's certificates, which are some hundred files, read once. A failure is not remembered.
fn system() -> Result<Arc<Verifier>, LinkError> {
    static SYSTEM: OnceLock<Arc<Verifier>> = OnceLock::new();
    if let Some(verifier) = SYSTEM.get() {
        return Ok(Arc::clone(verifier));
    }
    let verifier = Arc::new(Verifier::new(provider()).map_err(LinkError::Roots)?);
    Ok(Arc::clone(SYSTEM.get_or_init(|| verifier)))
}

/// Says what a failed handshake means.
fn explain(name: String, error: io::Error, verifier: &Check) -> LinkError {
    let seen = verifier.seen();
    if let (Trust::Pinned(pinned), Some(seen)) = (&verifier.trust, seen)
        && seen != *pinned
    {
        return LinkError::Fingerprint { name, seen, pinned: *pinned };
    }
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<Error>());
    let why = cause.map(ToString::to_string).unwrap_or_default();
    match (cause, seen) {
        (Some(Error::InvalidCertificate(CertificateError::UnknownIssuer)), Some(seen)) => {
            LinkError::UnknownIssuer { name, seen }
        }
        (
            Some(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )),
            Some(seen),
        ) => LinkError::WrongHost { name, why, seen },
        (
            Some(Error::InvalidCertificate(
                CertificateError::Expired
                | CertificateError::ExpiredContext { .. }
                | CertificateError::NotValidYet
                | CertificateError::NotValidYetContext { .. },
            )),
            _,
        ) => LinkError::Expired { name, why },
        (Some(Error::InvalidMessage(_)), None) => LinkError::NoTls(name),
        // A plain server waits for a line, or hangs up at the first that is none.
        (None, None) if is_hang_up(&error) => LinkError::BrokenHandshake(name),
        _ => LinkError::Handshake(name, error),
    }
}

#[derive(Debug)]
enum Trust {
    Anybody,
    Pinned(Fingerprint),
    System(Arc<Verifier>),
}

/// Believes whom it is told to, and remembers what it saw. Who shows a certificate must have its key in any case.
#[derive(Debug)]
struct Check {
    provider: Arc<CryptoProvider>,
    trust: Trust,
    seen: Mutex<Option<Fingerprint>>,
}

impl Check {
    fn seen(&self) -> Option<Fingerprint> {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ServerCertVerifier for Check {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let shown = Fingerprint(Sha256::digest(end_entity).into());
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(shown);
        match &self.trust {
            Trust::Anybody => Ok(ServerCertVerified::assertion()),
            Trust::Pinned(pinned) if *pinned == shown => Ok(ServerCertVerified::assertion()),
            Trust::Pinned(_) => {
                let why = CertificateError::ApplicationVerificationFailure;
                Err(Error::InvalidCertificate(why))
            }
            Trust::System(verifier) => verifier.verify_server_cert(
                end_entity,
                intermediates,
                server_name,
                ocsp_response,
                now,
            ),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_systems_certificates_are_read_once() {
        match (system(), system()) {
            (Ok(first), Ok(second)) => assert!(Arc::ptr_eq(&first, &second)),
            // A system without any has nothing to read.
            (Err(LinkError::Roots(_)), _) => {}
            other => panic!("{other:?}"),
        }
    }
}
