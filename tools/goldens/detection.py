"""Golden file of cnn-layers' boxes, anchors, matching, suppression and losses of detectors. See README.md."""

import math
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
import torchvision
from torchvision import ops
from torchvision.models.detection import _utils as det
from torchvision.models.detection.anchor_utils import AnchorGenerator, DefaultBoxGenerator
from torchvision.models.detection.image_list import ImageList

import files
import formula

GOLDEN = Path(__file__).parents[2] / "crates/cnn-layers/tests/golden"


def uniform(name: str, low: float, high: float, *shape: int) -> torch.Tensor:
    """f32 numbers by the formula."""
    values = low + (high - low) * formula.uniform(name, math.prod(shape))
    return torch.from_numpy(values.astype(np.float32).reshape(shape))


def boxes(name: str, count: int, side: float = 60.0) -> torch.Tensor:
    corners = uniform(f"{name}.corners", 0, 40, count, 2)
    return torch.cat([corners, corners + uniform(f"{name}.sizes", 0.5, side, count, 2)], 1)


def main():
    torch.set_num_threads(1)
    GOLDEN.mkdir(parents=True, exist_ok=True)
    tensors = {}
    for add in (overlaps, suppression, soft, anchors, coding, matching, pooling, pyramids, losses):
        for name, tensor in add().items():
            tensors[name] = np.ascontiguousarray(tensor.detach().numpy() if isinstance(tensor, torch.Tensor) else tensor)
    path = GOLDEN / "detection.safetensors"
    files.write(path, tensors, {"torch": torch.__version__, "torchvision": torchvision.__version__})
    print(f"{len(tensors)} tensors, {path.stat().st_size} bytes")


def overlaps() -> dict:
    a, b = boxes("overlaps.a", 6), boxes("overlaps.b", 9)
    b[0] = a[0]
    measures = {"iou": ops.box_iou, "giou": ops.generalized_box_iou, "diou": ops.distance_box_iou, "ciou": ops.complete_box_iou}
    clipped = ops.clip_boxes_to_image(torch.cat([b - 20, b + 20]), (37, 53))
    found = {name: measure(a, b) for name, measure in measures.items()}
    return {f"overlaps.{key}": value for key, value in {"a": a, "b": b, "clipped": clipped, **found}.items()}


def suppression() -> dict:
    """Sets with free edges; with edges at whole pixels and few scores, so with ties and IoUs at the threshold; with sizes of 0."""
    found = {}
    for index in range(3):
        name = f"nms.{index}"
        count = 160
        edges, scores = boxes(name, count), uniform(f"{name}.scores", 0, 1, count)
        if index > 0:
            edges, scores = (edges / 4).round(), (scores * 12).round() / 8
        if index == 2:
            edges[::3, 2] = edges[::3, 0]
        classes = torch.from_numpy((formula.uniform(f"{name}.classes", count) * 4).astype(np.int64))
        found |= {f"{name}.boxes": edges, f"{name}.scores": scores, f"{name}.classes": classes}
        for threshold in (0.3, 0.5, 0.75):
            found[f"{name}.all.{threshold}"] = ops.nms(edges, scores, threshold)
            # What torchvision does with many boxes; equal scores are left in any order there.
            each = ops.boxes._batched_nms_vanilla(edges, scores, classes, threshold).sort()[0]
            each = each[scores[each].sort(descending=True, stable=True)[1]]
            found[f"{name}.classes.{threshold}"] = each
            if index > 0:
                assert torch.equal(each, ops.batched_nms(edges, scores, classes, threshold))
    return found


def soft() -> dict:
    """Bodla et al. 2017, figure 2, in f64."""
    edges, scores = boxes("soft", 60), uniform("soft.scores", 0, 1, 60)
    overlap = ops.box_iou(edges.double(), edges.double()).numpy()
    found = {"soft.boxes": edges, "soft.scores": scores}
    for name, decay in {
        "linear": lambda iou: np.where(iou >= 0.3, 1 - iou, 1.0),
        "gaussian": lambda iou: np.exp(-(iou**2) / 0.5),
    }.items():
        left, current, order, kept = list(range(60)), scores.double().numpy().copy(), [], []
        while left:
            best = max(left, key=lambda index: current[index])
            left.remove(best)
            order.append(best)
            kept.append(current[best])
            for other in left:
                current[other] *= decay(overlap[best, other])
            left = [other for other in left if current[other] >= 0.05]
        found |= {f"soft.{name}.order": np.array(order), f"soft.{name}.kept": np.array(kept)}
    return found


