"""Writes crates/cnn-compress/tests/golden/importance.safetensors: how much each channel of a small network matters.

    python tools/goldens/pruning.py

`logits`: those of the last batch, flattened. `<criterion>.<layer>`: of each output channel of the layer, in f64. L1, L2, LAMP and the scale of norms are Torch-Pruning's
group importances (1.6.1, installed with --no-deps); Taylor and FPGM are computed here with PyTorch, since Torch-Pruning's
differ from the papers: its Taylor adds absolute products where equation 8 of Molchanov et al. squares their sum, and its FPGM
measures distances of squared weights. Both are averaged over the layers of a group and divided by its mean as Torch-Pruning
does. Weights and inputs come from the formula.
"""

from importlib.metadata import version
from pathlib import Path

import torch
import torch_pruning as tp
from torch import nn
from torch_pruning.pruner import importance

import files
from formula import values

GOLDEN = Path(__file__).parents[2] / "crates/cnn-compress/tests/golden"
INPUT = (2, 3, 12, 10)
BATCHES = 2
LAYERS = ["conv1", "conv2", "conv3", "left", "right", "conv4", "fc1"]


class Net(nn.Module):
    """A residual sum, a concatenation, and a linear layer behind a flattened map."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.conv2 = nn.Conv2d(8, 12, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(12)
        self.conv3 = nn.Conv2d(12, 8, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(8)
        self.left = nn.Conv2d(8, 5, 1)
        self.right = nn.Conv2d(8, 6, 3, padding=1)
        self.conv4 = nn.Conv2d(11, 7, 3, stride=2)
        self.pool = nn.MaxPool2d(2)
        self.fc1 = nn.Linear(7 * 2 * 2, 9)
        self.fc2 = nn.Linear(9, 4)

    def forward(self, x):
        x = self.bn1(self.conv1(x)).relu()
        x = (x + self.bn3(self.conv3(self.bn2(self.conv2(x)).relu()))).relu()
        x = torch.cat([self.left(x), self.right(x)], 1).relu()
        x = self.pool(self.conv4(x).relu()).flatten(1)
        return self.fc2(self.fc1(x).relu())


def tensor(name, shape):
    return torch.from_numpy(values(name, shape)).double()


def network():
    net = Net().double().eval()
    net.load_state_dict({k: torch.from_numpy(values(k, v.shape)) for k, v in net.state_dict().items()})
    return net


def group_of(graph, net, layer):
    module = getattr(net, layer)
    conv = isinstance(module, nn.Conv2d)
    return graph.get_pruning_group(module, tp.prune_conv_out_channels if conv else tp.prune_linear_out_channels,
                                   list(range(module.weight.shape[0])))


def places(group):
    """The modules of a group with the axis of their weight and the root channel at each position along it."""
    for item in group:
        module, function = item.dep.layer, item.dep.pruning_fn
        if not isinstance(module, (nn.Conv2d, nn.Linear, nn.BatchNorm2d)):
            continue
        axis = 1 if function in (tp.prune_conv_in_channels, tp.prune_linear_in_channels) else 0
        yield module, axis, item.idxs, item.root_idxs


def by_root(group, score, counts):
    """The mean over the places of the sums of scores of each root channel, divided by the group's mean."""
    channels = max(root for *_, roots in places(group) for root in roots) + 1
    scores, number = torch.zeros(channels, dtype=torch.float64), 0
    for module, axis, idxs, roots in places(group):
        if counts(module, axis):
            scores += score(module, axis, idxs, torch.tensor(roots), channels)
            number += 1
    return scores / number / (scores / number).mean()


def summed(of_position, roots, channels):
    return torch.zeros(channels, dtype=torch.float64).index_add_(0, roots, of_position)


def taylor(gradients):
    def score(module, axis, idxs, roots, channels):
        total = torch.zeros(channels, dtype=torch.float64)
        for of_batch in gradients:
            product = (module.weight.detach() * of_batch[module]).transpose(0, axis).flatten(1) if module.weight.dim() > 1 \
                else (module.weight.detach() * of_batch[module])[:, None]
            total += summed(product.sum(1)[idxs], roots, channels) ** 2
        return total / len(gradients)
    return score


def fpgm(module, axis, idxs, roots, channels):
    filters = module.weight.detach().flatten(1)
    return summed(torch.cdist(filters, filters, compute_mode="donot_use_mm_for_euclid_dist").sum(0)[idxs], roots, channels)


def main():
    net = network()
    graph = tp.DependencyGraph().build_dependency(net, example_inputs=tensor("input", INPUT))
    criteria = {
        "l1": importance.GroupMagnitudeImportance(p=1),
        "l2": importance.GroupMagnitudeImportance(p=2),
        "lamp": importance.LAMPImportance(),
        "norm_scale": importance.BNScaleImportance(),
        "sum": importance.GroupMagnitudeImportance(p=2, group_reduction="sum", normalizer="max"),
    }
    gradients = []
    for number in range(BATCHES):
        net.zero_grad()
        logits = net(tensor(f"input.{number}", INPUT))
        (logits * tensor("upstream", (INPUT[0], 4))).sum().backward()
        gradients.append({module: module.weight.grad.clone() for module in net.modules() if hasattr(module, "weight")})
    found = {"logits": logits.detach().flatten()}
    for layer in LAYERS:
        group = group_of(graph, net, layer)
        for name, criterion in criteria.items():
            # Torch-Pruning adds up in f32.
            scores = criterion(group)
            if scores is not None:
                found[f"{name}.{layer}"] = scores.double().contiguous()
        found[f"taylor.{layer}"] = by_root(group, taylor(gradients), lambda *_: True)
        makes = lambda module, axis: axis == 0 and not isinstance(module, nn.BatchNorm2d)
        found[f"fpgm.{layer}"] = by_root(group, fpgm, makes)
    GOLDEN.mkdir(parents=True, exist_ok=True)
    versions = {package: version(package) for package in ["torch", "torch-pruning"]}
    files.write(GOLDEN / "importance.safetensors", {name: scores.numpy() for name, scores in found.items()}, versions)


if __name__ == "__main__":
    main()
