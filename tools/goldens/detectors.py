"""Golden files of what detectors minimise and find, from the formula's weights: `python tools/goldens/detectors.py [NAME…]`.

`crates/cnn-models/tests/golden/NAME.objects.safetensors` holds, of a batch of two images of which the second has no object: each named
loss in train mode and the gradient of their sum (f64), with and without what the last epochs add; and in evaluation mode (f32)
what is found at a least score of 0.05 and an IoU of 0.05.
"""

import argparse
import json

import numpy as np
import torch
from torchvision.ops import batched_nms

import files
import formula
from families import REFERENCES, yolox
from models import BATCH, CLASSES, GOLDEN, load_formula, summary

# Edges and classes of the first image's objects; two overlap, one lies partly outside.
OBJECTS = ([[10.0, 12.0, 44.0, 50.0], [20.0, 14.0, 52.0, 58.0], [61.0, -3.0, 90.0, 22.0], [70.0, 40.0, 80.0, 47.0]], [3, 3, 0, 10])
SCORE, IOU = 0.05, 0.05


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME")
    torch.set_num_threads(1)
    known = {reference.name: reference for reference in REFERENCES if reference.source == "YOLOX"}
    for name in parser.parse_args().names or known:
        write(known[name])


def write(reference):
    model = reference.build(CLASSES)
    load_formula(model)
    _, height, width = reference.input
    xs = torch.from_numpy(formula.values("input", (BATCH, *reference.input)))
    tensors = {}
    with torch.no_grad():
        found = detect(model.float().eval()(xs), height, width)
    for image, (boxes, scores, classes) in enumerate(found):
        tensors[f"boxes.{image}"], tensors[f"scores.{image}"], tensors[f"classes.{image}"] = boxes, scores, classes
    edges, classes = (torch.tensor(values) for values in OBJECTS)
    edges = edges.double()
    truth = torch.cat([(edges[:, :2] + edges[:, 2:]) / 2, edges[:, 2:] - edges[:, :2]], 1)
    truths = [(truth, classes), (torch.zeros(0, 4).double(), torch.zeros(0).long())]
    for phase, is_late in (("early", False), ("late", True)):
        load_formula(model)
        model.double().train().zero_grad()
        losses = yolox.losses(model(xs.double()), truths, height, width, is_late)
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
    }
    files.write(GOLDEN / f"{reference.name}.objects.safetensors", tensors, metadata)
    print(reference.name, [len(scores) for _, scores, _ in found], {key: float(value) for key, value in tensors.items() if key.startswith("late.") and value.ndim == 0})


def detect(outputs, height, width):
    result = []
    boxes = yolox.decode(outputs, height, width)
    scores, classes = (outputs[..., 5:].sigmoid() * outputs[..., 4:5].sigmoid()).max(2)
    edges = torch.cat([boxes[..., :2] - boxes[..., 2:] / 2, boxes[..., :2] + boxes[..., 2:] / 2], 2)
    for image in range(len(outputs)):
        some = scores[image] >= SCORE
        found = edges[image][some], scores[image][some], classes[image][some]
        kept = batched_nms(*found, IOU)
        result.append(tuple(values[kept].numpy() for values in found))
    return result


if __name__ == "__main__":
    main()
