"""Arrays as they lie in files: found first, read when asked for, refused when the sizes do not agree."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nlpkit.errors import ModelError

AnyArray = npt.NDArray[Any]
Bytes = npt.NDArray[np.uint8]

# NumPy has no bfloat16: its bits are read and widened.
_STORED = {
    "float64": "<f8",
    "float32": "<f4",
    "float16": "<f2",
    "bfloat16": "<u2",
    "int64": "<i8",
    "int32": "<i4",
    "int16": "<i2",
    "int8": "i1",
    "uint8": "u1",
    "bool": "?",
}
DOWNLOAD_HINT = "if it was cut short or damaged on its way, download it again"
_LFS_POINTER = b"version https://git-lfs"


class Tensors(Mapping[str, AnyArray]):
    """The arrays of a file by name. Each access reads the file again: keep what you need."""

    def __init__(self, readers: Mapping[str, Callable[[], AnyArray]]) -> None:
        """Keep, for each name, what reads its array."""
        self._readers = dict(readers)

    def __getitem__(self, name: str) -> AnyArray:
        """Read one array.

        Raises:
            KeyError: there is no such name.
            ModelError: the file is damaged.
        """
        return self._readers[name]()

    def __contains__(self, name: object) -> bool:
        """Tell whether there is such an array, without reading it."""
        return name in self._readers

    def __iter__(self) -> Iterator[str]:
        """Yield the names."""
        return iter(self._readers)

    def __len__(self) -> int:
        """Return the number of arrays."""
        return len(self._readers)


def item_bytes(kind: str) -> int:
    """Return the bytes of one number: 4 for `float32`.

    Raises:
        ValueError: numbers of this kind are not read.
    """
    if kind not in _STORED:
        raise ValueError(f"is of type {kind}, which is not supported")
    return np.dtype(_STORED[kind]).itemsize


def decode(raw: Bytes, kind: str, shape: Sequence[int]) -> AnyArray:
    """Turn little-endian bytes into an array, without a copy except for bfloat16 (which gives float32).

    Raises:
        ValueError: the kind is not read, or there are more or fewer bytes than the shape needs.
    """
    needed = math.prod(shape) * item_bytes(kind)
    if min(shape, default=0) < 0 or len(raw) != needed:
        raise ValueError(f"has {len(raw):,} bytes, but shape {tuple(shape)} of {kind} needs {needed:,}")
    array = raw.view(_STORED[kind])
    if kind == "bfloat16":
        array = (array.astype(np.uint32) << 16).view(np.float32)
    return array.reshape(tuple(shape))


def read_bytes(path: Path, offset: int, size: int) -> Bytes:
    """Read a part of a file.

    Raises:
        ValueError: the file ends before.
        OSError: it is absent or unreadable.
    """
    length = path.stat().st_size
    if offset < 0 or size < 0 or offset + size > length:
        raise ValueError(f"needs bytes up to {offset + size:,}, and the file ends at {length:,}")
    return np.fromfile(path, np.uint8, size, offset=offset)


def refuse_pointer(path: Path) -> None:
    """Refuse the small text that Git leaves in place of a large file.

    Raises:
        ModelError: it is such a text, or cannot be read.
    """
    try:
        with path.open("rb") as file:
            start = file.read(len(_LFS_POINTER))
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror}") from None
    if start == _LFS_POINTER:
        raise ModelError(
            f"{path}: a Git LFS pointer, not the weights", hint="git lfs pull in the model's folder"
        )
