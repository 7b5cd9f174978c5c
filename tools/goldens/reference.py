"""The reference networks, one entry per golden file: timm's and torchvision's where they have the architecture, ours otherwise."""

from dataclasses import dataclass
from typing import Callable

import timm
import torch
import torchvision
from timm.models.efficientnet import _gen_mobilenet_v1
from torch import nn
from torch.nn import functional as F


class LeNet5(nn.Module):
    """LeCun et al. 1998; ReLU and max-pooling, or the paper's tanh and averages. `height`, `width` size the first linear layer."""

    def __init__(self, num_classes=10, height=28, width=28, tanh=False):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 5, padding=2)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(16 * ((height // 2 - 4) // 2) * ((width // 2 - 4) // 2), 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, num_classes)
        self.act = torch.tanh if tanh else F.relu
        self.pool1 = nn.AvgPool2d(2) if tanh else nn.MaxPool2d(2)
        self.pool2 = nn.AvgPool2d(2) if tanh else nn.MaxPool2d(2)

    def forward(self, xs):
        xs = self.pool1(self.act(self.conv1(xs)))
        xs = self.pool2(self.act(self.conv2(xs)))
        xs = self.act(self.fc1(xs.flatten(1)))
        return self.fc3(self.act(self.fc2(xs)))


class CifarBlock(nn.Module):
    """Two 3×3 convolutions; where the shape changes, the option-A shortcut: every second pixel, zero channels on both sides.

    Each ReLU is a module of its own, so that captum can replace its gradient.
    """

    def __init__(self, in_planes, planes, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(in_planes, planes, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.act1 = nn.ReLU()
        self.conv2 = nn.Conv2d(planes, planes, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.act2 = nn.ReLU()
        self.pad = planes // 4 if stride != 1 or in_planes != planes else 0

    def forward(self, xs):
        ys = self.bn2(self.conv2(self.act1(self.bn1(self.conv1(xs)))))
        shortcut = F.pad(xs[:, :, ::2, ::2], (0, 0, 0, 0, self.pad, self.pad)) if self.pad else xs
        return self.act2(ys + shortcut)


class CifarResNet(nn.Module):
    """He et al. 2015, section 4.2, with the parameter names of akamaster/pytorch_resnet_cifar10; depth = 6·blocks + 2."""

    def __init__(self, blocks, num_classes=10):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.act1 = nn.ReLU()
        self.layer1 = self._layer(16, 16, blocks, 1)
        self.layer2 = self._layer(16, 32, blocks, 2)
        self.layer3 = self._layer(32, 64, blocks, 2)
        self.linear = nn.Linear(64, num_classes)

    @staticmethod
    def _layer(in_planes, planes, blocks, stride):
        first = CifarBlock(in_planes, planes, stride)
        return nn.Sequential(first, *(CifarBlock(planes, planes, 1) for _ in range(blocks - 1)))

    def forward(self, xs):
        xs = self.act1(self.bn1(self.conv1(xs)))
        xs = self.layer3(self.layer2(self.layer1(xs)))
        return self.linear(xs.mean((2, 3)))


@dataclass(frozen=True)
class Reference:
    """One reference network; `stages` are the modules whose outputs are `stage0`, `stage1`, …

    The golden `input` is not square and its height and width keep away from kinks (see margins.py).
    """

    name: str
    source: str
    build: Callable[[int], nn.Module]
    input: tuple[int, int, int]
    default_input: tuple[int, int, int]
    default_classes: int
    stages: tuple[str, ...]

    @property
    def train_input(self) -> tuple[int, int, int]:
        """In train mode the last maps need several values per channel: statistics of two amplify rounding errors without bound."""
        channels, height, width = self.input
        return self.input if min(self.default_input[1:]) < 64 else (channels, max(height, 67), max(width, 93))


RESNET_STAGES = ("act1", "layer1", "layer2", "layer3", "layer4")
MOBILENET_V1_STAGES = ("blocks.0", "blocks.1", "blocks.2", "blocks.3", "blocks.4")
MOBILENET_V2_STAGES = ("blocks.0", "blocks.1", "blocks.2", "blocks.4", "blocks.6")


def _lenet(name, tanh, height=28, width=28):
    return Reference(
        name, "own", lambda classes: LeNet5(classes, height, width, tanh), (1, height, width), (1, 28, 28), 10, ("pool1", "pool2")
    )


def _cifar(depth, *size):
    build = lambda classes: CifarResNet((depth - 2) // 6, classes)
    stages = ("act1", "layer1", "layer2", "layer3")
    return Reference(f"resnet{depth}_cifar10", "own", build, (3, *size), (3, 32, 32), 10, stages)


def _timm(name, stages, size, architecture=None, in_chans=3, **options):
    build = lambda classes: timm.create_model(architecture or name, num_classes=classes, in_chans=in_chans, **options)
    return Reference(name, "timm", build, (in_chans, *size), (in_chans, 224, 224), 1000, stages)


def _mobilenet_v1_same(name, multiplier, size):
    # timm's entry points fix the multiplier, hence the generator behind them.
    build = lambda classes: _gen_mobilenet_v1("mobilenetv1_100", multiplier, num_classes=classes, pad_type="same", bn_eps=1e-3)
    return Reference(name, "timm", build, (3, *size), (3, 224, 224), 1000, MOBILENET_V1_STAGES)


def _squeezenet(name, stages, size):
    build = lambda classes: getattr(torchvision.models, name)(num_classes=classes, dropout=0.0)
    return Reference(name, "torchvision", build, (3, *size), (3, 224, 224), 1000, stages)


REFERENCES = [
    _lenet("lenet5", False, 28, 36),
    _lenet("lenet5_tanh", True, 28, 36),
    _cifar(8, 27, 37),
    _cifar(20, 21, 33),
    _cifar(32, 21, 33),
    _cifar(44, 27, 37),
    _cifar(56, 19, 23),
    _cifar(110, 19, 35),
    _timm("resnet18", RESNET_STAGES, (67, 93)),
    _timm("resnet34", RESNET_STAGES, (67, 93)),
    _timm("resnet50", RESNET_STAGES, (33, 48)),
    _timm("resnet101", RESNET_STAGES, (34, 41)),
    _timm("resnet152", RESNET_STAGES, (29, 37)),
    _timm("mobilenetv1_100", MOBILENET_V1_STAGES, (51, 69)),
    _timm("mobilenetv1_125", MOBILENET_V1_STAGES, (51, 69)),
    _timm("mobilenetv2_035", MOBILENET_V2_STAGES, (51, 69)),
    _timm("mobilenetv2_050", MOBILENET_V2_STAGES, (43, 61)),
    _timm("mobilenetv2_075", MOBILENET_V2_STAGES, (67, 93)),
    _timm("mobilenetv2_100", MOBILENET_V2_STAGES, (35, 56)),
    _timm("mobilenetv2_110d", MOBILENET_V2_STAGES, (35, 53)),
    _timm("mobilenetv2_120d", MOBILENET_V2_STAGES, (35, 49)),
    _timm("mobilenetv2_140", MOBILENET_V2_STAGES, (33, 54)),
    _squeezenet("squeezenet1_0", ("features.1", "features.5", "features.10", "features.12"), (33, 51)),
    _squeezenet("squeezenet1_1", ("features.1", "features.4", "features.7", "features.12"), (51, 69)),
]
"""The architectures, under their registry names."""

VARIANTS = [
    _mobilenet_v1_same("mobilenetv1_100.same", 0.75, (43, 61)),
    _timm("mobilenetv2_100.same", MOBILENET_V2_STAGES, (35, 56), "mobilenetv2_100", pad_type="same", bn_eps=1e-3),
    _timm("resnet18.in1", RESNET_STAGES, (67, 93), "resnet18", in_chans=1),
]
"""Variants of them that have a golden file of their own."""
