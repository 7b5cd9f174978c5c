"""LeNet-5 on MNIST in PyTorch, with the recipe of `cargo xtask train --model lenet5 --data mnist --epochs 5 --lr 0.05`.

    python tools/peers/lenet_mnist.py MNIST_FOLDER [EPOCHS] [SEED]

Prints the seconds of training and evaluation and the accuracy on the test images. Two threads; the images lie in memory as tensors.
"""

import gzip
import math
import sys
import time

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

torch.set_num_threads(2)
folder, epochs, seed = sys.argv[1], *map(int, (sys.argv[2:] + ["5", "0"][len(sys.argv) - 2 :])[:2])
torch.manual_seed(seed)


def images(name):
    with gzip.open(f"{folder}/{name}-images-idx3-ubyte.gz") as file:
        pixels = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 1, 28, 28)
    with gzip.open(f"{folder}/{name}-labels-idx1-ubyte.gz") as file:
        labels = np.frombuffer(file.read(), np.uint8, offset=8)
    return (torch.tensor(pixels).float() / 255 - 0.1307) / 0.3081, torch.tensor(labels).long()


class LeNet(nn.Sequential):
    def __init__(self):
        super().__init__(
            nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
        )


def accuracy(model, xs, ys):
    model.eval()
    with torch.no_grad():
        right = sum((model(x).argmax(1) == y).sum().item() for x, y in zip(xs.split(64), ys.split(64)))
    model.train()
    return right / len(ys)


xs, ys = images("train")
test_xs, test_ys = images("t10k")
order = torch.randperm(len(xs))
val, train = order[:6000], order[6000:]
model = LeNet()
groups = [{"params": [p for p in model.parameters() if p.ndim > 1], "weight_decay": 5e-4}, {"params": [p for p in model.parameters() if p.ndim <= 1], "weight_decay": 0.0}]
optimizer = torch.optim.SGD(groups, lr=0.05, momentum=0.9)
steps, warmup = len(train) // 64, 0.5
start = time.perf_counter()
for epoch in range(epochs):
    shuffled = train[torch.randperm(len(train))]
    for step in range(steps):
        at = epoch + step / steps
        factor = 0.01 + 0.99 * at / warmup if at < warmup else 0.5 * (1 + math.cos(math.pi * (at - warmup) / (epochs - warmup)))
        for group in optimizer.param_groups:
            group["lr"] = 0.05 * factor
        batch = shuffled[64 * step : 64 * (step + 1)]
        optimizer.zero_grad()
        F.cross_entropy(model(xs[batch]), ys[batch]).backward()
        optimizer.step()
    print(f"epoch {epoch + 1}: validation {accuracy(model, xs[val], ys[val]):.4f}, {time.perf_counter() - start:.1f} s", flush=True)
print(f"{time.perf_counter() - start:.1f} s, {epochs * steps * 64 / (time.perf_counter() - start):.0f} images/s, test {accuracy(model, test_xs, test_ys):.4f}")
