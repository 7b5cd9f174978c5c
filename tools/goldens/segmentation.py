"""Golden file of cnn-metrics: metrics of segmentation. See README.md."""

import json
from collections import deque
from pathlib import Path

import numpy as np
import torch
from scipy import ndimage
from segmentation_models_pytorch.metrics import f1_score, get_stats, iou_score
from skimage.measure import label
from skimage.metrics import contingency_table, variation_of_information

from formula import uniform

GOLDEN = Path(__file__).parents[2] / "crates/cnn-metrics/tests/golden/segmentation.json"
CLASSES, IGNORED, CELL = 7, 255, 6
SIZES = [(24, 31), (17, 40), (33, 20), (9, 9), (28, 26), (12, 10)]
TOLERANCES = [0.0075, 0.05]
BOOTSTRAP = {"resamples": 200, "confidence": 0.9, "seed": 7}
SECTION = {"height": 47, "width": 61, "cells": 14}
MASK64 = 2**64 - 1


def main():
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)  # of class weights
    images = [masks(image) for image in range(len(SIZES))]
    content = {
        "counted": counted(images),
        "reductions": reductions(images),
        "bootstrap": bootstrap(images),
        "boundary": [boundary_f1(images, tolerance) for tolerance in TOLERANCES],
        "section": section(),
    }
    rows = ",\n".join(f" {json.dumps(key)}: {json.dumps(value)}" for key, value in content.items())
    GOLDEN.parent.mkdir(parents=True, exist_ok=True)
    GOLDEN.write_text("{\n" + rows + "\n}\n")


