"""RepVGG, with its branches and, as another library's names, re-parameterised."""

import timm
from timm.utils import reparameterize_model

from reference import Foreign, timm_reference

STAGES = ("stem", "stages.0", "stages.1", "stages.2", "final_conv")

REFERENCES = [timm_reference(f"repvgg_{size}", STAGES, (51, 69)) for size in ("a0", "a1", "a2", "b0", "b1")]


def _reparameterised(classes):
    return reparameterize_model(timm.create_model("repvgg_a0", num_classes=classes))


FOREIGN = [Foreign("repvgg_a0", "reparameterised", _reparameterised, (3, 51, 69))]
