"""MobileNetV3."""

from reference import timm_reference, torchvision_names

LARGE = ("blocks.0", "blocks.1", "blocks.2", "blocks.4", "blocks.6")
SMALL = ("bn1", "blocks.0", "blocks.1", "blocks.3", "blocks.5")

REFERENCES = [
    timm_reference("mobilenetv3_small_050", SMALL, (35, 56)),
    timm_reference("mobilenetv3_small_075", SMALL, (35, 56)),
    timm_reference("mobilenetv3_small_100", SMALL, (35, 56)),
    timm_reference("mobilenetv3_large_075", LARGE, (35, 56)),
    timm_reference("mobilenetv3_large_100", LARGE, (35, 56)),
    timm_reference("tf_mobilenetv3_small_075", SMALL, (35, 56)),
    timm_reference("tf_mobilenetv3_small_100", SMALL, (35, 56)),
    timm_reference("tf_mobilenetv3_small_minimal_100", SMALL, (35, 56)),
    timm_reference("tf_mobilenetv3_large_075", LARGE, (35, 56)),
    timm_reference("tf_mobilenetv3_large_100", LARGE, (35, 56)),
    timm_reference("tf_mobilenetv3_large_minimal_100", LARGE, (63, 68)),
]

FOREIGN = [
    torchvision_names("mobilenetv3_large_100", (35, 56), "mobilenet_v3_large"),
    torchvision_names("mobilenetv3_small_100", (35, 56), "mobilenet_v3_small"),
]
