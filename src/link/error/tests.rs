use super::*;

fn says(error: &LinkError, words: &[&str]) {
    let said = error.to_string();
    assert!(words.iter().all(|word| said.contains(word)), "{said}");
    assert!(!said.contains("os error"), "{said}");
}

fn pool() -> String {
    "pool.example.org:3334".to_owned()
}

#[test]
fn every_failure_names_its_step_and_the_way_out() {
    let other = |why| io::Error::other(why);
    let host = || "pool.example.org".to_owned();
    says(&LinkError::NoSuchHost(host(), other("no such name")), &[&host(), "spelling"]);
    says(&LinkError::SilentNames(host()), &[&host(), "name server", "15 s"]);
    says(&LinkError::Refused(pool()), &[&pool(), "refuses", "check the port"]);
    says(&LinkError::Unreachable(pool(), other("no route")), &[&pool(), "no route"]);
    says(&LinkError::TimeOut(pool()), &[&pool(), "15 s", "firewall"]);
    says(&LinkError::ServerName("a b".to_owned()), &["\"a b\"", "host name or an address"]);
    let roots = LinkError::Roots(rustls::Error::General("none".to_owned()));
    says(&roots, &["ca-certificates", "--tls-fingerprint"]);
    for error in [
        LinkError::NoTls(pool()),
        LinkError::BrokenHandshake(pool()),
        LinkError::SilentHandshake(pool()),
    ] {
        says(&error, &[&pool(), "TLS", "if it is a plain port, write stratum+tcp://"]);
    }
    let cookie = LinkError::Cookie { path: "/d/.cookie".into(), why: "it is not there".to_owned() };
    says(&cookie, &["/d/.cookie", "it is not there", "-datadir", "--cookie-file", "--user"]);
    says(&LinkError::TooLong(pool()), &[&pool(), "33554432 bytes"]);
}

#[test]
fn a_certificate_that_is_not_believed_is_named_with_its_fingerprint() {
    let [seen, pinned] = [Fingerprint([0xab; 32]), Fingerprint([0xcd; 32])];
    let why = || "not of this name".to_owned();
    let pin = format!("--tls-fingerprint {seen}");
    says(&LinkError::UnknownIssuer { name: pool(), seen }, &[&pool(), &pin, "operator"]);
    says(&LinkError::WrongHost { name: pool(), why: why(), seen }, &[&pool(), &why(), &pin]);
    says(&LinkError::Expired { name: pool(), why: why() }, &[&pool(), &why(), "clock"]);
    let mismatch = LinkError::Fingerprint { name: pool(), seen, pinned };
    says(&mismatch, &[&seen.to_string(), &pinned.to_string(), "somebody may be in between"]);
}

#[test]
fn what_fails_behind_a_proxy_names_the_proxy() {
    let through = |error| LinkError::Proxy("socks5://127.0.0.1:9050".to_owned(), Box::new(error));
    let proxy = "through the proxy socks5://127.0.0.1:9050: ";
    says(&through(LinkError::SilentProxy(pool())), &[proxy, &pool(), "SOCKS5", "15 s"]);
    for (error, word) in [
        (SocksError::PasswordAuthFailure(1), "user or password"),
        (SocksError::NoAcceptableAuthMethods, "socks5://USER:PASSWORD@HOST:PORT"),
        (SocksError::ConnectionNotAllowedByRuleset, "rules"),
        (SocksError::HostUnreachable, "cannot reach pool"),
        (SocksError::ConnectionRefused, "nothing listens"),
        (SocksError::TtlExpired, "too far"),
        (SocksError::InvalidResponseVersion, "does not speak SOCKS5"),
        (SocksError::Io(io::ErrorKind::UnexpectedEof.into()), "closes the connection"),
        (SocksError::GeneralSocksServerFailure, "does not connect to pool"),
    ] {
        says(&through(LinkError::Socks(pool(), error)), &[proxy, word]);
    }
}
