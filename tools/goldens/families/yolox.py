"""YOLOX (Ge et al. 2021), written down after the paper and its published code: the network, the assignment of anchors (SimOTA) and the losses."""

import torch
from torch import nn
from torch.nn import functional as F
from torchvision.ops import batched_nms

from reference import Reference

STRIDES = (8, 16, 32)
# Whole multiples of the coarsest stride.
SIZE = (64, 96)


class BaseConv(nn.Module):
    def __init__(self, in_channels, out_channels, kernel, stride=1, groups=1):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel, stride, (kernel - 1) // 2, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(out_channels, eps=1e-3, momentum=0.03)

    def forward(self, xs):
        return F.silu(self.bn(self.conv(xs)))


class DWConv(nn.Module):
    def __init__(self, in_channels, out_channels, kernel, stride=1):
        super().__init__()
        self.dconv = BaseConv(in_channels, in_channels, kernel, stride, groups=in_channels)
        self.pconv = BaseConv(in_channels, out_channels, 1)

    def forward(self, xs):
        return self.pconv(self.dconv(xs))


class Focus(nn.Module):
    def __init__(self, in_channels, out_channels):
        super().__init__()
        self.conv = BaseConv(in_channels * 4, out_channels, 3)

    def forward(self, xs):
        corners = [xs[..., row::2, column::2] for column in (0, 1) for row in (0, 1)]
        return self.conv(torch.cat(corners, dim=1))


class Bottleneck(nn.Module):
    def __init__(self, channels, shortcut, conv):
        super().__init__()
        self.conv1 = BaseConv(channels, channels, 1)
        self.conv2 = conv(channels, channels, 3)
        self.shortcut = shortcut

    def forward(self, xs):
        ys = self.conv2(self.conv1(xs))
        return ys + xs if self.shortcut else ys


class CSPLayer(nn.Module):
    def __init__(self, in_channels, out_channels, depth, shortcut, conv):
        super().__init__()
        hidden = out_channels // 2
        self.conv1 = BaseConv(in_channels, hidden, 1)
        self.conv2 = BaseConv(in_channels, hidden, 1)
        self.conv3 = BaseConv(2 * hidden, out_channels, 1)
        self.m = nn.Sequential(*(Bottleneck(hidden, shortcut, conv) for _ in range(depth)))

    def forward(self, xs):
        return self.conv3(torch.cat([self.m(self.conv1(xs)), self.conv2(xs)], dim=1))


