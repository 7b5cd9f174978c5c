"""EfficientNet and EfficientNet-Lite. The golden files of the large ones hold networks of their widths with fewer blocks in each row of the table, which are alike."""

from dataclasses import replace

from timm.models.efficientnet import _gen_efficientnet, _gen_efficientnet_lite

from reference import timm_reference, torchvision_names

STAGES = ("blocks.0", "blocks.1", "blocks.2", "blocks.4", "blocks.6")
TENSORFLOW = {"pad_type": "same", "bn_eps": 1e-3}
SHALLOW = {"depth_multiplier": 0.3}
WIDTHS = (1.0, 1.0, 1.1, 1.2, 1.4, 1.6, 1.8, 2.0)
LITE_SIZES = (224, 240, 260, 300, 380)
LITE_INPUTS = {"lite1": (63, 86), "tf_lite1": (59, 85)}


def _reference(name, size, default_size, generator, width, reduced):
    whole = timm_reference(name, STAGES, size, default_size=(default_size, default_size))
    if not reduced:
        return whole
    options = TENSORFLOW if name.startswith("tf_") else {}
    build = lambda classes: generator(name.removeprefix("tf_"), width, num_classes=classes, **SHALLOW, **options)
    return replace(whole, model_args=SHALLOW, build_reduced=build)


REFERENCES = [
    _reference(f"{prefix}efficientnet_b{number}", (35, 56), size, _gen_efficientnet, WIDTHS[number], number > 2)
    for prefix, sizes in (("", (224, 240, 256, 288, 320, 448, 528, 600)), ("tf_", (224, 240, 260, 300, 380, 456, 528, 600)))
    for number, size in enumerate(sizes)
] + [
    _reference(f"{prefix}efficientnet_lite{number}", LITE_INPUTS.get(f"{prefix}lite{number}", (35, 56)), size, _gen_efficientnet_lite, WIDTHS[number], number > 2)
    for prefix in ("", "tf_")
    for number, size in enumerate(LITE_SIZES)
]

FOREIGN = [torchvision_names("efficientnet_b0", (35, 56)), torchvision_names("efficientnet_b5", (35, 56))]
