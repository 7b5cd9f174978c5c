"""AlexNet."""

import torchvision
from torch import nn

from reference import Reference

# Of the 61 million weights, the first two linear layers have 55: they are narrower here.
WIDTHS = {"classifier.1": 96, "classifier.4": 80}


def _whole(classes):
    return torchvision.models.alexnet(num_classes=classes, dropout=0.0)


def _narrow(classes):
    model = _whole(classes)
    fc1, fc2 = WIDTHS.values()
    model.classifier[1], model.classifier[4] = nn.Linear(256 * 6 * 6, fc1), nn.Linear(fc1, fc2)
    model.classifier[6] = nn.Linear(fc2, classes)
    return model


REFERENCES = [
    Reference(
        "alexnet", "torchvision", _whole, (3, 75, 101), (3, 224, 224), 1000,
        ("features.1", "features.4", "features.11", "features.12"), {"widths": WIDTHS}, build_reduced=_narrow,
    ),
]  # fmt: skip
