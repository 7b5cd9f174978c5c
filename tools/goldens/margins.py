"""How far each network's golden input stays from the kinks of its activations and from ties in its max-pooling.

    python tools/goldens/margins.py [NAME…]          the margin of the input shape in families/
    python tools/goldens/margins.py --seek [NAME…]   other shapes where that is not SAFE, the best last

In f32, an activation whose input lies within rounding error of a kink falls on either side of it, and the gradient jumps by up to
1e-2: two correct implementations then differ, PyTorch on one machine from PyTorch on another. The shape of the golden input, which
decides all its values, is therefore chosen for its margin: the smallest distance to a kink over the root mean square of PyTorch's
own f32 error in that channel.
"""

import argparse

import torch
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

import formula
from families import REFERENCES, VARIANTS
from models import BATCH, CLASSES, load_formula
from reference import Reference

SAFE = 5.0
SHAPES = [(height, height + more) for height in range(67, 18, -4) for more in range(5, 30, 3)]
# For networks made for images of 299×299, of which the smallest have 75.
LARGE_SHAPES = sorted(((height, height + more) for height in range(75, 100) for more in range(1, 12)), key=lambda shape: shape[0] * shape[1])


class KinkDistances(TorchDispatchMode):
    """Records what enters each ReLU, leaky ReLU, ReLU6, hard-swish, hard-sigmoid and max-pooling, as distances to the nearest kink or tie."""

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.name().split("::")[1].split(".")[0].rstrip("_")
        if name in ("relu", "leaky_relu"):
            self.found.append(without_zeros(args[0]))
        elif name == "hardtanh":
            self.found += [args[0].clone(), args[0] - 6]
        elif name in ("hardswish", "hardsigmoid"):
            self.found += [args[0] + 3, args[0] - 3]
        elif name == "max_pool2d_with_indices":
            self.found.append(lead_over_second(*args))
        return function(*args, **(kwargs or {}))


def without_zeros(xs):
    """A ReLU that reads what a ReLU gave meets exact zeros: the first one stops their gradients, so they do not count."""
    return torch.where(xs == 0, torch.inf, xs)


def lead_over_second(xs, kernel, stride, padding=(0, 0), dilation=(1, 1), ceil_mode=False):
    """Maximum minus the next lower value of each window. The inputs come from ReLU: zeros carry no gradient, so their ties do not
    count. Nor do values that are equal to the bit: they are one pixel, which overlapping windows of a pooling before gave twice."""
    extra = [-(size - k) % s if ceil_mode else 0 for size, k, s in zip(xs.shape[2:], kernel, stride, strict=True)]
    xs = F.pad(xs, (padding[1], padding[1] + extra[1], padding[0], padding[0] + extra[0]))
    windows = xs.unfold(2, kernel[0], stride[0]).unfold(3, kernel[1], stride[1]).flatten(4)
    top = windows.amax(-1)
    lower = windows.masked_fill(windows == top[..., None], -torch.inf).amax(-1)
    return torch.where(top == 0, torch.inf, top - lower)


class Margins:
    """One network in both precisions, asked for the margin of input shapes."""

    def __init__(self, reference: Reference):
        self.channels = reference.input[0]
        self.models = [reference.build_golden(CLASSES).to(dtype).eval() for dtype in (torch.float64, torch.float32)]
        for model in self.models:
            load_formula(model)
            if reference.auxiliary:
                model.aux_logits = False

    def at(self, height: int, width: int) -> float:
        xs = torch.from_numpy(formula.values("input", (BATCH, self.channels, height, width)))
        runs = []
        for model in self.models:
            with torch.no_grad(), KinkDistances() as distances:
                model(xs.to(next(model.parameters()).dtype))
            runs.append(distances.found)
        return min((distance_over_error(*pair) for pair in zip(*runs, strict=True)), default=float("inf"))


def distance_over_error(double, single) -> float:
    axes = tuple(axis for axis in range(double.dim()) if axis != 1)
    error = torch.where(torch.isfinite(double), single.double() - double, 0.0).square().mean(axes).sqrt()
    # A channel of a few pixels may be exact by luck.
    error = error.maximum(0.1 * error.square().mean().sqrt())
    return (double.abs().amin(axes) / error).min().item()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--seek", action="store_true", help="try other shapes")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for reference in REFERENCES + VARIANTS:
        if arguments.names and reference.name not in arguments.names:
            continue
        margins = Margins(reference)
        shape = reference.input[1:]
        best = margins.at(*shape)
        print(f"{reference.name:24} {shape[0]}x{shape[1]} {best:8.2f}", flush=True)
        # LeNet's first linear layer is sized to its input.
        shapes = LARGE_SHAPES if min(reference.default_input[1:]) > 256 else SHAPES
        for shape in shapes if arguments.seek and best < SAFE and not reference.name.startswith("lenet") else ():
            found = margins.at(*shape)
            if found > best:
                best = found
                print(f"{'':24} {shape[0]}x{shape[1]} {best:8.2f}", flush=True)
            if best >= SAFE:
                break


if __name__ == "__main__":
    main()
