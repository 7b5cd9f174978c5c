"""Times inference or training steps in PyTorch on the CPU, in f32.

    python bench/peers/pytorch.py --model resnet18 --mode train --batch 8 --layout channels_last --json

`--engine eager` runs the model as it is, `compile` what `torch.compile` makes of it, which needs a C++ compiler, `frozen` (inference only) a
trace with batch-norms folded into convolutions, weights laid out for oneDNN and activations fused. A training step is: clear the gradients, forward in train mode, cross-entropy with fixed labels or the
losses of eight objects an image, backward, SGD.
"""

import warnings

import torch
from torch.nn import functional as F

import detectors
from detectors import decoded, is_detector, suppressed
from models import build
from timing import input_of, parser, photo, report, time_calls

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
    model = build(arguments.model, shape, arguments.weights).to(memory_format=layout)
    torch.manual_seed(0)
    xs = torch.randn(arguments.batch, shape.channels, shape.height, shape.width)
    if arguments.photo:
        xs = torch.from_numpy(photo(arguments.model, arguments.photo, shape, arguments.batch))
    xs = xs.contiguous(memory_format=layout)
    if is_detector(arguments.model):
        labels = None
        finish = lambda outputs: suppressed(arguments.model, *outputs)
        if arguments.mode == "infer":
            model = decoded(arguments.model, model, shape.height, shape.width)
    else:
        labels = random_labels(model, xs, shape)
        finish = lambda outputs: outputs
    if arguments.mode == "train":
        model = torch.compile(model) if arguments.engine == "compile" else model
        times = time_calls(training_step(model, xs, labels, shape), arguments.seconds)
    else:
        engines = {"eager": lambda model: model, "compile": torch.compile, "frozen": lambda model: freeze(model, xs)}
        model = engines[arguments.engine](model.eval())
        with torch.inference_mode():
            times = time_calls(lambda: finish(model(xs)), arguments.seconds)
    engine = "" if arguments.engine == "eager" else f" {arguments.engine}"
    report(arguments, f"PyTorch {torch.__version__.partition('+')[0]}{engine} {arguments.layout}", times)


def random_labels(model, xs, shape):
    """A class for each image, or for each pixel where the network tells those."""
    outputs = model.eval()(xs[:1])
    is_dense = not torch.is_tensor(outputs) or outputs.dim() == 4
    return torch.randint(shape.classes, (len(xs), shape.height, shape.width) if is_dense else (len(xs),))


def training_step(model, xs, labels, shape):
    optimizer = torch.optim.SGD(model.train().parameters(), lr=0.001, momentum=0.9)

    def step():
        optimizer.zero_grad(set_to_none=True)
        outputs = model(xs)
        if labels is None:
            detectors.loss(outputs, shape).backward()
            return optimizer.step()
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
