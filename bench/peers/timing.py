"""What the peers have in common: command line, timing, report."""

import argparse
import json
import resource
import statistics
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from models import Input, default_input

WARM_UP_CALLS = 3
MIN_CALLS = 5


def parser(description: str, modes: list[str]) -> argparse.ArgumentParser:
    """The options that every peer has; `modes` are what it can do."""
    options = argparse.ArgumentParser(description=description)
    options.add_argument("--model", required=True, metavar="NAME", help="a name of the registry, such as resnet18")
    options.add_argument("--mode", choices=modes, default="infer")
    options.add_argument("--batch", type=int, default=1, metavar="N")
    options.add_argument("--size", type=size, metavar="H[xW]", help="default: the model's own")
    options.add_argument("--weights", type=Path, metavar="DIR", help="a folder with model.safetensors; default: random weights")
    options.add_argument("--photo", type=Path, metavar="FILE", help="what a network that finds objects looks at; default: noise")
    options.add_argument("--threads", type=int, default=2, metavar="T")
    options.add_argument("--seconds", type=float, default=2.0, metavar="S", help="how long to time calls after the warm-up")
    options.add_argument("--json", action="store_true", help="print one JSON object")
    return options


def size(text: str) -> tuple[int, int]:
    """`H` or `HxW` as (height, width)."""
    height, _, width = text.partition("x")
    return int(height), int(width or height)


def input_of(arguments: argparse.Namespace) -> Input:
    """The model's input at the size asked for."""
    shape = default_input(arguments.model)
    if arguments.size is None:
        return shape
    height, width = arguments.size
    return replace(shape, height=height, width=width)


def photo(name: str, file: Path, shape: Input, batch: int) -> np.ndarray:
    """A photo as the network takes it: YOLOX fitted into the input from its first corner on, in blue, green and red from 0 to 255; others
    squeezed to it, from -1 to 1."""
    from PIL import Image

    image = Image.open(file).convert("RGB")
    if not name.startswith("yolox"):
        image = image.resize((shape.width, shape.height), Image.Resampling.BILINEAR)
        values = np.asarray(image, np.float32).transpose(2, 0, 1) / 127.5 - 1
        return np.broadcast_to(values, (batch, *values.shape)).copy()
    scale = min(shape.height / image.height, shape.width / image.width)
    image = image.resize((int(image.width * scale), int(image.height * scale)), Image.Resampling.BILINEAR)
    canvas = np.full((batch, 3, shape.height, shape.width), 114, np.float32)
    canvas[:, :, : image.height, : image.width] = np.asarray(image)[:, :, ::-1].transpose(2, 0, 1)
    return canvas


def time_calls(call, seconds: float) -> list[float]:
    """Milliseconds of each call after the warm-up, until `seconds` have passed and at least MIN_CALLS are timed."""
    for _ in range(WARM_UP_CALLS):
        call()
    times = []
    end = time.perf_counter() + seconds
    while len(times) < MIN_CALLS or time.perf_counter() < end:
        start = time.perf_counter()
        call()
        times.append(1e3 * (time.perf_counter() - start))
    return times


def report(arguments: argparse.Namespace, peer: str, times: list[float]):
    """Prints the result. Images per second are those of the median call; memory is the process's peak, in MiB."""
    shape, median = input_of(arguments), statistics.median(times)
    result = {
        "model": arguments.model,
        "mode": arguments.mode,
        "batch": arguments.batch,
        "size": [shape.height, shape.width],
        "threads": arguments.threads,
        "peer": peer,
        "images_per_second": 1e3 * arguments.batch / median,
        "ms_p50": median,
        "ms_p95": statistics.quantiles(times, n=20, method="inclusive")[-1],
        "calls": len(times),
        "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    if arguments.json:
        print(json.dumps(result))
    else:
        print("\n".join(f"{key:18} {value:.2f}" if isinstance(value, float) else f"{key:18} {value}" for key, value in result.items()))
