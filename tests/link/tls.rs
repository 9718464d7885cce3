//! Whom the links believe: attack B10 of a man in the middle.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use adit::link::{LinkError, Tls};
use adit::source::location::Fingerprint;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd,
};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{ServerConfig, SupportedProtocolVersion};

use crate::{HELLO, encrypted, greet, greeted, refused, serve};

const HERE: &str = "127.0.0.1";

/// A certificate, and the key that its server has.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    certificate: CertificateDer<'static>,
    key: Arc<CertifiedKey>,
}

impl Identity {
    fn new(certificate: &CertificateDer<'static>, key: &KeyPair) -> Self {
        let der = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let key = ring::sign::any_supported_type(&der).unwrap();
        let key = Arc::new(CertifiedKey::new(vec![certificate.clone()], key));
        Self { certificate: certificate.clone(), key }
    }

    pub(crate) fn self_signed(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let certificate = params(name).self_signed(&key).unwrap();
        Self::new(certificate.der(), &key)
    }

    /// The certificate of this one, and a key of one's own.
    fn stolen(&self) -> Self {
        Self::new(&self.certificate, &KeyPair::generate().unwrap())
    }

    pub(crate) fn fingerprint(&self) -> Fingerprint {
        Fingerprint(Sha256::digest(&self.certificate).into())
    }
}

impl ResolvesServerCert for Identity {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.key))
    }
}

fn params(name: &str) -> CertificateParams {
    CertificateParams::new(vec![name.to_owned()]).unwrap()
}

/// Says hello to each connection, with the next of these identities and at last always with the last.
async fn tls_server(identities: Vec<Identity>, version: &'static SupportedProtocolVersion) -> u16 {
    let next = Arc::new(AtomicUsize::new(0));
    serve(move |stream| {
        let number = next.fetch_add(1, Ordering::Relaxed).min(identities.len() - 1);
        greet_encrypted(stream, identities[number].clone(), version)
    })
    .await
}

pub(crate) async fn greet_encrypted(
    stream: TcpStream,
    identity: Identity,
    version: &'static SupportedProtocolVersion,
) {
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(identity));
    if let Ok(mut stream) = TlsAcceptor::from(Arc::new(config)).accept(stream).await {
        let _ = stream.write_all(HELLO).await;
        let _ = stream.read(&mut [0; 1]).await;
    }
}

#[tokio::test]
async fn a_pinned_certificate_is_believed_whoever_signed_it() {
    for version in [&TLS12, &TLS13] {
        let pool = Identity::self_signed("another.example.org");
        let pin = Tls::Pinned(pool.fingerprint());
        greeted(&encrypted(tls_server(vec![pool], version).await, pin)).await;
    }
}

#[tokio::test]
async fn another_certificate_than_the_pinned_one_is_refused_with_both_fingerprints() {
    let [pool, other] = [(); 2].map(|()| Identity::self_signed(HERE));
    let port = tls_server(vec![other.clone()], &TLS13).await;
    let error = refused(&encrypted(port, Tls::Pinned(pool.fingerprint()))).await;
    let LinkError::Fingerprint { seen, pinned, .. } = error else { panic!("{error}") };
    assert_eq!((seen, pinned), (other.fingerprint(), pool.fingerprint()));
}

#[tokio::test]
async fn a_certificate_that_changes_between_two_connections_is_refused() {
    let [pool, other] = [(); 2].map(|()| Identity::self_signed(HERE));
    let pin = Tls::Pinned(pool.fingerprint());
    let endpoint = encrypted(tls_server(vec![pool, other], &TLS13).await, pin);
    greeted(&endpoint).await;
    let error = refused(&endpoint).await;
    assert!(matches!(error, LinkError::Fingerprint { .. }), "{error}");
}

#[tokio::test]
async fn a_certificate_without_its_key_is_worth_nothing() {
    for version in [&TLS12, &TLS13] {
        let pool = Identity::self_signed(HERE);
        let port = tls_server(vec![pool.stolen()], version).await;
        for tls in [Tls::Pinned(pool.fingerprint()), Tls::Insecure] {
            let error = refused(&encrypted(port, tls)).await;
            assert!(matches!(error, LinkError::Handshake(..)), "{error}");
        }
    }
}

