"""GhostNet."""

from reference import timm_reference

STAGES = ("conv_stem", "blocks.1", "blocks.3", "blocks.5", "blocks.7")

REFERENCES = [
    timm_reference("ghostnet_050", STAGES, (63, 68), drop_rate=0.0),
    timm_reference("ghostnet_100", STAGES, (43, 54), drop_rate=0.0),
    timm_reference("ghostnet_130", STAGES, (55, 63), drop_rate=0.0),
]
