"""Darknet."""

from reference import timm_reference

STAGES = ("stem.conv1", *(f"stages.{stage}" for stage in range(5)))
SIZE = (256, 256)

REFERENCES = [
    timm_reference("darknet17", STAGES, (51, 68), default_size=SIZE),
    timm_reference("darknet21", STAGES, (51, 68), default_size=SIZE),
    timm_reference("darknet53", STAGES, (63, 68), default_size=SIZE),
]
