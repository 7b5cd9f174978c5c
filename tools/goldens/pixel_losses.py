"""Golden file of cnn-train's losses of pixels, from PyTorch and segmentation_models.pytorch. See README.md."""

from unittest import mock

import torch
import torch.nn.functional as F
from segmentation_models_pytorch import losses as smp

from optimizers import tensor, write

IGNORED = 255
MULTICLASS, BINARY = "multiclass", "binary"


class CrossEntropy(torch.nn.Module):
    """`F.cross_entropy`; one logit is that of class 1, and 0 that of class 0."""

    def __init__(self, **options):
        super().__init__()
        self.options = options

    def forward(self, logits, targets):
        if logits.shape[1] == 1:
            logits = torch.cat([torch.zeros_like(logits), logits], 1)
        return F.cross_entropy(logits, targets, ignore_index=IGNORED, **self.options)


class BinaryCrossEntropy(torch.nn.Module):
    def forward(self, logits, targets):
        counted = targets != IGNORED
        return F.binary_cross_entropy_with_logits(logits[:, 0][counted], targets[counted].to(logits.dtype))


def weights(*values) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def smoothed_binary(**options):
    """Needs floating targets of the logits' shape."""
    loss = smp.SoftBCEWithLogitsLoss(ignore_index=IGNORED, **options)
    return lambda logits, targets: loss(logits, targets[:, None].to(logits.dtype))


def main():
    torch.set_num_threads(1)
    write("pixel_losses", {"inputs": {name: stored(*row) for name, row in inputs().items()}, **cases()})


def inputs() -> dict:
    """Logits `(N, H, W, K)` and masks `(N, H, W)` by name. No pixel of `multiclass` and `far` is of class 2."""
    shape = (2, 3, 4)
    many = 3 * tensor("logits", (*shape, 4))
    one = 3 * tensor("binary", (*shape, 1))
    masks = torch.tensor(
        [[[0, 1, 1, 3], [255, 3, 0, 0], [3, 3, 1, 255]], [[0, 0, 0, 255], [255, 1, 1, 0], [0, 1, 0, 0]]]
    )
    halves = torch.where(masks == IGNORED, IGNORED, masks % 2)
    nothing = torch.where(masks == IGNORED, IGNORED, 0)
    first = masks.clone()
    first[1] = IGNORED
    # Every fifth is far to one side.
    steps = torch.arange(many.numel()).reshape(many.shape)
    far = torch.where(steps % 5 == 0, 1e4 * (1 - 2 * (steps % 2)), many)
    steps = torch.arange(one.numel()).reshape(one.shape)
    far_one = torch.where(steps % 5 == 0, 1e4 * (1 - 2 * (steps % 2)), one)
    return {
        "multiclass": (many, masks),
        "multiclass, far": (far, masks),
        "binary": (one, halves),
        "binary, no class 1": (one, nothing),
        "binary, one image": (one, torch.where(first == IGNORED, IGNORED, first % 2)),
        "binary, far": (far_one, halves),
    }


def stored(logits, masks) -> dict:
    return {"shape": list(logits.shape), "logits": logits.flatten().tolist(), "masks": masks.flatten().tolist()}


