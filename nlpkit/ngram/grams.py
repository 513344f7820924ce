"""Statistics of n-grams: counts, branching entropies and cohesion, from a run of counted keys."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nlpkit.ngram import _kernel
from nlpkit.ngram.alphabet import Alphabet
from nlpkit.ngram.runs import Run
from nlpkit.ngram.shares import Progress, bucket_ranges, no_progress, run_all

_TABLE_SIZE = 1 << 14
NOT_FOUND = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class GramTable:
    """The grams that occur often enough, shortest first, in the order of their symbols.

    Attributes:
        symbols: Per order (from 1), shape (num of that order, order).
        offsets: Where each order starts in the columns below, with the end of the last.
        counts: Occurrences, overlapping ones included, shape (num,).
        left_entropy: Of what stands before, in nats, shape (num,); a break, or a unit seen less than
            min_count times, is one thing.
        right_entropy: Of what stands after.
        cohesion: Least pointwise mutual information over the splits, natural log; 0 for order 1.
        trie: The grams, in this order, as words.
    """

    symbols: list[NDArray[np.uint32]]
    offsets: NDArray[np.int64]
    counts: NDArray[np.uint64]
    left_entropy: NDArray[np.float64]
    right_entropy: NDArray[np.float64]
    cohesion: NDArray[np.float64]
    trie: _kernel.Trie

    def rows(self, order: int) -> slice:
        """The columns' part that belongs to one order."""
        return slice(int(self.offsets[order - 1]), int(self.offsets[order]))

    def find(self, symbols: NDArray[np.uint32]) -> NDArray[np.uint32]:
        """Row of each gram, NOT_FOUND for others; symbols has shape (num, order)."""
        return _find(self.trie, symbols)


def word_ends(num: int, order: int) -> NDArray[np.uint64]:
    """Ends of `num` rows of `order` symbols laid end to end, as the kernel takes words."""
    return np.arange(1, num + 1, dtype=np.uint64) * np.uint64(order)


def _find(trie: _kernel.Trie, symbols: NDArray[np.uint32]) -> NDArray[np.uint32]:
    rows = _kernel.trie_find(trie, np.ascontiguousarray(symbols), word_ends(*symbols.shape))
    return np.frombuffer(rows, np.uint32)


