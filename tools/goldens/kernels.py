"""Writes crates/cnn-kernels/tests/golden/*.{json,safetensors}: small cases of every kernel, computed by PyTorch in f64.

There is one manifest and one tensor file per group of operations. The manifest lists the cases: operation, shapes of the inputs (PyTorch order) and options. An input is the formula's tensor
`<case>.<role>` unless the tensor file holds one of that name. The tensor file holds `<case>.output`, for each differentiable input
`<case>.grad.<role>`, the gradient of sum(output · upstream) with upstream the formula's `<case>.upstream`, and what else the
operation returns. Padding is `[top, bottom, left, right]` or `"same"`, TensorFlow's.
"""

import json
import math
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F
from torchvision import ops

import files
import formula

GOLDEN = Path(__file__).parents[2] / "crates/cnn-kernels/tests/golden"
NONE = [0, 0, 0, 0]

#   name, input, channels out, kernel, stride, padding, dilation, groups, bias
CONVOLUTIONS = [
    ("plain_3x3", (2, 3, 7, 10), 4, (3, 3), (1, 1), NONE, (1, 1), 1, True),
    ("padded_3x3", (2, 3, 5, 8), 4, (3, 3), (1, 1), [1, 1, 1, 1], (1, 1), 1, False),
    ("stride_2", (1, 3, 7, 10), 5, (3, 3), (2, 2), [1, 1, 1, 1], (1, 1), 1, True),
    ("stride_2_other_parity", (1, 3, 8, 9), 5, (3, 3), (2, 2), [1, 1, 1, 1], (1, 1), 1, False),
    ("stride_3x2", (2, 2, 11, 8), 3, (2, 3), (3, 2), [1, 1, 2, 2], (1, 1), 1, True),
    ("stride_beyond_kernel", (1, 2, 9, 12), 3, (2, 1), (3, 4), NONE, (1, 1), 1, False),
    ("asymmetric_padding", (1, 2, 6, 9), 3, (3, 4), (1, 2), [2, 0, 1, 3], (1, 1), 1, True),
    ("padding_on_one_side", (2, 2, 4, 5), 3, (3, 3), (1, 1), [0, 2, 0, 0], (1, 1), 1, False),
    ("padding_beyond_kernel", (1, 2, 3, 4), 2, (2, 2), (2, 1), [3, 2, 2, 4], (1, 1), 1, True),
    ("dilation_2x3", (1, 2, 9, 11), 3, (3, 2), (1, 1), [1, 1, 2, 2], (2, 3), 1, True),
    ("dilation_and_stride", (1, 2, 12, 9), 3, (3, 3), (2, 3), [2, 2, 1, 1], (2, 1), 1, False),
    ("pointwise", (2, 5, 4, 7), 3, (1, 1), (1, 1), NONE, (1, 1), 1, True),
    ("pointwise_wide", (1, 19, 3, 5), 37, (1, 1), (1, 1), NONE, (1, 1), 1, False),
    ("pointwise_stride_2", (2, 4, 5, 8), 6, (1, 1), (2, 2), NONE, (1, 1), 1, False),
    ("kernel_1x7", (1, 3, 5, 9), 2, (1, 7), (1, 1), [0, 0, 3, 3], (1, 1), 1, True),
    ("kernel_7x1", (1, 3, 9, 5), 2, (7, 1), (1, 1), [3, 3, 0, 0], (1, 1), 1, False),
    ("kernel_beyond_half_input", (1, 2, 5, 6), 2, (5, 5), (1, 1), [2, 2, 2, 2], (1, 1), 1, True),
    ("kernel_beyond_input", (1, 2, 3, 4), 2, (7, 7), (2, 2), [3, 3, 3, 3], (1, 1), 1, False),
    ("kernel_is_input", (2, 3, 4, 5), 4, (4, 5), (1, 1), NONE, (1, 1), 1, True),
    ("stem_7x7", (1, 3, 13, 18), 4, (7, 7), (2, 2), [3, 3, 3, 3], (1, 1), 1, False),
    ("groups_2", (2, 4, 5, 7), 6, (3, 3), (1, 1), [1, 1, 1, 1], (1, 1), 2, True),
    ("groups_3_stride_2", (1, 6, 7, 8), 3, (3, 2), (2, 1), [1, 1, 0, 0], (1, 1), 3, False),
    ("groups_pointwise", (1, 6, 3, 4), 9, (1, 1), (1, 1), NONE, (1, 1), 3, True),
    ("depthwise", (2, 5, 6, 9), 5, (3, 3), (1, 1), [1, 1, 1, 1], (1, 1), 5, False),
    ("depthwise_stride_2", (1, 5, 9, 6), 5, (3, 3), (2, 2), [1, 1, 1, 1], (1, 1), 5, True),
    ("depthwise_5x3_asymmetric", (1, 3, 7, 8), 3, (5, 3), (2, 1), [2, 1, 0, 2], (1, 1), 3, False),
    ("depthwise_dilated", (1, 3, 8, 9), 3, (3, 3), (1, 1), [2, 2, 3, 3], (2, 3), 3, True),
    ("depthwise_multiplier_2", (1, 3, 5, 8), 6, (3, 3), (2, 1), [1, 1, 1, 1], (1, 1), 3, True),
    ("depthwise_wide", (1, 35, 3, 4), 35, (3, 3), (1, 1), [1, 1, 1, 1], (1, 1), 35, False),
    ("same_stride_2_even", (1, 3, 8, 10), 4, (3, 3), (2, 2), "same", (1, 1), 1, True),
    ("same_stride_2_odd", (1, 3, 7, 9), 4, (3, 3), (2, 2), "same", (1, 1), 1, False),
    ("same_even_kernel", (1, 2, 5, 6), 3, (4, 2), (1, 1), "same", (1, 1), 1, True),
    ("same_dilated", (1, 2, 7, 8), 3, (3, 3), (1, 2), "same", (2, 3), 1, False),
    ("same_stride_3_depthwise", (1, 3, 10, 8), 3, (5, 3), (3, 3), "same", (1, 1), 3, False),
    ("dilation_beyond_input", (2, 5, 4, 6), 3, (3, 3), (1, 1), [5, 5, 7, 7], (5, 7), 1, True),
    ("dilation_4", (1, 9, 7, 10), 4, (3, 3), (1, 1), [4, 4, 4, 4], (4, 4), 1, False),
    ("one_pixel", (3, 4, 1, 1), 5, (1, 1), (1, 1), NONE, (1, 1), 1, True),
    ("one_pixel_3x3", (2, 3, 1, 1), 2, (3, 3), (1, 1), [1, 1, 1, 1], (1, 1), 1, False),
]

