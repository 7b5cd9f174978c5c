"""Writes crates/cnn-compress/tests/golden/distillation.safetensors: losses between a student and a teacher, by PyTorch in f64.

    python tools/goldens/distillation.py

`<loss>` is the value and `<loss>.gradient` the gradient by what the student gives, maps in PyTorch's order. Attention is as in the
paper's repository (Zagoruyko and Komodakis), similarity as equation 4 of Tung and Mori. Inputs come from the formula.
"""

from importlib.metadata import version
from pathlib import Path

import torch
from torch.nn import functional as F

import files
from formula import values

GOLDEN = Path(__file__).parents[2] / "crates/cnn-compress/tests/golden"
TEMPERATURE = 4.0


def tensor(name, shape):
    return torch.from_numpy(values(name, shape)).double()


def attention(maps, size):
    pooled = F.adaptive_avg_pool2d(maps, size)
    return F.normalize(pooled.pow(2).mean(1).flatten(1))


def similarity(maps):
    features = maps.flatten(1)
    return F.normalize(features @ features.t())


def soft(student, teacher):
    wanted = F.softmax(3 * teacher / TEMPERATURE, 1)
    return F.kl_div(F.log_softmax(3 * student / TEMPERATURE, 1), wanted, reduction="batchmean") * TEMPERATURE**2


def main():
    losses = {
        "soft": ((4, 7), (4, 7), soft),
        "attention": ((4, 5, 6, 8), (4, 9, 6, 8), lambda s, t: (attention(s, (6, 8)) - attention(t, (6, 8))).pow(2).mean()),
        "attention_of_sizes": ((4, 5, 6, 8), (4, 9, 12, 4), lambda s, t: (attention(s, (6, 4)) - attention(t, (6, 4))).pow(2).mean()),
        "similarity": ((4, 5, 6, 8), (4, 9, 3, 4), lambda s, t: (similarity(s) - similarity(t)).pow(2).sum() / 16),
    }
    found = {}
    for name, (of_student, of_teacher, loss) in losses.items():
        student = tensor(f"{name}.student", of_student).requires_grad_()
        value = loss(student, tensor(f"{name}.teacher", of_teacher))
        value.backward()
        found[name] = value.detach().reshape(1).numpy()
        found[f"{name}.gradient"] = student.grad.numpy()
    files.write(GOLDEN / "distillation.safetensors", found, {"torch": version("torch")})


if __name__ == "__main__":
    main()
