#!/usr/bin/env bash
# Measures the diagnosis on simulated worlds and prints the tables of docs/accuracy.md.
#
#   scripts/bench-diagnosis.sh [--seeds N] [--check]
#
# Needs python3 (standard library only). --check fails when a target is missed.
set -euo pipefail
cd "$(dirname "$0")/.."

seeds=20
check=
while [ $# -gt 0 ]; do
  case $1 in
    --seeds) seeds=$2; shift 2 ;;
    --check) check=--check; shift ;;
    *) echo "usage: $0 [--seeds N] [--check]" >&2; exit 2 ;;
  esac
done

cargo build --release --example bench-diagnosis
bench=$(cargo metadata --format-version 1 --no-deps | python3 -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])')/release/examples/bench-diagnosis
lab=$(mktemp -d)
trap 'rm -rf "$lab"' EXIT

# worlds NAME FLAGS...: one world per seed, under $lab/NAME-SEED
worlds() {
  local name=$1; shift
  for seed in $(seq 1 "$seeds"); do
    python3 tests/lab/world.py --seed "$seed" --analysis-json --out "$lab/$name-$seed" "$@" > /dev/null
  done
}

measure() {
  local title=$1; shift
  printf '\n## %s\n\n' "$title"
  "$bench" "$@"
}

worlds plain
worlds overlap --overlap
worlds outage --outage --overlap
worlds hot --fault-rate 0.4 --outage --overlap
measure "Known wordings" $check "$lab"/{plain,overlap,outage,hot}-*/analysis.json
# Sets of wordings in the order in which they were written; docs/accuracy.md says when each was first measured.
for set in unseen field late third fourth fifth sixth seventh eighth; do
  worlds "$set" --phrases "tests/lab/phrases-$set.json" --fault-rate 0.4
  measure "Other wordings (phrases-$set.json)" $check "$lab/$set"-*/analysis.json
done
worlds blank --blank --overlap
measure "No wordings: every text is \"error\"" "$lab"/blank-*/analysis.json
for damage in no-runner no-router no-modal lose-any never-closed no-parents other-names router-skewed rows-only; do
  for seed in $(seq 1 "$seeds"); do
    python3 tests/lab/degrade.py "$damage" "$lab/hot-$seed/analysis.json" "$lab/$damage-$seed/analysis.json"
  done
  measure "Damaged: $damage" "$lab/$damage"-*/analysis.json
done
