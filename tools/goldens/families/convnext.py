"""ConvNeXt. Its activations are smooth, so the sizes of the inputs need no margin."""

from reference import timm_reference, torchvision_names

STAGES = ("stages.0", "stages.1", "stages.2", "stages.3")

REFERENCES = [
    timm_reference("test_convnext", STAGES, (67, 93), default_size=(160, 160)),
    timm_reference("convnext_atto", STAGES, (67, 93)),
    timm_reference("convnext_femto", STAGES, (35, 66)),
    timm_reference("convnext_pico", STAGES, (35, 66)),
    timm_reference("convnext_nano", STAGES, (35, 66)),
    timm_reference("convnext_tiny", STAGES, (35, 66)),
    timm_reference("convnext_small", STAGES, (35, 66)),
    timm_reference("convnext_base", STAGES, (35, 66)),
]

FOREIGN = [torchvision_names("convnext_tiny", (35, 66))]
