"""Writes crates/cnn-robust/tests/golden/interval_bounds.safetensors: bounds of a small network's scores in PyTorch.

    python tools/goldens/interval_bounds.py

Each layer is a function from the ends of its input to the ends of its output (Gowal et al. 2018, arXiv:1810.12715), in f64, with
weights by the formula. What is lowest within a valley of an activation is looked for by scipy.
"""

from importlib.metadata import version
from pathlib import Path

import torch
from scipy.optimize import minimize_scalar
from torch.nn import functional

import files
import formula

GOLDEN = Path(__file__).parents[2] / "crates/cnn-robust/tests/golden/interval_bounds.safetensors"
SHAPE = (4, 3, 10, 8)
LABELS = [0, 4, 2, 1]
MEAN = [0.4, 0.5, 0.6]
STD = [0.2, 0.25, 0.3]
SIZES = [0.0, 1e-5, 1e-4, 1e-3, 1e-2]


def tensor(name, *shape):
    return torch.from_numpy(formula.values(name, shape)).double()


def conv(ends, name, outputs, inputs, kernel, bias=True, **geometry):
    lower, upper = ends
    weight = tensor(f"{name}.weight", outputs, inputs, kernel, kernel)
    offset = tensor(f"{name}.bias", outputs) if bias else None
    centre = functional.conv2d((lower + upper) / 2, weight, offset, **geometry)
    radius = functional.conv2d((upper - lower) / 2, weight.abs(), **geometry)
    return centre - radius, centre + radius


def linear(ends, name, outputs, inputs):
    lower, upper = ends
    weight = tensor(f"{name}.weight", outputs, inputs)
    # The ends by the signs of the weights, another form of the same.
    low = lower @ weight.clamp(min=0).T + upper @ weight.clamp(max=0).T + tensor(f"{name}.bias", outputs)
    high = upper @ weight.clamp(min=0).T + lower @ weight.clamp(max=0).T + tensor(f"{name}.bias", outputs)
    return low, high


def norm(ends, name, channels):
    vectors = [tensor(f"{name}.{part}", channels) for part in ("running_mean", "running_var", "weight", "bias")]
    vectors[2] = vectors[2] * torch.tensor([1.0, -1.0] * (channels // 2), dtype=torch.float64)
    results = [functional.batch_norm(end, *vectors) for end in ends]
    return torch.minimum(*results), torch.maximum(*results)


def monotone(ends, function):
    return tuple(function(end) for end in ends)


def valley(ends, function):
    lower, upper = ends
    found = minimize_scalar(lambda x: function(torch.tensor(x, dtype=torch.float64)).item(), bounds=(-3, 0), options={"xatol": 1e-12})
    place = torch.full_like(lower, found.x)
    lowest = torch.minimum(function(lower), function(upper))
    inside = (lower < place) & (place < upper)
    return torch.where(inside, function(place), lowest), torch.maximum(function(lower), function(upper))


def add(a, b):
    return a[0] + b[0], a[1] + b[1]


def times(a, b):
    products = torch.stack([x * y for x in a for y in b])
    return products.amin(0), products.amax(0)


def features(ends):
    """The ends of what the last layer reads."""
    stem = monotone(norm(conv(ends, "conv1", 6, 3, 3, padding=1), "bn1", 6), torch.relu)
    stem = monotone(stem, lambda x: functional.max_pool2d(x, 3, 2, 1))
    branch = conv(stem, "conv2", 6, 3, 3, bias=False, groups=2, dilation=2, padding=2)
    branch = valley(norm(branch, "bn2", 6), functional.silu)
    xs = valley(add(branch, stem), functional.hardswish)
    gate = monotone(xs, lambda x: x.mean((2, 3), keepdim=True))
    gate = monotone(conv(gate, "se.fc1", 3, 6, 1), torch.relu)
    gate = monotone(conv(gate, "se.fc2", 6, 3, 1), functional.hardsigmoid)
    xs = times(xs, gate)
    xs = monotone(xs, lambda x: functional.avg_pool2d(x, 2, (2, 1), 1, count_include_pad=False))
    xs = tuple(torch.cat(pair, 1) for pair in zip(xs, valley(xs, functional.gelu)))
    xs = monotone(xs, lambda x: x.flatten(1))
    return monotone(linear(xs, "fc1", 12, 180), torch.tanh)


def main():
    images = (tensor("images", *SHAPE) + 1) / 2
    mean, std = (torch.tensor(values, dtype=torch.float64).view(1, 3, 1, 1) for values in (MEAN, STD))
    tensors = {}
    for number, size in enumerate(SIZES):
        ends = tuple(((images + change).clamp(0, 1) - mean) / std for change in (-size, size))
        hidden = features(ends)
        lower, upper = linear(hidden, "fc2", 5, 12)
        weight, bias = tensor("fc2.weight", 5, 12), tensor("fc2.bias", 5)
        leads = []
        for row, label in enumerate(LABELS):
            low, high = (end[row] for end in hidden)
            difference = weight - weight[label]
            leads.append(difference.clamp(min=0) @ high + difference.clamp(max=0) @ low + bias - bias[label])
        tensors |= {f"{number}.lower": lower, f"{number}.upper": upper, f"{number}.leads": torch.stack(leads)}
    tensors = {name: tensor.contiguous().numpy() for name, tensor in tensors.items()}
    files.write(GOLDEN, tensors, {"torch": version("torch")})


if __name__ == "__main__":
    main()
