"""Times this toolkit and its peers in turn, and prints the ratios as a Markdown table.

    python bench/peers/compare.py --preset infer
    python bench/peers/compare.py --mode train --models resnet18,lenet5 --batches 8 --rounds 3 --json results.json

Every measurement is a process of its own. A round runs ours and then each peer, so that a slow minute of the machine meets all of them; PyTorch
runs in both layouts in the first round, after it in the faster one. A ratio is a peer's time over ours, median over the rounds of each round's
ratio of medians: above 1 we are faster.
"""

import argparse
import json
import os
import resource
import shlex
import statistics
import subprocess
import sys
import time
import tomllib
from dataclasses import asdict, dataclass, field
from pathlib import Path

from models import ROOT, default_input

OURS = "ours"
PEERS = {
    "pytorch": {layout: ["pytorch.py", "--layout", layout] for layout in ("channels_last", "channels_first")},
    "pytorch_frozen": {
        layout: ["pytorch.py", "--engine", "frozen", "--layout", layout] for layout in ("channels_last", "channels_first")
    },
    "pytorch_compile": {
        layout: ["pytorch.py", "--engine", "compile", "--layout", layout] for layout in ("channels_last", "channels_first")
    },
    "onnxruntime": {"": ["onnx_runtime.py"]},
    "openvino": {"": ["openvino_bench.py"]},
}
"""Each peer's variants, of which the fastest in the first round stays, and how each is started."""

PEERS_OF_MODE = {"infer": list(PEERS), "train": ["pytorch", "pytorch_compile"]}


@dataclass(frozen=True)
class Preset:
    """Work given as models and batch sizes, at `sizes` where it is not the model's own."""

    mode: str
    work: list[tuple[str, int]]
    peers: list[str]
    sizes: dict[str, str] = field(default_factory=dict)
    options: list[str] = field(default_factory=list)
    """What all programs get beside."""


INFER_MODELS = ("resnet18", "resnet50", "mobilenetv2_100", "squeezenet1_1")
ZOO_INFER = (
    "vgg16",
    "inception_v3",
    "densenet121",
    "efficientnet_b0",
    "mobilenetv3_large_100",
    "resnext50_32x4d",
    "regnety_004",
    "convnext_atto",
    "mobilenetv2_100",
)
ZOO_TRAIN = ("efficientnet_b0", "mobilenetv3_large_100", "densenet121", "resnext50_32x4d", "convnext_atto")
SEGMENTERS = {"deeplabv3_mobilenet_v3_large": "512", "unet": "512", "smp_unet:backbone=mobilenetv2_100": "512"}
SEGMENTERS_IN_TRAINING = {"unet:width=16": "256", "smp_unet:backbone=mobilenetv2_100": "256x320"}
PRESETS = {
    "segment_infer": Preset("infer", [(model, 1) for model in SEGMENTERS], ["onnxruntime", "openvino"], SEGMENTERS),
    "segment_train": Preset(
        "train", [(model, 4) for model in SEGMENTERS_IN_TRAINING], ["pytorch", "pytorch_compile"], SEGMENTERS_IN_TRAINING
    ),
    "detect_infer": Preset(
        "infer",
        [("yolox_nano", 1)],
        ["onnxruntime", "openvino"],
        options=["--weights", "../shared/hub/yolox_nano.coco", "--photo", "../shared/data/coco128/images/000000000009.jpg"],
    ),
    "detect_train": Preset("train", [("yolox_nano", 8)], ["pytorch", "pytorch_compile"]),
    "zoo_train": Preset("train", [(model, 8) for model in ZOO_TRAIN], ["pytorch", "pytorch_compile"]),
    "zoo_infer": Preset("infer", [(model, batch) for model in ZOO_INFER for batch in (1, 8)], ["onnxruntime", "openvino"]),
    "train": Preset("train", [("resnet18", 8), ("resnet50", 8), ("mobilenetv2_100", 8), ("resnet20_cifar10", 128)], ["pytorch"]),
    "infer": Preset("infer", [(model, batch) for model in INFER_MODELS for batch in (1, 8)], ["onnxruntime", "openvino"]),
}


