"""Inception-v3, whose names are the same in timm and in torchvision."""

import timm

from reference import Reference

STAGES = ("Conv2d_2b_3x3", "Conv2d_4a_3x3", "Mixed_5d", "Mixed_6e", "Mixed_7c")


def _inception_v3(classes):
    # Published counts are without the auxiliary head.
    return timm.create_model("inception_v3", num_classes=classes, aux_logits=classes < 1000)


REFERENCES = [
    Reference(
        "inception_v3", "timm", _inception_v3, (3, 75, 78), (3, 299, 299), 1000, STAGES,
        auxiliary=("AuxLogits",),
        # The auxiliary head's 5×5 kernel reads 5×5 means, which a smaller image does not have.
        train_size=(299, 331),
    ),
]  # fmt: skip
