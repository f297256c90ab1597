//! What stands below the options in `--help` and on the manual pages: examples that can be pasted.

/// Of the program itself.
pub(super) const COLLECT: &str = "\
Examples:
  modal app logs -f my-app --timestamps --show-function-call-id --show-container-id | beacon-collector
  beacon-collector --source modal:my-app --source 'file:/var/log/runner/*.log'
  DATABASE_URL=postgres://… beacon-collector --source modal:my-app
  beacon-collector --listen none < session.log

Without --database and DATABASE_URL, spans go to SQLite in $STATE_DIRECTORY, else
$XDG_STATE_HOME/beacon-collector, else ~/.local/state/beacon-collector.
Results go to stdout, the program's own log to stderr (RUST_LOG sets its level).
Exit codes: 0 done, 1 it failed while running, 2 wrong usage or configuration.";

pub(super) const RUN: &str = "\
Examples:
  beacon-collector run --source modal:my-app
  beacon-collector run --config /etc/beacon-collector/config.toml --listen 127.0.0.1:7411
  cat session.log | beacon-collector run --keep-serving      (then open http://127.0.0.1:7410)";

pub(super) const STATUS: &str = "\
Examples:
  beacon-collector status
  beacon-collector status --json | jq .losses

It asks the database; whether the process runs well, `beacon-collector doctor` says.";

pub(super) const CHECK_CONFIG: &str = "\
Examples:
  beacon-collector check-config --config /etc/beacon-collector/config.toml
  beacon-collector check-config --json | jq '.settings[] | select(.origin != \"default\")'";

pub(super) const DOCTOR: &str = "\
Examples:
  beacon-collector doctor
  beacon-collector doctor --config /etc/beacon-collector/config.toml     as the service is configured
  beacon-collector doctor --source modal:my-app --json | jq '.findings[] | select(.verdict != \"ok\")'";

pub(super) const CONFIG_INIT: &str = "\
Examples:
  beacon-collector config init > beacon.toml";

pub(super) const SERVICE_INSTALL: &str = "\
Examples:
  beacon-collector service install --dry-run
  sudo beacon-collector service install --source modal:my-app
  sudo beacon-collector service install --instance my-app     one of several, for the app of that name";

pub(super) const SERVICE_UNINSTALL: &str = "\
Examples:
  sudo beacon-collector service uninstall";

pub(super) const SERVICE_STATUS: &str = "\
Examples:
  beacon-collector service status
  beacon-collector service status --instance my-app";

pub(super) const TRACE: &str = "\
Examples:
  beacon-collector trace 610faa3f          the id in a log line
  beacon-collector trace 610faa3f --json";

pub(super) const DIAGNOSE: &str = "\
Examples:
  beacon-collector diagnose 2379
  beacon-collector diagnose 2379 --json | jq .root_cause_code";

pub(super) const TIMEOUTS: &str = "\
Examples:
  beacon-collector timeouts bias-detection-1761140904034
  beacon-collector timeouts 17 --json";

pub(super) const COMPARE: &str = "\
Examples:
  beacon-collector compare 2379";

pub(super) const FAILURES: &str = "\
Examples:
  beacon-collector failures
  beacon-collector failures --since 1h --region EU --limit 50";

pub(super) const PERFORMANCE: &str = "\
Examples:
  beacon-collector performance
  beacon-collector performance --since 7d --model-id mistral-7b";

pub(super) const GAPS: &str = "\
Examples:
  beacon-collector gaps 610faa3f";

pub(super) const SEARCH: &str = "\
Examples:
  beacon-collector search --status failed --since 2d
  beacon-collector search --text OutOfMemory --region us-east
  beacon-collector search --service modal --min-duration-ms 30000";

pub(super) const MCP: &str = "\
Examples:
  beacon-collector mcp                                answers from the database
  beacon-collector mcp --url http://127.0.0.1:7410    asks a running collector

`beacon-collector mcp-config CLIENT` prints what a client's configuration needs.";

pub(super) const MCP_CONFIG: &str = "\
Examples:
  beacon-collector mcp-config claude
  beacon-collector mcp-config cursor --url http://127.0.0.1:7410";

pub(super) const MIGRATE: &str = "\
Examples:
  beacon-collector migrate --dry-run > schema.sql     to be read, or run by somebody with the rights
  beacon-collector migrate --print-grants
  beacon-collector migrate";

pub(super) const LINK: &str = "\
Examples:
  beacon-collector link --since 30d";

pub(super) const EXPLAIN: &str = "\
Examples:
  beacon-collector explain-line '🔍 TRACE[610faa3f]: SUCCESS - duration=3.41s'
  tail -n 1 app.log | beacon-collector explain-line";

pub(super) const COMPLETIONS: &str = "\
Examples:
  beacon-collector completions bash > ~/.local/share/bash-completion/completions/beacon-collector
  beacon-collector completions zsh  > ~/.zfunc/_beacon-collector       (with fpath+=~/.zfunc)
  beacon-collector completions fish > ~/.config/fish/completions/beacon-collector.fish";

pub(super) const MAN: &str = "\
Examples:
  beacon-collector man | man -l -
  beacon-collector man --out ~/.local/share/man/man1";
