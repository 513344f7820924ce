"""The slow, obvious twin of the kernel: the same statistics with Counter and strings, for tests."""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from nlpkit.ngram.alphabet import BREAK, UNIT_PART

MAX_UNIT = 64  # as in kernel.h
Gram = tuple[str, ...]


def symbol_runs(text: bytes, classes: NDArray[np.uint8]) -> Iterator[list[str]]:
    """Yield the runs of symbols between breaks; units longer than 64 code points are breaks."""
    run: list[str] = []
    characters = text.decode("utf-8", "replace")
    at = 0
    while at < len(characters):
        end = at + 1
        kind = classes[ord(characters[at])]
        if kind == UNIT_PART:
            while end < len(characters) and classes[ord(characters[end])] == UNIT_PART:
                end += 1
        if kind == BREAK or end - at > MAX_UNIT:
            yield run
            run = []
        else:
            run.append(characters[at:end])
        at = end
    yield run


def count_grams(texts: Sequence[bytes], classes: NDArray[np.uint8], order: int) -> Counter[Gram]:
    """Count every gram of 1 .. order symbols, overlapping ones included."""
    counts: Counter[Gram] = Counter()
    for text in texts:
        for run in symbol_runs(text, classes):
            for length in range(1, order + 1):
                counts.update(tuple(run[i : i + length]) for i in range(len(run) - length + 1))
    return counts


def entropies(
    counts: Counter[Gram], gram: Gram, min_count: int, classes: NDArray[np.uint8]
) -> tuple[float, float]:
    """Left and right entropy of a gram, in nats, from the counts of grams one symbol longer.

    A break, and a unit that occurs less than min_count times, is one thing beside the gram.
    """

    def entropy(longer: list[tuple[str, int]]) -> float:
        parts = [c for symbol, c in longer if not _is_rare(counts, symbol, min_count, classes)]
        parts.append(counts[gram] - sum(parts))
        return -sum(c / counts[gram] * math.log(c / counts[gram]) for c in parts if c)

    symbols = [longer[0] for longer in counts if len(longer) == 1]
    left = [(symbol, counts[(symbol, *gram)]) for symbol in symbols]
    right = [(symbol, counts[(*gram, symbol)]) for symbol in symbols]
    return entropy(left), entropy(right)


def _is_rare(counts: Counter[Gram], symbol: str, min_count: int, classes: NDArray[np.uint8]) -> bool:
    return classes[ord(symbol[0])] == UNIT_PART and counts[(symbol,)] < min_count


def cohesion(counts: Counter[Gram], gram: Gram) -> float:
    """Least pointwise mutual information over the splits of a gram, natural log; 0 for one symbol."""
    total = sum(c for longer, c in counts.items() if len(longer) == 1)
    splits = [counts[gram[:cut]] * counts[gram[cut:]] for cut in range(1, len(gram))]
    return math.log(total * counts[gram] / max(splits)) if splits else 0.0


def longest_connection(runs: Iterable[list[str]], kept: AbstractSet[Gram]) -> Counter[Gram]:
    """Count the pieces of runs that are cut only where no occurrence of a kept gram covers both sides."""
    pieces: Counter[Gram] = Counter()
    orders = {len(gram) for gram in kept}
    for run in runs:
        joined = {
            place
            for start in range(len(run))
            for order in orders
            if tuple(run[start : start + order]) in kept
            for place in range(start + 1, start + order)
        }
        cuts = [place for place in range(len(run) + 1) if place not in joined or place == len(run)]
        pieces.update(tuple(run[start:end]) for start, end in pairwise(cuts))
    return pieces
