#!/usr/bin/env bash
# Builds one statically linked binary (musl) that runs on any Linux of this architecture, and shows that it does:
# in an otherwise empty root, it collects the demo's log and answers. Prints the binary's path as its last line.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'static: %s\n' "$*" >&2; }
fail() { printf 'static: %s\n' "$*" >&2; exit 1; }

target=$(uname -m)-unknown-linux-musl
if ! command -v musl-gcc >/dev/null; then
    say "installing musl-tools, the C compiler for SQLite, zstd and ring"
    apt-get install -y -qq --no-install-recommends musl-tools >/dev/null || fail "musl-gcc is missing: apt-get install musl-tools"
fi
[ -d "$(rustc --print sysroot)/lib/rustlib/$target" ] || rustup target add "$target" || fail "this toolchain has no $target"
cargo build --release --locked --target "$target"
binary=${CARGO_TARGET_DIR:-target}/$target/release/beacon-collector

if readelf -l "$binary" | grep -q 'INTERP'; then
    fail "$binary asks for a dynamic loader"
fi
if [ "$(id -u)" = 0 ]; then
    root=$(mktemp -d)
    trap 'rm -rf "$root"' EXIT
    cp "$binary" "$root/"
    inside() { env -i PATH="$PATH" STATE_DIRECTORY=/ chroot "$root" /beacon-collector "$@"; }
    inside --listen none < examples/demo/modal.log >&2
    inside failures | grep OutOfMemoryError >&2 || fail "it collected nothing in its empty root"
fi
say "$("$binary" --version), $(stat -c %s "$binary") bytes, needs nothing beside itself"
printf '%s\n' "$binary"
