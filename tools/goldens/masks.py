"""Masks in PNG files of every depth, and objects of COCO as pycocotools draws them.

    pip install numpy==2.* pillow pycocotools
    python tools/goldens/masks.py crates/cnn-data/tests/golden/masks

Writes `<case>.png` with `<case>.txt`, the numbers that Pillow and zlib find in it, and `coco.json` with `coco.txt`, one
line for each annotation: its id, its area and the places, counted along the rows, at which `annToMask` changes.
"""

import json
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask

HEIGHT, WIDTH = 5, 11


def numbers(most):
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    return (x * 7 + y * 3 + x * y) % (most + 1)


def chunk(name, data):
    body = name + data
    return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))


def png(values, bits, color, palette=b""):
    """Grey or palette, packed by hand, because Pillow does not write every depth."""
    rows = b""
    for row in values:
        text = "".join(format(int(value), f"0{bits}b") for value in row)
        text = text.ljust(-(-len(text) // 8) * 8, "0")
        rows += b"\0" + bytes(int(text[at : at + 8], 2) for at in range(0, len(text), 8))
    header = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], bits, color, 0, 0, 0)
    palette = chunk(b"PLTE", palette) if palette else b""
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + palette + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    )


def write_png(folder, name, bytes, values):
    (folder / f"{name}.png").write_bytes(bytes)
    text = "\n".join(" ".join(str(int(value)) for value in row) for row in values)
    (folder / f"{name}.txt").write_text(text + "\n")


def pillow_numbers(path, bits, color):
    """What Pillow stores; it spreads grey values below 8 bits over 0..255, which is undone."""
    image = Image.open(path)
    values = np.array(image).astype(int)
    if color == 0 and bits < 8:
        top = 1 if image.mode == "1" else 255
        values = values * ((1 << bits) - 1) // top
    return values


def masks(folder):
    for color, kind in [(0, "grey"), (3, "palette")]:
        for bits in [1, 2, 4, 8, 16]:
            if color == 3 and bits == 16:
                continue
            most = min((1 << bits) - 1, 200)
            values = numbers(most)
            # Reversed, so that a color taken for a number is seen.
            palette = bytes(np.repeat(np.arange((1 << min(bits, 8)))[::-1], 3).astype(np.uint8)) if color == 3 else b""
            file = folder / f"{kind}-{bits}.png"
            file.write_bytes(png(values, bits, color, palette))
            found = pillow_numbers(file, bits, color)
            assert (found == values).all(), (kind, bits)
            write_png(folder, f"{kind}-{bits}", file.read_bytes(), found)


def polygons(rng, height, width):
    """Outlines of many kinds: small and large, across the border, with corners on pixels and between them."""
    star = lambda points, radius, x, y: [
        value
        for at in range(points)
        for r in [radius * (0.4 if at % 2 else 1.0)]
        for value in (
            round(x + r * np.cos(2 * np.pi * at / points), 2),
            round(y + r * np.sin(2 * np.pi * at / points), 2),
        )
    ]
    cases = [
        [[2.0, 3.0, 12.0, 3.0, 12.0, 9.0, 2.0, 9.0]],
        [[2.5, 3.5, 12.5, 3.5, 12.5, 9.5, 2.5, 9.5]],
        [[-5.0, -4.0, 8.3, 2.2, 3.0, 30.0]],
        [[1.0, 1.0, 1.0, 1.0, 6.0, 1.0, 6.0, 6.0, 1.0, 6.0]],
        [[7.0, 7.0, 7.2, 7.0, 7.2, 7.2]],
        [[0.0, 0.0, width, 0.0, width, height, 0.0, height]],
        [[5.0, 5.0, 5.0, 12.0, 5.0, 8.0]],
        [star(9, 8.0, 14.3, 10.1), star(5, 4.0, 5.0, 15.2)],
        [star(14, 30.0, 20.0, 3.0)],
    ]
    for _ in range(12):
        count = int(rng.integers(3, 12))
        cases.append([[round(float(value), 2) for value in rng.uniform(-6, 40, 2 * count)]])
    return cases


def coco(folder):
    rng = np.random.default_rng(3)
    height, width = 21, 33
    annotations, lines = [], []

    def add(segmentation, encoded, crowd=0):
        mask = coco_mask.decode(encoded)
        number = len(annotations) + 1
        flat = np.concatenate([[0], mask.reshape(-1)]).astype(int)
        changes = " ".join(str(place) for place in np.flatnonzero(np.diff(flat)))
        lines.append(f"{number} {int(mask.sum())} {changes}".rstrip())
        annotations.append(
            {"id": number, "image_id": 1, "category_id": 5, "segmentation": segmentation, "iscrowd": crowd}
        )

    for case in polygons(rng, height, width):
        add(case, coco_mask.merge(coco_mask.frPyObjects(case, height, width)))
    for _ in range(6):
        mask = np.asfortranarray((rng.random((height, width)) < rng.uniform(0.05, 0.9)).astype(np.uint8))
        encoded = coco_mask.encode(mask)
        add({"size": [height, width], "counts": encoded["counts"].decode()}, encoded)
        flat = mask.reshape(-1, order="F")
        edges = np.flatnonzero(np.diff(np.concatenate([[0], flat, [1 - flat[-1]]]).astype(int)))
        counts = np.diff(np.concatenate([[0], edges])).tolist()
        add({"size": [height, width], "counts": counts}, coco_mask.frPyObjects({"size": [height, width], "counts": counts}, height, width), 1)
    document = {
        "images": [{"id": 1, "file_name": "1.png", "height": height, "width": width}],
        "categories": [{"id": 5, "name": "thing"}],
        "annotations": annotations,
    }
    (folder / "coco.json").write_text(json.dumps(document))
    (folder / "coco.txt").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(exist_ok=True)
    masks(folder)
    coco(folder)