class SPPBottleneck(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv1 = BaseConv(channels, channels // 2, 1)
        self.conv2 = BaseConv(channels * 2, channels, 1)

    def forward(self, xs):
        xs = self.conv1(xs)
        return self.conv2(torch.cat([xs] + [F.max_pool2d(xs, kernel, 1, kernel // 2) for kernel in (5, 9, 13)], dim=1))


class CSPDarknet(nn.Module):
    def __init__(self, depth, width, conv):
        super().__init__()
        base, blocks = int(width * 64), max(round(depth * 3), 1)
        self.stem = Focus(3, base)
        stage = lambda level, depth: [conv(base << (level - 1), base << level, 3, 2), CSPLayer(base << level, base << level, depth, True, conv)]
        self.dark2 = nn.Sequential(*stage(1, blocks))
        self.dark3 = nn.Sequential(*stage(2, blocks * 3))
        self.dark4 = nn.Sequential(*stage(3, blocks * 3))
        self.dark5 = nn.Sequential(
            conv(base * 8, base * 16, 3, 2), SPPBottleneck(base * 16), CSPLayer(base * 16, base * 16, blocks, False, conv)
        )

    def forward(self, xs):
        dark3 = self.dark3(self.dark2(self.stem(xs)))
        dark4 = self.dark4(dark3)
        return dark3, dark4, self.dark5(dark4)


class PAFPN(nn.Module):
    def __init__(self, depth, width, conv):
        super().__init__()
        small, middle, large = (int(channels * width) for channels in (256, 512, 1024))
        blocks = round(3 * depth)
        csp = lambda start, end: CSPLayer(start, end, blocks, False, conv)
        self.backbone = CSPDarknet(depth, width, conv)
        self.lateral_conv0 = BaseConv(large, middle, 1)
        self.C3_p4 = csp(2 * middle, middle)
        self.reduce_conv1 = BaseConv(middle, small, 1)
        self.C3_p3 = csp(2 * small, small)
        self.bu_conv2 = conv(small, small, 3, 2)
        self.C3_n3 = csp(2 * small, middle)
        self.bu_conv1 = conv(middle, middle, 3, 2)
        self.C3_n4 = csp(2 * middle, large)

    def forward(self, xs):
        dark3, dark4, dark5 = self.backbone(xs)
        double = lambda xs: F.interpolate(xs, scale_factor=2, mode="nearest")
        out0 = self.lateral_conv0(dark5)
        out1 = self.reduce_conv1(self.C3_p4(torch.cat([double(out0), dark4], 1)))
        pan2 = self.C3_p3(torch.cat([double(out1), dark3], 1))
        pan1 = self.C3_n3(torch.cat([self.bu_conv2(pan2), out1], 1))
        pan0 = self.C3_n4(torch.cat([self.bu_conv1(pan1), out0], 1))
        return pan2, pan1, pan0


class Head(nn.Module):
    def __init__(self, classes, width, conv):
        super().__init__()
        channels = int(256 * width)
        pair = lambda: nn.Sequential(conv(channels, channels, 3), conv(channels, channels, 3))
        scores = lambda outputs: nn.ModuleList(nn.Conv2d(channels, outputs, 1) for _ in STRIDES)
        self.stems = nn.ModuleList(BaseConv(int(start * width), channels, 1) for start in (256, 512, 1024))
        self.cls_convs = nn.ModuleList(pair() for _ in STRIDES)
        self.reg_convs = nn.ModuleList(pair() for _ in STRIDES)
        self.cls_preds, self.reg_preds, self.obj_preds = scores(classes), scores(4), scores(1)

    def forward(self, maps):
        """(N, 5 + classes, H, W) of each level: box, objectness, classes, all before their functions."""
        outputs = []
        for level, xs in enumerate(maps):
            xs = self.stems[level](xs)
            classes, box = self.cls_convs[level](xs), self.reg_convs[level](xs)
            outputs.append(torch.cat([self.reg_preds[level](box), self.obj_preds[level](box), self.cls_preds[level](classes)], 1))
        return outputs


class YOLOX(nn.Module):
    def __init__(self, classes=80, depth=0.33, width=0.25, depthwise=True):
        super().__init__()
        conv = DWConv if depthwise else BaseConv
        self.backbone = PAFPN(depth, width, conv)
        self.head = Head(classes, width, conv)

    def forward(self, xs):
        """(N, anchors, 5 + classes), the levels from the finest on, row by row."""
        return torch.cat([level.flatten(2) for level in self.head(self.backbone(xs))], 2).transpose(1, 2)


def anchors(height, width, dtype):
    """The cell (x, y) and the stride of each anchor."""
    cells, strides = [], []
    for stride in STRIDES:
        rows, columns = torch.meshgrid(torch.arange(height // stride), torch.arange(width // stride), indexing="ij")
        cells.append(torch.stack([columns, rows], 2).reshape(-1, 2))
        strides.append(torch.full((cells[-1].shape[0], 1), stride))
    return torch.cat(cells).to(dtype), torch.cat(strides).to(dtype)


def decode(outputs, height, width):
    """Boxes as centre and size in pixels of the input."""
    cells, strides = anchors(height, width, outputs.dtype)
    return torch.cat([(outputs[..., :2] + cells) * strides, outputs[..., 2:4].exp() * strides], -1)


def pairwise_iou(truth, boxes):
    """Of boxes as centre and size."""
    top_left = torch.maximum(truth[:, None, :2] - truth[:, None, 2:] / 2, boxes[None, :, :2] - boxes[None, :, 2:] / 2)
    bottom_right = torch.minimum(truth[:, None, :2] + truth[:, None, 2:] / 2, boxes[None, :, :2] + boxes[None, :, 2:] / 2)
    is_overlap = (top_left < bottom_right).all(2)
    overlap = (bottom_right - top_left).prod(2) * is_overlap
    return overlap / (truth[:, 2:].prod(1)[:, None] + boxes[:, 2:].prod(1)[None] - overlap)


def assign(truth, classes, outputs, height, width):
    """SimOTA for one image: the anchors that learn a box, which of the boxes it is, and their IoU. `truth` (G, 4) as centre and size."""
    cells, strides = anchors(height, width, outputs.dtype)
    centres, reach = (cells + 0.5) * strides, strides[:, 0] * 1.5
    distance = (centres[None] - truth[:, None, :2]).abs().amax(2)
    is_near = distance < reach[None]
    candidates = is_near.any(0).nonzero()[:, 0]
    is_near = is_near[:, candidates]
    iou = pairwise_iou(truth, decode(outputs, height, width)[candidates])
    scores = (outputs[candidates, 5:].sigmoid() * outputs[candidates, 4:5].sigmoid()).sqrt()
    wanted = F.one_hot(classes, outputs.shape[1] - 5).to(outputs.dtype)
    shape = (len(truth), len(candidates), wanted.shape[1])
    class_cost = F.binary_cross_entropy(scores[None].expand(shape), wanted[:, None].expand(shape), reduction="none").sum(2)
    cost = class_cost - 3 * torch.log(iou + 1e-8) + 1e6 * ~is_near
    matching = torch.zeros_like(cost)
    of_each = torch.topk(iou, min(10, iou.shape[1]), dim=1)[0].sum(1).int().clamp(min=1)
    for box, count in enumerate(of_each):
        matching[box, torch.topk(cost[box], int(count), largest=False)[1]] = 1
    several = matching.sum(0) > 1
    cheapest = cost[:, several].argmin(0)
    matching[:, several] = 0
    matching[cheapest, several] = 1
    chosen = matching.sum(0) > 0
    matched = matching[:, chosen].argmax(0)
    return candidates[chosen], matched, (matching * iou).sum(0)[chosen]


def losses_of(outputs, truths, height, width, with_l1):
    """The named losses of a batch. `truths`: (boxes as centre and size, classes) of each image."""
    cells, strides = anchors(height, width, outputs.dtype)
    boxes = decode(outputs, height, width)
    total, is_object = 0, torch.zeros(outputs.shape[:2], dtype=outputs.dtype)
    sums = {"iou": 0, "objectness": 0, "class": 0} | ({"l1": 0} if with_l1 else {})
    for image, (truth, classes) in enumerate(truths):
        if not len(truth):
            continue
        with torch.no_grad():
            chosen, matched, iou = assign(truth, classes, outputs[image], height, width)
        total += len(chosen)
        is_object[image, chosen] = 1
        of_pair = torch.diagonal(pairwise_iou(truth[matched], boxes[image, chosen]))
        sums["iou"] = sums["iou"] + (1 - of_pair**2).sum()
        wanted = F.one_hot(classes[matched], outputs.shape[2] - 5).to(outputs.dtype) * iou[:, None]
        sums["class"] = sums["class"] + F.binary_cross_entropy_with_logits(outputs[image, chosen, 5:], wanted, reduction="sum")
        if with_l1:
            stride = strides[chosen]
            plain = torch.cat([truth[matched, :2] / stride - cells[chosen], torch.log(truth[matched, 2:] / stride + 1e-8)], 1)
            sums["l1"] = sums["l1"] + (outputs[image, chosen, :4] - plain).abs().sum()
    sums["objectness"] = F.binary_cross_entropy_with_logits(outputs[..., 4], is_object, reduction="sum")
    weights = {"iou": 5.0}
    return {name: weights.get(name, 1.0) * value / max(total, 1) for name, value in sums.items()}


def losses(model, xs, targets, is_late):
    """The named losses of a batch. `targets`: (edges, classes) of each image."""
    height, width = xs.shape[2:]
    centred = [(torch.cat([(edges[:, :2] + edges[:, 2:]) / 2, edges[:, 2:] - edges[:, :2]], 1), classes) for edges, classes in targets]
    return losses_of(model(xs), centred, height, width, is_late)


def detect(model, xs, score, iou, count):
    """(edges, scores, classes) of each image."""
    outputs = model(xs)
    result = []
    boxes = decode(outputs, *xs.shape[2:])
    scores, classes = (outputs[..., 5:].sigmoid() * outputs[..., 4:5].sigmoid()).max(2)
    edges = torch.cat([boxes[..., :2] - boxes[..., 2:] / 2, boxes[..., :2] + boxes[..., 2:] / 2], 2)
    for image in range(len(outputs)):
        some = scores[image] >= score
        found = edges[image][some], scores[image][some], classes[image][some]
        kept = batched_nms(*found, iou)[:count]
        result.append(tuple(values[kept] for values in found))
    return result


SOURCE = "YOLOX"
STAGES = tuple(f"backbone.backbone.dark{number}" for number in (3, 4, 5))
SCALES = {"nano": (0.33, 0.25, True), "tiny": (0.33, 0.375, False), "s": (0.33, 0.5, False), "m": (0.67, 0.75, False)}


def reference(name):
    depth, width, depthwise = SCALES[name]
    side = 640 if name in ("s", "m") else 416
    build = lambda classes: YOLOX(classes, depth, width, depthwise)
    return Reference(f"yolox_{name}", SOURCE, build, (3, *SIZE), (3, side, side), 80, STAGES, train_size=SIZE)


REFERENCES = [reference(name) for name in SCALES]