def masks(image: int):
    """(prediction, target) of an image: blocks of at most image + 2 classes, the prediction moved by one pixel and noisy.

    The last image is ignored altogether; class 6 occurs nowhere, class 5 in no truth.
    """
    height, width = SIZES[image]
    name = f"segmentation.{image}."
    y, x = np.mgrid[:height, :width]
    columns = -(-width // CELL)
    blocks = np.floor(uniform(name + "blocks", -(-height // CELL) * columns) * min(image + 2, 5)).astype(np.int64)
    block = lambda rows, cols: blocks[rows // CELL * columns + cols // CELL]
    draw = lambda part: uniform(name + part, height * width).reshape(height, width)
    ignored = draw("ignored") < (1.0 if image == len(SIZES) - 1 else 0.04)
    target = np.where(ignored, IGNORED, block(y, x))
    moved = block(np.minimum(y + 1, height - 1), np.minimum(x + 1, width - 1))
    noise = np.floor(draw("class") * min(image + 2, 6)).astype(np.int64)
    return np.where(draw("noise") < 0.1, noise, moved), target


def matrix(prediction, target):
    kept = target != IGNORED
    pairs = torch.from_numpy(target[kept] * CLASSES + prediction[kept])
    return torch.bincount(pairs, minlength=CLASSES**2).reshape(CLASSES, CLASSES)


def counted(images) -> dict:
    """As torchvision's references/segmentation/utils.py, in f64."""
    confusion = sum(matrix(*image) for image in images)
    h = confusion.double()
    iou = h.diag() / (h.sum(1) + h.sum(0) - h.diag())
    return {
        "confusion": confusion.tolist(),
        "pixel_accuracy": (h.diag().sum() / h.sum()).item(),
        "accuracy": optional(h.diag() / h.sum(1)),
        "iou": optional(iou),
        "mean_iou": iou.nanmean().item(),
        "mean_accuracy": (h.diag() / h.sum(1)).nanmean().item(),
        "frequency_weighted_iou": torch.nansum(h.sum(1) / h.sum() * iou).item(),
    }


def optional(values) -> list:
    return [None if value != value else value for value in values.tolist()]


def reductions(images) -> dict:
    """Of segmentation_models_pytorch; macro over the classes that occur, which it cannot leave out itself."""
    images = images[:-1]
    stats = []
    for prediction, target in images:
        parts = get_stats(
            torch.from_numpy(prediction)[None], torch.from_numpy(target)[None],
            mode="multiclass", ignore_index=IGNORED, num_classes=CLASSES,
        )  # fmt: skip
        stats.append([part.double() for part in parts])
    whole = [torch.cat(parts) for parts in zip(*stats)]

    def occurring(parts):
        tp, fp, fn, tn = parts
        kept = (tp + fp + fn).sum(0) > 0
        return [part[:, kept] for part in parts]

    result = {}
    for name, score in (("iou", iou_score), ("f1", f1_score)):
        result[name] = {
            "micro": score(*whole, reduction="micro").item(),
            "macro": score(*occurring(whole), reduction="macro").item(),
            "micro-imagewise": score(*whole, reduction="micro-imagewise").item(),
            "weighted": weighted(score, occurring(whole)),
            "macro-imagewise": float(
                np.mean([score(*occurring(parts), reduction="macro-imagewise").item() for parts in stats])
            ),
        }
    return result


def weighted(score, parts) -> float:
    """By how many pixels have a class."""
    tp, _, fn, _ = parts
    weights = (tp + fn).sum(0).tolist()
    return score(*parts, reduction="weighted", class_weights=weights).item()


def mix(bits: int) -> int:
    bits = (bits ^ (bits >> 30)) * 0xBF58476D1CE4E5B9 & MASK64
    bits = (bits ^ (bits >> 27)) * 0x94D049BB133111EB & MASK64
    return bits ^ (bits >> 31)


def draws(seed: int, stream: int, bound: int):
    """SplitMix64, with Lemire's bounded draws."""
    gamma = 0x9E3779B97F4A7C15
    state = mix((mix(seed + gamma & MASK64) + stream + gamma) & MASK64)
    while True:
        state = state + gamma & MASK64
        product = mix(state) * bound
        if product & MASK64 >= 2**64 % bound:
            yield product >> 64


def bootstrap(images) -> dict:
    matrices = np.stack([matrix(*image).numpy() for image in images[:-1]]).astype(np.float64)
    scores = []
    for resample in range(BOOTSTRAP["resamples"]):
        stream = draws(BOOTSTRAP["seed"], resample, len(matrices))
        h = matrices[[next(stream) for _ in matrices]].sum(0)
        with np.errstate(invalid="ignore"):
            scores.append(np.diag(h) / (h.sum(1) + h.sum(0) - np.diag(h)))
    scores = np.stack(scores)
    tail = (1 - BOOTSTRAP["confidence"]) / 2
    ends = lambda values: np.quantile(values, [tail, 1 - tail]).tolist() if len(values) else None
    of_class = lambda values: ends(values[~np.isnan(values)])
    return BOOTSTRAP | {
        "mean_iou": ends(np.nanmean(scores, axis=1)),
        "iou": [of_class(scores[:, index]) for index in range(CLASSES)],
    }


def boundaries(mask, kept):
    """Where a counted pixel has a counted 4-neighbour of another class."""
    found = np.zeros(mask.shape, dtype=bool)
    for axis in (0, 1):
        first = [slice(None)] * 2
        second = [slice(None)] * 2
        first[axis], second[axis] = slice(None, -1), slice(1, None)
        first, second = tuple(first), tuple(second)
        differs = (mask[first] != mask[second]) & kept[first] & kept[second]
        found[first] |= differs
        found[second] |= differs
    return found


def boundary_f1(images, tolerance: float) -> dict:
    per_class = [[] for _ in range(CLASSES)]
    per_image = []
    for prediction, target in images:
        reach = tolerance * np.hypot(*target.shape)
        kept = target != IGNORED
        predicted, true = boundaries(prediction, kept), boundaries(target, kept)
        scores = []
        for index in range(CLASSES):
            b, t = predicted & (prediction == index), true & (target == index)
            if not b.any() and not t.any():
                continue
            score = 0.0
            if b.any() and t.any():
                precision = (ndimage.distance_transform_edt(~t)[b] < reach).mean()
                recall = (ndimage.distance_transform_edt(~b)[t] < reach).mean()
                score = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
            scores.append(score)
            per_class[index].append(score)
        if scores:
            per_image.append(np.mean(scores))
    return {
        "tolerance": tolerance,
        "mean_per_image": float(np.mean(per_image)),
        "per_class": [float(np.mean(scores)) if scores else None for scores in per_class],
    }


def membranes():
    """(prediction, target): cells are 1, membranes 0. Cells are nearest to a point; predicted membranes have gaps, are thicker, and some lie wrong."""
    height, width, cells = SECTION["height"], SECTION["width"], SECTION["cells"]
    rows = np.floor(uniform("section.rows", cells) * height).astype(np.int64)
    columns = np.floor(uniform("section.columns", cells) * width).astype(np.int64)
    y, x = np.mgrid[:height, :width]
    nearest = np.argmin((y[..., None] - rows) ** 2 + (x[..., None] - columns) ** 2, axis=-1)
    membrane = np.zeros((height, width), dtype=bool)
    membrane[:-1] |= nearest[:-1] != nearest[1:]
    membrane[:, :-1] |= nearest[:, :-1] != nearest[:, 1:]
    predicted = membrane.copy()
    predicted[1:] |= membrane[:-1]
    predicted[:, 2:] |= membrane[:, :-2]
    blocks = uniform("section.gaps", -(-height // 4) * -(-width // 4)).reshape(-1, -(-width // 4))[y // 4, x // 4]
    predicted &= blocks >= 0.12
    predicted |= blocks >= 0.97
    return (~predicted).astype(np.int64), (~membrane).astype(np.int64)


def flood(labels):
    """The watershed of Fiji's script: segments grow over 0, first come first served, until they meet."""
    height, width = labels.shape
    labels = labels.copy()
    around = lambda y, x: [
        (v, u)
        for v, u in ((y, x - 1), (y - 1, x), (y, x + 1), (y + 1, x))
        if 0 <= v < height and 0 <= u < width
    ]
    seeds = [
        (y, x)
        for x in range(width)
        for y in range(height)
        if labels[y, x] == 0 and any(labels[pixel] for pixel in around(y, x))
    ]
    queue, queued = deque(seeds), set(seeds)
    while queue:
        pixel = queue.popleft()
        found = {int(labels[other]) for other in around(*pixel)} - {0}
        if len(found) == 1:
            labels[pixel] = found.pop()
        for other in around(*pixel):
            if labels[other] == 0 and other not in queued:
                queue.append(other)
                queued.add(other)
    return labels


def section() -> dict:
    prediction, target = (label(mask, connectivity=1) for mask in membranes())
    thin = flood(prediction)
    return {
        "segments": [int(target.max()), int(prediction.max())],
        "lines": np.flatnonzero(thin == 0).tolist(),
        "thick": scores(prediction, target),
        "thin": scores(thin, target),
    }


def scores(prediction, target) -> dict:
    """Rand from scikit-image's contingency table, information from its variation of information."""
    kept = target != 0
    alone = (prediction == 0) & kept
    prediction = prediction.copy()
    prediction[alone] = prediction.max() + 1 + np.arange(alone.sum())
    target, prediction = target[kept], prediction[kept]
    table = contingency_table(target, prediction).toarray()
    joint, true, predicted = ((values**2).sum() for values in (table, table.sum(1), table.sum(0)))
    prediction_given, truth_given = variation_of_information(target, prediction)
    entropy = lambda labels: -np.sum((p := np.unique(labels, return_counts=True)[1] / labels.size) * np.log2(p))
    f = lambda split, merge: {"f_score": 2 * split * merge / (split + merge), "split": split, "merge": merge}
    return {
        "rand": f(float(joint / true), float(joint / predicted)),
        "information": f(
            float(1 - prediction_given / entropy(prediction)),
            float(1 - truth_given / entropy(target)),
        ),
    }


if __name__ == "__main__":
    main()
