"""Passes over the text with a set of words: cutting it by kept grams, and finding every occurrence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from nlpkit.ngram import _kernel
from nlpkit.ngram.alphabet import Alphabet, pick
from nlpkit.ngram.grams import FixedPoint
from nlpkit.ngram.places import NOWHERE, text_bases
from nlpkit.ngram.shares import Progress, Share, no_progress, run_all, split_evenly

_ONE_BUCKET = (16, 5)  # bits and depth of a key of 64 bits


@dataclass(frozen=True, slots=True)
class Words:
    """Words as rows of symbols of any length, laid end to end: word i is symbols[ends[i - 1] : ends[i]]."""

    symbols: NDArray[np.uint32]
    ends: NDArray[np.uint64]

    def __len__(self) -> int:
        """How many words."""
        return len(self.ends)

    @property
    def starts(self) -> NDArray[np.uint64]:
        """Where each word starts."""
        return np.concatenate([np.zeros(1, np.uint64), self.ends])[:-1]

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Symbols of each word."""
        return np.diff(self.ends, prepend=np.uint64(0)).astype(np.int64)

    def take(self, rows: NDArray[np.int64]) -> Words:
        """The words of these rows, in this order."""
        lengths = self.lengths[rows]
        ends = np.cumsum(lengths, dtype=np.int64)
        places = np.arange(int(ends[-1]) if len(ends) else 0) + np.repeat(
            self.starts[rows].astype(np.int64) - (ends - lengths), lengths
        )
        return Words(self.symbols[places], ends.astype(np.uint64))

    def texts(self, alphabet: Alphabet) -> list[str]:
        """The text of each word."""
        names = list(map(alphabet.names.__getitem__, self.symbols.tolist()))
        return ["".join(names[start:end]) for start, end in pairwise([0, *self.ends.tolist()])]

    def trie(self, alphabet: Alphabet) -> _kernel.Trie:
        """The words as a trie of the kernel."""
        return _kernel.trie_new(alphabet.size, self.symbols, self.ends)


def concatenate(parts: Sequence[Words]) -> Words:
    """All words of the parts, in order."""
    ends, before = [np.zeros(0, np.uint64)], np.uint64(0)
    for part in parts:
        ends.append(part.ends + before)
        before += np.uint64(len(part.symbols))
    return Words(
        np.concatenate([np.zeros(0, np.uint32), *[part.symbols for part in parts]]),
        np.concatenate(ends),
    )


@dataclass(frozen=True, slots=True)
class Pieces:
    """What the longest connection leaves of a text.

    Attributes:
        kept_counts: Pieces that are a kept gram, by gram.
        symbol_counts: Pieces of a single symbol, by symbol.
        longer: Longer pieces, all of whose windows of max_order symbols are kept.
        longer_counts: Their counts.
    """

    kept_counts: NDArray[np.uint64]
    symbol_counts: NDArray[np.uint64]
    longer: Words
    longer_counts: NDArray[np.uint64]


