"""Segmentation in PyTorch with the recipe of a run of this toolkit, to compare accuracy and time.

    python tools/peers/segmentation.py RUN [--seed 0] [--ignore 11] [--channels-last] [--save FOLDER]

RUN is what `cargo xtask train --task segmentation` or `cargo xtask finetune --task segmentation` left: its `args.toml` has the recipe, `split.csv` the
images, `best/config.json` the network (`unet`, or `smp_unet` over MobileNetV2, which is segmentation_models.pytorch's over timm's encoder). Masks are
beside the images: `trainannot` for `train`, `label` for `image`. A mask of two numbers is one of the classes 0 and 1, `--ignore` is the number of no class.
Fresh weights are drawn as the two libraries draw them, which ours follows. Augmentation (crops that hold rare classes, mirroring), loss (cross-entropy and Dice), rates, weight decay and phases are the run's, the validation images
whole and continued to a multiple of 32 pixels. Images are decoded once and kept in memory, two loader workers augment. Prints a line per epoch and a JSON object with the best
epoch: mIoU, IoU per class, pixel accuracy, and milliseconds per update (median, waiting for the loader included). `--save` keeps the best epoch's weights, so
that `cargo xtask evaluate --weights FOLDER` can measure them.
"""

import argparse
import csv
import json
import math
import shutil
import statistics
import sys
import time
import tomllib
from pathlib import Path

import numpy as np
import segmentation_models_pytorch as smp
import timm
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).parents[1] / "goldens"))
from families.segmentation import UNet

IGNORED = 255
BATCH_NORM = (nn.BatchNorm2d,)


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("run", type=Path)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--ignore", type=int, default=IGNORED)
    options.add_argument("--channels-last", action="store_true")
    options.add_argument("--save", type=Path, help="where the best epoch's weights are written")
    options.add_argument("--epochs", type=int, help="stop after so many, to time updates alone")
    arguments = options.parse_args()
    torch.set_num_threads(2)
    torch.manual_seed(arguments.seed)
    recipe = tomllib.loads((arguments.run / "args.toml").read_text())
    config = json.loads((arguments.run / "best/config.json").read_text())
    record = config["pretrained_cfg"]
    classes = config["num_classes"]
    rows = list(csv.DictReader((arguments.run / "split.csv").open()))
    of = lambda part: [read(row["path"], arguments.ignore) for row in rows if row["part"] == part]
    train, val = of("train"), of("val")
    layout = torch.channels_last if arguments.channels_last else torch.contiguous_format
    model = network(config, recipe).to(memory_format=layout)
    crops = Crops(train, record, classes, scales(recipe, record))
    batches = torch.utils.data.DataLoader(
        crops, recipe["batch"], shuffle=True, drop_last=False, num_workers=2, persistent_workers=True, worker_init_fn=crops.begin
    )
    dice = smp.losses.DiceLoss("multiclass", ignore_index=IGNORED)
    loss_of = lambda logits, masks: F.cross_entropy(logits, masks, ignore_index=IGNORED) + dice(logits, masks)
    best = {"miou": -1.0}
    updates, number = [], 0
    start = time.perf_counter()
    for phase in phases(model, recipe):
        optimizer = torch.optim.AdamW(phase["groups"], lr=phase["lr"])
        initial = [group["lr"] for group in optimizer.param_groups]
        for epoch in range(phase["epochs"]):
            number += 1
            begin(model, phase)
            losses, before = [], time.perf_counter()
            for index, (images, masks) in enumerate(batches):
                factor = rate(epoch + index / len(batches), phase)
                for group, lr in zip(optimizer.param_groups, initial):
                    group["lr"] = factor * lr
                optimizer.zero_grad(set_to_none=True)
                loss = loss_of(model(images.to(memory_format=layout)), masks)
                loss.backward()
                optimizer.step()
                losses.append(loss.item())
                updates.append(1e3 * (time.perf_counter() - before))
                before = time.perf_counter()
            found = evaluate(model, val, record, classes, layout)
            print(f"epoch {number} loss {statistics.mean(losses):.4f} miou {found['miou']:.4f}", file=sys.stderr, flush=True)
            if found["miou"] > best["miou"]:
                best = {"epoch": number, **found}
                if arguments.save:
                    arguments.save.mkdir(parents=True, exist_ok=True)
                    shutil.copy(arguments.run / "best/config.json", arguments.save)
                    tensors = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
                    save_file(tensors, arguments.save / "model.safetensors")
            if number == arguments.epochs:
                break
        if number == arguments.epochs:
            break
    best |= {"seed": arguments.seed, "ms_per_update": statistics.median(updates), "seconds": time.perf_counter() - start}
    print(json.dumps(best))


