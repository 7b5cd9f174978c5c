"""Writes crates/cnn-robust/tests/golden/<case>.safetensors: what other programs' attacks do to the same images.

    python tools/goldens/attacks.py [CASE…]

The network is the ResNet-8 for CIFAR-10 with weights by the formula, in f64, behind a normalisation; the labels are what it
predicts. Each file holds every batch that the attack asked a gradient for (`queried`) or what it gave after some steps (`after.<steps>`),
what it gave in the end (`adversarial`), and its random numbers (`draw.<name>.<restart>.<step>`).
"""

import argparse
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Callable
from unittest.mock import patch

import numpy as np
import torch
import torchattacks
from torch import nn

import files
import formula
from families.resnet_cifar import CifarResNet

GOLDEN = Path(__file__).parents[2] / "crates/cnn-robust/tests/golden"
PACKAGES = ["torch", "torchattacks"]
SHAPE = (8, 3, 10, 8)
MEAN = [0.4, 0.5, 0.6]
STD = [0.2, 0.25, 0.3]
EPS = 2 / 255


class Recorder(nn.Module):
    """The network on images in 0..1, and the batches whose gradient was asked for."""

    def __init__(self):
        super().__init__()
        self.network = CifarResNet(1, num_classes=10).double().eval()
        state = self.network.state_dict()
        self.network.load_state_dict({name: torch.from_numpy(formula.values(name, value.shape)) for name, value in state.items()})
        for parameter in self.network.parameters():
            parameter.requires_grad_(False)
        self.register_buffer("mean", torch.tensor(MEAN, dtype=torch.float64).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(STD, dtype=torch.float64).view(1, 3, 1, 1))
        self.queried = []

    def forward(self, images):
        if images.requires_grad:
            self.queried.append(images.detach().clone())
        return self.network((images - self.mean) / self.std)


@dataclass
class Draws:
    """What was drawn, by place; hands out numbers by the formula."""

    tensors: dict = field(default_factory=dict)

    def uniform(self, place: str, shape) -> torch.Tensor:
        values = torch.from_numpy(formula.uniform(f"draw.{place}", int(np.prod(shape)))).reshape(shape)
        self.tensors[f"draw.{place}"] = values.numpy()
        return values

    def normal(self, place: str, shape) -> torch.Tensor:
        half = self.uniform(place, (2, *shape)).clamp(min=1e-12)
        values = torch.sqrt(-2 * torch.log(half[0])) * torch.cos(2 * torch.pi * half[1])
        self.tensors[f"draw.{place}"] = values.numpy()
        return values


def uniform_start(draws: Draws):
    """PGD's start in torchattacks: `uniform_(-eps, eps)` of a tensor like the images."""

    def uniform_(tensor, low, high):
        return tensor.copy_(low + (high - low) * draws.uniform("start.0.0", tensor.shape))

    return patch.object(torch.Tensor, "uniform_", uniform_)


def l2_start(draws: Draws):
    """PGD's start in L2: a normal direction, then a uniform length."""

    def normal_(tensor):
        return tensor.copy_(draws.normal("start.0.0", tensor.shape))

    def uniform_(tensor, low, high):
        return tensor.copy_(low + (high - low) * draws.uniform("start_length.0.0", (tensor.shape[0], 1, 1, 1)))

    return patch.multiple(torch.Tensor, normal_=normal_, uniform_=uniform_)


def normal_signs(draws: Draws):
    """R+FGSM's start: signs of a normal tensor like the images."""

    def randn_like(images):
        return draws.normal("start.0.0", images.shape)

    return patch.object(torch, "randn_like", randn_like)


def nothing_drawn(draws: Draws):
    return patch.object(torch.Tensor, "uniform_", None)


@dataclass
class Case:
    """An attack as a function of the model, and what stands in for its random numbers."""

    attack: Callable
    drawn: Callable = nothing_drawn
    targeted: bool = False
    # Whether each image is attacked by itself.
    alone: bool = False
    # Whether the batches that a gradient was asked for are kept.
    steps_kept: bool = True
    # After how many steps the images are kept, by a run each, where gradients are asked for image by image.
    runs: tuple = ()


