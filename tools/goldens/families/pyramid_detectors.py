"""Detectors over a feature pyramid: torchvision's Faster R-CNN, RetinaNet and FCOS, and the same over other networks."""

import types
from collections import OrderedDict

import timm
import torch
from torch import nn
from torchvision.models import detection, resnet
from torchvision.models.detection.backbone_utils import _resnet_fpn_extractor
from torchvision.models.detection.faster_rcnn import FasterRCNN
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.rpn import concat_box_prediction_layers
from torchvision.ops import clip_boxes_to_image
from torchvision.ops.feature_pyramid_network import FeaturePyramidNetwork, LastLevelMaxPool, LastLevelP6P7

from reference import Reference

SOURCE = "torchvision detection"
SIZE = (64, 96)
# Samplers that draw nothing because they take all; few proposals, so that the second stage is small.
FEW = {
    "rpn_batch_size_per_image": 1 << 20,
    "box_batch_size_per_image": 1 << 20,
    "rpn_post_nms_top_n_train": 40,
    "rpn_post_nms_top_n_test": 50,
}


def image_list(xs):
    """Images as the network reads them: what resizes and normalises them is no part of it here."""
    return ImageList(xs, [tuple(xs.shape[-2:])] * len(xs))


def in_one_row(outputs):
    """Outputs of different numbers of places: (N, all values, 1)."""
    return torch.cat([values.flatten(1) for values in outputs], 1).unsqueeze(2)


class FasterRcnn:
    """What the golden files hold of Faster R-CNN."""

    options = FEW

    @staticmethod
    def raw(model, xs):
        """The first stage's objectness and codes; and classes and codes of the second, over the anchors of the coarsest level, of which
        as many as there are proposals at most."""
        features = model.backbone(xs)
        maps = list(features.values())
        objectness, codes = model.rpn.head(maps)
        last = objectness[-1][0].numel()
        objectness, codes = concat_box_prediction_layers(objectness, codes)
        anchors = model.rpn.anchor_generator(image_list(xs), maps)
        most = model.rpn._post_nms_top_n["testing"]
        regions = [clip_boxes_to_image(of_image[-last:][:most], xs.shape[-2:]) for of_image in anchors]
        pooled = model.roi_heads.box_roi_pool(features, regions, [tuple(xs.shape[-2:])] * len(xs))
        classes, class_codes = model.roi_heads.box_predictor(model.roi_heads.box_head(pooled))
        return in_one_row([values.reshape(len(xs), -1) for values in (objectness, codes, classes, class_codes)])

    @staticmethod
    def losses(model, xs, truths):
        features, images, targets = model.backbone(xs), image_list(xs), of_torchvision(truths)
        proposals, of_proposals = model.rpn(images, features, targets)
        _, of_regions = model.roi_heads(features, proposals, images.image_sizes, targets)
        return {name.removeprefix("loss_"): value for name, value in {**of_proposals, **of_regions}.items()}

    @staticmethod
    def detect(model, xs, score, iou, count):
        model.roi_heads.score_thresh, model.roi_heads.nms_thresh, model.roi_heads.detections_per_img = score, iou, count
        features, images = model.backbone(xs), image_list(xs)
        proposals, _ = model.rpn(images, features)
        found, _ = model.roi_heads(features, proposals, images.image_sizes)
        return [(of["boxes"], of["scores"], of["labels"] - 1) for of in found]


class RetinaNet:
    """What the golden files hold of RetinaNet."""

    options = {}

    @staticmethod
    def raw(model, xs):
        """Codes and logits of every anchor, those of the background first."""
        outputs = model.head(list(model.backbone(xs).values()))
        return torch.cat([outputs["bbox_regression"], outputs["cls_logits"]], 2)

    @staticmethod
    def losses(model, xs, truths):
        maps = list(model.backbone(xs).values())
        return model.compute_loss(of_torchvision(truths), model.head(maps), model.anchor_generator(image_list(xs), maps))

    @staticmethod
    def detect(model, xs, score, iou, count):
        """Without those of the background, which torchvision scores like a class that no object has."""
        model.score_thresh, model.nms_thresh, model.detections_per_img = score, iou, count
        maps = list(model.backbone(xs).values())
        outputs = model.head(maps)
        outputs["cls_logits"][..., 0] = -100
        anchors, images = model.anchor_generator(image_list(xs), maps), image_list(xs)
        levels = [map.shape[-2] * map.shape[-1] * model.anchor_generator.num_anchors_per_location()[0] for map in maps]
        outputs = {name: list(values.split(levels, 1)) for name, values in outputs.items()}
        anchors = [list(of_image.split(levels)) for of_image in anchors]
        found = model.postprocess_detections(outputs, anchors, images.image_sizes)
        return [(of["boxes"], of["scores"], of["labels"] - 1) for of in found]