def read(path: str, ignored: int):
    """A photo with its mask."""
    path = Path(path)
    folder = {"image": "label"}.get(path.parent.name, f"{path.parent.name}annot")
    image = np.array(Image.open(path).convert("RGB"))
    mask = np.array(Image.open(path.parent.parent / folder / path.name))
    mask[mask == ignored] = IGNORED
    if set(np.unique(mask)) == {0, 255}:
        mask = (mask > 0).astype(np.uint8)
    return image, mask


def network(config: dict, recipe: dict) -> nn.Module:
    settings = config["model_args"]
    classes = config["num_classes"]
    if config["architecture"] == "unet":
        return UNet(classes, depth=settings.get("depth", 4), width=settings.get("width", 64))
    model = smp.Unet(f"tu-{settings['backbone']}", encoder_weights=None, classes=classes)
    encoder = timm.create_model(settings["backbone"], features_only=True, **settings["backbone_args"])
    weights = load_file(next(Path(recipe["weights"]).glob("*.safetensors")))
    missing = encoder.load_state_dict(weights, strict=False).missing_keys
    assert not missing, missing
    model.encoder.model = encoder
    return model


def scales(recipe: dict, record: dict):
    if recipe["augment"] == "crop-flip":
        return (1.0, 1.0)
    assert recipe["augment"] in ("auto", "resized-crop") and max(record["input_size"][1:]) > 64
    return (0.5, 2.0)


class Crops(torch.utils.data.Dataset):
    """Parts of photos, half of them with a pixel of a class that is drawn, rare ones more often."""

    def __init__(self, samples, record, classes, scales):
        self.samples, self.scales = samples, scales
        self.size = record["input_size"][1:]
        self.mean, self.std = (np.array(record[key], np.float32) for key in ("mean", "std"))
        counts = sum(np.bincount(mask[mask != IGNORED], minlength=classes) for _, mask in samples)
        self.weights = 1 / np.maximum(counts / counts.sum(), 1e-6)
        self.rng = np.random.default_rng(torch.initial_seed() % 2**32)

    def begin(self, _worker):
        torch.utils.data.get_worker_info().dataset.rng = np.random.default_rng(torch.initial_seed() % 2**32)
        torch.set_num_threads(1)

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, index):
        image, mask = self.samples[index]
        rng = self.rng
        scale = rng.uniform(*self.scales)
        window = [max(1, round(side / scale)) for side in self.size]
        pixel = None
        if rng.random() < 0.5:
            present = np.unique(mask[mask != IGNORED])
            chances = self.weights[present] / self.weights[present].sum()
            places = np.flatnonzero(mask == rng.choice(present, p=chances))
            pixel = divmod(int(rng.choice(places)), mask.shape[1])
        first = [self.start(mask.shape[axis], window[axis], pixel and pixel[axis]) for axis in (0, 1)]
        image, mask = cut(image, first, window, 0), cut(mask, first, window, IGNORED)
        height, width = self.size
        if window != [height, width]:
            image = np.array(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))
            mask = np.array(Image.fromarray(mask).resize((width, height), Image.Resampling.NEAREST))
        if rng.random() < 0.5:
            image, mask = image[:, ::-1], mask[:, ::-1]
        image = (image.astype(np.float32) / 255 - self.mean) / self.std
        return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))), torch.from_numpy(mask.astype(np.int64))

    def start(self, side, window, pixel):
        slack = side - window
        low, high = min(slack, 0), max(slack, 0)
        if pixel is not None:
            low, high = max(low, pixel + 1 - window), min(high, pixel)
        return int(self.rng.integers(low, high + 1))


