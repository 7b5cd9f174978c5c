"""Golden files of cnn-transfer's Fourier styles, from numpy's transform of the whole photos. See README.md."""

import json
from pathlib import Path

import numpy as np

from formula import values

FOLDER = Path(__file__).parents[2] / "crates/cnn-transfer/tests/golden"
HEIGHT, WIDTH = 7, 10
CASES = [("same", (HEIGHT, WIDTH), 0), ("same", (HEIGHT, WIDTH), 1), ("same", (HEIGHT, WIDTH), 3), ("other", (9, 6), 2)]


def main():
    photo = drawn("fourier.photo", (HEIGHT, WIDTH))
    result = []
    for name, size, radius in CASES:
        other = drawn(f"fourier.{name}", size)
        byte = lambda xs: np.floor(xs * 255 + 0.5).astype(np.float64)
        # The same as `round` but where a value lies half way, which none does.
        bytes_ = np.clip(np.round(styled(byte(photo), byte(other), radius)), 0, 255).astype(int)
        row = {"style": name, "size": size, "radius": radius}
        result.append(row | {"values": np.round(styled(photo, other, radius), 9).flatten().tolist(), "bytes": bytes_.flatten().tolist()})
    lines = [json.dumps(row) for row in result]
    (FOLDER / "fourier.json").write_text("[\n" + ",\n".join(lines) + "\n]\n")
    (FOLDER / "fourier_batch.json").write_text(json.dumps(np.round(batch(), 9).flatten().tolist()) + "\n")


def batch() -> np.ndarray:
    """Three normalised photos in the styles of two, one after the other and around."""
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    photos = [drawn(f"fourier.photo {number}", (HEIGHT, WIDTH)) for number in range(3)]
    styles = [drawn(f"fourier.style {number}", (9, 6)) for number in range(2)]
    return np.stack([(styled(photo, styles[number % 2], 1) - mean) / std for number, photo in enumerate(photos)])


def drawn(name: str, size) -> np.ndarray:
    """In 0..1."""
    return (values(name, (*size, 3)).astype(np.float64) + 1) / 2


def styled(photo, other, radius):
    """As FDA's `FDA_source_to_target_np`, with amplitudes of another size per pixel."""
    spectrum = np.fft.fftshift(np.fft.fft2(photo, axes=(0, 1)), axes=(0, 1))
    wanted = np.abs(np.fft.fftshift(np.fft.fft2(other, axes=(0, 1)), axes=(0, 1))) * photo[..., 0].size / other[..., 0].size
    amplitude, phase = np.abs(spectrum), np.angle(spectrum)
    middle = lambda size: slice(size // 2 - radius, size // 2 + radius + 1)
    box = (middle(photo.shape[0]), middle(photo.shape[1]))
    amplitude[box] = wanted[middle(other.shape[0]), middle(other.shape[1])]
    changed = np.fft.ifftshift(amplitude * np.exp(1j * phase), axes=(0, 1))
    return np.real(np.fft.ifft2(changed, axes=(0, 1)))


if __name__ == "__main__":
    main()
