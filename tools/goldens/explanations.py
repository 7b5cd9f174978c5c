"""Writes crates/cnn-viz/tests/golden/<network>.safetensors: how pytorch-grad-cam and captum explain three pretrained networks.

    python tools/goldens/explanations.py [--shared FOLDER] [NAME…]

The networks and the images lie in the shared folder. Prints how far f32 is from f64 for every tensor: the images and the noise
were chosen such that hardly any ReLU's input is so close to zero that rounding takes it to the other side.
"""

import argparse
import io
import json
import os
import subprocess
import tempfile
import warnings
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Callable
from unittest.mock import patch

os.environ["TQDM_DISABLE"] = "1"

import numpy as np
import pyarrow.parquet as pq
import pytorch_grad_cam as grad_cam
import timm
import torch
import torchvision
from captum import attr as captum
from PIL import Image
from pytorch_grad_cam.ablation_layer import AblationLayer
from pytorch_grad_cam.metrics import road
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from pytorch_grad_cam.utils.svd_on_activations import get_2d_projection
from safetensors.torch import load_file
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from torch import nn
from torchvision.transforms import functional as transforms

import files
from families.resnet_cifar import CifarResNet

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "crates/cnn-viz/tests/golden"
PACKAGES = ["torch", "torchvision", "timm", "grad-cam", "captum", "opencv-python-headless", "scipy", "numpy"]
IMAGENET_INPUT = (3, 160, 192)
NOISE_SCALE = 1 / 64
INTEGRATION_STEPS = 24
ROAD_PERCENTILES = [20, 40, 60, 80]

GRADIENT_CAMS = {
    "gradcam": grad_cam.GradCAM,
    "gradcampp": grad_cam.GradCAMPlusPlus,
    "hirescam": grad_cam.HiResCAM,
    "layercam": grad_cam.LayerCAM,
    "xgradcam": grad_cam.XGradCAM,
}


@dataclass(frozen=True)
class Network:
    """One pretrained network with two images that it classifies correctly.

    `last` is the module whose output the classifier reads, `classify` that classifier, `stage2` a module halfway. `has_relu` tells
    whether there are ReLU modules, the only ones that captum's guided backpropagation and deconvnet change (ReLU6 is none).
    """

    name: str
    build: Callable[[Path], nn.Module]
    images: Callable[[Path], tuple[torch.Tensor, list[int]]]
    images_metadata: dict[str, str]
    stage2: str
    last: str
    classify: Callable[[nn.Module, torch.Tensor], torch.Tensor]
    stride: int
    noise_shape: tuple[int, ...]
    noise_seed: int
    window: int
    has_relu: bool


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared", help="folder with hub/ and data/ (default: %(default)s)")
    arguments = parser.parse_args()
    if not (arguments.shared / "hub").is_dir():
        parser.error(f"no folder {arguments.shared / 'hub'}: name the shared folder with --shared")
    known = {network.name: network for network in NETWORKS}
    if unknown := [name for name in arguments.names if name not in known]:
        parser.error(f"unknown network {', '.join(unknown)}; known: {', '.join(known)}")
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", module="captum")
    GOLDEN.mkdir(parents=True, exist_ok=True)
    for name in arguments.names or known:
        write_golden(known[name], arguments.shared)


def write_golden(network: Network, shared: Path):
    model = network.build(shared).eval()
    xs, labels = network.images(shared)
    with torch.no_grad():
        logits = model(xs)
    targets, runners_up = logits.topk(2).indices.T.tolist()
    assert targets == labels, f"{network.name} takes classes {labels} for {targets}"
    noise = draw_noise(network.noise_shape, network.noise_seed)

    single = {"logits": logits.numpy(), **explain(network, model, xs, noise, targets, runners_up)}
    single |= road_scores(model, xs, single["cam.last.gradcam"], targets)
    double = explain(network, model.double(), xs.double(), noise, targets, runners_up)
    with torch.no_grad():
        double["logits"] = model(xs.double()).numpy()
    # Imputation is f32 in any case: the same network on the map from f64.
    double |= road_scores(model.float(), xs, double["cam.last.gradcam"], targets)

    # The precise values: rounding moves single gradients across kinks, here as in the other implementation.
    tensors = {name: strided(values.astype(np.float32), xs.shape, network.stride) for name, values in double.items()}
    metadata = {package: version(package) for package in PACKAGES} | network.images_metadata
    metadata |= {"input": ",".join(map(str, xs.shape)), "stride": str(network.stride), "noise.scale": str(NOISE_SCALE)}
    metadata |= {"targets": json.dumps(targets), "difference": json.dumps(list(zip(targets, runners_up)))}
    path = GOLDEN / f"{network.name}.safetensors"
    files.write(path, tensors | {"noise": noise.numpy()}, metadata)
    print(f"{network.name}: {path.stat().st_size} bytes; f32 against f64")
    print_differences(single, double)


