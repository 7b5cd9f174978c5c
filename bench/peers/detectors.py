"""What the peers do with networks that find objects: decoding in the network, suppression behind it, and the losses of a training step.

The networks are this project's reference implementations, tools/goldens/families/yolox.py, with random weights or those of a folder.
"""

import sys

from models import ROOT, Input

SCORE, IOU = 0.001, 0.65
"""What a detection needs, as YOLOX is evaluated; both as this toolkit's defaults."""


def is_detector(name: str) -> bool:
    return name.startswith("yolox_")


def decoded(model, height: int, width: int):
    """The network with the edges, the best class and its score of every place as outputs."""
    import torch

    reference = yolox()

    class Decoded(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, xs):
            outputs = self.model(xs)
            boxes = reference.decode(outputs, height, width)
            half = boxes[..., 2:] / 2
            scores, classes = (outputs[..., 5:].sigmoid() * outputs[..., 4:5].sigmoid()).max(2)
            return torch.cat([boxes[..., :2] - half, boxes[..., :2] + half], 2), scores, classes

    return Decoded().eval()


def suppressed(edges, scores, classes):
    """What is left of each image, with torchvision's suppression per class."""
    import torch
    from torchvision.ops import batched_nms

    found = []
    for image in zip(edges, scores, classes):
        edges, scores, classes = (torch.as_tensor(values) for values in image)
        some = scores >= SCORE
        edges, scores, classes = edges[some], scores[some], classes[some]
        kept = batched_nms(edges, scores, classes, IOU)
        found.append((edges[kept], scores[kept], classes[kept]))
    return found


def loss(outputs, shape: Input):
    """The sum of the losses with eight objects in each image, as in this toolkit's `bench --mode train`."""
    import torch

    boxes, classes = [], []
    for number in range(8):
        x, y = (number % 4 + 0.5) / 4 * shape.width, (number // 4 + 0.5) / 2 * shape.height
        half = (1 + number) / 32 * shape.width, (8 - number) / 32 * shape.height
        left, top = max(x - half[0], 0), max(y - half[1], 0)
        right, bottom = min(x + half[0], shape.width), min(y + half[1], shape.height)
        boxes.append([(left + right) / 2, (top + bottom) / 2, right - left, bottom - top])
        classes.append(number % shape.classes)
    truth = torch.tensor(boxes), torch.tensor(classes)
    return sum(yolox().losses(outputs, [truth] * len(outputs), shape.height, shape.width, False).values())


def yolox():
    sys.path.insert(0, str(ROOT / "tools/goldens"))
    from families import yolox

    return yolox
