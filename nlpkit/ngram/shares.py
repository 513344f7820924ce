"""Work in shares: stretches of the text and ranges of buckets, given to threads."""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
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
            start = self.start // mmap.PAGESIZE * mmap.PAGESIZE
            base.madvise(mmap.MADV_DONTNEED, start, min(self.end, len(base)) - start)


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


def run_all(
    work: Callable[[In], Out],
    items: Iterable[In],
    *,
    threads: int,
    progress: Progress = no_progress,
    stage: str = "",
) -> list[Out]:
    """Do the work on every item, in threads, and return the results in the order of the items."""
    todo = list(items)
    results: list[Out] = []
    if threads <= 1 or len(todo) <= 1:
        for item in todo:
            results.append(work(item))
            progress(stage, len(results), len(todo))
        return results
    with ThreadPoolExecutor(threads) as pool:
        futures = [pool.submit(work, item) for item in todo]
        try:
            for future in futures:
                results.append(future.result())
                progress(stage, len(results), len(todo))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return results
