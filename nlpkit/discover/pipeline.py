"""New-word discovery: from texts to a ranked list of words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from nlpkit.discover import scores
from nlpkit.discover.candidates import (
    Candidates,
    cohesive_rows,
    gram_candidates,
    gram_words,
    join_candidates,
    longer_candidates,
    unit_rows,
)
from nlpkit.discover.contexts import contexts
from nlpkit.discover.edges import phrase_edges
from nlpkit.errors import InputError
from nlpkit.ngram import _kernel
from nlpkit.ngram.alphabet import Alphabet, seed_classes, word_classes
from nlpkit.ngram.counts import Census, count, take_census
from nlpkit.ngram.grams import GramTable, gram_statistics
from nlpkit.ngram.passes import (
    NOWHERE,
    Words,
    code_point_offsets,
    cut_by_connection,
    find_occurrences,
)
from nlpkit.ngram.runs import RunStore
from nlpkit.ngram.saved import Counted, Saved, load_counts, merge_counts, occurrences_in
from nlpkit.ngram.shares import Progress, no_progress
from nlpkit.records import CorpusStats, Word

Method = Literal["entropy", "cohesion"]
SEED_MIN_COUNT = 32
_NUM_CONTEXTS = 3


@dataclass(frozen=True, slots=True)
class Settings:
    """How to discover words.

    Attributes:
        method: "entropy" takes cohesion, both branching entropies and edges into account; "cohesion" is the
            seed algorithm.
        min_count: Least count; None: `scores.default_min_count`, 32 for the seed.
        max_order: Longest n-gram that is counted, 2 .. 8.
        split_latin: Count Latin letters and digits one by one.
        new_only: Leave out known words.
        known: Dictionaries as bytes, a word at the start of each line.
        counts: Files of saved counts to add to those of the texts.
        keep_counts: Leave the counts, of every unit however rare, in the result, to be saved.
        background: Texts, as bytes, or saved counts of a corpus to compare with.
        threads: Threads to use.
        memory_bytes: Bytes to use for counting.
        tmp: Folder for what does not fit, None: the system's.
    """

    method: Method = "entropy"
    min_count: int | None = None
    max_order: int = 4
    split_latin: bool = False
    new_only: bool = True
    known: Sequence[Any] = ()
    counts: Sequence[Path] = ()
    keep_counts: bool = False
    background: Sequence[Any | Saved] = ()
    threads: int = 1
    memory_bytes: int = 1 << 62
    tmp: Path | None = None

    @property
    def splits_latin(self) -> bool:
        """Whether Latin letters and digits are counted one by one."""
        return self.split_latin or self.method == "cohesion"


@dataclass(frozen=True, slots=True)
class _Corpus:
    """The counted corpus."""

    census: Census
    alphabet: Alphabet
    min_count: int
    table: GramTable

    @property
    def rare(self) -> NDArray[np.bool_]:
        """Units that count as a break beside a word."""
        rare = self.alphabet.counts < self.min_count
        rare[: self.alphabet.num_characters + 1] = False
        return rare


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
        counted: All counts, if they were to be kept.
    """

    stats: CorpusStats
    found: Candidates
    texts: list[str]
    scores: NDArray[np.float64]
    known: NDArray[np.bool_]
    places: NDArray[np.uint64]
    first: NDArray[np.int64]
    census: Census
    counted: Counted | None

    def __len__(self) -> int:
        """How many words."""
        return len(self.texts)

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
        ValueError: The settings contradict each other, or the order is too long for the alphabet.
        InputError: Saved counts are damaged or were counted otherwise.
        OutputError: There is no room for temporary files.

    Cost: time linear in the text; about 6 bytes of memory a byte of text up to `memory_bytes`, then disk.
    """
    with ExitStack() as stack:
        corpus, counted = _count(
            texts, settings, lambda: stack.enter_context(RunStore(settings.tmp)), progress
        )
    words = _seed_candidates if settings.method == "cohesion" else _gated_candidates
    found, ranks = words(corpus, settings, progress)
    known = _known(corpus, found, settings)
    if settings.new_only:
        rows = np.flatnonzero(~known)
        found, ranks, known = found.take(rows), ranks[rows], known[rows]
    return _describe(corpus, counted, found, ranks, known, settings, progress)


def _count(
    texts: Sequence[Any], settings: Settings, store: Callable[[], RunStore], progress: Progress
) -> tuple[_Corpus, Counted | None]:
    seed = settings.method == "cohesion"
    classes = seed_classes() if seed else word_classes(split_latin=settings.split_latin)
    saved = [_load(path, settings) for path in settings.counts]
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
    return _Corpus(census, counted.alphabet, min_count, table), counted if settings.keep_counts else None


def _load(path: Path, settings: Settings) -> Saved:
    saved = load_counts(path)
    if saved.run.depth != settings.max_order + 1 or saved.split_latin != settings.splits_latin:
        raise InputError(
            f"{path}: counted with other settings",
            hint=f"they need --max-order {saved.run.depth - 1}{' --split-latin' if saved.split_latin else ''}",
        )
    return saved


def _gated_candidates(
    corpus: _Corpus, settings: Settings, progress: Progress
) -> tuple[Candidates, NDArray[np.float64]]:
    """Words that pass the gates of cohesion, entropy and edges, with their scores."""
    table, alphabet = corpus.table, corpus.alphabet
    rows = np.concatenate([cohesive_rows(table, order) for order in range(2, settings.max_order + 1)])
    kept = np.zeros(len(table.counts), bool)
    kept[rows] = True
    candidates = _gate(gram_candidates(table, np.concatenate([unit_rows(table, alphabet), rows])))
    pieces = cut_by_connection(
        corpus.census.shares,
        alphabet,
        gram_words(table, rows),
        settings.max_order,
        threads=settings.threads,
        progress=progress,
    )
    often = np.flatnonzero(pieces.longer_counts >= corpus.min_count)
    longer = _gate(_counted(corpus, longer_candidates(table, pieces.longer.take(often)), settings, progress))
    candidates = join_candidates([candidates, longer])
    candidates = candidates.take(np.flatnonzero(~phrase_edges(candidates, table, kept, alphabet)))
    return candidates, _scores(corpus, candidates, settings)


def _gate(candidates: Candidates) -> Candidates:
    entropy = np.minimum(candidates.left_entropy, candidates.right_entropy)
    needed = scores.least_entropy(candidates.counts, candidates.words.lengths)
    return candidates.take(np.flatnonzero(entropy >= needed))


def _counted(corpus: _Corpus, candidates: Candidates, settings: Settings, progress: Progress) -> Candidates:
    """Count the candidates and their neighbours in the text."""
    if not len(candidates):
        return candidates
    found = find_occurrences(
        corpus.census.shares,
        corpus.alphabet,
        candidates.words,
        np.ones(len(candidates), bool),
        corpus.rare,
        threads=settings.threads,
        progress=progress,
    )
    return Candidates(
        candidates.words, found.counts, candidates.cohesion, found.left_entropy, found.right_entropy
    )


def _scores(corpus: _Corpus, candidates: Candidates, settings: Settings) -> NDArray[np.float64]:
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


def _in_background(corpus: _Corpus, words: Words, settings: Settings) -> tuple[NDArray[np.uint64], int]:
    """Occurrences of the words in the background corpus, and its symbols."""
    saved = [part for part in settings.background if isinstance(part, Saved)]
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


def _seed_candidates(
    corpus: _Corpus, settings: Settings, progress: Progress
) -> tuple[Candidates, NDArray[np.float64]]:
    """The seed algorithm's words, with the counts of their pieces as scores."""
    table, alphabet, min_count = corpus.table, corpus.alphabet, corpus.min_count
    rows = np.concatenate([cohesive_rows(table, order) for order in range(2, settings.max_order + 1)])
    pieces = cut_by_connection(
        corpus.census.shares,
        alphabet,
        gram_words(table, rows),
        settings.max_order,
        threads=settings.threads,
        progress=progress,
    )
    single = np.flatnonzero(pieces.symbol_counts[table.symbols[0][:, 0]] >= min_count)
    often = np.flatnonzero(pieces.kept_counts >= min_count)
    long = np.flatnonzero(pieces.longer_counts >= min_count)
    longer = _counted(corpus, longer_candidates(table, pieces.longer.take(long)), settings, progress)
    candidates = join_candidates([gram_candidates(table, np.concatenate([single, rows[often]])), longer])
    counts = [
        pieces.symbol_counts[table.symbols[0][single, 0]],
        pieces.kept_counts[often],
        pieces.longer_counts[long],
    ]
    return candidates, np.concatenate(counts).astype(np.float64)


def _known(corpus: _Corpus, candidates: Candidates, settings: Settings) -> NDArray[np.bool_]:
    marks = np.zeros(len(candidates), np.uint8)
    trie = candidates.words.trie(corpus.alphabet)
    for dictionary in settings.known:
        _kernel.mark(corpus.alphabet.kernel, dictionary, trie, marks)
    return marks.astype(bool)


def _describe(
    corpus: _Corpus,
    counted: Counted | None,
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
        census,
        counted,
    )
