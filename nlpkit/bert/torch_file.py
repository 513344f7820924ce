"""Reads pytorch_model.bin: tensors in dictionaries, and nothing else.

`torch.save` writes a zip archive: `data.pkl` describes the dictionary, `data/0`, `data/1` … hold the numbers.
A pickle is a program for a stack machine that may call any Python function, so it is not handed to Python's
pickle: the machine below knows only the instructions that plain data and tensors need, and it calls nothing.
"""

from __future__ import annotations

import math
import pickletools
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from nlpkit.bert.tensors import DOWNLOAD_HINT, AnyArray, Bytes, Tensors, decode, item_bytes, read_bytes
from nlpkit.errors import ModelError

_KINDS = {
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
}
_DICT = "collections.OrderedDict"
_TENSOR = "torch._utils._rebuild_tensor_v2"
_PARAMETER = "torch._utils._rebuild_parameter"
_GLOBALS = {_DICT, _TENSOR, _PARAMETER, *(f"torch.{name}" for name in _KINDS)}

_LEGACY_START = bytes.fromhex(
    "80028a0a6cfc9c46f9206aa850192e"
)  # PyTorch before 1.6, a pickle of its magic number
_LOCAL_HEADER_BYTES = 30  # of a zip member, before its name
_DEEPEST = 8
_CONVERT_HINT = "load it with PyTorch where you trust it, and save model.safetensors"


@dataclass(frozen=True)
class _Global:
    """The name of a Python object, which is never looked up."""

    name: str


@dataclass(frozen=True)
class _Storage:
    """One member of the archive: `length` numbers of one kind."""

    key: str
    kind: str
    length: int


@dataclass(frozen=True)
class _Tensor:
    """A view of a storage; offset and strides are in numbers, not bytes."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


@dataclass(frozen=True)
class _Member:
    """Where a member's bytes lie in the archive."""

    offset: int
    size: int
    crc: int


class _Unsafe(ValueError):
    """The pickle would run code."""


def read_torch_file(path: Path) -> Tensors:
    """Open a file of `torch.save` (PyTorch 1.6 and later) that holds a state dictionary.

    Returns:
        The tensors by name, each read from disk when it is asked for. The names of nested dictionaries are
        joined with dots; numbers and strings between the tensors are left out. bfloat16 becomes float32.

    Raises:
        ModelError: the file would run code, is of another form, or is damaged.
    """
    try:
        folder, members = _members(path)
        start = members[f"{folder}data.pkl"]
        tensors = dict(_flat(run_pickle(_read_member(path, start).tobytes()), (), set()))
    except _Unsafe as error:
        raise ModelError(
            f"{path}: refused: {error}, so loading it could run code", hint=_CONVERT_HINT
        ) from None
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror}") from None
    except (ValueError, zipfile.BadZipFile, NotImplementedError) as error:
        raise ModelError(f"{path}: damaged or no file of tensors: {error}", hint=DOWNLOAD_HINT) from None
    load = lru_cache(maxsize=1)(partial(_storage_bytes, path, folder, members))  # tensors may share a storage
    return Tensors({name: partial(_read, path, name, tensor, load) for name, tensor in tensors.items()})


def _members(path: Path) -> tuple[str, dict[str, _Member]]:
    """List the members of the archive, and the folder that all of them lie in."""
    with path.open("rb") as file:
        if file.read(len(_LEGACY_START)) == _LEGACY_START:
            raise ModelError(
                f"{path}: the format of PyTorch before 1.6, which is not read", hint=_CONVERT_HINT
            )
        with zipfile.ZipFile(file) as archive:
            infos = archive.infolist()
        members = {}
        for info in infos:
            if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
                raise ValueError(f"{info.filename} is compressed, which torch.save never does")
            file.seek(info.header_offset + _LOCAL_HEADER_BYTES - 4)
            lengths = np.frombuffer(file.read(4), "<u2")
            offset = info.header_offset + _LOCAL_HEADER_BYTES + int(lengths.sum())
            members[info.filename] = _Member(offset, info.file_size, info.CRC)
    name = next((name for name in members if name.endswith("/data.pkl")), None)
    if name is None:
        raise ValueError("it has no data.pkl")
    folder = name.removesuffix("data.pkl")
    order = members.get(f"{folder}byteorder")
    if order and _read_member(path, order).tobytes() != b"little":
        raise ValueError("it was written on a big-endian machine")
    return folder, members


def _read_member(path: Path, member: _Member) -> Bytes:
    raw = read_bytes(path, member.offset, member.size)
    if zlib.crc32(raw.data) != member.crc:
        raise ValueError("has a part that does not match its checksum")
    return raw


def _storage_bytes(path: Path, folder: str, members: dict[str, _Member], storage: _Storage) -> Bytes:
    """Read a whole storage."""
    member = members.get(f"{folder}data/{storage.key}")
    if member is None:
        raise ValueError(f"has its numbers in data/{storage.key}, which is not in the file")
    return _read_member(path, member)


def _read(path: Path, name: str, tensor: _Tensor, load: Callable[[_Storage], Bytes]) -> AnyArray:
    """Read one tensor."""
    storage = tensor.storage
    try:
        numbers = decode(load(storage), storage.kind, (storage.length,))
        size = math.prod(tensor.shape)
        steps = (stride * (n - 1) for stride, n in zip(tensor.strides, tensor.shape, strict=True))
        # The first test keeps a stride of 0 from making gigabytes out of one number.
        if size > storage.length or (size and tensor.offset + sum(steps) >= storage.length):
            raise ValueError(f"has shape {tensor.shape}, more than the {storage.length:,} numbers stored")
        if not size:
            return np.zeros(tensor.shape, numbers.dtype)
        strides = tuple(stride * numbers.itemsize for stride in tensor.strides)
        view = np.lib.stride_tricks.as_strided(numbers[tensor.offset :], tensor.shape, strides)
        return view.copy()
    except ValueError as error:
        raise ModelError(f"{path}: {name} {error}", hint=DOWNLOAD_HINT) from None
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror}") from None


