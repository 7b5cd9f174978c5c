"""Golden file of cnn-metrics: metrics of object detection. See README.md."""

import contextlib
import io
import json
from pathlib import Path

import numpy as np
import tidecv
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from formula import uniform

GOLDEN = Path(__file__).parents[2] / "crates/cnn-metrics/tests/golden/detection.json"
CASES, PLAIN_CASES = 200, 24
DRAWS = 20000  # more than a case needs
SCALES = [16.0, 64.0, 256.0, 1000.0]
FACTORS = [1e-170, 1e-3, 1.0, 1e4, 3e5]
SCORES = [4.0, 20.0, 1e9 + 7]
GRID, FREE, EXTREME = 0, 1, 2
STEP = 0.125
LEAST_SCORES = [0.3, 0.6]


def main():
    cases = [case(f"detection.{index}", KINDS[index % len(KINDS)], SCORES[index % 3], index) for index in range(CASES)]
    plain = [case(f"detection.plain.{index}", FREE, SCORES[2], index) for index in range(PLAIN_CASES)]
    for images in plain:
        for truths, _ in images[1]:
            for truth in truths:
                truth.update(crowd=False, difficult=False)
    rows = [
        '"cases": ' + listed({**coco(*one), "voc": voc(*one)} for one in cases),
        '"plain": ' + listed({"confusion": confusion(*one), "errors": errors(*one), "curves": curves(*one)} for one in plain),
    ]
    GOLDEN.parent.mkdir(parents=True, exist_ok=True)
    GOLDEN.write_text("{\n" + ",\n".join(rows) + "\n}\n")


def listed(rows) -> str:
    return "[\n" + ",\n".join(f" {json.dumps(row)}" for row in rows) + "\n]"


KINDS = [GRID, GRID, GRID, FREE, FREE, EXTREME, GRID, FREE]


class Draws:
    """The uniform numbers of a name, one by one."""

    def __init__(self, name: str):
        self.values = iter(uniform(name, DRAWS).tolist())

    def uniform(self) -> float:
        return next(self.values)

    def below(self, bound: int) -> int:
        return int(self.uniform() * bound)


def case(name: str, kind: int, levels: float, index: int):
    """(classes, images): an image is its objects and its detections.

    On a grid, overlaps and scores are often equal; every third case has no object of its last class, every fifth no detection
    of its first, and every 25th one class and an image with more than 100 detections.
    """
    draws = Draws(name)
    is_full = index % 25 == 11
    classes = 1 + draws.below(5)
    if is_full:
        classes = 1
    scale = SCALES[draws.below(len(SCALES))]
    of_truths = max(classes - 1, 1) if index % 3 == 0 else classes
    images = []
    for image in range(1 + draws.below(6)):
        truths = [draw_truth(draws, kind, scale, of_truths) for _ in range(draws.below(9))]
        count = draws.below(25)
        if is_full and image == 0:
            count += 150
        detections = [draw_detection(draws, kind, scale, truths, classes, levels) for _ in range(count)]
        if index % 5 == 1 and not is_full:
            detections = [one for one in detections if one["class"] > 0]
        images.append((truths, detections))
    return classes, images


def draw_box(draws: Draws, kind: int, scale: float) -> list[float]:
    x, y, width, height = (draws.uniform() for _ in range(4))
    if kind == GRID:
        x, y = int(x * 8) * STEP, int(y * 8) * STEP
        width, height = (1 + int(width * 6)) * STEP, (1 + int(height * 6)) * STEP
    if kind == EXTREME:
        width, height = width * FACTORS[draws.below(5)], height * FACTORS[draws.below(5)]
    return [x * scale, y * scale, width * scale, height * scale]


def draw_truth(draws: Draws, kind: int, scale: float, classes: int) -> dict:
    box = draw_box(draws, kind, scale)
    category = draws.below(classes)
    way, share = draws.uniform(), draws.uniform()
    area = box[2] * box[3]
    if way > 0.9:
        area = 1024.0
    elif way > 0.8:
        area = 9216.0
    elif way > 0.6:
        area *= share
    crowd, difficult = draws.uniform() < 0.12, draws.uniform() < 0.1
    return {"box": box, "class": category, "area": area, "crowd": crowd, "difficult": difficult}


def draw_detection(draws: Draws, kind: int, scale: float, truths: list, classes: int, levels: float) -> dict:
    """Near an object or anywhere."""
    score = int(draws.uniform() * levels) / levels
    category = draws.below(classes)
    if not truths or draws.uniform() > 0.65:
        return {"box": draw_box(draws, kind, scale), "class": category, "score": score}
    truth = truths[draws.below(len(truths))]
    if draws.uniform() < 0.8:
        category = truth["class"]
    box = list(truth["box"])
    if draws.uniform() > 0.3:
        for part in range(4):
            shift = draws.uniform()
            if kind == GRID:
                box[part] += (int(shift * 3) - 1) * STEP * scale
            else:
                box[part] += (shift - 0.5) * 0.4 * truth["box"][2 + part % 2]
        box[2], box[3] = max(box[2], 0.0), max(box[3], 0.0)
    return {"box": box, "class": category, "score": score}