#[tokio::test]
async fn insecure_believes_anybody() {
    for pool in [Identity::self_signed("another.example.org"), expired().0] {
        greeted(&encrypted(tls_server(vec![pool], &TLS13).await, Tls::Insecure)).await;
    }
}

fn expired() -> (Identity, CertificateParams) {
    let mut params = params(HERE);
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2021, 1, 1);
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    (Identity::new(certificate.der(), &key), params)
}

/// The system's certificates are read once in a process, so this test is one, with an authority of its own.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn without_a_pin_the_systems_authorities_decide() {
    const ROOTS: &str = "SSL_CERT_FILE";
    const INSIDE: &str = "ADIT_TEST_WITH_OWN_ROOTS";
    const NAME: &str = "tls::without_a_pin_the_systems_authorities_decide";
    if std::env::var_os(INSIDE).is_none() {
        let folder = tempfile::tempdir().unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", NAME, "--nocapture"]).env_remove("SSL_CERT_DIR");
        child.env(ROOTS, folder.path().join("roots.pem")).env(INSIDE, "1");
        let output = child.output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success() && said.contains("1 passed"), "{output:?}");
        return;
    }
    let mut authority = CertificateParams::default();
    authority.distinguished_name.push(DnType::CommonName, "an authority of this test");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    std::fs::write(std::env::var_os(ROOTS).unwrap(), authority.pem()).unwrap();
    let signed = |params: &CertificateParams| {
        let key = KeyPair::generate().unwrap();
        Identity::new(params.signed_by(&key, &authority).unwrap().der(), &key)
    };
    let pool = signed(&params(HERE));
    greeted(&encrypted(tls_server(vec![pool.clone()], &TLS13).await, Tls::System)).await;

    let fails = async |identity: &Identity| {
        refused(&encrypted(tls_server(vec![identity.clone()], &TLS13).await, Tls::System)).await
    };
    let stranger = Identity::self_signed(HERE);
    let error = fails(&stranger).await;
    let LinkError::UnknownIssuer { seen, .. } = error else { panic!("{error}") };
    assert_eq!(seen, stranger.fingerprint());
    let other = signed(&params("pool.example.org"));
    let error = fails(&other).await;
    let LinkError::WrongHost { seen, .. } = error else { panic!("{error}") };
    assert_eq!(seen, other.fingerprint());
    let error = fails(&signed(&expired().1)).await;
    assert!(matches!(error, LinkError::Expired { .. }), "{error}");
    let mut early = params(HERE);
    early.not_before = date_time_ymd(3000, 1, 1);
    let error = fails(&signed(&early)).await;
    assert!(matches!(error, LinkError::Expired { .. }), "{error}");
    let error = fails(&pool.stolen()).await;
    assert!(matches!(error, LinkError::Handshake(..)), "{error}");
}

/// Nothing falls back to plain: whoever cuts TLS off gets no worker's name.
#[tokio::test]
async fn a_server_without_tls_is_told_from_one_that_fails() {
    let error = refused(&encrypted(serve(greet).await, Tls::Insecure)).await;
    assert!(matches!(error, LinkError::NoTls(_)), "{error}");
    let close = |mut stream: TcpStream| async move {
        let _ = stream.read(&mut [0; 1 << 14]).await;
    };
    let error = refused(&encrypted(serve(close).await, Tls::Insecure)).await;
    assert!(matches!(error, LinkError::BrokenHandshake(_)), "{error}");
    // What was not read when a socket is closed makes it a reset.
    let reset = |stream: TcpStream| async move {
        let _ = stream.readable().await;
    };
    let error = refused(&encrypted(serve(reset).await, Tls::Insecure)).await;
    assert!(matches!(error, LinkError::BrokenHandshake(_)), "{error}");
}
