"""Runs: sorted keys with their counts, in memory or in files, and their merging."""

from __future__ import annotations

import mmap
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from nlpkit.errors import InputError, OutputError
from nlpkit.ngram import _kernel
from nlpkit.ngram.shares import bucket_ranges

_WIDE = np.dtype([("low", "<u8"), ("high", "<u8")])
_MERGED_AT_ONCE = 8  # as in kernel.h


def key_layout(size: int, depth: int) -> tuple[int, bool]:
    """Bits of a symbol in a key, and whether a key needs 128 bits; its first symbol is the bucket's.

    Raises:
        InputError: Grams of `depth` symbols out of `size` do not fit.
        ValueError: The depth is not in 2 .. 9.
    """
    bits = max(size.bit_length(), 1)
    if not 2 <= depth <= 9:
        raise ValueError(f"a depth of {depth} is not in 2 .. 9")
    if (depth - 1) * bits > 128:
        raise InputError(
            f"the text has {size:,} different symbols, too many for n-grams of {depth - 1}",
            hint=f"--max-order {128 // bits} fits",
        )
    return bits, (depth - 1) * bits > 64


def key_type(wide: bool) -> Any:
    """Data type of the keys."""
    return _WIDE if wide else np.dtype(np.uint64)


@dataclass(slots=True)
class Run:
    """All grams of a text: for each first symbol a bucket of sorted keys, each with its count.

    A key holds the `depth - 1` symbols after the first, `bits` bits each, zero from the first break on.

    Attributes:
        starts: Where each bucket starts, shape (size + 2,).
        sizes: Keys in each bucket, shape (size + 1,).
        keys: uint64, or pairs of them where `wide`.
        counts: uint32 beside the keys; a key whose count passes 32 bits stands more than once.
        maps: The files behind keys and counts, if they are not in memory.
    """

    starts: NDArray[np.uint64]
    sizes: NDArray[np.uint64]
    keys: NDArray[Any]
    counts: NDArray[np.uint32]
    bits: int
    depth: int
    wide: bool
    maps: tuple[mmap.mmap, ...] = ()

    @property
    def kernel(self) -> _kernel.Run:
        """The run as the kernel takes it."""
        return (self.starts, self.sizes, self.keys, self.counts, self.bits, self.depth, self.wide)

    @property
    def num_keys(self) -> int:
        """Distinct grams of `depth` symbols."""
        return int(self.sizes.sum())

    def forget(self) -> None:
        """Let go of the pages of the file behind the run, which would count as resident."""
        for mapped in self.maps:
            if hasattr(mmap, "MADV_DONTNEED"):
                mapped.madvise(mmap.MADV_DONTNEED)

    def pack(self) -> None:
        """Move the keys together, so that buckets stand end to end."""
        starts = ends_of(self.sizes)
        for bucket in np.flatnonzero(self.sizes).tolist():
            old, new, size = int(self.starts[bucket]), int(starts[bucket]), int(self.sizes[bucket])
            if old != new:
                self.keys[new : new + size] = self.keys[old : old + size]
                self.counts[new : new + size] = self.counts[old : old + size]
        self.starts = starts
        self.keys = self.keys[: self.num_keys]
        self.counts = self.counts[: self.num_keys]


def _place(array_type: Any, path: Path, num: int) -> tuple[NDArray[Any], mmap.mmap]:
    """Map a file of `num` items and unlink it, so that nothing is left behind."""
    with path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), num * np.dtype(array_type).itemsize, access=mmap.ACCESS_READ)
    path.unlink()
    return np.frombuffer(mapped, array_type, num), mapped


class RunStore:
    """A temporary folder for runs on disk."""

    def __init__(self, parent: Path | None) -> None:
        """Make the folder in `parent`, or in the system's folder for temporary files.

        Raises:
            OutputError: It cannot be made.
        """
        try:
            self._folder = tempfile.TemporaryDirectory(prefix="nlpkit-", dir=parent)
        except OSError as error:
            raise _disk_error(parent or tempfile.gettempdir(), error) from None
        self._runs: list[Run] = []
        self._empty: Run | None = None

    def __enter__(self) -> Self:
        """Return the store."""
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the folder; runs that are mapped stay readable."""
        self._folder.cleanup()

    def add(self, run: Run) -> None:
        """Write a run to disk; the runs of one store have one form.

        Raises:
            OutputError: The disk is full.
        """
        run.pack()
        if run.num_keys:
            self._runs.append(self._write(run, run.sizes, [(run.keys, run.counts)]))
        else:
            self._empty = run  # an empty file cannot be mapped

    def merged(self, memory_bytes: int) -> Run:
        """Merge the runs of the store into one, which is on disk too.

        Args:
            memory_bytes: Bytes that merging may take; the largest bucket always may.

        Raises:
            OutputError: The disk is full.
            ValueError: None was added.
        """
        if not self._runs:
            if self._empty is None:
                raise ValueError("no run to merge")
            return self._empty
        while len(self._runs) > 1:
            batch, self._runs = self._runs[:_MERGED_AT_ONCE], self._runs[_MERGED_AT_ONCE:]
            sizes = np.zeros_like(batch[0].sizes)
            self._runs.append(self._write(batch[0], sizes, _merge(batch, sizes, memory_bytes)))
        return self._runs[0]

    def _write(
        self,
        form: Run,
        sizes: NDArray[np.uint64],
        pieces: Iterable[tuple[NDArray[Any], NDArray[np.uint32]]],
    ) -> Run:
        """Write keys and counts piece by piece; `sizes` is complete once the pieces are."""
        keys_path, counts_path = Path(self._folder.name, "keys"), Path(self._folder.name, "counts")
        try:
            with keys_path.open("wb") as keys_file, counts_path.open("wb") as counts_file:
                for keys, counts in pieces:
                    keys_file.write(keys.view(np.uint8).data)
                    counts_file.write(counts.data)
        except OSError as error:
            raise _disk_error(self._folder.name, error) from None
        num = int(sizes.sum())
        keys, keys_map = _place(key_type(form.wide), keys_path, num)
        counts, counts_map = _place(np.uint32, counts_path, num)
        return Run(
            ends_of(sizes),
            sizes,
            keys,
            counts,
            form.bits,
            form.depth,
            form.wide,
            (keys_map, counts_map),
        )


def ends_of(sizes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Where buckets that stand end to end start, with the end of the last."""
    return np.concatenate([np.zeros(1, np.uint64), np.cumsum(sizes, dtype=np.uint64)])


def _disk_error(place: str | Path, error: OSError) -> OutputError:
    return OutputError(
        f"{place}: {error.strerror}", hint="give a folder with room for temporary files with --tmp"
    )


def _merge(
    runs: list[Run], sizes: NDArray[np.uint64], memory_bytes: int
) -> Iterator[tuple[NDArray[Any], NDArray[np.uint32]]]:
    """Yield the merged keys and counts of `runs` in pieces, and fill in the sizes."""
    most: NDArray[np.uint64] = np.sum([run.sizes for run in runs], axis=0, dtype=np.uint64)
    data_type = key_type(runs[0].wide)
    for first, last in bucket_ranges(most, max(memory_bytes // (data_type.itemsize + 4), 1)):
        room = int(most[first:last].sum())
        keys, counts = np.empty(room, data_type), np.empty(room, np.uint32)
        _kernel.merge([run.kernel for run in runs], first, last, sizes, keys, counts)
        used = int(sizes[first:last].sum())
        yield keys[:used], counts[:used]
        for run in runs:
            run.forget()
