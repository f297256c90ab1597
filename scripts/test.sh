#!/usr/bin/env bash
# Sets up what the tests need (installing what is missing) and runs all of them:
# formatting, lints, unit and integration tests on SQLite and a real Postgres, dependency rules,
# the Python emitter, other people's MCP clients, and a short fuzzing run. Works as root and, where the tools are there, without.
set -euo pipefail
cd "$(dirname "$0")/.."

step() { printf '\n== %s (%ss since the start)\n' "$1" "$SECONDS"; }

need_cargo_tool() { # NAME: installs a cargo subcommand that is missing
    if ! command -v "cargo-$1" >/dev/null; then
        step "installing cargo-$1"
        cargo install --locked --quiet "cargo-$1"
    fi
}

step "formatting"
cargo fmt --all --check

step "lints"
cargo clippy --workspace --all-targets --locked -- -D warnings

step "Python environments: modal and OpenTelemetry"
bash scripts/python-env.sh

step "tests"
need_cargo_tool nextest
bash scripts/postgres.sh run -- cargo nextest run --workspace --locked

step "the newer PgBouncer, with prepared statements of its own"
newer=$(bash scripts/pgbouncer-newer.sh)
BEACON_PGBOUNCER=$newer bash scripts/postgres.sh run --with-pgbouncer -- \
    cargo nextest run --workspace --locked -E 'test(/^store::.*(ten_thousand|through_a_pooler)/)'

step "documentation examples"
cargo test --workspace --doc --locked --quiet

step "the guide, followed; pages and scripts, checked"
python3 scripts/follow-guide.py
python3 scripts/check-docs.py
bash scripts/lint-scripts.sh

step "dependency rules"
need_cargo_tool deny
cargo deny --all-features --log-level error check bans licenses sources

step "service files"
bash scripts/check-units.sh

step "Python emitter"
bash scripts/test-emitter.sh

step "MCP: the conformance suite, the Python SDKs, the Inspector"
bash scripts/mcp-clients.sh

step "fuzzing, a minute"
bash scripts/fuzz-smoke.sh

step "all done"