def cut(pixels, first, window, fill):
    result = np.full((*window, *pixels.shape[2:]), fill, np.uint8)
    inside = [slice(max(0, start), min(side, start + size)) for start, side, size in zip(first, pixels.shape, window)]
    target = [slice(part.start - start, part.stop - start) for part, start in zip(inside, first)]
    result[*target] = pixels[*inside]
    return result


def phases(model: nn.Module, recipe: dict) -> list[dict]:
    """Parameter groups, rates, epochs and whether statistics stay, phase by phase."""
    if "strategy" not in recipe:
        warmup, lr = recipe["warmup"], recipe["lr"]
        groups = decayed(list(model.parameters()), lr, recipe["weight_decay"])
        return [{"groups": groups, "lr": lr, "epochs": recipe["epochs"], "warmup": warmup, "trained": model, "is_frozen": False}]
    warmup = lambda epochs: min(1.0, 0.1 * epochs)
    encoder = model.encoder.model
    body = [nn.ModuleList([encoder.conv_stem, encoder.bn1]), *encoder.blocks]
    head = nn.ModuleList([model.decoder, model.segmentation_head])
    decay = recipe["weight_decay"]

    def phase(epochs, lr, with_body):
        groups = decayed(list(head.parameters()), lr, decay)
        for distance, part in enumerate(reversed(body) if with_body else []):
            groups += decayed(list(part.parameters()), lr * recipe["body_scale"] * recipe["layer_decay"] ** distance, decay)
        trained = model if with_body else head
        return {"groups": groups, "lr": lr, "epochs": epochs, "warmup": warmup(epochs), "trained": trained, "is_frozen": with_body}

    all_layers = phase(recipe["epochs"], recipe["lr"], True) | {"is_frozen": recipe["batch_norm"] == "frozen"}
    if recipe["strategy"] == "full":
        return [all_layers]
    assert recipe["strategy"] == "two-phase"
    return [phase(recipe["head_epochs"], recipe["head_lr"], False), all_layers]


def decayed(parameters, lr, decay):
    wide = [parameter for parameter in parameters if parameter.dim() > 1]
    thin = [parameter for parameter in parameters if parameter.dim() <= 1]
    return [{"params": wide, "lr": lr, "weight_decay": decay}, {"params": thin, "lr": lr, "weight_decay": 0.0}]


def begin(model: nn.Module, phase: dict):
    """Train mode for what moves."""
    model.eval()
    model.requires_grad_(False)
    phase["trained"].requires_grad_(True)
    if not phase["is_frozen"]:
        phase["trained"].train()
    else:
        for module in phase["trained"].modules():
            if not isinstance(module, BATCH_NORM):
                module.training = True


def rate(epoch: float, phase: dict) -> float:
    """Linear warm-up from a hundredth, then a cosine to 0."""
    warmup, epochs = phase["warmup"], phase["epochs"]
    if epoch < warmup:
        return 0.01 + 0.99 * epoch / warmup
    return 0.5 * (1 + math.cos(math.pi * (epoch - warmup) / (epochs - warmup)))


def evaluate(model, samples, record, classes, layout) -> dict:
    model.eval()
    mean, std = (torch.tensor(record[key]).view(1, 3, 1, 1) for key in ("mean", "std"))
    matrix = np.zeros((classes, classes), np.int64)
    for image, truth in samples:
        height, width = truth.shape
        xs = (torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255 - mean) / std
        xs = F.pad(xs, (0, -width % 32, 0, -height % 32), mode="replicate").to(memory_format=layout)
        with torch.inference_mode():
            predicted = model(xs)[0, :, :height, :width].argmax(0).numpy().astype(np.uint8)
        kept = truth != IGNORED
        matrix += np.bincount(truth[kept].astype(np.int64) * classes + predicted[kept], minlength=classes**2).reshape(classes, classes)
    hits = np.diag(matrix)
    union = matrix.sum(0) + matrix.sum(1) - hits
    iou = [hit / all if all else None for hit, all in zip(hits.tolist(), union.tolist())]
    found = {"miou": statistics.mean(value for value in iou if value is not None), "iou": iou}
    return {**found, "pixel_accuracy": float(hits.sum() / matrix.sum())}


if __name__ == "__main__":
    main()
