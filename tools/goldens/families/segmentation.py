"""Networks that tell the class of every pixel: torchvision's, segmentation_models.pytorch's over timm's encoders, and a plain U-Net."""

import segmentation_models_pytorch as smp
import torch
import torchvision
from torch import nn
from torch.nn import functional as F

from reference import Reference

SIZE = (65, 97)
# smp asks for multiples of 32.
WHOLE = (64, 96)


class DoubleConv(nn.Module):
    def __init__(self, in_channels, out_channels, hidden, has_norm):
        super().__init__()
        layers = []
        for start, end in ((in_channels, hidden), (hidden, out_channels)):
            layers.append(nn.Conv2d(start, end, 3, padding=1, bias=not has_norm))
            layers += [nn.BatchNorm2d(end)] if has_norm else []
            layers.append(nn.ReLU())
        self.double_conv = nn.Sequential(*layers)

    def forward(self, xs):
        return self.double_conv(xs)


class Down(nn.Module):
    def __init__(self, in_channels, out_channels, has_norm):
        super().__init__()
        self.maxpool_conv = nn.Sequential(nn.MaxPool2d(2), DoubleConv(in_channels, out_channels, out_channels, has_norm))

    def forward(self, xs):
        return self.maxpool_conv(xs)


class Up(nn.Module):
    def __init__(self, in_channels, out_channels, bilinear, has_norm):
        super().__init__()
        if bilinear:
            self.up = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
            self.conv = DoubleConv(in_channels, out_channels, in_channels // 2, has_norm)
        else:
            self.up = nn.ConvTranspose2d(in_channels, in_channels // 2, 2, stride=2)
            self.conv = DoubleConv(in_channels, out_channels, out_channels, has_norm)

    def forward(self, xs, skip):
        xs = self.up(xs)
        rows, columns = (skip.shape[axis] - xs.shape[axis] for axis in (2, 3))
        xs = F.pad(xs, (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2))
        return self.conv(torch.cat([skip, xs], dim=1))


class OutConv(nn.Module):
    def __init__(self, in_channels, classes):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, classes, 1)

    def forward(self, xs):
        return self.conv(xs)


class UNet(nn.Module):
    """The U-Net that most PyTorch code has, of any depth and width."""

    def __init__(self, classes, depth=4, width=64, bilinear=False, has_norm=True):
        super().__init__()
        self.depth = depth
        self.inc = DoubleConv(3, width, width, has_norm)
        share = 2 if bilinear else 1
        for level in range(1, depth + 1):
            start, end = width << (level - 1), width << level
            self.add_module(f"down{level}", Down(start, end // share if level == depth else end, has_norm))
        for number in range(1, depth + 1):
            level = depth - number
            end = width << level
            self.add_module(f"up{number}", Up(2 * end, end // share if level else end, bilinear, has_norm))
        self.outc = OutConv(width, classes)

    def forward(self, xs):
        maps = [self.inc(xs)]
        for level in range(1, self.depth + 1):
            maps.append(self.get_submodule(f"down{level}")(maps[-1]))
        xs = maps.pop()
        for number in range(1, self.depth + 1):
            xs = self.get_submodule(f"up{number}")(xs, maps.pop())
        return self.outc(xs)


def without_dropout(model):
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return model


def torchvision_segmenter(name, stages, size=SIZE, has_auxiliary=True):
    def build(classes):
        options = dict(weights=None, weights_backbone=None, num_classes=classes)
        # Published counts are without the auxiliary heads.
        if has_auxiliary:
            options["aux_loss"] = classes < 21
        return without_dropout(getattr(torchvision.models.segmentation, name)(**options))

    auxiliary = ("aux_classifier",) if has_auxiliary else ()
    model_args = {"drop_rate": 0.0} if has_auxiliary else {}
    return Reference(name, "torchvision", build, (3, *size), (3, 520, 520), 21, stages, model_args, auxiliary)


def smp_segmenter(name, kind, backbone, stages, size=SIZE, **options):
    """`name` is that of the golden file, `<model>.<backbone>`, or the model's own over its default backbone."""
    build = lambda classes: without_dropout(kind(f"tu-{backbone}", encoder_weights=None, classes=classes, **options))
    stages = tuple(f"encoder.model.{stage}" for stage in stages)
    model_args = {"backbone": backbone} if "." in name else {}
    if kind is smp.DeepLabV3Plus:
        model_args["drop_rate"] = 0.0
    return Reference(name, "segmentation_models.pytorch", build, (3, *size), (3, 512, 512), 21, stages, model_args, train_size=WHOLE)


def unet(name, size=SIZE, **options):
    build = lambda classes: UNet(classes, **options)
    depth = options.get("depth", 4)
    stages = ("inc", *(f"down{level}" for level in range(1, depth + 1)))
    names = {"has_norm": "batch_norm"}
    model_args = {names.get(key, key): value for key, value in options.items()}
    return Reference(name, "milesial/Pytorch-UNet", build, (3, *size), (3, 512, 512), 2, stages, model_args)


RESNET = ("act1", "layer1", "layer2", "layer3", "layer4")
MOBILENETV2 = ("blocks.0", "blocks.1", "blocks.2", "blocks.4", "blocks.6")

REFERENCES = [
    unet("unet", (39, 54)),
    smp_segmenter("smp_unet", smp.Unet, "resnet34", RESNET, WHOLE),
    smp_segmenter("smp_deeplabv3plus", smp.DeepLabV3Plus, "resnet34", ("layer1", "layer4"), WHOLE),
    torchvision_segmenter("fcn_resnet50", ("backbone.layer3", "backbone.layer4"), (51, 77)),
    torchvision_segmenter("fcn_resnet101", ("backbone.layer3", "backbone.layer4"), (33, 41)),
    torchvision_segmenter("deeplabv3_resnet50", ("backbone.layer3", "backbone.layer4"), (33, 41)),
    torchvision_segmenter("deeplabv3_resnet101", ("backbone.layer3", "backbone.layer4"), (33, 41)),
    torchvision_segmenter("deeplabv3_mobilenet_v3_large", ("backbone.4", "backbone.16")),
    torchvision_segmenter("lraspp_mobilenet_v3_large", ("backbone.4", "backbone.16"), has_auxiliary=False),
]

VARIANTS = [
    unet("unet.bilinear", depth=3, width=8, bilinear=True),
    unet("unet.plain", depth=2, width=6, has_norm=False),
    smp_segmenter("smp_unet.mobilenetv2_100", smp.Unet, "mobilenetv2_100", MOBILENETV2, WHOLE),
    smp_segmenter("smp_unet.convnext_atto", smp.Unet, "convnext_atto", tuple(f"stages_{stage}" for stage in range(4)), WHOLE),
    smp_segmenter("smp_unet.vgg11_bn", smp.Unet, "vgg11_bn", tuple(f"features_{at}" for at in (6, 13, 20, 27, 28)), (64, 32)),
    smp_segmenter("smp_deeplabv3plus.mobilenetv2_100", smp.DeepLabV3Plus, "mobilenetv2_100", ("blocks.1", "blocks.6"), WHOLE),
]
