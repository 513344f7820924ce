"""The files of a model directory as bytes, and a folder that appears only when it is complete."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from nlpkit.errors import ModelError, OutputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Dtype = Literal["float16", "float32"]

LARGEST_FLOAT16 = 65504.0
_FLOATS = {"F16", "F32", "F64"}


def read_vocabulary(path: Path) -> list[str]:
    """Read a vocabulary: UTF-8, one token per line; the id of a token is its line, from 0.

    A byte-order mark is dropped, and CRLF ends a line too. White space is part of a token.

    Raises:
        ModelError: the file is unreadable or not UTF-8, or a line is empty or there twice.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror}") from None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ModelError(f"{path}:{line}: not UTF-8", hint="a vocabulary is a UTF-8 text file") from None
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()
    tokens = [line.removesuffix("\r") for line in lines]
    _check_tokens(tokens, str(path))
    return tokens


def vocabulary_bytes(tokens: Sequence[str]) -> bytes:
    """Return a vocabulary as `read_vocabulary` reads it.

    Raises:
        ModelError: a token is empty, there twice, holds a line end or cannot be UTF-8.
    """
    _check_tokens(tokens, "vocab.txt")
    for line, token in enumerate(tokens, 1):
        if "\n" in token or token.endswith("\r"):
            raise ModelError(f"vocab.txt:{line}: a token with a line end: {token!r}")
    try:
        return "".join(f"{token}\n" for token in tokens).encode()
    except UnicodeEncodeError:
        raise ModelError("vocab.txt: a token holds half of a surrogate pair") from None


def _check_tokens(tokens: Sequence[str], place: str) -> None:
    first: dict[str, int] = {}
    for line, token in enumerate(tokens, 1):
        if not token:
            raise ModelError(f"{place}:{line}: an empty line", hint="a vocabulary has one token on each line")
        if first.setdefault(token, line) != line:
            raise ModelError(f"{place}:{line}: {token!r} is there twice, first on line {first[token]}")
    if not first:
        raise ModelError(f"{place}: no token")


def read_weights(path: Path) -> dict[str, NDArray[np.float32]]:
    """Read a safetensors file; floats of every width become float32, other tensors are left out.

    Raises:
        ModelError: the file is unreadable, truncated or no safetensors file.
    """
    with _readable(path):
        import numpy as np
        from safetensors import safe_open

        weights = {}
        with safe_open(path, framework="numpy") as file:
            for name in file.keys():  # noqa: SIM118 (a file is no mapping)
                kind = file.get_slice(name).get_dtype()
                if kind == "BF16":  # numpy has no such type
                    return _read_bfloat16(path)
                if kind in _FLOATS:
                    weights[name] = np.asarray(file.get_tensor(name), np.float32)
        return weights


def weight_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Return the shape of every tensor of a safetensors file, of which only the header is read.

    Raises:
        ModelError: as `read_weights`.
    """
    with _readable(path):
        from safetensors import safe_open

        with safe_open(path, framework="numpy") as file:
            return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    from safetensors import SafetensorError

    try:
        yield
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror or error}") from None
    except SafetensorError as error:
        raise ModelError(
            f"{path}: truncated, damaged or no safetensors file: {error}", hint="get the model again"
        ) from None


def _read_bfloat16(path: Path) -> dict[str, NDArray[np.float32]]:
    import numpy as np
    from safetensors import deserialize

    weights = {}
    for name, tensor in deserialize(path.read_bytes()):  # type: ignore[no-untyped-call]
        if tensor["dtype"] == "BF16":  # the upper half of a float32
            values = (np.frombuffer(tensor["data"], "<u2").astype(np.uint32) << 16).view(np.float32)
        elif tensor["dtype"] in _FLOATS:
            values = np.frombuffer(tensor["data"], f"<f{int(tensor['dtype'][1:]) // 8}").astype(np.float32)
        else:
            continue
        weights[name] = values.reshape(tensor["shape"])
    return weights


def weight_bytes(weights: Mapping[str, NDArray[Any]], dtype: Dtype) -> bytes:
    """Return weights as a safetensors file; the same weights give the same bytes.

    Raises:
        ModelError: a value is not finite, or float16 cannot hold it.
    """
    import numpy as np
    from safetensors.numpy import save

    packed = {}
    for name in sorted(weights):
        with np.errstate(over="ignore", invalid="ignore"):
            values = np.asarray(weights[name], np.float32)
        largest = float(np.abs(values).max(initial=0))  # NaN if there is one
        if not largest < float("inf"):
            raise ModelError(f"weight {name} has values that are not finite", hint="the model is damaged")
        if dtype == "float16" and largest > LARGEST_FLOAT16:
            raise ModelError(
                f"weight {name} has a value of {largest:g}, and float16 ends at {LARGEST_FLOAT16:g}",
                hint="--dtype float32 keeps it",
            )
        packed[name] = np.asarray(values, dtype, order="C")  # save() takes no other order
    return save(packed)


@contextmanager
def folder_beside(
    folder: Path, *, force: bool, may_replace: Callable[[Path], bool]
) -> Iterator[Callable[[str, bytes], None]]:
    """Fill a folder under another name, and give it its name only at success.

    Whatever ends the block early leaves what was there before, and nothing else.

    Args:
        folder: Where it goes; the folders above it are made.
        force: Replace a folder that is there already.
        may_replace: Asked first with that folder, so that nobody's other files are thrown away.

    Yields:
        A function that writes one file, given its name and its bytes.

    Raises:
        OutputError: the folder is there already, its place cannot be written, or the disk is full.
    """
    folder = folder.resolve()
    if folder.exists():
        if not force:
            raise OutputError(f"{folder}: the folder exists", hint="--force replaces it")
        if not may_replace(folder):
            raise OutputError(f"{folder}: this is no model directory, so it is not replaced")
    with _written(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".part", dir=folder.parent))
    new, old = work / "new", work / "old"

    def write(name: str, data: bytes) -> None:
        with _written(folder / name):
            (new / name).write_bytes(data)

    try:
        new.mkdir()  # with the usual permissions, which that of mkdtemp are not
        yield write
        with _written(folder):
            _swap(new, folder, old)
    finally:
        if folder.exists() or not old.exists():
            shutil.rmtree(work, ignore_errors=True)


def _swap(new: Path, folder: Path, old: Path) -> None:
    """Give `new` the name of `folder`; what was there is moved to `old`, and back if that fails."""
    try:
        if folder.exists():
            folder.rename(old)
        new.rename(folder)
    except BaseException:
        if old.exists() and not folder.exists():
            old.rename(folder)
        raise


@contextmanager
def _written(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(f"{path}: cannot write: {error.strerror}") from error
