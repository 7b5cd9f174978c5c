"""MobileNetV4, the convolutional ones."""

from reference import timm_reference

REFERENCES = [
    timm_reference("mobilenetv4_conv_small", ("bn1", "blocks.0", "blocks.1", "blocks.2", "blocks.4"), (35, 56)),
    timm_reference("mobilenetv4_conv_medium", ("bn1", "blocks.0", "blocks.1", "blocks.2", "blocks.4"), (67, 72), default_size=(256, 256)),
]