def anchors() -> dict:
    images = ImageList(torch.zeros(1, 3, 75, 103), [(75, 103)])
    maps = lambda *grids: [torch.zeros(1, 1, *grid) for grid in grids]
    sizes, ratios = ((16, 20, 25), (33, 41)), ((0.5, 1.0, 2.0), (0.3, 1.0))
    found = {"anchors": AnchorGenerator(sizes, ratios)(images, maps((5, 6), (2, 4)))[0]}
    few = DefaultBoxGenerator([[2], [2, 3]])
    found["default.between"] = few(images, maps((5, 6), (2, 4)))[0]
    one = DefaultBoxGenerator([[3]], 0.2, 0.95, steps=[20], clip=False)
    found["default.one"] = one(images, maps((4, 6)))[0]
    wide = DefaultBoxGenerator([[5], [4]], scales=[0.7, 0.9, 1.2], clip=False)
    found["default.each"] = wide(images, maps((3, 2), (1, 2)))[0]
    grids = [(38, 38), (19, 19), (10, 10), (5, 5), (3, 3), (1, 1)]
    ssd = DefaultBoxGenerator(
        [[2], [2, 3], [2, 3], [2, 3], [2], [2]],
        scales=[0.07, 0.15, 0.33, 0.51, 0.69, 0.87, 1.05],
        steps=[8, 16, 32, 64, 100, 300],
    )
    found["default.ssd300"] = ssd(ImageList(torch.zeros(1, 3, 300, 300), [(300, 300)]), maps(*grids))[0][::31]
    grids = [(20, 20), (10, 10), (5, 5), (3, 3), (2, 2), (1, 1)]
    lite = DefaultBoxGenerator([[2, 3] for _ in range(6)], min_ratio=0.2, max_ratio=0.95)
    found["default.ssdlite320"] = lite(ImageList(torch.zeros(1, 3, 320, 320), [(320, 320)]), maps(*grids))[0][::11]
    return found


def coding() -> dict:
    edges, around = boxes("coding.boxes", 12), boxes("coding.anchors", 12)
    codes = uniform("coding.codes", -2, 2, 12, 4)
    # Beyond the largest logarithm, and at it.
    codes[0, 2], codes[1, 3] = 30.0, 5.0
    found = {"coding.boxes": edges, "coding.anchors": around, "coding.codes": codes}
    upstream = uniform("coding.upstream", -1, 1, 12, 4).double()
    found["coding.upstream"] = upstream
    coders = {
        "ones": det.BoxCoder((1.0, 1.0, 1.0, 1.0)),
        "heads": det.BoxCoder((10.0, 10.0, 5.0, 5.0)),
        "linear": det.BoxLinearCoder(normalize_by_size=True),
        "pixels": det.BoxLinearCoder(normalize_by_size=False),
    }
    for name, coder in coders.items():
        by_size = isinstance(coder, det.BoxCoder)
        encode = coder.encode_single if by_size else lambda of, anchor: coder.encode(anchor, of)
        decode = coder.decode_single if by_size else coder.decode
        found[f"coding.{name}.encoded"] = encode(edges, around)
        found[f"coding.{name}.decoded"] = decode(codes, around)
        tracked = codes.double().requires_grad_()
        (decode(tracked, around.double()) * upstream).sum().backward()
        found[f"coding.{name}.grad"] = tracked.grad
    return found


def matching() -> dict:
    quality = (uniform("matching", 0, 1, 5, 40) * 16).floor() / 16
    quality[3] = quality[3] / 4
    quality[4] = 0.0
    quality[1, 7] = quality[2, 7] = 1.0
    matchers = {
        "refused": det.Matcher(0.75, 0.5),
        "ties": det.Matcher(0.75, 0.5, allow_low_quality_matches=True),
        "ssd": det.SSDMatcher(0.75),
    }
    return {"matching.quality": quality} | {f"matching.{name}": matcher(quality) for name, matcher in matchers.items()}