def rows() -> list:
    """Our text, PyTorch's loss, the input."""
    many, one = (MULTICLASS, IGNORED), (BINARY, IGNORED)
    with_mode = lambda loss, mode, **options: loss(mode[0], ignore_index=mode[1], **options)
    cross = [
        ("cross-entropy", CrossEntropy(), "multiclass"),
        ("cross-entropy", CrossEntropy(), "multiclass, far"),
        ("cross-entropy:label_smoothing=0.1", CrossEntropy(label_smoothing=0.1), "multiclass"),
        ("cross-entropy:label_smoothing=0.1", CrossEntropy(label_smoothing=0.1), "multiclass, far"),
        ("cross-entropy:class_weights=0.5+2+1+3", CrossEntropy(weight=weights(0.5, 2, 1, 3)), "multiclass"),
        (
            "cross-entropy:class_weights=0.5+0+1+3,label_smoothing=0.3",
            CrossEntropy(weight=weights(0.5, 0, 1, 3), label_smoothing=0.3),
            "multiclass",
        ),
        (
            "cross-entropy:label_smoothing=0.1,count_ignored",
            smp.SoftCrossEntropyLoss(smooth_factor=0.1, ignore_index=IGNORED),
            "multiclass",
        ),
        ("cross-entropy", BinaryCrossEntropy(), "binary"),
        ("cross-entropy", BinaryCrossEntropy(), "binary, far"),
        (
            "cross-entropy:class_weights=0.5+2,label_smoothing=0.2",
            CrossEntropy(weight=weights(0.5, 2), label_smoothing=0.2),
            "binary",
        ),
        ("cross-entropy:label_smoothing=0.2,count_ignored", smoothed_binary(smooth_factor=0.1), "binary"),
    ]
    focal = []
    for mode in (many, one):
        for text, options in {
            "focal": {},
            "focal:gamma=3.5,alpha=0.25": {"gamma": 3.5, "alpha": 0.25},
            "focal:gamma=0,alpha=0.7": {"gamma": 0.0, "alpha": 0.7},
            "focal:normalized": {"normalized": True},
            "focal:gamma=1.5,alpha=0.6,reduced_threshold=0.4": {"gamma": 1.5, "alpha": 0.6, "reduced_threshold": 0.4},
            "focal:normalized,reduced_threshold=0.5": {"normalized": True, "reduced_threshold": 0.5},
        }.items():
            focal.append((text, with_mode(smp.FocalLoss, mode, **options), mode[0]))
        focal.append(("focal", with_mode(smp.FocalLoss, mode), f"{mode[0]}, far"))
    loss = with_mode(smp.FocalLoss, many, class_weights=[0.5, 2.0, 0.0, 0.25])
    focal.append(("focal:class_weights=0.5+2+0+0.25", loss, "multiclass"))
    regions = []
    for name, loss in {"dice": smp.DiceLoss, "jaccard": smp.JaccardLoss}.items():
        for mode in (many, one):
            for text, options in {"": {}, ":smooth=1.5": {"smooth": 1.5}, ":log_loss": {"log_loss": True}}.items():
                regions.append((name + text, with_mode(loss, mode, **options), mode[0]))
            regions.append((name, with_mode(loss, mode), f"{mode[0]}, far"))
        regions.append((f"{name}:classes=1+2", with_mode(loss, many, classes=[1, 2]), "multiclass"))
        regions.append((f"{name}:log_loss,classes=2", with_mode(loss, many, classes=[2], log_loss=True), "multiclass"))
        regions.append((f"{name}:smooth=1", with_mode(loss, one, smooth=1.0), "binary, no class 1"))
        regions.append((f"{name}:eps=40", with_mode(loss, many, eps=40.0), "multiclass"))
        regions.append((f"{name}:eps=0.5,log_loss", with_mode(loss, many, eps=0.5, log_loss=True), "multiclass"))
        options = {"classes": [0, 1, 3], "class_weights": [0.5, 2.0, 1.0, 0.25]}
        text = f"{name}:classes=0+1+3,class_weights=0.5+2+1+0.25"
        regions.append((text, with_mode(loss, many, **options), "multiclass"))
    for mode in (many, one):
        for text, options in {
            "tversky:alpha=0.3,beta=0.7": {"alpha": 0.3, "beta": 0.7},
            "tversky:alpha=0.3,beta=0.7,gamma=0.75,smooth=1": {"alpha": 0.3, "beta": 0.7, "gamma": 0.75, "smooth": 1.0},
            "tversky:alpha=0.9,beta=0.4,gamma=2,log_loss": {"alpha": 0.9, "beta": 0.4, "gamma": 2.0, "log_loss": True},
        }.items():
            regions.append((text, with_mode(smp.TverskyLoss, mode, **options), mode[0]))
        regions.append(("tversky", with_mode(smp.TverskyLoss, mode), f"{mode[0]}, far"))
    lovasz = []
    for text, per_image in (("lovasz", False), ("lovasz:per_image", True)):
        for mode in (many, one):
            loss = smp.LovaszLoss(mode[0], per_image=per_image, ignore_index=IGNORED)
            lovasz += [(text, loss, mode[0]), (text, loss, f"{mode[0]}, far")]
        lovasz.append((text, loss, "binary, no class 1"))
        lovasz.append((text, loss, "binary, one image"))
    return cross + focal + regions + lovasz


def cases() -> dict:
    """Loss and gradient in f64, by our text and the input."""
    given = inputs()
    return {f"{text} of {name}": case(text, loss, name, *given[name]) for text, loss, name in rows()}


def case(text: str, loss, name: str, logits, masks) -> dict:
    logits = logits.clone().requires_grad_()
    # The Lovász losses compute parts in f32 whatever the logits are.
    with mock.patch.object(torch.Tensor, "float", torch.Tensor.double):
        value = loss(logits.permute(0, 3, 1, 2), masks)
    value.backward()
    return {"loss": text, "input": name, "value": value.item(), "grad": [shortened(x) for x in logits.grad.flatten().tolist()]}


def shortened(x: float) -> float:
    return float(f"{x:.13g}")


if __name__ == "__main__":
    main()
