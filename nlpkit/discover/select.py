"""Which grams and pieces are words: the gates of the default method, and the seed algorithm."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nlpkit.discover import scores
from nlpkit.discover.candidates import (
    Candidates,
    cohesive_rows,
    gram_candidates,
    gram_words,
    join_candidates,
    unit_rows,
    word_cohesion,
)
from nlpkit.discover.corpus import Corpus
from nlpkit.discover.edges import phrase_edges
from nlpkit.discover.settings import Settings
from nlpkit.ngram.census import take_census
from nlpkit.ngram.passes import Pieces, Words, cut_by_connection, find_occurrences
from nlpkit.ngram.saved import Saved, check_same, occurrences_in
from nlpkit.ngram.shares import Progress


def gated_candidates(
    corpus: Corpus, settings: Settings, progress: Progress
) -> tuple[Candidates, NDArray[np.float64]]:
    """Words that pass the gates of cohesion, entropy and edges, with their scores."""
    table, alphabet = corpus.table, corpus.alphabet
    rows = np.concatenate([cohesive_rows(table, order) for order in range(2, settings.max_order + 1)])
    kept = np.zeros(len(table.counts), bool)
    kept[rows] = True
    candidates = _gate(gram_candidates(table, np.concatenate([unit_rows(table, alphabet), rows])))
    pieces = _pieces(corpus, rows, settings, progress)
    often = np.flatnonzero(pieces.longer_counts >= corpus.min_count)
    longer = _gate(_longer(corpus, pieces.longer.take(often), settings, progress))
    candidates = join_candidates([candidates, longer])
    candidates = candidates.take(np.flatnonzero(~phrase_edges(candidates, table, kept, alphabet)))
    return candidates, _scores(corpus, candidates, settings)


def _pieces(corpus: Corpus, rows: NDArray[np.int64], settings: Settings, progress: Progress) -> Pieces:
    """The pieces of the text when it is cut by these grams."""
    return cut_by_connection(
        corpus.census.shares,
        corpus.alphabet,
        gram_words(corpus.table, rows),
        settings.max_order,
        threads=settings.threads,
        progress=progress,
    )


def _gate(candidates: Candidates) -> Candidates:
    entropy = np.minimum(candidates.left_entropy, candidates.right_entropy)
    needed = scores.least_entropy(candidates.counts, candidates.words.lengths)
    return candidates.take(np.flatnonzero(entropy >= needed))


def _longer(corpus: Corpus, words: Words, settings: Settings, progress: Progress) -> Candidates:
    """Words longer than the longest gram, with their neighbours counted in the text."""
    cohesion = word_cohesion(corpus.counted.run, words, corpus.alphabet.num_all_symbols)
    found = find_occurrences(
        corpus.census.shares,
        corpus.alphabet,
        words,
        np.ones(len(words), bool),
        corpus.rare,
        threads=settings.threads,
        progress=progress,
    )
    return Candidates(words, found.counts, cohesion, found.left_entropy, found.right_entropy)


def _scores(corpus: Corpus, candidates: Candidates, settings: Settings) -> NDArray[np.float64]:
    if settings.background:
        there, num_there = _in_background(corpus, candidates.words, settings)
        num_here = corpus.alphabet.num_all_symbols
        return scores.newness_score(candidates.counts, num_here, there, num_there)
    entropy = np.minimum(candidates.left_entropy, candidates.right_entropy)
    return scores.frequency_score(
        candidates.counts,
        candidates.words.lengths,
        candidates.cohesion,
        entropy,
        settings.max_order,
    )


def _in_background(corpus: Corpus, words: Words, settings: Settings) -> tuple[NDArray[np.uint64], int]:
    """Occurrences of the words in the background corpus, and its symbols."""
    saved = [part for part in settings.background if isinstance(part, Saved)]
    for part in saved:
        check_same(part, corpus.census.classes, None, "background")
    texts = [part for part in settings.background if not isinstance(part, Saved)]
    census = take_census(texts, corpus.census.classes, threads=settings.threads, memory_bytes=0)
    found = find_occurrences(
        census.shares,
        corpus.alphabet,
        words,
        np.ones(len(words), bool),
        corpus.rare,
        neighbours=False,
        threads=settings.threads,
    )
    counts = found.counts
    for part in saved:
        counts = counts + occurrences_in(part, words, corpus.alphabet.names, corpus.alphabet.num_characters)
    return counts, census.num_symbols + sum(part.num_all_symbols for part in saved)


def seed_candidates(
    corpus: Corpus, settings: Settings, progress: Progress
) -> tuple[Candidates, NDArray[np.float64]]:
    """The seed algorithm's words, with the counts of their pieces as scores."""
    table, min_count = corpus.table, corpus.min_count
    rows = np.concatenate([cohesive_rows(table, order) for order in range(2, settings.max_order + 1)])
    pieces = _pieces(corpus, rows, settings, progress)
    single = np.flatnonzero(pieces.symbol_counts[table.symbols[0][:, 0]] >= min_count)
    often = np.flatnonzero(pieces.kept_counts >= min_count)
    long = np.flatnonzero(pieces.longer_counts >= min_count)
    longer = _longer(corpus, pieces.longer.take(long), settings, progress)
    candidates = join_candidates([gram_candidates(table, np.concatenate([single, rows[often]])), longer])
    counts = [
        pieces.symbol_counts[table.symbols[0][single, 0]],
        pieces.kept_counts[often],
        pieces.longer_counts[long],
    ]
    return candidates, np.concatenate(counts).astype(np.float64)
