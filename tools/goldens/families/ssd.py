"""SSD and SSDLite: torchvision's.

Of SSD300 the golden file has narrow layers, which `widths` says: the smallest image that its six maps exist of has 268 pixels, and
few values means few that lie close to a kink.
"""

import types

import timm
import torch
from torch import nn
from torchvision.models import detection
from torchvision.models.detection.anchor_utils import DefaultBoxGenerator
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.ssd import SSD
from torchvision.models.detection.ssdlite import SSDLiteHead, _extra_block, _normal_init
from torchvision.ops import box_iou

from reference import Reference

SOURCE = "torchvision SSD"


def norm_layer(channels):
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.03)


def raw(model):
    """The same network, whose outputs are (N, boxes, 4 + 1 + classes): codes, then logits with the background's first."""

    def forward(self, xs):
        outputs = self.head(list(self.backbone(xs).values()))
        return torch.cat([outputs["bbox_regression"], outputs["cls_logits"]], 2)

    model.forward = types.MethodType(forward, model)
    return model


def torchvision_ssd(name):
    return lambda classes: raw(getattr(detection, name)(weights=None, weights_backbone=None, num_classes=classes + 1))


def widths():
    """Output channels of the convolutions of the narrow SSD300."""
    rows = {2: (0, 2), 4: (5, 7), 8: (10, 12, 14), 16: (17, 19, 21)}
    plan = {f"backbone.features.{index}": width for width, indices in rows.items() for index in indices}
    plan |= {f"backbone.extra.0.{index}": 16 for index in (1, 3, 5)} | {f"backbone.extra.0.7.{index}": 32 for index in (1, 3)}
    for number, (hidden, output) in enumerate([(16, 32), (8, 16), (8, 16), (8, 16)], 1):
        plan |= {f"backbone.extra.{number}.0": hidden, f"backbone.extra.{number}.2": output}
    return plan


def narrow_ssd300(classes):
    model = torchvision_ssd("ssd300_vgg16")(classes)
    channels = 3
    read = [16, 32, 32, 16, 16, 16]
    for path, width in widths().items():
        old = model.get_submodule(path)
        replace(model, path, old, channels, width)
        channels = width
    model.backbone.scale_weight = nn.Parameter(torch.full((read[0],), 20.0))
    for head in ("classification_head", "regression_head"):
        for number, channels in enumerate(read):
            path = f"head.{head}.module_list.{number}"
            old = model.get_submodule(path)
            replace(model, path, old, channels, old.out_channels)
    return model


def replace(model, path, old, in_channels, out_channels):
    conv = nn.Conv2d(in_channels, out_channels, old.kernel_size, old.stride, old.padding, old.dilation)
    model.set_submodule(path, conv)


class TimmBackbone(nn.Module):
    """timm's last maps, so many down to a 32nd of the image's size, and SSDLite's further ones: six in all."""

    def __init__(self, name, maps, **options):
        super().__init__()
        self.body = timm.create_model(name, features_only=True, out_indices=tuple(range(-maps, 0)), **options)
        extra = [self.body.feature_info.channels()[-1], 512, 256, 256, 128][: 7 - maps]
        self.extra = nn.ModuleList(_extra_block(*pair, norm_layer) for pair in zip(extra, extra[1:]))
        _normal_init(self.extra)
        self.channels = self.body.feature_info.channels() + extra[1:]

    def forward(self, xs):
        maps = self.body(xs)
        for block in self.extra:
            maps.append(block(maps[-1]))
        return {str(number): map for number, map in enumerate(maps)}


def ssdlite(backbone, maps=3, min_ratio=0.07, **options):
    def build(classes):
        body = TimmBackbone(backbone, maps, **options)
        anchors = DefaultBoxGenerator([[2, 3] for _ in range(6)], min_ratio=min_ratio, max_ratio=0.95)
        head = SSDLiteHead(body.channels, anchors.num_anchors_per_location(), classes + 1, norm_layer)
        limits = {"score_thresh": 0.001, "nms_thresh": 0.55, "detections_per_img": 300, "topk_candidates": 300}
        return raw(SSD(body, anchors, (320, 320), classes + 1, head=head, **limits))

    return build


def predictions(model, xs):
    """Codes and logits as torchvision names them, and the default boxes of each image."""
    maps = list(model.backbone(xs).values())
    sizes = [tuple(xs.shape[2:])] * len(xs)
    return model.head(maps), model.anchor_generator(ImageList(xs, sizes), maps), sizes


def losses(model, xs, targets, is_late):
    """The named losses of a batch, the same in all epochs. `targets`: (edges, classes from 0) of each image."""
    outputs, anchors, _ = predictions(model, xs)
    targets = [{"boxes": boxes, "labels": classes + 1} for boxes, classes in targets]
    none = lambda boxes: torch.full((len(boxes),), -1)
    match = lambda boxes, anchors: model.proposal_matcher(box_iou(boxes, anchors)) if len(boxes) else none(anchors)
    matched = [match(target["boxes"], boxes) for target, boxes in zip(targets, anchors)]
    return model.compute_loss(targets, outputs, anchors, matched)


def detect(model, xs, score, iou, count):
    """(edges, scores, classes from 0) of each image."""
    model.score_thresh, model.nms_thresh, model.detections_per_img = score, iou, count
    found = model.postprocess_detections(*predictions(model, xs))
    return [(image["boxes"], image["scores"], image["labels"] - 1) for image in found]


def reference(name, build, size, side, classes, stages, **options):
    stages = tuple(f"backbone.{stage}" for stage in stages)
    return Reference(name, SOURCE, build, (3, *size), (3, side, side), classes, stages, **options)


MOBILENETV2 = ("body.blocks.2", "body.blocks.4", "body.blocks.6")
# The last map has several pixels.
TRAIN = (520, 560)

REFERENCES = [
    reference(
        "ssd300_vgg16", torchvision_ssd("ssd300_vgg16"), (268, 347), 300, 90, ("features", "extra.0"),
        model_args={"widths": widths()}, build_reduced=narrow_ssd300,
    ),
    reference(
        "ssdlite320_mobilenet_v3_large", torchvision_ssd("ssdlite320_mobilenet_v3_large"), (64, 96), 320, 90,
        ("features.0", "features.1"), train_size=TRAIN,
    ),
    reference("ssdlite", ssdlite("mobilenetv2_100"), (64, 104), 320, 80, MOBILENETV2, train_size=TRAIN),
]

VARIANTS = [
    reference(
        "ssdlite.resnet18", ssdlite("resnet18", maps=2, min_ratio=0.2), (64, 96), 320, 80, ("body.layer3", "body.layer4"),
        model_args={"backbone": "resnet18", "backbone_maps": 2, "min_ratio": 0.2}, train_size=TRAIN,
    ),
]
