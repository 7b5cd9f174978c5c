"""Golden files of cnn-transfer's domain adaptation: losses by plain PyTorch programs of the published formulas, and labels that
features suggest by SHOT's program. See README.md.

Where the Transfer-Learning-Library has the loss, this is its formula; it adds 2 / (N - 1) to the discrepancies of kernels, which
is left out here, and 1e-5 or less within logarithms of entropies, which is too.
"""

import json
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from formula import values

FOLDER = Path(__file__).parents[2] / "crates/cnn-transfer/tests/golden"
SHAPES = {
    "features.source": (6, 4),
    "features.target": (6, 4),
    "features.few": (4, 4),
    "wide.source": (5, 9),
    "wide.target": (3, 9),
    "logits.source": (6, 3),
    "logits.target": (6, 3),
    "domain.source": (6, 1),
    "domain.target": (4, 1),
    "weight.source": (6, 1),
    "weight.target": (4, 1),
    "matrix.features": (4, 5),
    "matrix.classes": (3, 5),
}
FIVE = [2.0**k for k in range(-3, 2)]
# Images, features and classes of the cases of suggested labels.
SUGGESTED = [(40, 5, 4), (60, 16, 10), (24, 3, 4)]


def main():
    torch.set_num_threads(1)
    lines = [f"{json.dumps(name)}: {json.dumps(case(*row))}" for name, row in rows().items()]
    (FOLDER / "adapt_losses.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")
    lines = [json.dumps(suggestion(*sizes)) for sizes in SUGGESTED]
    (FOLDER / "centroid_labels.json").write_text("[\n" + ",\n".join(lines) + "\n]\n")


def rows() -> dict:
    """By the case's name: which inputs have gradients, and the function of them."""
    both = ["features.source", "features.target"]
    few = ["features.source", "features.few"]
    wide = ["wide.source", "wide.target"]
    joint = both + ["logits.source", "logits.target"]
    domain = ["domain.source", "domain.target"]
    logits = ["logits.source", "logits.target"]
    return {
        "mmd": (both, lambda s, t: mmd([(s, t, relative(FIVE))], quadratic)),
        "mmd few": (few, lambda s, t: mmd([(s, t, relative(FIVE))], quadratic)),
        "mmd linear": (both, lambda s, t: mmd([(s, t, relative(FIVE))], linear)),
        "mmd fixed": (wide, lambda s, t: mmd([(s, t, fixed([0.5, 2.0]))], quadratic)),
        "jan": (joint, lambda s, t, p, q: mmd([(s, t, relative(FIVE)), (p.softmax(1), q.softmax(1), fixed([0.92]))], quadratic)),
        "jan linear": (joint, lambda s, t, p, q: mmd([(s, t, relative(FIVE)), (p.softmax(1), q.softmax(1), fixed([0.92]))], linear)),
        "coral": (few, coral),
        "coral wide": (wide, coral),
        "cmd": (few, lambda s, t: cmd(s, t, 5, 1.0)),
        "cmd 3 2": (wide, lambda s, t: cmd(s, t, 3, 2.0)),
        "domain": (domain, lambda s, t: domain_loss(s, t, torch.ones_like(s), torch.ones_like(t))),
        "domain weighted": (domain, lambda s, t: domain_loss(s, t, tensor("weight.source"), tensor("weight.target"))),
        "multilinear": (["features.source", "logits.source"], lambda f, g: probed(outer(f, g.softmax(1).detach()))),
        "random multilinear": (["features.source", "logits.source"], lambda f, g: probed(randomised(f, g.softmax(1).detach()))),
        "cdan+e": (joint, cdan_e),
        "mcd": (logits, lambda a, b: (a.softmax(1) - b.softmax(1)).abs().mean()),
        "confident": (logits, lambda q, guide: confident(q, guide, 0.6, crossed)),
        "confident all": (logits, lambda q, guide: confident(q, guide, 0.0, crossed)),
        "pseudo-labels": (["logits.target"], lambda q: confident(q, q, 0.65, crossed)),
        "confident squares": (logits, lambda q, teacher: confident(q, teacher, 0.6, squares)),
        "mcc": (["logits.target"], lambda g: mcc(g, 2.5)),
        "mcc 1": (["logits.target"], lambda g: mcc(g, 1.0)),
        "entropy": (["logits.target"], lambda g: entropies(g.softmax(1)).mean()),
        "information": (["logits.target"], lambda g: entropies(g.softmax(1)).mean() - entropies(g.softmax(1).mean(0, keepdim=True))[0]),
        "hafn": (few, lambda s, t: sum((x.norm(p=2, dim=1).mean() - 25) ** 2 for x in (s, t))),
        "safn": (["features.source"], lambda x: ((x.norm(p=2, dim=1) - (x.norm(p=2, dim=1).detach() + 0.3)) ** 2).mean()),
        "bsp": (wide, lambda s, t: sum((torch.linalg.svdvals(x)[:1] ** 2).sum() for x in (s, t))),
        "bsp 2": (few, lambda s, t: sum((torch.linalg.svdvals(x)[:2] ** 2).sum() for x in (s, t))),
    }