def cut_by_connection(
    shares: Sequence[Share],
    alphabet: Alphabet,
    kept: Words,
    max_order: int,
    *,
    threads: int = 1,
    progress: Progress = no_progress,
) -> Pieces:
    """Cut the text only where no kept gram covers both sides, and count the pieces.

    Pieces of 3 .. max_order symbols that are not kept, longer ones with a window that is not, and those
    beyond 64 symbols are left out.

    Source: Su Jianlin, word-discovery: longest connection and backtracking.
    """
    trie = kept.trie(alphabet)

    def part(some: list[Share]) -> tuple[NDArray[np.uint64], NDArray[np.uint64], Counter[bytes]]:
        words, symbols = np.zeros(len(kept), np.uint64), np.zeros(alphabet.size + 1, np.uint64)
        found: Counter[bytes] = Counter()
        for share in some:
            blob, ends, counts = _kernel.cut(
                alphabet.kernel, share.data, share.start, share.end, trie, max_order, words, symbols
            )
            pieces = pick(blob, np.frombuffer(ends, np.uint64), np.arange(len(ends) // 8))
            found.update(dict(zip(pieces, np.frombuffer(counts, np.uint64).tolist(), strict=True)))
            share.forget()
        return words, symbols, found

    kept_counts, symbol_counts = np.zeros(len(kept), np.uint64), np.zeros(alphabet.size + 1, np.uint64)
    longer: Counter[bytes] = Counter()
    parts = split_evenly(shares, threads)
    for words, symbols, found in run_all(part, parts, threads=threads, progress=progress, stage="cut"):
        kept_counts += words
        symbol_counts += symbols
        longer.update(found)
    words_of_longer = Words(
        np.frombuffer(b"".join(longer), np.uint32),
        np.cumsum([len(piece) // 4 for piece in longer], dtype=np.uint64),
    )
    return Pieces(kept_counts, symbol_counts, words_of_longer, np.array(list(longer.values()), np.uint64))


@dataclass(frozen=True, slots=True)
class Occurrences:
    """Where words stand in the text.

    Attributes:
        counts: Occurrences, overlapping ones included; 0 for words that were not wanted.
        left_entropy: Of what stands before, in nats; 0 for words that were not wanted.
        right_entropy: Of what stands after.
        places: First occurrences in bytes of all texts joined, NOWHERE where there are fewer,
            shape (num words, num_places).
    """

    counts: NDArray[np.uint64]
    left_entropy: NDArray[np.float64]
    right_entropy: NDArray[np.float64]
    places: NDArray[np.uint64]


def _count_keys(
    keys: NDArray[np.uint64], counts: NDArray[np.uint64] | None
) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Sorted distinct keys and their counts, added up."""
    if counts is None:
        starts, sizes = np.array([0, len(keys)], np.uint64), np.zeros(1, np.uint64)
        numbers = np.empty(len(keys), np.uint32)
        _kernel.sort(keys, numbers, starts, sizes, 0, 1, *_ONE_BUCKET, False)
        num = int(sizes[0])
        return keys[:num].copy(), numbers[:num].astype(np.uint64)
    order = np.argsort(keys, kind="stable")
    keys, counts = keys[order], counts[order]
    first = np.flatnonzero(np.concatenate([np.ones(min(len(keys), 1), bool), keys[1:] != keys[:-1]]))
    return keys[first], np.add.reduceat(counts, first) if len(first) else counts


def _entropies(
    keys: NDArray[np.uint64],
    counts: NDArray[np.uint64],
    totals: NDArray[np.uint64],
    fixed: FixedPoint,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    sides = (keys >> np.uint64(32)).astype(np.int64)  # word, then side
    sums = np.zeros(2 * len(totals), np.uint64)
    np.add.at(sums, sides, fixed.times_log(counts))
    safe = np.maximum(totals, 1)
    return fixed.entropy(sums[0::2], safe), fixed.entropy(sums[1::2], safe)


def find_occurrences(
    shares: Sequence[Share],
    alphabet: Alphabet,
    words: Words,
    wanted: NDArray[np.bool_],
    rare: NDArray[np.bool_],
    *,
    neighbours: bool = True,
    num_places: int = 0,
    threads: int = 1,
    progress: Progress = no_progress,
) -> Occurrences:
    """Find every occurrence of the words, overlapping ones too.

    Args:
        wanted: The words to count, shape (num words,).
        rare: Symbols that count as a break beside a word, shape (alphabet.size + 1,).
        neighbours: Count what stands beside the wanted words too, for their entropies.
        num_places: How many first occurrences to keep of every word.

    Cost: one pass over the text; memory for the distinct neighbours of the wanted words.
    """
    trie = words.trie(alphabet)
    bases = text_bases(shares)
    parts = split_evenly(shares, threads)
    flags = np.where(wanted, np.uint8(2 if neighbours else 1), np.uint8(0))

    def part(
        some: list[Share],
    ) -> tuple[NDArray[np.uint64], NDArray[np.uint64], NDArray[np.uint64], NDArray[np.uint64]]:
        counts = np.zeros(len(words), np.uint64)
        places = np.full((len(words), num_places), NOWHERE, np.uint64)
        beside = [(np.zeros(0, np.uint64), np.zeros(0, np.uint64))]
        for share in some:
            got = _kernel.match(
                alphabet.kernel,
                share.data,
                share.start,
                share.end,
                trie,
                flags,
                counts,
                places,
                num_places,
                bases[share.text],
            )
            beside.append(_count_keys(np.frombuffer(got, np.uint64), None))
            share.forget()
        keys = np.concatenate([keys for keys, _ in beside])
        return counts, places, *_count_keys(keys, np.concatenate([counts for _, counts in beside]))

    results = run_all(part, parts, threads=threads, progress=progress, stage="find")
    counts = np.sum([counts for counts, _, _, _ in results], axis=0, dtype=np.uint64) + np.zeros(
        len(words), np.uint64
    )
    places = np.full((len(words), num_places), NOWHERE, np.uint64)
    if num_places and results:
        places = np.sort(np.concatenate([places for _, places, _, _ in results], axis=1), axis=1)[
            :, :num_places
        ]
    keys = np.concatenate([np.zeros(0, np.uint64), *[keys for _, _, keys, _ in results]])
    key_counts = np.concatenate([np.zeros(0, np.uint64), *[counts for _, _, _, counts in results]])
    symbols = (keys & np.uint64(0xFFFFFFFF)).astype(np.int64)
    keys = np.where(rare[symbols], keys & ~np.uint64(0xFFFFFFFF), keys)
    keys, key_counts = _count_keys(keys, key_counts)
    fixed = FixedPoint.for_total(int(counts.max(initial=1)))
    left, right = _entropies(keys, key_counts, counts, fixed)
    return Occurrences(counts, left, right, places)
