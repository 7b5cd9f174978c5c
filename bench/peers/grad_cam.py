"""How fast pytorch-grad-cam makes a Grad-CAM at the last map. `cargo xtask bench --mode gradcam` does the same.

    pip install grad-cam==1.5.7
    python bench/peers/grad_cam.py --model mobilenetv2_100
"""

import torch
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

import timing
from models import build

LAST = {"mobilenetv2_100": "bn2", "resnet50": "layer4", "resnet18": "layer4", "squeezenet1_1": "features"}


def main():
    arguments = timing.parser(__doc__.splitlines()[0], ["infer"]).parse_args()
    torch.set_num_threads(arguments.threads)
    shape = timing.input_of(arguments)
    model = build(arguments.model, shape).eval()
    images = torch.randn(arguments.batch, shape.channels, shape.height, shape.width)
    cam = GradCAM(model=model, target_layers=[model.get_submodule(LAST[arguments.model])])
    targets = [ClassifierOutputTarget(0)] * arguments.batch
    timing.report(arguments, "pytorch-grad-cam", timing.time_calls(lambda: cam(images, targets), arguments.seconds))


if __name__ == "__main__":
    main()
