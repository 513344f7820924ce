"""Candidates: the grams and longer pieces that may be words, with their statistics."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nlpkit.ngram import _kernel
from nlpkit.ngram.alphabet import Alphabet
from nlpkit.ngram.grams import GramTable, word_ends
from nlpkit.ngram.passes import Words, concatenate
from nlpkit.ngram.runs import Run

COHESION_PER_SYMBOL = 2.0  # the seed asks for 2, 4 and 6 of two, three and four symbols


@dataclass(frozen=True, slots=True)
class Candidates:
    """Words with one entry each in every column."""

    words: Words
    counts: NDArray[np.uint64]
    cohesion: NDArray[np.float64]
    left_entropy: NDArray[np.float64]
    right_entropy: NDArray[np.float64]

    def __len__(self) -> int:
        """How many candidates."""
        return len(self.counts)

    def take(self, rows: NDArray[np.int64]) -> Candidates:
        """The candidates of these rows, in this order."""
        return Candidates(
            self.words.take(rows),
            self.counts[rows],
            self.cohesion[rows],
            self.left_entropy[rows],
            self.right_entropy[rows],
        )


def least_cohesion(order: int) -> float:
    """Cohesion that a gram needs to hold its symbols together."""
    return COHESION_PER_SYMBOL * (order - 1)


def cohesive_rows(table: GramTable, order: int) -> NDArray[np.int64]:
    """Rows of the grams of one order that hold together."""
    rows = table.rows(order)
    kept: NDArray[np.int64] = np.flatnonzero(table.cohesion[rows] >= least_cohesion(order)) + rows.start
    return kept


def gram_words(table: GramTable, rows: NDArray[np.int64]) -> Words:
    """The grams of ascending rows as words."""
    parts = []
    for order in range(1, len(table.symbols) + 1):
        bounds = table.rows(order)
        some = rows[(rows >= bounds.start) & (rows < bounds.stop)] - bounds.start
        parts.append(Words(table.symbols[order - 1][some].ravel(), word_ends(len(some), order)))
    return concatenate(parts)


def gram_candidates(table: GramTable, rows: NDArray[np.int64]) -> Candidates:
    """Grams as candidates; rows ascend."""
    return Candidates(
        gram_words(table, rows),
        table.counts[rows],
        table.cohesion[rows],
        table.left_entropy[rows],
        table.right_entropy[rows],
    )


def unit_rows(table: GramTable, alphabet: Alphabet) -> NDArray[np.int64]:
    """Rows of the units that have a letter: iPhone12 and 5G, not 2024."""
    symbols = table.symbols[0][:, 0]
    lettered = np.array(
        [not name.isdigit() for name in alphabet.names[alphabet.num_characters + 1 :]], dtype=bool
    )
    is_word = np.concatenate([np.zeros(alphabet.num_characters + 1, bool), lettered])
    return np.flatnonzero(is_word[symbols])


def word_cohesion(run: Run, words: Words, num_symbols: int) -> NDArray[np.float64]:
    """Cohesion of words of any length, from the counts of a run: see `Word.cohesion`."""
    order = run.depth - 1
    cohesion = np.full(len(words), np.inf)
    lengths, starts = words.lengths, words.starts.astype(np.int64)
    for length in np.unique(lengths).tolist():
        rows = np.flatnonzero(lengths == length)
        width = min(length, order)
        for shift in range(length - width + 1):
            grams = words.symbols[starts[rows][:, None] + np.arange(shift, shift + width)]
            cohesion[rows] = np.minimum(cohesion[rows], _gram_cohesion(run, grams, num_symbols))
    return cohesion


def _gram_cohesion(run: Run, grams: NDArray[np.uint32], num_symbols: int) -> NDArray[np.float64]:
    num, order = grams.shape

    def logs(part: NDArray[np.uint32]) -> NDArray[np.float64]:
        counts = _kernel.gram_counts(run.kernel, np.ascontiguousarray(part), word_ends(*part.shape))
        values: NDArray[np.float64] = np.log(np.frombuffer(counts, np.uint64).astype(np.float64))
        return values

    if order == 1:
        return np.zeros(num)
    splits = [logs(grams[:, :cut]) + logs(grams[:, cut:]) for cut in range(1, order)]
    least: NDArray[np.float64] = np.log(num_symbols) + logs(grams) - np.max(splits, axis=0)
    return least


def join_candidates(parts: list[Candidates]) -> Candidates:
    """All candidates of the parts, in order."""
    return Candidates(
        concatenate([part.words for part in parts]),
        np.concatenate([part.counts for part in parts]),
        np.concatenate([part.cohesion for part in parts]),
        np.concatenate([part.left_entropy for part in parts]),
        np.concatenate([part.right_entropy for part in parts]),
    )
