"""Measures a network that this toolkit trained with the network's reference implementation and pycocotools.

    cargo xtask data DATA --export coco --out COCO
    python tools/peers/detection.py RUN/best COCO/annotations/instances_test.json COCO/test

The first argument is a folder with `config.json` and `model.safetensors`, which are loaded with `strict=True`: YOLOX into the reference of
tools/goldens/families/yolox.py; SSDLite, Faster R-CNN, RetinaNet and FCOS over any backbone into torchvision's classes over timm's networks.
Photos are read by Pillow and fitted in as the configuration says. Prints a JSON object with COCO's twelve numbers.
"""

import argparse
import contextlib
import io
import json
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from safetensors.torch import load_file
from torch.nn import functional as F
from torchvision.models import detection
from torchvision.ops import batched_nms

sys.path.insert(0, str(Path(__file__).parents[1] / "goldens"))
from families import pyramid_detectors, ssd, yolox

# The least score, the IoU and the number of detections that the networks are published with.
LIMITS = {"fasterrcnn_fpn": (0.05, 0.5, 100), "retinanet_fpn": (0.05, 0.5, 300), "fcos_fpn": (0.2, 0.6, 100)}
NUMBERS = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large", "ar1", "ar10", "ar100", "ar_small", "ar_medium", "ar_large")


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("weights", type=Path)
    options.add_argument("annotations", type=Path)
    options.add_argument("images", type=Path)
    arguments = options.parse_args()
    config = json.loads((arguments.weights / "config.json").read_text())
    model = build(config)
    model.load_state_dict(load_file(arguments.weights / "model.safetensors"), strict=True)
    model.eval()
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(arguments.annotations)
        found = [detection for image in truth.imgs.values() for detection in detect(model, config, truth, image, arguments.images)]
        evaluation = COCOeval(truth, truth.loadRes(found), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    print(json.dumps(dict(zip(NUMBERS, map(float, evaluation.stats)))))


def build(config):
    args, classes, name = config["model_args"], config["num_classes"], config["architecture"]
    if name.startswith("yolox"):
        return yolox.YOLOX(classes, args["depth"], args["width"], args["depthwise"])
    backbone = args.get("backbone", {"ssdlite": "mobilenetv2_100"}.get(name, "resnet18"))
    options = args.get("backbone_args", {})
    if name == "ssdlite":
        return ssd.ssdlite(backbone, args.get("backbone_maps", 3), args.get("min_ratio", 0.07), **options)(classes)
    return pyramid_detectors.over_timm(name, backbone, classes, args.get("fpn_channels", 256), args.get("box_features", 1024), options)


@torch.inference_mode()
def detect(model, config, truth, image, folder):
    """The detections of a photo in COCO's form."""
    photo = Image.open(folder / image["file_name"]).convert("RGB")
    xs, scales = fitted(photo, config["pretrained_cfg"])
    if isinstance(model, yolox.YOLOX):
        found = of_yolox(model, xs)
    elif isinstance(model, detection.ssd.SSD):
        [found] = ssd.detect(model, xs, 0.001, 0.55, 300)
    else:
        [found] = pyramid_detectors.detect(model, xs, *LIMITS[config["architecture"]])
    numbers = {category["name"]: category["id"] for category in truth.cats.values()}
    for edges, score, label in zip(*found):
        left, top, right, bottom = (edges / torch.tensor(scales * 2)).tolist()
        yield {
            "image_id": image["id"],
            "category_id": numbers[config["label_names"][label]],
            "bbox": [left, top, right - left, bottom - top],
            "score": score.item(),
        }


def fitted(photo, record):
    """The network's input, and how many of its pixels a pixel of the photo has along x and y."""
    _, height, width = record["input_size"]
    mean, std = (torch.tensor(record[name]).view(3, 1, 1) for name in ("mean", "std"))
    if record["crop_mode"] == "squash":
        resized = photo.resize((width, height), Image.Resampling[record["interpolation"].upper()])
        return ((pixels(resized) / 255 - mean) / std)[None], (width / photo.width, height / photo.height)
    scale = min(height / photo.height, width / photo.width)
    size = int(photo.height * scale), int(photo.width * scale)
    if record["letterbox_fill"] == "mean":
        xs = torch.zeros(1, 3, height, width)
        resized = photo.resize(size[::-1], Image.Resampling[record["interpolation"].upper()])
        xs[:, :, : size[0], : size[1]] = (pixels(resized) / 255 - mean) / std
        return xs, (scale, scale)
    # As the original code of YOLOX has it.
    xs = torch.full((1, 3, height, width), float(record["letterbox_fill"]))
    xs[:, :, : size[0], : size[1]] = F.interpolate(pixels(photo)[None], size, mode="bilinear").round()
    return xs.flip(1), (scale, scale)


def pixels(photo):
    return torch.from_numpy(np.asarray(photo).copy()).permute(2, 0, 1).float()


def of_yolox(model, xs):
    outputs = model(xs)
    boxes = yolox.decode(outputs, *xs.shape[2:])[0]
    edges = torch.cat([boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2], 1)
    scores, classes = (outputs[0, :, 5:].sigmoid() * outputs[0, :, 4:5].sigmoid()).max(1)
    some = scores >= 0.001
    edges, scores, classes = edges[some], scores[some], classes[some]
    kept = batched_nms(edges, scores, classes, 0.65)
    return edges[kept], scores[kept], classes[kept]


if __name__ == "__main__":
    main()
