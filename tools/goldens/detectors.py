"""Golden files of what detectors minimise and find, from the formula's weights: `python tools/goldens/detectors.py [NAME…]`.

`crates/cnn-models/tests/golden/NAME.objects.safetensors` holds, of a batch of two images of which the second has no object: each named
loss in train mode and the gradient of their sum (f64), with and without what the last epochs add where that is something; and in
evaluation mode (f32) what is found at a least score of 0.05 and an IoU of 0.05.
"""

import argparse
import json

import numpy as np
import torch
from torchvision.ops import batched_nms

import files
import formula
from families import REFERENCES, VARIANTS, pyramid_detectors, yolox
from models import BATCH, CLASSES, GOLDEN, load_formula, summary

# Edges and classes of the first image's objects; two overlap, one lies partly outside.
OBJECTS = ([[10.0, 12.0, 44.0, 50.0], [20.0, 14.0, 52.0, 58.0], [61.0, -3.0, 90.0, 22.0], [70.0, 40.0, 80.0, 47.0]], [3, 3, 0, 10])
SCORE, IOU, COUNT = 0.05, 0.05, 1000


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME")
    torch.set_num_threads(1)
    known = {reference.name: reference for reference in REFERENCES + VARIANTS if reference.source in KINDS}
    for name in parser.parse_args().names or known:
        write(known[name])


class Yolox:
    options, phases = {}, {"early": False, "late": True}

    @staticmethod
    def losses(model, xs, truths, is_late):
        centred = lambda edges: torch.cat([(edges[:, :2] + edges[:, 2:]) / 2, edges[:, 2:] - edges[:, :2]], 1)
        truths = [(centred(edges), classes) for edges, classes in truths]
        return yolox.losses(model(xs), truths, *xs.shape[-2:], is_late)

    @staticmethod
    def detect(model, xs):
        result = []
        outputs = model(xs)
        boxes = yolox.decode(outputs, *xs.shape[-2:])
        scores, classes = (outputs[..., 5:].sigmoid() * outputs[..., 4:5].sigmoid()).max(2)
        edges = torch.cat([boxes[..., :2] - boxes[..., 2:] / 2, boxes[..., :2] + boxes[..., 2:] / 2], 2)
        for image in range(len(outputs)):
            some = scores[image] >= SCORE
            found = edges[image][some], scores[image][some], classes[image][some]
            kept = batched_nms(*found, IOU)
            result.append(tuple(values[kept] for values in found))
        return result


class OverPyramid:
    options, phases = None, {"early": False}

    @staticmethod
    def losses(model, xs, truths, is_late):
        return model.kind.losses(model, xs, truths)

    @staticmethod
    def detect(model, xs):
        return model.kind.detect(model, xs, SCORE, IOU, COUNT)


# By the sources of the references.
KINDS = {"YOLOX": Yolox, pyramid_detectors.SOURCE: OverPyramid}
SCALED = pyramid_detectors.SCALED


def write(reference):
    kind = KINDS[reference.source]
    # What an OverPyramid is built with depends on the network.
    options = kind.options if kind.options is not None else reference.build(CLASSES).kind.options
    model = reference.build(CLASSES, **options)
    scaled = SCALED.get(reference.name, {})
    load(model, scaled)
    xs = torch.from_numpy(formula.values("input", (BATCH, *reference.input)))
    tensors = {}
    with torch.no_grad():
        found = kind.detect(model.float().eval(), xs)
    for image, (boxes, scores, classes) in enumerate(found):
        tensors |= {f"boxes.{image}": boxes.numpy(), f"scores.{image}": scores.numpy(), f"classes.{image}": classes.numpy()}
    edges, classes = (torch.tensor(values) for values in OBJECTS)
    truths = [(edges.double(), classes), (torch.zeros(0, 4).double(), torch.zeros(0).long())]
    for phase, is_late in kind.phases.items():
        load(model, scaled)
        model.double().train().zero_grad()
        losses = kind.losses(model, xs.double(), truths, is_late)
        sum(losses.values()).backward()
        for loss, value in losses.items():
            tensors[f"{phase}.{loss}"] = value.detach().numpy()
        tensors[f"{phase}.grad"] = np.stack([summary(f"grad.{name}", p.grad.numpy(), 1) for name, p in sorted(model.named_parameters())])
    metadata = {
        "source": reference.source,
        "torch": torch.__version__,
        "input": ",".join(map(str, (BATCH, *reference.input))),
        "classes": str(CLASSES),
        "objects": json.dumps(OBJECTS),
        "model_args": json.dumps({**reference.model_args, **options}),
        "scaled": json.dumps(scaled),
    }
    if reference.source == pyramid_detectors.SOURCE and reference.default_classes == 90:
        metadata["state_dict"] = json.dumps(pyramid_detectors.names(reference.build))
    files.write(GOLDEN / f"{reference.name}.objects.safetensors", tensors, metadata)
    print(reference.name, [len(scores) for _, scores, _ in found], {key: float(value) for key, value in tensors.items() if value.ndim == 0})


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