def pooling() -> dict:
    """Boxes of two images; among those of the levels just one of 56, 112, 224 and 448 pixels, and just less."""
    sides = torch.tensor([55.999, 56.0, 111.99, 112.0, 112.01, 223.999, 224.0, 448.0, 2000.0, 3.0, 0.0])
    squares = torch.cat([torch.full((len(sides), 2), 5.0), sides[:, None] + 5, sides[:, None] + 5], 1)
    squares[-2, 2] = 5.0
    mapper = ops.poolers.LevelMapper(2, 5)
    found = {"levels.boxes": squares, "levels.index": mapper([squares])}
    maps = {str(level): uniform(f"pooling.{level}", -1, 1, 2, 3, 24 >> level, 20 >> level) for level in range(3)}
    each = [boxes("pooling.first", 5, 90), boxes("pooling.second", 4, 20)]
    for name, names, sampling, options in [
        ("pyramid", ["0", "1", "2"], 2, {"canonical_scale": 40, "canonical_level": 3}),
        ("one", ["1"], -1, {}),
    ]:
        pool = ops.MultiScaleRoIAlign(names, (2, 3), sampling, **options)
        # Sizes are those of the images within a batch of 96 by 80.
        found[f"pooling.{name}"] = pool({key: maps[key] for key in names}, each, [(96, 73), (90, 80)])
    found |= {f"pooling.map.{key}": xs for key, xs in maps.items()}
    return found | {"pooling.first": each[0], "pooling.second": each[1]}


def pyramids() -> dict:
    """Feature pyramids over maps of sizes that are no multiples of each other: weights, outputs, and the gradients of Σ output · upstream."""
    channels, out = (2, 3, 4), 2
    sizes = ((11, 7), (6, 5), (3, 4))
    extras = {
        "pool": ops.feature_pyramid_network.LastLevelMaxPool(),
        "backbone": ops.feature_pyramid_network.LastLevelP6P7(channels[-1], out),
        "pyramid": ops.feature_pyramid_network.LastLevelP6P7(out, out),
    }
    found = {}
    for name, extra in extras.items():
        network = ops.FeaturePyramidNetwork(channels, out, extra).double()
        weights = {key: torch.from_numpy(formula.values(key, value.shape)).double() for key, value in network.state_dict().items()}
        network.load_state_dict(weights)
        maps = {f"map{level}": uniform(f"pyramid.map{level}", -1, 1, 1, width, *size) for level, (width, size) in enumerate(zip(channels, sizes))}
        tracked = {key: value.double().requires_grad_() for key, value in maps.items()}
        levels = list(network(tracked).values())
        upstream = [uniform(f"pyramid.upstream{level}", -1, 1, *value.shape) for level, value in enumerate(levels)]
        sum((value * wide).sum() for value, wide in zip(levels, upstream)).backward()
        for level, value in enumerate(levels):
            found |= {f"pyramid.{name}.level{level}": value, f"pyramid.{name}.upstream{level}": upstream[level]}
        found |= {f"pyramid.{key}": value for key, value in maps.items()}
        found |= {f"pyramid.{name}.grad.{key}": value.grad for key, value in tracked.items()}
        for key, value in network.named_parameters():
            found |= {f"pyramid.{name}.weights.{key}": value, f"pyramid.{name}.grad.{key}": value.grad}
    return found


def yolox_iou(predictions, targets, kind) -> torch.Tensor:
    """`IOUloss` of YOLOX 0.3 (yolox/models/losses.py), which takes centres and sizes; none reduced."""
    size = lambda of: of[:, 2:]
    corner = lambda of, sign: of[:, :2] + sign * size(of) / 2
    low = torch.max(corner(predictions, -1), corner(targets, -1))
    high = torch.min(corner(predictions, 1), corner(targets, 1))
    overlapping = (low < high).to(low.dtype).prod(1)
    common = (high - low).prod(1) * overlapping
    union = size(predictions).prod(1) + size(targets).prod(1) - common
    iou = common / (union + 1e-16)
    if kind == "iou":
        return 1 - iou**2
    low = torch.min(corner(predictions, -1), corner(targets, -1))
    high = torch.max(corner(predictions, 1), corner(targets, 1))
    hull = (high - low).prod(1)
    giou = iou - (hull - union) / hull.clamp(1e-16)
    return 1 - giou.clamp(min=-1.0, max=1.0)