class Fcos:
    """What the golden files hold of FCOS."""

    options = {}

    @staticmethod
    def raw(model, xs):
        """Codes, centre-ness and logits of every place, those of the background first."""
        outputs = model.head(list(model.backbone(xs).values()))
        return torch.cat([outputs[name] for name in ("bbox_regression", "bbox_ctrness", "cls_logits")], 2)

    @staticmethod
    def losses(model, xs, truths):
        maps = list(model.backbone(xs).values())
        places = [map.shape[-2] * map.shape[-1] for map in maps]
        return model.compute_loss(of_torchvision(truths), model.head(maps), model.anchor_generator(image_list(xs), maps), places)

    @staticmethod
    def detect(model, xs, score, iou, count):
        """Without those of the background, as of RetinaNet."""
        model.score_thresh, model.nms_thresh, model.detections_per_img = score, iou, count
        maps = list(model.backbone(xs).values())
        outputs = model.head(maps)
        outputs["cls_logits"][..., 0] = -100
        places = [map.shape[-2] * map.shape[-1] for map in maps]
        anchors, images = model.anchor_generator(image_list(xs), maps), image_list(xs)
        outputs = {name: list(values.split(places, 1)) for name, values in outputs.items()}
        anchors = [list(of_image.split(places)) for of_image in anchors]
        found = model.postprocess_detections(outputs, anchors, images.image_sizes)
        return [(of["boxes"], of["scores"], of["labels"] - 1) for of in found]


def losses(model, xs, targets, is_late):
    """The named losses of a batch, the same in all epochs. `targets`: (edges, classes from 0) of each image."""
    return model.kind.losses(model, xs, targets)


def detect(model, xs, score, iou, count):
    """(edges, scores, classes from 0) of each image."""
    return model.kind.detect(model, xs, score, iou, count)


def of_torchvision(truths):
    """Classes count from 1 there."""
    return [{"boxes": boxes, "labels": classes + 1} for boxes, classes in truths]


def rounded_proposals(model):
    """In f64, codes and proposals are rounded to f32, as boxes always are here: regions are then the same to the bit."""
    plain = model.rpn.box_coder.decode_single

    def decode(codes, boxes):
        if codes.dtype != torch.float64:
            return plain(codes, boxes)
        return plain(codes.float().double(), boxes.double()).float().double()

    assign = model.rpn.assign_targets_to_anchors

    def assigned(anchors, targets):
        # Its labels are f32, and so would be the loss.
        labels, boxes = assign(anchors, targets)
        return [values.to(anchors[0].dtype) for values in labels], boxes

    model.rpn.box_coder.decode_single, model.rpn.assign_targets_to_anchors = decode, assigned
    return model


def with_raw_outputs(model, kind):
    model.kind = kind
    model.forward = types.MethodType(kind.raw, model)
    return model


def faster_rcnn(name):
    def build(classes, **options):
        # torchvision's default has 90, and the background.
        model = getattr(detection, name)(weights=None, weights_backbone=None, num_classes=classes + 1, **options)
        return with_raw_outputs(rounded_proposals(model), FasterRcnn)

    return build


def retinanet(classes):
    return with_raw_outputs(detection.retinanet_resnet50_fpn(weights=None, weights_backbone=None, num_classes=classes + 1), RetinaNet)


def retinanet_over_resnet18(classes):
    extra = LastLevelP6P7(256, 256)
    backbone = _resnet_fpn_extractor(resnet.resnet18(weights=None), 5, [2, 3, 4], extra)
    return with_raw_outputs(detection.RetinaNet(backbone, classes + 1), RetinaNet)


def fcos(classes):
    return with_raw_outputs(detection.fcos_resnet50_fpn(weights=None, weights_backbone=None, num_classes=classes + 1), Fcos)


def fcos_over_resnet18(classes):
    extra = LastLevelP6P7(256, 256)
    backbone = _resnet_fpn_extractor(resnet.resnet18(weights=None), 5, [2, 3, 4], extra)
    return with_raw_outputs(detection.FCOS(backbone, classes + 1), Fcos)


class TimmPyramid(nn.Module):
    """A network of timm under a pyramid, at the places where torchvision has its own."""

    def __init__(self, name, indices, out_channels, extra, **options):
        super().__init__()
        self.body = timm.create_model(name, num_classes=0, global_pool="", features_only=True, out_indices=indices, **options)
        self.fpn = FeaturePyramidNetwork(self.body.feature_info.channels(), out_channels, extra)
        self.out_channels = out_channels

    def forward(self, xs):
        return self.fpn(OrderedDict((str(level), map) for level, map in enumerate(self.body(xs))))


