//! Placeholder until the branch is merged.
use crate::source::location::*;
use std::path::PathBuf;
use std::time::Duration;
#[derive(Clone)]
pub struct Endpoint {
    pub host: String,
    pub port: u16,
    pub tls: Option<Tls>,
    pub proxy: Option<Proxy>,
}
#[derive(Clone)]
pub struct Tls {
    pub fingerprint: Option<Fingerprint>,
    pub insecure: bool,
}
pub type Stream = tokio::net::TcpStream;
pub async fn connect(endpoint: &Endpoint) -> Result<Stream, std::io::Error> {
    Stream::connect((endpoint.host.as_str(), endpoint.port)).await
}
#[derive(Clone)]
pub struct Http;
impl Http {
    pub fn new(_h: &str, _p: u16, _c: Credentials) -> Result<Self, std::io::Error> {
        Ok(Self)
    }
    pub async fn post(&self, _b: Vec<u8>, _l: Duration) -> Result<(u16, Vec<u8>), std::io::Error> {
        Err(std::io::Error::other("x"))
    }
}
pub enum Credentials {
    None,
    UserPassword { user: String, password: Secret },
    Cookie(PathBuf),
}
pub fn default_cookie(_p: u16) -> Option<PathBuf> {
    None
}