def second_class(model: Recorder):
    """The target of an image: the class that is second for the clean image."""
    return lambda images, labels: model(images.detach()).argsort(1)[:, -2]


CASES = {
    "fgsm": Case(lambda model: torchattacks.FGSM(model, eps=EPS)),
    "bim": Case(lambda model: torchattacks.BIM(model, eps=EPS, alpha=EPS / 4, steps=10)),
    "pgd": Case(lambda model: torchattacks.PGD(model, eps=EPS, alpha=EPS / 4, steps=10), uniform_start),
    "pgd_targeted": Case(lambda model: torchattacks.PGD(model, eps=EPS, alpha=EPS / 4, steps=10), uniform_start, targeted=True),
    "pgd_l2": Case(lambda model: torchattacks.PGDL2(model, eps=0.5, alpha=0.1, steps=10), l2_start),
    "ffgsm": Case(lambda model: torchattacks.FFGSM(model, eps=EPS, alpha=1.25 * EPS), uniform_start),
    "rfgsm": Case(lambda model: torchattacks.RFGSM(model, eps=EPS, alpha=EPS / 4, steps=10), normal_signs),
    "mifgsm": Case(lambda model: torchattacks.MIFGSM(model, eps=EPS, alpha=EPS / 4, steps=10, decay=0.9)),
    "mifgsm_targeted": Case(lambda model: torchattacks.MIFGSM(model, eps=EPS, alpha=EPS / 4, steps=10), targeted=True),
    "deepfool": Case(lambda model, steps=50: torchattacks.DeepFool(model, steps=steps), runs=(1, 2, 3, 4, 5)),
    # Each image's own descent ends at the step at which the whole batch's does, so that both programs agree.
    "cw": Case(lambda model: torchattacks.CW(model, c=5, steps=50, lr=0.01)),
    "cw_targeted": Case(lambda model: torchattacks.CW(model, c=5, steps=50, lr=0.01), targeted=True, steps_kept=False),
    "cw_alone": Case(lambda model: torchattacks.CW(model, c=0.5, steps=50, lr=0.01), alone=True),
}


def run(case: Case) -> dict:
    model = Recorder().eval()
    images = torch.from_numpy((formula.values("images", SHAPE).astype(np.float64) + 1) / 2)
    labels = model(images).argmax(1)
    draws = Draws()
    attack = case.attack(model)
    if case.targeted:
        attack.set_mode_targeted_by_function(second_class(model))
    with case.drawn(draws):
        size = 1 if case.alone else len(images)
        batches = zip(images.split(size), labels.split(size))
        adversarial = torch.cat([attack(*batch).detach() for batch in batches])
    predictions = model(adversarial).argmax(1)
    targets = second_class(model)(images, labels)
    success = predictions == targets if case.targeted else predictions != labels
    print(f"  {int(success.sum())} of {len(labels)} succeeded, {len(model.queried)} gradients")
    queried = [batch for batch in model.queried if case.steps_kept and batch.shape == images.shape]
    queried = {"queried": torch.stack(queried).float().numpy()} if queried else {}
    runs = {f"after.{steps}": case.attack(model, steps)(images, labels).detach().float().numpy() for steps in case.runs}
    return {
        "labels": labels.to(torch.int64).numpy(),
        "success": success.to(torch.uint8).numpy(),
        "adversarial": adversarial.float().numpy(),
        **queried,
        **runs,
        **draws.tensors,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", help="default: all")
    names = parser.parse_args().cases or list(CASES)
    metadata = {package: version(package) for package in PACKAGES}
    GOLDEN.mkdir(parents=True, exist_ok=True)
    for name in names:
        print(name)
        files.write(GOLDEN / f"{name}.safetensors", run(CASES[name]), metadata)


main()
