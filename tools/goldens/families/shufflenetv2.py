"""ShuffleNetV2."""

from reference import torchvision_reference

STAGES = ("conv1", "maxpool", "stage2", "stage3", "stage4")

REFERENCES = [
    torchvision_reference("shufflenet_v2_x0_5", STAGES, (51, 69)),
    torchvision_reference("shufflenet_v2_x1_0", STAGES, (51, 69)),
    torchvision_reference("shufflenet_v2_x1_5", STAGES, (51, 69)),
    torchvision_reference("shufflenet_v2_x2_0", STAGES, (67, 75)),
]
