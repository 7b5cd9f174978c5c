"""Writes crates/cnn-models/tests/golden/<name>.safetensors: what PyTorch computes for every model from formula-made weights.

    python tools/goldens/models.py [NAME…]          write the named golden files (all of them without a name)
    python tools/goldens/models.py --table          parameter counts and multiply-adds at the default classes and input size
"""

import argparse
import json
from pathlib import Path

import numpy as np
import timm
import torch
import torchvision
from torch import nn
from torch.nn import functional as F

import files
import formula
from families import FOREIGN, REFERENCES, VARIANTS
from families.lenet import LeNet5
from reference import Foreign, Reference

# PyTorch's backward pass of hard-sigmoid multiplies by a sixth that is rounded to f32, in f64 too.
F.hardsigmoid = lambda xs, inplace=False: F.relu6(xs + 3) / 6

GOLDEN = Path(__file__).parents[2] / "crates/cnn-models/tests/golden"
CLASSES = 11
BATCH = 2
PROBES = 4


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--table", action="store_true", help="print parameter counts and multiply-adds instead")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    known = {reference.name: reference for reference in REFERENCES + VARIANTS}
    foreign = {f"{network.name}.{network.library}": network for network in FOREIGN}
    if unknown := [name for name in arguments.names if name not in {**known, **foreign}]:
        parser.error(f"unknown model {', '.join(unknown)}; known: {', '.join({**known, **foreign})}")
    if not arguments.table:
        GOLDEN.mkdir(parents=True, exist_ok=True)
        print(f"{'f32 against f64, eval':24} {'logits':>9} {'stages':>9} {'|grad|':>9} {'grad·v':>9}")
    for name in arguments.names or known:
        if name in known:
            table_line(known[name]) if arguments.table else write_golden(known[name])
    for name in arguments.names or foreign:
        if name in foreign and not arguments.table:
            write_foreign(foreign[name])


def write_golden(reference: Reference):
    with torch.no_grad():
        model = reference.build_golden(CLASSES)
        load_formula(model)
    tensors = {}
    single = run(reference, model.float().eval(), torch.float32, reference.input)
    double = run(reference, model.double().eval(), torch.float64, reference.input)
    train = run(reference, model.train(), torch.float64, reference.train_input)
    tensors["logits"] = of_logits(single["logits"])
    tensors["grad.eval"] = single["grad"]
    for index, stage in enumerate(single["stages"]):
        tensors[f"stage{index}"] = summary(f"stage{index}", stage, PROBES)
        tensors[f"stage{index}.shape"] = np.array(stage.shape, dtype=np.int64)
    tensors["logits.eval64"], tensors["grad.eval64"] = of_logits(double["logits"]), double["grad"]
    tensors["logits.train64"], tensors["grad.train64"] = of_logits(train["logits"]), train["grad"]
    for head, logits in train["auxiliary"].items():
        tensors[f"logits.train64.{head}"] = of_logits(logits)
    if statistics := running_statistics(model):
        tensors["running.train64"] = np.stack([summary(name, values, 1) for name, values in statistics])
    metadata = {
        "source": reference.source,
        "torch": torch.__version__,
        "timm": timm.__version__,
        "torchvision": torchvision.__version__,
        "input": ",".join(map(str, (BATCH, *reference.input))),
        "input.train": ",".join(map(str, (BATCH, *reference.train_input))),
        "classes": str(CLASSES),
        "stages": ",".join(reference.stages),
    }
    if reference.model_args:
        metadata["model_args"] = json.dumps(reference.model_args)
    files.write(GOLDEN / f"{reference.name}.safetensors", tensors, metadata)
    print_differences(reference.name, single, double)


def of_logits(logits: np.ndarray) -> np.ndarray:
    """Class scores as they are; of scores for every pixel, their summary."""
    return logits if logits.ndim == 2 else summary("logits", logits, PROBES)


def write_foreign(network: Foreign):
    """Logits in evaluation mode, f32 and f64, and the names and shapes of the weights that the formula gave."""
    model = network.build(CLASSES)
    load_formula(model)
    xs = torch.from_numpy(formula.values("input", (BATCH, *network.input)))
    with torch.no_grad():
        single = model.float().eval()(xs).numpy()
        double = model.double()(xs.double()).numpy()
    metadata = {
        "source": network.library,
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "input": ",".join(map(str, (BATCH, *network.input))),
        "classes": str(CLASSES),
        "names": json.dumps({name: list(tensor.shape) for name, tensor in model.state_dict().items()}),
    }
    if network.model_args:
        metadata["model_args"] = json.dumps(network.model_args)
    path = GOLDEN / f"{network.name}.{network.library}.safetensors"
    files.write(path, {"logits": single, "logits.eval64": double}, metadata)
    print(f"{path.stem:24} {np.linalg.norm(single - double) / np.linalg.norm(double):9.1e}")


