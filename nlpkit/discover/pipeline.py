"""New-word discovery: from texts to a ranked list of words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nlpkit.discover.candidates import Candidates
from nlpkit.discover.contexts import contexts
from nlpkit.discover.corpus import Corpus, count_corpus
from nlpkit.discover.refined import refined_candidates
from nlpkit.discover.select import gated_candidates, seed_candidates
from nlpkit.discover.settings import Settings
from nlpkit.ngram import _kernel
from nlpkit.ngram.census import Census
from nlpkit.ngram.passes import find_occurrences
from nlpkit.ngram.places import NOWHERE, code_point_offsets
from nlpkit.ngram.runs import RunStore
from nlpkit.ngram.saved import Counted
from nlpkit.ngram.shares import Progress, no_progress
from nlpkit.records import CorpusStats, Word

__all__ = ["Discovery", "Settings", "discover"]
_NUM_CONTEXTS = 3


@dataclass(frozen=True, slots=True)
class Discovery:
    """Words found in a corpus, best first.

    Attributes:
        stats: What was read.
        found: The words' statistics.
        scores: Descending.
        known: Whether a dictionary lists the word.
        places: First occurrences in bytes of the texts joined.
        first: Of each word, in code points; -1 where only saved counts know it.
        tokens: Expected tokens of each word after a refinement, else its occurrences.
        counted: All counts, if they were to be kept.
    """

    stats: CorpusStats
    found: Candidates
    texts: list[str]
    scores: NDArray[np.float64]
    known: NDArray[np.bool_]
    places: NDArray[np.uint64]
    first: NDArray[np.int64]
    tokens: NDArray[np.float64]
    census: Census
    counted: Counted | None

    def __len__(self) -> int:
        """How many words."""
        return len(self.texts)

    def lexicon(self) -> dict[str, float]:
        """The words with the number of tokens they stand for, to segment with."""
        return dict(zip(self.texts, self.tokens.tolist(), strict=True))

    def words(self) -> Iterator[Word]:
        """Yield the records, best first; the texts must still be open."""
        shares = self.census.shares
        for row, text in enumerate(self.texts):
            yield Word(
                word=text,
                count=int(self.found.counts[row]),
                score=float(self.scores[row]),
                cohesion=float(self.found.cohesion[row]),
                left_entropy=float(self.found.left_entropy[row]),
                right_entropy=float(self.found.right_entropy[row]),
                known=bool(self.known[row]),
                first=int(self.first[row]),
                contexts=contexts(shares, self.places[row], len(text.encode())),
            )


def discover(texts: Sequence[Any], settings: Settings, *, progress: Progress = no_progress) -> Discovery:
    """Find words in texts.

    Args:
        texts: Bytes-like objects of UTF-8; they are read several times, also by `Discovery.words`.
        progress: Called with a stage, what is done and what there is to do.

    Raises:
        InputError: Saved counts are damaged or were counted otherwise, or the order is too long for the text.
        OutputError: There is no room for temporary files.

    Cost: time linear in the text; about 6 bytes of memory a byte of text up to `memory_bytes`, then disk.
    """
    with ExitStack() as stack:
        corpus = count_corpus(texts, settings, lambda: stack.enter_context(RunStore(settings.tmp)), progress)
    if settings.refine:
        found, ranks = refined_candidates(
            texts,
            corpus.census.shares,
            corpus.alphabet,
            corpus.counted.run,
            corpus.rare,
            seed=settings.seed,
            threads=settings.threads,
            progress=progress,
        )
    elif settings.method == "cohesion":
        found, ranks = seed_candidates(corpus, settings, progress)
    else:
        found, ranks = gated_candidates(corpus, settings, progress)
    known = _known(corpus, found, settings)
    if settings.new_only:
        rows = np.flatnonzero(~known)
        found, ranks, known = found.take(rows), ranks[rows], known[rows]
    return _describe(corpus, found, ranks, known, settings, progress)


def _known(corpus: Corpus, candidates: Candidates, settings: Settings) -> NDArray[np.bool_]:
    marks = np.zeros(len(candidates), np.uint8)
    trie = candidates.words.trie(corpus.alphabet)
    for dictionary in settings.known:
        _kernel.mark(corpus.alphabet.kernel, dictionary, trie, marks)
    return marks.astype(bool)


def _describe(
    corpus: Corpus,
    candidates: Candidates,
    ranks: NDArray[np.float64],
    known: NDArray[np.bool_],
    settings: Settings,
    progress: Progress,
) -> Discovery:
    """Rank the words and find where each stands first."""
    census = corpus.census
    found = find_occurrences(
        census.shares,
        corpus.alphabet,
        candidates.words,
        np.zeros(len(candidates), bool),
        corpus.rare,
        num_places=_NUM_CONTEXTS,
        threads=settings.threads,
        progress=progress,
    )
    texts = candidates.words.texts(corpus.alphabet)
    order = np.array(sorted(range(len(texts)), key=lambda row: (-ranks[row], texts[row])), np.int64)
    places = found.places[order]
    first = np.full(len(order), -1, np.int64)
    there = np.flatnonzero(places[:, 0] != np.uint64(NOWHERE))
    first[there] = code_point_offsets(
        census.shares, census.code_points, places[there, 0], threads=settings.threads
    )
    stats = CorpusStats(
        num_bytes=sum(map(len, census.texts)),
        num_code_points=sum(census.code_points),
        num_symbols=corpus.alphabet.num_all_symbols,
        num_distinct_symbols=corpus.alphabet.size,
        num_broken=census.num_broken,
        first_broken=census.first_broken,
        min_count=corpus.min_count,
    )
    return Discovery(
        stats,
        candidates.take(order),
        [texts[row] for row in order.tolist()],
        ranks[order],
        known[order],
        places,
        first,
        ranks[order] if settings.refine else candidates.counts[order].astype(np.float64),
        census,
        corpus.counted if settings.keep_counts else None,
    )
