"""MobileNetV1."""

from timm.models.efficientnet import _gen_mobilenet_v1

from reference import Reference, timm_reference

STAGES = ("blocks.0", "blocks.1", "blocks.2", "blocks.3", "blocks.4")

REFERENCES = [
    timm_reference("mobilenetv1_100", STAGES, (51, 69)),
    timm_reference("mobilenetv1_125", STAGES, (51, 69)),
]


def _same(name, multiplier, size):
    # timm's entry points fix the multiplier, hence the generator behind them.
    build = lambda classes: _gen_mobilenet_v1("mobilenetv1_100", multiplier, num_classes=classes, pad_type="same", bn_eps=1e-3)
    return Reference(name, "timm", build, (3, *size), (3, 224, 224), 1000, STAGES)


VARIANTS = [_same("mobilenetv1_100.same", 0.75, (43, 61))]
