#!/usr/bin/env bash
# Makes, or completes, the Python environments under .venv/ that the tests use:
#   modal-NEW   the newest modal tested, its SDK and CLI, the fake control plane, and OpenTelemetry
#   modal-1.4   the first CLI that can fetch, without logs in the SDK
#   modal-1.3   a CLI that can only follow
# May be run any number of times. PYTHON chooses the interpreter (3.11 or newer).
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'python-env: %s\n' "$*"; }

python=${PYTHON:-python3}

# Debian's python3 has the module venv but, without the package python3-venv, not what it needs.
if ! "$python" -c 'import venv, ensurepip' 2>/dev/null; then
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        say "python3-venv is missing; install it: apt-get install python3-venv" >&2
        exit 1
    fi
    say "installing python3-venv"
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends python3-venv
fi

environment() { # NAME PACKAGE...: makes .venv/NAME with the packages, unless they are there
    local name=$1 stamp=".venv/$1/packages"
    shift
    if [ "$(cat "$stamp" 2>/dev/null)" = "$*" ]; then
        return
    fi
    say "making .venv/$name with $*"
    "$python" -m venv --clear ".venv/$name"
    ".venv/$name/bin/python" -m pip install --quiet --disable-pip-version-check "$@"
    printf '%s' "$*" > "$stamp"
}

environment modal-new modal==1.6.4 opentelemetry-sdk==1.45.2 opentelemetry-exporter-otlp-proto-http==1.45.2
environment modal-1.4 modal==1.4.0
environment modal-1.3 modal==1.3.5
say "ready"
