"""What a reference network is, and how timm's and torchvision's become one."""

from dataclasses import dataclass, field
from typing import Callable

import timm
import torchvision
from torch import nn


@dataclass(frozen=True)
class Reference:
    """One reference network; `stages` are the modules whose outputs are `stage0`, `stage1`, …

    The golden `input` is not square and its height and width keep away from kinks (see margins.py).
    `auxiliary` are the modules of its auxiliary heads, which compute
    in train mode alone, on inputs of at least `train_size`.
    What the golden file holds may be a reduced form of a large network: `build_reduced` builds it, and the toolkit with
    `model_args`, as a config.json has them (`widths` among them).
    """

    name: str
    source: str
    build: Callable[[int], nn.Module]
    input: tuple[int, int, int]
    default_input: tuple[int, int, int]
    default_classes: int
    stages: tuple[str, ...]
    model_args: dict = field(default_factory=dict)
    auxiliary: tuple[str, ...] = ()
    train_size: tuple[int, int] = (67, 93)
    build_reduced: Callable[[int], nn.Module] | None = None

    def build_golden(self, classes: int) -> nn.Module:
        """What the golden file is made of."""
        return (self.build_reduced or self.build)(classes)

    @property
    def train_input(self) -> tuple[int, int, int]:
        """In train mode the last maps need several values per channel: statistics of two amplify rounding errors without bound."""
        channels, height, width = self.input
        return self.input if min(self.default_input[1:]) < 64 else (channels, *map(max, (height, width), self.train_size))


@dataclass(frozen=True)
class Foreign:
    """The same network as another library names its tensors: a golden file `<name>.<library>` holds its logits and its names."""

    name: str
    library: str
    build: Callable[[int], nn.Module]
    input: tuple[int, int, int]
    model_args: dict = field(default_factory=dict)


def timm_reference(name, stages, size, architecture=None, in_chans=3, default_size=(224, 224), **options):
    """timm's network of that name; `size` is the height and width of the golden input."""
    build = lambda classes: timm.create_model(architecture or name, num_classes=classes, in_chans=in_chans, **options)
    return Reference(name, "timm", build, (in_chans, *size), (in_chans, *default_size), 1000, stages)


def torchvision_reference(name, stages, size, default_size=(224, 224), **options):
    """torchvision's, where timm lacks it."""
    build = lambda classes: getattr(torchvision.models, name)(num_classes=classes, **options)
    return Reference(name, "torchvision", build, (3, *size), (3, *default_size), 1000, stages)


def torchvision_names(name, size, theirs=None, **options):
    """torchvision's network of the name `theirs`, whose files load as the model `name`."""
    build = lambda classes: getattr(torchvision.models, theirs or name)(num_classes=classes, **options)
    return Foreign(name, "torchvision", build, (3, *size))
