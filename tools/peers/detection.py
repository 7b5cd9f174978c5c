"""Measures a network that this toolkit trained with the network's reference implementation and pycocotools.

    cargo xtask data DATA --export coco --out COCO
    python tools/peers/detection.py RUN/best COCO/annotations/instances_test.json COCO/test

The first argument is a folder with `config.json` and `model.safetensors`, which are loaded with `strict=True`: YOLOX into the reference of
tools/goldens/families/yolox.py. Photos are read by Pillow and fitted in as the configuration says. Prints a JSON object with COCO's twelve numbers.
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
from torchvision.ops import batched_nms

sys.path.insert(0, str(Path(__file__).parents[1] / "goldens"))
from families import yolox

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
    args = config["model_args"]
    return yolox.YOLOX(config["num_classes"], args["depth"], args["width"], args["depthwise"])


@torch.inference_mode()
def detect(model, config, truth, image, folder):
    """The detections of a photo in COCO's form."""
    record = config["pretrained_cfg"]
    _, height, width = record["input_size"]
    photo = torch.from_numpy(np.asarray(Image.open(folder / image["file_name"]).convert("RGB")).copy()).permute(2, 0, 1)[None].float()
    scale = min(height / photo.shape[2], width / photo.shape[3])
    size = int(photo.shape[2] * scale), int(photo.shape[3] * scale)
    xs = torch.full((1, 3, height, width), float(record["letterbox_fill"]))
    xs[:, :, : size[0], : size[1]] = F.interpolate(photo, size, mode="bilinear").round()
    outputs = model(xs.flip(1))
    boxes = yolox.decode(outputs, height, width)[0]
    edges = torch.cat([boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2], 1) / scale
    scores, classes = (outputs[0, :, 5:].sigmoid() * outputs[0, :, 4:5].sigmoid()).max(1)
    some = scores >= 0.001
    edges, scores, classes = edges[some], scores[some], classes[some]
    numbers = {category["name"]: category["id"] for category in truth.cats.values()}
    for kept in batched_nms(edges, scores, classes, 0.65):
        left, top, right, bottom = edges[kept].tolist()
        yield {
            "image_id": image["id"],
            "category_id": numbers[config["label_names"][classes[kept]]],
            "bbox": [left, top, right - left, bottom - top],
            "score": scores[kept].item(),
        }


if __name__ == "__main__":
    main()
