"""Writes crates/cnn-robust/tests/golden/corruptions.safetensors: photos corrupted as ImageNet-C and CIFAR-10-C do.

    python tools/goldens/corruptions.py

The two are numpy, scipy and Pillow on the definitions of the paper (arXiv:1903.12261) and of what its programs call: OpenCV's
filter2D, GaussianBlur and warpAffine, ImageMagick's motion blur and scikit-image's gaussian and random_noise are written out,
since their documentation defines them. Random numbers are those of the formula, by what they are drawn for. Frost is left out:
it is drawn, not cut out of photos.
"""

import io
from importlib.metadata import version
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage, stats

import files
import formula

GOLDEN = Path(__file__).parents[2] / "crates/cnn-robust/tests/golden/corruptions.safetensors"
PACKAGES = ["numpy", "scipy", "pillow"]
# Height and width: more than 64 pixels on a side for ImageNet-C's numbers, fewer for CIFAR-10-C's.
SIZES = {"large": (22, 66), "small": (19, 14)}
SEVERITIES = range(1, 6)


def photo(size) -> np.ndarray:
    """A picture with slopes, edges and fine detail."""
    y, x = np.mgrid[: size[0], : size[1]].astype(float)
    waves = [np.sin(x / 5 + y / 9), np.cos(y / 4), np.sin((x * y) / 40)]
    channels = [110 + 90 * wave + 40 * ((x // 6 + y // 5) % 2) for wave in waves]
    noise = formula.values("photo", (*size, 3)) * 12
    return np.clip(np.stack(channels, axis=-1) + noise, 0, 255).astype(np.uint8)


def uniform(name: str, shape, step=0) -> np.ndarray:
    return (formula.values(f"draw.{name}.{step}", shape).astype(np.float64) + 1) / 2


def normal(name: str, shape) -> np.ndarray:
    first = np.clip(uniform(f"{name}.first", shape), 1e-12, None)
    return np.sqrt(-2 * np.log(first)) * np.cos(2 * np.pi * uniform(f"{name}.second", shape))


def gaussian_noise(x, c):
    return x + c * normal("noise", x.shape)


def shot_noise(x, c):
    return stats.poisson.ppf(uniform("quanta", x.shape), x * c) / c


def impulse_noise(x, c):
    lost = uniform("lost", x.shape) < c
    return np.where(lost, uniform("salt", x.shape) < 0.5, x)


def smoothing(size, sigma):
    """OpenCV's getGaussianKernel."""
    offsets = np.arange(size) - size // 2
    weights = np.exp(-(offsets**2) / (2 * sigma**2))
    return weights / weights.sum()


def defocus_blur(x, c):
    radius, sigma = c
    reach, size = (8, 3) if radius <= 8 else (int(radius), 5)
    along = np.arange(-reach, reach + 1)
    disk = (along[:, None] ** 2 + along[None] ** 2 <= radius**2).astype(float)
    disk /= disk.sum()
    for axis in (0, 1):
        # scipy's mirror is OpenCV's BORDER_REFLECT_101.
        disk = ndimage.correlate1d(disk, smoothing(size, sigma), axis=axis, mode="mirror")
    return np.stack([ndimage.correlate(x[..., channel], disk, mode="mirror") for channel in range(3)], axis=-1)


def blurred(x, sigma, **options):
    return ndimage.gaussian_filter(x, (sigma, sigma, 0)[: x.ndim], **options)


def glass_blur(x, c):
    sigma, distance, iterations = c
    x = np.uint8(blurred(x, sigma, mode="nearest") * 255)
    rows, columns = (range(side - distance, distance, -1) for side in x.shape[:2])
    for iteration in range(iterations):
        drawn = uniform("displacement", (len(rows), len(columns), 2), iteration)
        displacements = np.floor(drawn * 2 * distance).astype(int) - distance
        for row, of_row in zip(rows, displacements):
            for column, (along, down) in zip(columns, of_row):
                x[row, column] = x[row + down, column + along]
    return blurred(x / 255, sigma, mode="nearest")


def moved(x, radius, sigma, angle):
    """ImageMagick's MotionBlurImage with its default border, on bytes."""
    width = 2 * int(np.ceil(radius)) + 1
    weights = np.exp(-(np.arange(width) ** 2) / (2 * sigma**2))
    weights /= weights.sum()
    along, down = width * np.cos(np.deg2rad(angle)), width * np.sin(np.deg2rad(angle))
    length = np.hypot(along, down)
    height, breadth = x.shape[:2]
    total = np.zeros_like(x)
    for place, weight in enumerate(weights):
        rows = np.clip(np.arange(height) + int(np.ceil(place * down / length - 0.5)), 0, height - 1)
        columns = np.clip(np.arange(breadth) + int(np.ceil(place * along / length - 0.5)), 0, breadth - 1)
        total += weight * x[rows][:, columns]
    return np.floor(total * 255 + 0.5) / 255


def motion_blur(x, c):
    return moved(x, *c, -45 + 90 * uniform("angle", (1,))[0])


def clipped_zoom(x, factor):
    size = x.shape[:2]
    cuts = [int(np.ceil(side / factor)) for side in size]
    rows, columns = (slice((side - cut) // 2, (side - cut) // 2 + cut) for side, cut in zip(size, cuts))
    enlarged = ndimage.zoom(x[rows, columns], (factor, factor, 1)[: x.ndim], order=1)
    top, left = ((large - side) // 2 for large, side in zip(enlarged.shape, size))
    return enlarged[top : top + size[0], left : left + size[1]]


def zoom_blur(x, c):
    factors = np.arange(1, *c)
    return (x + sum(clipped_zoom(x, factor) for factor in factors)) / (len(factors) + 1)


def snow(x, c):
    mean, deviation, zoom, threshold, radius, sigma, kept = c
    flakes = clipped_zoom(mean + deviation * normal("flakes", x.shape[:2]), zoom)
    flakes = np.floor(np.clip(np.where(flakes < threshold, 0, flakes), 0, 1) * 255) / 255
    flakes = moved(flakes, radius, sigma, -135 + 90 * uniform("angle", (1,))[0])[..., None]
    grey = (x @ [0.299, 0.587, 0.114])[..., None]
    x = kept * x + (1 - kept) * np.maximum(x, grey * 1.5 + 0.5)
    return x + flakes + flakes[::-1, ::-1]


def plasma(side, decay):
    """Diamond and square on a torus."""
    field = np.zeros((side, side))
    step, wibble, number = side, 100.0, 0

    def place(name, first, neighbours):
        starts = np.arange(0, side, step)
        rows, columns = (starts[:, None] + first[0], starts[None] + first[1])
        total = sum(field[(rows + down) % side, (columns + along) % side] for down, along in neighbours)
        drawn = 2 * uniform(name, (len(starts), len(starts)), number) - 1
        field[rows, columns] = total / 4 + wibble**2 * drawn

    while step >= 2:
        half = step // 2
        place("plasma_squares", (half, half), [(a * half, b * half) for a in (-1, 1) for b in (-1, 1)])
        edges = [(half, 0), (-half, 0), (0, half), (0, -half)]
        place("plasma_rows", (0, half), edges)
        place("plasma_columns", (half, 0), edges)
        step, wibble, number = step // 2, wibble / decay, number + 1
    field -= field.min()
    return field / field.max()


def fog(x, c):
    thickness, decay = c
    height, width = x.shape[:2]
    side = 1 << (max(height, width) - 1).bit_length()
    clouds = plasma(side, decay)[:height, :width, None]
    return (x + thickness * clouds) * x.max() / (x.max() + thickness)


def brightness(x, c):
    """Through hue, saturation and value, sextant by sextant."""
    value, low = x.max(axis=-1), x.min(axis=-1)
    delta = value - low
    saturation = np.divide(delta, value, out=np.zeros_like(value), where=value > 0)
    safe = np.where(delta > 0, delta, 1)
    red, green, blue = np.moveaxis(x, -1, 0)
    hue = np.select([delta == 0, value == red, value == green], [0, (green - blue) / safe, 2 + (blue - red) / safe], 4 + (red - green) / safe) % 6
    value = np.clip(value + c, 0, 1)
    sextant, rest = np.floor(hue), hue - np.floor(hue)
    p, q, t = value * (1 - saturation), value * (1 - rest * saturation), value * (1 - (1 - rest) * saturation)
    orders = [(value, t, p), (q, value, p), (p, value, t), (p, q, value), (t, p, value), (value, p, q)]
    return np.select([(sextant % 6 == number)[..., None] for number in range(6)], [np.stack(order, axis=-1) for order in orders])


def contrast(x, c):
    means = x.mean(axis=(0, 1), keepdims=True)
    return (x - means) * c + means


def affine(source, target):
    """The matrix that takes three points (x, y) to three others."""
    points = np.column_stack([source, np.ones(3)])
    return np.linalg.solve(points, target).T


def elastic_transform(x, c):
    strength, sigma, reach = c
    height, width = x.shape[:2]
    center, half = np.array([width // 2, height // 2], float), min(height, width) // 3
    corners = np.array([center + half, [center[0] + half, center[1] - half], center - half])
    # Ours: the published program moves corners as far in small images as in large ones.
    shift = min(reach, half * 2 / 3) * (2 * uniform("corners", (3, 2)) - 1)
    back = affine(corners + shift, corners)
    rows, columns = np.mgrid[:height, :width].astype(float)
    from_x, from_y = (line[0] * columns + line[1] * rows + line[2] for line in back)
    at = lambda image, y, x, mode: np.stack([ndimage.map_coordinates(image[..., channel], [y, x], order=1, mode=mode) for channel in range(3)], axis=-1)
    x = at(x, from_y, from_x, "mirror")
    along, down = (ndimage.gaussian_filter(2 * uniform(name, (height, width)) - 1, sigma, mode="reflect", truncate=3) * strength for name in ("along", "down"))
    return at(x, rows + down, columns + along, "reflect")


def bytes_of(x):
    return Image.fromarray(np.uint8(np.round(x * 255)))


def pixelate(x, c):
    image = bytes_of(x)
    small = image.resize((int(image.width * c), int(image.height * c)), Image.BOX)
    return np.array(small.resize(image.size, Image.BOX))


def jpeg_compression(x, c):
    file = io.BytesIO()
    bytes_of(x).save(file, "JPEG", quality=c)
    return np.array(Image.open(file))


E1, E2 = 244, 32
# For each kind the numbers of ImageNet-C, then those of CIFAR-10-C.
PARAMETERS = {
    gaussian_noise: ([0.08, 0.12, 0.18, 0.26, 0.38], [0.04, 0.06, 0.08, 0.09, 0.10]),
    shot_noise: ([60, 25, 12, 5, 3], [500, 250, 100, 75, 50]),
    impulse_noise: ([0.03, 0.06, 0.09, 0.17, 0.27], [0.01, 0.02, 0.03, 0.05, 0.07]),
    defocus_blur: ([(3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5)], [(0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1)]),
    glass_blur: ([(0.7, 1, 2), (0.9, 2, 1), (1, 2, 3), (1.1, 3, 2), (1.5, 4, 2)], [(0.05, 1, 1), (0.25, 1, 1), (0.4, 1, 1), (0.25, 1, 2), (0.4, 1, 2)]),
    motion_blur: ([(10, 3), (15, 5), (15, 8), (15, 12), (20, 15)], [(6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5)]),
    zoom_blur: ([(1.11, 0.01), (1.16, 0.01), (1.21, 0.02), (1.26, 0.02), (1.31, 0.03)], [(1.06, 0.01), (1.11, 0.01), (1.16, 0.01), (1.21, 0.01), (1.26, 0.01)]),
    snow: (
        [(0.1, 0.3, 3, 0.5, 10, 4, 0.8), (0.2, 0.3, 2, 0.5, 12, 4, 0.7), (0.55, 0.3, 4, 0.9, 12, 8, 0.7), (0.55, 0.3, 4.5, 0.85, 12, 8, 0.65), (0.55, 0.3, 2.5, 0.85, 12, 12, 0.55)],
        [(0.1, 0.2, 1, 0.6, 8, 3, 0.95), (0.1, 0.2, 1, 0.5, 10, 4, 0.9), (0.15, 0.3, 1.75, 0.55, 10, 4, 0.9), (0.25, 0.3, 2.25, 0.6, 12, 6, 0.85), (0.3, 0.3, 1.25, 0.65, 14, 12, 0.8)],
    ),
    fog: ([(1.5, 2), (2, 2), (2.5, 1.7), (2.5, 1.5), (3, 1.4)], [(0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75)]),
    brightness: ([0.1, 0.2, 0.3, 0.4, 0.5], [0.05, 0.1, 0.15, 0.2, 0.3]),
    contrast: ([0.4, 0.3, 0.2, 0.1, 0.05], [0.75, 0.5, 0.4, 0.3, 0.15]),
    elastic_transform: (
        [(E1 * 2, E1 * 0.7, E1 * 0.1), (E1 * 2, E1 * 0.08, E1 * 0.2), (E1 * 0.05, E1 * 0.01, E1 * 0.02), (E1 * 0.07, E1 * 0.01, E1 * 0.02), (E1 * 0.12, E1 * 0.01, E1 * 0.02)],
        [(0, 0, E2 * 0.08), (E2 * 0.05, E2 * 0.2, E2 * 0.07), (E2 * 0.08, E2 * 0.06, E2 * 0.06), (E2 * 0.1, E2 * 0.04, E2 * 0.05), (E2 * 0.1, E2 * 0.03, E2 * 0.03)],
    ),
    pixelate: ([0.6, 0.5, 0.4, 0.3, 0.25], [0.95, 0.9, 0.85, 0.75, 0.65]),
    jpeg_compression: ([25, 18, 15, 10, 7], [80, 65, 58, 50, 40]),
}
BYTES = [motion_blur, pixelate, jpeg_compression, impulse_noise]


def corrupted(kind, image, parameters):
    result = kind(image / 255.0, parameters)
    if result.dtype == np.uint8:
        return result
    levels = np.clip(result, 0, 1) * 255
    # Programs that give bytes round them themselves; the others are cut off when they are stored.
    return np.uint8(np.round(levels) if kind in BYTES else levels)


def main():
    tensors = {}
    for place, (name, size) in enumerate(SIZES.items()):
        image = photo(size)
        tensors[f"{name}.photo"] = image
        for kind, parameters in PARAMETERS.items():
            of_severity = [corrupted(kind, image, parameters[place][severity - 1]) for severity in SEVERITIES]
            tensors[f"{name}.{kind.__name__}"] = np.stack(of_severity)
    files.write(GOLDEN, tensors, {package: version(package) for package in PACKAGES})


if __name__ == "__main__":
    main()
