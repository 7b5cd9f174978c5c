"""Golden files of what detectors minimise and find, from the formula's weights: `python tools/goldens/detectors.py [NAME…]`.

`crates/cnn-models/tests/golden/NAME.objects.safetensors` holds, of a batch of two images of which the second has no object: each named
loss in train mode and the gradient of their sum (f64), for YOLOX with and without what the last epochs add (`early`, `late`); and in
evaluation mode (f32) what is found within the limits of the metadata: the least score, the IoU, and the number for an image.
"""

import argparse
import json

import numpy as np
import torch

import files
import formula
from families import REFERENCES, VARIANTS, pyramid_detectors, ssd, yolox
from models import BATCH, CLASSES, GOLDEN, load_formula, summary

# Edges of the first image's objects in pixels, or as shares of its size, and their classes; two overlap, one lies partly outside.
PIXELS = [[10.0, 12.0, 44.0, 50.0], [20.0, 14.0, 52.0, 58.0], [61.0, -3.0, 90.0, 22.0], [70.0, 40.0, 80.0, 47.0]]
SHARES = [[0.11, 0.19, 0.47, 0.78], [0.21, 0.22, 0.55, 0.91], [0.63, -0.05, 0.93, 0.35], [0.71, 0.62, 0.97, 0.89]]
OBJECT_CLASSES = [3, 3, 0, 10]
# Objects beyond the image, which coarser levels of FCOS learn.
LARGE = [[-30.0, -10.0, 100.0, 72.0], [-150.0, -100.0, 200.0, 150.0]]
LARGE_CLASSES = [7, 2]

# The modules of the families, their phases of training, and the limits. An object within several of SSD's boxes, of which the least
# are a fifth of an image, overlaps with them alike: rounding would choose one.
FAMILIES = {
    yolox.SOURCE: (yolox, ("early", "late"), (0.05, 0.05, 1000)),
    ssd.SOURCE: (ssd, ("early",), (0.01, 0.45, 60)),
    pyramid_detectors.SOURCE: (pyramid_detectors, ("early",), (0.05, 0.05, 1000)),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME")
    torch.set_num_threads(1)
    known = {reference.name: reference for reference in REFERENCES + VARIANTS if reference.source in FAMILIES}
    for name in parser.parse_args().names or known:
        write(known[name])


def images(shape):
    return torch.from_numpy(formula.values("input", (BATCH, *shape)))


def objects(reference):
    """Edges and classes."""
    if reference.name.startswith("fcos"):
        return PIXELS + LARGE, OBJECT_CLASSES + LARGE_CLASSES
    if reference.source != ssd.SOURCE:
        return PIXELS, OBJECT_CLASSES
    _, height, width = reference.train_input
    return [[round(share * side, 1) for share, side in zip(edges, (width, height) * 2)] for edges in SHARES], OBJECT_CLASSES


def write(reference):
    family, phases, limits = FAMILIES[reference.source]
    limits = pyramid_detectors.LIMITS.get(reference.name, limits)
    model, model_args = built(reference)
    scaled = pyramid_detectors.SCALED.get(reference.name, {})
    load(model, scaled)
    tensors = {}
    with torch.no_grad():
        found = family.detect(model.float().eval(), images(reference.input), *limits)
    for image, values in enumerate(found):
        for name, value in zip(("boxes", "scores", "classes"), values):
            tensors[f"{name}.{image}"] = value.numpy()
    edges, classes = map(torch.tensor, objects(reference))
    targets = [(edges.double(), classes), (torch.zeros(0, 4).double(), torch.zeros(0).long())]
    for phase in phases:
        load(model, scaled)
        model.double().train().zero_grad()
        losses = family.losses(model, images(reference.train_input).double(), targets, phase == "late")
        sum(losses.values()).backward()
        for loss, value in losses.items():
            tensors[f"{phase}.{loss}"] = value.detach().numpy()
        tensors[f"{phase}.grad"] = np.stack([summary(f"grad.{name}", p.grad.numpy(), 1) for name, p in sorted(model.named_parameters())])
    metadata = {
        "source": reference.source,
        "torch": torch.__version__,
        "input": ",".join(map(str, (BATCH, *reference.input))),
        "input.train": ",".join(map(str, (BATCH, *reference.train_input))),
        "classes": str(CLASSES),
        "objects": json.dumps(objects(reference)),
        "limits": json.dumps(limits),
        "scaled": json.dumps(scaled),
    }
    if model_args:
        metadata["model_args"] = json.dumps(model_args)
    if reference.source == pyramid_detectors.SOURCE and reference.default_classes == 90:
        metadata["state_dict"] = json.dumps(pyramid_detectors.names(reference.build))
    files.write(GOLDEN / f"{reference.name}.objects.safetensors", tensors, metadata)
    print(reference.name, [len(scores) for _, scores, _ in found], {key: float(value) for key, value in tensors.items() if value.ndim == 0})


def built(reference):
    """The network, and what it is built with beyond the classes."""
    if reference.source != pyramid_detectors.SOURCE:
        return reference.build_golden(CLASSES), reference.model_args
    # Samplers that take all and few proposals are said to the network.
    options = reference.build(CLASSES).kind.options
    return reference.build(CLASSES, **options), {**reference.model_args, **options}


def load(model, scaled):
    """The formula's weights, of which some are multiplied."""
    load_formula(model)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            for module, factor in scaled.items():
                if name.startswith(f"{module}."):
                    parameter.mul_(torch.tensor(factor, dtype=parameter.dtype))


if __name__ == "__main__":
    main()
