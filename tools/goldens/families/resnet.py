"""ResNet, ResNet-D, ResNeXt, Wide-ResNet and SE-ResNet."""

from reference import timm_reference

STAGES = ("act1", "layer1", "layer2", "layer3", "layer4")

REFERENCES = [
    timm_reference("resnet18", STAGES, (67, 93)),
    timm_reference("resnet34", STAGES, (67, 93)),
    timm_reference("resnet50", STAGES, (33, 48)),
    timm_reference("resnet101", STAGES, (34, 41)),
    timm_reference("resnet152", STAGES, (29, 37)),
    timm_reference("resnet18d", STAGES, (51, 69)),
    timm_reference("resnet26d", STAGES, (67, 75)),
    timm_reference("resnet34d", STAGES, (67, 78)),
    timm_reference("resnet50d", STAGES, (51, 59)),
    timm_reference("resnet101d", STAGES, (33, 41), default_size=(256, 256)),
    timm_reference("resnet152d", STAGES, (29, 37), default_size=(256, 256)),
    timm_reference("resnext50_32x4d", STAGES, (32, 40)),
    timm_reference("resnext101_32x4d", STAGES, (33, 41)),
    timm_reference("resnext101_32x8d", STAGES, (33, 41)),
    timm_reference("resnext101_64x4d", STAGES, (29, 37)),
    timm_reference("wide_resnet50_2", STAGES, (33, 48)),
    timm_reference("wide_resnet101_2", STAGES, (29, 37)),
    timm_reference("seresnet50", STAGES, (29, 33)),
    timm_reference("seresnext50_32x4d", STAGES, (33, 48)),
    timm_reference("test_resnet", STAGES, (67, 72), default_size=(160, 160)),
]

VARIANTS = [timm_reference("resnet18.in1", STAGES, (67, 93), "resnet18", in_chans=1)]
