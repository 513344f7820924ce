"""The words of a re-estimated lexicon as candidates, with the statistics of all others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nlpkit.discover.candidates import Candidates
from nlpkit.lexicon.refine import refine
from nlpkit.ngram import _kernel
from nlpkit.ngram.alphabet import Alphabet
from nlpkit.ngram.grams import word_ends
from nlpkit.ngram.passes import Words, find_occurrences
from nlpkit.ngram.runs import Run
from nlpkit.ngram.shares import Progress, Share, run_all

_BYTES_PER_SYMBOL = 64  # that a refinement takes


def refined_candidates(
    shares: Sequence[Share],
    alphabet: Alphabet,
    run: Run,
    rare: NDArray[np.bool_],
    *,
    seed: int,
    threads: int,
    memory_bytes: int,
    progress: Progress,
) -> tuple[Candidates, NDArray[np.float64]]:
    """Fit a word model to the text and return its words with their expected numbers of tokens.

    Of a text whose symbols would not fit, every n-th share is taken, and the tokens are scaled up.

    Args:
        shares: The text.
        run: Its counts.
        rare: Symbols that count as a break beside a word, shape (alphabet.size + 1,).

    Cost: see `nlpkit.lexicon.refine`.
    """
    step = -(-alphabet.num_all_symbols * _BYTES_PER_SYMBOL // memory_bytes)
    symbols = _all_symbols(shares[:: max(step, 1)], alphabet, threads)
    lexicon = refine(
        symbols, seed=seed, threads=threads, progress=lambda done, total: progress("refine", done, total)
    )
    del symbols
    words = Words(lexicon.symbols, np.cumsum(lexicon.lengths, dtype=np.uint64))
    found = find_occurrences(
        shares, alphabet, words, np.ones(len(words), bool), rare, threads=threads, progress=progress
    )
    cohesion = word_cohesion(run, words, alphabet.num_all_symbols)
    tokens = lexicon.counts * max(step, 1)
    return Candidates(words, found.counts, cohesion, found.left_entropy, found.right_entropy), tokens


def _all_symbols(shares: Sequence[Share], alphabet: Alphabet, threads: int) -> NDArray[np.uint32]:
    """The symbols of the text, with a break after each share."""

    def read(share: Share) -> NDArray[np.uint32]:
        room = np.zeros(share.end - share.start + 1, np.uint32)
        num, *_ = _kernel.decode(alphabet.kernel, share.data, share.start, share.end, room, None, False)
        share.forget()
        room.resize(num + 1, refcheck=False)
        return room

    return np.concatenate([np.zeros(0, np.uint32), *run_all(read, shares, threads=threads)])


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
