"""Places in the texts joined: in bytes, as the kernel counts, and in code points, as people do."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nlpkit.ngram import _kernel
from nlpkit.ngram.shares import Share, run_all

NOWHERE = 0xFFFFFFFFFFFFFFFF


def text_bases(shares: Sequence[Share]) -> dict[int, int]:
    """Where each text starts when all are joined."""
    bases, before = {}, 0
    for share in shares:
        if share.text not in bases:
            bases[share.text] = before
            before += len(share.data)
    return bases


def locate(
    shares: Sequence[Share], places: NDArray[np.uint64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Share number, and byte in its text, of places in the texts joined."""
    bases = text_bases(shares)
    starts = np.array([bases[share.text] + share.start for share in shares], np.uint64)
    numbers = np.searchsorted(starts, places, side="right") - 1
    offsets = places.astype(np.int64) - np.array([bases[share.text] for share in shares], np.int64)[numbers]
    return numbers, offsets


def code_point_offsets(
    shares: Sequence[Share],
    code_points: Sequence[int],
    places: NDArray[np.uint64],
    *,
    threads: int = 1,
) -> NDArray[np.int64]:
    """Turn places in bytes of the texts joined into offsets in code points.

    Args:
        code_points: Those of each share, as a census counts them.
    """
    if not len(places):
        return np.zeros(0, np.int64)
    order = np.argsort(places, kind="stable")
    numbers, offsets = locate(shares, places[order])
    before = np.cumsum([0, *code_points])
    bounds = np.searchsorted(numbers, np.arange(len(shares) + 1))

    def part(number: int) -> NDArray[np.int64]:
        some = offsets[bounds[number] : bounds[number + 1]].astype(np.uint64)
        points = np.zeros(len(some), np.uint64)
        if len(some):
            _kernel.code_points_at(shares[number].data, shares[number].start, some, points)
            shares[number].forget()
        found: NDArray[np.int64] = points.astype(np.int64) + before[number]
        return found

    result = np.empty(len(places), np.int64)
    result[order] = np.concatenate(run_all(part, range(len(shares)), threads=threads))
    return result
