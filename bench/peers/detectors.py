"""What the peers do with networks that find objects: decoding in the network, suppression behind it, and the losses of a training step.

The networks are those of tools/goldens/families: of YOLOX this project's reference implementation, of SSDLite torchvision's; with random
weights or those of a folder.
"""

import sys

from models import ROOT, Input

LIMITS = {"yolox": (0.001, 0.65), "ssdlite320": (0.001, 0.55)}
"""The least score and the IoU of a detection, as the networks are evaluated; both as this toolkit's defaults."""


CANDIDATES = 300
"""Boxes of a class that SSD's suppression compares."""


def is_detector(name: str) -> bool:
    return family(name) in LIMITS


def family(name: str) -> str:
    return name.partition("_")[0]


def decoded(name: str, model, height: int, width: int):
    """The network with the edges of every place and the scores of its classes as outputs: of YOLOX of the best class alone, with its number."""
    import torch

    reference = families()

    class DecodedYolox(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, xs):
            outputs = self.model(xs)
            boxes = reference.yolox.decode(outputs, height, width)
            half = boxes[..., 2:] / 2
            scores, classes = (outputs[..., 5:].sigmoid() * outputs[..., 4:5].sigmoid()).max(2)
            return torch.cat([boxes[..., :2] - half, boxes[..., :2] + half], 2), scores, classes

    class DecodedSsd(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model
            # They depend on the input's size alone.
            _, default_boxes, _ = reference.ssd.predictions(model.eval(), torch.zeros(1, 3, height, width))
            self.register_buffer("default_boxes", default_boxes[0])

        def forward(self, xs):
            outputs = self.model.head(list(self.model.backbone(xs).values()))
            corners = self.default_boxes
            sizes = corners[:, 2:] - corners[:, :2]
            centres = corners[:, :2] + sizes / 2
            codes = outputs["bbox_regression"]
            middles = centres + codes[..., :2] / 10 * sizes
            halves = (codes[..., 2:] / 5).clamp(max=4.135).exp() * sizes / 2
            return torch.cat([middles - halves, middles + halves], 2), outputs["cls_logits"].softmax(2)[..., 1:]

    wrapped = DecodedYolox() if family(name) == "yolox" else DecodedSsd()
    return wrapped.eval()


def suppressed(name: str, edges, scores, classes=None):
    """What is left of each image, with torchvision's suppression per class."""
    import torch
    from torchvision.ops import batched_nms

    least, overlap = LIMITS[family(name)]
    found = []
    for image in range(len(edges)):
        of_image, of_scores = (torch.as_tensor(values[image]) for values in (edges, scores))
        if classes is None:
            # SSD compares the best of each class.
            of_scores, places = of_scores.topk(min(CANDIDATES, len(of_scores)), 0)
            some = of_scores >= least
            of_classes = some.nonzero()[:, 1]
            of_image, of_scores = of_image[places[some]], of_scores[some]
        else:
            some = of_scores >= least
            of_image, of_scores, of_classes = of_image[some], of_scores[some], torch.as_tensor(classes[image])[some]
        kept = batched_nms(of_image, of_scores, of_classes, overlap)
        found.append((of_image[kept], of_scores[kept], of_classes[kept]))
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
    return sum(families().yolox.losses_of(outputs, [truth] * len(outputs), shape.height, shape.width, False).values())


def families():
    sys.path.insert(0, str(ROOT / "tools/goldens"))
    import families

    return families
