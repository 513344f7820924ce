"""Work in shares: stretches of the text and ranges of buckets, given to threads."""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from dataclasses import dataclass
from threading import Event, Lock
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from nlpkit.ngram import _kernel

Progress = Callable[[str, int, int], None]
In = TypeVar("In")
Out = TypeVar("Out")


def no_progress(stage: str, done: int, total: int) -> None:
    """Report nothing: the default of every `progress` parameter."""


@dataclass(frozen=True, slots=True)
class Share:
    """A stretch of one text, [start, end) in bytes, cut where a line or a code point starts.

    Attributes:
        text: Number of the text among those given.
        data: All bytes of that text.
    """

    text: int
    data: Any
    start: int
    end: int

    def forget(self) -> None:
        """Let go of the pages of a memory-mapped file, which would count as resident."""
        base = self.data.obj if isinstance(self.data, memoryview) else self.data
        if isinstance(base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED") and self.start < self.end:
            offset = _address(self.data) - _address(base)  # a slice starts somewhere inside
            start = (offset + self.start) // mmap.PAGESIZE * mmap.PAGESIZE
            base.madvise(mmap.MADV_DONTNEED, start, min(offset + self.end, len(base)) - start)


def _address(data: mmap.mmap | memoryview) -> int:
    return int(np.frombuffer(data, np.uint8).ctypes.data)


def cut_shares(texts: Sequence[Any], share_bytes: int) -> list[Share]:
    """Cut texts into shares of about `share_bytes`, in the order of the text."""
    shares = []
    for number, data in enumerate(texts):
        size, start = len(data), 0
        while start < size:
            end = _kernel.boundary(data, start + share_bytes)
            shares.append(Share(number, data, start, end))
            start = end
    return shares


def split_evenly(shares: Sequence[Share], parts: int) -> list[list[Share]]:
    """Cut a list of shares into at most `parts` lists in a row, of about as many bytes each."""
    total = sum(share.end - share.start for share in shares)
    lists: list[list[Share]] = [[] for _ in range(parts)]
    done = 0
    for share in shares:
        lists[min(done * parts // max(total, 1), parts - 1)].append(share)
        done += share.end - share.start
    return [part for part in lists if part]


def bucket_ranges(sizes: NDArray[np.uint64], most: int) -> list[tuple[int, int]]:
    """Cut the buckets into ranges [first, last) of at most `most` entries, or of one bucket."""
    ends = np.cumsum(sizes, dtype=np.uint64)
    ranges, first, before = [], 0, 0
    while first < len(sizes):
        last = max(int(np.searchsorted(ends, before + most, side="right")), first + 1)
        ranges.append((first, last))
        first, before = last, int(ends[last - 1])
    return ranges


class _Part(list[In]):
    """A thread's part of the work: tells of each element that is done, and ends early when it is to stop."""

    def __init__(self, items: Iterable[In], done: Callable[[], None], stop: Event) -> None:
        super().__init__(items)
        self._done = done
        self._stop = stop

    def __iter__(self) -> Iterator[In]:
        for item in super().__iter__():
            if self._stop.is_set():
                raise CancelledError
            yield item
            self._done()


def run_all(
    work: Callable[[Any], Out],
    items: Iterable[Any],
    *,
    threads: int,
    progress: Progress = no_progress,
    stage: str = "",
) -> list[Out]:
    """Do the work on every item, in threads, and return the results in the order of the items.

    An item that is a list is a thread's part of the work, to be walked over once: progress counts its
    elements, and when another thread fails or Ctrl-C is pressed it is left at the next one.
    """
    todo = list(items)
    total = sum(len(item) if isinstance(item, list) else 1 for item in todo)
    num_done, lock, stop = 0, Lock(), Event()

    def done() -> None:
        nonlocal num_done
        with lock:
            num_done += 1
            progress(stage, num_done, total)

    def run(item: Any) -> Out:
        if isinstance(item, list):
            return work(_Part(item, done, stop))
        result = work(item)
        done()
        return result

    if threads <= 1 or len(todo) <= 1:
        return [run(item) for item in todo]
    with ThreadPoolExecutor(min(threads, len(todo))) as pool:
        futures = [pool.submit(run, item) for item in todo]
        try:
            return [future.result() for future in futures]
        except BaseException:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
