"""Times inference or training steps in PyTorch on the CPU, in f32.

    python bench/peers/pytorch.py --model resnet18 --mode train --batch 8 --layout channels_last --json

`--engine eager` runs the model as it is, `compile` what `torch.compile` makes of it, which needs a C++ compiler, `frozen` (inference only) a
trace with batch-norms folded into convolutions, weights laid out for oneDNN and activations fused. A training step is: clear the gradients, forward in train mode, cross-entropy with fixed labels, backward, SGD.
"""

import warnings

import torch
from torch.nn import functional as F

from models import build
from timing import input_of, parser, report, time_calls

LAYOUTS = {"channels_last": torch.channels_last, "channels_first": torch.contiguous_format}


def main():
    options = parser(__doc__.splitlines()[0], ["infer", "train"])
    options.add_argument("--layout", choices=LAYOUTS, default="channels_last")
    options.add_argument("--engine", choices=["eager", "compile", "frozen"], default="eager")
    arguments = options.parse_args()
    if arguments.mode == "train" and arguments.engine == "frozen":
        options.error("--engine frozen cannot train")
    torch.set_num_threads(arguments.threads)
    # The default, said aloud: no bf16 inside f32 operations.
    torch.set_float32_matmul_precision("highest")

    shape, layout = input_of(arguments), LAYOUTS[arguments.layout]
    model = build(arguments.model, shape).to(memory_format=layout)
    torch.manual_seed(0)
    xs = torch.randn(arguments.batch, shape.channels, shape.height, shape.width).contiguous(memory_format=layout)
    is_dense = not torch.is_tensor(outputs := model.eval()(xs[:1])) or outputs.dim() == 4
    size = (arguments.batch, shape.height, shape.width) if is_dense else (arguments.batch,)
    labels = torch.randint(shape.classes, size)
    if arguments.mode == "train":
        model = torch.compile(model) if arguments.engine == "compile" else model
        times = time_calls(training_step(model, xs, labels), arguments.seconds)
    else:
        engines = {"eager": lambda model: model, "compile": torch.compile, "frozen": lambda model: freeze(model, xs)}
        model = engines[arguments.engine](model.eval())
        with torch.inference_mode():
            times = time_calls(lambda: model(xs), arguments.seconds)
    engine = "" if arguments.engine == "eager" else f" {arguments.engine}"
    report(arguments, f"PyTorch {torch.__version__.partition('+')[0]}{engine} {arguments.layout}", times)


def training_step(model, xs, labels):
    optimizer = torch.optim.SGD(model.train().parameters(), lr=0.001, momentum=0.9)

    def step():
        optimizer.zero_grad(set_to_none=True)
        outputs = model(xs)
        # Networks with auxiliary heads give a named tuple in train mode.
        if isinstance(outputs, dict):
            outputs = outputs.values()
        heads = [outputs] if torch.is_tensor(outputs) else [head for head in outputs if head is not None]
        sum(F.cross_entropy(head, labels) * (1.0 if index == 0 else 0.3) for index, head in enumerate(heads)).backward()
        optimizer.step()

    return step


def freeze(model, xs):
    with warnings.catch_warnings(), torch.no_grad():
        # Deprecated in favour of torch.compile, which needs a C++ compiler on the machine.
        warnings.simplefilter("ignore", FutureWarning)
        return torch.jit.optimize_for_inference(torch.jit.freeze(torch.jit.trace(model, xs)))


if __name__ == "__main__":
    main()
