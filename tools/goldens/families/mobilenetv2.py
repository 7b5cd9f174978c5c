"""MobileNetV2."""

from reference import timm_reference, torchvision_names

STAGES = ("blocks.0", "blocks.1", "blocks.2", "blocks.4", "blocks.6")

REFERENCES = [
    timm_reference("mobilenetv2_035", STAGES, (51, 69)),
    timm_reference("mobilenetv2_050", STAGES, (43, 61)),
    timm_reference("mobilenetv2_075", STAGES, (67, 93)),
    timm_reference("mobilenetv2_100", STAGES, (35, 56)),
    timm_reference("mobilenetv2_110d", STAGES, (35, 53)),
    timm_reference("mobilenetv2_120d", STAGES, (35, 49)),
    timm_reference("mobilenetv2_140", STAGES, (33, 54)),
]

VARIANTS = [timm_reference("mobilenetv2_100.same", STAGES, (35, 56), "mobilenetv2_100", pad_type="same", bn_eps=1e-3)]

FOREIGN = [torchvision_names("mobilenetv2_100", (35, 56), "mobilenet_v2")]
