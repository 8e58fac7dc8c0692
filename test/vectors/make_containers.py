"""Writes containers.json: GGUF and PyTorch zip files as other implementations lay them out, for test/weights.

    python3 test/vectors/make_containers.py

GGUF follows https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. The PyTorch files follow torch.save: the pickle
is made by Python's own pickler over stand-ins that carry PyTorch's names, the zip by Python's zipfile, with the data of
each entry aligned to 64 bytes by an extra field, as PyTorch's writer does.
"""

import base64
import io
import json
import os
import pickle
import struct
import sys
import types
import zipfile
from collections import OrderedDict


# ---------------------------------------------------------------- GGUF

def text(value):
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def gguf(tensors, alignment=32, version=3):
    infos, data = b"", b""
    for name, shape, kind, raw in tensors:
        data += b"\0" * (-len(data) % alignment)
        infos += text(name) + struct.pack("<I", len(shape)) + b"".join(struct.pack("<Q", n) for n in shape)
        infos += struct.pack("<IQ", kind, len(data))
        data += raw
    pairs = text("general.architecture") + struct.pack("<I", 8) + text("llama")
    pairs += text("general.alignment") + struct.pack("<II", 4, alignment)
    pairs += text("tokenizer.ggml.tokens") + struct.pack("<IIQ", 9, 8, 3) + text("a") + text("b") + text("ï")
    head = b"GGUF" + struct.pack("<IQQ", version, len(tensors), 3) + pairs + infos
    head += b"\0" * (-len(head) % alignment)
    return head, head + data


def pattern(count, seed):
    return bytes((i * 31 + seed) % 251 for i in range(count))


# ---------------------------------------------------------------- PyTorch

torch = types.ModuleType("torch")
utils = types.ModuleType("torch._utils")
sys.modules["torch"], sys.modules["torch._utils"] = torch, utils
for kind in ["FloatStorage", "BFloat16Storage", "HalfStorage", "LongStorage", "UntypedStorage"]:
    setattr(torch, kind, type(kind, (), {"__module__": "torch"}))


def stand_in(name):
    def function(*args):
        raise AssertionError("never run")
    function.__module__, function.__qualname__, function.__name__ = "torch._utils", name, name
    setattr(utils, name, function)
    return function


rebuild_v2 = stand_in("_rebuild_tensor_v2")
rebuild_parameter = stand_in("_rebuild_parameter")


class Storage:
    def __init__(self, kind, key, raw, element):
        self.kind, self.key, self.raw, self.count = kind, key, raw, len(raw) // element


class Tensor:
    def __init__(self, storage, offset, size):
        self.storage, self.offset, self.size = storage, offset, size

    def __reduce__(self):
        stride, step = [], 1
        for length in reversed(self.size):
            stride.insert(0, step)
            step *= length
        return rebuild_v2, (self.storage, self.offset, self.size, tuple(stride), False, OrderedDict())


class Parameter:
    def __init__(self, data):
        self.data = data

    def __reduce__(self):
        return rebuild_parameter, (self.data, True, OrderedDict())


class Pickler(pickle.Pickler):
    def persistent_id(self, value):
        if isinstance(value, Storage):
            return ("storage", getattr(torch, value.kind), value.key, "cpu", value.count)
        return None


def torch_zip(tree, storages, byteorder="little", compression=zipfile.ZIP_STORED):
    pickled = io.BytesIO()
    Pickler(pickled, protocol=2).dump(tree)
    out = io.BytesIO()
    entries = [("data.pkl", pickled.getvalue()), ("byteorder", byteorder.encode())]
    entries += [(f"data/{storage.key}", storage.raw) for storage in storages] + [("version", b"3\n")]
    where = {}
    with zipfile.ZipFile(out, "w", compression) as archive:
        for name, raw in entries:
            info = zipfile.ZipInfo(f"archive/{name}")
            info.compress_type = compression
            start = out.tell() + 30 + len(info.filename) + 4
            padding = -start % 64
            info.extra = b"FB" + struct.pack("<H", padding) + b"Z" * padding
            archive.writestr(info, raw)
            where[name] = start + padding
    return out.getvalue(), where


def main():
    f32, q8, bf16 = pattern(40, 1), pattern(68, 2), pattern(24, 3)
    head, whole = gguf([("token_embd.weight", [2, 5], 0, f32), ("blk.0.w", [32, 2], 8, q8), ("norm", [12], 30, bf16)])
    start = len(head)
    gguf_tensors = [
        ["token_embd.weight", "F32", start, start + 40],
        ["", "opaque", start + 40, start + 64],
        ["blk.0.w", "GGML_8", start + 64, start + 160],
        ["norm", "BF16", start + 160, start + 184],
    ]

    a, b, c = (Storage("FloatStorage", "0", pattern(48, 4), 4), Storage("BFloat16Storage", "1", pattern(200, 5), 2),
               Storage("LongStorage", "2", pattern(8, 6), 8))
    tree = OrderedDict(
        [("layer.weight", Tensor(a, 0, (3, 4))), ("layer.view", Tensor(a, 4, (2, 4))),
         ("inner", {"bias": Parameter(Tensor(b, 0, (100,))), "steps": [1, 2.5, None, "x", 2**40]}),
         ("counts", [Tensor(c, 0, (1,))])])
    zipped, where = torch_zip(tree, [a, b, c])
    big, big_where = torch_zip({"w": Tensor(a, 0, (3, 4))}, [a], byteorder="big")
    # An integer of 70 bits is more than the parser takes.
    huge, huge_where = torch_zip({"w": Tensor(a, 0, (3, 4)), "n": 2**70}, [a])
    deflated, _ = torch_zip({"w": Tensor(a, 0, (3, 4))}, [a], compression=zipfile.ZIP_DEFLATED)
    base = lambda data: base64.b64encode(data).decode()
    vectors = {
        "gguf": {"file": base(whole), "dataStart": start, "tensors": gguf_tensors},
        "torch": {
            "file": base(zipped),
            "tensors": [
                ["layer.weight", "F32", [3, 4], where["data/0"], where["data/0"] + 48],
                ["inner.bias", "BF16", [100], where["data/1"], where["data/1"] + 200],
                ["counts.0", "I64", [1], where["data/2"], where["data/2"] + 8],
            ],
        },
        "torchBigEndian": {"file": base(big), "dtype": "F32_BE", "start": big_where["data/0"]},
        "torchUnreadablePickle": {"file": base(huge), "start": huge_where["data/0"]},
        "torchDeflated": {"file": base(deflated)},
    }
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "containers.json")
    with open(path, "w", encoding="utf-8") as out:
        json.dump(vectors, out, indent=1)
        out.write("\n")


main()