#   name, input, channels out, kernel, stride, padding, output padding, dilation, groups, bias
TRANSPOSED = [
    ("plain_3x3", (2, 3, 4, 7), 4, (3, 3), (1, 1), (0, 0), (0, 0), (1, 1), 1, True),
    ("2x2_stride_2", (2, 5, 4, 3), 6, (2, 2), (2, 2), (0, 0), (0, 0), (1, 1), 1, True),
    ("4x4_stride_2", (1, 3, 5, 4), 5, (4, 4), (2, 2), (1, 1), (0, 0), (1, 1), 1, False),
    ("3x3_stride_2_output_padding", (1, 3, 4, 5), 2, (3, 3), (2, 2), (1, 1), (1, 1), (1, 1), 1, True),
    ("strides_3x2", (1, 2, 3, 4), 3, (2, 3), (3, 2), (0, 1), (2, 1), (1, 1), 1, True),
    ("stride_beyond_kernel", (1, 2, 4, 3), 3, (1, 2), (3, 4), (0, 0), (1, 0), (1, 1), 1, True),
    ("dilated", (1, 2, 4, 5), 3, (3, 2), (2, 1), (2, 1), (1, 0), (2, 3), 1, False),
    ("padding_beyond_kernel", (1, 2, 6, 7), 2, (2, 2), (1, 1), (2, 3), (0, 0), (1, 1), 1, True),
    ("pointwise", (2, 5, 3, 4), 3, (1, 1), (1, 1), (0, 0), (0, 0), (1, 1), 1, True),
    ("groups_2", (1, 4, 3, 5), 6, (3, 3), (2, 2), (1, 1), (1, 0), (1, 1), 2, True),
    ("depthwise", (2, 5, 4, 3), 5, (4, 4), (2, 2), (1, 1), (0, 0), (1, 1), 5, True),
    ("depthwise_bilinear_8x8", (1, 3, 3, 4), 3, (8, 8), (4, 4), (2, 2), (0, 0), (1, 1), 3, False),
    ("one_pixel", (3, 4, 1, 1), 2, (3, 2), (1, 1), (0, 0), (0, 0), (1, 1), 1, True),
    ("wide", (1, 19, 3, 4), 37, (2, 2), (2, 2), (0, 0), (0, 0), (1, 1), 1, True),
]

