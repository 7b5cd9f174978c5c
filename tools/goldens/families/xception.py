"""Xception, as Chollet has it and aligned."""

from reference import timm_reference

LEGACY = ("act2", "block1", "block2", "block11", "act4")
SIZE = (299, 299)


def _aligned(name, ends, size):
    stages = ("stem.1", *(f"blocks.{end}" for end in ends))
    return timm_reference(name, stages, size, default_size=SIZE)


REFERENCES = [
    timm_reference("legacy_xception", LEGACY, (51, 74), default_size=SIZE),
    _aligned("xception41", (0, 1, 10, 12), (59, 64)),
    _aligned("xception65", (0, 1, 18, 20), (31, 45)),
    _aligned("xception71", (1, 3, 20, 22), (31, 45)),
]
