#!/usr/bin/env bash
# How long a debug build of each crate takes in a project of its own: measures the column "build time" of docs/crates.md and writes it.
#
#     bash tools/build_times.sh [CRATE[/FEATURE]] ...
#
# Without arguments all rows of the page. Each is built from nothing, one after the other and offline: run `cargo fetch` before, and let nothing else run.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
page=$root/docs/crates.md
if [ $# -eq 0 ]; then
  mapfile -t rows < <(sed -nE 's/^\|(.*\|)? `((cnn-|xtask|candle-)[a-z/-]*)` \|.*/\2/p' "$page")
  set -- "${rows[@]}"
fi
project=$(mktemp -d)
trap 'rm -rf "$project"' EXIT
mkdir "$project/src"
echo 'fn main() {}' >"$project/src/main.rs"
cp "$root/Cargo.lock" "$project/"
unset CARGO_TARGET_DIR RUSTFLAGS

# A project that depends on the crate alone, with the profile of docs/use-in-your-project.md.
manifest() {
  local crate=${1%%/*} feature=${1#"${1%%/*}"} source
  source="path = \"$root/crates/$crate\", features = [${feature:+\"${feature#/}\"}]"
  if [ "$crate" = candle-core ]; then
    source=$(sed -nE 's/^candle-core = \{ (.*) \}$/\1/p' "$root/Cargo.toml")
  fi
  cat <<END
[package]
name = "build-times"
version = "0.0.0"
edition = "2024"

[dependencies]
$crate = { $source }

[profile.dev.package."*"]
opt-level = 3
debug-assertions = false
overflow-checks = false

[workspace]
END
}

# The command line is no library: it is built where it is.
build() {
  if [ "$1" = xtask ]; then
    cd "$root"
    cargo build --offline --locked --package xtask --target-dir "$project/target"
  else
    cd "$project"
    manifest "$1" >Cargo.toml
    cargo build --offline
  fi
}

echo "$(nproc) cores, $(rustc --version)"
for row; do
  rm -rf "$project/target"
  start=$(date +%s.%N)
  (build "$row") 2>"$project/log" || { cat "$project/log" >&2; exit 1; }
  seconds=$(awk -v start="$start" -v end="$(date +%s.%N)" 'BEGIN { printf "%.0f", end - start }')
  echo "$row: $seconds s, $(grep -c '^ *Compiling' "$project/log") crates with itself"
  awk -F'|' -v OFS='|' -v cell=" \`$row\` " -v time=" $seconds s " '
    { for (field = 2; field < NF; field++) if ($field == cell) $(NF - 1) = time; print }' "$page" >"$project/page"
  cat "$project/page" >"$page"
done