#   name, input, kernel, stride, padding, dilation, ceil_mode
POOLINGS = [
    ("2x2", (2, 3, 6, 9), (2, 2), (2, 2), NONE, (1, 1), False),
    ("3x3_stride_2_padded", (1, 3, 7, 10), (3, 3), (2, 2), [1, 1, 1, 1], (1, 1), False),
    ("3x2_stride_1x3", (1, 2, 6, 11), (3, 2), (1, 3), [1, 1, 0, 0], (1, 1), False),
    ("stride_beyond_kernel", (1, 2, 8, 9), (2, 1), (3, 2), NONE, (1, 1), False),
    ("ceil", (1, 2, 7, 10), (3, 3), (2, 2), NONE, (1, 1), True),
    ("ceil_padded", (1, 2, 8, 9), (3, 3), (2, 2), [1, 1, 1, 1], (1, 1), True),
    ("ceil_window_dropped", (1, 2, 4, 7), (2, 2), (3, 3), [1, 1, 1, 1], (1, 1), True),
    ("asymmetric", (1, 2, 5, 8), (3, 4), (2, 1), [0, 1, 2, 0], (1, 1), False),
    ("same", (1, 2, 8, 7), (3, 2), (2, 3), "same", (1, 1), False),
    ("dilated", (1, 2, 9, 10), (3, 2), (2, 1), [1, 1, 1, 1], (2, 3), False),
    ("whole_map", (2, 2, 4, 5), (4, 5), (4, 5), NONE, (1, 1), False),
]

#   name, input, output
ADAPTIVE = [
    ("bins_overlap", (2, 3, 7, 10), (3, 4)),
    ("bins_divide", (1, 2, 6, 8), (3, 2)),
    ("one_column", (1, 2, 5, 7), (4, 1)),
    ("more_bins_than_pixels", (1, 2, 3, 5), (7, 6)),
    ("identity", (1, 2, 3, 4), (3, 4)),
]
#   name, input, what F.interpolate is asked for
RESIZINGS = [
    ("double", (2, 3, 3, 5), {"size": (6, 10)}),
    ("12x6", (1, 2, 4, 3), {"size": (12, 6)}),
    ("to_7x8", (1, 2, 3, 5), {"size": (7, 8)}),
    ("to_11x13", (1, 11, 7, 4), {"size": (11, 13)}),
    ("smaller", (1, 2, 9, 7), {"size": (4, 5)}),
    ("mixed", (1, 21, 6, 4), {"size": (4, 9)}),
    ("same", (1, 2, 3, 4), {"size": (3, 4)}),
    ("to_one_pixel", (1, 2, 4, 3), {"size": (1, 1)}),
    ("of_one_pixel", (2, 1, 1, 1), {"size": (3, 5)}),
    ("factor_8", (1, 1, 3, 2), {"scale_factor": (8.0, 8.0)}),
    # Sizes that are rounded: 3 · 1.7 = 5.1, 5 · 2.5 = 12.5, 7 · 0.4 = 2.8.
    ("factors", (1, 2, 3, 5), {"scale_factor": (1.7, 2.5)}),
    ("factors_below_one", (1, 2, 7, 5), {"scale_factor": (0.4, 0.75)}),
]
MODES = [("nearest", {"mode": "nearest"})] + [
    (f"bilinear_{kind}", {"mode": "bilinear", "align_corners": aligned}) for kind, aligned in (("edges", False), ("corners", True))
]

