"""Count the n-grams of texts: a census of the symbols, then sorted keys, in memory or by way of the disk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nlpkit.ngram import _kernel
from nlpkit.ngram.alphabet import NUM_CODE_POINTS, Alphabet, make_alphabet, split
from nlpkit.ngram.runs import Run, RunStore, key_layout, key_type
from nlpkit.ngram.shares import (
    Progress,
    Share,
    bucket_ranges,
    cut_shares,
    no_progress,
    run_all,
    split_evenly,
)

_SHARE_BYTES = 1 << 23
_AHEAD = 8  # symbols that the keys of a share need from the next one, at most
_FIXED_BYTES = 24 << 20  # tables of one thread, whatever the text


@dataclass(frozen=True, slots=True)
class Decoded:
    """The symbols of some shares in a row, before they have their numbers.

    Attributes:
        symbols: Those of each share and the first ones after it.
        owned: How many of them are the share's own.
        unit_numbers: From the units of the thread that decoded it to those of the census.
    """

    symbols: list[NDArray[np.uint32]]
    owned: list[int]
    unit_numbers: NDArray[np.uint32]


@dataclass(frozen=True, slots=True)
class Census:
    """What a text is made of.

    Attributes:
        texts: The texts, as bytes.
        classes: Class of each code point.
        code_points: Code points of each share of `shares`.
        num_broken: Broken UTF-8 sequences.
        first_broken: Code-point offset of the first one over all texts, -1 if there is none.
        num_symbols: Symbols in all.
        decoded: The symbols themselves, where they were kept.
    """

    texts: Sequence[Any]
    classes: NDArray[np.uint8]
    shares: list[Share]
    code_points: list[int]
    num_broken: int
    first_broken: int
    num_symbols: int
    point_counts: NDArray[np.uint64]
    units: tuple[bytearray, NDArray[np.uint64], NDArray[np.uint64]]
    decoded: list[Decoded]

    def alphabet(self, min_unit_count: int) -> Alphabet:
        """Number the symbols; units seen less often than `min_unit_count` stay breaks."""
        points = np.flatnonzero(self.point_counts).astype(np.uint32)
        blob, ends, counts = self.units
        chosen = np.flatnonzero(counts >= min_unit_count)
        starts = np.concatenate([np.zeros(1, np.uint64), ends[:-1]]) if len(ends) else ends
        units = [
            bytes(blob[start:end])
            for start, end in zip(starts[chosen].tolist(), ends[chosen].tolist(), strict=True)
        ]
        return make_alphabet(
            self.classes, points, self.point_counts[points], units, counts[chosen], self.num_symbols
        )


@dataclass(slots=True)
class _Tally:
    """One thread's part of a census."""

    kernel: _kernel.Alphabet
    code_points: list[int]
    broken: list[tuple[int, int, int]]  # share in this part, sequences, byte of the first
    symbols: list[NDArray[np.uint32]]
    owned: list[int]


def _decode_share(
    kernel: _kernel.Alphabet, share: Share, counting: bool
) -> tuple[NDArray[np.uint32], int, tuple[int, int, int, int]]:
    """Symbols of a share with those just after it, how many are its own, and what was seen."""
    room = np.empty(share.end - share.start + _AHEAD, np.uint32)
    seen = _kernel.decode(kernel, share.data, share.start, share.end, room, None, counting)
    num = owned = seen[0]
    if owned and room[owned - 1]:
        num += _kernel.decode_ahead(kernel, share.data, share.end, _AHEAD, room[owned:])
    room.resize(num, refcheck=False)
    return room, owned, seen


def _tally(classes: NDArray[np.uint8], shares: list[Share], keep: bool) -> _Tally:
    tally = _Tally(_kernel.alphabet_new(classes), [], [], [], [])
    for number, share in enumerate(shares):
        symbols, owned, seen = _decode_share(tally.kernel, share, True)
        tally.code_points.append(seen[1])
        if seen[2]:
            tally.broken.append((number, seen[2], seen[3]))
        if keep:
            tally.symbols.append(symbols)
            tally.owned.append(owned)
        else:
            share.forget()
    return tally


def _first_broken(shares: list[Share], code_points: list[int], broken: list[tuple[int, int, int]]) -> int:
    if not broken:
        return -1
    number, _, byte = broken[0]
    share = shares[number]
    return sum(code_points[:number]) + _kernel.code_points(share.data, share.start, byte)