@dataclass
class Item:
    """One piece of work; per participant (`ours`, `openvino`, `pytorch channels_last`, …) its command and its report of every round."""

    work: str
    commands: dict[str, list[str]]
    reports: dict[str, list[dict]] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)

    def times(self, participant: str) -> list[float]:
        """Milliseconds per call, one number per round."""
        return [report["ms_p50"] for report in self.reports[participant]]

    def median(self, participant: str) -> float:
        return statistics.median(self.times(participant))

    def ratios(self, participant: str) -> list[float]:
        """Its time over ours, one number per round."""
        return [theirs / ours for theirs, ours in zip(self.times(participant), self.times(OURS))]

    def finishers(self) -> list[str]:
        """The peers' variants that ran in every round, the fastest first; none if ours failed."""
        if OURS in self.errors:
            return []
        rounds = len(self.reports[OURS])
        peers = [name for name, reports in self.reports.items() if name != OURS and len(reports) == rounds]
        return sorted(peers, key=self.median)


def main():
    arguments = parse()
    environment = cargo_environment()
    items = [new_item(arguments, model, batch) for model, batch in arguments.work]
    for item in items:
        measure(item, arguments.rounds, environment)
    print(table(items, arguments.peers))
    print(summary(items, environment))
    if arguments.json:
        arguments.json.write_text(json.dumps({"environment": environment, "items": [asdict(item) for item in items]}, indent=1) + "\n")
    sys.exit(any(item.errors for item in items))


def parse() -> argparse.Namespace:
    """The command line, completed by `work` (models and batch sizes)."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--preset", choices=PRESETS, help="sets mode, models and batches, and the peers unless --peers is given")
    options.add_argument("--mode", choices=PEERS_OF_MODE, default="infer")
    options.add_argument("--models", type=words, default=["resnet18"], metavar="A,B")
    options.add_argument("--batches", type=words, default=["1", "8"], metavar="N,M")
    options.add_argument("--size", metavar="H[xW]", help="default: each model's own")
    options.add_argument("--threads", type=int, default=2, metavar="T")
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--seconds", type=float, default=2.0, metavar="S", help="per measurement, after its warm-up")
    options.add_argument("--peers", type=words, metavar="A,B", help=f"among {', '.join(PEERS)}; default: all that have the mode")
    options.add_argument("--ours", default="target/debug/cnn", metavar="PROGRAM", help="default: %(default)s, below the repository")
    options.add_argument("--weights", metavar="DIR", help="a folder with model.safetensors, for all programs; default: random weights")
    options.add_argument("--photo", metavar="FILE", help="what networks that find objects look at; default: noise")
    options.add_argument("--json", type=Path, metavar="FILE", help="write every report of every round")
    arguments = options.parse_args()
    arguments.sizes = {}
    given = [(f"--{name}", getattr(arguments, name)) for name in ("weights", "photo")]
    arguments.options = [word for pair in given if pair[1] for word in pair]
    arguments.work = [(model, int(batch)) for model in arguments.models for batch in arguments.batches]
    if preset := PRESETS.get(arguments.preset):
        arguments.mode, arguments.work, arguments.sizes = preset.mode, preset.work, preset.sizes
        arguments.options = preset.options
        arguments.peers = arguments.peers or preset.peers
    available = PEERS_OF_MODE[arguments.mode]
    arguments.peers = arguments.peers or available
    for peer in arguments.peers:
        if peer not in available:
            options.error(f"no peer `{peer}` to {arguments.mode}, there are {', '.join(available)}")
    return arguments


def words(text: str) -> list[str]:
    return text.split(",")


def cargo_environment() -> dict[str, str]:
    """What cargo sets for our program; a variable that is set already wins, as it does there."""
    settings = tomllib.loads((ROOT / ".cargo/config.toml").read_text()).get("env", {})
    return {name: os.environ.get(name, value) for name, value in settings.items()}


def new_item(arguments: argparse.Namespace, model: str, batch: int) -> Item:
    size = arguments.size or arguments.sizes.get(model) or str(default_input(model).height)
    work = ["--model", model, "--mode", arguments.mode, "--batch", str(batch), "--size", size]
    work += ["--threads", str(arguments.threads), "--seconds", str(arguments.seconds), "--json", *arguments.options]
    commands = {OURS: [*shlex.split(arguments.ours), "bench", *work]}
    for peer in arguments.peers:
        for variant, (program, *options) in PEERS[peer].items():
            commands[f"{peer} {variant}".strip()] = ["python", f"bench/peers/{program}", *options, *work]
    return Item(f"{model} {arguments.mode}, batch {batch}, size {size}", commands)


def measure(item: Item, rounds: int, environment: dict[str, str]):
    """Runs all rounds. Who fails is out of this item; if it is ours, all are."""
    participants = list(item.commands)
    for number in range(1, rounds + 1):
        for name in list(participants):
            try:
                report = run(item.commands[name], environment if name == OURS else {})
            except (OSError, RuntimeError, ValueError) as error:
                item.errors[name] = str(error)
                participants.remove(name)
                progress(f"{item.work}: {name} FAILED: {error}")
                if name == OURS:
                    return
                continue
            item.reports.setdefault(name, []).append(report)
            progress(f"{item.work}: round {number} of {rounds}, {name} {report['ms_p50']:.2f} ms, other load {report['other_load']:.1f}")
        if number == 1:
            participants = fastest_variants(item, participants)


def fastest_variants(item: Item, participants: list[str]) -> list[str]:
    """One participant per peer."""
    fastest = {name.split()[0]: name for name in sorted(participants, key=item.median, reverse=True)}
    return [name for name in participants if name in fastest.values()]


def progress(text: str):
    print(text, file=sys.stderr, flush=True)


def run(command: list[str], environment: dict[str, str]) -> dict:
    """The JSON object that a program prints, and `other_load`: how many cores other processes used meanwhile."""
    program = [sys.executable, *command[1:]] if command[0] == "python" else command
    start, others = time.monotonic(), other_seconds()
    done = subprocess.run(program, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"exit status {done.returncode}: {done.stderr.strip()}")
    report = json.loads(done.stdout)
    if not report.get("ms_p50", 0) > 0:
        raise ValueError(f"no positive ms_p50 in {done.stdout}")
    report["other_load"] = max(0.0, (other_seconds() - others) / (time.monotonic() - start))
    return report


def other_seconds() -> float:
    """CPU seconds since the machine's start that neither were idle nor went to finished children of this process."""
    user, nice, system, _idle, _waiting, *rest = map(int, Path("/proc/stat").read_text().splitlines()[0].split()[1:9])
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (user + nice + system + sum(rest)) / os.sysconf("SC_CLK_TCK") - children.ru_utime - children.ru_stime