#   name, input, eps, momentum
BATCH_NORMS = [
    ("eps_1e-5", (3, 4, 3, 5), 1e-5, 0.1),
    ("eps_1e-3", (2, 5, 4, 3), 1e-3, 0.1),
    ("one_image", (1, 3, 5, 2), 1e-5, 0.1),
    ("one_pixel", (6, 3, 1, 1), 1e-5, 0.1),
    ("wide", (1, 35, 2, 3), 1e-5, 0.01),
]
LAYER_NORMS = [("eps_1e-6", (2, 5, 3, 4), 1e-6), ("eps_1e-5", (1, 35, 2, 3), 1e-5), ("three_channels", (1, 3, 4, 2), 1e-6)]

# Groups, whether there are a weight and a bias, eps.
GROUP_NORMS = [
    ("two_channels_each", (2, 6, 3, 4), 3, True, 1e-5),
    ("one_group", (2, 5, 3, 4), 1, True, 1e-5),
    ("each_channel", (1, 3, 4, 2), 3, True, 1e-3),
    ("wide", (1, 36, 2, 3), 4, True, 1e-5),
    ("plain", (2, 8, 3, 2), 2, False, 1e-5),
]

L2_NORMS = [("eps_1e-12", (2, 35, 3, 4), 1e-12), ("short", (1, 5, 2, 3), 1.2), ("two_channels", (1, 2, 3, 2), 1e-10)]

# Maps of several sizes, how much smaller than the image they are, and regions: map, image, x1, y1, x2, y2.
ONE_MAP = ([(2, 3, 9, 12)], [0.25])
PYRAMID = ([(2, 3, 9, 12), (2, 3, 5, 6)], [0.25, 0.125])
WIDE = ([(2, 35, 3, 4)], [0.0625])
REGIONS = [
    (0, 0, 2.3, 5.1, 30.7, 31.2),
    (0, 1, 0, 0, 48, 36),
    # Within a pixel, a point, a line, the wrong way round.
    (0, 1, 9.1, 9.2, 10.3, 11.6),
    (0, 0, 17.3, 9.7, 17.3, 9.7),
    (0, 0, 3.1, 12.2, 40.4, 12.2),
    (0, 1, 30.2, 25.3, 12.1, 4.4),
    # Beyond the map on each side, and outside of it.
    (0, 0, -20.6, -13.1, 9.3, 14.8),
    (0, 1, 31.2, 20.3, 90.6, 70.9),
    (0, 0, -90.3, -80.1, -30.2, -20.7),
    (0, 1, 60.5, 3.2, 70.1, 20.9),
    # Over another one.
    (0, 0, 6.2, 3.9, 28.8, 27.6),
]
#   name, maps, output, sampling ratio, aligned
ALIGNED = [
    ("adaptive", ONE_MAP, (3, 2), -1, False),
    ("adaptive_aligned", ONE_MAP, (2, 4), -1, True),
    ("two_samples", ONE_MAP, (3, 3), 2, False),
    ("three_samples_aligned", ONE_MAP, (1, 3), 3, True),
    ("wide", WIDE, (2, 1), -1, False),
    ("pyramid", PYRAMID, (2, 2), 2, False),
    ("pyramid_adaptive_aligned", PYRAMID, (3, 2), -1, True),
]
#   name, maps, output
REGIONS_POOLED = [("one_map", ONE_MAP, (3, 2)), ("fine", ONE_MAP, (7, 7)), ("wide", WIDE, (1, 2)), ("pyramid", PYRAMID, (2, 3))]

ACTIVATIONS = {
    "relu": F.relu,
    "leaky_relu": lambda xs: F.leaky_relu(xs, 0.01),
    "relu6": F.relu6,
    "sigmoid": torch.sigmoid,
    "silu": F.silu,
    "hard_swish": F.hardswish,
    # In f64, F.hardsigmoid's gradient is off by 3e-8: it multiplies by the f32 number 1/6.
    "hard_sigmoid": lambda xs: F.relu6(xs + 3) / 6,
    "tanh": torch.tanh,
    "gelu": F.gelu,
    "gelu_tanh": lambda xs: F.gelu(xs, approximate="tanh"),
}
SPECIAL_POINTS = [0, -0.0, 1e-30, 1e-3, 0.5, 1, 2.999, 3, 3.001, 5.5, 5.999, 6, 6.001, 9, 20, 90, 1000]
CONCATENATIONS = [("two", [(2, 3, 4, 5), (2, 1, 4, 5)]), ("three", [(1, 2, 3, 2), (1, 4, 3, 2), (1, 3, 3, 2)])]


