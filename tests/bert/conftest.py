"""Writers of checkpoint files that need none of the programs which usually write them."""

import io
import pickle
import struct
import sys
import types
import zipfile
from collections import OrderedDict

import numpy as np
import pytest

from nlpkit.bert.config import ModelConfig
from nlpkit.bert.names import expected_weights

TENSORFLOW_TYPES = {
    "<f4": 1,
    "<f8": 2,
    "<i4": 3,
    "|u1": 4,
    "<i2": 5,
    "|i1": 6,
    "<i8": 9,
    "|b1": 10,
    "<u2": 14,  # bfloat16, as bits
    "<f2": 19,
}
TORCH_STORAGES = {
    "<f4": "Float",
    "<f8": "Double",
    "<f2": "Half",
    "<u2": "BFloat16",  # as bits
    "<i8": "Long",
    "<i4": "Int",
    "|u1": "Byte",
    "|b1": "Bool",
}


def masked_crc32c(data):
    """Bit by bit."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def varint(value):
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def field(number, value):
    """One field of a protocol buffer."""
    if isinstance(value, bytes):
        return varint(number << 3 | 2) + varint(len(value)) + value
    return varint(number << 3) + varint(value)


def entry(array, offset, size, crc):
    """A BundleEntryProto."""
    shape = b"".join(field(2, field(1, length)) for length in array.shape)
    kind = TENSORFLOW_TYPES[array.dtype.str]
    place = field(4, offset) if offset else b""
    return field(1, kind) + field(2, shape) + place + field(5, size) + b"\x35" + struct.pack("<I", crc)


def block(pairs, compression=0):
    """A block of a table, with a restart at every third key, and its trailer."""
    out, restarts, last = b"", [], b""
    for number, (key, value) in enumerate(pairs):
        shared = 0
        if number % 3 == 0:
            restarts.append(len(out))
        else:
            while shared < min(len(last), len(key)) and last[shared] == key[shared]:
                shared += 1
        out += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        last = key
    out += b"".join(struct.pack("<I", n) for n in [*restarts, len(restarts)]) + bytes([compression])
    return out + struct.pack("<I", masked_crc32c(out))


def table(pairs, pairs_per_block=20, compression=0):
    """A whole table of sorted pairs."""
    out, handles = b"", []
    for start in range(0, len(pairs), pairs_per_block):
        part = pairs[start : start + pairs_per_block]
        data = block(part, compression)
        handles.append((part[-1][0], varint(len(out)) + varint(len(data) - 5)))
        out += data
    ends = []
    for pairs_of_block in ([], handles):
        data = block(pairs_of_block)
        ends.append(varint(len(out)) + varint(len(data) - 5))
        out += data
    return out + b"".join(ends).ljust(40, b"\0") + struct.pack("<Q", 0xDB4775248B80FB57)


@pytest.fixture(scope="session")
def write_bundle():
    """Write a TensorFlow checkpoint: write_bundle(prefix, arrays, header=..., extra=[(key, value)], ...)."""

    def write(prefix, arrays, header=b"\x08\x01\x1a\x02\x08\x01", extra=(), **more):
        data, pairs = b"", [*([] if header is None else [(b"", header)]), *extra]
        for name, array in arrays.items():
            raw = np.asarray(array).tobytes()
            pairs.append((name.encode(), entry(np.asarray(array), len(data), len(raw), masked_crc32c(raw))))
            data += raw
        prefix.parent.mkdir(exist_ok=True)
        prefix.with_name(f"{prefix.name}.index").write_bytes(table(sorted(pairs), **more))
        prefix.with_name(f"{prefix.name}.data-00000-of-00001").write_bytes(data)

    return write


class View:
    """A tensor as torch has it: numbers of one storage, with an offset, a shape and strides."""

    def __init__(self, storage, offset=0, shape=None, strides=None, parameter=False):
        shape = storage.shape if shape is None else shape
        contiguous = [int(np.prod(shape[n + 1 :])) for n in range(len(shape))]
        self.storage, self.offset, self.shape = storage, offset, tuple(shape)
        self.strides = tuple(contiguous if strides is None else strides)
        self.parameter = parameter


@pytest.fixture
def view():
    """Describe a tensor: view(storage, offset=0, shape=None, strides=None, parameter=False)."""
    return View


class Reduced:
    """What pickles as a call of a function."""

    def __init__(self, function, *arguments):
        self.parts = (function, arguments)

    def __reduce__(self):
        return self.parts


class Reference:
    """What pickles as a persistent id."""

    def __init__(self, storage):
        self.storage = storage


def fake_torch():
    """Return what stands in for torch and torch._utils while names are written."""
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    for name in TORCH_STORAGES.values():
        setattr(torch, f"{name}Storage", type(f"{name}Storage", (), {"__module__": "torch"}))
    for name in ("_rebuild_tensor_v2", "_rebuild_parameter"):
        setattr(utils, name, type(name, (), {"__module__": "torch._utils"}))
    return torch, utils


@pytest.fixture
def torch_pickle(monkeypatch):
    """Pickle as torch.save does: torch_pickle(tree) -> (bytes, {key: storage})."""
    torch, utils = fake_torch()

    def tensor(view):
        numbers = (Reference(view.storage), view.offset, view.shape, view.strides)
        made = Reduced(utils._rebuild_tensor_v2, *numbers, False, OrderedDict())
        return Reduced(utils._rebuild_parameter, made, True, OrderedDict()) if view.parameter else made

    def packed(value):
        if isinstance(value, np.ndarray):
            return tensor(View(value))
        if isinstance(value, View):
            return tensor(value)
        if not isinstance(value, dict):
            return value
        copy = type(value)((key, packed(item)) for key, item in value.items())
        if isinstance(value, OrderedDict):
            vars(copy).update(vars(value))
        return copy

    def dump(tree, protocol=2):
        keys, storages, out = {}, {}, io.BytesIO()

        class Pickler(pickle.Pickler):
            def persistent_id(self, value):
                if not isinstance(value, Reference):
                    return None
                key = keys.setdefault(id(value.storage), str(len(keys)))
                storages[key] = value.storage
                kind = getattr(torch, f"{TORCH_STORAGES[value.storage.dtype.str]}Storage")
                return ("storage", kind, key, "cpu", value.storage.size)

        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, "torch", torch)
            patch.setitem(sys.modules, "torch._utils", utils)
            Pickler(out, protocol).dump(packed(tree))
        return out.getvalue(), storages

    return dump


@pytest.fixture
def write_torch(torch_pickle):
    """Write a file as torch.save does: write_torch(path, tree); change(members) may forge its members."""

    def write(path, tree, change=lambda members: None, compression=zipfile.ZIP_STORED, **more):
        data, storages = torch_pickle(tree, **more)
        members = {"data.pkl": data, "byteorder": b"little"}
        members |= {f"data/{key}": array.tobytes() for key, array in storages.items()}
        members["version"] = b"3\n"
        change(members)
        with zipfile.ZipFile(path, "w", compression) as archive:
            for name, content in members.items():
                archive.writestr(f"{path.stem}/{name}", content)

    return write


VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *map(chr, range(0x4E00, 0x4E00 + 25))]
SIZES = {
    "vocab_size": len(VOCABULARY),
    "hidden_size": 12,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 20,
    "max_position_embeddings": 9,
}


@pytest.fixture(scope="session")
def random_model():
    """Make a tiny model: random_model(architecture, mlm=True, pooler=True, **sizes) -> config, weights."""

    def make(architecture, mlm=True, pooler=True, **sizes):
        config = ModelConfig.from_json(architecture, {**SIZES, **sizes})
        random = np.random.default_rng(7)
        shapes = expected_weights(config, mlm=mlm, pooler=pooler)
        return config, {name: random.normal(size=shape).astype("f4") for name, shape in shapes.items()}

    return make


@pytest.fixture(scope="session")
def write_vocabulary():
    """Write vocab.txt for `random_model` into a folder: write_vocabulary(folder, tokens=...)."""

    def write(folder, tokens=VOCABULARY):
        folder.mkdir(exist_ok=True)
        (folder / "vocab.txt").write_text("".join(f"{token}\n" for token in tokens), "utf-8")

    return write
