"""RegNetX and RegNetY."""

from reference import timm_reference, torchvision_names

STAGES = ("stem", "s1", "s2", "s3", "s4")

REFERENCES = [
    timm_reference("regnetx_002", STAGES, (51, 69)),
    timm_reference("regnetx_004", STAGES, (67, 72)),
    timm_reference("regnetx_004_tv", STAGES, (67, 72)),
    timm_reference("regnetx_006", STAGES, (67, 81)),
    timm_reference("regnetx_008", STAGES, (51, 69)),
    timm_reference("regnetx_016", STAGES, (67, 78)),
    timm_reference("regnetx_032", STAGES, (55, 72)),
    timm_reference("regnety_002", STAGES, (51, 69)),
    timm_reference("regnety_004", STAGES, (51, 69)),
    timm_reference("regnety_006", STAGES, (51, 69)),
    timm_reference("regnety_008", STAGES, (67, 72)),
    timm_reference("regnety_008_tv", STAGES, (67, 90)),
    timm_reference("regnety_016", STAGES, (63, 71)),
    timm_reference("regnety_032", STAGES, (55, 63)),
]

FOREIGN = [
    torchvision_names("regnetx_004_tv", (67, 72), "regnet_x_400mf"),
    torchvision_names("regnety_004", (51, 69), "regnet_y_400mf"),
]