def tensor(name: str) -> torch.Tensor:
    return torch.from_numpy(values(name, SHAPES[name])).double() * (3 if name.startswith("logits") else 1)


def case(names, loss) -> dict:
    inputs = [tensor(name).requires_grad_() for name in names]
    value = loss(*inputs)
    gradients = torch.autograd.grad(value, inputs, allow_unused=True)
    by_name = {
        name: [] if gradient is None else [float(f"{x:.13g}") for x in gradient.flatten().tolist()]
        for name, gradient in zip(names, gradients)
    }
    return {"value": value.item(), "gradients": by_name}


def relative(factors):
    return lambda d: sum(torch.exp(-d / (2 * factor * d.detach().mean())) for factor in factors)


def fixed(sigmas):
    return lambda d: sum(torch.exp(-d / (2 * sigma**2)) for sigma in sigmas)


def mmd(layers, estimate):
    product = 1
    for source, target, kernel in layers:
        x = torch.cat([source, target])
        product = product * kernel(((x.unsqueeze(0) - x.unsqueeze(1)) ** 2).sum(2))
    n, m = len(layers[0][0]), len(layers[0][1])
    return estimate(product[:n, :n], product[n:, n:], product[:n, n:])


def quadratic(ss, tt, st):
    off_diagonal = lambda k: (k.sum() - k.diagonal().sum()) / (len(k) * (len(k) - 1))
    return off_diagonal(ss) + off_diagonal(tt) - 2 * st.mean()


def linear(ss, tt, st):
    n = len(ss)
    return sum(ss[i, (i + 1) % n] + tt[i, (i + 1) % n] - st[i, (i + 1) % n] - st[(i + 1) % n, i] for i in range(n)) / n


def coral(source, target):
    difference = torch.cov(source.T) - torch.cov(target.T)
    return torch.linalg.norm(difference, ord="fro") ** 2 / (4 * source.shape[1] ** 2)


def cmd(source, target, moments, width):
    loss = (source.mean(0) - target.mean(0)).norm() / width
    centred = [x - x.mean(0) for x in (source, target)]
    for k in range(2, moments + 1):
        loss = loss + ((centred[0] ** k).mean(0) - (centred[1] ** k).mean(0)).norm() / width**k
    return loss


def domain_loss(source, target, source_weights, target_weights):
    d, t = source.sigmoid(), target.sigmoid()
    ones, zeros = torch.ones_like(d), torch.zeros_like(t)
    return 0.5 * (F.binary_cross_entropy(d, ones, source_weights) + F.binary_cross_entropy(t, zeros, target_weights))


def outer(f, g):
    return torch.bmm(g.unsqueeze(2), f.unsqueeze(1)).view(len(f), -1)


