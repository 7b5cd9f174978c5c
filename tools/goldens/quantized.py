"""Golden bytes of the integer kernels: what PyTorch's x86 kernels give, and the arithmetic that the kernels document, in numpy.

    python tools/goldens/quantized.py        # crates/cnn-kernels/tests/golden/quantized.{safetensors,json}

Bytes and weights come from the formula (README.md), so the file holds results and scales only. The program stops where numpy
and PyTorch differ in a single byte, so the file says what both give.
"""

import json
import math
import warnings
from pathlib import Path

import numpy as np
import torch

from files import write
from formula import uniform

FOLDER = Path(__file__).parents[2] / "crates/cnn-kernels/tests/golden"

CONVOLUTIONS = [
    # name, input (N, H, W, C), weight, stride, padding (rows, columns), dilation, groups, relu
    ("dense", (2, 7, 9, 12), (10, 12, 3, 3), (2, 1), (1, 1), (1, 1), 1, False),
    ("first layer", (1, 15, 13, 3), (16, 3, 7, 7), (2, 2), (3, 3), (1, 1), 1, True),
    ("pointwise", (1, 8, 5, 66), (35, 66, 1, 1), (1, 1), (0, 0), (1, 1), 1, True),
    ("grouped", (1, 6, 7, 12), (9, 4, 3, 2), (1, 1), (1, 0), (1, 2), 3, False),
    ("depthwise 3x3", (1, 9, 8, 70), (70, 1, 3, 3), (1, 1), (1, 1), (1, 1), 70, True),
    ("depthwise 5x5", (1, 9, 8, 20), (20, 1, 5, 5), (2, 2), (2, 2), (1, 1), 20, False),
    ("linear", (3, 1, 1, 130), (21, 130, 1, 1), (1, 1), (0, 0), (1, 1), 1, False),
]


def whole(name: str, shape, low: int, high: int) -> np.ndarray:
    """Whole numbers from low to high."""
    return np.floor(low + (high - low + 1) * uniform(name, math.prod(shape))).astype(np.int64).reshape(shape)


def to_bytes(steps: np.ndarray, zero_point: int, low: int = 0) -> np.ndarray:
    """f32 steps as bytes: rounded half to even."""
    assert steps.dtype == np.float32
    return np.clip(np.rint(steps).astype(np.int64) + zero_point, low, 255).astype(np.uint8)


def factor(*scales: float) -> np.float32:
    """The first scales times each other, divided by the last, in f64; then f32."""
    *above, below = [float(np.float32(scale)) for scale in scales]
    return np.float32(math.prod(above) / below)


def tensor(q: np.ndarray, scale: float, zero_point: int) -> torch.Tensor:
    """A quantised PyTorch tensor (N, C, H, W) of bytes (N, H, W, C)."""
    q = torch.from_numpy(q.astype(np.uint8)).permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
    return torch._make_per_tensor_quantized_tensor(q, scale, zero_point)


def values(q: torch.Tensor) -> np.ndarray:
    """The bytes (N, H, W, C) of a quantised tensor."""
    return np.ascontiguousarray(q.int_repr().permute(0, 2, 3, 1).numpy())


def agreed(name: str, numpy: np.ndarray, pytorch: np.ndarray) -> np.ndarray:
    """The bytes that both have."""
    inside = np.mean((pytorch > 0) & (pytorch < 255))
    assert np.array_equal(numpy, pytorch), f"{name}: {np.sum(numpy != pytorch)} of {numpy.size} bytes differ"
    print(f"{name:16} {pytorch.size:5} bytes, {inside:.0%} of them neither 0 nor 255")
    return pytorch


