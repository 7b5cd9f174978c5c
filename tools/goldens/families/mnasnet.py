"""MnasNet-B1. timm lacks the width 1.3, which torchvision publishes; its generator makes it."""

from timm.models.efficientnet import _gen_mnasnet_b1

from reference import Reference, timm_reference, torchvision_names

STAGES = ("blocks.0", "blocks.1", "blocks.2", "blocks.4", "blocks.6")


def _generated(name, multiplier, size):
    build = lambda classes: _gen_mnasnet_b1("mnasnet_100", multiplier, num_classes=classes)
    return Reference(name, "timm", build, (3, *size), (3, 224, 224), 1000, STAGES)


REFERENCES = [
    timm_reference("mnasnet_050", STAGES, (67, 75)),
    timm_reference("mnasnet_075", STAGES, (35, 56)),
    timm_reference("mnasnet_100", STAGES, (35, 56)),
    _generated("mnasnet_130", 1.3, (35, 56)),
    timm_reference("mnasnet_140", STAGES, (63, 74)),
]

FOREIGN = [torchvision_names("mnasnet_050", (35, 56), "mnasnet0_5"), torchvision_names("mnasnet_130", (35, 56), "mnasnet1_3")]
