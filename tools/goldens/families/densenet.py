"""DenseNet."""

from reference import timm_reference, torchvision_names

STAGES = ("features.norm0", "features.denseblock1", "features.denseblock2", "features.denseblock3", "features.norm5")

REFERENCES = [
    timm_reference("densenet121", STAGES, (51, 68)),
    timm_reference("densenet161", STAGES, (35, 53)),
    timm_reference("densenet169", STAGES, (35, 53)),
    timm_reference("densenet201", STAGES, (35, 53)),
]

FOREIGN = [torchvision_names("densenet121", (51, 68))]