def convolution(case, tensors: dict, manifest: list):
    name, dims, weight_dims, stride, padding, dilation, groups, relu = case
    x = whole(f"{name}.x", dims, 0, 255)
    weight = whole(f"{name}.weight", weight_dims, -127, 127)
    bias = whole(f"{name}.bias", weight_dims[:1], -9000, 9000)
    scales = (0.002 + 0.004 * uniform(f"{name}.scales", weight_dims[0])).astype(np.float32)
    x_scale, x_zero, y_zero = 0.031, int(whole(f"{name}.zero", (1,), 20, 200)[0]), 0 if relu else 117
    y_scale = float(np.float32(0.012 * math.sqrt(math.prod(weight_dims[1:]))))
    padded = torch.from_numpy(x - x_zero).permute(0, 3, 1, 2).double()
    sums = torch.nn.functional.conv2d(
        padded, torch.from_numpy(weight).double(), torch.from_numpy(bias).double(), stride, padding, dilation, groups
    )
    sums = np.ascontiguousarray(sums.permute(0, 2, 3, 1).numpy()).astype(np.int64)
    factors = np.array([factor(x_scale, scale, y_scale) for scale in scales], dtype=np.float32)
    tensors[f"{name}.sums"] = sums.astype(np.int32)
    expected = to_bytes(sums.astype(np.float32) * factors, y_zero, y_zero if relu else 0)
    tensors[f"{name}.scales"] = scales

    q_weight = torch._make_per_channel_quantized_tensor(
        torch.from_numpy(weight.astype(np.int8)), torch.from_numpy(scales).double(), torch.zeros(len(scales), dtype=torch.long), 0
    )
    f_bias = torch.from_numpy(bias * np.float64(np.float32(x_scale)) * scales).float()
    packed = torch.ops.quantized.conv2d_prepack(q_weight, f_bias, stride, padding, dilation, groups)
    run = torch.ops.quantized.conv2d_relu if relu else torch.ops.quantized.conv2d
    found = values(run(tensor(x, float(np.float32(x_scale)), x_zero), packed, y_scale, y_zero))
    tensors[f"{name}.bytes"] = agreed(name, expected, found)
    manifest.append(
        {
            "kind": "convolution", "name": name, "dims": dims, "weight": weight_dims, "stride": stride, "padding": padding,
            "dilation": dilation, "groups": groups, "relu": relu, "x": [float(np.float32(x_scale)), x_zero], "y": [y_scale, y_zero],
        }
    )


def joins(tensors: dict, manifest: list):
    """Sum, concatenation, pooling and a gate of two maps of different scales."""
    dims = (2, 6, 5, 7)
    scales = [float(np.float32(scale)) for scale in (0.043, 0.017, 0.05)]
    zeros = [90, 140, 101]
    a, b = (whole(f"joins.{which}", dims, 0, 255) for which in "ab")
    qa, qb = tensor(a, scales[0], zeros[0]), tensor(b, scales[1], zeros[1])
    terms = [(q - zero).astype(np.float32) * factor(scale, scales[2]) for q, scale, zero in zip((a, b), scales, zeros)]
    out = (scales[2], zeros[2])
    results = {
        "add": (to_bytes(terms[0] + terms[1], zeros[2]), values(torch.ops.quantized.add(qa, qb, *out))),
        "add_relu": (to_bytes(terms[0] + terms[1], zeros[2], zeros[2]), values(torch.ops.quantized.add_relu(qa, qb, *out))),
        "concat": (
            np.concatenate([to_bytes(term, zeros[2]) for term in terms], axis=3),
            values(torch.ops.quantized.cat([qa, qb], 1, *out)),
        ),
        "max_pool": (values(torch.nn.functional.max_pool2d(qa, 3, 2, 1)),) * 2,
    }
    sums = (a - zeros[0]).sum(axis=(1, 2), keepdims=True).astype(np.float32)
    mean = np.float32(scales[0] / (scales[0] * 30))
    results["global_avg_pool"] = (to_bytes(sums * mean, zeros[0]), values(torch.nn.functional.adaptive_avg_pool2d(qa, 1)))
    for name, (numpy, pytorch) in results.items():
        tensors[f"joins.{name}"] = agreed(name, numpy, pytorch)
    manifest.append({"kind": "joins", "dims": dims, "scales": scales, "zeros": zeros})


def main():
    warnings.filterwarnings("ignore", category=UserWarning)
    torch.backends.quantized.engine = "x86"
    tensors, manifest = {}, []
    for case in CONVOLUTIONS:
        convolution(case, tensors, manifest)
    joins(tensors, manifest)
    write(FOLDER / "quantized.safetensors", tensors, {})
    text = ",\n".join(json.dumps(case) for case in manifest)
    (FOLDER / "quantized.json").write_text(f"[\n{text}\n]\n")


if __name__ == "__main__":
    main()
