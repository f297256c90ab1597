#!/usr/bin/env bash
# Builds the Debian package: the release binary, manual pages, completions, the unit, documentation and
# examples. Prints the path of the .deb as its last line. --optimized builds as scripts/build-optimized.sh
# does, which takes longer and makes a faster program; --no-build packs target/release/beacon-collector as it is.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'package-deb: %s\n' "$*" >&2; }

if ! command -v cargo-deb >/dev/null; then
    say "installing cargo-deb"
    cargo install --locked --quiet cargo-deb
fi
program=target/release/beacon-collector
case "${1-}" in
    --no-build) ;;
    --optimized)
        built=$(bash scripts/build-optimized.sh | tail -n 1)
        mkdir -p target/release
        # A link to what cargo keeps: not to be written through.
        rm -f "$program"
        cp "$built" "$program"
        ;;
    *)
        say "building"
        cargo build --release --locked
        ;;
esac
folder=target/package
rm -rf "$folder"
mkdir -p "$folder/man1" "$folder/completions"
say "packing $("$program" --version)"
# Every key with its default and what it means: the example is the configuration, and a conffile.
"$program" config init > "$folder/config.toml"
"$program" man --out "$folder/man1"
"$program" completions bash > "$folder/completions/beacon-collector"
"$program" completions zsh > "$folder/completions/_beacon-collector"
"$program" completions fish > "$folder/completions/beacon-collector.fish"

# Debian's form of a changelog; the words are in CHANGELOG.md.
version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
printf 'beacon-collector (%s-1) unstable; urgency=medium\n\n  * See /usr/share/doc/beacon-collector/CHANGELOG.md\n\n -- beacon-collector authors <>  %s\n' \
    "$version" "$(git log -1 --format=%cD 2>/dev/null || date -R)" > "$folder/changelog"

cargo deb --no-build --quiet
find target/debian -name "beacon-collector_${version}-*.deb" -printf '%T@ %p\n' | sort -n | tail -n 1 | cut -d' ' -f2
