"""Writing golden files so that the same values give the same bytes."""

import json
from pathlib import Path

from safetensors.numpy import save


def write(path: Path, tensors: dict, metadata: dict[str, str]):
    """As `safetensors.numpy.save_file`, which orders the metadata at random."""
    data = save(tensors, metadata)
    end = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:end])
    header["__metadata__"] = dict(sorted(metadata.items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(len(text).to_bytes(8, "little") + text + data[end:])
