"""EfficientNetV2, and timm's tiny network of the same blocks. The golden files of S, M and L hold networks with fewer blocks in each row of the table, which are alike."""

from dataclasses import replace

from timm.models import efficientnet

from reference import timm_reference, torchvision_names

SMALL = ("blocks.0", "blocks.1", "blocks.2", "blocks.4", "blocks.5")
LARGE = ("blocks.0", "blocks.1", "blocks.2", "blocks.4", "blocks.6")
TENSORFLOW = {"pad_type": "same", "bn_eps": 1e-3}


def _reduced(name, stages, size, depth):
    whole = timm_reference(name, stages, (35, 56), default_size=(size, size))
    generator = getattr(efficientnet, f"_gen_{name.removeprefix('tf_')}")
    options = TENSORFLOW if name.startswith("tf_") else {}
    args = {"depth_multiplier": depth}
    build = lambda classes: generator(name.removeprefix("tf_"), num_classes=classes, **args, **options)
    return replace(whole, model_args=args, build_reduced=build)


REFERENCES = [
    _reduced("efficientnetv2_s", SMALL, 288, 0.3),
    _reduced("efficientnetv2_m", LARGE, 320, 0.15),
    _reduced("efficientnetv2_l", LARGE, 384, 0.1),
    _reduced("tf_efficientnetv2_s", SMALL, 300, 0.3),
    _reduced("tf_efficientnetv2_m", LARGE, 384, 0.15),
    _reduced("tf_efficientnetv2_l", LARGE, 384, 0.1),
    timm_reference("tf_efficientnetv2_b0", SMALL, (35, 56), default_size=(192, 192)),
    timm_reference("tf_efficientnetv2_b1", SMALL, (35, 56), default_size=(192, 192)),
    timm_reference("tf_efficientnetv2_b2", SMALL, (35, 56), default_size=(208, 208)),
    timm_reference("tf_efficientnetv2_b3", SMALL, (35, 56), default_size=(240, 240)),
    timm_reference("test_efficientnet", ("blocks.0", "blocks.1", "blocks.2", "blocks.3", "blocks.4"), (35, 56), default_size=(160, 160)),
]

FOREIGN = [torchvision_names("efficientnetv2_s", (35, 56), "efficientnet_v2_s")]
