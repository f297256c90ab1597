//! What to put into the configuration of known MCP clients.
//!
//! Invariant: no secret is printed, and none is asked to stand in the file or on a command line: it comes
//! from the environment, from a file, or the client asks for it.

use serde_json::{Map, Value, json};

/// A client whose configuration is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Client {
    /// Windsurf.
    Windsurf,
    /// Claude Code.
    Claude,
    /// Claude Desktop, which speaks to commands only.
    ClaudeDesktop,
    /// Cursor.
    Cursor,
    /// Visual Studio Code.
    Vscode,
}

/// How the client reaches the collector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// At a daemon.
    Daemon {
        /// Its `/mcp`.
        url: String,
        /// This program, for clients that can't call a URL.
        program: String,
        /// Whether the daemon wants a token.
        token: bool,
    },
    /// By starting a command.
    Command {
        /// This program.
        program: String,
        /// The database, unless its URL holds a password.
        database: Option<String>,
    },
}

/// The variable that holds the token.
const TOKEN: &str = "BEACON_TOKEN";
/// The variable that holds the database's URL.
const DATABASE: &str = "DATABASE_URL";

impl Client {
    /// Where the client reads its configuration.
    pub const fn file(self) -> &'static str {
        match self {
            Self::Windsurf => "~/.codeium/windsurf/mcp_config.json",
            Self::Claude => ".mcp.json in the project (claude mcp add-json writes it too)",
            Self::ClaudeDesktop if cfg!(target_os = "macos") => {
                "~/Library/Application Support/Claude/claude_desktop_config.json"
            }
            Self::ClaudeDesktop => "claude_desktop_config.json (Settings, Developer, Edit Config)",
            Self::Cursor => "~/.cursor/mcp.json",
            Self::Vscode => ".vscode/mcp.json in the project",
        }
    }

    /// What a person has to do for the client to know a secret.
    pub fn how_to_give(self, name: &str) -> String {
        match self {
            Self::Vscode => {
                "VS Code asks for it once and keeps it in its secret storage".to_owned()
            }
            Self::ClaudeDesktop if name == TOKEN => {
                "put the token into the file behind --token-file, readable by you alone".to_owned()
            }
            Self::ClaudeDesktop => format!(
                "Claude Desktop knows no variables: name a configuration file with the database in it, --config FILE, among the args, or set {name} for all programs"
            ),
            _ => format!("start the client where {name} is set"),
        }
    }

    const fn servers(self) -> &'static str {
        match self {
            Self::Vscode => "servers",
            _ => "mcpServers",
        }
    }

    /// How the client's file refers to a variable of its environment.
    fn variable(self, name: &str) -> Option<String> {
        match self {
            Self::Windsurf | Self::Cursor => Some(format!("${{env:{name}}}")),
            Self::Claude => Some(format!("${{{name}}}")),
            Self::Vscode => Some(format!("${{input:{name}}}")),
            Self::ClaudeDesktop => None,
        }
    }
}

/// The configuration that lets a client reach the collector.
pub fn snippet(client: Client, way: &Way) -> Value {
    let mut file = Map::new();
    let (entry, secret) = match way {
        Way::Daemon {
            url,
            program,
            token,
        } => {
            let entry = match client {
                Client::ClaudeDesktop => carried(program, url, *token),
                _ => daemon(client, url, *token),
            };
            (entry, token.then_some(TOKEN))
        }
        Way::Command { program, database } => {
            let entry = command(client, program, database.as_deref());
            (entry, database.is_none().then_some(DATABASE))
        }
    };
    if let (Client::Vscode, Some(name)) = (client, secret) {
        let input =
            json!({ "type": "promptString", "id": name, "description": name, "password": true });
        file.insert("inputs".to_owned(), json!([input]));
    }
    file.insert(client.servers().to_owned(), json!({ "beacon": entry }));
    file.into()
}

fn daemon(client: Client, url: &str, token: bool) -> Value {
    let mut entry = match client {
        Client::Windsurf => json!({ "serverUrl": url }),
        Client::Cursor => json!({ "url": url }),
        _ => json!({ "type": "http", "url": url }),
    };
    if let (true, Some(variable)) = (token, client.variable(TOKEN)) {
        entry["headers"] = json!({ "Authorization": format!("Bearer {variable}") });
    }
    entry
}

/// Through this program, for a client that can't call a URL.
fn carried(program: &str, url: &str, token: bool) -> Value {
    let mut arguments = vec!["mcp", "--url", url];
    if token {
        arguments.extend(["--token-file", "/path/to/beacon.token"]);
    }
    json!({ "command": program, "args": arguments })
}

fn command(client: Client, program: &str, database: Option<&str>) -> Value {
    let mut entry = json!({ "command": program, "args": ["mcp"] });
    if client == Client::Vscode {
        entry["type"] = "stdio".into();
    }
    let known = database.map(str::to_owned);
    if let Some(url) = known.or_else(|| client.variable(DATABASE)) {
        entry["env"] = json!({ DATABASE: url });
    }
    entry
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Client; 5] = [
        Client::Windsurf,
        Client::Claude,
        Client::ClaudeDesktop,
        Client::Cursor,
        Client::Vscode,
    ];

    fn remote(token: bool) -> Way {
        Way::Daemon {
            url: "https://collector.internal/mcp".to_owned(),
            program: "/usr/bin/beacon-collector".to_owned(),
            token,
        }
    }

    #[test]
    fn every_client_gets_the_form_that_it_reads() {
        let entry = |client| snippet(client, &remote(true));
        let windsurf = &entry(Client::Windsurf)["mcpServers"]["beacon"];
        assert_eq!(windsurf["serverUrl"], "https://collector.internal/mcp");
        assert_eq!(
            windsurf["headers"]["Authorization"],
            "Bearer ${env:BEACON_TOKEN}"
        );
        let claude = &entry(Client::Claude)["mcpServers"]["beacon"];
        assert_eq!(
            (&claude["type"], &claude["url"]),
            (&json!("http"), &windsurf["serverUrl"])
        );
        assert_eq!(claude["headers"]["Authorization"], "Bearer ${BEACON_TOKEN}");
        let cursor = &entry(Client::Cursor)["mcpServers"]["beacon"];
        assert_eq!(cursor["url"], windsurf["serverUrl"]);
        let vscode = entry(Client::Vscode);
        assert_eq!(vscode["inputs"][0]["id"], "BEACON_TOKEN");
        assert_eq!(vscode["inputs"][0]["password"], true);
        assert_eq!(
            vscode["servers"]["beacon"]["headers"]["Authorization"],
            "Bearer ${input:BEACON_TOKEN}"
        );
        // Claude Desktop has no way to call a URL.
        let desktop = &entry(Client::ClaudeDesktop)["mcpServers"]["beacon"];
        assert_eq!(desktop["args"][1], "--url");
        assert_eq!(desktop["args"][3], "--token-file");
    }

    #[test]
    fn a_command_names_the_database_unless_its_url_holds_a_password() {
        for client in ALL {
            for (database, shown) in [(Some("sqlite:/x/beacon.db"), true), (None, false)] {
                let way = Way::Command {
                    program: "/usr/bin/beacon-collector".to_owned(),
                    database: database.map(str::to_owned),
                };
                let file = snippet(client, &way);
                let entry = &file[client.servers()]["beacon"];
                assert_eq!(entry["args"], json!(["mcp"]), "{client:?}");
                let url = entry["env"]["DATABASE_URL"].as_str();
                assert_eq!(url == database && shown, shown, "{client:?}: {file}");
            }
        }
    }
}
