"""Writes the corpus of small PyTorch files that the tests of `cnn-weights` read.

    python tools/pth_corpus.py crates/cnn-weights/tests/corpus

Needs PyTorch 2.x and numpy. The committed files came from PyTorch 2.15; each is below 4 kB.
`good_*` hold what the tests expect value by value, `bad_*` are hostile or broken. A second run writes other bytes for the
legacy format, in which storages are named after their addresses.
"""

import collections
import datetime
import enum
import functools
import io
import operator
import os
import pickle
import re
import struct
import sys
import zipfile
import zlib
from argparse import Namespace
from pathlib import Path

import numpy as np
import torch

OUT = Path(sys.argv[1] if len(sys.argv) > 1 else "crates/cnn-weights/tests/corpus")
MAGIC = 0x1950A86A20F9469CFC6C


def numbers(*shape, dtype=torch.float32):
    """0, 1, 2, ... in row-major order."""
    return torch.arange(int(np.prod(shape)), dtype=torch.float64).reshape(shape).to(dtype)


def save_both(name, value, **kwargs):
    """Writes `value` in the zip and in the legacy format."""
    torch.save(value, OUT / f"good_{name}.zip.pth", **kwargs)
    torch.save(value, OUT / f"good_{name}.legacy.pth", _use_new_zipfile_serialization=False, **kwargs)


def good():
    unreadable = {"sparse": torch.eye(2).to_sparse(), "numpy": np.ones(2), "meta": torch.empty(2, device="meta")}
    unreadable |= {"quantised": torch.quantize_per_tensor(numbers(2), 1.0, 0, torch.qint8), "fine": numbers(2)}
    save_both("unreadable", unreadable)
    base = numbers(4, 6)
    save_both(
        "views",
        {
            "whole": base,
            "transposed": base.t(),
            "slice": base[1:3, 2:5],
            "steps": base[::2, 1::3],
            "row": base[3],
            "expanded": base[0, 5].expand(2, 3),
            "channels_last": numbers(1, 2, 3, 2).to(memory_format=torch.channels_last),
        },
    )
    tied = torch.nn.Parameter(numbers(3, 2))
    save_both("shared", {"encoder.weight": tied, "decoder.weight": tied, "half": tied.data[1:]})
    save_both(
        "types",
        {
            "f16": torch.tensor([0.5, -2.0, 65504.0], dtype=torch.float16),
            "bf16": torch.tensor([0.5, -2.0, 3.0e38], dtype=torch.bfloat16),
            "f64": torch.tensor([0.1, -1e300], dtype=torch.float64),
            "i64": torch.tensor(-(2**40)),
            "i32": torch.tensor([-(2**31), 7], dtype=torch.int32),
            "i16": torch.tensor([-(2**15), 7], dtype=torch.int16),
            "i8": torch.tensor([-128, 127], dtype=torch.int8),
            "u8": torch.tensor([0, 255], dtype=torch.uint8),
            "bool": torch.tensor([[True, False, True]]),
            "empty": torch.zeros(0, 3),
        },
    )
    untyped = {"u16": torch.tensor([0, 65535], dtype=torch.uint16), "u32": torch.tensor([2**32 - 1], dtype=torch.uint32)}
    untyped |= {"complex": torch.tensor([1 + 2j]), "f8": torch.tensor([1.0]).to(torch.float8_e5m2)}
    save_both("more_types", untyped)

    net = torch.nn.Sequential(torch.nn.Linear(2, 3, bias=False), torch.nn.BatchNorm1d(3, affine=False))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    net(torch.ones(2, 2)).sum().backward()
    optimizer.step()
    for index, value in enumerate(net.state_dict().values()):
        value.copy_(numbers(*value.shape, dtype=value.dtype) + 10 * index)
    checkpoint = {
        "epoch": 17,
        "arch": "tiny",
        "best": np.float64(0.5),
        "lr": 0.25,
        "done": False,
        "args": Namespace(lr=0.1, device=torch.device("cpu"), root=Path("data")),
        "scalar": torch.tensor(3.0),
        "optimizer": optimizer.state_dict(),
        "history": [{"loss": 1.0}, {"loss": 0.5}],
        "classes": {"cat", "dog"},
        "model": {"decoy": torch.zeros(1)},
        "state_dict": torch.nn.DataParallel(net).state_dict(),
    }
    save_both("checkpoint", checkpoint)
    save_both("nested", {"net": {"stem": {"weight": numbers(2, 2)}, "blocks": [numbers(1), {3: numbers(2)}]}})
    torch.save(net, OUT / "good_module.zip.pth")
    # The legacy format stores the source of each class: this one is short.
    torch.save(torch.nn.PReLU(2), OUT / "good_module.legacy.pth", _use_new_zipfile_serialization=False)
    save_both("tensor", numbers(2, 3).t())
    for protocol in (3, 4, 5):
        torch.save({"a": numbers(2), "b": b"bytes", "c": 2**70}, OUT / f"good_protocol{protocol}.zip.pth", pickle_protocol=protocol)
    torch.save({"a": numbers(2)}, OUT / "good_protocol4.legacy.pth", pickle_protocol=4, _use_new_zipfile_serialization=False)

    # There may be no GPU: the location is the only thing that tells a tensor of one.
    for form, new in (("zip", True), ("legacy", False)):
        file = io.BytesIO()
        torch.save({"weight": numbers(3)}, file, _use_new_zipfile_serialization=new)
        patched = patch_pickle(file.getvalue(), b"X\x03\x00\x00\x00cpu", b"X\x06\x00\x00\x00cuda:0", new)
        (OUT / f"good_cuda.{form}.pth").write_bytes(patched)

    # Zipped anew by hand, hence compressed.
    file = io.BytesIO()
    torch.save({"weight": numbers(64)}, file)
    rezip(file.getvalue(), OUT / "good_deflated.zip.pth", compression=zipfile.ZIP_DEFLATED)


