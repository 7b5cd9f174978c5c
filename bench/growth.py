"""How the cost of a network grows with the batch, the resolution and the threads.

    python bench/growth.py [--ours target/debug/cnn] [--seconds 1] [--svg FILE]

Runs `xtask bench` for inference and training of ResNet-18 and MobileNetV2 and prints Markdown tables of GFLOP/s, which stay flat where the cost is proportional to the work
(Winograd's convolutions count as the direct ones that they stand for); `--svg` also draws them (needs matplotlib). Nothing else may run meanwhile.
"""

import argparse
import json
import os
import subprocess
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
MODELS = {"resnet18": "ResNet-18", "mobilenetv2_100": "MobileNetV2"}
GRIDS = {
    "batch": [1, 2, 4, 8, 16, 32, 64],
    "size": [64, 96, 128, 160, 224, 320, 512],
    "threads": list(range(1, (os.cpu_count() or 1) + 1)),
}
DEFAULTS = {"infer": {"batch": 1, "size": 224, "threads": os.cpu_count()}, "train": {"batch": 8, "size": 224, "threads": os.cpu_count()}}
TRAIN_LIMIT = {"batch": 32, "size": 320}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ours", default="target/debug/cnn", type=Path)
    parser.add_argument("--seconds", default=1.0, type=float)
    parser.add_argument("--svg", type=Path)
    arguments = parser.parse_args()
    variables = tomllib.loads((ROOT / ".cargo/config.toml").read_text()).get("env", {})
    environment = {**variables, **os.environ}
    curves = {}
    for axis, values in GRIDS.items():
        for mode, defaults in DEFAULTS.items():
            wanted = [value for value in values if mode == "infer" or value <= TRAIN_LIMIT.get(axis, value)]
            for model in MODELS:
                points = [measure(arguments, environment, model, mode, {**defaults, axis: value}) for value in wanted]
                curves[axis, mode, model] = (wanted, points)
        print_table(axis, curves)
    if arguments.svg:
        draw(curves, arguments.svg)


def measure(arguments, environment, model, mode, work):
    command = [arguments.ours, "bench", "--json", "--model", model, "--mode", mode, "--seconds", str(arguments.seconds)]
    command += [str(word) for key, value in work.items() for word in (f"--{key}", value)]
    answer = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return json.loads(answer.stdout)


def print_table(axis, curves):
    rows = [(mode, model, *curves[axis, mode, model]) for mode in DEFAULTS for model in MODELS]
    values = GRIDS[axis]
    print(f"\n| GFLOP/s (images/s) by {axis} | " + " | ".join(map(str, values)) + " |")
    print("|---|" + "---:|" * len(values))
    for mode, model, wanted, points in rows:
        cells = {value: f"{point['gflops']:.0f} ({point['images_per_second']:.1f})" for value, point in zip(wanted, points)}
        print(f"| {MODELS[model]}, {mode} | " + " | ".join(cells.get(value, "") for value in values) + " |", flush=True)


def draw(curves, path):
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, len(GRIDS), figsize=(11, 3.4), sharey=True)
    for place, axis in zip(axes, GRIDS):
        for mode in DEFAULTS:
            for model, title in MODELS.items():
                wanted, points = curves[axis, mode, model]
                style = "-" if mode == "infer" else "--"
                place.plot(wanted, [point["gflops"] for point in points], style, marker="o", markersize=3, label=f"{title}, {mode}")
        if axis != "threads":
            place.set_xscale("log", base=2)
        place.set_xticks(GRIDS[axis], [str(value) for value in GRIDS[axis]])
        place.set_xlabel(axis)
        place.grid(alpha=0.3)
    axes[0].set_ylabel("GFLOP/s")
    axes[0].set_ylim(bottom=0)
    axes[-1].legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    main()
