"""Loads directories saved by this toolkit into PyTorch, `strict=True`, and compares the logits.

    python tools/peers/strict_load.py DIR…

Each DIR holds `config.json` and `model.safetensors`. The network is timm's, torchvision's where timm lacks it, and for LeNet and the
CIFAR ResNets the definition in tools/goldens/families/. Both sides see the same formula-made batch at the configured input size;
ours runs as `cargo xtask forward`, or as `PROGRAM forward`. One line per directory: difference of the logits, largest absolute and
relative to the largest logit. Exit status 1 if any directory does not load or differs by more than TOLERANCE.

Fresh weights of EfficientNetV2-M and -L amplify rounding so much that PyTorch's own f32 logits are as far from its f64 ones; these want
weights that were trained, or larger running variances.
"""

import argparse
import json
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

import timm
import torch
import torchvision
from safetensors.numpy import load_file, save_file
from safetensors.torch import load_file as load_torch_file
from timm.models.efficientnet import _gen_mnasnet_b1, _gen_mobilenet_v1, _gen_mobilenet_v2
from torch import nn

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tools/goldens"))

import formula  # noqa: E402
from families.lenet import LeNet5  # noqa: E402
from families.resnet_cifar import CifarResNet  # noqa: E402

TOLERANCE = 1e-4
BATCH = 2


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directories", nargs="+", metavar="DIR", type=Path)
    parser.add_argument("--ours", default="cargo xtask", metavar="PROGRAM", help="default: %(default)s")
    torch.set_num_threads(2)
    failures = 0
    arguments = parser.parse_args()
    for directory in arguments.directories:
        try:
            name, absolute, relative = compare(directory, shlex.split(arguments.ours))
        except Exception as error:
            failures += 1
            print(f"{directory}: FAILED: {error}", flush=True)
            continue
        # Not `>`: a NaN must fail.
        failed = not relative <= TOLERANCE
        failures += failed
        print(f"{name:24} max {absolute:.1e} relative {relative:.1e} {'FAILED' if failed else 'ok'}  {directory}", flush=True)
    sys.exit(1 if failures else 0)


def compare(directory: Path, ours: list[str]) -> tuple[str, float, float]:
    config = json.loads((directory / "config.json").read_text())
    model = build(config)
    model.load_state_dict(load_torch_file(directory / "model.safetensors"), strict=True)
    xs = formula.values("input", (BATCH, *config["pretrained_cfg"]["input_size"]))
    with torch.no_grad():
        # timm computes auxiliary heads in evaluation too, unless it is told not to.
        model.aux_logits = False
        expected = model.eval()(torch.from_numpy(xs)).numpy()
    found = forward(ours, config["architecture"], directory, xs)
    if found.shape != expected.shape:
        raise ValueError(f"logits are {found.shape}, PyTorch's {expected.shape}")
    absolute = abs(found - expected).max()
    return config["architecture"], absolute, absolute / abs(expected).max()


def build(config: dict) -> nn.Module:
    name, classes = config["architecture"], config["num_classes"]
    channels, height, width = config["pretrained_cfg"]["input_size"]
    arguments = dict(config.get("model_args", {}))
    if name.startswith("lenet5"):
        return LeNet5(classes, height, width, tanh=name.endswith("tanh"))
    if name.endswith("_cifar10"):
        depth = int(name.removeprefix("resnet").removesuffix("_cifar10"))
        return CifarResNet((depth - 2) // 6, classes)
    if name == "alexnet":
        return torchvision.models.alexnet(num_classes=classes)
    if name == "googlenet":
        return torchvision.models.googlenet(num_classes=classes, init_weights=False, **arguments)
    if name.startswith("shufflenet"):
        return getattr(torchvision.models, name)(num_classes=classes)
    if name.startswith("squeezenet"):
        model = getattr(torchvision.models, name)(num_classes=classes)
        if channels != 3:
            first = model.features[0]
            model.features[0] = nn.Conv2d(channels, first.out_channels, first.kernel_size, first.stride)
        return model
    if name == "mnasnet_130":
        return _gen_mnasnet_b1("mnasnet_100", 1.3, num_classes=classes, **arguments)
    if multiplier := arguments.pop("channel_multiplier", None):
        # timm's entry points fix the multiplier, hence the generators behind them.
        generator = {"mobilenetv1_100": _gen_mobilenet_v1, "mobilenetv2_100": _gen_mobilenet_v2}[name]
        return generator(name, multiplier, num_classes=classes, **arguments)
    return timm.create_model(name, num_classes=classes, **arguments)


def forward(ours: list[str], name: str, directory: Path, xs):
    """The logits of our `forward`."""
    with tempfile.TemporaryDirectory() as folder:
        input, output = Path(folder) / "input.safetensors", Path(folder) / "output.safetensors"
        save_file({"input": xs}, input)
        command = [*ours, "forward", "--model", name, "--weights", directory.resolve(), "--input", input, "--output", output]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"cargo xtask forward exits with {done.returncode}: {done.stderr.strip()}")
        return load_file(output)["logits"]


if __name__ == "__main__":
    main()
