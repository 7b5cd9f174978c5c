"""VGG.

Of 133 to 144 million weights, the head's first layer has 103: here it has a sixty-fourth of its outputs, which timm's `mlp_ratio`
says.
"""

import timm
import torchvision
from torch import nn

from reference import Foreign, Reference

MODEL_ARGS = {"mlp_ratio": 1 / 64}
HIDDEN = 64

# The last layers before each pooling, and the last pooling.
STAGES = {
    "vgg11": (1, 4, 9, 14, 19, 20),
    "vgg13": (3, 8, 13, 18, 23, 24),
    "vgg16": (3, 8, 15, 22, 29, 30),
    "vgg19": (3, 8, 17, 26, 35, 36),
    "vgg11_bn": (2, 6, 13, 20, 27, 28),
    "vgg13_bn": (5, 12, 19, 26, 33, 34),
    "vgg16_bn": (5, 12, 22, 32, 42, 43),
    "vgg19_bn": (5, 12, 25, 38, 51, 52),
}


def _vgg(name, size, **options):
    build = lambda classes: timm.create_model(name, num_classes=classes)
    build_reduced = lambda classes: timm.create_model(name, num_classes=classes, **MODEL_ARGS)
    stages = tuple(f"features.{index}" for index in STAGES[name])
    return Reference(name, "timm", build, (3, *size), (3, 224, 224), 1000, stages, MODEL_ARGS, build_reduced=build_reduced, **options)


def _torchvision(name, size):
    def build(classes):
        model = getattr(torchvision.models, name)(num_classes=classes, init_weights=False)
        model.classifier[0], model.classifier[3] = nn.Linear(512 * 7 * 7, HIDDEN), nn.Linear(HIDDEN, 4096)
        return model

    return Foreign(name, "torchvision", build, (3, *size), MODEL_ARGS)


REFERENCES = [
    # In train mode the map has more pixels than the head's window: there are two windows, whose features are averaged.
    _vgg("vgg11", (67, 75), train_size=(224, 257)),
    _vgg("vgg13", (59, 64)),
    _vgg("vgg16", (59, 73)),
    _vgg("vgg19", (55, 69)),
    _vgg("vgg11_bn", (51, 69)),
    _vgg("vgg13_bn", (63, 83)),
    _vgg("vgg16_bn", (67, 81)),
    _vgg("vgg19_bn", (63, 77)),
]

FOREIGN = [_torchvision("vgg11", (51, 69)), _torchvision("vgg13_bn", (51, 69))]
