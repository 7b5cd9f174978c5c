"""Small images in every accepted format, and what Pillow and timm make of them.

    python tools/goldens/images.py crates/cnn-data/tests/golden

Writes the images themselves, `<case>.ppm` or `.pgm` with Pillow's pixels, and `cases.json`. Pillow 13.0, timm 1.0.31,
pyarrow 26.0.
"""

import io
import json
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from timm.data import create_transform

HEIGHT, WIDTH = 17, 23


def picture(height=HEIGHT, width=WIDTH, channels=3):
    """Gradients, a sharp edge and a little noise: no symmetry that would hide a swapped axis."""
    y, x = np.mgrid[0:height, 0:width]
    planes = [
        255 * x / width,
        255 * y / height,
        np.where((x - width / 3) ** 2 + (y - height / 2) ** 2 < height * width / 12, 230, 40),
        255 * (x + y) / (height + width),
    ]
    noise = np.random.default_rng(7).integers(-12, 13, (height, width, 4))
    values = np.stack(planes, axis=-1) + noise
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)[:, :, :channels]


RGB = Image.fromarray(picture(), "RGB")
GREY = Image.fromarray(picture()[:, :, 0])
RGBA = Image.fromarray(picture(channels=4), "RGBA")
GREY_ALPHA = Image.merge("LA", [GREY, Image.fromarray(picture(channels=4)[:, :, 3])])
PALETTE = RGB.quantize(16, dither=Image.Dither.NONE)
CMYK = Image.fromarray(picture(channels=4), "CMYK")


def saved(image, format, **options):
    stream = io.BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


def exif(orientation):
    tags = Image.Exif()
    tags[0x112] = orientation
    return tags.tobytes()


def png_of_16_bits(samples, color_type):
    """Pillow cannot write 16-bit color."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    height, width = samples.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, 16, color_type, 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def ycck(jpeg):
    """The same inks declared as YCCK by Adobe's marker, whose last byte is the transform."""
    at = jpeg.index(b"Adobe") + 11
    assert jpeg[at] == 0
    return jpeg[:at] + b"\x02" + jpeg[at + 1 :]


def sixteen(array):
    """Low bytes that carry something."""
    return array.astype(np.uint16) * 256 + np.arange(array.size, dtype=np.uint16).reshape(array.shape) % 251


def offset_gif():
    """A frame that does not cover its screen."""
    gif = bytearray(saved(PALETTE, "GIF"))
    width, height = struct.unpack("<HH", gif[6:10])
    gif[6:10] = struct.pack("<HH", width + 5, height + 4)
    descriptor = gif.index(b"," + struct.pack("<HHHH", 0, 0, width, height))
    gif[descriptor + 1 : descriptor + 5] = struct.pack("<HH", 3, 2)
    return bytes(gif)


FILES = {
    "rgb-444.jpg": saved(RGB, "JPEG", quality=90, subsampling=0),
    "rgb-422.jpg": saved(RGB, "JPEG", quality=90, subsampling=1),
    "rgb-420.jpg": saved(RGB, "JPEG", quality=75, subsampling=2),
    "progressive.jpg": saved(RGB, "JPEG", quality=90, subsampling=2, progressive=True),
    "restart.jpg": saved(RGB, "JPEG", quality=90, restart_marker_blocks=1),
    "stored-as-rgb.jpg": saved(RGB, "JPEG", quality=95, keep_rgb=True),
    "grey.jpg": saved(GREY, "JPEG", quality=90),
    "cmyk.jpg": saved(CMYK, "JPEG", quality=95),
    "ycck.jpg": ycck(saved(CMYK, "JPEG", quality=95)),
    "rgb.png": saved(RGB, "PNG"),
    "rgba.png": saved(RGBA, "PNG"),
    "grey.png": saved(GREY, "PNG"),
    "grey-alpha.png": saved(GREY_ALPHA, "PNG"),
    "palette.png": saved(PALETTE, "PNG", transparency=3),
    "one-bit.png": saved(GREY.convert("1"), "PNG"),
    "rgb-16.png": png_of_16_bits(sixteen(picture()), 2),
    "rgba-16.png": png_of_16_bits(sixteen(picture(channels=4)), 6),
    "grey-16.png": png_of_16_bits(sixteen(picture()[:, :, 0]), 0),
    "rgb.bmp": saved(RGB, "BMP"),
    "palette.bmp": saved(PALETTE, "BMP"),
    "one-bit.bmp": saved(GREY.convert("1"), "BMP"),
    "palette.gif": saved(PALETTE, "GIF", interlace=1),
    "transparent.gif": saved(PALETTE, "GIF", transparency=5),
    "animation.gif": saved(PALETTE, "GIF", save_all=True, append_images=[PALETTE.rotate(180)]),
    "offset.gif": offset_gif(),
    "lossless.webp": saved(RGB, "WebP", lossless=True),
    "lossless-alpha.webp": saved(RGBA, "WebP", lossless=True, exact=True),
    "lossy.webp": saved(RGB, "WebP", quality=90),
    "lossy-alpha.webp": saved(RGBA, "WebP", quality=90),
    "orientation-6.png": saved(RGB, "PNG", exif=exif(6)),
    "orientation-8.webp": saved(RGB, "WebP", lossless=True, exif=exif(8)),
} | {f"orientation-{n}.jpg": saved(GREY, "JPEG", quality=90, exif=exif(n)) for n in range(1, 9)}

# Pillow reads these but cannot write them; libjpeg-turbo's `cjpeg -arithmetic` does. They are kept as they are.
KEPT = ["arithmetic.jpg", "arithmetic-progressive.jpg", "arithmetic-restart.jpg"]

