#!/usr/bin/env bash
# Installs a PgBouncer that is newer than Debian 12's 1.18, from the packages of the next Debian release with
# the libraries that belong to it, under .tools/pgbouncer/ and nowhere else, and prints the program's path,
# for BEACON_PGBOUNCER of postgres.sh:
#
#   BEACON_PGBOUNCER=$(scripts/pgbouncer-newer.sh) scripts/postgres.sh run -- COMMAND…
#
# Needs apt-get and a machine that takes its packages from Debian.
set -euo pipefail
cd "$(dirname "$0")/.."

release=trixie
packages="pgbouncer libc6 libcares2 libevent-2.1-7t64 libpam0g libssl3t64 libsystemd0 libcap2 libaudit1 libcap-ng0
    libzstd1 zlib1g libgcc-s1"
place=$PWD/.tools/pgbouncer
if [ ! -x "$place/pgbouncer" ]; then
    site=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' | grep '/debian/*$' | sort -u | head -n 1)
    [ -n "$site" ] || { echo "pgbouncer-newer.sh: apt knows no Debian archive" >&2; exit 1; }
    rm -rf "$place"
    mkdir -p "$place"/{lists/partial,cache/archives/partial,root}
    echo "deb $site $release main" > "$place/sources.list"
    apt=(apt-get -qq -o "Dir::Etc::sourcelist=$place/sources.list" -o Dir::Etc::sourceparts=- -o APT::Sandbox::User=root
        -o "Dir::State::lists=$place/lists" -o "Dir::Cache=$place/cache")
    "${apt[@]}" update >&2
    # shellcheck disable=SC2086 # a list
    (cd "$place/cache" && "${apt[@]}" download $packages >&2)
    for file in "$place"/cache/*.deb; do dpkg-deb -x "$file" "$place/root"; done
    rm -rf "$place/lists" "$place/cache"
    loader=$(find "$place/root" -name 'ld-linux*.so.*' | head -n 1)
    libraries=$(dirname "$(find "$place/root" -name 'libc.so.6' | head -n 1)")
    printf '#!/bin/sh\nexec "%s" --library-path "%s" "%s" "$@"\n' "$loader" "$libraries" \
        "$place/root/usr/sbin/pgbouncer" > "$place/pgbouncer"
    chmod +x "$place/pgbouncer"
fi
echo "$place/pgbouncer"
