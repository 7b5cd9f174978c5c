"""DenseNet."""

import re

import torchvision

from reference import Foreign, timm_reference

STAGES = ("features.norm0", "features.denseblock1", "features.denseblock2", "features.denseblock3", "features.norm5")

REFERENCES = [
    timm_reference("densenet121", STAGES, (51, 68)),
    timm_reference("densenet161", STAGES, (35, 56)),
    timm_reference("densenet169", STAGES, (67, 90)),
    timm_reference("densenet201", STAGES, (67, 75)),
]


def _published(classes):
    """torchvision's network with the names of its published files, which have a dot in `norm.1`."""
    model = torchvision.models.densenet121(num_classes=classes)

    def rename(state, pattern, replacement):
        for name in list(state):
            state[re.sub(pattern, replacement, name)] = state.pop(name)

    def after(module, state, prefix, metadata):
        rename(state, r"(denselayer\d+\.(?:norm|conv))([12])\.", r"\1.\2.")

    def before(state, prefix, *rest):
        rename(state, r"(denselayer\d+\.(?:norm|conv))\.([12])\.", r"\1\2.")

    model.register_state_dict_post_hook(after)
    model._register_load_state_dict_pre_hook(before)
    return model


FOREIGN = [Foreign("densenet121", "torchvision", _published, (3, 51, 68))]