def evaluation(classes: int, images: list) -> COCOeval:
    truths, detections = [], []
    for image, (objects, found) in enumerate(images, 1):
        for one in objects:
            truths.append({
                "id": len(truths) + 1, "image_id": image, "category_id": one["class"] + 1, "bbox": one["box"],
                "area": one["area"], "iscrowd": int(one["crowd"]), "ignore": int(one["difficult"]),
            })  # fmt: skip
        for one in found:
            detections.append({
                "id": len(detections) + 1, "image_id": image, "category_id": one["class"] + 1, "bbox": one["box"],
                "area": one["box"][2] * one["box"][3], "score": one["score"],
            })  # fmt: skip
    return COCOeval(dataset(classes, images, truths), dataset(classes, images, detections), "bbox")


def dataset(classes: int, images: list, annotations: list) -> COCO:
    """As `loadRes` makes one, which wants at least one detection."""
    coco = COCO()
    coco.dataset = {
        "images": [{"id": image + 1} for image in range(len(images))],
        "categories": [{"id": category + 1} for category in range(classes)],
        "annotations": annotations,
    }
    coco.createIndex()
    return coco


def defined(values) -> float | None:
    values = np.asarray(values)
    return float(values[values > -1].mean()) if (values > -1).any() else None


def quiet(function, *args):
    with contextlib.redirect_stdout(io.StringIO()), np.errstate(all="ignore"):
        return function(*args)


def coco(classes: int, images: list) -> dict:
    result = quiet(evaluation, classes, images)
    for step in (result.evaluate, result.accumulate, result.summarize):
        quiet(step)
    precision = result.eval["precision"][:, :, :, 0, 2]
    objects = [0] * classes
    for index, one in enumerate(result.evalImgs):
        if one is not None and one["aRng"] == result.params.areaRng[0]:
            objects[one["category_id"] - 1] += int(np.count_nonzero(np.asarray(one["gtIgnore"]) == 0))
    return {
        "summary": [None if value < 0 else value for value in result.stats.tolist()],
        "per_class": [[objects[k], defined(precision[:, :, k]), defined(precision[0, :, k])] for k in range(classes)],
    }


def overlap(truth: dict, box: list[float]) -> float:
    (x, y, w, h), (gx, gy, gw, gh) = box, truth["box"]
    width = min(x + w, gx + gw) - max(x, gx)
    height = min(y + h, gy + gh) - max(y, gy)
    if width <= 0 or height <= 0:
        return 0.0
    whole = w * h if truth["crowd"] else w * h + gw * gh - width * height
    return width * height / whole if whole > 0 else float("nan")


def voc(classes: int, images: list) -> list:
    """[AP of 2007, AP of 2010] of each class, as VOCevaldet.m, without its additional pixel."""
    return [voc_class(category, images) for category in range(classes)]


def voc_class(category: int, images: list) -> list:
    npos, entries, taken = 0, [], set()
    for image, (truths, detections) in enumerate(images):
        npos += sum(one["class"] == category and not (one["difficult"] or one["crowd"]) for one in truths)
        entries += [(one["score"], image, one["box"]) for one in detections if one["class"] == category]
    if npos == 0:
        return [None, None]
    tp, fp = [], []
    for _, image, box in sorted(entries, key=lambda entry: -entry[0]):
        best, found = -np.inf, None
        for place, truth in enumerate(images[image][0]):
            if truth["class"] == category and overlap(truth, box) > best:
                best, found = overlap(truth, box), place
        right = wrong = 0
        if best >= 0.5:
            truth = images[image][0][found]
            if not (truth["difficult"] or truth["crowd"]):
                right = int((image, found) not in taken)
                wrong = 1 - right
                taken.add((image, found))
        else:
            wrong = 1
        tp.append(right)
        fp.append(wrong)
    tp, fp = np.cumsum(tp), np.cumsum(fp)
    recall, precision = tp / npos, tp / np.maximum(tp + fp, 1)
    eleven = sum(max(precision[recall >= t], default=0.0) for t in np.arange(11) / 10) / 11
    mrec, mpre = np.concatenate([[0], recall, [1]]), np.concatenate([[0], precision, [0]])
    mpre = np.maximum.accumulate(mpre[::-1])[::-1]
    steps = np.flatnonzero(mrec[1:] != mrec[:-1]) + 1
    return [float(eleven), float(np.sum((mrec[steps] - mrec[steps - 1]) * mpre[steps]))]


