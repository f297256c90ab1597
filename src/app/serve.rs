//! The HTTP server beside the collecting: where it listens and who may ask.

use std::sync::Arc;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::config::{Config, ConfigError, HttpFile};
use crate::http::{self, Access, Parts, Rate, TokenSource, Tokens};

/// A listener with its rules, not serving yet.
#[derive(Debug)]
pub(super) struct Listening {
    listener: TcpListener,
    access: Access,
}

/// A running server.
#[derive(Debug)]
pub(super) struct Serving {
    stop: CancellationToken,
    server: JoinHandle<()>,
}

/// Takes the address. `None` when none is wanted, or when the default one is taken.
pub(super) async fn listen(config: &Config) -> anyhow::Result<Option<Listening>> {
    let Some(listen) = config.listen else {
        return Ok(None);
    };
    let tokens = Tokens::read(&sources(&config.http)?).map_err(refused)?;
    let local = listen.address.ip().to_canonical().is_loopback();
    if !local && !tokens.are_wanted() {
        return Err(ConfigError::Value {
            what: "listen address",
            value: listen.address.to_string(),
            reason: "others could reach it, so it needs a token: name one under tokens in section [http] of the configuration".to_owned(),
        }
        .into());
    }
    let listener = match TcpListener::bind(listen.address).await {
        Ok(listener) => listener,
        Err(error) if listen.explicit => {
            return Err(error).with_context(|| format!("cannot listen on {}", listen.address));
        }
        Err(error) => {
            tracing::warn!(address = %listen.address, %error, "not serving HTTP: the default address is taken; name another with --listen");
            return Ok(None);
        }
    };
    Ok(Some(Listening {
        listener,
        access: Access {
            tokens: Arc::new(tokens),
            allowed_hosts: config.http.allowed_hosts.clone(),
            rate: Arc::new(Rate::new(config.requests_per_second)),
        },
    }))
}

impl Listening {
    /// The tokens, which can be replaced while it runs.
    pub(super) fn tokens(&self) -> Arc<Tokens> {
        Arc::clone(&self.access.tokens)
    }

    /// Begins to answer.
    pub(super) fn serve(self, parts: Parts) -> anyhow::Result<Serving> {
        let address = self.listener.local_addr()?;
        tracing::info!(%address, "serving HTTP: REST, MCP on /mcp, a page on /");
        let stop = CancellationToken::new();
        let server = http::serve(self.listener, parts, self.access, stop.clone());
        Ok(Serving {
            stop,
            server: tokio::spawn(server),
        })
    }
}

impl Serving {
    /// Ends within [`http::CUT`], whatever clients do.
    pub(super) async fn end(self) {
        self.stop.cancel();
        if self.server.await.is_err() {
            tracing::warn!("the HTTP server ended abnormally");
        }
    }
}

/// Where the configured tokens are.
pub(super) fn sources(http: &HttpFile) -> Result<Vec<(String, TokenSource)>, ConfigError> {
    let source = |token: &crate::config::TokenFile| {
        let source = match (&token.sha256, &token.file) {
            (Some(hash), None) => TokenSource::Hash(hash.clone()),
            (None, Some(file)) => TokenSource::File(file.clone()),
            _ => {
                return Err(ConfigError::Value {
                    what: "token",
                    value: token.name.clone(),
                    reason: "expected either sha256 or file".to_owned(),
                });
            }
        };
        Ok((token.name.clone(), source))
    };
    let list = http.tokens_file.iter();
    let list = list.map(|path| Ok(("tokens_file".to_owned(), TokenSource::List(path.clone()))));
    http.tokens.iter().map(source).chain(list).collect()
}

/// The mistake of a token.
pub(super) fn refused(error: http::TokenError) -> ConfigError {
    ConfigError::Value {
        what: "section",
        value: "http".to_owned(),
        reason: error.to_string(),
    }
}
