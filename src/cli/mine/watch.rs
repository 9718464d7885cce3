//! Where a run can be watched from elsewhere.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use super::password_in;
use crate::api::{Listener, RigListener, Server, Token};
use crate::cli::{Failure, output};
use crate::runtime::Control;
use crate::runtime::snapshot::Viewer;

/// Has the token where no file does.
const TOKEN_VARIABLE: &str = "ADIT_HTTP_TOKEN";

#[derive(Debug, Args)]
#[command(next_help_heading = "Where the run can be watched")]
pub(super) struct WatchOptions {
    /// Show the run at this address: a web page, JSON, Prometheus metrics; such as 127.0.0.1:4048. Other than on
    /// this machine it takes a token
    #[arg(long, value_name = "ADDRESS:PORT")]
    http: Option<SocketAddr>,

    /// File with the token of those who may pause the run and choose profiles, and of readers from elsewhere;
    /// `ADIT_HTTP_TOKEN` has it too
    #[arg(long, value_name = "FILE", requires = "http")]
    http_token_file: Option<PathBuf>,

    /// Answer dashboards of mining rigs at this address of this machine, such as 127.0.0.1:4028: `version`, `summary`,
    /// `devs`, `pools` and `config` as cgminer does, read-only
    #[arg(long, value_name = "ADDRESS:PORT")]
    api_4028: Option<SocketAddr>,
}

/// Addresses that are taken.
pub(super) struct Listeners {
    http: Option<Listener>,
    rigs: Option<RigListener>,
}

impl WatchOptions {
    /// Whether anything is asked for.
    pub(super) const fn any(&self) -> bool {
        self.http.is_some() || self.api_4028.is_some()
    }

    /// Whether the addresses could be taken, as far as that is known without taking them.
    pub(super) fn check(&self) -> Result<(), Failure> {
        if let Some(address) = self.http {
            let token = self.token()?;
            Listener::may_bind(address, token.as_ref()).map_err(|error| http(address, &error))?;
        }
        if let Some(address) = self.api_4028 {
            RigListener::may_bind(address).map_err(|error| rigs(address, &error))?;
        }
        Ok(())
    }

    /// Takes the addresses, before any work: a wrong one must not cost a run.
    pub(super) fn listen(&self) -> Result<Listeners, Failure> {
        let http = match self.http {
            None => None,
            Some(address) => {
                let listener = Listener::bind(address, self.token()?);
                Some(listener.map_err(|error| http(address, &error))?)
            }
        };
        let rigs = match self.api_4028 {
            None => None,
            Some(address) => {
                Some(RigListener::bind(address).map_err(|error| rigs(address, &error))?)
            }
        };
        Ok(Listeners { http, rigs })
    }

    fn token(&self) -> Result<Option<Token>, Failure> {
        let (text, from) = match (&self.http_token_file, std::env::var(TOKEN_VARIABLE)) {
            (Some(path), _) => (password_in(path)?.0, path.display().to_string()),
            (None, Ok(text)) => (text, TOKEN_VARIABLE.to_owned()),
            (None, Err(std::env::VarError::NotPresent)) => return Ok(None),
            (None, Err(std::env::VarError::NotUnicode(_))) => {
                return Err(Failure::usage(format!("{TOKEN_VARIABLE} is no text in UTF-8")));
            }
        };
        Token::new(&text).map(Some).map_err(|error| Failure::usage(format!("{from}: {error}")))
    }
}

fn http(address: SocketAddr, error: &io::Error) -> Failure {
    refused("--http", address, error)
}

fn rigs(address: SocketAddr, error: &io::Error) -> Failure {
    refused("--api-4028", address, error)
}

fn refused(option: &str, address: SocketAddr, error: &io::Error) -> Failure {
    let way_out = match error.kind() {
        io::ErrorKind::AddrInUse => "; another program listens there: choose another port",
        _ => "",
    };
    Failure::usage(format!("{option} {address}: {error}{way_out}"))
}

impl Listeners {
    /// Shows a run until what is returned is dropped, and says where.
    pub(super) fn serve(
        self,
        viewer: &Viewer,
        control: &Control,
        is_quiet: bool,
    ) -> Result<Vec<Server>, Failure> {
        let mut servers = Vec::new();
        if let Some(listener) = self.http {
            let address = listener.address();
            let server = listener
                .serve(viewer.clone(), control.clone())
                .map_err(|error| http(address, &error))?;
            servers.push(server);
            if !is_quiet {
                output::line(format_args!("the run is shown at http://{address}/"))?;
            }
        }
        if let Some(listener) = self.rigs {
            let address = listener.address();
            let server = listener.serve(viewer.clone()).map_err(|error| rigs(address, &error))?;
            servers.push(server);
            if !is_quiet {
                output::line(format_args!("dashboards of rigs are answered at {address}"))?;
            }
        }
        Ok(servers)
    }
}