class Goldens:
    """The cases and tensors collected so far."""

    def __init__(self):
        self.cases, self.tensors = [], {}

    def add(self, op, name, inputs, function, stored=None, constants=(), **options):
        """Runs `function(**inputs)` of the formula's (or the stored) values; it returns the output and a dictionary of extras."""
        case = f"{op}.{name}"
        stored = {f"{case}.{role}": np.asarray(values, dtype=np.float64) for role, values in (stored or {}).items()}
        tensors = {}
        for role, shape in inputs.items():
            values = stored.get(f"{case}.{role}", formula.values(f"{case}.{role}", shape))
            tensors[role] = torch.from_numpy(values).double().requires_grad_(role not in constants)
        output, extras = function(**tensors)
        upstream = torch.from_numpy(formula.values(f"{case}.upstream", output.shape)).double()
        (output * upstream).sum().backward()
        gradients = {f"grad.{role}": xs.grad for role, xs in tensors.items() if role not in constants}
        found = {"output": output, **extras, **gradients}
        self.tensors |= stored | {f"{case}.{key}": xs.detach().numpy().copy() for key, xs in found.items()}
        shapes = {role: list(shape) for role, shape in inputs.items()}
        self.cases.append({"name": case, "op": op, "inputs": shapes, **options})

    def save(self, name):
        path = GOLDEN / f"{name}.safetensors"
        files.write(path, self.tensors, {"torch": torch.__version__})
        lines = ",\n".join("  " + json.dumps(case) for case in self.cases)
        (GOLDEN / f"{name}.json").write_text(f"[\n{lines}\n]\n")
        print(f"{name}: {len(self.cases)} cases, {path.stat().st_size} bytes of tensors")


def main():
    torch.set_num_threads(1)
    GOLDEN.mkdir(parents=True, exist_ok=True)
    groups = {
        "conv2d": convolutions,
        "conv_transpose2d": transposed_convolutions,
        "pool": poolings,
        "resize": resizings,
        "norm": norms,
        "pointwise": pointwise,
        "roi": regions,
    }
    for name, add in groups.items():
        goldens = Goldens()
        add(goldens)
        goldens.save(name)


