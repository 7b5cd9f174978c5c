"""Writes crates/cnn-robust/tests/golden/<case>.safetensors: what other programs' attacks do to the same images.

    python tools/goldens/attacks.py [CASE…]

The network is the ResNet-8 for CIFAR-10 with weights by the formula, in f64, behind a normalisation; the labels are what it
predicts. Each file holds every batch that the attack asked a gradient for (`queried`; of several sizes one after the other, with
`queried_sizes`) or what it gave after some steps (`after.<steps>`), what it gave in the end (`adversarial`), and its random
numbers (`draw.<name>.<restart>.<step>`). AutoAttack's reference computes in f32 unless it is told otherwise, so `.float()` is
made to give f64.
"""

import argparse
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Callable
from contextlib import ExitStack
from unittest.mock import patch

import numpy as np
import pyautoattack.autopgd_base as apgd_reference
import pyautoattack.fab_pt as fab_reference
import pyautoattack.square as square_reference
import torch
import torchattacks
from torch import nn

import files
import formula
from families.resnet_cifar import CifarResNet

GOLDEN = Path(__file__).parents[2] / "crates/cnn-robust/tests/golden"
PACKAGES = ["torch", "torchattacks", "pyautoattack"]
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
    images: int = SHAPE[0]
    # Whether each image is attacked by itself.
    alone: bool = False
    # Whether the batches that a gradient was asked for are kept.
    steps_kept: bool = True
    # After how many steps the images are kept, by a run each, where gradients are asked for image by image.
    runs: tuple = ()


class Reference:
    """An attack of AutoAttack's reference in f64, whose random numbers are by the formula.

    Of an image that it did not succeed on it gives the image of the largest loss of the last run, if it has one.
    """

    def __init__(self, attack, draws: Draws):
        self.attack = attack
        self.draws = draws
        self.runs = 0

    def __call__(self, images, labels):
        self.images = images
        self.failed = images.clone()
        attack_single_run = self.attack.attack_single_run

        def single_run(x, y, *args, **keywords):
            self.standing = [int((images == image).flatten(1).all(1).nonzero()) for image in x]
            self.runs += "x_init" not in keywords
            result = attack_single_run(x, y, *args, **keywords)
            self.failed[self.standing] = self.last_try(result, x)
            return result

        with ExitStack() as stack:
            stack.enter_context(patch.object(self.attack, "attack_single_run", single_run))
            for name in ("rand", "randn", "randn_like"):
                stack.enter_context(patch.object(torch, name, getattr(self, name)))
            stack.enter_context(patch.object(torch.Tensor, "float", torch.Tensor.double))
            torch.set_default_dtype(torch.float64)
            found = self.attack.perturb(images, labels)
            torch.set_default_dtype(torch.float32)
        stands = (found == images).flatten(1).all(1)
        found[stands] = self.failed[stands]
        return found

    def last_try(self, result, clean):
        return result[0] if isinstance(result, tuple) else clean

    def rand(self, shape):
        return self.draws.uniform(f"start.{self.runs - 1}.0", self.images.shape)[self.standing]

    def randn(self, shape):
        if getattr(self.attack, "use_largereps", False):
            return torch.zeros(shape)  # Not used: the climb starts where the one in the larger ball ended.
        return self.draws.normal(f"start.{self.runs - 1}.0", self.images.shape)[self.standing]

    def randn_like(self, x):
        standing = [int((self.images == image).flatten(1).all(1).nonzero()) for image in x]
        start = self.draws.normal(f"start.{self.runs}.0", self.images.shape)[standing]
        self.runs += 1
        return start


