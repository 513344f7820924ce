"""Occurrences shown with their surroundings."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nlpkit.ngram.places import NOWHERE, locate
from nlpkit.ngram.shares import Share

_AROUND = 10  # code points on either side
_MOST_BYTES = 4 * _AROUND


def contexts(shares: Sequence[Share], places: NDArray[np.uint64], num_bytes: int) -> tuple[str, ...]:
    """The strings around places of a word, within its line.

    Args:
        places: First bytes of the word in the texts joined; NOWHERE is passed over.
        num_bytes: Length of the word.
    """
    found = places[places != np.uint64(NOWHERE)]
    numbers, offsets = locate(shares, found)
    return tuple(
        _around(shares[number].data, offset, num_bytes)
        for number, offset in zip(numbers.tolist(), offsets.tolist(), strict=True)
    )


def _around(data: bytes, start: int, num_bytes: int) -> str:
    end = start + num_bytes
    before = bytes(data[max(start - _MOST_BYTES, 0) : start]).rpartition(b"\n")[2].decode("utf-8", "replace")
    after = bytes(data[end : end + _MOST_BYTES]).partition(b"\n")[0].decode("utf-8", "replace")
    return before[-_AROUND:].lstrip() + bytes(data[start:end]).decode() + after[:_AROUND].rstrip()
