"""Accuracy against cost of the published weights, as a picture: docs/images/accuracy.svg.

    python bench/accuracy.py [--ours target/debug/cnn]

Each point is a model at its default size with the best top-1 accuracy that is published for its weights; a line joins the sizes of a family.
Needs matplotlib.
"""

import argparse
import json
import subprocess
from collections import defaultdict
from pathlib import Path

import matplotlib

matplotlib.use("svg")
from matplotlib import pyplot  # noqa: E402

ROOT = Path(__file__).parents[1]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ours", default="target/debug/cnn")
    arguments = parser.parse_args()
    done = subprocess.run([arguments.ours, "models", "--json"], cwd=ROOT, check=True, capture_output=True)
    families = defaultdict(list)
    for entry in json.loads(done.stdout):
        known = [weights["top1"] for weights in entry["weights"] if weights["top1"] is not None]
        if known:
            families[entry["family"]].append((entry["multiply_adds"] / 1e9, 100 * max(known), entry["name"]))
    # The same file for the same numbers.
    matplotlib.rcParams["svg.hashsalt"] = "accuracy"
    matplotlib.rcParams["font.size"] = 9
    figure, axes = pyplot.subplots(figsize=(9, 6))
    markers = "osD^v<>PX*hp"
    for index, (family, points) in enumerate(sorted(families.items())):
        points.sort()
        cost, accuracy, _ = zip(*points)
        axes.plot(cost, accuracy, marker=markers[index % len(markers)], linewidth=0.8, markersize=5, label=family)
    axes.set_xscale("log")
    axes.set_xlabel("multiply-adds for one image, thousands of millions")
    axes.set_ylabel("top-1 accuracy on ImageNet, %")
    axes.grid(True, which="both", linewidth=0.3)
    axes.legend(ncols=3, fontsize=8)
    figure.tight_layout()
    figure.savefig(ROOT / "docs/images/accuracy.svg", metadata={"Date": None})


if __name__ == "__main__":
    main()
