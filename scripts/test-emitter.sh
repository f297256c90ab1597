#!/bin/sh
# Tests the Python emitter: sets up .venv/ with what its tests need, builds the parser's read_back example
# where cargo is at hand, and runs emitter/tests, which also build and install the package. PYTHON chooses the interpreter. May be run any number of times.
set -eu
cd "$(dirname "$0")/.."

say() { printf 'test-emitter: %s\n' "$*"; }

python=${PYTHON:-python3}
version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
venv=.venv/emitter-$version

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

if ! "$venv/bin/python" -c 'import build, hypothesis, setuptools, vermin' 2>/dev/null; then
    say "making $venv with hypothesis and what builds the package"
    "$python" -m venv --clear "$venv"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check hypothesis build 'setuptools>=77' wheel vermin
fi

if [ -n "${BEACON_READ_BACK:-}" ]; then
    say "reading back with $BEACON_READ_BACK"
elif command -v cargo >/dev/null && [ -f parsers/examples/read_back.rs ]; then
    say "building the parser's example read_back"
    cargo build --quiet --package beacon-parsers --example read_back
    BEACON_READ_BACK=${CARGO_TARGET_DIR:-$PWD/target}/debug/examples/read_back
    export BEACON_READ_BACK
else
    say "no cargo or no read_back: the tests that read lines back with the collector's parser will be skipped"
fi

say "running emitter/tests on Python $version"
cd emitter
exec "../$venv/bin/python" -W error::ResourceWarning -m tests
