"""The words of a re-estimated lexicon as candidates, with the statistics of all others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nlpkit.discover.candidates import Candidates, word_cohesion
from nlpkit.lexicon.refine import refine
from nlpkit.ngram import _kernel
from nlpkit.ngram.alphabet import Alphabet
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
