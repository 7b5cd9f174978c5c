"""Fine-tuning in PyTorch with the recipe of `cargo xtask finetune --strategy two-phase`, to compare time and accuracy.

    python tools/peers/finetune.py WEIGHTS_FOLDER DATA_FOLDER [--size 224] [--seed 0] [--epochs 5] [--channels-last]

The network is timm's (`architecture` of WEIGHTS_FOLDER/config.json). Phase one trains the head on features that are computed once; phase two trains
all layers with rates that fall towards the input and batch-norm statistics that stay. DATA_FOLDER has `train` and `val`, or class folders of which a tenth
is held out. Two threads, two loader workers, decoded images kept in memory as ours are. Prints validation accuracy and seconds per epoch, and the seconds in all, start-up of Python not counted
(run it under `time` for that).
"""

import argparse
import json
import time
from pathlib import Path

start = time.perf_counter()
import timm
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F
from torchvision import transforms as T

arguments = argparse.ArgumentParser()
arguments.add_argument("weights", type=Path)
arguments.add_argument("data", type=Path)
arguments.add_argument("--size", type=int, default=224)
arguments.add_argument("--seed", type=int, default=0)
arguments.add_argument("--epochs", type=int, default=5)
arguments.add_argument("--channels-last", action="store_true")
arguments = arguments.parse_args()
torch.set_num_threads(2)
torch.manual_seed(arguments.seed)
FORMAT = torch.channels_last if arguments.channels_last else torch.contiguous_format
BATCH, HEAD_EPOCHS, HEAD_LR, LR, BODY, DECAY = 32, 10, 2e-3, 5e-4, 0.1, 0.8

config = json.loads((arguments.weights / "config.json").read_text())
cfg = config.get("pretrained_cfg", config)
mean, std = cfg["mean"], cfg["std"]
interpolation = getattr(T.InterpolationMode, cfg.get("interpolation", "bicubic").upper())
resized = int(arguments.size / cfg.get("crop_pct", 0.875))
normalise = [T.ToTensor(), T.Normalize(mean, std)]
still = T.Compose([T.Resize(resized, interpolation), T.CenterCrop(arguments.size), *normalise])
moving = T.Compose([T.RandomResizedCrop(arguments.size, (0.35, 1), interpolation=T.InterpolationMode.BILINEAR), T.RandomHorizontalFlip(), *normalise])


class Photos(torch.utils.data.Dataset):
    """Decoded photos in memory."""

    def __init__(self, samples):
        self.samples = [(Image.open(path).convert("RGB"), label) for path, label in samples]
        self.transform = still

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, index):
        image, label = self.samples[index]
        return self.transform(image), label


def listed(folder):
    classes = sorted(path.name for path in folder.iterdir() if path.is_dir())
    files = lambda name: sorted(path for path in (folder / name).iterdir() if path.suffix.lower() in {".jpg", ".jpeg", ".png"})
    return classes, [(path, label) for label, name in enumerate(classes) for path in files(name)]


if (arguments.data / "train").is_dir():
    (classes, train), (_, val) = listed(arguments.data / "train"), listed(arguments.data / "val")
else:
    classes, samples = listed(arguments.data)
    order = torch.randperm(len(samples)).tolist()
    held = set(order[: len(samples) // 10])
    train = [sample for index, sample in enumerate(samples) if index not in held]
    val = [samples[index] for index in sorted(held)]
train, val = Photos(train), Photos(val)

model = timm.create_model(config["architecture"], num_classes=len(classes), **config.get("model_args", {}))
tensors = {name: tensor for name, tensor in load_file(arguments.weights / "model.safetensors").items() if not name.startswith("classifier")}
model.load_state_dict(tensors, strict=False)
model = model.to(memory_format=FORMAT).eval()  # Statistics stay in both phases; these networks have no dropout to miss.


def loader(photos, shuffle=False):
    return torch.utils.data.DataLoader(photos, BATCH, shuffle=shuffle, drop_last=shuffle, num_workers=2)


@torch.no_grad()
def accuracy(model, batches):
    pairs = [(model(xs).argmax(1) == ys).sum().item() for xs, ys in batches]
    return sum(pairs) / len(val)


def schedule(optimizer, epochs, steps):
    warmup = min(0.1 * epochs, 1)
    factor = lambda at: 0.01 + 0.99 * at / warmup if at < warmup else 0.5 * (1 + torch.cos(torch.tensor(torch.pi * (at - warmup) / (epochs - warmup))).item())
    return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: factor(step / steps))


@torch.no_grad()
def features(photos):
    pairs = [(model.forward_head(model.forward_features(xs.to(memory_format=FORMAT)), pre_logits=True), ys) for xs, ys in loader(photos)]
    return torch.cat([xs for xs, _ in pairs]), torch.cat([ys for _, ys in pairs])


begin = time.perf_counter()
(xs, ys), (val_xs, val_ys) = features(train), features(val)
print(f"features of {len(train) + len(val)} images: {time.perf_counter() - begin:.1f} s", flush=True)
head = model.get_classifier()
head.reset_parameters()  # timm starts it between ±0.7, from which these steps do not get away.
optimizer = torch.optim.AdamW(head.parameters(), HEAD_LR, weight_decay=0.01)
steps = len(train) // BATCH
scheduler = schedule(optimizer, HEAD_EPOCHS, steps)
for epoch in range(HEAD_EPOCHS):
    order = torch.randperm(len(train))
    for step in range(steps):
        batch = order[BATCH * step : BATCH * (step + 1)]
        optimizer.zero_grad()
        F.cross_entropy(head(xs[batch]), ys[batch], label_smoothing=0.1).backward()
        optimizer.step()
        scheduler.step()
print(f"head: validation {accuracy(head, [(val_xs, val_ys)]):.4f}", flush=True)

# From the head down: the layers above the stages, the stages, the stem.
stages = [model.conv_head, model.bn2] if hasattr(model, "conv_head") else []
groups = [[head], [m for m in stages if isinstance(m, nn.Module)], *[[block] for block in reversed(model.blocks)], [model.conv_stem, model.bn1]]
rates = [LR] + [LR * BODY * DECAY**depth for depth in range(len(groups) - 1)]
parameters = []
for modules, rate in zip(groups, rates):
    of_group = [p for module in modules for p in module.parameters()]
    parameters += [{"params": [p for p in of_group if p.ndim > 1], "lr": rate}, {"params": [p for p in of_group if p.ndim <= 1], "lr": rate, "weight_decay": 0.0}]
optimizer = torch.optim.AdamW([group for group in parameters if group["params"]], weight_decay=0.01)
scheduler = schedule(optimizer, arguments.epochs, steps)
train.transform = moving
for epoch in range(arguments.epochs):
    begin = time.perf_counter()
    for images, labels in loader(train, shuffle=True):
        optimizer.zero_grad()
        F.cross_entropy(model(images.to(memory_format=FORMAT)), labels, label_smoothing=0.1).backward()
        optimizer.step()
        scheduler.step()
    trained = time.perf_counter() - begin
    share = accuracy(model, ((images.to(memory_format=FORMAT), labels) for images, labels in loader(val)))
    print(f"epoch {epoch + 1}: validation {share:.4f}, {time.perf_counter() - begin:.1f} s ({steps * BATCH / trained:.0f} training images/s)", flush=True)
print(f"{time.perf_counter() - start:.1f} s in all")