def explain(network: Network, model: nn.Module, xs: torch.Tensor, noise: torch.Tensor, targets: list[int], runners_up: list[int]):
    """Every map of both libraries, at full resolution."""
    check_last(network, model, xs)
    return class_activation_maps(network, model, xs, targets, runners_up) | attributions(network, model, xs, noise, targets)


def check_last(network: Network, model: nn.Module, xs: torch.Tensor):
    """What the libraries hook at `last` is what the classifier reads, and comes from a ReLU, which ablation takes for granted."""
    maps = []
    hook = model.get_submodule(network.last).register_forward_hook(lambda module, inputs, output: maps.append(output))
    with torch.no_grad():
        logits = model(xs)
        hook.remove()
        torch.testing.assert_close(network.classify(model, maps[0]), logits)
    assert torch.all(maps[0].amin((1, 2, 3)) == 0)


def class_activation_maps(network: Network, model: nn.Module, xs: torch.Tensor, targets: list[int], runners_up: list[int]):
    layers = {"last": model.get_submodule(network.last), "stage2": model.get_submodule(network.stage2)}
    logits = [ClassifierOutputTarget(target) for target in targets]
    differences = [lambda output, a=a, b=b: output[a] - output[b] for a, b in zip(targets, runners_up)]

    def cam(method, *layers, of=logits, batch_size=None, **options):
        with method(model, list(layers)) as explainer:
            if batch_size:
                explainer.batch_size = batch_size
            return explainer(xs, of, **options)

    maps = {}
    for name, layer in layers.items():
        for method, explainer in GRADIENT_CAMS.items():
            maps[f"cam.{name}.{method}"] = cam(explainer, layer)
        maps[f"cam.{name}.eigencam"] = cam(grad_cam.EigenCAM, layer)
        with flipped("eigen_cam"):
            maps[f"cam.{name}.eigencam.flipped"] = cam(grad_cam.EigenCAM, layer)
    last = layers["last"]
    maps["cam.last.scorecam"] = cam(grad_cam.ScoreCAM, last, batch_size=16)
    maps["cam.last.ablationcam"] = cam(partial(grad_cam.AblationCAM, ablation_layer=AblationLayer()), last)
    maps["cam.difference.gradcam"] = cam(grad_cam.GradCAM, last, of=differences)
    # In the order of the forward pass: the library pairs activations with gradients by their number.
    maps["cam.average.gradcam"] = cam(grad_cam.GradCAM, layers["stage2"], last)
    maps["cam.aug_smooth.gradcam"] = cam(grad_cam.GradCAM, last, aug_smooth=True)
    maps["cam.eigen_smooth.gradcam"] = cam(grad_cam.GradCAM, last, eigen_smooth=True)
    with flipped("base_cam"):
        maps["cam.eigen_smooth.gradcam.flipped"] = cam(grad_cam.GradCAM, last, eigen_smooth=True)
    return maps


def flipped(module: str):
    """The first principal component has no sign of its own: this takes the other one."""
    return patch(f"pytorch_grad_cam.{module}.get_2d_projection", lambda xs: -get_2d_projection(xs))


