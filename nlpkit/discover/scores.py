"""Gates and scores: which candidates are words, and in what order they are listed."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from nlpkit.discover.candidates import COHESION_PER_SYMBOL

_ENTROPY_OF_TWO = 1.5  # nats that both sides of a word of two symbols need
_ENTROPY_PER_SYMBOL = 0.25  # and more for each further one
_ENTROPY_PER_LOG_COUNT = 0.6  # but never more than this part of what the count allows
_MOST_EXCESS = 6.0


def default_min_count(num_symbols: int) -> int:
    """Least count that grows with the fourth root of the text: 2 for a page, 5 for 85 KB, 31 for 100 MB."""
    return max(2, round(math.sqrt(math.sqrt(num_symbols)) / 2.4))


def least_entropy(counts: NDArray[np.uint64], lengths: NDArray[np.int64]) -> NDArray[np.float64]:
    """Entropy that the poorer side of a word needs, in nats."""
    by_length = _ENTROPY_OF_TWO + _ENTROPY_PER_SYMBOL * np.clip(lengths - 2, 0, None)
    by_count = _ENTROPY_PER_LOG_COUNT * np.log(np.maximum(counts, 1).astype(np.float64))
    least: NDArray[np.float64] = np.minimum(by_length, by_count)
    return least


def frequency_score(
    counts: NDArray[np.uint64],
    lengths: NDArray[np.int64],
    cohesion: NDArray[np.float64],
    entropy: NDArray[np.float64],
    max_order: int,
) -> NDArray[np.float64]:
    """ln count + entropy / 2 + 0.3 x, where x is the cohesion beyond what keeps a gram, at most 6.

    A word longer than max_order has the cohesion of its weakest window of that length.
    """
    needed = COHESION_PER_SYMBOL * (np.minimum(lengths, max_order) - 1)
    excess = np.minimum(cohesion - needed, _MOST_EXCESS)
    score: NDArray[np.float64] = np.log(counts.astype(np.float64)) + 0.5 * entropy + 0.3 * excess
    return score


def newness_score(
    counts: NDArray[np.uint64],
    num_symbols: int,
    background: NDArray[np.uint64],
    num_background: int,
) -> NDArray[np.float64]:
    """Signed log-likelihood ratio of each count against a background corpus; negative: rarer here.

    Source: Dunning 1993, Accurate methods for the statistics of surprise and coincidence.
    """
    here, there = counts.astype(np.float64), background.astype(np.float64)
    rate = (here + there) / max(num_symbols + num_background, 1)

    def part(count: NDArray[np.float64], total: int) -> NDArray[np.float64]:
        expected = np.maximum(rate * total, 1e-300)
        return np.where(count > 0, count * np.log(np.maximum(count, 1e-300) / expected), 0.0)

    ratio: NDArray[np.float64] = 2 * np.maximum(part(here, num_symbols) + part(there, num_background), 0.0)
    return np.where(here * num_background >= there * num_symbols, ratio, -ratio)