def convolutions(goldens: Goldens):
    for name, shape, out, kernel, stride, padding, dilation, groups, bias in CONVOLUTIONS:
        inputs = {"input": shape, "weight": (out, shape[1] // groups, *kernel)} | ({"bias": (out,)} if bias else {})
        sides = resolve(padding, shape, kernel, stride, dilation)

        def convolve(input, weight, bias=None):
            return F.conv2d(pad(input, sides), weight, bias, stride, 0, dilation, groups), {}

        goldens.add("conv2d", name, inputs, convolve, stride=stride, padding=padding, dilation=dilation, groups=groups)


def transposed_convolutions(goldens: Goldens):
    for name, shape, out, kernel, stride, padding, output_padding, dilation, groups, bias in TRANSPOSED:
        inputs = {"input": shape, "weight": (shape[1], out // groups, *kernel)} | ({"bias": (out,)} if bias else {})
        options = dict(stride=stride, padding=padding, output_padding=output_padding, dilation=dilation, groups=groups)

        def convolve(input, weight, bias=None):
            return F.conv_transpose2d(input, weight, bias, **options), {}

        goldens.add("conv_transpose2d", name, inputs, convolve, **options)


def poolings(goldens: Goldens):
    for name, shape, kernel, stride, padding, dilation, ceil in POOLINGS:
        window = dict(kernel_size=kernel, stride=stride, padding=padding, dilation=dilation, ceil_mode=ceil)
        sides = resolve(padding, shape, kernel, stride, dilation)
        symmetric = sides[0] == sides[1] and sides[2] == sides[3]
        inside = (sides[0], sides[2]) if symmetric else 0
        outside = NONE if symmetric else sides

        def maximum(input):
            return F.max_pool2d(pad(input, outside, -math.inf), kernel, stride, inside, dilation, ceil), {}

        ties = np.floor(formula.values(f"max_pool.{name}_ties.input", shape).astype(np.float64) * 2) / 2
        goldens.add("max_pool", name, {"input": shape}, maximum, **window)
        goldens.add("max_pool", f"{name}_ties", {"input": shape}, maximum, stored={"input": ties}, **window)

        def sums(xs):
            if dilation == (1, 1):
                return F.avg_pool2d(pad(xs, outside), kernel, stride, inside, ceil, True, 1)
            ones = torch.ones(shape[1], 1, *kernel, dtype=torch.float64)
            return F.conv2d(pad(xs, sides), ones, None, stride, 0, dilation, shape[1])

        def average(input, include):
            if dilation == (1, 1) and symmetric:
                return F.avg_pool2d(input, kernel, stride, inside, ceil, include), {}
            # PyTorch has neither dilated nor asymmetrically padded averages: sums over counts.
            return sums(input) / (math.prod(kernel) if include else sums(torch.ones_like(input))), {}

        for include in (True, False):
            kind = "with_padding" if include else "without_padding"
            goldens.add(
                "avg_pool", f"{name}_{kind}", {"input": shape}, lambda input: average(input, include), count_include_pad=include, **window
            )


def resizings(goldens: Goldens):
    for name, shape, output in ADAPTIVE:
        goldens.add("adaptive_avg_pool", name, {"input": shape}, lambda input: (F.adaptive_avg_pool2d(input, output), {}), output=output)
        goldens.add("adaptive_max_pool", name, {"input": shape}, lambda input: (F.adaptive_max_pool2d(input, output), {}), output=output)
    shape = (2, 3, 5, 7)
    goldens.add("global_avg_pool", "whole", {"input": shape}, lambda input: (input.mean((2, 3), keepdim=True), {}))
    goldens.add("global_max_pool", "whole", {"input": shape}, lambda input: (F.adaptive_max_pool2d(input, 1), {}))
    for mode, options in MODES:
        for name, shape, to in RESIZINGS:
            goldens.add("resize", f"{mode}.{name}", {"input": shape}, lambda input: (F.interpolate(input, **to, **options), {}), **to, **options)


def norms(goldens: Goldens):
    for name, shape, eps, momentum in BATCH_NORMS:
        inputs = {"input": shape} | {role: (shape[1],) for role in ("weight", "bias", "running_mean", "running_var")}
        constants = ("running_mean", "running_var")

        def train(input, weight, bias, running_mean, running_var):
            mean, var = running_mean.clone(), running_var.clone()
            output = F.batch_norm(input, mean, var, weight, bias, True, momentum, eps)
            return output, {"updated.running_mean": mean, "updated.running_var": var}

        def running(input, weight, bias, running_mean, running_var):
            return F.batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps), {}

        goldens.add("batch_norm_train", name, inputs, train, constants=constants, eps=eps, momentum=momentum)
        goldens.add("batch_norm_running", name, inputs, running, constants=constants, eps=eps)
    for name, shape, eps in LAYER_NORMS:

        def normalise(input, weight, bias):
            return F.layer_norm(input.movedim(1, -1), (input.shape[1],), weight, bias, eps).movedim(-1, 1), {}

        goldens.add("layer_norm", name, {"input": shape, "weight": (shape[1],), "bias": (shape[1],)}, normalise, eps=eps)
    for name, shape, groups, affine, eps in GROUP_NORMS:
        vectors = {role: (shape[1],) for role in ("weight", "bias")} if affine else {}

        def grouped(input, weight=None, bias=None):
            return F.group_norm(input, groups, weight, bias, eps), {}

        goldens.add("group_norm", name, {"input": shape} | vectors, grouped, groups=groups, eps=eps)
    for name, shape, eps in L2_NORMS:

        def unit(input, factors):
            return F.normalize(input, eps=eps) * factors[:, None, None], {}

        goldens.add("l2_norm", name, {"input": shape, "factors": (shape[1],)}, unit, eps=eps)
    maps, factors = (2, 35, 3, 4), (35,)
    scaled = lambda input, factors: input * factors[:, None, None]
    goldens.add("layer_scale", "channels", {"input": maps, "factors": factors}, lambda **of: (scaled(**of), {}))
    summed = lambda residual, **of: (scaled(**of) + residual, {})
    goldens.add("layer_scale_sum", "channels", {"input": maps, "factors": factors, "residual": maps}, summed)


def pointwise(goldens: Goldens):
    # Kinks and far ends as f32 numbers, so that both element types meet the same ones.
    points = np.float32([sign * point for point in SPECIAL_POINTS for sign in (1, -1)]).astype(np.float64).reshape(2, -1)
    for name, function in ACTIVATIONS.items():
        apply = lambda input: (function(input), {})
        goldens.add("activation", f"{name}.special", {"input": points.shape}, apply, stored={"input": points}, activation=name)
        goldens.add("activation", f"{name}.formula", {"input": (2, 3, 3, 5)}, lambda input: (function(4 * input), {}), activation=name, scale=4.0)
    goldens.add("softmax", "rows", {"input": (3, 7)}, lambda input: (input.softmax(-1), {}))
    far = np.array([[1000.0, 999.0, -1000.0], [-1e4, -1e4, -1e4], [0.0, 88.0, 90.0]])
    goldens.add("softmax", "far_apart", {"input": far.shape}, lambda input: (input.softmax(-1), {}), stored={"input": far})
    for name, shapes in CONCATENATIONS:
        inputs = {f"input{index}": shape for index, shape in enumerate(shapes)}
        goldens.add("concat", name, inputs, lambda **maps: (torch.cat(list(maps.values()), 1), {}))
    for first, end in [(0, 3), (2, 6)]:
        goldens.add("channel_slice", f"{first}_to_{end}", {"input": (2, 6, 3, 4)}, lambda input: (input[:, first:end], {}), channels=[first, end])
    for groups in (2, 3, 6):
        goldens.add("channel_shuffle", f"{groups}_groups", {"input": (2, 12, 3, 4)}, lambda input: (F.channel_shuffle(input, groups), {}), groups=groups)
    shape = (2, 3, 4, 5)
    goldens.add("add", "two", {"input0": shape, "input1": shape}, lambda input0, input1: (input0 + input1, {}))
    goldens.add("channel_scale", "factors", {"input": shape, "factors": (2, 3, 1, 1)}, lambda input, factors: (input * factors, {}))


def regions(goldens: Goldens):
    def each(maps, scales, rois, pool):
        """What `pool` makes of each region on its map, in the order of the regions."""
        return torch.cat([pool(maps[level], torch.tensor([box], dtype=torch.float64), scales[level]) for level, *box in rois])

    def spread(shapes):
        """Every other region on the last map; f32 numbers."""
        last = len(shapes) - 1
        return [[last if number % 2 else 0, image, *np.float32(edges).tolist()] for number, (_, image, *edges) in enumerate(REGIONS)]

    for name, (shapes, scales), output, sampling, aligned in ALIGNED:
        inputs, rois = {f"input{index}": shape for index, shape in enumerate(shapes)}, spread(shapes)

        def align(**maps):
            pool = lambda xs, box, scale: ops.roi_align(xs, box, output, scale, sampling, aligned)
            return each(list(maps.values()), scales, rois, pool), {}

        goldens.add("roi_align", name, inputs, align, output=output, sampling_ratio=sampling, aligned=aligned, scales=scales, rois=rois)
    for name, (shapes, scales), output in REGIONS_POOLED:
        inputs, rois = {f"input{index}": shape for index, shape in enumerate(shapes)}, spread(shapes)

        def largest(**maps):
            return each(list(maps.values()), scales, rois, lambda xs, box, scale: ops.roi_pool(xs, box, output, scale)), {}

        goldens.add("roi_max_pool", name, inputs, largest, output=output, scales=scales, rois=rois)


def resolve(padding, shape, kernel, stride, dilation) -> list[int]:
    """[top, bottom, left, right]; `same` as TensorFlow: ⌈input / stride⌉ outputs, the odd row or column last."""
    if padding != "same":
        return padding
    sides = []
    for size, k, s, d in zip(shape[2:], kernel, stride, dilation, strict=True):
        total = max((math.ceil(size / s) - 1) * s + (k - 1) * d + 1 - size, 0)
        sides += [total // 2, total - total // 2]
    return sides


def pad(xs, sides, value=0.0):
    top, bottom, left, right = sides
    return F.pad(xs, (left, right, top, bottom), value=value) if any(sides) else xs


if __name__ == "__main__":
    main()