@dataclass(frozen=True, slots=True)
class FixedPoint:
    """Sums of c ln c as whole numbers of 2^-shift, below 2^63 for so many occurrences.

    Whole numbers add up to the same sum in any order, so threads and merging change no bit of an entropy.
    """

    table: NDArray[np.uint64]
    shift: int

    @staticmethod
    def for_total(num_symbols: int) -> FixedPoint:
        """The finest scale for counts that add up to `num_symbols`."""
        total = max(num_symbols, 2)
        shift = 61 - int(np.ceil(np.log2(total * np.log(total) + 1)))
        counts = np.arange(min(_TABLE_SIZE, total + 1), dtype=np.float64)
        counts[0] = 1
        return FixedPoint(np.floor(counts * np.log(counts) * 2.0**shift + 0.5).astype(np.uint64), shift)

    def times_log(self, counts: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """c ln c of each count, 0 of 0."""
        values = np.maximum(counts, 1).astype(np.float64)
        return np.floor(values * np.log(values) * 2.0**self.shift + 0.5).astype(np.uint64)

    def entropy(self, sums: NDArray[np.uint64], counts: NDArray[np.uint64]) -> NDArray[np.float64]:
        """Entropy in nats from the sums of c ln c over the parts of each count."""
        totals = counts.astype(np.float64)
        values: NDArray[np.float64] = np.log(totals) - sums.astype(np.float64) / (totals * 2.0**self.shift)
        return np.maximum(values, 0.0)


@dataclass(frozen=True, slots=True)
class _Reader:
    """What every pass over the run needs."""

    run: Run
    rare: NDArray[np.uint8]
    fixed: FixedPoint
    threads: int

    def ranges(self) -> list[tuple[int, int]]:
        return bucket_ranges(self.run.sizes, max(self.run.num_keys // (8 * self.threads), 1 << 16))

    def grams(self, order: int, min_count: int) -> list[list[NDArray[Any]]]:
        """Per order: symbols, counts and the sums of what follows."""

        def part(bounds: tuple[int, int]) -> list[tuple[bytearray, bytearray, bytearray]]:
            got = _kernel.grams(
                self.run.kernel,
                *bounds,
                order,
                min_count,
                self.rare,
                self.fixed.table,
                self.fixed.shift,
            )
            self.run.forget()
            return got

        pieces = run_all(part, self.ranges(), threads=self.threads)

        def column(number: int, place: int, kind: Any) -> NDArray[Any]:
            return np.frombuffer(b"".join([piece[number - 1][place] for piece in pieces]), kind)

        return [
            [
                column(n, 0, np.uint32).reshape(-1, n),
                column(n, 1, np.uint64),
                column(n, 2, np.uint64),
            ]
            for n in range(1, order + 1)
        ]

    def lefts(self, trie: _kernel.Trie, counts: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """Per gram: the sum of c ln c over what stands before."""
        ranges = self.ranges()

        def part(bounds: list[tuple[int, int]]) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
            left, seen = np.zeros(len(counts), np.uint64), np.zeros(len(counts), np.uint64)
            for first, last in bounds:
                _kernel.lefts(
                    self.run.kernel,
                    first,
                    last,
                    trie,
                    self.rare,
                    self.fixed.table,
                    self.fixed.shift,
                    left,
                    seen,
                )
                self.run.forget()
            return left, seen

        parts = [ranges[number :: self.threads] for number in range(min(self.threads, len(ranges)))]
        left, seen = np.zeros(len(counts), np.uint64), np.zeros(len(counts), np.uint64)
        for left_of_part, seen_of_part in run_all(part, parts, threads=self.threads):
            left += left_of_part
            seen += seen_of_part
        return left + self.fixed.times_log(counts - seen)


def _cohesion(
    symbols: NDArray[np.uint32],
    counts: NDArray[np.uint64],
    logs: NDArray[np.float64],
    trie: _kernel.Trie,
) -> NDArray[np.float64]:
    """Cohesion of grams of one order; logs: ln(count / total) of all grams."""
    order = symbols.shape[1]
    if order == 1 or not len(symbols):
        return np.zeros(len(symbols))
    splits = [
        logs[_find(trie, symbols[:, :cut])] + logs[_find(trie, symbols[:, cut:])] for cut in range(1, order)
    ]
    least: NDArray[np.float64] = logs[_find(trie, symbols)] - np.max(splits, axis=0)
    return least


def gram_statistics(
    run: Run,
    alphabet: Alphabet,
    order: int,
    min_count: int,
    *,
    threads: int = 1,
    progress: Progress = no_progress,
) -> GramTable:
    """List the grams of 1 .. order symbols that occur at least min_count times, with their statistics.

    Args:
        run: Counted grams of the whole text.
        alphabet: That of the run.
        order: At most run.depth - 1; or run.depth, and then both entropies are zero, and time is saved.
        min_count: At least 1.
    """
    rare = np.zeros(alphabet.size + 1, np.uint8)
    rare[alphabet.num_characters + 1 :] = alphabet.counts[alphabet.num_characters + 1 :] < min_count
    total = max(alphabet.num_all_symbols, 1)
    reader = _Reader(run, rare, FixedPoint.for_total(total), threads)
    progress("score", 0, 3)
    orders = reader.grams(order, min_count)
    offsets = np.cumsum([0, *[len(counts) for _, counts, _ in orders]])
    counts = np.concatenate([counts for _, counts, _ in orders])
    ends = np.cumsum(np.repeat(np.arange(1, order + 1), np.diff(offsets)), dtype=np.uint64)
    trie = _kernel.trie_new(
        alphabet.size, np.concatenate([symbols.ravel() for symbols, _, _ in orders]), ends
    )
    progress("score", 1, 3)
    logs = np.log(counts.astype(np.float64) / total)
    cohesions = run_all(
        lambda part: _cohesion(part[0], part[1], logs, trie), reversed(orders), threads=threads
    )
    progress("score", 2, 3)
    left = right = np.zeros(len(counts))
    if order < run.depth:
        left = reader.fixed.entropy(reader.lefts(trie, counts), counts)
        right = reader.fixed.entropy(np.concatenate([sums for _, _, sums in orders]), counts)
    progress("score", 3, 3)
    return GramTable(
        [symbols for symbols, _, _ in orders],
        offsets,
        counts,
        left,
        right,
        np.concatenate(cohesions[::-1]),
        trie,
    )
