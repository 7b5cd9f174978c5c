#!/usr/bin/env bash
# How long a debug build of each crate takes in a project of its own: the column "build time" of docs/crates.md.
#
#     bash tools/build_times.sh [CRATE[/FEATURE]] ...
#
# Without arguments all rows of the page. Each is built from nothing, one after the other, offline: run `cargo fetch` once before. Let nothing else run.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
if [ $# -eq 0 ]; then
  mapfile -t rows < <(grep -oE '^\|.*\| `?(cnn-[a-z]+)`? \||^\| `cnn-[a-z]+/[a-z-]+`' "$root/docs/crates.md" | grep -oE 'cnn-[a-z]+(/[a-z-]+)?' | awk '!seen[$0]++')
  set -- "${rows[@]}"
fi
project=$(mktemp -d)
trap 'rm -rf "$project"' EXIT
mkdir "$project/src"
echo 'fn main() {}' >"$project/src/main.rs"
cp "$root/Cargo.lock" "$project/"
unset CARGO_TARGET_DIR RUSTFLAGS
cd "$project"
echo "$(nproc) cores, $(rustc --version)"
for row; do
  crate=${row%%/*} feature=${row#"$crate"}
  cat >Cargo.toml <<END
[package]
name = "build-times"
version = "0.0.0"
edition = "2024"

[dependencies]
$crate = { path = "$root/crates/$crate", features = [${feature:+\"${feature#/}\"}] }

[profile.dev.package."*"]
opt-level = 3
debug-assertions = false
overflow-checks = false

[workspace]
END
  rm -rf target
  start=$(date +%s.%N)
  cargo build --offline 2>log || { cat log >&2; exit 1; }
  seconds=$(awk -v start="$start" -v end="$(date +%s.%N)" 'BEGIN { printf "%.0f", end - start }')
  # The project and the crate itself are compiled too.
  echo "$row: $(($(grep -c '^ *Compiling' log) - 2)) crates, $seconds s"
done
