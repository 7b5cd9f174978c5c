"""How fast every registered model infers here: writes docs/models.csv, from which docs/models.md is rendered.

    python bench/zoo.py [--ours target/debug/cnn] [--seconds 1] [NAME…]

Each model runs at its default size with two threads, one image at a time and eight at once. With names, only these are measured anew. Nothing
else may run meanwhile.
"""

import argparse
import csv
import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
TABLE = ROOT / "docs/models.csv"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--ours", default="target/debug/cnn")
    parser.add_argument("--seconds", default=1.0, type=float)
    arguments = parser.parse_args()
    settings = tomllib.loads((ROOT / ".cargo/config.toml").read_text()).get("env", {})
    environment = {**{name: value for name, value in settings.items()}, **os.environ}
    ours = lambda *words: json.loads(subprocess.run([arguments.ours, *words], cwd=ROOT, env=environment, check=True, capture_output=True).stdout)
    models = [entry["name"] for entry in ours("models", "--json")]
    if unknown := set(arguments.names) - set(models):
        parser.error(f"no model is called {', '.join(sorted(unknown))}")
    old = {row["model"]: row for row in csv.DictReader(TABLE.open())} if TABLE.exists() else {}
    rows = []
    for model in models:
        if arguments.names and model not in arguments.names:
            rows += [old[model]] if model in old else []
            continue
        work = ["bench", "--model", model, "--mode", "infer", "--threads", "2", "--seconds", str(arguments.seconds), "--json"]
        one, eight = (ours(*work, "--batch", batch) for batch in ("1", "8"))
        rows.append({"model": model, "ms": f"{one['ms_p50']:.2f}", "images_per_second": f"{eight['images_per_second']:.1f}"})
        print(*rows[-1].values(), file=sys.stderr, flush=True)
    with TABLE.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["model", "ms", "images_per_second"], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
