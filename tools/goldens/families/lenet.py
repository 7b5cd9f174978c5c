"""LeNet-5, which no library has."""

import torch
from torch import nn
from torch.nn import functional as F

from reference import Reference


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


def _lenet(name, tanh, height, width):
    build = lambda classes: LeNet5(classes, height, width, tanh)
    return Reference(name, "own", build, (1, height, width), (1, 28, 28), 10, ("pool1", "pool2"))


REFERENCES = [_lenet("lenet5", False, 28, 36), _lenet("lenet5_tanh", True, 28, 36)]