def randomised(f, g):
    return (f @ tensor("matrix.features")) * (g @ tensor("matrix.classes")) / 5**0.5


def probed(xs):
    return (xs * torch.from_numpy(values("probe.map", xs.shape)).double()).sum()


def cdan_e(source, target, source_logits, target_logits):
    """The discriminator is one linear map."""
    f, g = torch.cat([source, target]), torch.cat([source_logits, target_logits]).softmax(1).detach()
    d = (outer(f, g) @ torch.from_numpy(values("probe.discriminator", (12, 1))).double()).sigmoid()
    labels = torch.cat([torch.ones(len(source), 1), torch.zeros(len(target), 1)]).double()
    weights = 1 + torch.exp(-entropies(g))
    weights = weights / weights.sum() * len(f)
    return F.binary_cross_entropy(d, labels, weights.view_as(d))


def confident(logits, guide, threshold, loss):
    """As TorchSSL's `consistency_loss` and the self-ensembling of French et al. have it: a mask over samples, the mean of all."""
    guided = guide.detach().softmax(1)
    is_sure = (guided.max(1).values >= threshold).double()
    return (loss(logits, guided) * is_sure).mean()


def crossed(logits, guided):
    return F.cross_entropy(logits, guided.argmax(1), reduction="none")


def squares(logits, guided):
    return ((logits.softmax(1) - guided) ** 2).mean(1)


def mcc(logits, temperature):
    n, classes = logits.shape
    p = (logits / temperature).softmax(1)
    weights = 1 + torch.exp(-entropies(p).detach())
    weights = (n * weights / weights.sum()).unsqueeze(1)
    confusion = (p * weights).T @ p
    confusion = confusion / confusion.sum(1)
    return (confusion.sum() - confusion.trace()) / classes


def entropies(p):
    return -(p * p.log()).sum(1)


def suggestion(images, columns, classes) -> dict:
    """Features around a centre for each class, the last of which no prediction names, and predictions that are often wrong."""
    name = f"suggested.{images}"
    kinds = np.arange(images) % (classes - 1)
    centres = values(f"{name}.centres", (classes, columns))
    features = values(f"{name}.features", (images, columns)) + centres[kinds]
    logits = 2 * values(f"{name}.logits", (images, classes))
    logits[np.arange(images), kinds] += 1
    logits[:, -1] -= 4
    features, logits = features.astype(np.float64), logits.astype(np.float64)
    labels = obtain_label(features, logits)
    predicted = logits.argmax(1)
    assert classes - 1 not in predicted and not np.array_equal(labels, predicted), "a case that shows nothing"
    return {"images": images, "columns": columns, "classes": classes, "labels": labels.tolist()}


def obtain_label(features, logits):
    """SHOT's function of this name (its authors' `object/image_target.py`), in numpy, for the cosine and the threshold 0."""
    output = np.exp(logits - logits.max(1, keepdims=True))
    output = output / output.sum(1, keepdims=True)
    features = np.concatenate([features, np.ones((len(features), 1))], 1)
    features = features / np.linalg.norm(features, axis=1, keepdims=True)
    classes = output.shape[1]
    count = np.eye(classes)[output.argmax(1)].sum(0)
    (named,) = np.where(count > 0)

    def nearest(weights):
        centroids = weights.T.dot(features) / (1e-8 + weights.sum(0)[:, None])
        centroids = centroids[named]
        lengths = np.linalg.norm(centroids, axis=1)
        assert lengths.min() > 0, "a class without images, whose distances are no numbers"
        cosines = features.dot(centroids.T) / lengths
        best = np.sort(cosines, 1)
        assert len(named) > 1 and (best[:, -1] - best[:, -2]).min() > 1e-5, "a label that rounding may change"
        return named[cosines.argmax(1)]

    labels = nearest(output)
    return nearest(np.eye(classes)[labels])


if __name__ == "__main__":
    main()
