//! What to put into the configuration of known MCP clients.

use serde_json::{Value, json};

/// A client whose configuration is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Client {
    /// Windsurf.
    Windsurf,
    /// Claude Code.
    Claude,
    /// Cursor.
    Cursor,
    /// Visual Studio Code.
    Vscode,
}

impl Client {
    /// Where the client reads its configuration.
    pub const fn file(self) -> &'static str {
        match self {
            Self::Windsurf => "~/.codeium/windsurf/mcp_config.json",
            Self::Claude => ".mcp.json in the project",
            Self::Cursor => "~/.cursor/mcp.json",
            Self::Vscode => ".vscode/mcp.json in the project",
        }
    }

    const fn servers(self) -> &'static str {
        match self {
            Self::Vscode => "servers",
            _ => "mcpServers",
        }
    }
}

/// The configuration that lets a client use the daemon at `url`, or start `command` where there is none.
pub fn snippet(client: Client, url: Option<&str>, command: &str, token: bool) -> Value {
    let mut entry = match (client, url) {
        (Client::Windsurf, Some(url)) => json!({ "serverUrl": url }),
        (Client::Cursor, Some(url)) => json!({ "url": url }),
        (Client::Claude | Client::Vscode, Some(url)) => json!({ "type": "http", "url": url }),
        (Client::Vscode, None) => json!({ "type": "stdio", "command": command, "args": ["mcp"] }),
        (_, None) => json!({ "command": command, "args": ["mcp"] }),
    };
    if token && url.is_some() {
        entry["headers"] = json!({ "Authorization": "Bearer YOUR-TOKEN" });
    }
    json!({ client.servers(): { "beacon": entry } })
}
