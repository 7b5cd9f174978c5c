"""PGD of 20 steps on the ResNet-20 for CIFAR-10: this program beside torchattacks, in turn, in milliseconds for each image.

    python bench/peers/attacks.py [--rounds 3] [--images 256] [--batch 128]

The size is so small that no image is fooled: both make all 20 steps of every image. `pip install torch torchattacks pyarrow pillow`
(torchattacks with --no-deps, and scipy), and `cargo build --locked --package xtask` before.
"""

import argparse
import io
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch
import torchattacks
from PIL import Image

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tools/goldens"))
from families.resnet_cifar import CifarResNet  # noqa: E402

WEIGHTS = ROOT / "../shared/hub/resnet20_cifar10/resnet20-12fca82f.th"
DATA = ROOT / "../shared/data/cifar10"
EPS = 1e-4
STEPS = 20
MEAN = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
STD = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)


class Network(torch.nn.Module):
    """The network on images in 0..1."""

    def __init__(self):
        super().__init__()
        self.network = CifarResNet(3)
        state = torch.load(WEIGHTS, map_location="cpu", weights_only=False)["state_dict"]
        self.network.load_state_dict({name.removeprefix("module."): value for name, value in state.items()})

    def forward(self, images):
        return self.network((images - MEAN) / STD)


def photos(count: int):
    rows = pq.read_table(next(DATA.rglob("test*.parquet"))).slice(0, count).to_pydict()
    pixels = [np.array(Image.open(io.BytesIO(row["bytes"])).convert("RGB")) for row in rows["img"]]
    images = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).float() / 255
    return images, torch.tensor(rows["label"])


def peer(attack, images, labels, batch: int) -> float:
    start = time.perf_counter()
    for part, of_part in zip(images.split(batch), labels.split(batch)):
        attack(part, of_part)
    return 1000 * (time.perf_counter() - start) / len(labels)


def ours(count: int, batch: int) -> float:
    """Of the images that are attacked: those that are right without an attack."""
    with tempfile.TemporaryDirectory() as out:
        command = [ROOT / "target/debug/cnn", "attack", "--model", "resnet20_cifar10", "--weights", WEIGHTS, "--data", DATA]
        command += ["--split", "test", "--samples", count, "--batch", batch, "--attack", "pgd", "--steps", STEPS, "--eps", EPS]
        command += ["--diagnose", 0, "--sweep", 0, "--pictures", 0, "--json", "--out", out]
        printed = subprocess.run([str(word) for word in command], check=True, capture_output=True).stdout
    attack = json.loads(printed)["attacks"][0]
    return 1000 * attack["seconds"] / attack["attacked"]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    network = Network().eval()
    images, labels = photos(arguments.images)
    attack = torchattacks.PGD(network, eps=EPS, alpha=2.5 * EPS / STEPS, steps=STEPS)
    pairs = []
    for _ in range(arguments.rounds):
        pairs.append((ours(arguments.images, arguments.batch), peer(attack, images, labels, arguments.batch)))
        print("ours {:.1f} ms, torchattacks {:.1f} ms for each image".format(*pairs[-1]))
    mine, theirs = (statistics.median(values) for values in zip(*pairs))
    print(f"ratio of medians {theirs / mine:.2f}")


main()
