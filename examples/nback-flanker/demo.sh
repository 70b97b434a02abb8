#!/usr/bin/env bash
# The main job on real data, without SLURM: make a pool, let two workers empty it, look at results.
#   bash examples/nback-flanker/demo.sh [FOLDER]
set -euo pipefail
example=$(cd "$(dirname "$0")" && pwd)
out=${1:-demo}
if [ -e "$out" ]; then
    echo "$out is there already: remove it, or name another folder: bash $0 FOLDER" >&2
    exit 1
fi
config=$(cd "$example/../../configs" && pwd)/nback-flanker.yaml
say() { printf '\n$ %s\n' "${*//"$PWD/"/}" && "$@"; }

mkdir -p "$out"
say jobpool init "$config" "$out/pool"
say jobpool run "$out/pool" --workers 2
say jobpool status "$out/pool" --by parcellation
say jobpool collect "$out/pool"
say jobpool collect "$out/pool" -o "$out/results.csv"
say python "$example/plot.py" "$out/results.csv" "$out/auc-by-parcels.png"
say jobpool report "$out/pool" -o "$out/report.html"
