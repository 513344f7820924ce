"""The words of a re-estimated lexicon as candidates, with the statistics of all others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nlpkit.discover.candidates import Candidates
from nlpkit.lexicon.refine import refine
from nlpkit.ngram import _kernel
from nlpkit.ngram.alphabet import Alphabet
from nlpkit.ngram.grams import word_ends
from nlpkit.ngram.passes import Words, find_occurrences
from nlpkit.ngram.runs import Run
from nlpkit.ngram.shares import Progress, Share, cut_shares, run_all

_MOST_SYMBOLS = 1 << 24  # that a refinement looks at: 50 MB of text, 1 GiB of memory
_SHARE_BYTES = 1 << 18


def refined_candidates(
    texts: Sequence[Any],
    shares: Sequence[Share],
    alphabet: Alphabet,
    run: Run,
    rare: NDArray[np.bool_],
    *,
    seed: int,
    threads: int,
    progress: Progress,
) -> tuple[Candidates, NDArray[np.float64]]:
    """Fit a word model to the text and return its words with their expected numbers of tokens.

    Of a text above 16 million symbols, stretches from all over it are taken, and the tokens are scaled up.

    Args:
        texts: The texts, as bytes.
        shares: Their shares.
        run: Their counts.
        rare: Symbols that count as a break beside a word, shape (alphabet.size + 1,).

    Cost: see `nlpkit.lexicon.refine`.
    """
    sample, scale = _sample(texts, alphabet, threads)
    lexicon = refine(
        sample, seed=seed, threads=threads, progress=lambda done, total: progress("refine", done, total)
    )
    del sample
    words = Words(lexicon.symbols, np.cumsum(lexicon.lengths, dtype=np.uint64))
    found = find_occurrences(
        shares, alphabet, words, np.ones(len(words), bool), rare, threads=threads, progress=progress
    )
    cohesion = word_cohesion(run, words, alphabet.num_all_symbols)
    candidates = Candidates(words, found.counts, cohesion, found.left_entropy, found.right_entropy)
    return candidates, lexicon.counts * scale


def _sample(texts: Sequence[Any], alphabet: Alphabet, threads: int) -> tuple[NDArray[np.uint32], float]:
    """Symbols from all over the texts, with a break after each stretch, and how many each stands for."""
    shares = cut_shares(texts, _SHARE_BYTES)
    part = min(_MOST_SYMBOLS / max(alphabet.num_all_symbols, 1), 1.0)
    taken = [share for number, share in enumerate(shares) if int((number + 1) * part) > int(number * part)]

    def read(share: Share) -> NDArray[np.uint32]:
        room = np.zeros(share.end - share.start + 1, np.uint32)
        num, *_ = _kernel.decode(alphabet.kernel, share.data, share.start, share.end, room, None, False)
        share.forget()
        return room[: num + 1].copy()

    symbols = np.concatenate([np.zeros(0, np.uint32), *run_all(read, taken, threads=threads)])
    num_taken = sum(share.end - share.start for share in taken)
    return symbols, sum(map(len, texts)) / max(num_taken, 1)


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
