"""A corpus as token ids on disk, so that training reads it without holding it in memory."""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from nlpkit.errors import InputError, OutputError

IntArray = npt.NDArray[np.int32]

# A line of fewer tokens teaches nothing.
MIN_TOKENS = 4
_FLUSH_TOKENS = 1 << 20
_Block = tuple[list[int], list[bool] | None, list[int]]  # ids, word starts, lengths of examples


class Tokens(Protocol):
    """What turns a line into ids and the marks of its word starts."""

    def __call__(self, text: str) -> tuple[list[int], list[bool] | None]:
        """Return the ids of a line's tokens and whether each starts a word (None: each does)."""


class TokenFile:
    """Examples of one corpus: consecutive tokens of one line each, memory-mapped.

    Attributes:
        lengths: tokens of each example, shape (n,).
    """

    def __init__(self, folder: Path) -> None:
        """Open what `write_tokens` wrote."""
        facts = json.loads((folder / "facts.json").read_text("utf-8"))
        self._starts = np.load(folder / "starts.npy", mmap_mode="r")
        self.lengths = np.diff(self._starts).astype(np.int32)
        total = int(self._starts[-1])
        self._ids = _memmap(folder / "ids.bin", np.dtype(facts["dtype"]), total)
        self._marks = _memmap(folder / "word_starts.bin", np.dtype(bool), total) if facts["marked"] else None

    def __len__(self) -> int:
        """Count the examples."""
        return len(self.lengths)

    def ids(self, example: int) -> IntArray:
        """Return the token ids of one example, shape (lengths[example],)."""
        return np.asarray(self._ids[self._starts[example] : self._starts[example + 1]], np.int32)

    def word_starts(self, example: int) -> npt.NDArray[np.bool_]:
        """Return whether each token of an example starts a word."""
        start, end = self._starts[example], self._starts[example + 1]
        if self._marks is None:
            return np.ones(end - start, bool)
        return np.asarray(self._marks[start:end])


def _memmap(path: Path, dtype: np.dtype[np.generic], size: int) -> npt.NDArray[np.generic]:
    """Map a file of numbers; an empty file cannot be mapped."""
    return np.memmap(path, dtype, "r", shape=(size,)) if size else np.zeros(0, dtype)


def write_tokens(
    lines: Iterable[str], tokens: Tokens, folder: Path, *, name: str, vocab_size: int, max_tokens: int
) -> TokenFile:
    """Turn a corpus into token ids on disk.

    A line of more than `max_tokens` tokens becomes several examples of about equal length.

    Args:
        lines: the corpus; it is read once and never held whole.
        tokens: turns a line into ids.
        folder: made when it is not there; what it holds is written over.
        name: the corpus in messages.
        vocab_size: ids are smaller than this.
        max_tokens: the most tokens of an example.

    Raises:
        InputError: no line has enough tokens to learn from.
        OutputError: the disk is full or the folder cannot be written.

    Cost: 8 bytes of memory for each example.
    """
    dtype = np.dtype(np.uint16 if vocab_size <= 1 << 16 else np.uint32)
    facts_path = folder / "facts.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        facts_path.unlink(missing_ok=True)
        lengths, marked = _write_blocks(_blocks(lines, tokens, max_tokens), folder, dtype)
        if not lengths:
            raise InputError(f"{name}: no line has {MIN_TOKENS} tokens", hint="give a file with text")
        np.save(folder / "starts.npy", np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]))
        # Last, so that a folder with this file is a complete one.
        facts_path.write_text(json.dumps({"dtype": dtype.name, "marked": marked}), "utf-8")
    except OSError as error:
        raise OutputError(f"{folder}: cannot write: {error.strerror or error}") from error
    return TokenFile(folder)


def is_complete(folder: Path) -> bool:
    """Tell whether `write_tokens` came to its end."""
    return (folder / "facts.json").exists()


def _write_blocks(blocks: Iterable[_Block], folder: Path, dtype: np.dtype[Any]) -> tuple[array[int], bool]:
    """Return the length of each example, and whether words are marked."""
    lengths = array("q")
    marked = False
    with open(folder / "ids.bin", "wb") as ids_file, open(folder / "word_starts.bin", "wb") as marks_file:
        for ids, marks, sizes in blocks:
            ids_file.write(np.array(ids, dtype).tobytes())
            if marks is not None:
                marked = True
                marks_file.write(np.array(marks, bool).tobytes())
            lengths.extend(sizes)
    return lengths, marked


def _blocks(lines: Iterable[str], tokens: Tokens, max_tokens: int) -> Iterator[_Block]:
    """Yield the ids, word starts and example lengths of about a million tokens at a time."""
    ids: list[int] = []
    marks: list[bool] = []
    sizes: list[int] = []
    for line in lines:
        more, starts = tokens(line)
        if len(more) < MIN_TOKENS:
            continue
        ids += more
        if starts is not None:
            marks += starts
        sizes += _even_sizes(len(more), max_tokens)
        if len(ids) >= _FLUSH_TOKENS:
            yield ids, marks or None, sizes
            ids, marks, sizes = [], [], []
    if ids:
        yield ids, marks or None, sizes


def _even_sizes(total: int, largest: int) -> list[int]:
    """Divide a line into as few parts as fit, the longest one token longer than the shortest."""
    parts = -(-total // largest)
    small, more = divmod(total, parts)
    return [small + 1] * more + [small] * (parts - more)
