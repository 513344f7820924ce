"""The decoder again, slow and plain: it lists every segmentation. The tests hold decoder.c against it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

DISCOUNT = 0.8
STRENGTH = 500.0
DECODER_BIAS = 2.0
FREE_LENGTH = 3
SYMBOL_PRIOR = 0.5
EDGE_PRIOR = 5.0
LENGTH_SHARES = (0.0, 0.02, 0.55, 0.20, 0.12, 0.03)

Word = tuple[int, ...]


def segmentations(run: Word) -> Iterator[list[Word]]:
    """Yield all 2 ** (n - 1) ways to cut a run of n symbols into words."""
    if not run:
        yield []
    for k in range(1, len(run) + 1):
        for rest in segmentations(run[k:]):
            yield [run[:k], *rest]


class ReferenceModel:
    """The word model of model.h, from words with their counts."""

    def __init__(self, counts: Mapping[Word, float]) -> None:
        """Take a lexicon, each word a tuple of symbols."""
        self.counts = counts
        self.tokens = sum(counts.values())
        self.types = sum(count > 0 for count in counts.values())
        self.kinds = {symbol for word in counts for symbol in word}
        self.symbols = sum(len(word) * count for word, count in counts.items())

    def word_weight(self, word: Word) -> float:
        """Weight of a word; 0 for one that is neither listed nor short."""
        if word not in self.counts and len(word) > FREE_LENGTH:
            return 0.0
        seen = max(0.0, self.counts.get(word, 0.0) - DISCOUNT)
        base = LENGTH_SHARES[min(len(word), 5)] * math.prod(self.symbol_rate(symbol) for symbol in word)
        mass = seen + (STRENGTH + DISCOUNT * self.types) * base
        return mass / (STRENGTH + self.tokens) * math.exp(DECODER_BIAS)

    def symbol_rate(self, symbol: int) -> float:
        """Smoothed share of a symbol among all symbols."""
        prior = SYMBOL_PRIOR * max(1, len(self.kinds))
        return (self._occurrences(symbol) + SYMBOL_PRIOR) / (self.symbols + prior)

    def cut_factor(self, before: int, after: int) -> float:
        """What a cut between two symbols multiplies a segmentation's weight by."""
        ends = sum(count for word, count in self.counts.items() if word[-1] == before)
        begins = sum(count for word, count in self.counts.items() if word[0] == after)
        return self._edge_factor(ends, before) * self._edge_factor(begins, after)

    def weight(self, words: Sequence[Word]) -> float:
        """Weight of a segmentation."""
        factors = [self.cut_factor(left[-1], right[0]) for left, right in pairwise(words)]
        return math.prod(map(self.word_weight, words)) * math.prod(factors)

    def expected_right(self, run: Word) -> dict[tuple[Word, ...], float]:
        """For every possible segmentation of a run, how many of its words are expected to be right."""
        weights = {tuple(words): self.weight(words) for words in segmentations(run)}
        total = sum(weights.values())
        chances: dict[tuple[int, int], float] = {}
        for words, weight in weights.items():
            for place in _places(words):
                chances[place] = chances.get(place, 0.0) + weight / total
        possible = (words for words, weight in weights.items() if weight > 0)
        return {words: sum(chances[place] for place in _places(words)) for words in possible}

    def _occurrences(self, symbol: int) -> float:
        return sum(word.count(symbol) * count for word, count in self.counts.items())

    def _edge_factor(self, edges: float, symbol: int) -> float:
        rate = self.tokens / self.symbols if self.symbols else 1.0
        if rate >= 1 - 1e-6:
            return 1.0
        share = (edges + EDGE_PRIOR * rate) / (self._occurrences(symbol) + EDGE_PRIOR)
        return math.sqrt(share / (1 - share + 1e-6) / (rate / (1 - rate)))


def _places(words: Sequence[Word]) -> list[tuple[int, int]]:
    """Half-open places of the words in their run."""
    places, start = [], 0
    for word in words:
        places.append((start, start + len(word)))
        start += len(word)
    return places
