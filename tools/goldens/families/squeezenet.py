"""SqueezeNet."""

from reference import torchvision_reference

REFERENCES = [
    torchvision_reference("squeezenet1_0", ("features.1", "features.5", "features.10", "features.12"), (33, 51), dropout=0.0),
    torchvision_reference("squeezenet1_1", ("features.1", "features.4", "features.7", "features.12"), (51, 69), dropout=0.0),
]
