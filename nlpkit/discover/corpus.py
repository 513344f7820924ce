"""The corpus, counted: texts and saved counts become a table of grams."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nlpkit.discover import scores
from nlpkit.discover.settings import Settings
from nlpkit.ngram.alphabet import Alphabet, seed_classes, word_classes
from nlpkit.ngram.census import Census, take_census
from nlpkit.ngram.counts import count
from nlpkit.ngram.grams import GramTable, gram_statistics
from nlpkit.ngram.runs import RunStore
from nlpkit.ngram.saved import Counted, check_same, load_counts, merge_counts
from nlpkit.ngram.shares import Progress

SEED_MIN_COUNT = 32


@dataclass(frozen=True, slots=True)
class Corpus:
    """A counted corpus."""

    census: Census
    counted: Counted
    min_count: int
    table: GramTable

    @property
    def alphabet(self) -> Alphabet:
        """The symbols of the corpus."""
        return self.counted.alphabet

    @property
    def rare(self) -> NDArray[np.bool_]:
        """Units that count as a break beside a word."""
        rare = self.alphabet.counts < self.min_count
        rare[: self.alphabet.num_characters + 1] = False
        return rare


def count_corpus(
    texts: Sequence[Any], settings: Settings, store: Callable[[], RunStore], progress: Progress
) -> Corpus:
    """Count texts, add saved counts, and list the grams that occur often enough.

    Raises:
        InputError: Saved counts are damaged or were counted otherwise, or the order is too long.
        OutputError: There is no room for temporary files.
    """
    seed = settings.method == "cohesion"
    classes = seed_classes() if seed else word_classes(split_latin=settings.split_latin)
    saved = [load_counts(path) for path in settings.counts]
    for path, part in zip(settings.counts, saved, strict=True):
        check_same(part, classes, settings.max_order + 1, str(path))
    memory = settings.memory_bytes
    census = take_census(texts, classes, threads=settings.threads, memory_bytes=memory, progress=progress)
    num_symbols = census.num_symbols + sum(part.num_all_symbols for part in saved)
    min_count = settings.min_count or (SEED_MIN_COUNT if seed else scores.default_min_count(num_symbols))
    alphabet = census.alphabet(1 if saved or settings.keep_counts else min_count)
    run = count(
        census,
        alphabet,
        settings.max_order,
        store=store,
        threads=settings.threads,
        memory_bytes=memory,
        progress=progress,
    )
    counted = Counted(alphabet, run)
    if saved:
        counted = merge_counts(
            counted if texts else None, saved, classes, store=store, memory_bytes=memory // 4
        )
    table = gram_statistics(
        counted.run,
        counted.alphabet,
        settings.max_order,
        min_count,
        threads=settings.threads,
        progress=progress,
    )
    return Corpus(census, counted, min_count, table)
