"""Golden files of cnn-train: losses, optimisers' trajectories, schedules. See README.md."""

import json
import math
from pathlib import Path

import torch
import torch.nn.functional as F
from torch.optim import lr_scheduler as schedulers

from formula import values

GOLDEN = Path(__file__).parents[2] / "crates/cnn-train/tests/golden"
STEPS = 20
SAVED = (1, 2, 10, 20)
BASE_LR = 0.05

OPTIMIZERS = {
    "sgd": (torch.optim.SGD, {"momentum": 0.0}),
    "sgd momentum": (torch.optim.SGD, {"momentum": 0.9}),
    "sgd nesterov": (torch.optim.SGD, {"momentum": 0.8, "nesterov": True}),
    "adam": (torch.optim.Adam, {"betas": (0.9, 0.999), "eps": 1e-8}),
    "adam short": (torch.optim.Adam, {"betas": (0.4, 0.9), "eps": 1e-3}),
    "adamw": (torch.optim.AdamW, {"betas": (0.9, 0.999), "eps": 1e-8}),
    "rmsprop": (torch.optim.RMSprop, {"alpha": 0.99, "eps": 1e-8}),
    "rmsprop momentum": (torch.optim.RMSprop, {"alpha": 0.9, "eps": 1e-6, "momentum": 0.7}),
    "rmsprop centered": (torch.optim.RMSprop, {"alpha": 0.95, "eps": 1e-4, "centered": True}),
    "rmsprop all": (torch.optim.RMSprop, {"alpha": 0.4, "eps": 1e-3, "momentum": 0.9, "centered": True}),
}


def main():
    torch.set_num_threads(1)
    write("losses", losses())
    write("optimizers", optimizers())
    write("schedules", schedules())


def write(name: str, content):
    rows = ",\n".join(f" {json.dumps(key)}: {json.dumps(value)}" for key, value in content.items())
    (GOLDEN / f"{name}.json").write_text("{\n" + rows + "\n}\n")


def tensor(name: str, shape) -> torch.Tensor:
    return torch.tensor(values(name, shape), dtype=torch.float64)


def losses() -> dict:
    """Cases by name: inputs, options, loss and gradient in f64."""
    logits = 3 * tensor("logits", (5, 4))
    soft = torch.softmax(2 * tensor("soft", (5, 4)), 1)
    labels = torch.tensor([3, 0, 2, 2, 1])
    weights = torch.tensor([0.5, 2.0, 0.0, 1.25], dtype=torch.float64)
    far = torch.tensor([[1e4, -1e4, 0.0], [-1e4, -1e4, -1e4], [1e4, 1e4, 9999.0]], dtype=torch.float64)
    binary = torch.cat([4 * tensor("binary", (3, 4)), torch.tensor([[0.0, 1e4, -1e4, 60.0]], dtype=torch.float64)])
    share = (tensor("share", (4, 4)) + 1) / 2
    positive = torch.tensor([0.5, 3.0, 1.0, 7.0], dtype=torch.float64)
    rows = {
        "classes": ("cross_entropy", logits, {"labels": labels}),
        "classes, smoothed": ("cross_entropy", logits, {"labels": labels, "label_smoothing": 0.1}),
        "classes, weighted": ("cross_entropy", logits, {"labels": labels, "weight": weights}),
        "classes, all": ("cross_entropy", logits, {"labels": labels, "weight": weights, "label_smoothing": 0.3}),
        "soft": ("cross_entropy", logits, {"soft": soft}),
        "soft, all": ("cross_entropy", logits, {"soft": soft, "weight": weights, "label_smoothing": 0.2}),
        "far": ("cross_entropy", far, {"labels": torch.tensor([1, 2, 0])}),
        "far, smoothed": ("cross_entropy", far, {"labels": torch.tensor([0, 1, 2]), "label_smoothing": 0.1}),
        "binary": ("binary", binary, {"targets": share}),
        "binary, weighted": ("binary", binary, {"targets": share, "pos_weight": positive}),
        "binary, hard": ("binary", binary, {"targets": share.round(), "pos_weight": positive}),
        "squares": ("mse", tensor("xs", (2, 3, 5)), {"targets": tensor("ys", (2, 3, 5))}),
    }
    return {name: loss_case(*row) for name, row in rows.items()}


def loss_case(kind: str, inputs, options: dict) -> dict:
    inputs = inputs.clone().requires_grad_()
    if kind == "cross_entropy":
        targets = options.get("labels", options.get("soft"))
        smoothing = options.get("label_smoothing", 0.0)
        loss = F.cross_entropy(inputs, targets, options.get("weight"), label_smoothing=smoothing)
    elif kind == "binary":
        loss = F.binary_cross_entropy_with_logits(inputs, options["targets"], pos_weight=options.get("pos_weight"))
    else:
        loss = F.mse_loss(inputs, options["targets"])
    loss.backward()
    plain = {key: value.flatten().tolist() if isinstance(value, torch.Tensor) else value for key, value in options.items()}
    return {
        "kind": kind,
        "shape": list(inputs.shape),
        "inputs": inputs.detach().flatten().tolist(),
        **plain,
        "loss": loss.item(),
        "grad": inputs.grad.flatten().tolist(),
    }


