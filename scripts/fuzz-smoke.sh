#!/usr/bin/env bash
# Runs every fuzz target of parsers/fuzz for some seconds (10, or the first argument) and fails on a
# crash. Installs cargo-fuzz when it is missing. Fuzzing needs compiler flags that only a nightly
# compiler takes: without one the stable compiler is told to take them.
set -euo pipefail
cd "$(dirname "$0")/../parsers"
seconds="${1:-10}"

if ! cargo fuzz --version >/dev/null 2>&1; then
    echo "installing cargo-fuzz"
    cargo install cargo-fuzz --locked
fi
if rustup run nightly rustc --version >/dev/null 2>&1; then
    export RUSTUP_TOOLCHAIN=nightly
else
    export RUSTC_BOOTSTRAP=1
fi

# A dictionary of what the grammars look for gets libFuzzer past random bytes within seconds.
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
cat >"$work/words" <<'WORDS'
"TRACE["
"\xf0\x9f\x94\x8d "
"aaaa1111]: "
"SUCCESS"
"FAILED - error="
" started - "
", duration=1.5s"
"Traceback (most recent call last):\x0a"
"ValueError: x\x0a"
"2026-11-23 12:00:00+00:00 "
"fc-1 ta-1 "
"{\"message\":\""
"\x1b[0m"
"\x0d\x0a"
"\\u00e9"
WORDS

# cargo-fuzz can't be told to keep to the lock file, and would write a new one.
cargo metadata --locked --format-version 1 --manifest-path fuzz/Cargo.toml >/dev/null
cargo fuzz build
for target in $(cargo fuzz list); do
    mkdir "$work/$target"
    if ! cargo fuzz run "$target" "$work/$target" -- -max_total_time="$seconds" -max_len=2048 \
        -timeout=5 -dict="$work/words" -verbosity=0 -print_final_stats=1 >"$work/log" 2>&1; then
        cat "$work/log"
        echo "fuzz-smoke: $target failed"
        exit 1
    fi
    echo "$target: $(sed -n 's/^stat::number_of_executed_units: *//p' "$work/log") inputs, no crash"
done
echo "fuzz-smoke: no crash in any target"
