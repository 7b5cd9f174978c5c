"""The ResNets for CIFAR-10, which no library has."""

from torch import nn
from torch.nn import functional as F

from reference import Reference


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


def _cifar(depth, *size):
    build = lambda classes: CifarResNet((depth - 2) // 6, classes)
    stages = ("act1", "layer1", "layer2", "layer3")
    return Reference(f"resnet{depth}_cifar10", "own", build, (3, *size), (3, 32, 32), 10, stages)


REFERENCES = [
    _cifar(8, 27, 37),
    _cifar(20, 21, 33),
    _cifar(32, 21, 33),
    _cifar(44, 27, 37),
    _cifar(56, 19, 23),
    _cifar(110, 19, 35),
]