def _flat(tree: object, path: tuple[str, ...], seen: set[int]) -> Iterator[tuple[str, _Tensor]]:
    """Yield the tensors of nested dictionaries with their joined names."""
    if isinstance(tree, _Tensor):
        yield ".".join(path), tree
    elif isinstance(tree, dict):
        if len(path) > _DEEPEST or id(tree) in seen:
            raise ValueError("its dictionaries are nested too deep or in each other")
        seen.add(id(tree))
        for key, value in tree.items():
            yield from _flat(value, (*path, str(key)), seen)
    elif not path:
        raise ValueError("it holds no dictionary")


def run_pickle(data: bytes) -> Any:
    """Build the plain data and tensor descriptions that a pickle describes, and call nothing.

    Raises:
        ValueError: an instruction or a name that plain data and tensors do not need, or a broken pickle.
    """
    machine = _Machine()
    try:
        for opcode, argument, _ in pickletools.genops(data):
            machine.run(opcode.name, argument)
    except (TypeError, LookupError, AttributeError, ArithmeticError) as error:
        raise ValueError("its pickle makes no sense") from error
    if len(machine.stack) != 1:
        raise ValueError("its pickle makes no sense")
    return machine.stack[0]


class _Machine:
    """The stack machine. A mark is the height of the stack when it was set."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}

    def run(self, name: str, argument: Any) -> None:
        """Carry out one instruction."""
        stack = self.stack
        match name:
            case "PROTO" | "FRAME" | "STOP":
                pass
            case "MARK":
                self._marks.append(len(stack))
            case "NONE" | "NEWTRUE" | "NEWFALSE":
                stack.append({"NEWTRUE": True, "NEWFALSE": False}.get(name))
            case "BININT" | "BININT1" | "BININT2" | "LONG1" | "BINFLOAT" | "BINUNICODE" | "SHORT_BINUNICODE":
                stack.append(argument)
            case "EMPTY_DICT":
                stack.append({})
            case "EMPTY_LIST":
                stack.append([])
            case "EMPTY_TUPLE":
                stack.append(())
            case "TUPLE":
                stack.append(tuple(self._since_mark()))
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                stack.append(tuple(self._top(int(name[-1]))))
            case "APPEND" | "APPENDS":
                items = self._top(1) if name == "APPEND" else self._since_mark()
                stack[-1].extend(items)
            case "SETITEM" | "SETITEMS":
                items = self._top(2) if name == "SETITEM" else self._since_mark()
                if not all(isinstance(key, str | int) for key in items[::2]):
                    raise ValueError("it has a dictionary with keys that are no names")
                stack[-1].update(zip(items[::2], items[1::2], strict=True))
            case "BINPUT" | "LONG_BINPUT":
                self._memo[argument] = stack[-1]
            case "MEMOIZE":
                self._memo[len(self._memo)] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(self._memo[argument])
            case "GLOBAL":
                stack.append(_global(*argument.split(" ")))
            case "STACK_GLOBAL":
                stack.append(_global(*self._top(2)))
            case "BINPERSID":
                stack.append(_storage(stack.pop()))
            case "REDUCE":
                function, arguments = self._top(2)
                stack.append(_described(function, arguments))
            case "BUILD":
                self._top(1)  # attributes of a state dictionary: the version numbers of its layers
                if not isinstance(stack[-1], dict):
                    raise _Unsafe("it sets attributes of something")
            case _:
                raise _Unsafe(f"it has the instruction {name}")

    def _top(self, number: int) -> list[Any]:
        """Take some values off the stack."""
        if len(self.stack) < number:
            raise IndexError("its stack runs empty")
        values = self.stack[-number:]
        del self.stack[-number:]
        return values

    def _since_mark(self) -> list[Any]:
        """Take what was put on the stack after the last mark."""
        mark = self._marks.pop()
        values = self.stack[mark:]
        del self.stack[mark:]
        return values


def _global(*parts: str) -> _Global:
    name = ".".join(parts)
    if name not in _GLOBALS:
        raise _Unsafe(f"it names {name!r}")
    return _Global(name)


def _storage(persistent_id: Any) -> _Storage:
    """Read ("storage", class, key, device, length)."""
    what, kind, key, _, length = persistent_id
    if what != "storage" or not isinstance(kind, _Global) or not isinstance(key, str):
        raise ValueError("it refers to something that is no storage")
    return _Storage(key, _KINDS[kind.name.removeprefix("torch.")], length)


def _described(function: Any, arguments: Any) -> Any:
    """Return what a call would have made."""
    name = function.name if isinstance(function, _Global) else "something"
    if name == _DICT and arguments == ():
        return {}
    if name == _PARAMETER and isinstance(arguments[0], _Tensor):
        return arguments[0]
    if name == _TENSOR:
        storage, offset, shape, strides = arguments[:4]
        counts = (offset, storage.length, *shape, *strides)
        if all(isinstance(count, int) and count >= 0 for count in counts) and isinstance(storage, _Storage):
            item_bytes(storage.kind)
            return _Tensor(storage, offset, shape, strides)
        raise ValueError("a tensor has impossible sizes")
    raise _Unsafe(f"it calls {name}")
