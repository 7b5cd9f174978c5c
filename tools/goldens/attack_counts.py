"""Prints how many of 200 CIFAR-10 images AutoAttack's reference leaves, for crates/cnn-robust/tests/reference_counts.rs.

    python tools/goldens/attack_counts.py SHARED

SHARED is the folder with `hub/` and `data/`. The random numbers are by the formula, the same for all images, as in the test.
"""

import io
import sys
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pyarrow.parquet as parquet
import torch
from PIL import Image
from pyautoattack.fab_pt import FABAttack_PT
from pyautoattack.square import SquareAttack

import formula
from families.resnet_cifar import CifarResNet

COUNT = 200


class Draws:
    """Stands in for `torch.rand`: the rows of numbers that the test's attacks draw, one after the other."""

    def __init__(self, seed: int, places):
        self.places = ((f"draws.{seed}.{place}", count) for place, count in places)
        self.left = np.zeros(0)

    def __call__(self, shape):
        shape = list(shape)
        of_image = shape[1:] if len(shape) == 4 else shape
        count = int(np.prod(of_image))
        if not len(self.left):
            name, length = next(self.places)
            self.left = (formula.values(name, (length,)).astype(np.float64) + 1) / 2
        numbers, self.left = self.left[:count], self.left[count:]
        if len(of_image) == 3:
            channels, height, width = of_image
            numbers = numbers.reshape(height, width, channels).transpose(2, 0, 1)
        return torch.from_numpy(numbers.copy()).float().reshape(of_image).expand(shape)


def square_places(norm: str, queries: int):
    start, step = (32 * 3, 5) if norm == "Linf" else (25 * 4, 8)
    return [("start.0.0", start)] + [(f"square.0.{query}", step) for query in range(queries)]


def main():
    shared = Path(sys.argv[1])
    rows = parquet.read_table(shared / "data/cifar10/plain_text/test-00000-of-00001.parquet").slice(0, COUNT).to_pylist()
    pixels = np.stack([np.array(Image.open(io.BytesIO(row["img"]["bytes"]))) for row in rows])
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous().float() / 255
    labels = torch.tensor([row["label"] for row in rows])
    network = CifarResNet(3).eval().requires_grad_(False)
    state = torch.load(shared / "hub/resnet20_cifar10/resnet20-12fca82f.th", weights_only=True, map_location="cpu")["state_dict"]
    network.load_state_dict({name.removeprefix("module."): value for name, value in state.items()})
    mean = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
    model = lambda images: network((images - mean) / std)
    cases = {
        "square linf": lambda seed: (SquareAttack(model, norm="Linf", eps=4 / 255, n_queries=40, seed=0), square_places("Linf", 40)),
        "square l2": lambda seed: (SquareAttack(model, norm="L2", eps=0.5, n_queries=40, seed=0), square_places("L2", 40)),
        "fab-t linf": lambda seed: (
            FABAttack_PT(model, norm="Linf", eps=1 / 255, n_iter=6, n_restarts=2, n_target_classes=1, targeted=True, seed=0),
            [("start.1.0", 32 * 32 * 3)],
        ),
    }
    for name, case in cases.items():
        for seed in range(3):
            attack, places = case(seed)
            with patch.object(torch, "rand", Draws(seed, places)):
                found = attack.perturb(images.clone(), labels.clone())
            with torch.no_grad():
                print(name, seed, int((model(found).argmax(1) == labels).sum()), flush=True)


main()
