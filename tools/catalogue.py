"""Writes crates/cnn-models/data/weights.csv: which weights are published for the registered models, and how they want their images.

    cargo xtask models --json | python tools/catalogue.py

torchvision's weights come from the shared reference file, timm's from the installed timm, which the shared reference file is held
against where it has the weights. What neither says stays empty.
"""

import argparse
import csv
import json
import math
import sys
from pathlib import Path

import timm

ROOT = Path(__file__).parents[1]
COLUMNS = "model tag location sha256_prefix license score classes height width interpolation crop_pct mean std".split()
# torchvision's names of models that have another one here.
TORCHVISION = {
    "mobilenet_v2": "mobilenetv2_100",
    "mobilenet_v3_large": "mobilenetv3_large_100",
    "mobilenet_v3_small": "mobilenetv3_small_100",
    "mnasnet0_5": "mnasnet_050",
    "mnasnet0_75": "mnasnet_075",
    "mnasnet1_0": "mnasnet_100",
    "mnasnet1_3": "mnasnet_130",
    "efficientnet_v2_s": "efficientnetv2_s",
    "efficientnet_v2_m": "efficientnetv2_m",
    "efficientnet_v2_l": "efficientnetv2_l",
    "regnet_x_400mf": "regnetx_004_tv",
    "regnet_x_800mf": "regnetx_008",
    "regnet_x_1_6gf": "regnetx_016",
    "regnet_x_3_2gf": "regnetx_032",
    "regnet_y_400mf": "regnety_004",
    "regnet_y_800mf": "regnety_008_tv",
    "regnet_y_1_6gf": "regnety_016",
    "regnet_y_3_2gf": "regnety_032",
}
# Torchvision's networks that change their input themselves (`transform_input`): they were trained on pixels from -1 to 1.
TRANSFORMED = ("googlenet", "inception_v3")
# AP on COCO's validation images, from the table of YOLOX's README.
YOLOX = {"nano": 25.8, "tiny": 32.8, "s": 40.5, "m": 46.9}
# Weights that are no classifier of images by labels.
SKIPPED = ("dinov3", "eupe", "clip")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared", help="the folder with reference/")
    arguments = parser.parse_args()
    registered = [entry["name"] for entry in json.load(sys.stdin)]
    reference = lambda name: json.loads((arguments.shared / "reference" / name).read_text())
    of_timm = {entry["name"]: entry for entry in reference("timm_pretrained.json")}
    rows = [*of_torchvision(reference("torchvision_weights.json"), registered), *of_hub(registered, of_timm), *of_authors(registered)]
    rows.sort(key=lambda row: (registered.index(row["model"]), row["location"].startswith("hf:")))
    with open(ROOT / "crates/cnn-models/data/weights.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def of_torchvision(entries, registered):
    for entry in entries:
        model = TORCHVISION.get(entry["model"], entry["model"])
        if model not in registered:
            continue
        if "acc@1" not in entry["metrics"]:
            yield of_another_kind(model, entry)
            continue
        record = entry["preprocess"]
        (crop,) = record["crop_size"]
        (resize,) = record["resize_size"]
        yield row(
            model=model,
            tag=entry["weights"],
            location=entry["url"],
            sha256_prefix=entry["sha256_prefix"],
            license="bsd-3-clause",
            score=entry["metrics"]["acc@1"],
            classes=entry["num_classes"],
            size=(crop, crop),
            interpolation=record["interpolation"].split(".")[1].lower(),
            crop_pct=share(crop, resize),
            mean=[0.5] * 3 if model in TRANSFORMED else record["mean"],
            std=[0.5] * 3 if model in TRANSFORMED else record["std"],
        )


def of_another_kind(model, entry):
    """Weights that tell the classes of pixels or find objects; how they want their images is the model's own."""
    metrics = entry["metrics"]
    is_of_boxes = "box_map" in metrics
    return {
        "model": model,
        "tag": entry["weights"],
        "location": entry["url"],
        "sha256_prefix": entry["sha256_prefix"],
        "license": "bsd-3-clause",
        "score": metrics["box_map"] if is_of_boxes else metrics["miou"],
        # Torchvision counts the background of boxes as a class.
        "classes": entry["num_classes"] - is_of_boxes,
    }


def of_authors(registered):
    """Weights that the authors of a network publish alone, without a hash in their name."""
    for size, ap in YOLOX.items():
        if (model := f"yolox_{size}") in registered:
            location = f"https://github.com/Megvii-BaseDetection/YOLOX/releases/download/0.1.1rc0/{model}.pth"
            yield {"model": model, "tag": "coco", "location": location, "license": "apache-2.0", "score": ap, "classes": 80}


def of_hub(registered, known):
    for model in registered:
        if not timm.is_model(model):
            continue
        # The one that timm takes where no tag is named comes first.
        default = timm.get_pretrained_cfg(model)
        names = sorted(timm.list_pretrained(model), key=lambda name: default is None or name.partition(".")[2] != default.tag)
        for name in names:
            config = timm.get_pretrained_cfg(name).to_dict()
            if not config.get("hf_hub_id") or not config["num_classes"] or any(word in name for word in SKIPPED):
                continue
            check(name, config, known.get(name))
            yield row(
                model=model,
                tag=config["tag"],
                location="hf:" + config["hf_hub_id"],
                sha256_prefix="",
                license=config["license"] or "",
                score="",
                classes=config["num_classes"],
                size=config["input_size"][1:],
                interpolation=config["interpolation"],
                crop_pct=config["crop_pct"],
                mean=config["mean"],
                std=config["std"],
            )


def check(name, config, reference):
    """Holds timm's record against the reference file's."""
    for key in ["hf_hub_id", "license", "input_size", "crop_pct", "interpolation", "mean", "std", "num_classes"] if reference else ():
        ours = list(config[key]) if isinstance(config[key], tuple) else config[key]
        if ours != reference[key]:
            print(f"{name}: {key} is {ours}, {reference[key]} in the reference file", file=sys.stderr)


def row(size, mean, std, **values):
    height, width = size
    numbers = lambda values: " ".join(f"{value:g}" if round(value, 6) == value else str(value) for value in values)
    return {**values, "height": height, "width": width, "mean": numbers(mean), "std": numbers(std)}


def share(crop, resize):
    """The crop's share of the side, rounded down so far that the side comes out of it again."""
    return next(part for digits in range(2, 9) if math.floor(crop / (part := math.floor(crop / resize * 10**digits) / 10**digits)) == resize)


if __name__ == "__main__":
    main()