def table(items: list[Item], peers: list[str]) -> str:
    rows = [["work", "ours ms", *(f"{peer} ms" for peer in peers), "ratio to the best", "range"]]
    rows.append(["---"] + ["---:"] * (len(rows[0]) - 1))
    for item in items:
        finishers = item.finishers()
        row = [item.work, "failed" if OURS in item.errors else f"{item.median(OURS):.2f}"]
        for peer in peers:
            name = next((name for name in finishers if name.split()[0] == peer), None)
            row.append(f"{item.median(name):.2f} {name.removeprefix(peer).strip()}".strip() if name else "failed")
        if finishers:
            ratios = item.ratios(finishers[0])
            row += [f"{statistics.median(ratios):.2f}", f"{min(ratios):.2f}–{max(ratios):.2f}"]
        else:
            row += ["", ""]
        rows.append(row)
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def summary(items: list[Item], environment: dict[str, str]) -> str:
    """Mean and minimum of the ratios, who the peers were, how quiet the machine was, and every command once."""
    ratios = [statistics.median(item.ratios(item.finishers()[0])) for item in items if item.finishers()]
    reports = [report for item in items for reports in item.reports.values() for report in reports]
    lines = [""]
    if ratios:
        mean, minimum = statistics.geometric_mean(ratios), min(ratios)
        lines += [f"Ratio to the best peer over {len(ratios)} of {len(items)} items: geometric mean {mean:.2f}, minimum {minimum:.2f}."]
        lines += [f"Peers: {', '.join(sorted({report['peer'] for report in reports if 'peer' in report}))}."]
    busiest = max((report["other_load"] for report in reports), default=0)
    lines += [f"Other processes used {busiest:.1f} cores at most during a measurement.", ""]
    settings = [f"{name}={value}" for name, value in environment.items()]
    for item in items:
        for name, command in item.commands.items():
            lines.append("    " + shlex.join([*settings, *command] if name == OURS else command))
    return "\n".join(lines)


if __name__ == "__main__":
    main()
