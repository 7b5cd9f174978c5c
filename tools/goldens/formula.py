"""Tensor values from a formula: the same f32 numbers here and in the Rust tests, so that golden files need no weights.

The i-th element (row-major) of the tensor called `name` is drawn by a splitmix64 stream whose state is the FNV-1a-64 hash of
the name; how the name starts and ends decides the distribution (see `values` and README.md).
"""

import math

import numpy as np

FNV_OFFSET = 0xCBF29CE484222325
FNV_PRIME = 0x100000001B3
GOLDEN_GAMMA = np.uint64(0x9E3779B97F4A7C15)


def fnv1a(name: str) -> int:
    """FNV-1a, 64 bits, of the name's UTF-8 bytes."""
    state = FNV_OFFSET
    for byte in name.encode():
        state = ((state ^ byte) * FNV_PRIME) & 0xFFFFFFFFFFFFFFFF
    return state


def uniform(name: str, count: int) -> np.ndarray:
    """`count` f64 values in [0, 1) with 53 random bits each."""
    with np.errstate(over="ignore"):
        x = np.uint64(fnv1a(name)) + np.arange(1, count + 1, dtype=np.uint64) * GOLDEN_GAMMA
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        x = x ^ (x >> np.uint64(31))
    return (x >> np.uint64(11)).astype(np.float64) * 2.0**-53


def values(name: str, shape) -> np.ndarray:
    """The tensor `name` of a PyTorch-ordered `shape`, computed in f64 and rounded to f32 (i64 for num_batches_tracked)."""
    shape = tuple(shape)
    if name.endswith("num_batches_tracked"):
        return np.zeros(shape, dtype=np.int64)
    u = uniform(name, math.prod(shape))
    if name.startswith("probe."):
        x = 2.0 * u - 1.0
    elif name.endswith("running_mean"):
        x = 0.2 * (2.0 * u - 1.0)
    elif name.endswith("running_var"):
        x = 1.0 + u
    elif name.endswith("weight") and len(shape) >= 2:
        x = (2.0 * u - 1.0) * math.sqrt(6.0 / math.prod(shape[1:]))
    elif name.endswith("weight"):
        x = 0.5 + u
    elif name.endswith("bias"):
        x = 0.1 * (2.0 * u - 1.0)
    else:
        x = 2.0 * u - 1.0
    return x.astype(np.float32).reshape(shape)
