#!/usr/bin/env bash
# Installs the Debian package into a clean root made by debootstrap, runs the program in there, upgrades,
# removes and purges it, and compares what is left with what was there before. Needs root.
#   scripts/test-deb.sh [PACKAGE.deb]     without one it is built first
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'test-deb: %s\n' "$*"; }
fail() { printf 'test-deb: FAILED: %s\n' "$*" >&2; exit 1; }

if [ "$(id -u)" != 0 ]; then
    fail "a root of its own takes root: sudo $0"
fi
if ! command -v debootstrap >/dev/null; then
    say "installing debootstrap"
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends debootstrap
fi
package=${1:-$(bash scripts/package-deb.sh | tail -n 1)}
[ -f "$package" ] || fail "no such package: $package"

# The root is made once and unpacked anew for each run, from the mirror that this machine uses.
codename=$(. /etc/os-release && printf '%s' "$VERSION_CODENAME")
clean=target/debian/root-$codename.tar
if [ ! -f "$clean" ]; then
    mirror=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE)' 'Created-By: Packages' | awk -v r="$codename" '$2 == r { print $1; exit }')
    made=$(mktemp -d)
    say "making a clean $codename"
    debootstrap --variant=minbase "$codename" "$made" "$mirror" > target/debian/debootstrap.log
    tar -C "$made" -cf "$clean" .
    rm -rf "$made"
fi
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
tar -C "$root" -xf "$clean"
inside() { chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root "$@"; }
# Without what any package manager writes for itself.
files() { (cd "$root" && find . -path ./proc -prune -o -path ./var/lib/dpkg -prune -o -path ./var/log -prune -o -path ./var/cache -prune -o -path ./tmp -prune -o -print | sort); }

files > target/debian/before
cp "$package" "$root/tmp/package.deb"
# Debian's own minimal roots leave manuals and documentation of packages away; here they are looked at.
rm -f "$root"/etc/dpkg/dpkg.cfg.d/docker
say "installing"
inside dpkg -i /tmp/package.deb
inside dpkg --verify beacon-collector

say "running: $(inside beacon-collector --version)"
examples=/usr/share/doc/beacon-collector/examples
inside sh -c "beacon-collector --listen none < $examples/modal.log"
inside beacon-collector failures > target/debian/failures
grep -q OutOfMemoryError target/debian/failures || fail "the piped log's failures are not listed"
sed -n 1,5p target/debian/failures

say "what came with it"
for file in /usr/share/man/man1/beacon-collector.1.gz /usr/share/man/man1/beacon-collector-diagnose-execution.1.gz \
    /usr/share/bash-completion/completions/beacon-collector /usr/share/zsh/vendor-completions/_beacon-collector \
    /usr/share/fish/vendor_completions.d/beacon-collector.fish /usr/share/doc/beacon-collector/copyright; do
    [ -s "$root$file" ] || fail "$file is missing"
done
unit=$(inside dpkg -L beacon-collector | grep '/beacon-collector.service$') || fail "there is no unit"
printf '%s\n' "$unit"
inside bash -c '. /usr/share/bash-completion/completions/beacon-collector && complete -p beacon-collector'

say "the configuration that came with it"
inside beacon-collector check-config --config /etc/beacon-collector/config.toml > target/debian/check-config
sed -n 1,5p target/debian/check-config

say "an upgrade keeps a configuration that was changed, and brings the new one where it was not"
config=/etc/beacon-collector/config.toml
conffiles=$(inside dpkg-query -W -f '${Conffiles}\n' beacon-collector | awk '{print $1}' | grep . || true)
[ "$conffiles" = "$config" ] || fail "the conffiles are: $conffiles"
# The next version, with one more line in its configuration.
newer() { # VERSION
    local tree
    tree=$(mktemp -d)
    dpkg-deb -R "$package" "$tree"
    sed -i "s/^Version: .*/Version: $1/" "$tree/DEBIAN/control"
    printf '# new in %s\n' "$1" >> "$tree$config"
    (cd "$tree" && find . -type f -not -path './DEBIAN/*' -printf '%P\0' | sort -z | xargs -0 md5sum > DEBIAN/md5sums)
    dpkg-deb --root-owner-group -b "$tree" "$root/tmp/newer.deb" > /dev/null
    rm -rf "$tree"
}
newer 99.1
inside dpkg -i /tmp/newer.deb < /dev/null
grep -q 'new in 99.1' "$root$config" || fail "an untouched configuration stayed old"
printf '# changed by hand\n' >> "$root$config"
inside dpkg -i /tmp/newer.deb < /dev/null
grep -q 'changed by hand' "$root$config" || fail "installing the same again overwrote it"
newer 99.2
# Whoever is asked keeps what is there, which is what dpkg proposes.
inside dpkg -i --force-confdef --force-confold /tmp/newer.deb < /dev/null
grep -q 'changed by hand' "$root$config" || fail "the upgrade overwrote it"
grep -q 'new in 99.2' "$root$config.dpkg-dist" || fail "the new one is not put beside it"

say "removing"
mkdir -p "$root/var/lib/private/beacon-collector"
inside dpkg -r beacon-collector
[ ! -e "$root/usr/bin/beacon-collector" ] || fail "the program is still there"
[ -d "$root/var/lib/private/beacon-collector" ] || fail "removing took the state away"
[ -e "$root$config" ] || fail "removing took $config away"

say "purging"
inside dpkg -P beacon-collector
rm -rf "$root/root/.local"
files > target/debian/after
if left=$(diff target/debian/before target/debian/after | grep '^>'); then
    fail "left behind: $left"
fi
say "installed, ran, upgraded, removed and purged: nothing is left"