def take_census(
    texts: Sequence[Any],
    classes: NDArray[np.uint8],
    *,
    threads: int = 1,
    memory_bytes: int = 1 << 62,
    progress: Progress = no_progress,
) -> Census:
    """Read the texts once and count their symbols.

    Args:
        texts: Bytes-like objects of UTF-8; broken sequences are breaks.
        classes: Class of each code point, shape (0x110000,).
        memory_bytes: Where the texts fit, their symbols are kept for `count`.

    Cost: about 1 GB/s and thread; 4 bytes of memory a symbol where they are kept.
    """
    shares = cut_shares(texts, _SHARE_BYTES)
    keep = 5 * sum(map(len, texts)) + threads * _FIXED_BYTES <= memory_bytes
    parts = split_evenly(shares, threads)
    tallies = run_all(
        lambda part: _tally(classes, part, keep),
        parts,
        threads=threads,
        progress=progress,
        stage="read",
    )
    point_counts = np.zeros(NUM_CODE_POINTS, np.uint64)
    whole = _kernel.alphabet_new(classes) if len(tallies) != 1 else tallies[0].kernel
    decoded: list[Decoded] = []
    code_points: list[int] = []
    broken: list[tuple[int, int, int]] = []
    for tally in tallies:
        point_counts += np.frombuffer(_kernel.alphabet_counts(tally.kernel), np.uint64)
        blob, ends, counts = _kernel.alphabet_units(tally.kernel)
        if tally.kernel is whole:
            numbers = np.arange(len(ends) // 8, dtype=np.uint32)
        else:
            numbers = np.frombuffer(_kernel.alphabet_add(whole, blob, ends, counts), np.uint32)
        broken += [(number + len(code_points), num, byte) for number, num, byte in tally.broken]
        code_points += tally.code_points
        decoded.append(Decoded(tally.symbols, tally.owned, numbers))
    blob, ends_bytes, counts_bytes = _kernel.alphabet_units(whole)
    units = (blob, np.frombuffer(ends_bytes, np.uint64), np.frombuffer(counts_bytes, np.uint64))
    return Census(
        texts,
        classes,
        shares,
        code_points,
        sum(num for _, num, _ in broken),
        _first_broken(shares, code_points, broken),
        int(point_counts.sum() + units[2].sum()),
        point_counts,
        units,
        decoded if keep else [],
    )


@dataclass(frozen=True, slots=True)
class _Numbering:
    """From the symbols of a decoded share to those of the alphabet; None: they are the same."""

    points: NDArray[np.uint32] | None
    units: NDArray[np.uint32] | None


@dataclass(frozen=True, slots=True)
class _Part:
    """What one thread counts of a block."""

    symbols: list[NDArray[np.uint32]]
    owned: list[int]
    numbering: _Numbering


def _count_parts(parts: list[_Part], size: int, depth: int, threads: int, progress: Progress) -> Run:
    """Count the grams of decoded parts, all in memory."""
    bits, wide = key_layout(size, depth)

    def tally(part: _Part) -> NDArray[np.uint64]:
        histogram = np.zeros(size + 1, np.uint64)
        for symbols, owned in zip(part.symbols, part.owned, strict=True):
            _kernel.histogram(symbols, owned, part.numbering.points, part.numbering.units, histogram)
        histogram[0] = 0
        return histogram

    histograms = run_all(tally, parts, threads=threads)
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
    blob, ends, _ = census.units
    numbers = {
        name.encode(): number
        for number, name in enumerate(alphabet.names)
        if number > alphabet.num_characters
    }
    units = np.zeros(len(ends), np.uint32)
    if numbers:
        for unit, name in enumerate(split(blob, ends)):
            units[unit] = numbers.get(name, 0)
    return [
        _Part(part.symbols, part.owned, _Numbering(points, units[part.unit_numbers]))
        for part in census.decoded
    ]


def _read_parts(alphabet: Alphabet, shares: list[Share], threads: int) -> list[_Part]:
    def read(part: list[Share]) -> _Part:
        got = [_decode_share(alphabet.kernel, share, False) for share in part]
        for share in part:
            share.forget()
        return _Part(
            [symbols for symbols, _, _ in got],
            [owned for _, owned, _ in got],
            _Numbering(None, None),
        )

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
        ValueError: Grams of this order and alphabet pass 128 bits.
        OutputError: The disk is full.

    Cost: 12 bytes of memory a symbol and 4 a distinct gram; time linear in the text.
    """
    depth = order + neighbours
    _, wide = key_layout(alphabet.size, depth)
    symbol_bytes = 4 + 4 + (16 if wide else 8)
    room = max(memory_bytes - threads * _FIXED_BYTES, 1 << 20)
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