class Colour(enum.Enum):
    RED = 1


class Outer:
    class Level(enum.IntEnum):
        LOW = 1

    def method(self):
        return self


class Attributes(dict):
    """As the configurations of libraries are."""


class Reduced:
    """Pickles as a call of `function`."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


def others():
    """What lies beside the weights in checkpoints of people."""
    objects = {
        "enum": Colour.RED,
        "nested": Outer.Level.LOW,
        "method": Outer().method,
        "config": Attributes(lr=0.1, names=["a"]),
        "function": torch.relu,
        "type": type(None),
        "numpy_scalar": np.float64(0.5),
        "numpy_generator": np.random.default_rng(0),
        "torch_generator": Reduced(torch.Generator, torch.device("cpu")),  # without its state of 5 kB
        "time": datetime.datetime(2020, 1, 2, tzinfo=datetime.timezone.utc),
        "pattern": re.compile("a+"),
        "buffer": io.BytesIO(b"abc\xff"),
        "error": ValueError("no"),
        "iterator": iter([1, 2]),
        "getter": operator.itemgetter(1),
        "partial": functools.partial(int, base=2),
        "namespace": Namespace(lr=0.1),
        "size": torch.Size([1, 2]),
        "dtype": torch.float16,
        "device": torch.device("cuda:0"),
    }
    for protocol, form, new in ((2, "zip", True), (2, "legacy", False), (5, "protocol5.zip", True)):
        checkpoint = {"state_dict": {"weight": numbers(2)}, **objects}
        torch.save(checkpoint, OUT / f"good_objects.{form}.pth", pickle_protocol=protocol, _use_new_zipfile_serialization=new)

    arrays = {
        "plain": np.arange(6, dtype="f4").reshape(2, 3) / 2,
        "fortran": np.asfortranarray(np.arange(6, dtype="i2").reshape(2, 3)),
        "whole": np.array([2**40, -1]),
        "truth": np.array([True, False]),
        "half": np.array([0.5, -2], dtype="f2"),
        "scalar": np.array(7.0),
        "texts": np.array(["ab", "c"]),
        "objects": np.array(["a", None], dtype=object),
        "big_endian": np.array([1.0], dtype=">f4"),
        "tensor": numbers(2),
    }
    save_both("arrays", arrays)
    torch.save(arrays, OUT / "good_arrays.protocol5.zip.pth", pickle_protocol=5)

    # Tensors of a TPU, and of other classes, of which one is made of a single tensor.
    rebuild = torch._utils
    wrapper = (torch.Tensor, torch.float32, torch.Size([2]), (1,), 0, torch.strided, "cpu", False)
    wrapped = functools.partial(Reduced, torch._tensor._rebuild_from_type_v2, rebuild._rebuild_wrapper_subclass, Outer, wrapper)
    parameter = torch.nn.Parameter(numbers(2) + 1)
    parameter.note = "kept"
    save_both(
        "rebuilt",
        {
            "device": Reduced(rebuild._rebuild_device_tensor_from_numpy, np.arange(3, dtype="f4"), torch.float32, "xla:0", False),
            "wrapped": wrapped({"_local_tensor": numbers(2), "_spec": "x"}),
            "slots": wrapped(({"_local_tensor": numbers(2), "count": numbers(2, dtype=torch.int64)}, {})),
            "quantised": wrapped({"int_data": numbers(2), "scale": numbers(2)}),
            "parameter": parameter,
        },
    )
    both = {"model": {"weight": numbers(2)}, "model_ema": {"module.weight": numbers(2) + 1}, "epoch": 3}
    save_both("averages", both)


def rezip(archive, path, change=lambda name, data: data, compression=zipfile.ZIP_STORED):
    """Copies an archive record by record, with a fixed date."""
    with zipfile.ZipFile(io.BytesIO(archive)) as source, zipfile.ZipFile(path, "w", compression) as target:
        for name in source.namelist():
            info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            info.compress_type = compression
            data = change(name, source.read(name))
            if data is not None:
                target.writestr(info, data)


def patch_pickle(content, old, new, zipped):
    if not zipped:
        assert old in content
        return content.replace(old, new)
    file = io.BytesIO()
    rezip(content, file, lambda name, data: data.replace(old, new) if name.endswith("data.pkl") else data)
    return file.getvalue()


class Storage:
    """A persistent id: class, key, location, element count."""

    def __init__(self, key, count, kind="FloatStorage"):
        self.id = ("storage", getattr(torch, kind), key, "cpu", count)


class Rebuild:
    """A tensor with any offset, size and stride."""

    def __init__(self, storage, offset, size, stride):
        self.args = (storage, offset, size, stride, False, collections.OrderedDict())

    def __reduce__(self):
        return torch._utils._rebuild_tensor_v2, self.args


def dumps(value):
    class Pickler(pickle.Pickler):
        def persistent_id(self, item):
            return item.id if isinstance(item, Storage) else None

    file = io.BytesIO()
    Pickler(file, protocol=2).dump(value)
    return file.getvalue()


def craft(name, structure, storages=()):
    """Writes a structure (a pickle, or what to pickle) in both formats. `storages` are (key, bytes)."""
    structure = structure if isinstance(structure, bytes) else dumps(structure)
    with zipfile.ZipFile(OUT / f"{name}.zip.pth", "w", zipfile.ZIP_DEFLATED) as target:
        records = {"data.pkl": structure, "byteorder": b"little"} | {f"data/{key}": data for key, data in storages}
        for record, data in records.items():
            info = zipfile.ZipInfo(f"archive/{record}", (1980, 1, 1, 0, 0, 0))
            # What is long and repeats itself is compressed to keep the corpus small.
            info.compress_type = zipfile.ZIP_DEFLATED if len(data) > 3000 else zipfile.ZIP_STORED
            target.writestr(info, data)
    legacy = legacy_file(structure, storages)
    if len(legacy) < 4000:
        (OUT / f"{name}.legacy.pth").write_bytes(legacy)


def legacy_file(structure, storages, magic=MAGIC, protocol=1001, little=True):
    heads = [magic, protocol, {"protocol_version": 1001, "little_endian": little, "type_sizes": {}}]
    content = b"".join(pickle.dumps(head, protocol=2) for head in heads) + structure
    content += pickle.dumps([key for key, _ in storages], protocol=2)
    return content + b"".join(struct.pack("<q", len(data) // 4) + data for _, data in storages)


def bad(name, *args):
    craft(f"bad_{name}", *args)


class System:
    def __reduce__(self):
        return os.system, ("touch /tmp/pickle_ran",)


class Evaluate:
    def __reduce__(self):
        return eval, ("1 + 1",)


def hostile():
    floats = ("0", numbers(4).numpy().tobytes())
    storage = Storage("0", 4)
    weight = Rebuild(storage, 0, (2, 2), (2, 1))
    cycle = {"weight": weight, "list": []}
    cycle["self"] = cycle
    cycle["list"].append(cycle["list"])
    craft("good_cycle", cycle, [floats])
    # As Python 2 wrote ordered dictionaries: OrderedDict([["weight", weight]]).
    craft("good_pairs", b"\x80\x02ccollections\nOrderedDict\n]]X\x06\x00\x00\x00weighta" + opcodes(weight) + b"aa\x85R.", [floats])

    bad("system", {"weight": weight, "x": System()}, [floats])
    bad("eval", {"weight": weight, "x": Evaluate()}, [floats])
    bad("inst", b"(S'echo'\nios\nsystem\n.")
    bad("stack_global", b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x02id\x85R.")
    bad("popen", b"\x80\x02csubprocess\nPopen\n)\x81.")

    bad("attribute", b"\x80\x02c__builtin__\ngetattr\ncposix\nsystem\nX\x08\x00\x00\x00__call__\x86R)R.")

    bad("deep", b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b".")
    bad("laughs", laughs(levels=60), [floats])
    # [[..], [..]], ...: each list holds the one before twice.
    bad("laughs_lists", b"\x80\x02]" + b"".join(b"q%c](h%ch%ce" % (i, i, i) for i in range(90)) + b".")
    bad("huge_numel", {"w": Rebuild(Storage("0", 2**62), 0, (2, 2), (2, 1))}, [floats])
    bad("huge_shape", {"w": Rebuild(storage, 0, (2**31, 2**31, 2**31), (0, 0, 0))}, [floats])
    bad("expand_bomb", {"w": Rebuild(storage, 0, (2**40,), (0,))}, [floats])
    bad("negative_stride", {"w": Rebuild(storage, 3, (4,), (-1,))}, [floats])
    bad("negative_offset", {"w": Rebuild(storage, -1, (4,), (1,))}, [floats])
    bad("beyond_storage", {"w": Rebuild(storage, 1, (2, 2), (2, 1))}, [floats])
    bad("short_storage", {"w": Rebuild(Storage("0", 5), 0, (4,), (1,))}, [floats])
    bad("missing_storage", {"w": Rebuild(Storage("1", 4), 0, (4,), (1,))})
    bad("rank", {"w": Rebuild(storage, 0, (1,) * 500, (1,) * 500)}, [floats])
    bad("duplicate", {"a.b": weight, "a": {"b": weight}}, [floats])
    bad("long_name", {"n" * 2000: weight}, [floats])
    bad("stack_underflow", b"\x80\x02R.")
    bad("unknown_opcode", b"\x80\x02\xff.")
    bad("huge_string", b"\x80\x04\x8d" + struct.pack("<Q", 2**63) + b"abc.")
    bad("memo", b"\x80\x02h\x07.")

    structure = dumps({"w": weight})
    (OUT / "bad_magic.legacy.pth").write_bytes(legacy_file(structure, [floats], magic=MAGIC + 1))
    (OUT / "bad_protocol.legacy.pth").write_bytes(legacy_file(structure, [floats], protocol=1002))
    (OUT / "bad_big_endian.legacy.pth").write_bytes(legacy_file(structure, [floats], little=False))
    (OUT / "bad_plain_pickle.legacy.pth").write_bytes(pickle.dumps({"w": [1, 2]}, protocol=2))
    for form in ("zip", "legacy"):
        whole = (OUT / f"good_shared.{form}.pth").read_bytes()
        (OUT / f"bad_half.{form}.pth").write_bytes(whole[: len(whole) // 2])

    whole = (OUT / "good_shared.zip.pth").read_bytes()
    rezip(whole, OUT / "bad_big_endian.zip.pth", lambda name, data: b"big" if name.endswith("byteorder") else data)
    rezip(whole, OUT / "bad_no_pickle.zip.pth", lambda name, data: None if name.endswith("data.pkl") else data)
    with zipfile.ZipFile(OUT / "bad_torchscript.zip.pth", "w") as target:
        for name in ("data.pkl", "constants.pkl", "code/net.py"):
            target.writestr(zipfile.ZipInfo(f"net/{name}", (1980, 1, 1, 0, 0, 0)), b"\x80\x02N.")
    (OUT / "bad_bomb.zip.pth").write_bytes(zip_bomb(structure, 2**32 - 2))
    (OUT / "bad_lying_bomb.zip.pth").write_bytes(zip_bomb(structure, 16))


def opcodes(value):
    """A value's opcodes without PROTO and STOP."""
    return dumps(value)[2:-1]


