#!/usr/bin/env bash
# The service as people install it: written by `service install` into a folder that stands for /, then
# verified, rated and enabled by systemd's own tools (which run without a running systemd), read as a
# property list, and uninstalled. Installs Debian's package systemd where it is missing.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'check-units: %s\n' "$*"; }
die() { say "$*" >&2; exit 1; }

if ! command -v systemd-analyze >/dev/null; then
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || die "systemd is missing; install the package systemd"
    say "installing systemd"
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends systemd
fi

cargo build --locked --quiet --bin beacon-collector
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
mkdir -p "$root/usr/local/bin" "$root/bin" "$root/run/user" "$root/home"
program=$root/usr/local/bin/beacon-collector
cp "${CARGO_TARGET_DIR:-target}/debug/beacon-collector" "$program"
touch "$root/bin/sh"; chmod +x "$root/bin/sh"
export HOME=$root/home XDG_CONFIG_HOME=$root/home/.config XDG_RUNTIME_DIR=$root/run/user

units=$root/etc/systemd/system
"$program" service install --system --root "$root" --source modal:app
"$program" service install --system --root "$root" --instance my-app
[ -L "$units/multi-user.target.wants/beacon-collector.service" ] || die "the service is not enabled"
[ -L "$units/multi-user.target.wants/beacon-collector@my-app.service" ] || die "the instance is not enabled"
grep -q '^sources = \["modal:app"\]$' "$root/etc/beacon-collector/config.toml" || die "no source in config.toml"
"$program" check-config --database sqlite:x.db --config "$root/etc/beacon-collector/my-app.toml" >/dev/null

# Directives that came with systemd 254 are the only thing that an older one may not know.
verify() { # ARGUMENTS…
    local said
    said=$(systemd-analyze "$@" 2>&1) || die "systemd-analyze $*: $said"
    said=$(grep -vE "Unknown key( name)? '(RestartSteps|RestartMaxDelaySec)'" <<<"$said" || true)
    [ -z "$said" ] || die "systemd-analyze $*: $said"
}
rate() { # UNIT: at most 2.0 of 10
    local rated
    rated=$(systemd-analyze security --offline=yes --threshold=20 "$1" 2>&1) || die "$rated"
    say "$(tail -1 <<<"$rated")"
}

# The tools of this machine look for the program where the unit names it.
for name in beacon-collector.service beacon-collector@.service; do
    sed -i "s#/usr/local/bin/beacon-collector#$program#" "$units/$name"
done
verify verify --man=no "$units/beacon-collector.service"
cp "$units/beacon-collector@.service" "$units/beacon-collector@my-app.service"
verify verify --man=no "$units/beacon-collector@my-app.service"
rm "$units/beacon-collector@my-app.service"
rate "$units/beacon-collector.service"
rate "$units/beacon-collector@.service"

"$program" service install --user
user=$XDG_CONFIG_HOME/systemd/user/beacon-collector.service
[ -L "$XDG_CONFIG_HOME/systemd/user/default.target.wants/beacon-collector.service" ] || die "the user's service is not enabled"
verify --user verify --man=no "$user"

python3 - <<'PY'
import plistlib
with open("systemd/org.projectbeacon.collector.plist", "rb") as file:
    agent = plistlib.load(file)
assert agent["ProgramArguments"][1:3] == ["run", "--config"], agent
assert agent["KeepAlive"] == {"SuccessfulExit": False} and agent["ExitTimeOut"] > 101, agent
PY

"$program" service uninstall --system --root "$root"
"$program" service uninstall --system --root "$root" --instance my-app
[ ! -e "$units/beacon-collector.service" ] || die "the unit was not removed"
[ -z "$(find "$units" -type l)" ] || die "something is still enabled"
[ -f "$root/etc/beacon-collector/config.toml" ] || die "the configuration was removed"
say "units verified, rated, installed and uninstalled"