class SquareReference(Reference):
    """Square Attack: the numbers of a step are one row, the same for all images."""

    def __call__(self, images, labels):
        self.rows = []
        found = super().__call__(images, labels)
        height, width = SHAPE[2:]
        tile = height // 5
        first, per_step = (1, 3) if self.attack.norm == "Linf" else (2 * (height // tile) * (width // tile), 6)
        self.keep("start", 0, self.rows[:first])
        for step, place in enumerate(range(first, len(self.rows), per_step)):
            self.keep("square", step, self.rows[place : place + per_step])
        return found

    def keep(self, name, step, rows):
        row = torch.cat(rows).expand(len(self.images), -1)
        self.draws.tensors[f"draw.{name}.0.{step}"] = row[:, :, None, None].numpy().copy()

    def last_try(self, result, clean):
        return result[1]

    def rand(self, shape):
        of_image = list(shape)[1:] if len(shape) == 4 else list(shape)
        values = torch.from_numpy(formula.uniform(f"draw.{len(self.rows)}", int(np.prod(of_image)))).reshape(of_image)
        # Ours are in the order of an image's values, channels last.
        self.rows.append((values.permute(1, 2, 0) if len(of_image) == 3 else values).flatten())
        return values.expand(list(shape))


def reference(module, name: str, kind=Reference, **keywords):
    return lambda model, draws: kind(getattr(module, name)(model, seed=0, device="cpu", **keywords), draws)


def apgd(**keywords):
    return reference(apgd_reference, "APGDAttack", **keywords)


def apgd_targeted(**keywords):
    return reference(apgd_reference, "APGDAttack_targeted", **keywords)


def fab(**keywords):
    return reference(fab_reference, "FABAttack_PT", targeted=True, **keywords)


def square(**keywords):
    return reference(square_reference, "SquareAttack", SquareReference, **keywords)


def second_class(model: Recorder):
    """The target of an image: the class that is second for the clean image."""
    return lambda images, labels: model(images.detach()).argsort(1)[:, -2]


CASES = {
    "fgsm": Case(lambda model, draws: torchattacks.FGSM(model, eps=EPS)),
    "bim": Case(lambda model, draws: torchattacks.BIM(model, eps=EPS, alpha=EPS / 4, steps=10)),
    "pgd": Case(lambda model, draws: torchattacks.PGD(model, eps=EPS, alpha=EPS / 4, steps=10), uniform_start),
    "pgd_targeted": Case(lambda model, draws: torchattacks.PGD(model, eps=EPS, alpha=EPS / 4, steps=10), uniform_start, targeted=True),
    "pgd_l2": Case(lambda model, draws: torchattacks.PGDL2(model, eps=0.5, alpha=0.1, steps=10), l2_start),
    "apgd_ce": Case(apgd(loss="ce", norm="Linf", eps=EPS, n_iter=25)),
    "apgd_dlr": Case(apgd(loss="dlr", norm="Linf", eps=EPS / 2, n_iter=10, n_restarts=2)),
    "apgd_t": Case(apgd_targeted(norm="Linf", eps=EPS / 2, n_iter=25, n_target_classes=3), images=4),
    "apgd_ce_l2": Case(apgd(loss="ce", norm="L2", eps=0.1, n_iter=25)),
    "apgd_ce_l1": Case(apgd(loss="ce", norm="L1", eps=0.4, n_iter=25)),
    "apgd_ce_l1_shrinking": Case(apgd(loss="ce", norm="L1", eps=0.4, n_iter=25, use_largereps=True)),
    "fab_t": Case(fab(norm="Linf", eps=EPS, n_iter=10, n_target_classes=2, n_restarts=2)),
    "fab_t_l2": Case(fab(norm="L2", eps=0.1, n_iter=10, n_target_classes=2)),
    "fab_t_l1": Case(fab(norm="L1", eps=0.4, n_iter=10, n_target_classes=2)),
    "square": Case(square(norm="Linf", eps=EPS, n_queries=60)),
    "square_l2": Case(square(norm="L2", eps=0.2, n_queries=60)),
    "square_l1": Case(square(norm="L1", eps=2.0, n_queries=60, resc_schedule=False)),
    "ffgsm": Case(lambda model, draws: torchattacks.FFGSM(model, eps=EPS, alpha=1.25 * EPS), uniform_start),
    "rfgsm": Case(lambda model, draws: torchattacks.RFGSM(model, eps=EPS, alpha=EPS / 4, steps=10), normal_signs),
    "mifgsm": Case(lambda model, draws: torchattacks.MIFGSM(model, eps=EPS, alpha=EPS / 4, steps=10, decay=0.9)),
    "mifgsm_targeted": Case(lambda model, draws: torchattacks.MIFGSM(model, eps=EPS, alpha=EPS / 4, steps=10), targeted=True),
    "deepfool": Case(lambda model, draws, steps=50: torchattacks.DeepFool(model, steps=steps), steps_kept=False, runs=(1, 2, 3, 4, 5)),
    # Each image's own descent ends at the step at which the whole batch's does, so that both programs agree.
    "cw": Case(lambda model, draws: torchattacks.CW(model, c=5, steps=50, lr=0.01)),
    "cw_targeted": Case(lambda model, draws: torchattacks.CW(model, c=5, steps=50, lr=0.01), targeted=True, steps_kept=False),
    "cw_alone": Case(lambda model, draws: torchattacks.CW(model, c=0.5, steps=50, lr=0.01), alone=True, steps_kept=False),
}


def queried_batches(model: Recorder) -> dict:
    sizes = [len(batch) for batch in model.queried]
    if not sizes:
        return {}
    if len(set(sizes)) == 1:
        return {"queried": torch.stack(model.queried).float().numpy()}
    return {"queried": torch.cat(model.queried).float().numpy(), "queried_sizes": np.array(sizes)}


def run(case: Case) -> dict:
    model = Recorder().eval()
    images = torch.from_numpy((formula.values("images", SHAPE).astype(np.float64) + 1) / 2)[: case.images]
    labels = model(images).argmax(1)
    draws = Draws()
    attack = case.attack(model, draws)
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
    queried = queried_batches(model) if case.steps_kept else {}
    after = {f"after.{steps}": case.attack(model, draws, steps)(images, labels) for steps in case.runs}
    runs = {name: found.detach().float().numpy() for name, found in after.items()}
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
