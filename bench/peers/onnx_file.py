"""The ONNX files that ONNX Runtime and OpenVINO read, exported from the PyTorch models on first use."""

import argparse
import os
import tempfile
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from detectors import decoded, is_detector
from models import Input, build
from timing import input_of, parser, photo

CACHE = Path(tempfile.gettempdir()) / "cnn-bench-onnx"


def onnx_parser(description: str) -> argparse.ArgumentParser:
    """The options that every peer has, and the folder of the exported files."""
    options = parser(description, ["infer"])
    options.add_argument("--cache", type=Path, default=CACHE, metavar="DIR", help="where exported files are kept")
    return options


def onnx_file(arguments: argparse.Namespace) -> Path:
    """The file of this model, batch and size."""
    shape = input_of(arguments)
    weights = f"-{arguments.weights.name}" if arguments.weights else ""
    file = arguments.cache / f"{arguments.model.replace(':', '-')}{weights}-b{arguments.batch}-{shape.height}x{shape.width}.onnx"
    if not file.exists():
        # In a process of its own, so that the export's memory is not counted as the peer's.
        with ProcessPoolExecutor(1, get_context("spawn")) as process:
            process.submit(export, arguments.model, arguments.weights, arguments.batch, shape, file).result()
    return file


def export(name: str, weights: Path | None, batch: int, shape: Input, file: Path):
    """Writes the network in eval mode; a file that exists is whole."""
    import torch

    xs = torch.zeros(batch, shape.channels, shape.height, shape.width)
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(f".{os.getpid()}")
    model = build(name, shape, weights).eval()
    if is_detector(name):
        model = decoded(name, model, shape.height, shape.width)
    if isinstance(model(xs), dict):
        model = main_output(model)
    torch.onnx.export(model, (xs,), partial, dynamo=True, external_data=False, verbose=False)
    partial.replace(file)


def images(arguments: argparse.Namespace) -> np.ndarray:
    """A batch from a fixed seed, or of a photo."""
    shape = input_of(arguments)
    if arguments.photo:
        return photo(arguments.model, arguments.photo, shape, arguments.batch)
    size = (arguments.batch, shape.channels, shape.height, shape.width)
    return np.random.default_rng(0).standard_normal(size, dtype=np.float32)


def main_output(model):
    """Of a network that gives its outputs by name."""
    import torch

    class MainOutput(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, xs):
            return self.model(xs)["out"]

    return MainOutput().eval()
