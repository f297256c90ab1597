#!/usr/bin/env bash
# The service under a systemd that runs: a Debian root with systemd is booted in a container (systemd-nspawn, no
# network), the program is installed there, and its manager is watched: readiness, status, reload, kill -9, watchdog,
# a wrong configuration, stop. Needs root and some minutes, so it is no part of CI.
#   scripts/test-systemd.sh [PACKAGE.deb]     without one, target/debug/beacon-collector is installed by itself
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'test-systemd: %s\n' "$*"; }
fail() { printf 'test-systemd: FAILED: %s\n' "$*" >&2; exit 1; }

[ "$(id -u)" = 0 ] || fail "booting a container takes root: sudo $0"
for tool in debootstrap:debootstrap systemd-nspawn:systemd-container; do
    if ! command -v "${tool%:*}" >/dev/null; then
        say "installing ${tool#*:}"
        apt-get update -qq
        apt-get install -y -qq --no-install-recommends "${tool#*:}" >/dev/null
    fi
done
package=${1-}
program=${CARGO_TARGET_DIR:-target}/debug/beacon-collector
[ -n "$package" ] || [ -x "$program" ] || fail "there is no $program: cargo build"

codename=$(. /etc/os-release && printf '%s' "$VERSION_CODENAME")
clean=target/debian/root-systemd-$codename.tar
if [ ! -f "$clean" ]; then
    mkdir -p target/debian
    mirror=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE)' 'Created-By: Packages' | awk -v r="$codename" '$2 == r { print $1; exit }')
    made=$(mktemp -d)
    say "making a $codename with systemd"
    debootstrap --variant=minbase --include=systemd,systemd-sysv,dbus "$codename" "$made" "$mirror" >target/debian/debootstrap.log
    tar -C "$made" -cf "$clean" .
    rm -rf "$made"
fi

root=$(mktemp -d)
container=
halt() {
    if [ -n "$container" ]; then
        inside systemctl poweroff 2>/dev/null || true
        # One that does not end by itself is ended: all its processes go with it.
        for _ in $(seq 50); do kill -0 "$container" 2>/dev/null || break; sleep 0.2; done
        kill -KILL "$container" 2>/dev/null || true
        wait "$container" 2>/dev/null || true
    fi
    rm -rf "$root"
}
trap halt EXIT
tar -C "$root" -xf "$clean"
# Users of the container must get in: a folder of mktemp is its owner's alone.
chmod 755 "$root"
install -m 644 examples/demo/modal.log "$root/srv/modal.log"

say "booting"
systemd-nspawn --quiet --directory="$root" --boot --register=no --keep-unit --private-network </dev/null >target/debian/boot.log 2>&1 &
container=$!
inside() { nsenter --all --target "$leader" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root "$@"; }
until_true() { # SECONDS WHAT COMMAND…
    local patience=$((SECONDS + $1)) what=$2
    shift 2
    until "$@"; do
        [ "$SECONDS" -lt "$patience" ] || { inside journalctl --no-pager -n 40 -u beacon-collector >&2 || true; fail "$what"; }
        sleep 0.3
    done
}
has_leader() { leader=$(pgrep -P "$container" | head -n 1) && [ -n "$leader" ]; }
has_booted() { inside systemctl is-system-running 2>/dev/null | grep -qE 'running|degraded'; }
until_true 30 "the container did not start: $(tail -n 3 target/debian/boot.log)" has_leader
until_true 120 "systemd did not boot" has_booted
say "$(inside systemctl --version | head -n 1)"

show() { inside systemctl show beacon-collector.service --property="$1" --value; }
says() { show "$1" | grep -q "$2"; }

if [ -n "$package" ]; then
    cp "$package" "$root/srv/package.deb"
    inside dpkg -i /srv/package.deb >/dev/null
    says ActiveState inactive || fail "the package started a service that has no source"
else
    install -m 755 "$program" "$root/usr/bin/beacon-collector"
fi
if inside beacon-collector service status; then fail "a service that does not run has the status 0"; fi

say "install: enabled, started, ready"
rm -f "$root/etc/beacon-collector/config.toml"
inside beacon-collector service install --source file:/srv/modal.log
says ActiveState '^active$' || fail "it is not active after Type=notify said that it is ready"
until_true 60 "the status text does not tell of the source" says StatusText '1 of 1 sources running'
inside beacon-collector service status
inside test -e /var/lib/private/beacon-collector/beacon.db || fail "there is no database in the state directory"
inside systemd-analyze security beacon-collector --no-pager | tail -n 1

say "a question of root's names the service's database"
inside beacon-collector failures 2>&1 | grep -o 'the service of this machine has another.*' || fail "it is not named"
inside beacon-collector --database sqlite:/var/lib/beacon-collector/beacon.db failures | sed -n 1,3p

say "reload"
before=$(show MainPID)
sed -i 's/^#level = .*/level = "debug"/' "$root/etc/beacon-collector/config.toml"
inside systemctl reload beacon-collector
until_true 30 "the reload is not in the journal" sh -c "$(declare -f inside); leader=$leader; inside journalctl -u beacon-collector --no-pager | grep -q 'level=\"debug\"'"
[ "$before" = "$(show MainPID)" ] || fail "a reload restarted it"

say "kill -9: started again, nothing doubled"
inside systemctl kill --signal=KILL beacon-collector
until_true 60 "it was not started again" says NRestarts '^1$'
until_true 60 "it does not go on where it was" says StatusText '^0 spans stored, 0 changed;.*1 of 1 sources running'

say "watchdog"
mkdir -p "$root/etc/systemd/system/beacon-collector.service.d"
printf '[Service]\nWatchdogSec=3s\n' >"$root/etc/systemd/system/beacon-collector.service.d/soon.conf"
inside systemctl daemon-reload
inside systemctl restart beacon-collector
sleep 5
says ActiveState '^active$' || fail "it was not said to live"
inside systemctl kill --signal=STOP beacon-collector
until_true 60 "nobody saw that it stood still" sh -c "$(declare -f inside); leader=$leader; inside journalctl -u beacon-collector --no-pager | grep -q 'Watchdog timeout'"
until_true 60 "it was not started again after the watchdog" says ActiveState '^active$'

say "stop"
inside systemctl stop beacon-collector
says Result '^success$' || fail "it did not end well: $(show Result)"
inside journalctl -u beacon-collector --no-pager | grep -o 'told to stop; storing what was read' | tail -n 1

say "a wrong configuration is tried once"
printf 'lisen = 1\n' >"$root/etc/beacon-collector/config.toml"
if inside systemctl start beacon-collector 2>/dev/null; then fail "it started with a mistake in its configuration"; fi
says ActiveState '^failed$' || fail "it is tried again: $(show ActiveState)"
inside beacon-collector service status || true

say "uninstall"
inside beacon-collector service uninstall
[ -n "$package" ] || says LoadState '^not-found$' || fail "systemd still knows it"
inside test -e /var/lib/private/beacon-collector/beacon.db || fail "uninstalling took the data away"
say "all of it under a systemd that runs"
