#!/usr/bin/env bash
# Writes the reference pages from the program itself: docs/tools.md, docs/cli.md, docs/metrics.md and the list of
# paths in docs/rest.md. The same tests, without BEACON_WRITE_DOCS, fail when a page is not what the program says.
set -euo pipefail
cd "$(dirname "$0")/.."
BEACON_WRITE_DOCS=1 cargo test --quiet --locked --test integration reference::
git --no-pager diff --stat -- docs
