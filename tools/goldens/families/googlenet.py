"""GoogLeNet."""

import torchvision

from reference import Reference

STAGES = ("conv1", "conv3", "inception3b", "inception4e", "inception5b")
AUXILIARY = ("aux1", "aux2")


def _googlenet(classes):
    # Published counts are without the auxiliary heads.
    options = dict(num_classes=classes, init_weights=False, dropout=0.0, dropout_aux=0.0)
    return torchvision.models.googlenet(aux_logits=classes < 1000, **options)


REFERENCES = [
    Reference(
        "googlenet", "torchvision", _googlenet, (3, 59, 76), (3, 224, 224), 1000, STAGES, {"dropout_aux": 0.0}, AUXILIARY,
    ),
]  # fmt: skip
