"""Count the n-grams of texts: sorted keys, in memory or by way of the disk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nlpkit.ngram import _kernel
from nlpkit.ngram.alphabet import NUM_CODE_POINTS, Alphabet, pick
from nlpkit.ngram.census import THREAD_BYTES, Census, decode_share
from nlpkit.ngram.runs import Run, RunStore, key_layout, key_type
from nlpkit.ngram.shares import Progress, Share, bucket_ranges, no_progress, run_all, split_evenly


@dataclass(frozen=True, slots=True)
class _Numbering:
    """From the symbols of a decoded share to those of the alphabet; None: they are the same."""

    points: NDArray[np.uint32] | None
    units: NDArray[np.uint32] | None


@dataclass(frozen=True, slots=True)
class _Part:
    """What one thread counts of a block; histogram: how often each symbol stands in it, shape (size + 1,)."""

    symbols: list[NDArray[np.uint32]]
    owned: list[int]
    numbering: _Numbering
    histogram: NDArray[np.uint64]


def _count_parts(parts: list[_Part], size: int, depth: int, threads: int, progress: Progress) -> Run:
    """Count the grams of decoded parts, all in memory."""
    bits, wide = key_layout(size, depth)
    histograms = [part.histogram for part in parts]
    total: NDArray[np.uint64] = (
        np.sum(histograms, axis=0, dtype=np.uint64) if histograms else np.zeros(size + 1, np.uint64)
    )
    starts = np.concatenate([np.zeros(1, np.uint64), np.cumsum(total, dtype=np.uint64)])
    keys = np.empty(int(starts[-1]), key_type(wide))
    counts = np.empty(len(keys), np.uint32)
    cursors, taken = [], starts[:-1].copy()
    for histogram in histograms:
        cursors.append(taken.copy())
        taken += histogram

    def scatter(number: int) -> None:
        part = parts[number]
        for symbols, owned in zip(part.symbols, part.owned, strict=True):
            _kernel.scatter(
                symbols,
                owned,
                len(symbols),
                part.numbering.points,
                part.numbering.units,
                bits,
                depth,
                wide,
                cursors[number],
                keys,
            )
        part.symbols.clear()

    run_all(scatter, range(len(parts)), threads=threads)
    sizes = np.zeros(size + 1, np.uint64)
    ranges = bucket_ranges(total, max(len(keys) // (8 * threads), 1 << 16))
    run_all(
        lambda r: _kernel.sort(keys, counts, starts, sizes, r[0], r[1], bits, depth, wide),
        ranges,
        threads=threads,
        progress=progress,
        stage="count",
    )
    return Run(starts, sizes, keys, counts, bits, depth, wide)


def _kept_parts(census: Census, alphabet: Alphabet) -> list[_Part]:
    points = np.zeros(NUM_CODE_POINTS, np.uint32)
    points[[ord(name) for name in alphabet.names[1 : alphabet.num_characters + 1]]] = np.arange(
        1, alphabet.num_characters + 1, dtype=np.uint32
    )
    units = _unit_symbols(census, alphabet)
    parts = []
    for part in census.decoded:
        numbering = _Numbering(points, units[part.unit_numbers])
        histogram = np.zeros(alphabet.size + 1, np.uint64)
        histogram[points[part.points]] = part.point_counts
        histogram[numbering.units] = part.unit_counts
        histogram[0] = 0
        parts.append(_Part(part.symbols, part.owned, numbering, histogram))
    return parts


def _unit_symbols(census: Census, alphabet: Alphabet) -> NDArray[np.uint32]:
    """The symbol of each unit of the census, 0 for those that have none."""
    blob, ends, counts = census.units
    symbols = np.zeros(len(ends), np.uint32)
    names = alphabet.names[alphabet.num_characters + 1 :]
    if names:
        numbers = {name.encode(): number for number, name in enumerate(names, alphabet.num_characters + 1)}
        chosen = np.flatnonzero(counts >= alphabet.counts[alphabet.num_characters + 1 :].min())
        symbols[chosen] = [numbers[name] for name in pick(blob, ends, chosen)]
    return symbols


def _read_parts(alphabet: Alphabet, shares: list[Share], threads: int) -> list[_Part]:
    def read(part: list[Share]) -> _Part:
        histogram = np.zeros(alphabet.size + 1, np.uint64)
        read_part = _Part([], [], _Numbering(None, None), histogram)
        for share in part:
            symbols, owned, _ = decode_share(alphabet.kernel, share, False)
            share.forget()
            _kernel.histogram(symbols, owned, None, None, histogram)
            read_part.symbols.append(symbols)
            read_part.owned.append(owned)
        histogram[0] = 0
        return read_part

    return run_all(read, split_evenly(shares, threads), threads=threads)


def _blocks(census: Census, room: int, symbol_bytes: int) -> list[list[Share]]:
    """Shares in a row that fit the memory when counted together."""
    blocks: list[list[Share]] = [[]]
    used = 0
    for share, code_points in zip(census.shares, census.code_points, strict=True):
        need = code_points * symbol_bytes + (share.end - share.start)
        if used + need > room and blocks[-1]:
            blocks.append([])
            used = 0
        blocks[-1].append(share)
        used += need
    return blocks


def count(
    census: Census,
    alphabet: Alphabet,
    order: int,
    *,
    store: Callable[[], RunStore],
    neighbours: bool = True,
    threads: int = 1,
    memory_bytes: int = 1 << 62,
    progress: Progress = no_progress,
) -> Run:
    """Count all grams of 1 .. order symbols.

    Args:
        census: Of the texts; the symbols it kept are used up.
        alphabet: Made from this census.
        order: Longest gram, in symbols, 1 .. 8.
        neighbours: Count what follows and what stands before each gram too, for entropies.
        store: Opens a folder for runs on disk, where memory does not suffice.
        memory_bytes: Bytes that counting may take; beyond them sorted runs go to disk and are merged.

    Raises:
        InputError: Grams of this order and alphabet pass 128 bits.
        OutputError: The disk is full.

    Cost: 12 bytes of memory a symbol and 4 a distinct gram; time linear in the text.
    """
    depth = order + neighbours
    _, wide = key_layout(alphabet.size, depth)
    symbol_bytes = 4 + 4 + (16 if wide else 8)
    room = max(memory_bytes - threads * THREAD_BYTES, 1 << 20)
    if census.decoded and census.num_symbols * symbol_bytes <= room:
        parts = _kept_parts(census, alphabet)
        census.decoded.clear()
        return _count_parts(parts, alphabet.size, depth, threads, progress)
    census.decoded.clear()
    blocks = _blocks(census, room // 2, symbol_bytes)
    if len(blocks) == 1:
        return _count_parts(
            _read_parts(alphabet, blocks[0], threads), alphabet.size, depth, threads, progress
        )
    runs = store()
    for number, block in enumerate(blocks):
        run = _count_parts(_read_parts(alphabet, block, threads), alphabet.size, depth, threads, no_progress)
        runs.add(run)
        progress("count", number + 1, len(blocks))
    return runs.merged(memory_bytes // 4)