def over_timm(kind, backbone, classes, channels, features, of_backbone={}, **options):
    """One of the detectors over any network of timm, as `cnn-models` has it over its own."""
    if kind == "fasterrcnn_fpn":
        model = FasterRCNN(TimmPyramid(backbone, (1, 2, 3, 4), channels, LastLevelMaxPool(), **of_backbone), classes + 1, **options)
        model.roi_heads.box_head = detection.faster_rcnn.TwoMLPHead(channels * 49, features)
        model.roi_heads.box_predictor = detection.faster_rcnn.FastRCNNPredictor(features, classes + 1)
        return with_raw_outputs(model, FasterRcnn)
    body = TimmPyramid(backbone, (2, 3, 4), channels, LastLevelP6P7(channels, channels), **of_backbone)
    if kind == "retinanet_fpn":
        return with_raw_outputs(detection.RetinaNet(body, classes + 1, **options), RetinaNet)
    return with_raw_outputs(detection.FCOS(body, classes + 1, **options), Fcos)


def over_resnet18(classes, **options):
    backbone = _resnet_fpn_extractor(resnet.resnet18(weights=None), 5)
    return with_raw_outputs(rounded_proposals(FasterRCNN(backbone, classes + 1, **options)), FasterRcnn)


def names(build):
    """Names and shapes of all tensors of a network of torchvision with its own classes."""
    return {name: list(tensor.shape) for name, tensor in build(90).state_dict().items()}


def over_mobilenetv2(classes, **options):
    """A narrow one, as for a machine without an accelerator."""
    return rounded_proposals(over_timm("fasterrcnn_fpn", "mobilenetv2_100", classes, 32, 48, **options))


def reference(name, build, side, classes, stages, size=SIZE, **options):
    body = tuple(f"backbone.body.{stage}" for stage in stages)
    return Reference(name, SOURCE, build, (3, *size), (3, side, side), classes, body, train_size=size, **options)


RESNET = ("layer1", "layer2", "layer3", "layer4")
MOBILENETV3 = ("13", "16")
MOBILENETV2 = ("blocks.1", "blocks.2", "blocks.4", "blocks.6")

REFERENCES = [
    reference("fasterrcnn_resnet50_fpn", faster_rcnn("fasterrcnn_resnet50_fpn"), 1088, 90, RESNET),
    reference("fasterrcnn_mobilenet_v3_large_fpn", faster_rcnn("fasterrcnn_mobilenet_v3_large_fpn"), 1088, 90, MOBILENETV3),
    reference("fasterrcnn_mobilenet_v3_large_320_fpn", faster_rcnn("fasterrcnn_mobilenet_v3_large_320_fpn"), 448, 90, MOBILENETV3),
    reference("fasterrcnn_fpn", over_resnet18, 512, 80, RESNET, (96, 64)),
    reference("retinanet_resnet50_fpn", retinanet, 1088, 90, RESNET[1:]),
    reference("retinanet_fpn", retinanet_over_resnet18, 512, 80, RESNET[1:], (96, 64)),
    reference("fcos_resnet50_fpn", fcos, 1088, 90, RESNET[1:]),
    reference("fcos_fpn", fcos_over_resnet18, 512, 80, RESNET[1:], (96, 64)),
]

NARROW = {"backbone": "mobilenetv2_100", "fpn_channels": 32, "box_features": 48}
VARIANTS = [reference("fasterrcnn_fpn.mobilenetv2_100", over_mobilenetv2, 512, 80, MOBILENETV2, model_args=NARROW)]

# What the formula's weights are multiplied by below some modules, so that boxes are neither all of the image nor none.
SCALED = {
    "fasterrcnn_resnet50_fpn": {"backbone.fpn.inner_blocks": 0.01},
    "fasterrcnn_fpn": {"backbone.fpn.inner_blocks": 0.05},
    "fasterrcnn_fpn.mobilenetv2_100": {"backbone.fpn.inner_blocks": 0.1},
    "retinanet_resnet50_fpn": {"backbone.fpn.inner_blocks": 0.01},
    "retinanet_fpn": {"backbone.fpn.inner_blocks": 0.05},
    # Group norms take away what is before them.
    "fcos_resnet50_fpn": {"head.regression_head.bbox_reg": 8.0},
    "fcos_fpn": {"head.regression_head.bbox_reg": 8.0},
}

# The formula's weights make FCOS find nearly every class at every place: the best are enough.
LIMITS = {"fcos_resnet50_fpn": (0.05, 0.05, 200), "fcos_fpn": (0.05, 0.05, 200)}