# Height and width.
RESIZE_SOURCE = (41, 31)
SIZES = [(20, 15), (12, 27), (41, 13), (56, 47), (5, 3), (1, 1), (82, 31)]
FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}

# Source height and width, input height and width, crop_pct, crop_mode, interpolation.
EVALUATIONS = [
    (41, 31, 24, 24, 0.875, "center", "bicubic"),
    (31, 41, 24, 24, 0.875, "center", "bilinear"),
    (30, 30, 24, 24, 1.0, "center", "bicubic"),
    (41, 31, 16, 28, 0.9, "center", "bicubic"),
    (22, 60, 16, 28, 0.875, "center", "nearest"),
    (41, 31, 24, 24, 0.875, "squash", "bicubic"),
    (41, 31, 16, 28, 0.875, "squash", "bilinear"),
    (41, 31, 24, 24, 1.0, "border", "bicubic"),
    (22, 60, 16, 29, 0.9, "border", "bilinear"),
    (60, 22, 16, 29, 0.5, "border", "bicubic"),
    (10, 7, 24, 24, 0.875, "center", "bicubic"),
]
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def write_parquet(folder):
    """Tables as the hub writes them, one compressed, one with nulls and no names, one without labels."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    images = [{"bytes": saved(image.resize((5, 4)), "PNG"), "path": f"{i}.png"} for i, image in enumerate([RGB, GREY, RGB])]
    names = {"info": {"features": {"image": {"_type": "Image"}, "label": {"names": ["ant", "bee"], "_type": "ClassLabel"}}}}

    def write(name, columns, metadata=None, **options):
        table = pa.table(columns).replace_schema_metadata(metadata)
        pq.write_table(table, folder / name, row_group_size=2, **options)

    hub = {"huggingface": json.dumps(names)}
    write("tiny.parquet", {"image": images, "label": [1, 0, 1]}, hub, compression="none")
    write("tiny-compressed.parquet", {"image": images, "label": [1, 0, 1]}, hub, compression="snappy")
    write("nulls.parquet", {"img": [images[0], None, {"bytes": None, "path": "2.png"}], "label": pa.array([3, -1, None], pa.int32())})
    write("no-label.parquet", {"image": images, "text": ["a", "b", "c"]})
    write("label-out-of-range.parquet", {"image": images, "label": [1, 0, 2]}, hub)


def decoded(data):
    opened = Image.open(io.BytesIO(data))
    image = ImageOps.exif_transpose(opened)
    if image.mode.startswith("I;16"):
        # Pillow would clamp to 255 here, where of 16-bit color it keeps the upper byte. The upper byte it is.
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    grey = image.mode in ("1", "L", "LA") and opened.format != "BMP"  # a BMP's grey is a palette
    return image.convert("L" if grey else "RGB")


def resized(image, height, width, filter):
    """Columns first, as Pillow before 13 does in one call and Pillow 13 where rows do not shrink much more."""
    return image.resize((width, image.height), filter).resize((width, height), filter)


def evaluated(image, case, normalize):
    _, _, height, width, crop_pct, crop_mode, interpolation = case
    transform = create_transform(
        (3, height, width), interpolation=interpolation, mean=MEAN, std=STD, crop_pct=crop_pct, crop_mode=crop_mode, normalize=normalize
    )
    return transform(image).permute(1, 2, 0).numpy()


def main(folder):
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    cases = {"decode": [], "resize": [], "evaluate": []}

    def pixels(name, image):
        (folder / f"{name}.ppm").write_bytes(saved(image, "PPM"))
        return f"{name}.ppm"

    for name, data in (FILES | {name: (folder / name).read_bytes() for name in KEPT}).items():
        (folder / name).write_bytes(data)
        cases["decode"].append({"file": name, "expected": pixels(name, decoded(data))})
    # Pillow fills the rest of the screen with a color that GIF's successors and browsers ignore; here it is black.
    screen = Image.new("RGB", (WIDTH + 5, HEIGHT + 4))
    screen.paste(PALETTE.convert("RGB"), (3, 2))
    pixels("offset.gif", screen)
    source = Image.fromarray(picture(*RESIZE_SOURCE))
    cases["resize_source"] = pixels("resize-source", source)
    for height, width in SIZES:
        for name, filter in FILTERS.items():
            expected = pixels(f"resize-{name}-{height}x{width}", resized(source, height, width, filter))
            cases["resize"].append({"height": height, "width": width, "interpolation": name, "expected": expected})
    for number, case in enumerate(EVALUATIONS):
        source = Image.fromarray(picture(*case[:2]))
        keys = ["source_height", "source_width", "height", "width", "crop_pct", "crop_mode", "interpolation"]
        cases["evaluate"].append(
            dict(zip(keys, case))
            | {"source": pixels(f"evaluate-{number}-source", source)}
            | {"expected": pixels(f"evaluate-{number}", Image.fromarray(evaluated(source, case, normalize=False)))}
        )
    normalized = evaluated(Image.fromarray(picture(16, 16)), (16, 16, 16, 16, 1.0, "center", "bicubic"), normalize=True)
    (folder / "normalized.ppm").write_bytes(saved(Image.fromarray(picture(16, 16)), "PPM"))
    (folder / "normalized.f32").write_bytes(normalized.astype("<f4").tobytes())
    write_parquet(folder)
    (folder / "cases.json").write_text(json.dumps(cases, indent=1) + "\n")


main(sys.argv[1])
