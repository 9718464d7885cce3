//! Posts JSON to a web address of the user.

use std::time::Duration;

use reqwest::Client;
use reqwest::header::{CONTENT_TYPE, USER_AGENT};
use reqwest::redirect::Policy;
use url::Url;

use super::{LinkError, http, tls};
use crate::limits::CONNECT_DEADLINE;

/// The way to web addresses, for a thread that may wait.
#[derive(Debug)]
pub struct Webhook {
    client: Client,
    runtime: tokio::runtime::Runtime,
}

impl Webhook {
    /// Prepares the way; nothing is sent yet. Redirections are not followed, and certificates are those that the system
    /// believes.
    ///
    /// # Errors
    ///
    /// When TLS or an event queue cannot be had.
    pub fn new() -> Result<Self, LinkError> {
        let failed = |why: String| LinkError::Http("webhooks".to_owned(), why);
        let config = tls::trusting_the_system()?;
        let client = Client::builder()
            .redirect(Policy::none())
            .connect_timeout(CONNECT_DEADLINE)
            .tls_backend_preconfigured(config)
            .build()
            .map_err(|error| failed(http::words(&error)))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| failed(error.to_string()))?;
        Ok(Self { client, runtime })
    }

    /// Sends it and waits for the head of the answer.
    ///
    /// # Errors
    ///
    /// When there is no answer within `limit`, or another than success. The address is not in it: its path may be
    /// secret.
    pub fn post(&self, url: &Url, body: String, limit: Duration) -> Result<(), LinkError> {
        let name = url.host_str().unwrap_or_default().to_owned();
        let request = self
            .client
            .post(url.clone())
            .timeout(limit)
            .header(CONTENT_TYPE, "application/json")
            .header(USER_AGENT, concat!("adit/", env!("CARGO_PKG_VERSION")))
            .body(body);
        let answer = self.runtime.block_on(async move { request.send().await });
        let answer = answer.map_err(|error| LinkError::Http(name.clone(), http::words(&error)))?;
        match answer.status() {
            status if status.is_success() => Ok(()),
            status => Err(LinkError::Http(name, format!("it answered {status}"))),
        }
    }
}
