"""The peers' networks under this toolkit's registry names, and the input each takes by default.

They are those that the golden files are made with: timm's, torchvision's where timm has none, and for LeNet and the CIFAR ResNets a definition in
tools/goldens/families/.
"""

import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


SMP = {"smp_unet": "Unet", "smp_deeplabv3plus": "DeepLabV3Plus"}
"""What segmentation_models.pytorch calls its networks."""


@dataclass(frozen=True)
class Input:
    """What a model takes, and how many classes it tells apart."""

    channels: int
    height: int
    width: int
    classes: int


def default_input(name: str) -> Input:
    """The input of the paper: 28×28 grey for LeNet, 32×32 for CIFAR-10, 299×299 for Inception and Xception, 224×224 for ImageNet's others;
    of networks for pixels the published one, 520×520, or 512×512; 416×416 for the small YOLOX, 320×320 for SSDLite."""
    if name.startswith("lenet5"):
        return Input(1, 28, 28, 10)
    if name.endswith("_cifar10"):
        return Input(3, 32, 32, 10)
    if name.startswith(("unet", "smp_")):
        return Input(3, 512, 512, 2 if name.startswith("unet") else 21)
    if name.startswith(("fcn_", "deeplabv3_", "lraspp_")):
        return Input(3, 520, 520, 21)
    if name.startswith("yolox_"):
        side = 640 if name[6:] in ("s", "m") else 416
        return Input(3, side, side, 80)
    if name.startswith("ssdlite320"):
        return Input(3, 320, 320, 80)
    side = 299 if "ception" in name else 224
    return Input(3, side, side, 1000)


def build(name: str, shape: Input, weights: Path | None = None):
    """The network with random weights from a fixed seed, or those of a folder, in train mode."""
    # Imported here so that compare.py, onnx_runtime.py and openvino_bench.py, which need only `default_input`, run without PyTorch.
    import torch
    from torch import nn

    sys.path.insert(0, str(ROOT / "tools/goldens"))
    from families import REFERENCES
    from families.lenet import LeNet5
    from families.segmentation import UNet, smp

    torch.manual_seed(0)
    if weights is not None:
        shape = replace(shape, classes=json.loads((weights / "config.json").read_text())["num_classes"])
    name, _, settings = name.partition(":")
    settings = dict(setting.split("=") for setting in settings.split(",") if setting)
    if name.startswith("lenet5"):
        model = LeNet5(shape.classes, shape.height, shape.width, tanh=name.endswith("tanh"))
    elif name == "unet":
        model = UNet(shape.classes, **{key: int(value) for key, value in settings.items()})
    elif name in SMP:
        encoder = f"tu-{settings.get('backbone', 'resnet34')}"
        model = getattr(smp, SMP[name])(encoder, encoder_weights=None, classes=shape.classes)
    else:
        model = next(reference for reference in REFERENCES if reference.name == name).build(shape.classes)
    if weights is not None:
        from safetensors.torch import load_file

        model.load_state_dict(load_file(weights / "model.safetensors"))
        return model
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            # timm scales the last batch-norm of a residual branch by zero, which would let a graph optimiser drop the branch.
            nn.init.uniform_(module.weight, 0.5, 1.5)
    return model