def optimizers() -> dict:
    """All parameters' values after the updates `SAVED`, by rule and element type."""
    cases = {}
    for name, (rule, options) in OPTIMIZERS.items():
        for decay in (0.0, 0.1):
            dtypes = {"f32": torch.float32, "f64": torch.float64}
            cases[f"{name}, decay {decay}"] = {key: trajectory(rule, options, decay, dtype) for key, dtype in dtypes.items()}
    return cases


def trajectory(rule, options: dict, decay: float, dtype) -> list:
    first, second = start("first", 12, dtype).reshape(3, 4), start("second", 5, dtype)
    parameters = [torch.nn.Parameter(first), torch.nn.Parameter(second)]
    groups = [{"params": parameters[:1], "weight_decay": decay}, {"params": parameters[1:], "weight_decay": 0.0}]
    optimizer = rule(groups, lr=BASE_LR, foreach=False, **options)
    saved = []
    for step in range(STEPS):
        lr = BASE_LR * (1 + 0.5 * math.cos(0.4 * step))
        for scale, group in zip((1.0, 0.3), optimizer.param_groups, strict=True):
            group["lr"] = lr * scale
        for parameter in parameters:
            parameter.grad = gradient(parameter.detach(), step)
        # The second parameter sits out one update.
        if step == 4:
            parameters[1].grad = None
        optimizer.step()
        if step + 1 in SAVED:
            flat = [value for parameter in parameters for value in parameter.detach().flatten().tolist()]
            saved.append([float(f"{value:.9g}") for value in flat] if dtype == torch.float32 else flat)
    return saved


def start(name: str, count: int, dtype) -> torch.Tensor:
    offset = {"first": 1.0, "second": 2.0}[name]
    return torch.tensor([math.sin(offset + i) for i in range(count)], dtype=torch.float64).to(dtype)


def gradient(parameter, step: int):
    """Of a quadratic with a sine on top, which moves from update to update; in f64 from the parameter as it is."""
    flat = parameter.double().flatten()
    index = torch.arange(len(flat), dtype=torch.float64)
    flat = (0.5 + 0.25 * torch.cos(index)) * (flat - torch.cos(2 * index)) + 0.2 * torch.sin(3 * flat + step)
    return flat.reshape(parameter.shape).to(parameter.dtype)


def schedules() -> dict:
    """Rates before each of 40 updates, base rate 0.05, one scheduler step per update; momentum where the schedule has one."""
    total = 40
    make = schedulers
    after_warmup = lambda o: make.SequentialLR(
        o, [make.LinearLR(o, 0.01, total_iters=8), make.CosineAnnealingLR(o, total - 8)], [8]
    )
    rows = {
        "step": lambda o: make.StepLR(o, 7, 0.3),
        "multi-step": lambda o: make.MultiStepLR(o, [5, 11, 30], 0.5),
        "exponential": lambda o: make.ExponentialLR(o, 0.93),
        "polynomial": lambda o: make.PolynomialLR(o, total, 2.0),
        "poly": lambda o: make.PolynomialLR(o, total, 0.9),
        "cosine": lambda o: make.CosineAnnealingLR(o, total),
        "cosine to 0.1": lambda o: make.CosineAnnealingLR(o, total, 0.1 * BASE_LR),
        "one-cycle": lambda o: make.OneCycleLR(o, BASE_LR, total),
        "cyclical": lambda o: make.CyclicLR(o, 0.25 * BASE_LR, BASE_LR, 6),
        "warm-up, cosine": after_warmup,
    }
    cases = {}
    for name, scheduler in rows.items():
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=BASE_LR, momentum=0.5)
        scheduler = scheduler(optimizer)
        case = {"lr": [], "momentum": []}
        for _ in range(total):
            case["lr"].append(optimizer.param_groups[0]["lr"])
            case["momentum"].append(optimizer.param_groups[0]["momentum"])
            optimizer.step()
            scheduler.step()
        cases[name] = case
    scores = [0.1, 0.3, 0.3, 0.30001, 0.29, 0.4, 0.4, 0.39, 0.2, 0.4, 0.4, 0.41, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1]
    for name, mode, sign in (("plateau", "max", 1), ("plateau of a loss", "min", -1)):
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=BASE_LR)
        scheduler = make.ReduceLROnPlateau(optimizer, mode, factor=0.2, patience=2, threshold=1e-3, min_lr=0.02 * BASE_LR)
        losses = [score if sign > 0 else 1 - score for score in scores]
        case = {"scores": [sign * loss for loss in losses], "lr": []}
        for loss in losses:
            scheduler.step(loss)
            case["lr"].append(optimizer.param_groups[0]["lr"])
        cases[name] = case
    return cases


if __name__ == "__main__":
    main()