def load_formula(model: nn.Module):
    # The dictionary itself also holds the versions of the modules, which some ask for.
    state = model.state_dict()
    for name, tensor in state.items():
        state[name] = torch.from_numpy(formula.values(name, tensor.shape))
    model.load_state_dict(state, strict=True)


def run(reference: Reference, model: nn.Module, dtype: torch.dtype, shape: tuple[int, int, int]) -> dict:
    """Forward and backward of sum(logits · upstream), in train mode with the auxiliary heads' sums: logits, stage outputs, and one
    gradient row per tensor, `input` first."""
    stages, auxiliary = {}, {}
    keep = lambda path: lambda module, inputs, output: stages.__setitem__(path, output.detach().clone())
    hooks = [model.get_submodule(path).register_forward_hook(keep(path)) for path in reference.stages]
    for path in reference.auxiliary:
        # timm computes them in evaluation too, unless it is told not to.
        model.aux_logits = model.training
        if hasattr(model, path):
            hooks.append(model.get_submodule(path).register_forward_hook(lambda module, inputs, output, path=path: auxiliary.__setitem__(path, output)))
    xs = torch.from_numpy(formula.values("input", (BATCH, *shape))).to(dtype).requires_grad_()
    model.zero_grad()
    logits = model(xs)
    if isinstance(logits, dict):
        # torchvision's networks for pixels compute them in evaluation, too.
        auxiliary = {"aux_classifier": logits["aux"]} if model.training and "aux" in logits else {}
        logits = logits["out"]
    logits = logits[0] if isinstance(logits, tuple) else logits
    outputs = {"upstream": logits, **{f"upstream.{path}": output for path, output in auxiliary.items()}}
    sums = [(output * torch.from_numpy(formula.values(name, output.shape)).to(dtype)).sum() for name, output in outputs.items()]
    sum(sums).backward()
    for hook in hooks:
        hook.remove()
    gradient = lambda p: torch.zeros_like(p) if p.grad is None else p.grad
    named = [("input", xs.grad), *sorted((name, gradient(p)) for name, p in model.named_parameters())]
    return {
        "logits": logits.detach().numpy().copy(),
        "auxiliary": {path: output.detach().numpy().copy() for path, output in auxiliary.items()},
        "stages": [stages[path].numpy() for path in reference.stages],
        "grad": np.stack([summary(f"grad.{name}", gradient.numpy(), 1) for name, gradient in named]),
        "probe_norms": np.array([np.linalg.norm(formula.values(f"probe.0.grad.{name}", g.shape)) for name, g in named]),
    }


def summary(name: str, values: np.ndarray, probes: int) -> np.ndarray:
    """[norm, inner product with `probe.0.<name>`, …] in f64."""
    flat = np.asarray(values, dtype=np.float64).ravel()
    products = [flat @ formula.values(f"probe.{k}.{name}", flat.shape).astype(np.float64) for k in range(probes)]
    return np.array([np.sqrt(flat @ flat), *products])


def running_statistics(model: nn.Module) -> list[tuple[str, np.ndarray]]:
    return sorted((name, b.numpy()) for name, b in model.named_buffers() if name.endswith(("running_mean", "running_var")))


def print_differences(name: str, single: dict, double: dict):
    relative = lambda a, b: np.linalg.norm(a - b) / np.linalg.norm(b)
    logits = relative(single["logits"], double["logits"])
    stages = max(relative(a, b) for a, b in zip(single["stages"], double["stages"], strict=True))
    norm, product = double["grad"].T
    some = norm > 0
    norms = np.max(np.abs(single["grad"][:, 0] - norm)[some] / norm[some])
    products = np.max(np.abs(single["grad"][:, 1] - product)[some] / (norm * double["probe_norms"])[some])
    print(f"{name:24} {logits:9.1e} {stages:9.1e} {norms:9.1e} {products:9.1e}")


def table_line(reference: Reference):
    model = LeNet5(tanh=reference.name.endswith("tanh")) if reference.name.startswith("lenet") else reference.build(reference.default_classes)
    parameters = sum(p.numel() for p in model.parameters())
    shape = "x".join(map(str, reference.default_input))
    print(f"{reference.name:24} {parameters:>9} {multiply_adds(model, reference.default_input):>12} {shape:>10} {reference.default_classes:>5}")


def multiply_adds(model: nn.Module, shape: tuple[int, int, int]) -> int:
    """Those of convolutions and linear layers for one input."""
    counts = []

    def count(module, inputs, output):
        per_output = module.in_features if isinstance(module, nn.Linear) else module.weight[0].numel()
        outputs = inputs[0] if isinstance(module, nn.ConvTranspose2d) else output
        counts.append(outputs.numel() * per_output)

    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
            module.register_forward_hook(count)
    with torch.no_grad():
        model.eval()(torch.zeros(1, *shape))
    return sum(counts)


if __name__ == "__main__":
    main()