def attributions(network: Network, model: nn.Module, xs: torch.Tensor, noise: torch.Tensor, targets: list[int]):
    def attribution(explainer, **options):
        return explainer.attribute(xs, target=targets, **options)

    saliency = captum.Saliency(model)
    integrated, delta = attribution(
        captum.IntegratedGradients(model),
        n_steps=INTEGRATION_STEPS,
        method="gausslegendre",
        internal_batch_size=8,
        return_convergence_delta=True,
    )
    window, step = (3, network.window, network.window), (3, network.window // 2, network.window // 2)
    found = {
        "gradient": attribution(saliency, abs=False),
        "input_x_gradient": attribution(captum.InputXGradient(model)),
        "integrated_gradients": integrated,
        "integrated_gradients.delta": delta,
        "occlusion": attribution(captum.Occlusion(model), sliding_window_shapes=window, strides=step),
    }
    if network.has_relu:
        found["guided_backprop"] = attribution(captum.GuidedBackprop(model))
        found["deconvnet"] = attribution(captum.Deconvolution(model))
    with patch.object(captum.NoiseTunnel, "_add_noise_to_input", lambda self, *arguments: noisy_inputs(xs, noise).flatten(0, 1)):
        for kind in "smoothgrad", "vargrad":
            found[kind] = attribution(captum.NoiseTunnel(saliency), nt_type=kind, nt_samples=len(noise), abs=False)
    check_noise_tunnel(model, noisy_inputs(xs, noise), targets, found["smoothgrad"], found["vargrad"])
    return {f"attribution.{name}": values.detach().numpy() for name, values in found.items()}


def noisy_inputs(xs: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    """(N, samples, C, H, W), an image's samples in a row as captum has them."""
    return xs[:, None] + NOISE_SCALE * (noise.to(xs.dtype) - 128).transpose(0, 1)


def check_noise_tunnel(model: nn.Module, xs: torch.Tensor, targets: list[int], mean: torch.Tensor, variance: torch.Tensor):
    """Against gradients taken one by one."""
    for image, target, expected_mean, expected_variance in zip(xs, targets, mean, variance, strict=True):
        gradients = []
        for sample in image:
            sample = sample[None].clone().requires_grad_()
            gradients.append(torch.autograd.grad(model(sample)[0, target], sample)[0][0])
        gradients = torch.stack(gradients).double()
        assert relative_error(gradients.mean(0), expected_mean) < 1e-3
        assert relative_error(gradients.var(0, correction=0), expected_variance) < 1e-3


def road_scores(model: nn.Module, xs: torch.Tensor, cams: np.ndarray, targets: list[int]):
    """Remove and debias, without the noise on imputed pixels."""
    probabilities = [lambda output, target=target: output.softmax(-1)[target] for target in targets]
    scores = lambda metric: metric(xs, cams, probabilities, model)
    with patch.object(road.NoisyLinearImputer.__init__, "__defaults__", (0.0, road.neighbors_weights)):
        return {
            "road.combined": scores(road.ROADCombined(ROAD_PERCENTILES)),
            "road.least": np.stack([scores(road.ROADLeastRelevantFirst(percentile)) for percentile in ROAD_PERCENTILES], axis=1),
            "road.most": np.stack([scores(road.ROADMostRelevantFirst(percentile)) for percentile in ROAD_PERCENTILES], axis=1),
        }


def draw_noise(shape: tuple[int, ...], seed: int) -> torch.Tensor:
    """Normal with a standard deviation of 0.5 once decoded: (u8 - 128) · NOISE_SCALE."""
    values = 0.5 / NOISE_SCALE * torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    return (values + 128).round().clip(0, 255).to(torch.uint8)


def strided(values: np.ndarray, input_shape: torch.Size, stride: int) -> np.ndarray:
    is_map = values.shape[-2:] == input_shape[-2:]
    return np.ascontiguousarray(values[..., ::stride, ::stride] if is_map else values, dtype=np.float32)


def print_differences(single: dict[str, np.ndarray], double: dict[str, np.ndarray]):
    for name, values in single.items():
        # The sign of a principal component may differ from image to image.
        signs = {name, name + ".flipped", name.removesuffix(".flipped")} & double.keys()
        errors = [min(relative_error(image, double[sign][i]) for sign in signs) for i, image in enumerate(values)]
        print(f"  {name:40} {max(errors):8.1e}")


def relative_error(found, expected) -> float:
    found, expected = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


def mobilenetv2(shared: Path) -> nn.Module:
    folder = shared / "hub/mobilenetv2_100.tf_in1k"
    model = timm.create_model("mobilenetv2_100", **config(folder)["model_args"])
    model.load_state_dict(load_file(folder / "model.safetensors"))
    return model


def squeezenet(shared: Path) -> nn.Module:
    model = torchvision.models.squeezenet1_1()
    model.load_state_dict(load_file(shared / "hub/squeezenet1_1.caffe_in1k/model.safetensors"))
    for module in model.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False
    return model


def resnet20(shared: Path) -> nn.Module:
    model = CifarResNet(3)
    state = torch.load(shared / "hub/resnet20_cifar10/resnet20-12fca82f.th", map_location="cpu", weights_only=True)["state_dict"]
    model.load_state_dict({name.removeprefix("module."): values for name, values in state.items()})
    return model


def config(folder: Path) -> dict:
    return json.loads((folder / "config.json").read_text())


def photos(folder: str, names: list[str], shared: Path) -> tuple[torch.Tensor, list[int]]:
    """Photos as `cargo xtask explain --raw` reads them: another decoder's pixels may differ by one. Their names begin with their classes."""
    paths = [shared.resolve() / "data/imagenet_photos" / name for name in names]
    size = "x".join(map(str, IMAGENET_INPUT[1:]))
    with tempfile.TemporaryDirectory() as directory:
        raw = Path(directory) / "raw.safetensors"
        arguments = ["--weights", shared.resolve() / "hub" / folder, "--size", size, "--no-checks", "--raw", raw, "--out", directory]
        subprocess.run(["cargo", "xtask", "explain", *paths, *arguments], cwd=ROOT, check=True, capture_output=True)
        return load_file(raw)["input"], [int(name.split("_")[0]) for name in names]


def cifar10(rows: list[int], shared: Path) -> tuple[torch.Tensor, list[int]]:
    table = pq.read_table(shared / "data/cifar10/plain_text/test-00000-of-00001.parquet").take(rows).to_pylist()
    images = [Image.open(io.BytesIO(row["img"]["bytes"])) for row in table]
    pixels = torch.stack([transforms.to_tensor(image) for image in images])
    return transforms.normalize(pixels, IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD), [row["label"] for row in table]


def photographed(name, folder, names, **options):
    """Noise is the same for both photos: it is what takes most room in the file."""
    return Network(
        name,
        images=partial(photos, folder, names),
        images_metadata={"photos": json.dumps(names)},
        stride=4,
        noise_shape=(2, 1, *IMAGENET_INPUT),
        window=16,
        **options,
    )


NETWORKS = [
    photographed(
        "mobilenetv2_100",
        "mobilenetv2_100.tf_in1k",
        ["0025_n01629819_European_fire_salamander.JPEG", "0050_n01698640_American_alligator.JPEG"],
        noise_seed=13,
        build=mobilenetv2,
        stage2="blocks.2",
        last="bn2",
        classify=lambda model, xs: model.classifier(xs.mean((2, 3))),
        has_relu=False,
    ),
    photographed(
        "squeezenet1_1",
        "squeezenet1_1.caffe_in1k",
        ["0150_n02077923_sea_lion.JPEG", "0225_n02105162_malinois.JPEG"],
        noise_seed=10,
        build=squeezenet,
        stage2="features.7",
        last="features",
        classify=lambda model, xs: model.classifier(xs).flatten(1),
        has_relu=True,
    ),
    Network(
        "resnet20_cifar10",
        build=resnet20,
        images=partial(cifar10, [8, 23]),
        images_metadata={"rows": json.dumps([8, 23])},
        stage2="layer2",
        last="layer3",
        classify=lambda model, xs: model.linear(xs.mean((2, 3))),
        stride=1,
        noise_shape=(3, 2, 3, 32, 32),
        noise_seed=3,
        window=4,
        has_relu=True,
    ),
]


if __name__ == "__main__":
    main()
