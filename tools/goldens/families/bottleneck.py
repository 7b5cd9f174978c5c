"""A backbone, a bottleneck and a linear layer: Transfer-Learning-Library's `ImageClassifier`, over timm's backbones."""

import timm
from torch import nn

from reference import Reference


class Bottlenecked(nn.Module):
    """`map_size` is the size of the last map where it is read whole, 0 for its average."""

    def __init__(self, classes, backbone, width=256, map_size=0):
        super().__init__()
        self.backbone = timm.create_model(backbone, pretrained=False, num_classes=0, global_pool="")
        self.map_size = map_size
        kernel = map_size or 1
        self.bottleneck = nn.Sequential(nn.Conv2d(self.backbone.num_features, width, kernel), nn.BatchNorm2d(width), nn.ReLU())
        self.head = nn.Linear(width, classes)

    def forward(self, xs):
        xs = self.backbone.forward_features(xs)
        if not self.map_size:
            xs = xs.mean((2, 3), keepdim=True)
        return self.head(self.bottleneck(xs).flatten(1))


def bottlenecked(name, backbone, stages, size, **options):
    """`name` is that of the golden file, `bottleneck.<backbone>`, or the model's own over its default backbone."""
    build = lambda classes: Bottlenecked(classes, backbone, **options)
    stages = tuple(f"backbone.{stage}" for stage in stages)
    model_args = dict(options)
    if "." in name:
        model_args["backbone"] = backbone
    return Reference(name, "timm", build, (3, *size), (3, 224, 224), 1000, stages, model_args)


RESNET = ("act1", "layer1", "layer2", "layer3", "layer4")
MOBILENETV2 = ("blocks.0", "blocks.1", "blocks.2", "blocks.4", "blocks.6")

REFERENCES = [bottlenecked("bottleneck", "resnet18", RESNET, (39, 54))]
VARIANTS = [bottlenecked("bottleneck.mobilenetv2_035", "mobilenetv2_035", MOBILENETV2, (41, 64), width=24)]
