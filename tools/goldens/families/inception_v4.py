"""Inception-v4."""

from dataclasses import replace

from reference import timm_reference

STAGES = ("features.2", "features.3", "features.9", "features.17", "features.21")

# The last maps of smaller images have too few pixels for the statistics of train mode.
REFERENCES = [replace(timm_reference("inception_v4", STAGES, (75, 77), default_size=(299, 299)), train_size=(139, 171))]
