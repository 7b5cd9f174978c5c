"""DANN with MobileNetV2 from one half of the flowers to the other: this program beside PyTorch, in turn, as whole commands.

    python bench/peers/adaptation.py [--rounds 3] [--epochs 2] [--updates 30] [--photos 480]

Both learn from the source alone, then with the discriminator beside it, from the same published weights: batches of 32 photos of each
domain at 224 pixels, a bottleneck of 256 features, SGD.
Two processes prepare PyTorch's images beside its two threads. After every epoch both ask the network about the source's validation photos and
the target's. This program also chooses the epoch, measures how far the domains lie apart and writes its report. `pip install torch
torchvision timm pillow`, and `cargo build --locked --package xtask` before.
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
WEIGHTS = ROOT / "../shared/hub/mobilenetv2_100.tf_in1k"
DATA = ROOT / "../shared/data/flowers"
BATCH = 32
FEATURES = 256
HIDDEN = 1024


def domains(folder: Path, photos: int) -> None:
    """Links to the photos: two thirds of the even ones to learn from, the others to validate on; the odd ones are the target."""
    for kind in sorted(path for path in DATA.iterdir() if path.is_dir()):
        files = sorted(kind.iterdir())[: photos // 5]
        for number, file in enumerate(files):
            part = "target" if number % 2 else "source/val" if number % 6 == 4 else "source/train"
            place = folder / part / kind.name
            place.mkdir(parents=True, exist_ok=True)
            (place / file.name).symlink_to(file.resolve())


def peer(folder: Path, epochs: int, updates: int) -> dict:
    """The same in PyTorch, in a process of its own."""
    import timm
    import torch
    import torchvision.transforms as transforms
    from safetensors.torch import load_file
    from torch import nn
    from torch.utils.data import DataLoader
    from torchvision.datasets import ImageFolder

    torch.set_num_threads(2)
    begun = time.perf_counter()
    to_tensor = transforms.Compose(
        [transforms.Resize(256, transforms.InterpolationMode.BICUBIC), transforms.CenterCrop(224), transforms.ToTensor(), transforms.Normalize([0.5] * 3, [0.5] * 3)]
    )
    images = {part: ImageFolder(str(folder / part), to_tensor) for part in ("source/train", "source/val", "target")}

    class Reversed(torch.autograd.Function):
        @staticmethod
        def forward(ctx, features, share):
            ctx.share = share
            return features.view_as(features)

        @staticmethod
        def backward(ctx, gradient):
            return -ctx.share * gradient, None

    def forever(part: str):
        loader = DataLoader(images[part], BATCH, shuffle=True, drop_last=True, num_workers=1, persistent_workers=True)
        while True:
            yield from loader

    @torch.no_grad()
    def right(network: nn.Module, part: str) -> float:
        network.eval()
        counts = [(network(batch).argmax(1) == labels).sum().item() for batch, labels in DataLoader(images[part], BATCH, num_workers=2)]
        return sum(counts) / len(images[part])

    def run(adversarial: bool) -> list[float]:
        torch.manual_seed(0)
        backbone = timm.create_model("mobilenetv2_100", num_classes=0, pad_type="same", bn_eps=1e-3)
        state = load_file(WEIGHTS / "model.safetensors")
        backbone.load_state_dict({name: value for name, value in state.items() if not name.startswith("classifier")})
        bottleneck = nn.Sequential(nn.Linear(1280, FEATURES), nn.BatchNorm1d(FEATURES), nn.ReLU())
        head = nn.Linear(FEATURES, 5)
        layer = lambda inputs: [nn.Linear(inputs, HIDDEN), nn.BatchNorm1d(HIDDEN), nn.ReLU()]  # noqa: E731
        discriminator = nn.Sequential(*layer(FEATURES), *layer(HIDDEN), nn.Linear(HIDDEN, 1))
        network = nn.Sequential(backbone, bottleneck, head).to(memory_format=torch.channels_last)
        groups = [{"params": backbone.parameters(), "lr": 1e-3}, {"params": [*bottleneck.parameters(), *head.parameters(), *discriminator.parameters()]}]
        optimizer = torch.optim.SGD(groups, lr=1e-2, momentum=0.9, weight_decay=1e-3, nesterov=True)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * updates)
        sources, targets = forever("source/train"), forever("target")
        for epoch in range(epochs):
            network.train()
            for update in range(updates):
                source, labels = next(sources)
                target = next(targets)[0] if adversarial else None
                both = torch.cat([source, target]) if adversarial else source
                features = bottleneck(backbone(both.to(memory_format=torch.channels_last)))
                loss = nn.functional.cross_entropy(head(features[:BATCH]), labels)
                if adversarial:
                    progress = (epoch * updates + update) / (epochs * updates)
                    share = 2 / (1 + 2.718281828 ** (-10 * progress)) - 1
                    domain = torch.cat([torch.ones(BATCH), torch.zeros(BATCH)])
                    loss = loss + nn.functional.binary_cross_entropy_with_logits(discriminator(Reversed.apply(features, share)).squeeze(1), domain)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
            accuracies = [right(network, "source/val"), right(network, "target")]
        return accuracies

    found = {"source-only": run(False), "dann": run(True)}
    return {**found, "seconds": time.perf_counter() - begun}


def ours(folder: Path, epochs: int, updates: int) -> dict:
    out = folder / f"out{random.randrange(1 << 30)}"
    command = [ROOT / "target/debug/cnn", "adapt", "--source", folder / "source", "--target", folder / "target", "--weights", WEIGHTS]
    command += ["--method", "dann", "--no-oracle", "--epochs", epochs, "--updates", updates, "--batch", BATCH, "--threads", "2", "--out", out, "--json"]
    begun = time.perf_counter()
    run = subprocess.run([str(part) for part in command], check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    seconds = time.perf_counter() - begun
    summary = json.loads(run.stdout)

    last = {outcome["method"]: outcome["runs"][0]["epochs"][-1] for outcome in summary["methods"]}
    right = {method: [epoch["metrics"]["source_top1"], epoch["target_top1"]] for method, epoch in last.items()}
    return {**right, "seconds": seconds}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--epochs", type=int, default=2)
    options.add_argument("--updates", type=int, default=30)
    options.add_argument("--photos", type=int, default=480)
    options.add_argument("--peer", type=Path, help=argparse.SUPPRESS)
    arguments = options.parse_args()
    work = arguments.epochs, arguments.updates
    if arguments.peer:
        print(json.dumps(peer(arguments.peer, *work)))
        return
    found = {"ours": [], "PyTorch": []}
    with tempfile.TemporaryDirectory() as folder:
        domains(Path(folder), arguments.photos)
        for _ in range(arguments.rounds):
            found["ours"].append(ours(Path(folder), *work))
            command = [sys.executable, __file__, "--peer", folder, "--epochs", str(work[0]), "--updates", str(work[1])]
            run = subprocess.run(command, check=True, stdout=subprocess.PIPE, env={**os.environ, "OMP_NUM_THREADS": "2"})
            found["PyTorch"].append(json.loads(run.stdout))
    for name, runs in found.items():
        last = ", ".join(f"{method} {runs[-1][method][0]:.3f} and {runs[-1][method][1]:.3f}" for method in ("source-only", "dann"))
        print(f"{name:8} {statistics.median(run['seconds'] for run in runs):6.1f} s; right of the source and the target: {last}")
    ratios = [peer["seconds"] / own["seconds"] for own, peer in zip(found["ours"], found["PyTorch"])]
    print(f"PyTorch's time by ours: {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")


if __name__ == "__main__":
    main()
