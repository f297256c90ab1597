//! Section `[http]`: who may ask over the network.

use std::path::PathBuf;

use serde::Deserialize;

/// Section `[http]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HttpFile {
    /// Tokens, one of which every request has to bear; none are asked for when there are none.
    pub tokens: Vec<TokenFile>,
    /// Names of this host under which requests may come, beside localhost and addresses.
    pub allowed_hosts: Vec<String>,
    /// Requests that each caller from another host may send.
    pub requests_per_second: Option<u32>,
}

/// A token, by its hash or by a file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenFile {
    /// Name that the log calls its bearer by.
    pub name: String,
    /// Hexadecimal SHA-256 of the token.
    pub sha256: Option<String>,
    /// File whose first line is the token.
    pub file: Option<PathBuf>,
}
