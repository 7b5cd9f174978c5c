#!/usr/bin/env bash
# How long a debug build of each crate takes in a project of its own: measures the column "build time" of docs/crates.md and writes it.
#
#     bash tools/build_times.sh
#
# Everything is built once from nothing, offline, by two jobs: run `cargo fetch` before, and let nothing else run.
# A row is half the sum over what it compiles: the time of two cores that are both kept busy.
set -euo pipefail
cd "$(dirname "$0")/.."
page=docs/crates.md
target=$(mktemp -d)
trap 'rm -rf "$target"' EXIT
unset RUSTFLAGS CARGO_BUILD_JOBS
cargo build --offline --locked --jobs 2 --timings --target-dir "$target" --package xtask --package cnn-layers --features cnn-layers/candle-nn --package cnn-hub --features cnn-hub/datasets

# One line per crate and version: the seconds of its compilation and of its build script.
sed -n '/^const UNIT_DATA = /,/^\];/p' "$target"/cargo-timings/cargo-timing.html | awk -F': ' '
  { gsub(/[",]/, "") }
  $1 ~ /^ *name$/ { name = $2 }
  $1 ~ /^ *version$/ { version = $2 }
  $1 ~ /^ *duration$/ { seconds[name " v" version] += $2 }
  END { for (unit in seconds) print unit, seconds[unit] }' >"$target/seconds"

mapfile -t rows < <(sed -nE 's/^\|(.*\|)? `((cnn-|xtask|candle-)[a-z/-]*)` \|.*/\2/p' "$page")
for row in "${rows[@]}"; do
  crate=${row%%/*}
  features=()
  if [ "$crate" != "$row" ]; then features=(--features "$row"); fi
  seconds=$(cargo tree --offline --locked --package "$crate" "${features[@]}" --edges normal,build --prefix none |
    awk '{ print $1, $2 }' | sort -u |
    awk 'NR == FNR { seconds[$1 " " $2] = $3; next } !($0 in seconds) { print $0 " was not built" >"/dev/stderr" } { sum += seconds[$0] } END { printf "%.0f", sum / 2 }' "$target/seconds" -)
  echo "$row: $seconds s"
  awk -F'|' -v OFS='|' -v cell=" \`$row\` " -v time=" $seconds s " '
    { for (field = 2; field < NF; field++) if ($field == cell) $(NF - 1) = time; print }' "$page" >"$target/page"
  cat "$target/page" >"$page"
done