def confusion(classes: int, images: list) -> list:
    """As the confusion matrix of ultralytics, rows and columns exchanged; of equal overlaps that with the higher score."""
    matrix = np.zeros((classes + 1, classes + 1), dtype=int)
    for truths, detections in images:
        detections = by_score([one for one in detections if one["score"] > 0.25])
        iou = np.array([[overlap(truth, one["box"]) for one in detections] for truth in truths])
        iou = iou.reshape(len(truths), len(detections))
        pairs = np.argwhere(iou > 0.45)
        for side in (1, 0):
            pairs = pairs[np.lexsort((pairs[:, 1], -iou[pairs[:, 0], pairs[:, 1]]))]
            pairs = pairs[np.unique(pairs[:, side], return_index=True)[1]]
        of_truth, of_detection = dict(pairs.tolist()), {detection for _, detection in pairs.tolist()}
        for place, truth in enumerate(truths):
            found = of_truth.get(place)
            matrix[truth["class"], classes if found is None else detections[found]["class"]] += 1
        for place, one in enumerate(detections):
            matrix[classes, one["class"]] += place not in of_detection
    return matrix.tolist()


def by_score(detections: list) -> list:
    return sorted(detections, key=lambda one: -one["score"])


def errors(classes: int, images: list) -> dict:
    """tidecv's kinds and repairs; average precision and the number of detections as COCO's."""
    truth, found = tidecv.Data("truth", max_dets=10**6), tidecv.Data("found")
    for image, (truths, detections) in enumerate(images):
        truth.add_image(image, str(image))
        for one in truths:
            truth.add_ground_truth(image, one["class"], one["box"])
        for category in range(classes):
            for one in by_score([one for one in detections if one["class"] == category])[:100]:
                found.add_detection(image, category, one["score"], one["box"])
    run = tidecv.TIDE().evaluate(truth, found, mode=tidecv.TIDE.BOX)
    kinds = ["classification", "location", "both", "duplicate", "background", "missed"]
    ap, result = mean_ap(run.ap_data), {}
    for name, kind in zip(kinds, tidecv.TIDE._error_types):
        fixed = mean_ap(run.fix_errors(lambda error: isinstance(error, kind)))
        gain = None if ap is None or fixed is None else max(fixed - ap, 0.0)
        result[name] = [len(run.error_dict[kind]), gain]
    return {"ap": ap, **result}


def mean_ap(data) -> float | None:
    """Over classes with an object, at numpy's recalls."""
    aps = []
    for one in data.objs.values():
        if one.num_gt_positives > 0:
            points = sorted(one.data_points.values(), key=lambda point: -point[0])
            tp = np.cumsum([bool(point[1]) for point in points])
            precision = np.maximum.accumulate((tp / np.arange(1, len(tp) + 1))[::-1])[::-1]
            places = np.searchsorted(tp / one.num_gt_positives, np.linspace(0, 1, 101))
            aps.append(np.append(precision, 0.0)[places].mean() if points else 0.0)
    return float(np.mean(aps)) if aps else None


def curves(classes: int, images: list) -> dict:
    """Precision, recall and F1 for scores from `LEAST_SCORES` on, and the best F1, from pycocotools' matches at 0.5."""
    result = quiet(evaluation, classes, images)
    result.params.maxDets, result.params.areaRng, result.params.iouThrs = [10**6], [[0, 1e300]], np.array([0.5])
    quiet(result.evaluate)
    objects, scores, right = [0] * classes, [[] for _ in range(classes)], [[] for _ in range(classes)]
    for one in filter(None, result.evalImgs):
        category = one["category_id"] - 1
        objects[category] += len(one["gtIds"])
        scores[category] += one["dtScores"]
        right[category] += (one["dtMatches"][0] > 0).tolist()

    def point(categories, least):
        kept = [hit for k in categories for hit, score in zip(right[k], scores[k]) if score >= least]
        total = sum(objects[k] for k in categories)
        return [sum(kept) / max(len(kept), 1), sum(kept) / total, 2 * sum(kept) / (len(kept) + total)]

    def curve(categories):
        levels = [score for k in categories for score in scores[k]]
        if not any(objects[k] for k in categories) or not levels:
            return None
        best = max(levels, key=lambda level: (point(categories, level)[2], level))
        return {"best": [best, *point(categories, best)], "at": [point(categories, least) for least in LEAST_SCORES]}

    counted = [k for k in range(classes) if objects[k]]
    mean = lambda level: float(np.mean([point([k], level)[2] for k in counted]))
    levels = [score for k in counted for score in scores[k]]
    best = max(levels, key=lambda level: (round(mean(level), 12), level)) if levels else None
    return {
        "overall": curve(range(classes)),
        "per_class": [curve([k]) for k in range(classes)],
        "best_mean_f1": None if best is None else [best, mean(best)],
    }


if __name__ == "__main__":
    main()