def losses() -> dict:
    """Each with its inputs, Σ w l over a divisor, the unreduced losses and the gradient, in f64."""
    found = {}

    def add(name, predictions, function, divisor=1.0, each=None, **inputs):
        tracked = predictions.double().requires_grad_()
        unreduced = function(tracked)
        weights = uniform(f"losses.{name}.weights", 0, 2, len(predictions))
        weighted = unreduced * weights.double().reshape(-1, *[1] * (unreduced.dim() - 1))
        value = weighted.sum() / divisor
        value.backward()
        tensors = {"predictions": predictions, "weights": weights, "each": unreduced, "value": value.reshape(1), "grad": tracked.grad}
        found.update({f"losses.{name}.{key}": tensor for key, tensor in {**tensors, **inputs}.items()})

    predictions, targets = boxes("losses.predicted", 14), boxes("losses.targets", 14)
    # The same box, one edge in common, one inside the other, apart, and touching.
    predictions[0] = targets[0]
    predictions[1, 0] = targets[1, 0]
    predictions[2] = targets[2] + torch.tensor([1.0, 1.0, -0.25, -0.25])
    targets[3] = predictions[3] + 200
    targets[4] = predictions[4] + (predictions[4, 2:] - predictions[4, :2]).repeat(2)
    wide = targets.double()
    iou = lambda xs: torch.diagonal(ops.box_iou(xs, wide))
    for name, function in {
        "iou": lambda xs: 1 - iou(xs),
        "giou": lambda xs: ops.generalized_box_iou_loss(xs, wide),
        "diou": lambda xs: ops.distance_box_iou_loss(xs, wide),
        "ciou": lambda xs: ops.complete_box_iou_loss(xs, wide),
    }.items():
        add(name, predictions, function, 3.5, targets=targets)
    centred = lambda xs: torch.cat([(xs[:, :2] + xs[:, 2:]) / 2, xs[:, 2:] - xs[:, :2]], 1)
    for kind in ("iou", "giou"):
        add(f"yolox_{kind}", centred(predictions), lambda xs: yolox_iou(xs, centred(wide), kind), 3.5, targets=targets)

    logits = uniform("losses.logits", -6, 6, 7, 5)
    logits[0, 0], logits[1, 1], logits[2, 2], logits[3, 3] = 80.0, -80.0, -700.0, 700.0
    hard = (uniform("losses.hard", 0, 1, 7, 5) > 0.7).float()
    between = uniform("losses.between", 0, 1, 7, 5)
    for name, labels, options in [
        ("focal", hard, {}),
        ("focal_plain", hard, {"alpha": -1, "gamma": 2}),
        ("focal_other", between, {"alpha": 0.6, "gamma": 1.5}),
        ("focal_half", hard, {"alpha": 0.25, "gamma": 0.5}),
        ("focal_none", between, {"alpha": 0.25, "gamma": 0}),
    ]:
        some = logits.clamp(-30, 30) if name in ("focal_half", "focal_other") else logits
        add(name, some, lambda xs: ops.sigmoid_focal_loss(xs, labels.double(), **options), 4.0, targets=labels)
    bce = F.binary_cross_entropy_with_logits
    for name, labels, options in [
        ("binary", between, {}),
        ("binary_weighted", between, {"pos_weight": torch.tensor(2.5, dtype=torch.float64)}),
    ]:
        add(name, logits, lambda xs: bce(xs, labels.double(), reduction="none", **options), 4.0, targets=labels)
    classes = torch.tensor([4, -100, 0, 2, -100, 1, 1])
    cross = lambda xs: F.cross_entropy(xs, classes, reduction="none", ignore_index=-100)
    add("softmax", logits, cross, 4.0, targets=classes)

    numbers, wanted = uniform("losses.numbers", -2, 2, 6, 4), uniform("losses.wanted", -2, 2, 6, 4)
    numbers[0, 0] = wanted[0, 0]
    numbers[0, 1], wanted[0, 1] = 0.75, -0.25
    for name, beta in (("smooth_l1", 1.0), ("smooth_l1_ninth", 1 / 9), ("l1", 0.0)):
        add(name, numbers, lambda xs: F.smooth_l1_loss(xs, wanted.double(), reduction="none", beta=beta), 2.0, targets=wanted)

    bins = uniform("losses.bins", -5, 5, 9, 7)
    distances = uniform("losses.distances", 0, 6, 9)
    distances[0], distances[1] = 0.0, 3.0

    def distribution(xs):
        """`DFLoss` of ultralytics, whose targets are below the last bin."""
        low = distances.long()
        above = distances.double() - low
        entropy = lambda place: F.cross_entropy(xs, place, reduction="none")
        return entropy(low) * (1 - above) + entropy(low + 1) * above

    add("distribution", bins, distribution, 9.0, targets=distances)
    return found


if __name__ == "__main__":
    main()
