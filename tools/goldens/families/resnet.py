"""ResNet."""

from reference import timm_reference

STAGES = ("act1", "layer1", "layer2", "layer3", "layer4")

REFERENCES = [
    timm_reference("resnet18", STAGES, (67, 93)),
    timm_reference("resnet34", STAGES, (67, 93)),
    timm_reference("resnet50", STAGES, (33, 48)),
    timm_reference("resnet101", STAGES, (34, 41)),
    timm_reference("resnet152", STAGES, (29, 37)),
]

VARIANTS = [timm_reference("resnet18.in1", STAGES, (67, 93), "resnet18", in_chans=1)]