def laughs(levels):
    """Dictionaries that each hold the one before twice: 2^levels names for one tensor."""
    value = {"w": Rebuild(Storage("0", 4), 0, (4,), (1,))}
    for _ in range(levels):
        value = {"a": value, "b": value}
    return value


def zip_bomb(structure, claimed):
    """A storage of 2.5 kB that inflates to 2.5 MB and claims another size."""
    deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = deflater.compress(bytes(2_500_000)) + deflater.flush()
    content, directory = b"", b""
    for name, data, method, size in ((b"a/data.pkl", structure, 0, len(structure)), (b"a/data/0", bomb, 8, claimed)):
        fields = struct.pack("<HHHHHIIIHH", 20, 0, method, 0, 33, 0, len(data), size, len(name), 0)
        directory += b"PK\x01\x02\x14\x00" + fields + struct.pack("<HHHII", 0, 0, 0, 0, len(content)) + name
        content += b"PK\x03\x04" + fields + name + data
    return content + directory + b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 2, 2, len(directory), len(content), 0)


if __name__ == "__main__":
    OUT.mkdir(parents=True, exist_ok=True)
    for old in OUT.glob("*.pth"):
        old.unlink()
    torch.manual_seed(0)
    good()
    others()
    hostile()
    sizes = {path.name: path.stat().st_size for path in sorted(OUT.glob("*.pth"))}
    assert max(sizes.values()) < 4096, {name: size for name, size in sizes.items() if size >= 4096}
    print(f"{len(sizes)} files, {sum(sizes.values())} bytes")
